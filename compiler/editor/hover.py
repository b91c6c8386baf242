"""What the thing at a place is, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from compiler.editor.asked import asked
from compiler.editor.holds import Holdings, addresses
from compiler.editor.names import Place, named
from compiler.editor.project import Program, Project, Reading
from compiler.editor.walk import down_to, occurrences, sound, statement_at
from compiler.net import Family
from compiler.resources.language import End
from compiler.sources.language.addresses import known
from compiler.sources.language.files import Text
from grammar import dsl_tree as t
from grammar.dsl_literals import BUILT_IN

_BUILT_IN = {
    "bogons": "sources that no packet from elsewhere may have",
    "local": "the addresses that routing calls the node's own",
    "broadcast": "the addresses that routing calls broadcast",
    "multicast": "the addresses that routing calls multicast",
}
#: Characters of a definition that are shown, and addresses of a set.
_LONGEST, _MOST = 800, 24


@dataclass(frozen=True, slots=True)
class Hover:
    """`text` is Markdown, about what stands at `place`."""

    place: Place
    text: str


def hover(project: Project, file: str, offset: int, holdings: Holdings | None = None) -> Hover | None:
    """What is known of the name, the end or the statement at an offset; of several programs, the first one's answer."""
    reading = project.reading(file)
    programs = project.programs(file)
    if reading is None or reading.text is None or not programs:
        return None
    found = named(project, file, offset)
    if found is not None:
        name, policy = found.key
        lines = _policy(programs[0], name) if policy else _name(programs[0], reading.text, name, holdings)
        return Hover(found.place, "\n\n".join(lines)) if lines else None
    return _part(programs[0], reading, offset, holdings)


# ---- Names


def _name(program: Program, text: Text, name: str, holdings: Holdings | None) -> list[str]:
    """Of a set, service or zone."""
    if name in BUILT_IN:
        return [f"`{name}` is built in: {_BUILT_IN[name]}", *_end(program, text, _alone(name), holdings)]
    one = program.definitions.get(name)
    if one is None:
        return []
    reading, node = one
    assert reading.text is not None, "it has definitions"
    lines = [f"```np\n{_cut(reading.text.line(node))}\n```", *_comment(reading.text, node)]
    body = node.ports if isinstance(node, t.ServiceDefinition) else _meaning(node)
    if body is not None and (whole := expanded(program, reading.text, body)) != reading.text.line(body):
        lines.append(f"```np\n= {_cut(whole)}\n```")
    if not isinstance(node, t.ServiceDefinition):
        lines += _end(program, reading.text, _alone(name), holdings)
    return [*lines, f"{reading.text.source.span(node.begin, node.end).file_line}"]


def _policy(program: Program, name: str) -> list[str]:
    for reading in program.files.values():
        for item in reading.items:
            if isinstance(item, t.PolicyBlock) and item.name.text == name and reading.text is not None:
                head = reading.text.line(t.Node(item.begin, item.brace))
                return [f"```np\n{head}\n```", *_comment(reading.text, item), asked((item,), None) or ""]
    return []


def _meaning(node: t.SetDefinition | t.ZoneDefinition) -> t.Node | None:
    """What stands behind the = of a definition."""
    if isinstance(node, t.ZoneDefinition):
        return node.meaning
    return t.Node(node.entries[0].begin, node.entries[-1].end) if node.entries else None


def expanded(program: Program, text: Text, node: t.Node, within: tuple[str, ...] = ()) -> str:
    """What was written there, on one line, with what names mean in the place of names."""
    pieces: list[str] = []
    last = node.begin
    inside = (
        (one for item in text.tree.items for one in occurrences(item)) if type(node) is t.Node else occurrences(node)
    )
    for one in sorted(inside, key=lambda one: one.node.begin):
        name = one.node
        if one.defines or name.begin < last or name.end > node.end or name.text in within:
            continue
        found = program.definitions.get(name.text)
        if found is None or len(within) > 8 or sum(map(len, pieces)) > _LONGEST:
            continue
        reading, definition = found
        assert reading.text is not None, "it has definitions"
        service = isinstance(definition, t.ServiceDefinition)
        body = definition.ports if isinstance(definition, t.ServiceDefinition) else _meaning(definition)
        inner = expanded(program, reading.text, body, (*within, name.text)) if body is not None else ""
        bare = service or (isinstance(body, t.End) and len(body.terms) == 1 and body.without is None)
        pieces += [_plain(text, last, name.begin), inner if bare else f"{{ {inner} }}"]
        last = name.end
    return " ".join("".join([*pieces, _plain(text, last, node.end)]).split())


def _plain(text: Text, begin: int, end: int) -> str:
    """What was written, without comments, with a blank where one was at either end."""
    written = text.source.text[begin:end]
    inner = text.line(t.Node(begin, end))
    return f"{' ' * written[:1].isspace()}{inner}{' ' * (written[-1:].isspace() and bool(inner))}"


def _comment(text: Text, node: t.Node) -> list[str]:
    """The comment on the lines above a definition."""
    above: list[str] = []
    for line in reversed(text.source.text[: node.begin].split("\n")[:-1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("#").strip())
    return ["  \n".join(above)] if any(above) else []


# ---- Ends and statements


def _part(program: Program, reading: Reading, offset: int, holdings: Holdings | None) -> Hover | None:
    """Of a term such as pods(...), and of a statement by its words."""
    text = reading.text
    assert text is not None, "asked"
    way = down_to(text.tree, offset)
    for above, node in pairwise(way):
        if isinstance(above, t.End) and not isinstance(node, t.Group):
            lines = _end(program, text, t.End(node.begin, node.end, (node,), None), holdings)  # type: ignore[arg-type]
            shown = "\n\n".join([f"```np\n{_cut(text.line(node))}\n```", *lines])
            return Hover(Place(reading.name, node.begin, node.end), shown) if lines else None
    statement = statement_at(text.tree, offset)[1:]
    if not statement or (way[-1] is not statement[-1] and not isinstance(way[-1], t.Word)):
        return None
    last = statement[-1]
    if isinstance(last, t.Braced) and offset > last.brace:
        return None
    found = asked(statement, lambda end: program.names.end(text, end) if sound(end) else None)
    return Hover(Place(reading.name, last.begin, last.end), found) if found else None


def _end(program: Program, text: Text, end: t.End, holdings: Holdings | None) -> list[str]:
    """Who an end is: by its addresses alone, or as far as a cluster tells."""
    found = program.names.end(text, end) if sound(end) else None
    if found is None:
        return []
    lines = list(_addresses(found))
    if holdings is not None:
        lines += ["now:", "  \n".join(holdings.of(found))] if not lines else _members(holdings.of(found))
    return lines


def _addresses(end: End) -> Iterator[str]:
    exact = known(end)
    if exact is None:
        return
    texts = [text for family in Family for text in addresses(exact.get(family.value, ()), family)]
    count = sum(high - low + 1 for spans in exact.values() for low, high in spans)
    more = f", ... and {len(texts) - _MOST} more" if len(texts) > _MOST else ""
    listed = ", ".join(texts[:_MOST])
    yield f"{count} address{'es' * (count != 1)}: {listed}{more}" if count else "no address: nobody"


def _members(lines: list[str]) -> list[str]:
    """Of what an end of addresses holds, all but the addresses, which are known."""
    kept = [line for line in lines if not line.startswith(("addresses:", "nobody"))]
    return ["now:", "  \n".join(kept)] if kept else []


def _alone(name: str) -> t.End:
    return t.End(0, 0, (t.Name(0, 0, name),), None)


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."

"""What every script has in common: comments that cannot end early, words of users that cannot become commands, and the
error for what cannot be said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from compiler.errors import Collector, Unsupported
from compiler.ir.ruleset import Lookup, Rule
from compiler.net import Family
from grammar.source import Flaw, Source

_Value = TypeVar("_Value")
_Text = TypeVar("_Text")

#: Characters a comment line. `ipset restore` reads 1,023 bytes at a time and iptables-restore 10,239: they would take
#: the rest of a longer line for a command. A character is four bytes at most.
_WIDTH = 200
#: Printable ASCII but for what quotation knows: nft has no way to say a quotation mark, and takes `$` for a variable.
_PREFIX = re.compile(r"[ !#%-\[\]-~]*")
#: NFLOG has room for so many characters, and iptables cuts what is longer without a word.
_LONGEST_PREFIX = 63
#: Names that are one word in every syntax: no `+` and `*`, which ask for a prefix. The kernel allows 15 characters.
_LONGEST_INTERFACE = 15
_INTERFACE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@-]{0,14}")


def log_prefix(text: str, backend: str, longest: int = _LONGEST_PREFIX) -> str:
    """The prefix of a log message in quotation marks. Unsupported when it is too long or has characters that cannot be
    said."""
    if len(text) > longest:
        raise refuse(f"the log prefix {text!r}, which is longer than {longest} characters", backend)
    if not _PREFIX.fullmatch(text):
        raise refuse(f'the log prefix {text!r}: printable ASCII but for \\, " and $', backend)
    return f'"{text}"'


def interface(name: str, prefix: bool, sign: str, backend: str) -> str:
    """The interface's name, or the beginning of one, with the tool's sign for that. Unsupported when it is not one
    word."""
    if not _INTERFACE.fullmatch(name):
        raise refuse(f"the interface name {name!r}: 1 to 15 of letters, digits and _.@-", backend)
    return name + sign if prefix and len(name) < _LONGEST_INTERFACE else name


def comments(*texts: str) -> Iterator[str]:
    """`#` lines. File names and the like may hold anything: what could end a line or continue it is replaced, and
    what is long goes on in the next line, four columns in: whoever takes these away has the text again."""
    for text in texts:
        if len(text) < _WIDTH // 2 and text.isprintable() and "\\" not in text and text[:1] not in ("", " "):
            yield f"# {text.rstrip()}"
            continue
        clean = "".join(c if c.isprintable() and c != "\\" else "?" for c in text)
        indent = " " * min(len(clean) - len(clean.lstrip()), 8)
        for n, line in enumerate(_lines(clean.strip(), _WIDTH - len(indent) - 4)):
            yield f"# {indent}{line}" if n == 0 else f"# {indent}    {line}"


def _lines(text: str, width: int) -> Iterator[str]:
    """The text in parts, broken before spaces where there are any."""
    line = ""
    for word in re.findall(r" *[^ ]+", text):
        if line and len(line) + len(word) > width:
            yield line
            line = ""
        line += word
        while len(line) > width:
            yield line[:width]
            line = line[width:]
    if line:
        yield line


def noted(rules: Iterable[Rule | Lookup]) -> Iterator[tuple[str, Rule | Lookup]]:
    """Every rule with the note to print above it: empty when the rule before has the same one."""
    before = ""
    for rule in rules:
        note = rule.note if isinstance(rule, Rule) else ""
        yield "" if note == before else note, rule
        before = note


class Printed(NamedTuple):
    """A rule as it is printed: by which words it is found again in what `tool` (nft, iptables, ip6tables) prints of
    what is loaded. `at`: numbers of its chain in the ruleset and of the rule in the chain."""

    tool: str
    table: str
    chain: str
    at: tuple[int, int]
    text: str


class Once(Generic[_Value, _Text]):
    """The texts of values, each made when it is first asked for: rules of a large ruleset share their matches and
    verdicts. A value is known by its identity, and kept, so that no other gets that."""

    def __init__(self, made: Callable[[_Value, Family | None], _Text]) -> None:
        self._made = made
        self._known: dict[Family | None, dict[int, tuple[_Text, _Value]]] = {None: {}, **{one: {} for one in Family}}

    def __call__(self, values: Iterable[_Value], family: Family | None) -> list[_Text]:
        """The text of each, in a rule of that family."""
        known, texts = self._known[family], []
        for value in values:
            found = known.get(id(value))
            if found is None:
                found = known[id(value)] = self._made(value, family), value
            texts.append(found[0])
        return texts


class Refusals:
    """What a tool cannot say, found while a script is printed: all of it, each at the place of its statement."""

    def __init__(self) -> None:
        self._found: dict[Flaw, None] = {}

    def texts(
        self, printed: Callable[[Rule, Family | None], Sequence[str]], rule: Rule, family: Family | None
    ) -> Sequence[str]:
        """The rule as it is printed; nothing when that is refused. Unsupported for rules that nobody wrote."""
        try:
            return printed(rule, family)
        except Unsupported as error:
            if not rule.origins:
                raise
            span = rule.origins[0].span
            excerpt = Source(span.file, rule.note, span.line).excerpt(0, len(rule.note)) if rule.note else ()
            self._found[Flaw(span, str(error), "unsupported", excerpt)] = None
            return ()

    def check(self) -> None:
        """Raises InvalidInput when something was refused."""
        problems = Collector()
        for flaw in self._found:
            problems.add(flaw)
        problems.check()


def refuse(feature: str, backend: str) -> Unsupported:
    """The error for what a back end cannot express; nothing is ever approximated."""
    return Unsupported(f"{backend} cannot express {feature}")

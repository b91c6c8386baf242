"""What `nft list ruleset` prints and `nft -f` takes -> commands with positions.

The subset: tables, chains, rules, sets and verdict maps, declared in blocks (`table inet t { chain c { ... } }`) or by
`add`, `create`, `insert` and `flush`. Everything else is refused by its name: other objects, variables, includes,
deletions. Who asks for a text `partly` gets a rule that is not understood as `Unread` words, and nothing of tables of
other families, of sets and maps that are not understood and of other objects.
"""

from __future__ import annotations

from collections.abc import Iterator

from grammar.nftables_rules import elements, rule, selectors
from grammar.nftables_tokens import Tokens
from grammar.nftables_tree import (
    AddChain,
    AddElements,
    AddRule,
    AddSet,
    AddTable,
    Atom,
    Command,
    Element,
    Flush,
    Rule,
    Unread,
)
from grammar.ruletext import Place, Refused
from grammar.source import Source

_FAMILIES = ("ip", "ip6", "inet")
_OTHERS = ("arp", "bridge", "netdev")
#: What of a set changes neither its members nor what they mean.
_OF_SETS = frozenset({"size", "policy", "gc-interval", "comment"})
_FLAGS = frozenset({"interval", "constant"})


def commands(source: Source, partly: bool = False) -> Iterator[Command]:
    """Every declaration, those in blocks one by one, in their order. Raises Refused."""
    tokens = Tokens(source, partly)
    tokens.lines()
    while tokens.here:
        yield from _command(tokens)
        if tokens.here and tokens.here not in ("\n", ";"):
            raise tokens.refused("the end of the line is expected")
        tokens.lines()


def _command(tokens: Tokens) -> Iterator[Command]:
    if tokens.here == "table":
        yield from _table(tokens)
    elif tokens.here == "flush":
        yield _flush(tokens)
    elif tokens.accept("add", "create"):
        yield from _add(tokens)
    elif tokens.accept("insert"):
        if tokens.here != "rule":
            raise tokens.unsupported(f"insert {tokens.here}")
        yield from _add(tokens, first=True)
    else:
        raise tokens.unsupported(tokens.here)


def _family(tokens: Tokens) -> Atom:
    """`ip` is left out sometimes."""
    if tokens.here in _OTHERS:
        raise tokens.unsupported(f"family {tokens.here}")
    return tokens.take() if tokens.here in _FAMILIES else Atom("ip", tokens.starts[tokens.at])


def _table(tokens: Tokens) -> Iterator[Command]:
    tokens.expect("table")
    if tokens.partly and tokens.here in _OTHERS:
        tokens.skip()
        return
    family, name = _family(tokens), tokens.word("the name of a table")
    yield AddTable(family, name)
    if not tokens.accept("{"):
        return
    tokens.lines()
    while not tokens.accept("}"):
        if tokens.accept("comment"):
            tokens.word("a comment")
        elif tokens.here in ("chain", "set", "map"):
            yield from _object(tokens, tokens.take().text, family, name, block=True)
        elif tokens.partly and tokens.here:
            tokens.skip()
        else:
            raise tokens.unsupported(tokens.here or "the end of the text")
        if tokens.here not in ("\n", ";", "}"):
            raise tokens.refused("the end of the line is expected")
        tokens.lines()


def _add(tokens: Tokens, first: bool = False) -> Iterator[Command]:
    if tokens.here == "table":
        yield from _table(tokens)
        return
    if tokens.here not in ("chain", "set", "map", "rule", "element"):
        raise tokens.unsupported(tokens.here)
    kind = tokens.take().text
    family, table = _family(tokens), tokens.word("the name of a table")
    yield from _object(tokens, kind, family, table, first=first)


def _object(
    tokens: Tokens, kind: str, family: Atom, table: Atom, *, block: bool = False, first: bool = False
) -> Iterator[Command]:
    """Something inside a table, from its name on; `block`: a brace must follow."""
    name = tokens.word(f"the name of a {kind}")
    if block and tokens.here != "{":
        raise tokens.refused("{ is expected")
    match kind:
        case "chain":
            yield from _chain(tokens, family, table, name)
        case "set" | "map" if tokens.partly:
            begin = tokens.at
            try:
                yield from list(_set(tokens, family, table, name, kind == "map"))
            except Refused:
                tokens.at = begin
                tokens.skip()
        case "set" | "map":
            yield from _set(tokens, family, table, name, kind == "map")
        case "rule":
            if tokens.here in ("handle", "index", "position"):
                raise tokens.unsupported(tokens.here)
            yield AddRule(family, table, name, _rule(tokens), first)
        case "element":
            yield AddElements(family, table, name, elements(tokens))


def _flush(tokens: Tokens) -> Flush:
    tokens.expect("flush")
    if tokens.accept("ruleset"):
        return Flush(None, None, None)
    if tokens.here not in ("table", "chain"):
        raise tokens.unsupported(f"flush {tokens.here}")
    kind = tokens.take().text
    family, table = _family(tokens), tokens.word("the name of a table")
    return Flush(family, table, tokens.word("the name of a chain") if kind == "chain" else None)


def _chain(tokens: Tokens, family: Atom, table: Atom, name: Atom) -> Iterator[Command]:
    """The declaration, then the rules; how the chain hangs on its hook may stand anywhere before them."""
    at = Place(tokens.source, name.start, name.start + len(name.text))
    kind, hook, policy = "", "", ""
    priority: tuple[str, ...] = ()
    rules: list[AddRule] = []
    if tokens.accept("{"):
        tokens.lines()
        while not tokens.accept("}"):
            match tokens.here:
                case "type":
                    kind, hook, priority = _hook(tokens)
                case "policy":
                    tokens.take()
                    policy = tokens.word("accept or drop").text
                case "comment":
                    tokens.take()
                    tokens.word("a comment")
                case "flags" | "devices":
                    raise tokens.unsupported(f"{tokens.here} of a chain")
                case _:
                    rules.append(AddRule(family, table, name, _rule(tokens)))
            if tokens.here not in ("\n", ";", "}"):
                raise tokens.refused("the end of the line is expected")
            tokens.lines()
    yield AddChain(family, table, name, kind, hook, priority, policy, at)
    yield from rules


def _rule(tokens: Tokens) -> Rule:
    first = tokens.at
    try:
        found = rule(tokens)
        if not tokens.partly or tokens.here in ("\n", ";", "}", ""):
            return found
    except Refused:
        if not tokens.partly:
            raise
    tokens.at = first
    tokens.skip()
    place = tokens.place(first)
    return Rule((Unread(place),), place)


def _hook(tokens: Tokens) -> tuple[str, str, tuple[str, ...]]:
    """`type filter hook forward priority filter - 1`: type, hook, the words of the priority."""
    tokens.expect("type")
    kind = tokens.word("a type of chain").text
    tokens.expect("hook")
    hook = tokens.word("a hook").text
    if tokens.here in ("device", "devices"):
        raise tokens.unsupported(tokens.here)
    tokens.expect("priority")
    words = []
    while tokens.here not in ("\n", ";", "}", ""):
        words.append(tokens.take().text)
    return kind, hook, tuple(words)


def _set(tokens: Tokens, family: Atom, table: Atom, name: Atom, is_map: bool) -> Iterator[Command]:
    place = Place(tokens.source, name.start, name.start + len(name.text))
    types: tuple[Atom, ...] = ()
    verdicts = False
    content: tuple[Element, ...] = ()
    tokens.expect("{")
    tokens.lines()
    while not tokens.accept("}"):
        word = tokens.here
        match word:
            case "type" | "typeof":
                types, verdicts = _types(tokens, is_map)
            case "elements":
                tokens.take()
                tokens.expect("=")
                content = elements(tokens)
            case "flags":
                _set_flags(tokens)
            case "auto-merge" | "counter":
                tokens.take()
            case _ if word in _OF_SETS:
                tokens.take()
                tokens.word("a value")
            case _:
                raise tokens.unsupported(f"{word or 'the end of the text'} in a set")
        if tokens.here not in ("\n", ";", "}"):
            raise tokens.refused("the end of the line is expected")
        tokens.lines()
    if not types:
        raise place.refused("the set has no type")
    yield AddSet(family, table, name, types, verdicts, place)
    if content:
        yield AddElements(family, table, name, content)


def _types(tokens: Tokens, is_map: bool) -> tuple[tuple[Atom, ...], bool]:
    if tokens.take().text == "typeof":
        types = selectors(tokens)
    else:
        names = [tokens.word("a type")]
        while tokens.accept("."):
            names.append(tokens.word("a type"))
        types = tuple(names)
    if not is_map:
        return types, False
    tokens.expect(":")
    if tokens.here != "verdict":
        raise tokens.unsupported(f"a map to {tokens.here}")
    tokens.take()
    return types, True


def _set_flags(tokens: Tokens) -> None:
    tokens.take()
    while True:
        if tokens.here not in _FLAGS:
            raise tokens.unsupported(f"a set with {tokens.here}")
        tokens.take()
        if not tokens.accept(","):
            return

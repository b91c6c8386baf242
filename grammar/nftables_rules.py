"""Rules, and the elements of sets, of nftables: tokens -> trees."""

from __future__ import annotations

from collections.abc import Iterator

from grammar.nftables_tokens import Tokens
from grammar.nftables_tree import (
    Anonymous,
    Atom,
    Element,
    Match,
    Named,
    Part,
    Right,
    Rule,
    Selector,
    Statement,
    Values,
    Verdict,
    VerdictMap,
)

_END = ("\n", ";", "}", "")
_PORTS = "sport dport"
#: What a rule can ask, by the first word of its name; the second word is one of these.
_TWO_WORDS = {
    "ip": "saddr daddr protocol ttl version hdrlength dscp ecn length id frag-off checksum",
    "ip6": "saddr daddr nexthdr hoplimit version dscp ecn flowlabel length",
    "tcp": f"{_PORTS} sequence ackseq doff flags window checksum urgptr",
    "udp": f"{_PORTS} length checksum",
    "udplite": f"{_PORTS} checksum",
    "sctp": f"{_PORTS} vtag checksum",
    "dccp": f"{_PORTS} type",
    "th": _PORTS,
    "icmp": "type code checksum id sequence gateway mtu",
    "icmpv6": "type code checksum id sequence mtu max-delay",
    "ct": "state direction status mark zone label helper expiration",
    "ether": "saddr daddr type",
    "meta": "nfproto l4proto protocol mark length priority pkttype skuid skgid cgroup rtclassid iif oif iifname "
    "oifname iiftype oiftype iifgroup oifgroup nftrace cpu sdif sdifname",
    "rt": "classid nexthop mtu ipsec",
    "socket": "transparent mark wildcard",
}
_SECOND = {first: frozenset(words.split()) for first, words in _TWO_WORDS.items()}
#: Keys of `meta` that may stand without the word.
_META = frozenset(
    {"mark", "iif", "oif", "iifname", "oifname", "iiftype", "oiftype", "skuid", "skgid", "pkttype", "rtclassid"}
)
#: `list ruleset` prints these without `meta`.
_SHORT = frozenset({"iif", "oif", "iifname", "oifname", "iiftype", "oiftype"})
_MASK = ("&", "and")
_OPERATORS = ("&", "|", "^", "and", "or", "xor", "<<", ">>", "lshift", "rshift")
_VERDICTS = frozenset({"accept", "drop", "return", "continue", "jump", "goto"})
#: Statements that are kept as their words.
_STATEMENTS = frozenset(
    {"counter", "log", "limit", "quota", "comment", "reject", "notrack", "masquerade", "snat", "dnat", "redirect"}
) | {"queue"}
#: Statements that are not known, which begin behind any other but what `log` puts in front.
_UNKNOWN = frozenset({"dup", "fwd", "tproxy", "synproxy", "flow", "secmark", "meter", "add", "update", "delete", "set"})
_WORDS_SET = ("meta", "ct", "mark")
_HEADERS = ("ip", "ip6", "tcp")


def rule(tokens: Tokens) -> Rule:
    """One rule, up to the end of the line, a semicolon or a closing brace, which stays."""
    first = tokens.at
    parts = []
    while tokens.here not in _END:
        parts.append(_part(tokens))
    if not parts:
        raise tokens.refused("a rule is expected")
    return Rule(tuple(parts), tokens.place(first))


def _part(tokens: Tokens) -> Part:
    here = tokens.here
    if here in _VERDICTS:
        return verdict(tokens)
    if here in _STATEMENTS:
        return _statement(tokens)
    if here in (*_WORDS_SET, *_HEADERS) and "set" in (tokens.peek(), tokens.peek(2)):
        return _assignment(tokens)
    if (here, tokens.peek(), tokens.peek(4)) == ("tcp", "option", "set"):  # tcp option maxseg size set 1360
        return _assignment(tokens)
    return _match(tokens)


def verdict(tokens: Tokens) -> Verdict:
    """`drop`, `jump chain`."""
    word = tokens.take()
    if word.text not in _VERDICTS:
        tokens.at -= 1
        raise tokens.unsupported(word.text or "the end of the text")
    chain = tokens.word("the name of a chain").plain if word.text in ("jump", "goto") else ""
    return Verdict(word.text, chain, word.start)


def _statement(tokens: Tokens) -> Statement:
    """The words up to the next statement: they may be many, so it ends where one begins that cannot belong to it."""
    first = tokens.at
    words = [tokens.take()]
    while tokens.here not in _END and not _begins(tokens, words):
        words.append(tokens.take())
    return Statement(tuple(words), tokens.place(first))


def _assignment(tokens: Tokens) -> Statement:
    """`meta mark set VALUE`, `ip dscp set VALUE`, the value an operand and further ones behind operators."""
    first = tokens.at
    words = [tokens.take()]
    while words[-1].text != "set":
        words.append(tokens.take())
    while True:
        if tokens.here in ("meta", "ct", "rt"):
            words.append(tokens.take())
        words.append(tokens.word("a value"))
        if tokens.here not in _OPERATORS:
            return Statement(tuple(words), tokens.place(first))
        words.append(tokens.take())


def _begins(tokens: Tokens, words: list[Atom]) -> bool:
    """Whether the next token begins another part of the rule."""
    here, last, head = tokens.here, words[-1].text, words[0].text
    if head == "comment":
        return len(words) == 2
    if here in _VERDICTS:
        return True
    if here in _STATEMENTS:
        return not (head == "limit" and here == "quota")
    if here in _UNKNOWN and last not in ("prefix", "name"):
        return True
    if last in ("to", "with", "ip", "ip6", "rate", "over", "icmp", "icmpv6") or (head == "log" and last == "flags"):
        return False
    if head in ("snat", "dnat") and here in ("ip", "ip6"):
        return len(words) > 1
    if here in _WORDS_SET:
        return True
    option = here == "tcp" and tokens.peek() == "option"
    named = here in _SECOND and tokens.peek() in _SECOND[here]
    return option or named or here in _META or here in ("fib", "numgen")


def _match(tokens: Tokens) -> Match | VerdictMap:
    first = tokens.at
    left = [_selector(tokens)]
    while tokens.accept("."):
        left.append(_selector(tokens))
    if tokens.accept("vmap"):
        right = _right(tokens)
        if isinstance(right, Values):
            raise tokens.place(first).refused("a map is expected behind vmap")
        return VerdictMap(tuple(left), right, tokens.place(first))
    if tokens.here in ("map", "set", *_OPERATORS):
        raise tokens.unsupported(tokens.here)
    operator = tokens.operator()
    right = _right(tokens)
    return Match(tuple(left), operator, right, tokens.place(first))


def selectors(tokens: Tokens) -> tuple[Atom, ...]:
    """The names behind `typeof`."""
    found: list[Atom] = []
    while not found or tokens.accept("."):
        start = tokens.starts[tokens.at]
        found.append(Atom(_name(tokens), start))
    return tuple(found)


def _selector(tokens: Tokens) -> Selector:
    first = tokens.at
    name = _name(tokens)
    place = tokens.place(first)
    mask = tokens.word("a mask") if tokens.accept(*_MASK) else None
    return Selector(name, place, mask)


def _name(tokens: Tokens) -> str:
    here, behind = tokens.here, tokens.peek()
    if here == "fib":
        return _fib(tokens)
    if here == "numgen":
        return _numgen(tokens)
    if here in _SECOND and behind in _SECOND[here]:
        tokens.at += 2
        return behind if here == "meta" and behind in _SHORT else f"{here} {behind}"
    if here in _META:
        tokens.at += 1
        return here if here in _SHORT else f"meta {here}"
    raise tokens.unsupported(f"{here} {behind}" if here in _SECOND else here or "the end of the text")


def _fib(tokens: Tokens) -> str:
    """`fib saddr . iif type`"""
    words = [tokens.take().text]
    while words[-1] not in ("type", "oif", "oifname"):
        if tokens.here not in ("saddr", "daddr", "mark", "iif", "oif", ".", "type", "oifname"):
            raise tokens.unsupported(f"{' '.join(words)} {tokens.here}")
        words.append(tokens.take().text)
    return " ".join(words)


def _numgen(tokens: Tokens) -> str:
    """`numgen random mod 3`"""
    words = [tokens.take().text]
    for expected in (("random", "inc"), ("mod",)):
        if tokens.here not in expected:
            raise tokens.unsupported(f"{' '.join(words)} {tokens.here}")
        words.append(tokens.take().text)
    return " ".join([*words, tokens.word("a number").text])


def _right(tokens: Tokens) -> Right:
    if tokens.here[:1] == "{":
        return Anonymous(elements(tokens))
    if tokens.here.startswith("@"):
        return Named(tokens.take().text[1:])
    return _values(tokens)


def _values(tokens: Tokens) -> Values:
    alternatives = [_key(tokens)]
    while tokens.accept(","):
        alternatives.append(_key(tokens))
    more = False
    while tokens.accept("/", "|"):
        more = True
        _key(tokens)
        while tokens.accept(","):
            _key(tokens)
    return Values(tuple(alternatives), more)


def _key(tokens: Tokens) -> tuple[Atom, ...]:
    parts = [_value(tokens)]
    while tokens.accept("."):
        parts.append(_value(tokens))
    return tuple(parts)


def _value(tokens: Tokens) -> Atom:
    """A value; a range or prefix, however it is spaced, is one."""
    found = tokens.word("a value")
    while tokens.here in ("-", "/") and tokens.here and tokens.here != "\n":
        if tokens.here == "/" and not tokens.peek().isdecimal():
            break
        sign = tokens.take().text
        found = Atom(found.text + sign + tokens.word("a value").text, found.start)
    return found


def elements(tokens: Tokens) -> tuple[Element, ...]:
    """`{ a . b : drop, ... }`. The texts that matter are large: what most elements are like is taken first."""
    if tokens.is_large_set:
        return tuple(_large(tokens.take()))
    tokens.expect("{")
    found: list[Element] = []
    texts, starts = tokens.texts, tokens.starts
    while True:
        while texts[tokens.at] == "\n":
            tokens.at += 1
        if tokens.accept("}"):
            return tuple(found)
        parts = []
        at = tokens.at
        while True:
            if not texts[at][:1].isalnum() or texts[at + 1] in ("-", "/"):
                tokens.at = at
                parts.append(_value(tokens))
                at = tokens.at
            else:
                parts.append(Atom(texts[at], starts[at]))
                at += 1
            if texts[at] != ".":
                break
            at += 1
            while texts[at] == "\n":
                at += 1
        tokens.at = at
        said = None
        if texts[at] not in (",", "}"):
            said = _rest(tokens)
        found.append(Element(tuple(parts), said))
        while texts[tokens.at] == "\n":
            tokens.at += 1
        if not tokens.accept(",") and tokens.here != "}":
            raise tokens.refused("a comma or } is expected")


def _large(block: Atom) -> Iterator[Element]:
    """The elements of a set that is one token."""
    start = block.start + 1
    for piece in block.text[1:-1].split(","):
        key, _, said = piece.partition(" : ")
        plain = key.strip()
        if plain:  # nothing stands behind the last comma
            at = start + len(key) - len(key.lstrip())
            if " " in plain:
                parts = plain.split(" . ")
                atoms = [Atom(part, at + behind) for part, behind in zip(parts, _offsets(parts), strict=False)]
                found = tuple(atoms)
            else:
                found = (Atom(plain, at),)
            kind, _, chain = said.rstrip().partition(" ")
            yield Element(found, Verdict(kind, chain, start + len(key) + 3) if kind else None)
        start += len(piece) + 1


def _offsets(parts: list[str]) -> Iterator[int]:
    """Of parts with ` . ` between them."""
    at = 0
    for part in parts:
        yield at
        at += len(part) + 3


def _rest(tokens: Tokens) -> Verdict | None:
    """What follows an element's key: counters, a comment, the verdict."""
    tokens.lines(("\n",))
    while tokens.here in ("counter", "comment", "timeout", "expires"):
        if tokens.here in ("timeout", "expires"):
            raise tokens.unsupported("an element that goes away by itself")
        if tokens.take().text == "comment":
            tokens.word("a comment")
        elif tokens.accept("packets"):
            tokens.word("a number")
            tokens.expect("bytes")
            tokens.word("a number")
    tokens.lines(("\n",))
    if not tokens.accept(":"):
        return None
    tokens.lines(("\n",))
    return verdict(tokens)

"""Ruleset -> one script for `nft -f`: the table `inet netpolc`, replaced in one transaction.

The script declares everything, empties it and fills it again, all in one transaction: no packet sees anything
between the old rules and the new ones, and loading twice is loading once. Base chains are never deleted. All sets
are hashes: a new interval set loses packets while the transaction that brings it commits, a hash does not
(docs/DATAPATH.md), so a prefix map becomes one hash per prefix length, asked from the longest to the shortest.
Needs nft 1.0.6 and Linux 5.10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.backends.text import comments, noted, refuse
from compiler.ir.match import (
    Field,
    InPrefix,
    InSet,
    LocalSource,
    Match,
    NeighbourDiscovery,
    Replies,
    ToAnyPort,
    ToPorts,
)
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Drop,
    Goto,
    Jump,
    Lookup,
    PrefixMap,
    Return,
    Ruleset,
    Set,
    Verdict,
)
from compiler.net import EVERY_PORT, PROTOCOL_NAMES, Family, address_text, mask

FILE = "netpolc.nft"
TABLE = "inet netpolc"
#: Before the filter chains of others: a packet that a policy denies costs them nothing.
PRIORITY = "filter - 1"

_WORD = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_ADDRESS = {Field.SOURCE: "saddr", Field.DESTINATION: "daddr"}
_TYPE = {Field.PROTOCOL: "inet_proto", Field.PORT: "inet_service"}
_EXPRESSION = {Field.PROTOCOL: "meta l4proto", Field.PORT: "th dport"}


def emit(ruleset: Ruleset) -> dict[str, str]:
    """File name -> text."""
    return {FILE: "\n".join(_lines(ruleset)) + "\n"}


def _lines(ruleset: Ruleset) -> Iterator[str]:
    yield from comments(*ruleset.notes, f"Load with: nft -f {FILE}   (one transaction; loading again is safe)")
    yield ""
    yield f"add table {TABLE}"
    for chain in ruleset.chains:
        yield f"add chain {TABLE} {chain.name}{_hook(chain)}"
    yield f"flush table {TABLE}"
    for found in ruleset.sets:
        if not isinstance(found, Set):
            raise refuse("a prefix set", "nftables")
        yield f"add set {TABLE} {found.name} {{ type {_key_type(found.key, found.family)} ; {_remark(found.notes)}}}"
        if not found.by_hand:
            yield f"flush set {TABLE} {found.name}"
    for found_map in ruleset.maps:
        for length in _lengths(found_map):
            name = _by_length(found_map.name, length)
            yield f"add map {TABLE} {name} {{ type {_address_type(found_map.family)} : verdict ; }}"
            yield f"flush map {TABLE} {name}"
    yield ""
    yield f"table {TABLE} {{"
    maps = {found_map.name: found_map for found_map in ruleset.maps}
    for chain in ruleset.chains:
        yield from ("\t" + line if line else line for line in _chain(chain, maps))
    yield "}"
    for found in ruleset.sets:
        if isinstance(found, Set) and found.elements:
            yield from _elements(found.name, found.notes, [_element(found, e) for e in found.elements])
    for found_map in ruleset.maps:
        for length in _lengths(found_map):
            texts = [
                f"{address_text(found_map.family, prefix.base)} : {_verdict(verdict)}"
                for prefix, verdict in found_map.elements
                if prefix.length == length
            ]
            yield from _elements(_by_length(found_map.name, length), found_map.notes, texts)


def _hook(chain: Chain) -> str:
    if chain.hook is None:
        return ""
    return f" {{ type filter hook {chain.hook.value} priority {PRIORITY} ; policy accept ; }}"


def _chain(chain: Chain, maps: dict[str, PrefixMap]) -> Iterator[str]:
    yield ""
    yield from comments(*chain.notes)
    yield f"chain {chain.name} {{"
    for note, rule in noted(chain.rules):
        yield from ("\t" + line for line in comments(note))
        if isinstance(rule, Lookup):
            yield from ("\t" + line for line in _lookup(rule, maps[rule.map]))
        else:
            yield "\t" + " ".join([*(_match(m, rule.family) for m in rule.matches), _verdict(rule.verdict)])
    yield "}"


def _lookup(rule: Lookup, found: PrefixMap) -> Iterator[str]:
    field = f"{_WORD[rule.family]} {_ADDRESS[rule.field]}"
    for length in _lengths(found):
        bits = "" if length == rule.family.bits else f" & {address_text(rule.family, mask(rule.family, length))}"
        yield f"{field}{bits} vmap @{_by_length(found.name, length)}"


def _match(match: Match, family: Family | None) -> str:
    match match:
        case Replies():
            return "ct state established,related"
        case NeighbourDiscovery():
            return "icmpv6 type { 133, 135, 136 } ip6 hoplimit 255"
        case LocalSource():
            return "fib saddr type local"
        case InPrefix(field, prefix):
            return f"{_WORD[prefix.family]} {_ADDRESS[field]} {prefix}"
        case InSet(fields, name):
            return " . ".join(_field(field, family) for field in fields) + f" @{name}"
        case ToPorts(protocol, first, last) if (first, last) == EVERY_PORT[0]:
            return f"meta l4proto {PROTOCOL_NAMES[protocol]}"
        case ToPorts(protocol, first, last):
            return f"{PROTOCOL_NAMES[protocol]} dport {first}" + (f"-{last}" if last != first else "")
        case ToAnyPort():
            raise refuse("a list of ports in a rule without a set", "nftables")


def _field(field: Field, family: Family | None) -> str:
    if field in _ADDRESS:
        assert family is not None, "a rule on addresses has a family"
        return f"{_WORD[family]} {_ADDRESS[field]}"
    return _EXPRESSION[field]


def _verdict(verdict: Verdict) -> str:
    match verdict:
        case Accept():
            return "accept"
        case Drop():
            return "counter drop"
        case Return():
            return "return"
        case Jump(chain):
            return f"jump {chain}"
        case Goto(chain):
            return f"goto {chain}"


def _lengths(found: PrefixMap) -> list[int]:
    return sorted({prefix.length for prefix, _ in found.elements}, reverse=True)


def _by_length(name: str, length: int) -> str:
    return f"{name}-{length}"


def _address_type(family: Family | None) -> str:
    return "ipv6_addr" if family is Family.IPV6 else "ipv4_addr"


def _key_type(key: Sequence[Field], family: Family | None) -> str:
    return " . ".join(_TYPE.get(field, _address_type(family)) for field in key)


def _remark(notes: Sequence[str]) -> str:
    """The first note as the set's comment in the kernel, where there is room for 127 bytes."""
    text = "".join(c for c in " ".join(notes[:1]) if c.isascii() and c.isprintable() and c not in '"\\')
    return f'comment "{text[:120]}" ; ' if text else ""


def _element(found: Set, element: tuple[int, ...]) -> str:
    parts = []
    for field, value in zip(found.key, element, strict=True):
        if field in _ADDRESS:
            assert found.family is not None, "a set of addresses has a family"
            parts.append(address_text(found.family, value))
        else:
            parts.append(PROTOCOL_NAMES[value] if field is Field.PROTOCOL else str(value))
    return " . ".join(parts)


def _elements(name: str, notes: Sequence[str], texts: Sequence[str]) -> Iterator[str]:
    yield ""
    yield from comments(*notes)
    yield f"add element {TABLE} {name} {{"
    yield ",\n".join("\t" + text for text in texts)
    yield "}"

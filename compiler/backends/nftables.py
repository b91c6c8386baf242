"""Ruleset -> one script for `nft -f`: the table `inet netpolc`, replaced in one transaction.

The script declares everything, empties the chains and fills them again, all in one transaction, and loading twice is
loading once. Base chains are never deleted. All sets are hashes: a new interval set loses packets while the
transaction that brings it commits, a hash does not (docs/DATAPATH.md), so a prefix map becomes one hash per prefix
length, asked from the longest to the shortest.

One transaction alone is not enough for packets that are between two rules when it commits: the kernel goes on with
the old rules of every chain, yet each lookup sees the elements of that moment. New elements that name a new chain
would lead into one whose old rules are none, which lets the packet pass. So sets and maps are named after their
content, and those that old rules ask stay as they are: old rules ask old maps, new rules new ones.
Needs nft 1.0.6 and Linux 5.10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    PrefixSet,
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


@dataclass(frozen=True, slots=True)
class _Filled:
    """A set or map as it is declared and filled; `kind` is nft's word for it. `above`: comments on the declaration."""

    kind: str
    name: str
    declaration: str
    notes: tuple[str, ...]
    texts: tuple[str, ...]
    above: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Names:
    """What rules ask: a set by its name in the ruleset; a prefix map as hashes, the longest prefixes first."""

    sets: Mapping[str, _Filled]
    maps: Mapping[str, Mapping[int, _Filled]]

    def all(self) -> Iterator[_Filled]:
        yield from self.sets.values()
        for lengths in self.maps.values():
            yield from lengths.values()


def _lines(ruleset: Ruleset) -> Iterator[str]:
    names = _Names(
        {found.name: _set(found) for found in ruleset.sets},
        {found.name: dict(_hashes(found)) for found in ruleset.maps},
    )
    yield from comments(*ruleset.notes, f"Load with: nft -f {FILE}   (one transaction; loading again is safe)")
    yield ""
    yield f"add table {TABLE}"
    for chain in ruleset.chains:
        yield f"add chain {TABLE} {chain.name}{_hook(chain)}"
    yield f"flush table {TABLE}"
    for filled in names.all():
        yield from filled.above
        yield f"add {filled.kind} {TABLE} {filled.name} {{ {filled.declaration}}}"
    yield ""
    yield f"table {TABLE} {{"
    for chain in ruleset.chains:
        yield from ("\t" + line if line else line for line in _chain(chain, names))
    yield "}"
    for filled in names.all():
        if filled.texts:
            yield from _elements(filled)


def _set(found: Set | PrefixSet) -> _Filled:
    if not isinstance(found, Set):
        raise refuse("a prefix set", "nftables")
    texts = tuple(_element(found, element) for element in found.elements)
    remark = _remark(found.notes)
    declaration = f"type {_key_type(found.key, found.family)} ; " + (f'comment "{remark}" ; ' if remark else "")
    if not found.by_hand:
        return _Filled("set", _named(found.name, texts), declaration, found.notes, texts)
    # Nothing else says who belongs in it: what the kernel has no room for stands above.
    above = comments(f"{found.name}: {found.notes[0]}") if found.notes and remark != found.notes[0] else ()
    return _Filled("set", found.name, declaration, found.notes, texts, tuple(above))


def _hashes(found: PrefixMap) -> Iterator[tuple[int, _Filled]]:
    for length in sorted({prefix.length for prefix, _ in found.elements}, reverse=True):
        texts = tuple(
            f"{address_text(found.family, prefix.base)} : {_verdict(verdict)}"
            for prefix, verdict in found.elements
            if prefix.length == length
        )
        name = _named(f"{found.name}-{length}", texts)
        yield length, _Filled("map", name, f"type {_address_type(found.family)} : verdict ; ", found.notes, texts)


def _named(name: str, texts: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:10]
    return f"{name}-{digest}"


def _hook(chain: Chain) -> str:
    if chain.hook is None:
        return ""
    return f" {{ type filter hook {chain.hook.value} priority {PRIORITY} ; policy accept ; }}"


def _chain(chain: Chain, names: _Names) -> Iterator[str]:
    yield ""
    yield from comments(*chain.notes)
    yield f"chain {chain.name} {{"
    for note, rule in noted(chain.rules):
        yield from ("\t" + line for line in comments(note))
        if isinstance(rule, Lookup):
            yield from ("\t" + line for line in _lookup(rule, names.maps[rule.map]))
        else:
            yield "\t" + " ".join([*(_match(m, rule.family, names) for m in rule.matches), _verdict(rule.verdict)])
    yield "}"


def _lookup(rule: Lookup, hashes: Mapping[int, _Filled]) -> Iterator[str]:
    field = f"{_WORD[rule.family]} {_ADDRESS[rule.field]}"
    for length, filled in hashes.items():
        bits = "" if length == rule.family.bits else f" & {address_text(rule.family, mask(rule.family, length))}"
        yield f"{field}{bits} vmap @{filled.name}"


def _match(match: Match, family: Family | None, names: _Names) -> str:
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
            return " . ".join(_field(field, family) for field in fields) + f" @{names.sets[name].name}"
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


def _address_type(family: Family | None) -> str:
    return "ipv6_addr" if family is Family.IPV6 else "ipv4_addr"


def _key_type(key: Sequence[Field], family: Family | None) -> str:
    return " . ".join(_TYPE.get(field, _address_type(family)) for field in key)


def _remark(notes: Sequence[str]) -> str:
    """The first note as the set's comment in the kernel, where there is room for 127 bytes."""
    text = "".join(c for c in " ".join(notes[:1]) if c.isascii() and c.isprintable() and c not in '"\\')
    return text if len(text) <= 120 else f"{text[:117]}..."


def _element(found: Set, element: tuple[int, ...]) -> str:
    parts = []
    for field, value in zip(found.key, element, strict=True):
        if field in _ADDRESS:
            assert found.family is not None, "a set of addresses has a family"
            parts.append(address_text(found.family, value))
        else:
            parts.append(PROTOCOL_NAMES[value] if field is Field.PROTOCOL else str(value))
    return " . ".join(parts)


def _elements(filled: _Filled) -> Iterator[str]:
    yield ""
    yield from comments(*filled.notes)
    yield f"add element {TABLE} {filled.name} {{"
    yield ",\n".join("\t" + text for text in filled.texts)
    yield "}"

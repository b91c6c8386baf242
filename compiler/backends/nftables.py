"""Ruleset -> one script for `nft -f`: the table `inet netpolc`, replaced in one transaction.

The script declares everything, empties the chains and fills them again, all in one transaction, and loading twice is
loading once. Base chains are never deleted. All sets are hashes: a new interval set loses packets while the
transaction that brings it commits, a hash does not (docs/DATAPATH.md), so a prefix map becomes one hash per prefix
length, asked from the longest to the shortest.

One transaction alone is not enough for packets that are between two rules when it commits: the kernel goes on with
the old rules of every chain, yet each lookup sees the elements of that moment. New elements that name a new chain
would lead into one whose old rules are none, which lets the packet pass. So sets and maps are named after their
content, and those that old rules ask stay as they are: old rules ask old maps, new rules new ones.

Rules of a ruleset that is `counted` have a counter and a comment, by which they are found again in what nft prints of
them: a digest of their words, with the ruleset's names of sets. Not those of base chains of filter, which all packets
pass.
Needs nft 1.0.6 and Linux 5.10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.backends.nftables_rules import (
    ADDRESS,
    BACKEND,
    FAMILY,
    asks_family,
    effect_text,
    element_text,
    match_text,
    verdict_text,
)
from compiler.backends.text import Once, Printed, Refusals, comments, noted, refuse
from compiler.ir.effects import Native
from compiler.ir.match import Field, Match
from compiler.ir.ruleset import (
    Chain,
    Drop,
    Goto,
    Hook,
    Jump,
    Lookup,
    PrefixMap,
    PrefixSet,
    Reject,
    Rule,
    Ruleset,
    Set,
    Table,
    Verdict,
)
from compiler.net import PROTOCOL_NAMES, Family, address_text, mask

FILE = "netpolc.nft"
TABLE = "inet netpolc"
DEEPEST = 15

_TYPE = {Field.PROTOCOL: "inet_proto", Field.PORT: "inet_service"}
#: Where nat chains come among themselves; words where nft has one.
_NAT = {Hook.PREROUTING: "dstnat - 1", Hook.INPUT: "99", Hook.OUTPUT: "-101", Hook.POSTROUTING: "srcnat - 1"}


def emit(ruleset: Ruleset) -> dict[str, str]:
    """File name -> text. Raises InvalidInput for statements that nft cannot say, Unsupported for chains too deep."""
    _refuse_deep(ruleset)
    refusals = Refusals()
    text = "\n".join(_lines(ruleset, refusals)) + "\n"
    refusals.check()
    return {FILE: text}


def _refuse_deep(ruleset: Ruleset) -> None:
    """The kernel follows DEEPEST jumps and gotos in each other (NFT_JUMP_STACK_SIZE, less the base chain's)."""
    maps = {found.name: dict.fromkeys(verdict for _, verdict in found.elements) for found in ruleset.maps}
    ways = {
        chain.name: [
            verdict.chain
            for rule in chain.rules
            for verdict in (maps[rule.map] if isinstance(rule, Lookup) else (rule.verdict,))
            if isinstance(verdict, Jump | Goto)
        ]
        for chain in ruleset.chains
    }
    level = {chain.name for chain in ruleset.chains if chain.hook}
    for _ in range(DEEPEST):
        level = {behind for name in level for behind in ways[name]}
    deep = sorted(name for name in level if ways[name])
    if deep:
        raise refuse(f"more than {DEEPEST} chains one in the other, as lists in lists may be ({deep[0]})", BACKEND)


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


def _lines(ruleset: Ruleset, refusals: Refusals) -> Iterator[str]:
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
    lasting = _Words({name: name for name in names.sets}) if ruleset.counted else None
    words = _Words({name: filled.name for name, filled in names.sets.items()}, lasting)
    for chain in ruleset.chains:
        yield from _chain(chain, names, words, refusals)
    yield "}"
    for filled in names.all():
        if filled.texts:
            yield from _elements(filled)


def _set(found: Set | PrefixSet) -> _Filled:
    if not isinstance(found, Set):
        raise refuse("a prefix set", BACKEND)
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
            f"{address_text(found.family, prefix.base)} : {element_text(verdict)}"
            for prefix, verdict in found.elements
            if prefix.length == length
        )
        name = _named(f"{found.name}-{length}", texts)
        yield length, _Filled("map", name, f"type {_address_type(found.family)} : verdict ; ", found.notes, texts)


def _named(name: str, texts: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:10]
    return f"{name}-{digest}"


def _hook(chain: Chain) -> str:
    """Before the chains of others in the same place: a packet that a policy denies costs them nothing."""
    if chain.hook is None:
        return ""
    kind, priority = "filter", f"{chain.table.value} - 1"
    if chain.table is Table.NAT:
        kind, priority = "nat", _NAT[chain.hook]
    elif (chain.table, chain.hook) == (Table.MANGLE, Hook.OUTPUT):
        kind = "route"  # which routes a packet again when it left with another mark
    return f" {{ type {kind} hook {chain.hook.value} priority {priority} ; policy accept ; }}"


def rules(ruleset: Ruleset) -> Iterator[Printed]:
    """Rules that can be found again in what nft lists of a ruleset that was counted: by their comments."""
    words = _Words({found.name: found.name for found in ruleset.sets})
    for number, chain in enumerate(ruleset.chains):
        for place, rule in enumerate(chain.rules):
            if isinstance(rule, Rule) and _is_counted(rule, chain):
                yield Printed("nft", TABLE, chain.name, (number, place), words.comment(rule, chain.family))


def _chain(chain: Chain, names: _Names, words: _Words, refusals: Refusals) -> list[str]:
    lines = ["", *("\t" + line for line in comments(*chain.notes)), f"\tchain {chain.name} {{"]
    for note, rule in noted(chain.rules):
        if note:
            lines += ["\t\t" + line for line in comments(note)]
        if isinstance(rule, Lookup):
            lines += ["\t\t" + line for line in _lookup(rule, names.maps[rule.map])]
        else:
            printed = words.counted if _is_counted(rule, chain) else words.texts
            lines += ["\t\t" + text for text in refusals.texts(printed, rule, chain.family)]
    lines.append("\t}")
    return lines


class _Words:
    """Rules as they are printed. `sets`: what the ruleset's sets are called; `lasting`: the same with names that stay
    whatever is in the sets, where rules are counted."""

    def __init__(self, sets: Mapping[str, str], lasting: _Words | None = None) -> None:
        self._matches = Once[Match, tuple[str, bool]](
            lambda one, family: (match_text(one, family, sets), asks_family(one))
        )
        self._verdicts = Once[Verdict, str](verdict_text)
        self._lasting = lasting

    def texts(self, rule: Rule, chain_family: Family | None) -> tuple[str]:
        """The one text of a rule in a chain of that family."""
        return (" ".join(self._parts(rule, chain_family)),)

    def counted(self, rule: Rule, chain_family: Family | None) -> tuple[str]:
        """The same of a rule that counts, if any do."""
        if self._lasting is None:
            return self.texts(rule, chain_family)
        counter = () if isinstance(rule.verdict, Drop | Reject) else ("counter",)  # these have a counter always
        parts = self._parts(rule, chain_family, counter)
        return (" ".join((*parts, self._lasting.comment(rule, chain_family))),)

    def comment(self, rule: Rule, chain_family: Family | None) -> str:
        """By which the rule is known."""
        (text,) = self.texts(rule, chain_family)
        return f'comment "netpolc {hashlib.sha256(text.encode()).hexdigest()[:12]}"'

    def _parts(self, rule: Rule, chain_family: Family | None, counter: Iterable[str] = ()) -> list[str]:
        family = rule.family or chain_family
        parts: list[str] = []
        known = chain_family is not None or rule.family is None
        for match in rule.matches:
            text, asks = self._matches(match, family)
            parts.append(text)
            known = known or asks
        if not known and family is not None:
            parts.insert(0, f"meta nfproto ipv{family.value}")
        parts += counter
        if rule.effects:
            parts += [effect_text(effect, family) for effect in rule.effects]
        verdict = self._verdicts(rule.verdict, family)
        return [*parts, verdict] if verdict else parts


def _is_counted(rule: Rule, chain: Chain) -> bool:
    """Whether the rule counts in a ruleset that does. What a rule of one tool says is its user's alone."""
    passed_by_all = chain.hook is not None and chain.table is Table.FILTER
    return not passed_by_all and not any(isinstance(effect, Native) for effect in rule.effects)


def _lookup(rule: Lookup, hashes: Mapping[int, _Filled]) -> Iterator[str]:
    field = f"{FAMILY[rule.family]} {ADDRESS[rule.field]}"
    for length, filled in hashes.items():
        bits = "" if length == rule.family.bits else f" & {address_text(rule.family, mask(rule.family, length))}"
        yield f"{field}{bits} vmap @{filled.name}"


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
        if field in ADDRESS:
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

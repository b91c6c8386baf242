"""Sets, maps and chains in nft's words, whatever they are called and whenever they are loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

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
from compiler.backends.text import Once, Refusals, comments, noted, refuse
from compiler.ir.effects import Native
from compiler.ir.match import Field, Match
from compiler.ir.ruleset import (
    Chain,
    Drop,
    Hook,
    Lookup,
    PrefixMap,
    PrefixSet,
    Reject,
    Rule,
    Set,
    Table,
    Verdict,
)
from compiler.net import PROTOCOL_NAMES, Family, Prefix, address_text, mask

TABLE = "inet netpolc"

_TYPE = {Field.PROTOCOL: "inet_proto", Field.PORT: "inet_service"}
#: Where nat chains come among themselves; words where nft has one.
_NAT = {Hook.PREROUTING: "dstnat - 1", Hook.INPUT: "99", Hook.OUTPUT: "-101", Hook.POSTROUTING: "srcnat - 1"}

#: From what it is called in the ruleset, and the texts of its elements, to what it is called in the kernel.
Naming = Callable[[str, Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Filled:
    """A set or map as it is declared and filled; `kind` is nft's word for it. `above`: comments on the declaration."""

    kind: str
    name: str
    declaration: str
    notes: tuple[str, ...]
    texts: tuple[str, ...]
    above: tuple[str, ...] = ()

    def declared(self) -> Iterator[str]:
        """Lines that make it, without effect where it is."""
        yield from self.above
        yield f"add {self.kind} {TABLE} {self.name} {{ {self.declaration}}}"

    def filled(self) -> Iterator[str]:
        """Lines that add its elements."""
        if self.texts:
            yield ""
            yield from comments(*self.notes)
            yield from elements("add", self.name, self.texts)


def elements(verb: str, name: str, texts: Iterable[str]) -> Iterator[str]:
    """Lines that add or delete elements."""
    yield f"{verb} element {TABLE} {name} {{"
    yield ",\n".join("\t" + text for text in texts)
    yield "}"


def filled_set(found: Set | PrefixSet, naming: Naming) -> Filled:
    if not isinstance(found, Set):
        raise refuse("a prefix set", BACKEND)
    texts = tuple(key_texts(found.key, found.family, found.elements))
    remark = _remark(found.notes)
    declaration = f"type {_key_type(found.key, found.family)} ; " + (f'comment "{remark}" ; ' if remark else "")
    if not found.by_hand:
        return Filled("set", naming(found.name, texts), declaration, found.notes, texts)
    # Nothing else says who belongs in it: what the kernel has no room for stands above.
    above = comments(f"{found.name}: {found.notes[0]}") if found.notes and remark != found.notes[0] else ()
    return Filled("set", found.name, declaration, found.notes, texts, tuple(above))


def hashes(found: PrefixMap, naming: Naming) -> Iterator[tuple[int, Filled]]:
    """A prefix map as one hash for each length, the longest prefixes first."""
    for length in sorted({prefix.length for prefix, _ in found.elements}, reverse=True):
        texts = tuple(mapped_text(prefix, verdict) for prefix, verdict in found.elements if prefix.length == length)
        name = naming(f"{found.name}-{length}", texts)
        yield length, Filled("map", name, f"type {_address_type(found.family)} : verdict ; ", found.notes, texts)


def key_texts(key: Sequence[Field], family: Family | None, elements: Iterable[Sequence[int]]) -> Iterator[str]:
    """Elements of a set."""
    texts = [_value_text(field, family) for field in key]
    for element in elements:
        yield " . ".join([text(value) for text, value in zip(texts, element, strict=True)])


def key_text(key: Sequence[Field], family: Family | None, element: Sequence[int]) -> str:
    """An element of a set."""
    (text,) = key_texts(key, family, (element,))
    return text


def _value_text(field: Field, family: Family | None) -> Callable[[int], str]:
    """How values of a field are written."""
    if field in ADDRESS:
        assert family is not None, "a set of addresses has a family"
        return partial(address_text, family)
    return PROTOCOL_NAMES.__getitem__ if field is Field.PROTOCOL else str


def mapped_text(prefix: Prefix, verdict: Verdict) -> str:
    """An element of a map."""
    return f"{address_text(prefix.family, prefix.base)} : {element_text(verdict)}"


def chain_line(chain: Chain) -> str:
    """The line that makes it, without effect where it is. Before the chains of others in the same place: a packet that
    a policy denies costs them nothing."""
    line = f"add chain {TABLE} {chain.name}"
    if chain.hook is None:
        return line
    kind, priority = "filter", f"{chain.table.value} - 1"
    if chain.table is Table.NAT:
        kind, priority = "nat", _NAT[chain.hook]
    elif (chain.table, chain.hook) == (Table.MANGLE, Hook.OUTPUT):
        kind = "route"  # which routes a packet again when it left with another mark
    return f"{line} {{ type {kind} hook {chain.hook.value} priority {priority} ; policy accept ; }}"


class Printer:
    """Rules as they are printed. `sets`: what the ruleset's sets are called; `maps`: the hashes of its maps, the
    longest prefixes first; `counted`: whether rules count."""

    def __init__(
        self, sets: Mapping[str, str], maps: Mapping[str, Mapping[int, str]], counted: bool, refusals: Refusals
    ) -> None:
        self._maps = maps
        self._counted = counted
        self._words = Words(sets, Words({name: name for name in sets}) if counted else None)
        self._refusals = refusals

    def chain(self, chain: Chain) -> list[str]:
        """The chain with its rules, as a block in the table's."""
        lines = ["", *("\t" + line for line in comments(*chain.notes)), f"\tchain {chain.name} {{"]
        for note, rule in noted(chain.rules):
            if note:
                lines += ["\t\t" + line for line in comments(note)]
            if isinstance(rule, Lookup):
                lines += ["\t\t" + line for line in _lookup(rule, self._maps[rule.map])]
            else:
                printed = self._words.counted if self._counted and is_counted(rule, chain) else self._words.texts
                for text in self._refusals.texts(printed, rule, chain.family):
                    lines.append(f"\t\t{text}")
        lines.append("\t}")
        return lines


class Words:
    """Rules in nft's words. `sets`: what the ruleset's sets are called; `lasting`: the same with names that stay
    whatever is in the sets, where rules are counted."""

    def __init__(self, sets: Mapping[str, str], lasting: Words | None = None) -> None:
        self._matches = Once[Match, tuple[str, bool]](
            lambda one, family: (match_text(one, family, sets), asks_family(one))
        )
        self._verdicts = Once[Verdict, str](verdict_text)
        self._lasting = lasting

    def texts(self, rule: Rule, chain_family: Family | None) -> tuple[str]:
        """The one text of a rule in a chain of that family."""
        return (" ".join(self._parts(rule, chain_family)),)

    def counted(self, rule: Rule, chain_family: Family | None) -> tuple[str]:
        """The same of a rule that counts."""
        assert self._lasting is not None, "rules count"
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
        for text, asks in self._matches(rule.matches, family):
            parts.append(text)
            known = known or asks
        if not known and family is not None:
            parts.insert(0, f"meta nfproto ipv{family.value}")
        parts += counter
        if rule.effects:
            parts += [effect_text(effect, family) for effect in rule.effects]
        parts += filter(None, self._verdicts((rule.verdict,), family))
        return parts


def is_counted(rule: Rule, chain: Chain) -> bool:
    """Whether the rule counts in a ruleset that does. What a rule of one tool says is its user's alone."""
    passed_by_all = chain.hook is not None and chain.table is Table.FILTER
    return not passed_by_all and not any(isinstance(effect, Native) for effect in rule.effects)


def _lookup(rule: Lookup, names: Mapping[int, str]) -> Iterator[str]:
    field = f"{FAMILY[rule.family]} {ADDRESS[rule.field]}"
    for length, name in names.items():
        bits = "" if length == rule.family.bits else f" & {address_text(rule.family, mask(rule.family, length))}"
        yield f"{field}{bits} vmap @{name}"


def _address_type(family: Family | None) -> str:
    return "ipv6_addr" if family is Family.IPV6 else "ipv4_addr"


def _key_type(key: Sequence[Field], family: Family | None) -> str:
    return " . ".join(_TYPE.get(field, _address_type(family)) for field in key)


def _remark(notes: Sequence[str]) -> str:
    """The first note as the set's comment in the kernel, where there is room for 127 bytes."""
    text = "".join(c for c in " ".join(notes[:1]) if c.isascii() and c.isprintable() and c not in '"\\')
    return text if len(text) <= 120 else f"{text[:117]}..."

"""Which chains ask which sets and maps, and whether elements may move in one transaction.

A packet asks one set after the other while elements come and go at once. Its verdict is that of before or that of
behind when it hangs on at most one of the elements that move; also when it has asked some sets before they moved and
others behind. `Layout.turns` tells when that is so for every packet, and which elements have to wait for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from compiler.backends.nftables_print import elements, key_text, mapped_text
from compiler.ir.change import Change
from compiler.ir.match import Field, InNets, InPrefix, InSet
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Goto,
    Jump,
    Lookup,
    PrefixMap,
    PrefixSet,
    Return,
    Rule,
    Ruleset,
    Set,
    Verdict,
)
from compiler.net import Family, Prefix

#: Set or map -> the addresses whose elements move.
Moving = Mapping[str, frozenset[int]]
_ENDS = frozenset({Field.SOURCE, Field.DESTINATION})
_PASSING = (Accept(), Return())


class Asked(NamedTuple):
    """A set or map that a rule asks for some fields. `plain`: the rule asks nothing else."""

    name: str
    fields: tuple[Field, ...]
    rule: Rule | Lookup
    plain: bool


def asked(chain: Chain) -> Iterator[Asked]:
    """In the order in which packets ask."""
    for rule in chain.rules:
        if isinstance(rule, Lookup):
            yield Asked(rule.map, (rule.field,), rule, True)
            continue
        for match in rule.matches:
            plain = len(rule.matches) == 1 and not rule.effects
            if isinstance(match, InSet):
                yield Asked(match.set, match.fields, rule, plain)
            elif isinstance(match, InNets):
                yield Asked(match.set, (match.field,), rule, False)


class Layout:
    """The chains in force."""

    def __init__(self, chains: Iterable[Chain] = ()) -> None:
        self.chains: dict[str, Chain] = {}
        self._askers: dict[str, dict[str, None]] = {}
        for chain in chains:
            self.put(chain)

    def put(self, chain: Chain) -> None:
        """A new chain, or one with other rules."""
        self.drop(chain.name)
        self.chains[chain.name] = chain
        for one in asked(chain):
            self._askers.setdefault(one.name, {})[chain.name] = None

    def drop(self, name: str) -> None:
        """Nothing happens when it is not there."""
        chain = self.chains.pop(name, None)
        for one in asked(chain) if chain is not None else ():
            self._askers[one.name].pop(name, None)

    def askers(self, name: str) -> list[Chain]:
        """The chains that ask a set or map."""
        return [self.chains[chain] for chain in self._askers.get(name, ())]

    def is_lead(self, name: str) -> bool:
        """Whether it is asked in front: by a base chain, or by one that a base chain hands every packet to."""
        stages = {
            rule.verdict.chain
            for chain in self.chains.values()
            for rule in (chain.rules if chain.hook is not None else ())
            if isinstance(rule, Rule) and not rule.matches and isinstance(rule.verdict, Jump)
        }
        return any(chain.hook is not None or chain.name in stages for chain in self.askers(name))

    def is_closed(self, name: str, prefix: Prefix) -> bool:
        """Whether packets of an address that a map of leads does not know are denied (`lower.closing`): the stage that
        asks the map hands them to a chain that denies whatever is in a block."""
        rest = [
            rule.verdict.chain
            for chain in self.askers(name)
            for rule in chain.rules
            if chain.hook is None and isinstance(rule, Rule) and isinstance(rule.verdict, Goto)
        ]
        rules = (rule for chain in rest for rule in self.chains[chain].rules if isinstance(rule, Rule))
        matches = (match for rule in rules for match in rule.matches)
        return any(isinstance(match, InPrefix) and match.prefix.covers(prefix) for match in matches)

    def is_answer(self, found: Set) -> bool:
        """Whether it answers for connections, both ends, and only lets them pass."""
        rules = [one for chain in self.askers(found.name) for one in asked(chain) if one.name == found.name]
        passing = all(one.plain and isinstance(one.rule, Rule) and one.rule.verdict in _PASSING for one in rules)
        return passing and {*found.key} >= _ENDS

    def turns(self, moving: Moving, local: frozenset[int] | None) -> Sequence[Sequence[str]] | None:
        """In which turns elements may come: in one where no packet's verdict hangs on two of them, else what is asked
        first comes first; None when no turns will do. `moving` is of one family and has no answers and no leads.
        `local`: the addresses that lead somewhere: a packet is judged for its source and then for its destination when
        both are among them, by elements for the other end each time."""
        asking = [one for name in moving for one in self._of(name)]
        if not all(one.plain and len(one.fields) == 1 and one.fields[0] in _ENDS for one in asking):
            return None
        sides = {one.fields for one in asking}
        if len(sides) > 1 and len(frozenset[int]().union(*moving.values()) & (local or frozenset())) > 1:
            return None
        if self._is_apart(moving):
            return [list(moving)] if moving else []
        turns: list[list[str]] = []
        for name in self._ordered(moving) or ():
            if turns and self._is_apart({one: moving[one] for one in (*turns[-1], name)}):
                turns[-1].append(name)
            else:
                turns.append([name])
        return turns or None

    def _ordered(self, names: Iterable[str]) -> Sequence[str] | None:
        """The names in an order in which every chain asks them; None when there is none."""
        left = list(names)
        rows = [[one.name for one in asked(chain) if one.name in left] for chain in self._concerned(left)]
        done: list[str] = []
        while left:
            first = next((name for name in left if all(name not in row[1:] for row in rows)), None)
            if first is None:
                return None
            done.append(first)
            left.remove(first)
            rows = [[name for name in row if name != first] for row in rows]
        return done

    def _of(self, name: str) -> Iterator[Asked]:
        return (one for chain in self.askers(name) for one in asked(chain) if one.name == name)

    def _concerned(self, names: Iterable[str]) -> list[Chain]:
        return [self.chains[name] for name in dict.fromkeys(c.name for one in names for c in self.askers(one))]

    def _is_apart(self, moving: Moving) -> bool:
        """Whether no chain finds the same address in two of them."""
        for chain in self._concerned(moving):
            met: set[int] = set()
            for one in asked(chain):
                addresses = moving.get(one.name, frozenset())
                if not met.isdisjoint(addresses):
                    return False
                met |= addresses
        return True


class Moves:
    """What moves in a change. `answers`: sets that only let connections pass; `leads`: maps that base chains ask;
    `within`: all others."""

    def __init__(self, change: Change, after: Ruleset, layout: Layout) -> None:
        self._change, self._layout = change, layout
        names = {*change.added, *change.mapped, *change.removed, *change.unmapped}
        #: Each as it is behind the change.
        self.found = {found.name: found for found in (*after.sets, *after.maps) if found.name in names}
        self.answers = [one.name for one in self.found.values() if isinstance(one, Set) and layout.is_answer(one)]
        self.leads = [name for name in self.found if name not in self.answers and layout.is_lead(name)]
        self.within = [name for name in self.found if name not in self.answers and name not in self.leads]

    def turns(self, local: Mapping[Family, frozenset[int]]) -> list[list[str]] | None:
        """`Layout.turns` of what moves within, in all families."""
        by_family: dict[Family, dict[str, frozenset[int]]] = {}
        for name in self.within:
            found = self.found[name]
            if isinstance(found, PrefixSet) or found.family is None:
                return None
            by_family.setdefault(found.family, {})[name] = self._addresses(name)
        parts = [self._layout.turns(moving, local.get(family)) for family, moving in by_family.items()]
        if any(part is None for part in parts):
            return None
        return [[name for part in turn for name in part] for turn in zip_longest(*filter(None, parts), fillvalue=())]

    @property
    def is_alone(self) -> bool:
        """Whether in each family one address leads elsewhere, and elements move within for that one alone; or none
        leads elsewhere."""
        for family in {self.found[name].family for name in self.leads}:
            leading = frozenset[int]().union(*map(self._addresses, self._of(self.leads, family)))
            moving = frozenset[int]().union(*map(self._addresses, self._of(self.within, family)))
            if len(leading) > 1 or not moving <= leading:
                return False
        return True

    def leading(self, name: str, before: Mapping[Prefix, Verdict]) -> dict[Prefix, Verdict]:
        """A map of leads behind the change."""
        left = {one: verdict for one, verdict in before.items() if one not in self._change.unmapped.get(name, ())}
        return left | {**self._change.mapped.get(name, {})}

    def gains(self, name: str, known: str) -> Iterator[str]:
        """Lines for what comes, and for what becomes another verdict. `known`: its name in the kernel."""
        found, change = self.found[name], self._change
        if isinstance(found, PrefixMap):
            mapped, unmapped = change.mapped.get(name, {}), change.unmapped.get(name, frozenset())
            replaced = sorted(mapped.keys() & unmapped)
            yield from _lines("delete", known, (str(prefix).partition("/")[0] for prefix in replaced))
            yield from _lines("add", known, (mapped_text(prefix, mapped[prefix]) for prefix in sorted(mapped)))
        elif isinstance(found, Set):
            added = sorted(change.added.get(name, ()))
            yield from _lines("add", known, (key_text(found.key, found.family, one) for one in added))

    def losses(self, name: str, known: str) -> Iterator[str]:
        """Lines for what goes."""
        found, change = self.found[name], self._change
        if isinstance(found, PrefixMap):
            gone = sorted(change.unmapped.get(name, frozenset()) - change.mapped.get(name, {}).keys())
            yield from _lines("delete", known, (str(prefix).partition("/")[0] for prefix in gone))
        elif isinstance(found, Set):
            removed = sorted(change.removed.get(name, ()))
            yield from _lines("delete", known, (key_text(found.key, found.family, one) for one in removed))

    def _of(self, names: Iterable[str], family: Family | None) -> list[str]:
        return [name for name in names if self.found[name].family is family]

    def _addresses(self, name: str) -> frozenset[int]:
        found, change = self.found[name], self._change
        if isinstance(found, PrefixMap):
            prefixes = (*change.mapped.get(name, ()), *change.unmapped.get(name, ()))
            return frozenset(prefix.base for prefix in prefixes)
        keys = (*change.added.get(name, ()), *change.removed.get(name, ()))
        return frozenset(key[0] for key in keys)


def _lines(verb: str, known: str, texts: Iterable[str]) -> Iterator[str]:
    found = list(texts)
    return elements(verb, known, found) if found else iter(())

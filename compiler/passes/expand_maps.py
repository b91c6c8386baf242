"""Verdict maps -> sets, prefix rules and trees of chains, for back ends that have no verdict maps.

Precondition: all lookups in a map ask the same field. Preserved: the verdict of every packet. Where one lookup chose
among many verdicts, there is now
- for few hosts: a rule for each;
- for hosts and chains to jump to, as pods and their classes are: a set for the commonest chain, and for the others a
  tree of chains over the address, four bits a level;
- for anything else: a set for each verdict, asked in turn.

For rulesets that move (`expand_steadily`) names come from what a set means and not from what else there is, and only
maps to chains to jump to, which the pods of a node alone change, become rules in a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from compiler.backends.target import Capabilities
from compiler.ir.match import InPrefix, InSet
from compiler.ir.names import Namer
from compiler.ir.ruleset import Chain, Goto, Jump, Lookup, PrefixMap, PrefixSet, Rule, Ruleset, Set, Table, Verdict
from compiler.net import Prefix

#: Leaves of a tree, and dispatches that are no tree: so many address rules in a row.
_ROW = 8
_LEVEL = 4  # bits of the address that one level of the tree decides


def expand_maps(ruleset: Ruleset, capabilities: Capabilities) -> Ruleset:
    """The ruleset without maps; unchanged when the target has verdict maps."""
    return ruleset if capabilities.verdict_maps else _Expansion(ruleset).result()


def expand_steadily(ruleset: Ruleset, capabilities: Capabilities) -> Ruleset:
    """The same for a ruleset whose elements come and go: an element of a map is one of a set, whose name stays."""
    return ruleset if capabilities.verdict_maps else _Expansion(ruleset, steady=True).result()


def set_of(map_: str, verdict: Verdict) -> str:
    """The steady name of the set of what a map has with a verdict: of chains to go to or to jump to, and Return."""
    return f"{map_}-{verdict.chain if isinstance(verdict, Jump | Goto) else 'ok'}"


class _Expansion:
    def __init__(self, ruleset: Ruleset, steady: bool = False) -> None:
        self._ruleset = ruleset
        self._steady = steady
        self._maps = {found.name: found for found in ruleset.maps}
        self._sets: dict[str, Set | PrefixSet] = {found.name: found for found in ruleset.sets}
        self._trees: dict[str, Chain] = {}
        #: Of the chain that is being rewritten.
        self._table = Table.FILTER
        self._namer = Namer()

    def result(self) -> Ruleset:
        chains = []
        for chain in self._ruleset.chains:
            self._table = chain.table
            rules: list[Rule | Lookup] = []
            for rule, behind in zip_longest(chain.rules, chain.rules[1:]):
                rules.extend(self._expand(rule, behind) if isinstance(rule, Lookup) else (rule,))
            chains.append(replace(chain, rules=tuple(rules)))
        hooks = [chain for chain in chains if chain.hook]
        others = [chain for chain in chains if not chain.hook]
        return replace(
            self._ruleset,
            chains=(*hooks, *self._trees.values(), *others),
            sets=tuple(self._sets.values()),
            maps=(),
        )

    def _expand(self, lookup: Lookup, behind: Rule | Lookup | None) -> Iterator[Rule]:
        found = self._maps[lookup.map]
        hosts = all(prefix.length == found.family.bits for prefix, _ in found.elements)
        pods = found.subjects or all(isinstance(verdict, Jump) for _, verdict in found.elements)
        if hosts and len(found.elements) <= _ROW and (pods or not self._steady):
            yield from self._row(lookup, found.elements)
        elif hosts and pods:
            yield from self._dispatch(lookup, found, behind if found.subjects else None)
        else:
            yield from self._sets_by_verdict(lookup, found)

    def _row(self, lookup: Lookup, elements: Sequence[tuple[Prefix, Verdict]]) -> Iterator[Rule]:
        for prefix, verdict in elements:
            yield Rule((InPrefix(lookup.field, prefix),), verdict, lookup.family, lookup.origins)

    def _sets_by_verdict(self, lookup: Lookup, found: PrefixMap) -> Iterator[Rule]:
        order: dict[Verdict, list[Prefix]] = {}
        for prefix, verdict in found.elements:
            order.setdefault(verdict, []).append(prefix)
        exact = all(prefix.length == found.family.bits for prefix, _ in found.elements)
        named = {verdict: self._name(found, verdict, number) for number, verdict in enumerate(order)}
        for verdict in sorted(order, key=named.__getitem__) if self._steady else order:
            name, prefixes = named[verdict], order[verdict]
            if exact:
                yield self._hosts(name, lookup, prefixes, verdict, found.notes)
                continue
            self._sets[name] = PrefixSet(name, found.family, tuple(_only(found, verdict)), found.notes)
            yield Rule((InSet((lookup.field,), name),), verdict, found.family, lookup.origins, lookup.weight)

    def _name(self, found: PrefixMap, verdict: Verdict, number: int) -> str:
        return set_of(found.name, verdict) if self._steady else f"{found.name}{number}"

    def _hosts(
        self, name: str, lookup: Lookup, hosts: Sequence[Prefix], verdict: Verdict, notes: tuple[str, ...]
    ) -> Rule:
        """A set of hosts, and the rule that asks it."""
        elements = tuple((prefix.base,) for prefix in hosts)
        self._sets[name] = Set(name, lookup.family, (lookup.field,), elements, notes)
        return Rule((InSet((lookup.field,), name),), verdict, lookup.family, lookup.origins, lookup.weight)

    def _dispatch(self, lookup: Lookup, found: PrefixMap, behind: Rule | Lookup | None) -> Iterator[Rule]:
        """`behind`: where packets go on that the tree does not know, when they are not to come back from it."""
        tally = Counter(verdict for _, verdict in found.elements)
        commonest, count = max(tally.items(), key=lambda entry: (entry[1], repr(entry[0])))
        rest = found.elements
        if count > _ROW:
            hosts = [prefix for prefix, verdict in found.elements if verdict == commonest]
            yield self._hosts(self._name(found, commonest, 0), lookup, hosts, commonest, found.notes)
            rest = tuple(element for element in found.elements if element[1] != commonest)
        if len(rest) <= _ROW:
            yield from self._row(lookup, rest)
            return
        root = f"t-{found.name}"
        misses = () if behind is None else (behind,)
        if root not in self._trees:
            self._grow(root, lookup, [(prefix.base, verdict) for prefix, verdict in rest], found.notes, misses)
        yield Rule((), Goto(root) if misses else Jump(root), found.family, lookup.origins, lookup.weight)

    def _grow(
        self,
        name: str,
        lookup: Lookup,
        items: Sequence[tuple[int, Verdict]],
        notes: tuple[str, ...],
        misses: tuple[Rule | Lookup, ...],
    ) -> None:
        """Adds the chain `name` that decides among these addresses, and those below it; each ends with `misses`."""
        field, family = lookup.field, lookup.family
        common = family.bits - (items[0][0] ^ items[-1][0]).bit_length()
        length = min(family.bits, common + _LEVEL)
        branches: dict[int, list[tuple[int, Verdict]]] = {}
        for item in items:
            branches.setdefault(item[0] >> family.bits - length, []).append(item)
        rules = list[Rule | Lookup]()
        below = []
        for head, inside in branches.items():
            if len(inside) == 1:
                prefix, verdict = Prefix(family.value, inside[0][0], family.bits), inside[0][1]
                verdict = Goto(verdict.chain) if isinstance(verdict, Jump) else verdict
                rules.append(Rule((InPrefix(field, prefix),), verdict, family, lookup.origins))
            else:
                prefix = Prefix(family.value, head << family.bits - length, length)
                child = self._namer.name(f"t{family.value}", lookup.map, f"{lookup.map} {prefix}")
                rules.append(Rule((InPrefix(field, prefix),), Goto(child), family, lookup.origins))
                below.append((child, inside, prefix))
        self._trees[name] = Chain(name, (*rules, *misses), table=self._table, family=family, notes=notes)
        for child, inside, prefix in below:
            self._grow(child, lookup, inside, (f"{lookup.map}: {field.value} in {prefix}",), misses)


def _only(found: PrefixMap, verdict: Verdict) -> Iterator[tuple[Prefix, bool]]:
    """The prefixes of one verdict; and, as non-members, those of other verdicts right inside one of them."""
    around: list[tuple[Prefix, Verdict]] = []
    for prefix, own in found.elements:
        while around and not around[-1][0].covers(prefix):
            around.pop()
        if own == verdict:
            yield prefix, True
        elif around and around[-1][1] == verdict:
            yield prefix, False
        around.append((prefix, own))

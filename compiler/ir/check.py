"""Is a ruleset well formed? Asked before and after every pass; a violation is a defect of netpolc, never of input."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from compiler.ir.bounds import check_members
from compiler.ir.check_rules import ADDRESSES, Held, Rules, Stayed, check_target, leading
from compiler.ir.places import HOOKS, check_place
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Drop,
    Goto,
    Hook,
    Jump,
    Lookup,
    PrefixMap,
    PrefixSet,
    Return,
    Ruleset,
    Set,
    Verdict,
)

#: The back ends' prefixes leave so much: 28 characters of iptables for a chain. Sets are shortened by the back end.
LONGEST_CHAIN = 20


def check(ruleset: Ruleset, before: Ruleset | None = None) -> None:
    """AssertionError naming the first thing that is wrong: names, references, shapes, families, order and bounds of
    elements, cycles of jumps, places in tables and hooks. `before`: what it was made of, and was checked; rules that
    are still in their chains are not looked at again unless they name what changed, nor are sets."""
    chains = {chain.name: chain for chain in ruleset.chains}
    sets = {found.name: found for found in ruleset.sets}
    maps = {found.name: found for found in ruleset.maps}
    assert len(chains) == len(ruleset.chains), "two chains share a name"
    assert len(sets) + len(maps) == len(ruleset.sets) + len(ruleset.maps), "two sets or maps share a name"
    assert not sets.keys() & maps.keys(), "a set and a map share a name"
    stayed = Stayed(before, ruleset)
    for found in ruleset.sets:
        if id(found) not in stayed.sets:
            _check_elements(found)
    for found_map in ruleset.maps:
        _check_elements(found_map)
        for _, verdict in found_map.elements:
            assert isinstance(verdict, Accept | Drop | Return | Jump | Goto), f"{found_map.name}: no verdict for a map"
            check_target(verdict, chains, found_map.name, found_map.family)
    bases = [(chain.table, chain.hook, chain.family) for chain in ruleset.chains if chain.hook]
    assert len(set(bases)) == len(bases), "two base chains share a table and a hook"
    for chain in ruleset.chains:
        assert len(chain.name) <= LONGEST_CHAIN, f"{chain.name}: longer than {LONGEST_CHAIN} characters"
        assert chain.hook is None or chain.hook in HOOKS[chain.table], f"{chain.name}: no such hook in the table"
    rules = Rules(chains, sets, maps, stayed)
    held = {chain.name: rules.checked(chain) for chain in ruleset.chains}
    _check_cycles({name: one.ways for name, one in held.items()})
    _check_places(chains, held)


def targets(ruleset: Ruleset, chain: Chain) -> tuple[str, ...]:
    """The chains that a chain can hand a packet to, in rule order, each once."""
    maps = {found.name: found for found in ruleset.maps}
    verdicts: list[Verdict] = []
    for rule in chain.rules:
        if isinstance(rule, Lookup):
            verdicts.extend(verdict for _, verdict in maps[rule.map].elements)
        else:
            verdicts.append(rule.verdict)
    return tuple(dict.fromkeys(leading(verdicts)))


def _check_places(chains: dict[str, Chain], held: Mapping[str, Held]) -> None:
    hooks: dict[str, set[Hook]] = {name: set() for name in chains}
    for base in chains.values():
        ahead = [base.name]
        while base.hook and ahead:
            name = ahead.pop()
            if base.hook not in hooks[name]:
                hooks[name].add(base.hook)
                ahead.extend(held[name].ways)
    for chain in chains.values():
        ways, kinds = held[chain.name]
        for name in ways:
            assert chains[name].table is chain.table, f"{chain.name}: {name} is of another table"
        for kind in kinds:
            check_place(kind, chain, hooks[chain.name])


def _check_elements(found: Set | PrefixSet | PrefixMap) -> None:
    """Sorted and distinct; of the shape that the key says. One prefix has one answer."""
    if isinstance(found, Set):
        assert all(len(element) == len(found.key) for element in found.elements), f"{found.name}: element shape"
        has_address = any(field in ADDRESSES for field in found.key)
        assert has_address is (found.family is not None), f"{found.name}: family and key disagree"
        assert not (found.by_hand and found.elements), f"{found.name}: filled by hand, yet with elements"
        assert all(one < two for one, two in pairwise(found.elements)), f"{found.name}: elements repeated or unsorted"
        check_members(found)
        return
    prefixes = [prefix for prefix, _ in found.elements]
    assert all(prefix.family is found.family for prefix in prefixes), f"{found.name}: a prefix of the other family"
    assert all(one < two for one, two in pairwise(prefixes)), f"{found.name}: prefixes repeated or unsorted"
    check_members(found)


def _check_cycles(ways: dict[str, tuple[str, ...]]) -> None:
    done: set[str] = set()
    for first in ways:
        path = [(first, iter(ways[first]))] if first not in done else []
        active = {first}
        while path:
            name, more = path[-1]
            following = next(more, None)
            if following is None:
                path.pop()
                active.discard(name)
                done.add(name)
            elif following not in done:
                assert following not in active, f"{following}: a cycle of jumps"
                active.add(following)
                path.append((following, iter(ways[following])))

"""Is a ruleset well formed? Asked before and after every pass; a violation is a defect of netpolc, never of input."""

from __future__ import annotations

from compiler.ir.match import InSet
from compiler.ir.ruleset import Chain, Goto, Jump, Lookup, Ruleset, Set, Verdict


def check(ruleset: Ruleset) -> None:
    """AssertionError naming the first thing that is wrong: names, references, key shapes, cycles of jumps."""
    chains = {chain.name: chain for chain in ruleset.chains}
    sets = {found.name: found for found in ruleset.sets}
    maps = {found.name: found for found in ruleset.maps}
    assert len(chains) == len(ruleset.chains), "two chains share a name"
    assert len(sets) + len(maps) == len(ruleset.sets) + len(ruleset.maps), "two sets or maps share a name"
    assert not sets.keys() & maps.keys(), "a set and a map share a name"
    for found in ruleset.sets:
        if isinstance(found, Set):
            assert all(len(element) == len(found.key) for element in found.elements), f"{found.name}: element shape"
        elements: tuple[object, ...] = found.elements
        assert len(set(elements)) == len(elements), f"{found.name}: repeated element"
    for found_map in ruleset.maps:
        for _, verdict in found_map.elements:
            _check_target(verdict, chains, found_map.name)
    for chain in ruleset.chains:
        for rule in chain.rules:
            if isinstance(rule, Lookup):
                assert rule.map in maps, f"{chain.name}: no map {rule.map}"
                assert maps[rule.map].family is rule.family, f"{chain.name}: {rule.map} is of the other family"
                continue
            _check_target(rule.verdict, chains, chain.name)
            for match in rule.matches:
                if isinstance(match, InSet):
                    assert match.set in sets, f"{chain.name}: no set {match.set}"
    _check_cycles(ruleset, chains)


def targets(ruleset: Ruleset, chain: Chain) -> tuple[str, ...]:
    """The chains that a chain can hand a packet to, in rule order, each once."""
    maps = {found.name: found for found in ruleset.maps}
    verdicts: list[Verdict] = []
    for rule in chain.rules:
        if isinstance(rule, Lookup):
            verdicts.extend(verdict for _, verdict in maps[rule.map].elements)
        else:
            verdicts.append(rule.verdict)
    return tuple(dict.fromkeys(v.chain for v in verdicts if isinstance(v, Jump | Goto)))


def _check_target(verdict: Verdict, chains: dict[str, Chain], where: str) -> None:
    if isinstance(verdict, Jump | Goto):
        assert verdict.chain in chains, f"{where}: no chain {verdict.chain}"
        assert chains[verdict.chain].hook is None, f"{where}: {verdict.chain} is a base chain"


def _check_cycles(ruleset: Ruleset, chains: dict[str, Chain]) -> None:
    done: set[str] = set()
    for first in chains.values():
        path = [(first.name, iter(targets(ruleset, first)))] if first.name not in done else []
        active = {first.name}
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
                path.append((following, iter(targets(ruleset, chains[following]))))

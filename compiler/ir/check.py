"""Is a ruleset well formed? Asked before and after every pass; a violation is a defect of netpolc, never of input."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import NamedTuple

from compiler.ir.bounds import check_match, check_members, check_numbers
from compiler.ir.match import (
    Field,
    FromPorts,
    IcmpType,
    Inbound,
    InNets,
    InPrefix,
    InSet,
    IsProtocol,
    Match,
    NeighbourDiscovery,
    Outbound,
    RoutedAs,
    RouteKind,
    ToAnyPort,
    ToPorts,
    WithinRate,
)
from compiler.ir.places import HOOKS, check_place, check_protocol
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Continue,
    Drop,
    Goto,
    Hook,
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
from compiler.net import Family

#: The back ends' prefixes leave so much: 28 characters of iptables for a chain. Sets are shortened by the back end.
LONGEST_CHAIN = 20
_ADDRESSES = (Field.SOURCE, Field.DESTINATION)
_LEADING = (Jump, Goto)
#: They ask nothing of the rule's matches.
_PLAIN = (Accept, Drop, Return, Jump, Goto)
#: A rule may have one of each of these.
_ONCE: tuple[frozenset[type], ...] = (
    frozenset({ToPorts, ToAnyPort, FromPorts, IsProtocol, IcmpType, NeighbourDiscovery}),
    frozenset({Inbound}),
    frozenset({Outbound}),
)


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
    stayed = _Stayed(before, ruleset) if before is not None else None
    for found in ruleset.sets:
        if stayed is None or id(found) not in stayed.sets:
            _check_elements(found)
    for found_map in ruleset.maps:
        _check_elements(found_map)
        for _, verdict in found_map.elements:
            assert isinstance(verdict, Accept | Drop | Return | Jump | Goto), f"{found_map.name}: no verdict for a map"
            _check_target(verdict, chains, found_map.name, found_map.family)
    known = _Known({}, {None: set(), **{family: set() for family in Family}})
    bases = [(chain.table, chain.hook, chain.family) for chain in ruleset.chains if chain.hook]
    assert len(set(bases)) == len(bases), "two base chains share a table and a hook"
    for chain in ruleset.chains:
        assert len(chain.name) <= LONGEST_CHAIN, f"{chain.name}: longer than {LONGEST_CHAIN} characters"
        assert chain.hook is None or chain.hook in HOOKS[chain.table], f"{chain.name}: no such hook in the table"
        known_rules = stayed.rules(chain) if stayed is not None else ()
        for rule in chain.rules:
            if id(rule) in known_rules:
                continue
            assert chain.family in (None, rule.family) or rule.family is None, f"{chain.name}: rule of the other family"
            if isinstance(rule, Lookup):
                assert rule.map in maps, f"{chain.name}: no map {rule.map}"
                assert maps[rule.map].family is rule.family, f"{chain.name}: {rule.map} is of the other family"
                assert rule.field in _ADDRESSES, f"{chain.name}: a lookup asks for an address"
            else:
                _check_rule(rule, chain, chains, sets, known)
    ways = {chain.name: targets(ruleset, chain) for chain in ruleset.chains}
    _check_cycles(ways)
    _check_places(chains, ways)


class _Stayed:
    """What of a ruleset that was checked is still the same, by identity."""

    def __init__(self, before: Ruleset, now: Ruleset) -> None:
        self.sets = {id(found) for found in before.sets}
        heads = {_head(chain) for chain in now.chains}
        is_same = {id(found) for found in (*now.sets, *now.maps)}
        #: Names of sets and maps that are no more what they were.
        self._gone = {found.name for found in (*before.sets, *before.maps) if id(found) not in is_same}
        self._before = (
            {_head(chain): chain for chain in before.chains} if heads.issuperset(map(_head, before.chains)) else {}
        )

    def rules(self, chain: Chain) -> Collection[int]:
        """The rules of a chain that are as right as they were there."""
        known = self._before.get(_head(chain))
        return {id(rule) for rule in known.rules if not self._names_gone(rule)} if known is not None else ()

    def _names_gone(self, rule: Rule | Lookup) -> bool:
        if not self._gone:
            return False
        if isinstance(rule, Lookup):
            return rule.map in self._gone
        return any(isinstance(match, InSet | InNets) and match.set in self._gone for match in rule.matches)


def _head(chain: Chain) -> tuple[object, ...]:
    return chain.name, chain.table, chain.hook, chain.family


class _Known(NamedTuple):
    """What was asked before of this ruleset, which has few kinds of rules, and rules that share their matches.
    `simple`: whether matches and verdicts of these kinds are right together where each is by itself; `right`: matches
    that are in rules of a family, by identity."""

    simple: dict[tuple[type, ...], bool]
    right: dict[Family | None, set[int]]


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


def _check_places(chains: dict[str, Chain], ways: dict[str, tuple[str, ...]]) -> None:
    hooks: dict[str, set[Hook]] = {name: set() for name in chains}
    for base in chains.values():
        ahead = [base.name]
        while base.hook and ahead:
            name = ahead.pop()
            if base.hook not in hooks[name]:
                hooks[name].add(base.hook)
                ahead.extend(ways[name])
    for chain in chains.values():
        for name in ways[chain.name]:
            assert chains[name].table is chain.table, f"{chain.name}: {name} is of another table"
        for kind in _kinds(chain):
            check_place(kind, chain, hooks[chain.name])


def _kinds(chain: Chain) -> Iterable[type]:
    """Of matches, effects and verdicts in a chain, each once, in their order."""
    found: dict[type, None] = {}
    for rule in chain.rules:
        if isinstance(rule, Rule):
            found.update(dict.fromkeys(map(type, (*rule.matches, *rule.effects, rule.verdict))))
    return found


def _check_elements(found: Set | PrefixSet | PrefixMap) -> None:
    """Sorted and distinct; of the shape that the key says. One prefix has one answer."""
    if isinstance(found, Set):
        assert all(len(element) == len(found.key) for element in found.elements), f"{found.name}: element shape"
        has_address = any(field in _ADDRESSES for field in found.key)
        assert has_address is (found.family is not None), f"{found.name}: family and key disagree"
        assert not (found.by_hand and found.elements), f"{found.name}: filled by hand, yet with elements"
        assert all(one < two for one, two in pairwise(found.elements)), f"{found.name}: elements repeated or unsorted"
        check_members(found)
        return
    prefixes = [prefix for prefix, _ in found.elements]
    assert all(prefix.family is found.family for prefix in prefixes), f"{found.name}: a prefix of the other family"
    assert all(one < two for one, two in pairwise(prefixes)), f"{found.name}: prefixes repeated or unsorted"
    check_members(found)


def _check_rule(
    rule: Rule, chain: Chain, chains: dict[str, Chain], sets: dict[str, Set | PrefixSet], known: _Known
) -> None:
    family = rule.family or chain.family
    _check_target(rule.verdict, chains, chain.name, family)
    # Elsewhere back ends disagree: nft's accept leaves the base chain, iptables' RETURN only the chain it is in.
    assert chain.hook or not isinstance(rule.verdict, Accept), f"{chain.name}: Accept outside a base chain"
    assert rule.effects or not isinstance(rule.verdict, Continue), f"{chain.name}: a rule that does nothing"
    kinds = (type(rule.verdict), *map(type, rule.matches))
    simple = known.simple.get(kinds)
    if simple is None:
        simple = known.simple[kinds] = _is_simple(kinds)
    if rule.effects or not simple:
        check_protocol(rule, chain.name)
        check_numbers(rule, chain.name, family)
        for match in rule.matches[:-1]:
            assert not isinstance(match, WithinRate), f"{chain.name}: a match behind the rate"
    right = known.right[family]
    for match in rule.matches:
        if id(match) not in right:
            check_match(match, chain.name, family)
            _check_reference(match, chain.name, family, sets)
            right.add(id(match))


def _is_simple(kinds: tuple[type, ...]) -> bool:
    verdict, *matches = kinds
    once = all(sum(kind in group for kind in matches) <= 1 for group in _ONCE)
    return once and verdict in _PLAIN and WithinRate not in matches


def _check_reference(match: Match, where: str, family: Family | None, sets: dict[str, Set | PrefixSet]) -> None:
    """AssertionError when it asks a set that is none, or not for this, or something of the other family."""
    if isinstance(match, InSet):
        assert match.set in sets, f"{where}: no set {match.set}"
        found = sets[match.set]
        key = found.key if isinstance(found, Set) else (Field.SOURCE,)
        alike = key == match.fields or [*map(_kind, key)] == [*map(_kind, match.fields)]
        assert alike, f"{where}: {match.set} has another key"
        assert found.family in (None, family), f"{where}: {match.set} is of the other family"
    elif isinstance(match, InNets):
        asked = sets.get(match.set)
        assert isinstance(asked, Set), f"{where}: no set {match.set}"
        assert [*map(_kind, asked.key)] == [_kind(match.field)], f"{where}: {match.set} has another key"
        assert asked.family is family, f"{where}: {match.set} is of the other family"
        assert match.length in range(1, family.bits + 1 if family else 0), f"{where}: no such length"
    else:
        needed = _needed_family(match)
        assert needed in (None, family), f"{where}: {match} is of the other family"


def _kind(field: Field) -> Field:
    """Source and destination can be looked up in the same set."""
    return Field.SOURCE if field in _ADDRESSES else field


def _needed_family(match: Match) -> Family | None:
    match match:
        case InPrefix(field, prefix):
            assert field in _ADDRESSES, "a prefix holds addresses"
            return prefix.family
        case NeighbourDiscovery():
            return Family.IPV6
        case IcmpType(family):
            return family
        case RoutedAs(field, kind):
            assert field in _ADDRESSES, "routing knows addresses"
            assert kind is not RouteKind.LOCAL, "a match of its own"
            return Family.IPV4 if kind is RouteKind.BROADCAST else None
        case _:
            return None


def _check_target(verdict: Verdict, chains: dict[str, Chain], where: str, family: Family | None) -> None:
    if isinstance(verdict, _LEADING):
        assert verdict.chain in chains, f"{where}: no chain {verdict.chain}"
        assert chains[verdict.chain].hook is None, f"{where}: {verdict.chain} is a base chain"
        assert chains[verdict.chain].family in (None, family), f"{where}: {verdict.chain} is of the other family"


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

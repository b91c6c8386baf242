"""Are the rules of a chain well formed, each by itself and with what it names? Part of `check`.

Rulesets have few kinds of rules, and rules that share their matches, effects and verdicts: what was asked once is
remembered, by kind or by identity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, get_args

from compiler.ir.bounds import check_effect, check_match, check_verdict
from compiler.ir.effects import ClampMss, Effect, Native, SetMss
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
from compiler.ir.places import check_protocol
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Continue,
    Drop,
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
from compiler.net import Family

ADDRESSES = (Field.SOURCE, Field.DESTINATION)
LEADING = (Jump, Goto)
#: They ask nothing of the rest of a rule, and of its chain.
_PLAIN = frozenset({Drop, Return, Jump, Goto})
_PLAIN_MATCHES = frozenset(get_args(Match)) - {WithinRate}
_PLAIN_EFFECTS = frozenset(get_args(Effect)) - {Native, ClampMss, SetMss}
#: A rule may have one of each of these.
_ONCE: tuple[frozenset[type], ...] = (
    frozenset({ToPorts, ToAnyPort, FromPorts, IsProtocol, IcmpType, NeighbourDiscovery}),
    frozenset({Inbound}),
    frozenset({Outbound}),
)


class Stayed:
    """What of a ruleset that was checked is still the same, by identity; nothing without one."""

    def __init__(self, before: Ruleset | None, now: Ruleset) -> None:
        self.sets: set[int] = set()
        #: Names of sets and maps that are no more what they were.
        self._gone: set[str] = set()
        self._before: dict[tuple[object, ...], Chain] = {}
        if before is None:
            return
        self.sets = {id(found) for found in before.sets}
        is_same = {id(found) for found in (*now.sets, *now.maps)}
        self._gone = {found.name for found in (*before.sets, *before.maps) if id(found) not in is_same}
        heads = {_head(chain) for chain in now.chains}
        if heads.issuperset(map(_head, before.chains)):
            self._before = {_head(chain): chain for chain in before.chains}

    def rules(self, chain: Chain) -> Collection[int]:
        """The rules that were in a chain; they are as right as they were there unless they name what is gone."""
        known = self._before.get(_head(chain))
        return set(map(id, known.rules)) if known is not None else ()

    def names_gone(self, rule: Rule | Lookup) -> bool:
        """Whether a rule names a set or map that is no more what it was."""
        if not self._gone:
            return False
        if isinstance(rule, Lookup):
            return rule.map in self._gone
        return any(isinstance(match, InSet | InNets) and match.set in self._gone for match in rule.matches)


def _head(chain: Chain) -> tuple[object, ...]:
    return chain.name, chain.table, chain.hook, chain.family


class Held(NamedTuple):
    """What is in a chain, each once, in rule order: chains that it can hand a packet to; kinds of matches, effects and
    verdicts."""

    ways: tuple[str, ...]
    kinds: tuple[type, ...]


class Rules:
    """The rules of a ruleset."""

    def __init__(
        self,
        chains: Mapping[str, Chain],
        sets: Mapping[str, Set | PrefixSet],
        maps: Mapping[str, PrefixMap],
        stayed: Stayed,
    ) -> None:
        self._chains, self._sets, self._maps, self._stayed = chains, sets, maps, stayed
        #: Whether a verdict, matches and effects of these kinds are right together where each is by itself.
        self._simple: dict[tuple[type, ...], bool] = {}
        #: Matches, effects and verdicts that are right in rules of a family, by identity.
        self._right: dict[Family | None, set[int]] = {None: set(), **{family: set() for family in Family}}

    def checked(self, chain: Chain) -> Held:
        """What is in a chain. AssertionError when something in it is wrong."""
        known = self._stayed.rules(chain)
        ways: dict[str, None] = {}
        shapes: dict[tuple[type, ...], None] = {}
        for rule in chain.rules:
            is_new = id(rule) not in known or self._stayed.names_gone(rule)
            if isinstance(rule, Lookup):
                if is_new:
                    self._check_lookup(rule, chain)
                ways.update(dict.fromkeys(leading(verdict for _, verdict in self._maps[rule.map].elements)))
                continue
            shape = (type(rule.verdict), *map(type, rule.matches), *map(type, rule.effects))
            shapes[shape] = None
            if isinstance(rule.verdict, LEADING):
                ways[rule.verdict.chain] = None
            if is_new:
                self._check(rule, shape, chain)
        return Held(tuple(ways), tuple(dict.fromkeys(kind for shape in shapes for kind in shape)))

    def _check_lookup(self, rule: Lookup, chain: Chain) -> None:
        _check_family(rule, chain)
        assert rule.map in self._maps, f"{chain.name}: no map {rule.map}"
        assert self._maps[rule.map].family is rule.family, f"{chain.name}: {rule.map} is of the other family"
        assert rule.field in ADDRESSES, f"{chain.name}: a lookup asks for an address"

    def _check(self, rule: Rule, shape: tuple[type, ...], chain: Chain) -> None:
        """`shape`: the kinds of its verdict, matches and effects."""
        if chain.family is not None:
            _check_family(rule, chain)
        family = rule.family or chain.family
        right = self._right[family]
        if id(rule.verdict) not in right:
            check_target(rule.verdict, self._chains, chain.name, family)
            check_verdict(rule.verdict, chain.name, family)
            right.add(id(rule.verdict))
        simple = self._simple.get(shape)
        if simple is None:
            simple = self._simple[shape] = _is_simple(shape)
        if not simple:
            _check_together(rule, chain)
        for match in rule.matches:
            if id(match) not in right:
                check_match(match, chain.name, family)
                _check_reference(match, chain.name, family, self._sets)
                right.add(id(match))
        for effect in rule.effects:
            if id(effect) not in right:
                check_effect(effect, chain.name)
                right.add(id(effect))


def _check_family(rule: Rule | Lookup, chain: Chain) -> None:
    assert chain.family in (None, rule.family) or rule.family is None, f"{chain.name}: rule of the other family"


def _check_together(rule: Rule, chain: Chain) -> None:
    """What a verdict, matches and effects ask of each other."""
    # Elsewhere back ends disagree: nft's accept leaves the base chain, iptables' RETURN only the chain it is in.
    assert chain.hook or not isinstance(rule.verdict, Accept), f"{chain.name}: Accept outside a base chain"
    assert rule.effects or not isinstance(rule.verdict, Continue), f"{chain.name}: a rule that does nothing"
    check_protocol(rule, chain.name)
    for match in rule.matches[:-1]:
        assert not isinstance(match, WithinRate), f"{chain.name}: a match behind the rate"


def _is_simple(shape: tuple[type, ...]) -> bool:
    """Whether nothing of a verdict, matches and effects of these kinds is left to be asked of them together."""
    verdict, *others = shape
    once = all(sum(kind in group for kind in others) <= 1 for group in _ONCE)
    does = verdict in _PLAIN or (verdict is Continue and not _PLAIN_EFFECTS.isdisjoint(others))
    return once and does and (_PLAIN_MATCHES | _PLAIN_EFFECTS).issuperset(others)


def _check_reference(match: Match, where: str, family: Family | None, sets: Mapping[str, Set | PrefixSet]) -> None:
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
    return Field.SOURCE if field in ADDRESSES else field


def _needed_family(match: Match) -> Family | None:
    match match:
        case InPrefix(field, prefix):
            assert field in ADDRESSES, "a prefix holds addresses"
            return prefix.family
        case NeighbourDiscovery():
            return Family.IPV6
        case IcmpType(family):
            return family
        case RoutedAs(field, kind):
            assert field in ADDRESSES, "routing knows addresses"
            assert kind is not RouteKind.LOCAL, "a match of its own"
            return Family.IPV4 if kind is RouteKind.BROADCAST else None
        case _:
            return None


def check_target(verdict: Verdict, chains: Mapping[str, Chain], where: str, family: Family | None) -> None:
    if isinstance(verdict, LEADING):
        assert verdict.chain in chains, f"{where}: no chain {verdict.chain}"
        assert chains[verdict.chain].hook is None, f"{where}: {verdict.chain} is a base chain"
        assert chains[verdict.chain].family in (None, family), f"{where}: {verdict.chain} is of the other family"


def leading(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """The chains that verdicts lead to."""
    return (verdict.chain for verdict in verdicts if isinstance(verdict, LEADING))

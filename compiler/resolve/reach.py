"""What a class lets through, as a function of the other end's address: the heart of the compile.

For every class and family the result is a *reach*: exact addresses, shared sets and prefixes, each with the
ports that the tiers allow together. The first that holds an address decides, in that order; among prefixes the
longest. Tier evaluation happens here, once per distinct combination of matching clauses, never in the kernel.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from compiler.net import ALL_PORTS, NO_PORTS, Family, PortSet, Prefix, all_of, port_set
from compiler.policy import Action, Anyone, PodSelector, Tier
from compiler.resolve.blocks import Clauses, flatten, nested_blocks
from compiler.resolve.classes import Clause, PodClass
from compiler.resolve.inventory import Census, Group

#: A selector that means this many addresses becomes a set that classes share instead of members of each class.
SHARED_MINIMUM = 1024


@dataclass(frozen=True, slots=True)
class SharedSet:
    """The addresses that one selector means, sorted."""

    selector: PodSelector
    family: Family
    addresses: tuple[int, ...]

    def __contains__(self, address: int) -> bool:
        at = bisect_left(self.addresses, address)
        return at < len(self.addresses) and self.addresses[at] == address


@dataclass(frozen=True, slots=True)
class Reach:
    """`exact` is sorted by address; `shared` in order of decision; `nets` sorted, always with the empty prefix."""

    exact: tuple[tuple[int, PortSet], ...]
    shared: tuple[tuple[SharedSet, PortSet], ...]
    nets: tuple[tuple[Prefix, PortSet], ...]

    @property
    def is_open(self) -> bool:
        """Whether everything from and to everyone is allowed."""
        return not self.exact and not self.shared and self.nets[0][1] == ALL_PORTS and len(self.nets) == 1


def asker(reach: Reach) -> Callable[[int], PortSet]:
    """A function from an address to the ports that the reach allows for it."""
    exact = dict(reach.exact)
    by_length = sorted(reach.nets, key=lambda net: -net[0].length)

    def ports_of(address: int) -> PortSet:
        if address in exact:
            return exact[address]
        for found, ports in reach.shared:
            if address in found:
                return ports
        for prefix, ports in by_length:
            if address >> (prefix.family.bits - prefix.length) == prefix.base >> (prefix.family.bits - prefix.length):
                return ports
        raise AssertionError("every reach holds the empty prefix")

    return ports_of


def decide(matching: Iterable[tuple[Clause, PortSet]], isolated: bool) -> PortSet:
    """The ports that the tiers allow, given the clauses that hold for the other end, in evaluation order.

    Admin rules: first match wins, Pass goes on. Then, for isolated pods, the union of NetworkPolicy rules ends
    it. Else baseline rules, first match wins; what none decides is allowed.
    """
    allowed, open_ports, passed = NO_PORTS, ALL_PORTS, NO_PORTS
    granted: list[PortSet] = []
    baseline: list[tuple[Clause, PortSet]] = []
    for clause, ports in matching:
        if clause.tier is Tier.ADMIN:
            hit = ports & open_ports
            open_ports = open_ports - hit
            if clause.rule.action is Action.ALLOW:
                allowed = allowed | hit
            elif clause.rule.action is Action.PASS:
                passed = passed | hit
        elif clause.tier is Tier.APPLICATION:
            granted.append(ports)
        else:
            baseline.append((clause, ports))
    left = open_ports | passed
    if isolated:
        return allowed | (left & all_of(granted))
    for clause, ports in baseline:
        hit = ports & left
        left = left - hit
        if clause.rule.action is not Action.DENY:
            allowed = allowed | hit
    return allowed | left


@dataclass(slots=True)
class Cover:
    """A selector that means many, as one class asks it: `ports` are those of most addresses in the groups that it
    decides for, `groups` how many groups these are. `tally`: which ports how many of these addresses have; None: all
    have the same, and nobody counted them."""

    chosen: PodSelector
    ports: PortSet
    groups: int
    tally: dict[PortSet, int] | None = None


class Standing(NamedTuple):
    """What the selectors of a class say of a group: the clauses that hold; whether a small selector or an open name
    brings its addresses up one by one; the first of the class's covers that holds it."""

    clauses: Clauses
    listed: bool
    cover: int | None


class Reacher:
    """Computes reaches; remembers shared sets across classes."""

    def __init__(self, census: Census) -> None:
        self._census = census
        self._shared: dict[tuple[PodSelector, Family], SharedSet] = {}

    def reach(self, pods: PodClass, family: Family) -> Reach:
        """The reach of one class in one family."""
        found = ClassReach(self._census, pods, family)
        shared = tuple((self._shared_set(cover.chosen, family), cover.ports) for cover in found.covers)
        return Reach(tuple(sorted(found.exact.items())), shared, found.nets)

    def _shared_set(self, chosen: PodSelector, family: Family) -> SharedSet:
        found = self._shared.get((chosen, family))
        if found is None:
            addresses = tuple(self._census.addresses(chosen, family))
            found = self._shared[chosen, family] = SharedSet(chosen, family, addresses)
        return found


class ClassReach:
    """The reach of one class in one family, as it is built: `exact` by address, `covers` in order of decision, `nets`
    as in `Reach`. The questions below are for whoever keeps it up to date, address by address."""

    def __init__(self, census: Census, pods: PodClass, family: Family) -> None:
        self._census = census
        self._family = family
        self._isolated = pods.isolated
        #: Baseline rules come to nothing behind NetworkPolicies.
        self._clauses = [c for c in pods.clauses if not (pods.isolated and c.tier is Tier.BASELINE)]
        self._memo: dict[object, PortSet] = {}
        self._everyone = frozenset(n for n, c in enumerate(self._clauses) if Anyone() in c.rule.peers)
        self._names_open = any(c.named for c in self._clauses)
        nets = nested_blocks(census, self._clauses, family)
        spans = flatten(nets, family)
        self._starts = [start for start, _ in spans]
        self._held = [held for _, held in spans]
        self.selectors = self._selectors()
        #: Names of ports that everyone may be asked for, if somebody has them.
        self.names = tuple(named.name for n in sorted(self._everyone) for named in self._clauses[n].named)
        self.exact: dict[int, PortSet] = {}
        self.covers: list[Cover] = []
        self._cover_all()
        cover_of = {cover.chosen: n for n, cover in enumerate(self.covers)}
        self._asked = [(census.numbers(one), held, cover_of.get(one)) for one, held in self.selectors.items()]
        self.nets = _without_repeats([(prefix, self._ports(frozenset(), held, None)) for prefix, held in nets])

    @property
    def is_open(self) -> bool:
        """Whether everything from and to everyone is allowed, as `Reach.is_open`."""
        return not self.exact and not self.covers and self.nets[0][1] == ALL_PORTS and len(self.nets) == 1

    def standing(self, group: Group) -> Standing:
        """What the selectors say of a group."""
        number = group.number
        clauses, large, listed = frozenset[int](), None, False
        for numbers, of_selector, cover in self._asked:
            if number in numbers:
                clauses |= of_selector
                if cover is None:
                    listed = True
                elif large is None or cover < large:
                    large = cover
        listed = listed or any(port.name in self.names for port in group.ports if self.names and port.name)
        return Standing(clauses, listed, large)

    def stretch(self, address: int) -> int:
        """The number of the stretch between blocks that an address lies in: none of its addresses is told apart."""
        return bisect_right(self._starts, address) - 1

    def ports(self, clauses: Clauses, stretch: int, group: Group | None) -> PortSet:
        """The ports allowed for addresses there of a group for which these clauses hold; of nobody, without a group."""
        return self._ports(clauses, self._held[stretch], group)

    def is_large(self, chosen: PodSelector) -> bool:
        """Whether one of the class's selectors is a set for all, of as many pods as it means now."""
        if any(self._clauses[n].named for n in self.selectors[chosen]):
            return False  # each pod decides the port: no two need agree
        return self._census.size(chosen) >= SHARED_MINIMUM

    def _cover_all(self) -> None:
        large = [chosen for chosen in self.selectors if self.is_large(chosen)]
        large.sort(key=lambda chosen: (self._census.size(chosen), repr(chosen)))
        done = self._enumerate(large)
        for n, chosen in enumerate(large):
            self.covers.append(self._cover(chosen, large[n + 1 :], done))
            done |= self._census.numbers(chosen)

    def _selectors(self) -> dict[PodSelector, Clauses]:
        """The pod selectors of the class's clauses, with the numbers of the clauses that name them."""
        found: dict[PodSelector, set[int]] = {}
        for n, clause in enumerate(self._clauses):
            for peer in clause.rule.peers:
                if isinstance(peer, PodSelector):
                    found.setdefault(peer, set()).add(n)
        return {chosen: frozenset(numbers) for chosen, numbers in found.items()}

    def _enumerate(self, large: Sequence[PodSelector]) -> set[int]:
        """Every address of the small selectors' groups goes into `exact`. Returns the groups that are done."""
        numbers = self._census.numbers
        by_group: dict[int, set[int]] = {}
        for chosen, clauses in self.selectors.items():
            if chosen not in large:
                for number in numbers(chosen):
                    by_group.setdefault(number, set()).update(clauses)
        for name in self.names:
            for group in self._census.serving(name):
                by_group.setdefault(group.number, set())
        for chosen in large:
            for number in by_group.keys() & numbers(chosen):
                by_group[number] |= self.selectors[chosen]
        for number, held in by_group.items():
            group = self._census.group(number)
            covered = any(number in numbers(chosen) for chosen in large)
            self._put(group, frozenset(held), group.addresses(self._family), covered)
        return set(by_group)

    def _put(self, group: Group, clauses: Clauses, addresses: Sequence[int], covered: bool) -> None:
        """Enumerate addresses; those that the prefixes would treat alike are left to them unless `covered`."""
        for held, run in self._runs(addresses):
            ports = self._ports(clauses, held, group)
            if covered or ports != self._ports(frozenset(), held, None):
                self.exact.update(dict.fromkeys(run, ports))

    def _cover(self, chosen: PodSelector, later: Sequence[PodSelector], done: set[int]) -> Cover:
        """The ports that most addresses of a large selector share; the others are enumerated."""
        left = (self._census.numbers(chosen) - done) & self._census.holding(self._family)
        if not left:
            return Cover(chosen, self._ports(self.selectors[chosen], self._held[0], None), 0)
        parts = self._parts(chosen, left, later)
        stretches = self._census.stretches(chosen, self._family, self._starts)
        if len(stretches) == 1:  # no block tells these addresses apart, and named ports make no selector large
            held = self._held[next(iter(stretches))]
            answers = {self._ports(clauses, held, self._census.group(min(part))) for clauses, part in parts}
            if len(answers) == 1:
                return Cover(chosen, answers.pop(), len(left))
        return self._counted(chosen, parts, len(left))

    def _counted(self, chosen: PodSelector, parts: Sequence[tuple[Clauses, AbstractSet[int]]], groups: int) -> Cover:
        tally: dict[PortSet, list[tuple[Group, Clauses, Sequence[int]]]] = {}
        for clauses, part in parts:
            for group in (self._census.group(n) for n in sorted(part)):
                for held, run in self._runs(group.addresses(self._family)):
                    tally.setdefault(self._ports(clauses, held, group), []).append((group, clauses, run))
        counts = {ports: sum(len(run) for _, _, run in found) for ports, found in tally.items()}
        most = commonest(counts)
        for ports, rest in tally.items():
            if ports != most:
                for group, clauses, run in rest:
                    self._put(group, clauses, run, covered=True)
        return Cover(chosen, most, groups, counts)

    def _parts(
        self, chosen: PodSelector, left: AbstractSet[int], later: Sequence[PodSelector]
    ) -> list[tuple[Clauses, AbstractSet[int]]]:
        """The groups of a large selector that are left, split by the clauses that hold for them."""
        parts: list[tuple[Clauses, AbstractSet[int]]] = [(self.selectors[chosen], left)]
        for more in later:
            numbers = self._census.numbers(more)
            split = [(clauses | self.selectors[more], part & numbers) for clauses, part in parts]
            split += [(clauses, part - numbers) for clauses, part in parts]
            parts = [(clauses, part) for clauses, part in split if part]
        return parts

    def _runs(self, addresses: Sequence[int]) -> Iterator[tuple[Clauses, Sequence[int]]]:
        """Sorted addresses in stretches that lie in the same blocks: (clauses of those blocks, addresses)."""
        at = 0
        while at < len(addresses):
            n = bisect_right(self._starts, addresses[at]) - 1
            end = bisect_left(addresses, self._starts[n + 1], at) if n + 1 < len(self._starts) else len(addresses)
            yield self._held[n], addresses[at:end]
            at = end

    def _ports(self, clauses: Clauses, held: Clauses, group: Group | None) -> PortSet:
        """The ports allowed for an address: `clauses` hold for it as a pod of `group`, `held` by its prefix."""
        key = (clauses, held, group.ports if group and self._names_open else None, group is None)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = _one(decide(self._matching(clauses, held, group), self._isolated))
        return found

    def _matching(self, clauses: Clauses, held: Clauses, group: Group | None) -> Iterator[tuple[Clause, PortSet]]:
        for n, clause in enumerate(self._clauses):
            as_pod = n in clauses or n in self._everyone
            if as_pod or n in held:
                ports = clause.ports
                if as_pod and group is not None and clause.named:
                    ports = ports | port_set(span for named in clause.named for span in group.resolve(named))
                yield clause, ports


@lru_cache(maxsize=1 << 12)
def _one(ports: PortSet) -> PortSet:
    """One object for equal port sets, of which many addresses in many reaches have few: they are quickly compared."""
    return ports


def commonest(tally: Mapping[PortSet, int]) -> PortSet:
    """The ports that most have; of equally many, those of the last text."""
    return max(tally, key=lambda ports: (tally[ports], str(ports)))


def _without_repeats(nets: Sequence[tuple[Prefix, PortSet]]) -> tuple[tuple[Prefix, PortSet], ...]:
    """Leaves out every prefix that the next shorter one around it treats alike."""
    kept: list[tuple[Prefix, PortSet]] = []
    around: list[tuple[Prefix, PortSet]] = []
    for prefix, ports in nets:
        while around and not around[-1][0].covers(prefix):
            around.pop()
        if not around or around[-1][1] != ports:
            kept.append((prefix, ports))
            around.append((prefix, ports))
    return tuple(kept)

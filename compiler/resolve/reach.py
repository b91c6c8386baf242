"""What a class lets through, as a function of the other end's address: the heart of the compile.

For every class and family the result is a *reach*: exact addresses, shared sets and prefixes, each with the
ports that the tiers allow together. The first that holds an address decides, in that order; among prefixes the
longest. Tier evaluation happens here, once per distinct combination of matching clauses, never in the kernel.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from compiler.net import ALL_PORTS, NO_PORTS, Family, PortSet, Prefix, all_of, port_set
from compiler.policy import Action, Anyone, PodSelector, Tier
from compiler.resolve.blocks import Clauses, flatten, nested_blocks
from compiler.resolve.classes import Clause, PodClass
from compiler.resolve.inventory import Group, Inventory

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


class Reacher:
    """Computes reaches; remembers shared sets across classes."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._shared: dict[tuple[PodSelector, Family], SharedSet] = {}

    def reach(self, pods: PodClass, family: Family) -> Reach:
        """The reach of one class in one family."""
        return _ClassReach(self._inventory, pods, family, self._shared_set).result()

    def _shared_set(self, chosen: PodSelector, family: Family) -> SharedSet:
        found = self._shared.get((chosen, family))
        if found is None:
            addresses = sorted(a for g in self._inventory.members(chosen) for a in g.addresses(family))
            found = self._shared[chosen, family] = SharedSet(chosen, family, tuple(addresses))
        return found


class _ClassReach:
    """One class, one family: the work of `Reacher.reach`."""

    def __init__(
        self,
        inventory: Inventory,
        pods: PodClass,
        family: Family,
        make_shared: Callable[[PodSelector, Family], SharedSet],
    ) -> None:
        self._inventory = inventory
        self._class = pods
        self._family = family
        self._make_shared = make_shared
        self._memo: dict[object, PortSet] = {}
        self._everyone = frozenset(n for n, c in enumerate(pods.clauses) if Anyone() in c.rule.peers)
        self._names_open = any(c.named for c in pods.clauses)
        self._nets = nested_blocks(inventory, pods.clauses, family)
        spans = flatten(self._nets, family)
        self._starts = [start for start, _ in spans]
        self._held = [held for _, held in spans]
        self._exact: dict[int, PortSet] = {}

    def result(self) -> Reach:
        selectors = self._selectors()
        large = [s for s in selectors if self._is_large(s, selectors[s])]
        large.sort(key=lambda s: (self._inventory.size(s), repr(s)))
        done = self._enumerate(selectors, large)
        shared = []
        for n, chosen in enumerate(large):
            shared.append(
                (
                    self._make_shared(chosen, self._family),
                    self._cover(chosen, large[n + 1 :], selectors, done),
                )
            )
            done |= self._inventory.numbers(chosen)
        nets = [(prefix, self._ports(frozenset(), held, None)) for prefix, held in self._nets]
        return Reach(tuple(sorted(self._exact.items())), tuple(shared), _without_repeats(nets))

    def _selectors(self) -> dict[PodSelector, Clauses]:
        """The pod selectors of the class's clauses, with the numbers of the clauses that name them."""
        found: dict[PodSelector, set[int]] = {}
        for n, clause in enumerate(self._class.clauses):
            for peer in clause.rule.peers:
                if isinstance(peer, PodSelector):
                    found.setdefault(peer, set()).add(n)
        return {chosen: frozenset(numbers) for chosen, numbers in found.items()}

    def _is_large(self, chosen: PodSelector, clauses: Clauses) -> bool:
        if any(self._class.clauses[n].named for n in clauses):  # each pod decides the port: no two need agree
            return False
        return self._inventory.size(chosen) >= SHARED_MINIMUM

    def _enumerate(self, selectors: dict[PodSelector, Clauses], large: Sequence[PodSelector]) -> set[int]:
        """Every address of the small selectors' groups goes into `exact`. Returns the groups that are done."""
        by_group: dict[int, set[int]] = {}
        for chosen, clauses in selectors.items():
            if chosen not in large:
                for number in self._inventory.numbers(chosen):
                    by_group.setdefault(number, set()).update(clauses)
        for n in self._everyone:
            for named in self._class.clauses[n].named:
                for group in self._inventory.serving(named.name):
                    by_group.setdefault(group.number, set())
        for chosen in large:
            for number in by_group.keys() & self._inventory.numbers(chosen):
                by_group[number] |= selectors[chosen]
        for number, held in by_group.items():
            group = self._inventory.groups[number]
            covered = any(number in self._inventory.numbers(chosen) for chosen in large)
            self._put(group, frozenset(held), group.addresses(self._family), covered)
        return set(by_group)

    def _put(self, group: Group, clauses: Clauses, addresses: Sequence[int], covered: bool) -> None:
        """Enumerate addresses; those that the prefixes would treat alike are left to them unless `covered`."""
        for held, run in self._runs(addresses):
            ports = self._ports(clauses, held, group)
            if covered or ports != self._ports(frozenset(), held, None):
                self._exact.update(dict.fromkeys(run, ports))

    def _cover(
        self,
        chosen: PodSelector,
        later: Sequence[PodSelector],
        selectors: dict[PodSelector, Clauses],
        done: set[int],
    ) -> PortSet:
        """The ports that most addresses of a large selector share; the others are enumerated."""
        runs = list(self._runs(self._make_shared(chosen, self._family).addresses))
        parts = self._parts(chosen, later, selectors, done)
        tally: dict[PortSet, list[tuple[Group, Clauses, Sequence[int]]]] = {}
        if len(runs) == 1:  # no block tells these addresses apart, and named ports make no selector large
            answers = [self._ports(clauses, runs[0][0], groups[0]) for clauses, groups in parts]
            if len(set(answers)) == 1:
                return answers[0]
            for ports, (clauses, groups) in zip(answers, parts, strict=True):
                found = ((group, clauses, group.addresses(self._family)) for group in groups)
                tally.setdefault(ports, []).extend(found)
        else:
            for clauses, groups in parts:
                for group in groups:
                    for held, run in self._runs(group.addresses(self._family)):
                        tally.setdefault(self._ports(clauses, held, group), []).append((group, clauses, run))
        if not tally:
            return self._ports(selectors[chosen], self._held[0], None)
        most = max(tally, key=lambda ports: (sum(len(run) for _, _, run in tally[ports]), str(ports)))
        for ports, rest in tally.items():
            if ports != most:
                for group, clauses, run in rest:
                    self._put(group, clauses, run, covered=True)
        return most

    def _parts(
        self,
        chosen: PodSelector,
        later: Sequence[PodSelector],
        selectors: dict[PodSelector, Clauses],
        done: set[int],
    ) -> list[tuple[Clauses, list[Group]]]:
        """The groups of a large selector that are left, split by the clauses that hold for them."""
        left = self._inventory.numbers(chosen) - done
        parts = [(selectors[chosen], left)] if left else []
        for more in later:
            numbers = self._inventory.numbers(more)
            split = [(clauses | selectors[more], part & numbers) for clauses, part in parts]
            split += [(clauses, part - numbers) for clauses, part in parts]
            parts = [(clauses, part) for clauses, part in split if part]
        return [(clauses, [self._inventory.groups[n] for n in sorted(part)]) for clauses, part in parts]

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
            found = self._memo[key] = decide(self._matching(clauses, held, group), self._class.isolated)
        return found

    def _matching(self, clauses: Clauses, held: Clauses, group: Group | None) -> Iterator[tuple[Clause, PortSet]]:
        for n, clause in enumerate(self._class.clauses):
            as_pod = n in clauses or n in self._everyone
            if as_pod or n in held:
                ports = clause.ports
                if as_pod and group is not None and clause.named:
                    ports = ports | port_set(span for named in clause.named for span in group.resolve(named))
                yield clause, ports


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

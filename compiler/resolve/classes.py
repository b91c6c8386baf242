"""Which pods of a node are subject to which policies: classes of pods that share every policy in a direction.

A class is the unit of the ruleset: its pods differ in their addresses only. Pods that no policy touches in a
direction are in no class of that direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from compiler.net import ALL_PORTS, Family, PortSet, parse_address, port_set
from compiler.policy import Direction, NamedPort, Policy, Rule, Tier
from compiler.resolve.inventory import Census, Group
from compiler.resources.cluster import ContainerPort, Pod


@dataclass(frozen=True, slots=True)
class Clause:
    """A rule as one class meets it: `ports` are the numeric ones and, for ingress, the class's own named ports;
    `named` are still open (egress): the destination decides them."""

    tier: Tier
    rule: Rule
    ports: PortSet
    named: tuple[NamedPort, ...]


@dataclass(frozen=True, slots=True)
class PodClass:
    """Pods of one node with the same policies (and, for ingress, the same numbers behind the policies' named
    ports). Without policies: pods with the addresses that others hold as well; nothing is allowed there."""

    direction: Direction
    policies: tuple[Policy, ...]
    clauses: tuple[Clause, ...]
    isolated: bool
    pods: tuple[Pod, ...]

    @property
    def key(self) -> str:
        """What tells the class from every other: direction, policies, resolved ports. Names are made from it."""
        origins = [policy.origin for policy in self.policies]
        names = [[o.kind, o.namespace, o.name, *([o.place] if o.place else [])] for o in origins]
        return repr([self.direction.value, names, [(str(c.ports), c.named) for c in self.clauses]])

    def addresses(self, family: Family) -> tuple[int, ...]:
        """Addresses of its pods in one family, sorted."""
        found = (parse_address(text) for pod in self.pods for text in pod.ips)
        return tuple(sorted(value for kind, value in found if kind is family))


#: Policies by identity, and the ports of a group, to what these policies are for it in a direction.
Known = dict[
    tuple[Direction, tuple[int, ...], tuple[ContainerPort, ...]], tuple[tuple[Policy, ...], tuple[Clause, ...]]
]


def classes(
    census: Census, policies: Sequence[Policy], node: str | None, known: Known | None = None
) -> tuple[PodClass, ...]:
    """All classes of the pods on `node` (None: of all pods), ingress first, in a stable order. `policies`: in
    evaluation order, all of them, or those that may select pods of the node and one at least if there is any. `known`:
    answers of an earlier call; those of this call are left in it."""
    local = census.local(node)
    known = {} if known is None else known
    used: Known = {}
    found: list[PodClass] = []
    selected = census.selecting(policies, local)
    for direction in Direction:
        members: dict[object, tuple[tuple[Policy, ...], tuple[Clause, ...], list[Pod]]] = {}
        for group in local:
            deciding = [policy for policy in selected.get(group.number, ()) if _concerns(policy, direction)]
            for chosen, pods in _alike(deciding, group, node):
                asked = (direction, tuple(map(id, chosen)), group.ports)
                one = used[asked] = known.get(asked) or (chosen, _clauses(direction, chosen, group))
                key = (asked[1], tuple(clause.ports for clause in one[1]))
                members.setdefault(key, (*one, []))[2].extend(pods)
        found.extend(_pod_class(direction, *of_class) for of_class in members.values())
        closed = not all(policy.is_of_program for policy in policies)
        contested = tuple(_contested(census, node)) if closed else ()
        if contested:
            found.append(PodClass(direction, (), (), True, contested))
    known.clear()
    known.update(used)
    return tuple(found)


def _contested(census: Census, node: str | None) -> Iterator[Pod]:
    """A pod of the node for each address that it holds and others do, too."""
    for address, pods in census.contested.items():
        here = next((pod for pod in pods if node in (None, pod.node)), None)
        if here is not None:
            yield replace(here, ips=(address,))


def _alike(
    policies: Sequence[Policy], group: Group, node: str | None
) -> Iterator[tuple[tuple[Policy, ...], Sequence[Pod]]]:
    """The pods of a group that are on the node, by which of these policies decide for them. Addresses of one pod that
    fare differently are in several parts, each as a pod of its own."""
    pods = [pod for pod in group.pods if node is None or pod.node == node]
    if all(policy.only is None for policy in policies):
        if policies:
            yield tuple(policies), pods
        return
    found: dict[tuple[int, ...], list[Pod]] = {}
    for pod in pods:
        parts: dict[tuple[int, ...], list[str]] = {}
        for text in pod.ips:
            at = parse_address(text)
            chosen = (n for n, policy in enumerate(policies) if policy.only is None or policy.only.holds(*at))
            parts.setdefault(tuple(chosen), []).append(text)
        for numbers, ips in parts.items():
            found.setdefault(numbers, []).append(pod if len(parts) == 1 else replace(pod, ips=tuple(ips)))
    for numbers, part in found.items():
        if numbers:
            yield tuple(policies[n] for n in numbers), part


def _concerns(policy: Policy, direction: Direction) -> bool:
    return direction in policy.isolates if policy.tier is Tier.APPLICATION else bool(policy.rules(direction))


def _clauses(direction: Direction, chosen: Iterable[Policy], group: Group) -> tuple[Clause, ...]:
    """The rules of these policies as pods of this group meet them, in evaluation order."""
    found = []
    for policy in chosen:
        for rule in policy.rules(direction):
            spans, open_names = list(rule.ports.spans), rule.ports.named
            if direction is Direction.INGRESS:
                spans += [span for named in rule.ports.named for span in group.resolve(named)]
                open_names = ()
            ports = ALL_PORTS if rule.ports.everything else port_set(spans)
            found.append(Clause(policy.tier, rule, ports, open_names))
    return tuple(found)


def _pod_class(
    direction: Direction,
    chosen: tuple[Policy, ...],
    clauses: tuple[Clause, ...],
    members: Sequence[Pod],
) -> PodClass:
    pods = sorted(members, key=lambda pod: (pod.namespace, pod.name))
    return PodClass(
        direction=direction,
        policies=chosen,
        clauses=clauses,
        isolated=any(p.tier is Tier.APPLICATION for p in chosen),
        pods=tuple(pods),
    )

"""Policy blocks of the baseline tier -> policies as Kubernetes' objects are, each direction by itself.

A rule is an egress rule of the pods that are its source, and an ingress rule of those that are its target: two policies
of one rule each. `reach.decide` finds the first that matches, as among the objects of the tier. An end that is neither
pods by labels nor anyone is its addresses in this cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from compiler.net import Family, Intervals, intersect, union
from compiler.policy import (
    Action,
    Anyone,
    Direction,
    NamedPort,
    Origin,
    Peer,
    PodSelector,
    Policy,
    Ports,
    Resolved,
    Rule,
    Selector,
    Tier,
)
from compiler.resolve.ends import Ends, Here, Side, pods_of
from compiler.resources import language
from compiler.resources.language import Either, End, Less, Program

_EVERY_POD = PodSelector(Selector(), Selector())
#: Ends of these blocks name neither interfaces nor the node.
_PLAIN = Side(Here.NEVER, interfaces=False)


def with_blocks(objects: Sequence[Policy], program: Program, ends: Ends) -> tuple[Policy, ...]:
    """All policies in evaluation order: blocks in front of objects of the same priority, by name among themselves."""
    blocks = sorted((one for one in program.policies if one.tier == "baseline"), key=lambda one: one.name)
    found = chain.from_iterable(_Block(block, ends).policies() for block in blocks)
    return tuple(sorted((*found, *objects), key=lambda policy: (policy.tier, policy.priority)))


class _Block:
    def __init__(self, block: language.PolicyBlock, ends: Ends) -> None:
        self._block = block
        self._ends = ends

    def policies(self) -> Iterator[Policy]:
        for n, rule in enumerate(self._block.rules):
            assert isinstance(rule, language.Rule), "refused: lists in lists"
            origin = Origin("policy", "", self._block.name, f"rule[{n}]", rule.span)
            for direction in Direction:
                yield self._policy(rule, direction, origin)

    def _policy(self, rule: language.Rule, direction: Direction, origin: Origin) -> Policy:
        source: End = rule.source if rule.unless is None else Less(end=rule.source, without=rule.unless)
        egress = direction is Direction.EGRESS
        own, other = (source, rule.target) if egress else (rule.target, source)
        words = [f"the {what} of {rule.text}" for what in ("source", "target")]
        found = tuple(self._rules(rule, direction, tuple(self._peers(other, words[egress])), origin))
        pods = _EVERY_POD if isinstance(own, language.Anyone) else self._pods(own)
        return Policy(
            tier=Tier.BASELINE,
            priority=self._block.priority,
            subject=pods or _EVERY_POD,
            isolates=frozenset(),
            ingress=() if egress else found,
            egress=found if egress else (),
            origin=origin,
            only=None if pods is not None else self._resolved(own, words[not egress]),
        )

    def _rules(
        self, rule: language.Rule, direction: Direction, peers: tuple[Peer, ...], origin: Origin
    ) -> Iterator[Rule]:
        """One rule; and more of the same action where ports by name are those of pods that are a target by address."""
        action = Action(rule.verb)
        ports = _ports(rule.ports)
        yield Rule(action, peers, ports, origin)
        if direction is Direction.EGRESS and ports.named:
            for peer in peers:
                if isinstance(peer, Resolved):
                    for spans, serving in self._serving(ports.named, peer).items():
                        if any(serving.values()):
                            yield Rule(action, (Resolved(peer.text, serving),), Ports(spans=spans), origin)

    def _serving(
        self, wanted: Sequence[NamedPort], peer: Resolved
    ) -> dict[tuple[tuple[int, int, int], ...], dict[Family, Intervals]]:
        """The numbers behind these names -> the addresses of the peer that are pods with them."""
        found: dict[tuple[tuple[int, int, int], ...], dict[Family, Intervals]] = {}
        for named in wanted:
            for group in self._ends.inventory.serving(named.name):
                spans = tuple(group.resolve(named))
                serving = found.setdefault(spans, {}) if spans else {}
                for family in Family:
                    own = union(tuple((address, address) for address in group.addresses(family)))
                    known = serving.get(family, ())
                    serving[family] = union(known, intersect(own, peer.addresses[family]))
        return found

    def _peers(self, end: End, what: str) -> Iterator[Peer]:
        """Pods by their labels and anyone as in objects, what is left of the end by its addresses."""
        parts = end.ends if isinstance(end, Either) else (end,)
        left = []
        for one in parts:
            pods = self._pods(one)
            if isinstance(one, language.Anyone):
                yield Anyone()
            elif pods is not None:
                yield pods
            else:
                left.append(one)
        if left:
            yield self._resolved(end if len(left) == len(parts) else Either(ends=tuple(left)), what)

    @staticmethod
    def _pods(end: End) -> PodSelector | None:
        return pods_of(end) if isinstance(end, language.Pods) else None

    def _resolved(self, end: End, what: str) -> Resolved:
        found = {family: self._ends.alternatives(end, family, _PLAIN) for family in Family}
        return Resolved(what, {family: union(*(one.addresses for one in made)) for family, made in found.items()})


def _ports(ports: language.Ports) -> Ports:
    spans: list[tuple[int, int, int]] = []
    named: list[NamedPort] = []
    for one in ports or ():
        match one:
            case language.PortRange(protocol=protocol, first=first, last=last):
                spans.append((protocol, first, last))
            case language.MessageType(protocol=protocol, type=kind):
                spans.append((protocol, kind, kind))
            case language.WholeProtocol(protocol=protocol):
                spans.append((protocol, 0, 65535))
            case language.NamedPort(protocol=protocol, name=name):
                named.append(NamedPort(name, protocol))
    return Ports(everything=ports is None, spans=tuple(spans), named=tuple(named))

"""Programs of the policy language as values, and what they say of one packet: from docs/DSL.md, statement by statement.

Slow and obvious, and sharing nothing with `resolve` and `lower` but the dataclasses of programs: a packet's ends are
asked of the expression, the rules one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Literal

from hypothesis import strategies as st

from compiler.net import PROTOCOLS, Family, parse_address
from compiler.policy import Action, Direction
from compiler.resources.labels import LabelSelector, LabelSelectorRequirement
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    Log,
    MessageType,
    NamedPort,
    Nodes,
    Pods,
    PolicyBlock,
    PortRange,
    PortSpec,
    Program,
    Rate,
    Routed,
    Rule,
    ThisNode,
    WholeProtocol,
    every_rule,
)
from compiler.semantics.packet import ICMP, ICMPV6, PORTED, Packet
from compiler.snapshot import Snapshot
from grammar.source import Span
from tests.compiler.meaning import Meaning
from tests.compiler.worlds import UNIVERSE

#: Names of interfaces that packets come and go by.
NAMES = ("eth0", "eth1", "eth", "wg0", "wg10", "wg1", "lo")
PATTERNS = (*NAMES, "eth*", "wg*", "wg1*", "*")


class Hook(Enum):
    FORWARD = "forward"
    INPUT = "input"
    OUTPUT = "output"


def selector(**labels: str) -> LabelSelector:
    wanted = [LabelSelectorRequirement(key=key, operator="In", values=(value,)) for key, value in labels.items()]
    return LabelSelector(matchExpressions=wanted)


@st.composite
def ranges(draw: st.DrawFn) -> Addresses:
    family = draw(st.sampled_from(list(Family)))
    low, high = sorted(parse_address(draw(st.sampled_from(UNIVERSE[family])))[1] for _ in range(2))
    kind = type(ip_address("::" if family is Family.IPV6 else "0.0.0.0"))
    return Addresses(first=kind(low), last=kind(high))


selectors = st.sampled_from([LabelSelector(), selector(app="a"), selector(app="b"), selector(role="a")])
named = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2).map(lambda names: Interfaces(names=tuple(names)))
pods = st.builds(lambda space, labels: Pods(namespaces=space, labels=labels), st.sampled_from([None, "x"]), selectors)
leaves: st.SearchStrategy[End] = st.one_of(
    ranges(),
    ranges(),
    st.just(Anyone()),
    st.just(ThisNode()),
    named,
    pods,
    st.builds(lambda labels: Nodes(labels=labels), selectors),
)
ends: st.SearchStrategy[End] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda found: Either(ends=tuple(found)), st.lists(inner, max_size=3)),
        st.builds(lambda found: Both(ends=tuple(found)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda end, cut: Less(end=end, without=cut), inner, inner),
    ),
    max_leaves=5,
)
#: More often wide than not: rules that match nothing test nothing.
some_ends = st.just(Anyone()) | st.builds(lambda end: Less(end=Anyone(), without=end), leaves) | ends

_ported = st.sampled_from((6, 6, 17, 132))
_named_ports = st.builds(
    lambda proto, name: NamedPort(protocol=proto, name=name), _ported, st.sampled_from(("http", "dns"))
)
port_specs: st.SearchStrategy[PortSpec] = st.one_of(
    st.builds(
        lambda protocol, low, more: PortRange(protocol=protocol, first=low, last=low + more),
        _ported,
        st.integers(0, 5),
        st.sampled_from((0, 0, 1, 3)),
    ),
    _named_ports,
    _named_ports,
    st.builds(lambda kind: MessageType(protocol=1, type=kind), st.sampled_from((8, 0))),
    st.builds(lambda kind: MessageType(protocol=58, type=kind), st.sampled_from((128, 135))),
    st.builds(lambda protocol: WholeProtocol(protocol=protocol), st.sampled_from((1, 6, 17, 47, 58))),
)


@st.composite
def rules(draw: st.DrawFn, number: int, source: End | None = None, target: End | None = None) -> Rule:
    """A rule whose text and log prefix are its number."""
    verb: Literal["allow", "deny", "reject", "pass"] = draw(
        st.sampled_from(("allow", "deny", "deny", "reject", "pass"))
    )
    ports = draw(st.none() | st.lists(port_specs, min_size=1, max_size=draw(st.sampled_from((1, 2, 6)))).map(tuple))
    answers = ("icmp-admin-prohibited", "icmp-host-prohibited", "icmp-proto-unreachable", None)
    limit = st.none() | st.just(Rate(count=5, unit="minute"))
    log = draw(st.none() | st.none() | st.builds(lambda at: Log(prefix=f"<{number}>", limit=at), limit))
    return Rule(
        verb=verb,
        source=draw(some_ends) if source is None else source,
        target=draw(some_ends) if target is None else target,
        ports=ports,
        unless=draw(st.none() | st.none() | ends),
        log=log,
        answer=draw(st.sampled_from(answers)) if verb == "reject" else None,
        text=f"{verb} {number}",
        span=Span("p.np", number + 1, 1, number + 1, 2),
    )


#: Ends of the baseline tier, which has nothing in front of the policies of pods.
addressed = st.recursive(
    st.one_of(ranges(), ranges(), st.just(Anyone()), pods, st.builds(lambda labels: Nodes(labels=labels), selectors)),
    lambda inner: st.one_of(
        st.builds(lambda found: Either(ends=tuple(found)), st.lists(inner, max_size=3)),
        st.builds(lambda found: Both(ends=tuple(found)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda end, cut: Less(end=end, without=cut), inner, inner),
    ),
    max_leaves=4,
)


@st.composite
def baseline_blocks(draw: st.DrawFn) -> list[PolicyBlock]:
    """Of the priorities that objects of the tier have in `worlds`, and around them."""
    blocks = []
    for n in draw(st.permutations(range(draw(st.integers(0, 2))))):
        rules = []
        for i in range(draw(st.integers(1, 3))):
            verb: Literal["allow", "deny", "pass"] = draw(st.sampled_from(("allow", "deny", "deny", "pass")))
            rule = Rule(
                verb=verb,
                source=draw(st.just(Anyone()) | addressed),
                target=draw(st.just(Anyone()) | addressed),
                ports=draw(st.none() | st.lists(port_specs, min_size=1, max_size=2).map(tuple)),
                unless=draw(st.none() | st.none() | addressed),
                text=f"{verb} d{n}.{i}",
                span=Span("p.np", 600 + 10 * n + i, 1, 600 + 10 * n + i, 2),
            )
            rules.append(rule)
        place = Span("p.np", 700 + n, 1, 700 + n, 2)
        priority = draw(st.integers(0, 4))
        blocks.append(
            PolicyBlock(name=f"d{n}", tier="baseline", priority=priority, rules=tuple(rules), text="", span=place)
        )
    return blocks


@st.composite
def programs(draw: st.DrawFn, baseline: bool = False) -> Program:
    """Blocks in no order, and a node's list in both directions."""
    number = 0
    blocks = draw(baseline_blocks()) if baseline else []
    for n in draw(st.permutations(range(draw(st.integers(0, 3))))):
        inner = [draw(rules(number + i)) for i in range(draw(st.integers(1, 3)))]
        number += len(inner)
        priority = draw(st.integers(0, 2))
        place = Span("p.np", 500 + n, 1, 500 + n, 2)
        block = PolicyBlock(name=f"b{n}", tier="admin", priority=priority, rules=tuple(inner), text="", span=place)
        blocks.append(block)
    own = []
    for _ in range(draw(st.integers(0 if blocks else 1, 4))):
        us: End = ThisNode() if draw(st.integers(0, 2)) else Both(ends=(ThisNode(), draw(leaves)))
        own.append(draw(rules(number, target=us) if draw(st.booleans()) else rules(number, source=us)))
        number += 1
    return Program(policies=tuple(blocks), node=tuple(own))


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet at a hook: by which interfaces, and whether its ends are addresses of the node itself."""

    hook: Hook
    packet: Packet
    input: str
    output: str
    from_self: bool
    to_self: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """`how` is accept, drop or reject; `rules` decided, one of each list at most."""

    how: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A program and the policies behind it, at one node."""

    program: Program
    meaning: Meaning
    node: str

    @property
    def cluster(self) -> Snapshot:
        return self.meaning.snapshot

    def judge(self, seen: Seen) -> Judged:
        """What becomes of the packet, of no known connection."""
        decided: list[Rule] = []
        if not self._spared(seen):
            blocks = sorted(
                (b for b in self.program.policies if b.tier == "admin"), key=lambda block: (block.priority, block.name)
            )
            rules = [rule for block in blocks for rule in every_rule(block.rules)] if self._asks_blocks(seen) else []
            first = next((rule for rule in rules if self.matches(rule, seen)), None)
            decided += [first] if first is not None else []
            if first is not None and first.verb in ("deny", "reject"):
                return Judged({"deny": "drop", "reject": "reject"}[first.verb], (first,))
            if (first is None or first.verb == "pass") and not self._policies_allow(seen):
                return Judged("drop", tuple(decided))
        last = next((rule for rule in self._own_list(seen) if self.matches(rule, seen)), None)
        decided += [last] if last is not None else []
        how = {"deny": "drop", "reject": "reject"}.get(last.verb, "accept") if last is not None else "accept"
        return Judged(how, tuple(decided))

    def _spared(self, seen: Seen) -> bool:
        """A pod of the node to itself, and neighbour discovery: what is routed has lost one of its hops."""
        pod = self.meaning.holder(seen.packet.src)
        itself = seen.packet.src == seen.packet.dst and pod is not None and pod.node == self.node
        return itself or (seen.packet.is_neighbour_discovery and seen.hook is not Hook.FORWARD)

    def _asks_blocks(self, seen: Seen) -> bool:
        pod = self.meaning.holder(seen.packet.src)
        if seen.hook is Hook.INPUT:
            return pod is not None and pod.node == self.node
        return seen.hook is Hook.FORWARD or not seen.from_self

    def _policies_allow(self, seen: Seen) -> bool:
        packet = seen.packet
        if seen.hook is Hook.OUTPUT and seen.from_self:
            return True
        sides = [(Direction.EGRESS, packet.src, packet.dst)]
        sides += [(Direction.INGRESS, packet.dst, packet.src)] if seen.hook is not Hook.INPUT else []
        said = list(self._baseline(seen))
        for direction, subject, other in sides:
            pod = self.meaning.holder(subject)
            here = pod is not None and pod.node == self.node
            if here and not self.meaning.allows(direction, pod, other, packet.proto, packet.dport, said):  # type: ignore[arg-type]
                return False
        return True

    def _baseline(self, seen: Seen) -> Iterator[tuple[int, Action]]:
        """What blocks of that tier say, each its first rule that matches."""
        blocks = [block for block in self.program.policies if block.tier == "baseline"]
        for block in sorted(blocks, key=lambda block: (block.priority, block.name)):
            verb = next((rule.verb for rule in every_rule(block.rules) if self.matches(rule, seen)), None)
            if verb is not None:
                yield block.priority, {"allow": Action.ALLOW, "deny": Action.DENY, "pass": Action.PASS}[verb]

    def _own_list(self, seen: Seen) -> Sequence[Rule]:
        if seen.hook is Hook.FORWARD:
            return ()
        return [
            r for r in every_rule(self.program.node) if says_self(r.target if seen.hook is Hook.INPUT else r.source)
        ]

    def matches(self, rule: Rule, seen: Seen) -> bool:
        source, target = self._side(seen, True), self._side(seen, False)
        if not is_at(rule.source, source, self.cluster) or not is_at(rule.target, target, self.cluster):
            return False
        if rule.unless is not None and is_at(rule.unless, source, self.cluster):
            return False
        return rule.ports is None or any(self._at(port, seen.packet) for port in rule.ports)

    def _side(self, seen: Seen, source: bool) -> Point:
        address = seen.packet.src if source else seen.packet.dst
        if source:
            own = seen.hook is Hook.OUTPUT or seen.from_self
            return Point(address, None if seen.hook is Hook.OUTPUT else seen.input, own)
        own = seen.hook is Hook.INPUT or seen.to_self
        return Point(address, None if seen.hook is Hook.INPUT else seen.output, own)

    def _at(self, port: PortSpec, packet: Packet) -> bool:
        if port.protocol != packet.proto:
            return False
        match port:
            case PortRange(first=first, last=last):
                return first <= packet.dport <= last
            case NamedPort(name=name):
                pod = self.meaning.holder(packet.dst)
                own = pod.ports if pod is not None else ()
                return any((o.name, PROTOCOLS[o.protocol], o.port) == (name, packet.proto, packet.dport) for o in own)
            case MessageType(type=kind):
                echo = 8 if packet.proto == ICMP else 128
                family = {ICMP: 4, ICMPV6: 6}[packet.proto]
                return packet.version == family and kind == (echo if packet.icmp_type is None else packet.icmp_type)
            case WholeProtocol():
                return True


@dataclass(frozen=True, slots=True)
class Point:
    """One end of a packet: `name` None is no interface."""

    address: str
    name: str | None
    own: bool


def is_at(end: End, point: Point, cluster: Snapshot) -> bool:
    """Whether a packet's end is of this end."""

    def ask(one: End) -> bool:
        match one:
            case Addresses(first=first, last=last):
                here = ip_address(point.address)
                return here.version == first.version and int(first) <= int(here) <= int(last)
            case Anyone():
                return True
            case ThisNode():
                return point.own
            case Interfaces(names=names):
                return point.name is not None and any(is_named(pattern, point.name) for pattern in names)
            case Pods(namespaces=space, labels=labels):
                holders = [pod for pod in cluster.pods if pod.holds_addresses and point.address in pod.ips]
                return any(space in (None, pod.namespace) and has(pod.labels, labels) for pod in holders)
            case Nodes(labels=labels):
                known = {name: (node.labels, set(node.own_ips)) for name, node in cluster.nodes.items()}
                for pod in cluster.pods:
                    if pod.host_network and pod.phase == "Running":
                        known.setdefault(pod.node, ({}, set()))[1].update(pod.ips)
                return any(point.address in ips and has(own, labels) for own, ips in known.values())
            case Either(ends=inner):
                return any(map(ask, inner))
            case Both(ends=inner):
                return all(map(ask, inner))
            case Less(end=whole, without=cut):
                return ask(whole) and not ask(cut)
            case Routed():
                raise NotImplementedError("no random program says it")

    return ask(end)


def is_named(pattern: str, name: str) -> bool:
    """`wg*` is every name that begins so."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def has(labels: Mapping[str, str], wanted: LabelSelector) -> bool:
    """For selectors of values alone."""
    return all(labels.get(one.key) in (one.values or ()) for one in wanted.match_expressions or ())


def says_self(end: End) -> bool:
    """Whether an end says `self`, not counting exceptions."""
    match end:
        case Either(ends=inner) | Both(ends=inner):
            return any(map(says_self, inner))
        case Less(end=whole):
            return says_self(whole)
        case _:
            return isinstance(end, ThisNode)


@st.composite
def packets(draw: st.DrawFn, family: Family, sources: Sequence[str], targets: Sequence[str]) -> Packet:
    """Of every protocol that `port_specs` can ask for."""
    source, target = draw(st.sampled_from(sources)), draw(st.sampled_from(targets))
    proto = draw(st.sampled_from((6, 6, 17, 132, 1, 58, 47)))
    if proto in PORTED:
        return Packet(source, target, proto, 4000, draw(st.integers(0, 6)))
    if proto == ICMPV6 and family is Family.IPV6 and draw(st.booleans()):
        return Packet(source, target, ICMPV6, icmp_type=135, hop_limit=draw(st.sampled_from((255, 64))))
    return Packet(source, target, proto)

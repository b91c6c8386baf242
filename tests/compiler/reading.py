"""What programs of the policy language say of one packet: from docs/DSL.md, statement by statement.

Slow and obvious, and sharing nothing with `resolve` and `lower` but the dataclasses of programs: a packet's ends are
asked of the expression, the items one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address

from compiler.net import PROTOCOLS
from compiler.policy import Action, Direction
from compiler.resources.labels import LabelSelector
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Item,
    Less,
    MessageType,
    NamedPort,
    Nodes,
    Opaque,
    Pods,
    PortRange,
    PortSpec,
    Program,
    Routed,
    Rule,
    ThisNode,
    WholeProtocol,
    Within,
)
from compiler.semantics.packet import ICMP, ICMPV6, Packet
from compiler.semantics.rules.netfilter import State
from compiler.snapshot import Snapshot
from tests.compiler.meaning import Meaning
from tests.compiler.programs import every_rule

_WITH_PORTS = (6, 17, 33, 132, 136)
_STOPS = {"deny": "drop", "reject": "reject"}


class Hook(Enum):
    FORWARD = "forward"
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet at a hook: by which interfaces, and whether its ends are addresses of the node itself. `throw`: how
    everything ends that is left to chance."""

    hook: Hook
    packet: Packet
    input: str
    output: str
    from_self: bool
    to_self: bool
    state: State = State.NEW
    mark: int = 0
    throw: bool = True


@dataclass(slots=True)
class Judged:
    """`how` is accept, drop or reject; `rules` decided, one of each list at most; `noted`: what was logged, by its
    prefixes."""

    how: str
    rules: list[Rule] = field(default_factory=list)
    noted: set[str] = field(default_factory=set)


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
        """What becomes of the packet."""
        judged = Judged("accept")
        forwarded = seen.hook is Hook.FORWARD
        packets = self.program.forward_packets if forwarded else self.program.node_packets
        self._ask(packets, seen, judged, not forwarded)
        if judged.how != "accept" or seen.state in (State.ESTABLISHED, State.RELATED):
            return judged
        if not self._spared(seen):
            blocks = sorted((b for b in self.program.policies if b.tier == "admin"), key=lambda b: (b.priority, b.name))
            items = [item for block in blocks for item in block.rules] if self._asks_blocks(seen) else []
            verb = self._ask(items, seen, judged, False)
            if judged.how != "accept":
                return judged
            if verb != "allow" and not self._policies_allow(seen):
                judged.how = "drop"
                return judged
        self._ask(self.program.forward if forwarded else self.program.node, seen, judged, not forwarded)
        return judged

    def _ask(self, items: Sequence[Item], seen: Seen, judged: Judged, of_node: bool) -> str:
        """What the rule of a list says that decides, or leaves it."""
        found = self._first(items, seen, judged, of_node, False)
        if found is None:
            return ""
        judged.rules.append(found)
        judged.how = _STOPS.get(found.verb, judged.how)
        return found.verb

    def _first(self, items: Sequence[Item], seen: Seen, judged: Judged, of_node: bool, around: bool) -> Rule | None:
        """The item that decides or leaves; in lists of the node an item counts where it says that the end is the node
        itself, and so does all that is inside of such a head."""
        for item in items:
            assert not isinstance(item, Opaque), "no random program says it"
            here = around or not of_node or says_self(item.target if seen.hook is Hook.INPUT else item.source)
            if not here:
                continue
            if isinstance(item, Within):
                if self.matches(item, seen):
                    found = self._first(item.items, seen, judged, of_node, here)
                    if found is not None and found.verb != "leave":
                        return found
            elif self.matches(item, seen):
                judged.noted |= {item.log.prefix} if item.log is not None else set()
                if item.verb != "log":
                    return item
        return None

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

    def matches(self, rule: Rule | Within, seen: Seen) -> bool:
        source, target = self._side(seen, True), self._side(seen, False)
        if not is_at(rule.source, source, self.cluster) or not is_at(rule.target, target, self.cluster):
            return False
        if rule.unless is not None and is_at(rule.unless, source, self.cluster):
            return False
        packet = seen.packet
        asked = [rule.ports is None or any(self._at(port, packet) for port in rule.ports)]
        asked.append(not rule.states or seen.state.name.lower() in rule.states)
        asked.append(rule.marked is None or seen.mark & rule.marked.mask == rule.marked.value)
        if rule.source_ports:
            asked.append(packet.proto in _WITH_PORTS)
            asked.append(any(low <= packet.sport <= high for low, high in rule.source_ports))
        asked.append(rule.chance is None or seen.throw or rule.chance == 1)
        return all(asked)

    def _side(self, seen: Seen, source: bool) -> Point:
        address = seen.packet.src if source else seen.packet.dst
        if source:
            own = seen.hook is Hook.OUTPUT or seen.from_self
            return Point(address, None if seen.hook is Hook.OUTPUT else seen.input, own, seen.from_self)
        own = seen.hook is Hook.INPUT or seen.to_self
        return Point(address, None if seen.hook is Hook.INPUT else seen.output, own, seen.to_self)

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
    """One end of a packet: `name` None is no interface; `own`: it is the node itself there, `local`: it has the node's
    address."""

    address: str
    name: str | None
    own: bool
    local: bool = False


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
            case Routed(kind=kind):
                there = ip_address(point.address)
                every_host = point.address == "255.255.255.255"
                return {
                    "local": point.local or there.is_loopback,
                    "multicast": there.is_multicast,
                    "broadcast": every_host,
                }[kind]

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

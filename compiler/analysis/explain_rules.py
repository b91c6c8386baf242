"""What the rules of the nodes on the way make of a connection that was explained, beside what the policies say there.

A connection passes the node of its source and the node of its destination, once where they are the same. At each one
it is forwarded, or delivered to the node itself, or sent by the node itself, depending on whose its addresses are.
Its replies come the same way back, as packets of a connection that conntrack knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from compiler.analysis.ends import Place
from compiler.analysis.explain import Answer, Explanation
from compiler.analysis.explain_ways import Follower, Ways
from compiler.analysis.proof import NotProved, understood
from compiler.resources.cluster import TERMINAL_PHASES
from compiler.semantics.diagrams.space import Path
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import ICMP, ICMPV6, Packet, connection
from compiler.semantics.proof.case import Case, Said, said
from compiler.semantics.rules.journey import Route, Situation
from compiler.semantics.rules.netfilter import AddressType, End, State
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot

_ECHO_REPLY = {ICMP: 0, ICMPV6: 129}


@dataclass(frozen=True, slots=True)
class Passage:
    """A packet at one node; `node` None: a machine that has every pod. `said` is what the policies say of it there.
    `arrives`: no node before it drops the packet. `replies`: their way, when the packet passes as it came."""

    node: str | None
    packet: Packet
    path: Path
    said: Said
    ways: Ways
    arrives: bool = True
    replies: Passage | None = None

    @property
    def changed_ends(self) -> frozenset[End]:
        """The ends that NAT changes here."""
        return self.ways.trace.change.translated if self.ways.trace is not None else frozenset()

    @property
    def translated(self) -> bool:
        """Whether rules gave the packet another destination: the policies were asked about the one it had."""
        return End.DESTINATION in self.changed_ends

    @property
    def agrees(self) -> bool | None:
        """Whether the rules do what the policies say; None: not known."""
        if self.ways.passed is None or self.translated:
            return None
        own = self.ways.passed is self.said.allowed
        return own and self.replies.agrees if own and self.replies is not None else own


@dataclass(frozen=True, slots=True)
class Journey:
    """A connection between two addresses, at each node on its way."""

    source: Place
    destination: Place
    passages: tuple[Passage, ...]


class Rules:
    """The rules of nodes, to be asked about the answers of one explanation. `whose`: the only node whose rules there
    are; `everywhere`: they are of a machine that has every pod. `texts` gives those of a node (None: of every pod),
    (name, text) each."""

    def __init__(
        self,
        policies: Sequence[AnyPolicy],
        snapshot: Snapshot,
        found: Explanation,
        texts: Callable[[str | None], Iterable[tuple[str, str]]],
        whose: str | None = None,
        everywhere: bool = False,
    ) -> None:
        self._oracle = Oracle(policies, snapshot)
        self._found = found
        self._texts = texts
        self._whose = whose
        self._everywhere = everywhere
        self._homes = node_addresses(snapshot)
        self._followers: dict[str | None, Follower] = {}

    def journeys(self) -> Iterator[tuple[Answer, Journey | None]]:
        """Every answer with the way of one of its connections: the first that comes by the node in question; None
        when none does. Raises NotProved for rules that are not understood."""
        for answer in self._found.answers:
            yield answer, next(map(self._journey, self._pairs(answer)), None)

    def _pairs(self, answer: Answer) -> Iterator[tuple[Place, Place]]:
        for alike in answer.alike:
            for pair in alike.pairs():
                if self._whose is None or self._whose in nodes_between(*pair, self._homes):
                    yield pair

    def _journey(self, pair: tuple[Place, Place]) -> Journey:
        source, destination = pair
        nodes: tuple[str | None, ...] = nodes_between(source, destination, self._homes)
        if self._everywhere or "" in nodes:
            nodes = (None,)
        if self._whose is not None:
            nodes = (self._whose,)
        protocol, port = self._found.wanted.of(destination)
        packet = connection(source.address, destination.address, protocol, port, 0)
        passages: list[Passage] = []
        for node in nodes:
            own = self._own(node, source, destination)
            passage = self._passage(node, packet, own, State.NEW)
            if passage.ways.passed and not passage.translated:
                passage = replace(passage, replies=self._passage(node, _reply(packet), own, State.ESTABLISHED))
            arrives = all(before.ways.passed is not False for before in passages)
            passages.append(replace(passage, arrives=arrives))
        return Journey(source, destination, tuple(passages))

    def _own(self, node: str | None, source: Place, destination: Place) -> frozenset[str]:
        """The node's addresses; of a machine that has every pod, the source's where it is the pod's own node."""
        if node is not None:
            return frozenset(address for address, home in self._homes.items() if home == node)
        home = self._homes.get(source.address)
        pod = destination.holder
        return frozenset({source.address} if home is not None and pod is not None and pod.node == home else ())

    def _passage(self, node: str | None, packet: Packet, own: frozenset[str], state: State) -> Passage:
        sent = packet.src in own
        path = Path.OUTPUT if sent else Path.INPUT if packet.dst in own else Path.FORWARD
        kind = AddressType.LOCAL if sent else AddressType.UNICAST
        # A packet that conntrack has not seen yet has the state that follows from what it is.
        situation = Situation(
            packet, Route.SENT if sent else Route.ARRIVES, own, state=None if state is State.NEW else state
        )
        try:
            ways = self._follower(node).follow(situation)
        except ValueError as error:
            raise NotProved(f"rules that no kernel loads: {error}") from None
        return Passage(node, packet, path, said(self._oracle, node, Case(path, packet, state, kind)), ways)

    def _follower(self, node: str | None) -> Follower:
        if node not in self._followers:
            self._followers[node] = Follower(understood(self._texts(node)))
        return self._followers[node]


def node_addresses(snapshot: Snapshot) -> dict[str, str]:
    """Address -> the node that has it, host-network pods' among them."""
    found = {
        address: pod.node
        for pod in snapshot.pods
        if pod.host_network and pod.node and pod.phase not in TERMINAL_PHASES
        for address in pod.ips
    }
    return found | {address: node.name for node in snapshot.nodes.values() for address in node.own_ips}


def nodes_on_the_way(found: Explanation, snapshot: Snapshot) -> tuple[str, ...]:
    """The nodes that connections between the ends may come by; "" as in `nodes_between`."""
    homes = node_addresses(snapshot)
    places = (*found.source.places, *found.destination.places)
    return tuple(dict.fromkeys(node for place in places for node in nodes_between(place, place, homes)))


def nodes_between(source: Place, destination: Place, homes: dict[str, str]) -> tuple[str, ...]:
    """The nodes on the way between two places, in its order; "" for a pod that the input gives no node."""
    ends = (place.holder.node if place.holder else homes.get(place.address) for place in (source, destination))
    return tuple(dict.fromkeys(node for node in ends if node is not None))


def _reply(packet: Packet) -> Packet:
    kind = _ECHO_REPLY.get(packet.proto)
    if kind is not None:
        return replace(packet, src=packet.dst, dst=packet.src, icmp_type=kind)
    return replace(packet, src=packet.dst, dst=packet.src, sport=packet.dport, dport=packet.sport)

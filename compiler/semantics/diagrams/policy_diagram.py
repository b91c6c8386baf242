"""What the policies say of every packet at a node, as one diagram for each hook and family.

The oracle answers for one packet; this says the same of all packets at once, from the same resources and the same
readings of selectors, ports and blocks (`reading`), and nothing of the compiler. Glossary as in `oracle`: the
*subject* is the pod whose policies are asked, the *other* end is an address.

The hooks (docs/SEMANTICS.md): FORWARD has both directions; INPUT, where the destination is the node itself, only
the egress of its pods; OUTPUT both, for sources that are not the machine's own (a proxy that borrows an address):
the node itself reaches its own pods. Packets that conntrack calls invalid or untracked are no replies, so they are
judged like first packets.
"""

from __future__ import annotations

from collections.abc import Hashable

from compiler.resources.cluster import Pod
from compiler.semantics.diagrams.clauses import Block, Clause, Clauses
from compiler.semantics.diagrams.diagram import IN, NOTHING, Diagrams, Range
from compiler.semantics.diagrams.space import ACCEPT, DROP, Level, Path, Space
from compiler.semantics.packet import ICMPV6, LINK_LOCAL_HOPS, NEIGHBOUR_DISCOVERY
from compiler.semantics.rules.netfilter import AddressType, State
from compiler.semantics.verdict import Direction, PortTest, Verdict

#: Conntrack's states of replies and related packets; and the type of the machine's own addresses.
REPLIES, LOCAL = (State.ESTABLISHED, State.RELATED), AddressType.LOCAL


class PolicyDiagrams:
    """The policies of a node (None: of all pods) for the packets of one space. `region`: the packets that count, by
    their destinations; of others the diagrams may say anything."""

    def __init__(self, clauses: Clauses, node: str | None, over: Space, region: int = IN) -> None:
        self._over, self._made, self._region = over, over.made, region
        self._clauses, self._ends = clauses, clauses.ends
        self._subjects, self._contested = clauses.subjects(node), clauses.contested(node)
        self._unknown = clauses.ends.unknown(node)
        self._others = {Direction.INGRESS: over.source, Direction.EGRESS: over.destination}
        self._accept, self._denies = self._made.outcome(ACCEPT), self._made.outcome(DROP)
        self._says = {verdict: self._made.outcome(verdict) for verdict in Verdict} | {Verdict.DENY: self._denies}
        self._done: dict[Hashable, int] = {}
        #: Rules of a program in the baseline tier, by the diagrams that mean them: they stand in `_denied` for now.
        self._rules = {
            self._made.outcome(rule): (rule, verdict)
            for block in clauses.blocks
            for rule, verdict in block.rules.items()
        }
        self._denied = {direction: self._denials(direction) for direction in Direction}

    def at(self, path: Path, turned: Hashable = None) -> int:
        """The diagram of a hook: `ACCEPT` or `DROP` for every packet. `turned`: a rule of a baseline block that is
        taken to say the contrary."""
        made, accept = self._made, self._accept
        parts = [made.inside(Level.STATE, [(state, state) for state in REPLIES], accept)]
        if path is Path.OUTPUT:
            parts.append(made.inside(Level.SOURCE_TYPE, [(LOCAL, LOCAL)], accept))
        parts += [made.where(neighbour_discovery(self._over), accept), made.where(self._itself(), accept)]
        # The node's own addresses may be of its pods' range, as a bridge's is.
        foreign = [(0, LOCAL - 1), (LOCAL + 1, max(AddressType))]
        closed = made.inside(Level.SOURCE_TYPE, foreign, made.inside(self._over.source, self._unknown, self._denies))
        parts += [closed, self._denying(Direction.EGRESS, turned)]
        if path is not Path.INPUT:
            parts.append(made.inside(self._over.destination, self._unknown, self._denies))
            parts += [made.where(self._own_node(), accept), self._denying(Direction.INGRESS, turned)]
        return made.first([*parts, accept])

    def impossible(self, path: Path) -> int:
        """Packets that are never on this path, so that nobody can tell what rules would do to them.

        - In INPUT, packets to the address of a pod, which is none of the machine's.
        - In FORWARD, packets with a node's address to a pod of that node: the node's own leave through OUTPUT, others
          are martians, which the kernel drops where it routes (fib_validate_source in net/ipv4/fib_frontend.c).
        - In OUTPUT, those where that source is not local.
        """
        made = self._made
        if path is Path.INPUT:
            return made.inside(self._over.destination, self._ends.pods_alone)
        foreign = [(0, LOCAL - 1), (LOCAL + 1, max(AddressType))] if path is Path.OUTPUT else [(0, max(AddressType))]
        return made.inside(Level.SOURCE_TYPE, foreign, self._own_node())

    def _itself(self) -> int:
        """A pod always reaches itself, whichever of its addresses it uses."""
        own: dict[int, list[int]] = {}
        for address, pod in self._subjects.items():
            own.setdefault(id(pod), []).append(address)
        pairs = [((a, a), (b, b)) for same in own.values() for a in same for b in same]
        pairs += [((a, a), (a, a)) for a in self._contested]
        return self._made.rows((self._over.source, self._over.destination), pairs) if pairs else NOTHING

    def _own_node(self) -> int:
        """ "OR if the traffic source is the pod's local node"; kubelet's probes come from there."""
        by_node: dict[str, list[Range]] = {}
        for address, pod in self._subjects.items():
            by_node.setdefault(pod.node, []).append((address, address))
        made, nodes = self._made, self._ends.of_node
        found = [(pods, [(a, a) for a in nodes.get(name, ())]) for name, pods in by_node.items()]
        found += [([(address, address)], list(own)) for address, own in self._contested.items()]
        return made.first(
            made.where(made.inside(self._over.destination, pods), made.inside(self._over.source, own))
            for pods, own in found
        )

    def _denying(self, direction: Direction, turned: Hashable) -> int:
        """`DROP` for what a direction denies to any of its subjects."""
        says = {
            leaf: self._denies if (verdict is Verdict.DENY) is not (rule == turned) else NOTHING
            for leaf, (rule, verdict) in self._rules.items()
        }
        return self._made.relabel(self._denied[direction], says) if says else self._denied[direction]

    def _denials(self, direction: Direction) -> int:
        """`DROP` for what a direction denies to any of its subjects; of a block's rules, which decides."""
        subject = self._over.destination if direction is Direction.INGRESS else self._over.source
        made = self._made
        alike: dict[int, list[Range]] = {}
        for address, pod in self._subjects.items():
            if made.where(self._region, made.inside(subject, [(address, address)])) != NOTHING:
                alike.setdefault(self._denials_of(direction, pod), []).append((address, address))
        if self._contested:
            alike.setdefault(self._denies, []).extend((address, address) for address in self._contested)
        return made.first(
            [made.where(made.where(self._region, made.inside(subject, pods)), denied) for denied, pods in alike.items()]
        )

    def _denials_of(self, direction: Direction, pod: Pod) -> int:
        """Of other end, protocol and port: says `DROP` where the pod's policies deny, else nothing."""
        asked = self._clauses.asked(direction, pod)
        key = (direction, asked.isolated, tuple(map(id, asked.admin)), tuple(map(id, asked.behind)))
        found = self._done.get(key)
        if found is None:
            made, says = self._made, self._says
            front = made.first(self._policy(direction, clauses) for clauses in asked.admin)
            rest = made.first(self._policy(direction, clauses) for clauses in asked.behind)
            behind = made.first([rest, self._denies]) if asked.isolated else rest
            # From the admin tier, Pass goes on behind it; from the baseline tier, to the default, which is to allow.
            front = front and made.relabel(front, {says[Verdict.PASS]: NOTHING})
            whole = made.first([front, behind])
            found = made.relabel(whole, {says[Verdict.PASS]: NOTHING, says[Verdict.ALLOW]: NOTHING})
            self._done[key] = found
        return found

    def _policy(self, direction: Direction, clauses: tuple[Clause, ...] | Block) -> int:
        """What one policy says: the first of its clauses that is about the packet."""
        if isinstance(clauses, Block):
            if id(clauses) not in self._done:
                self._done[id(clauses)] = self._made.where(self._region, clauses.at(self._over))
            return self._done[id(clauses)]
        key = (direction, id(clauses))
        if key not in self._done:
            self._done[key] = self._made.first([self._clause(direction, clause) for clause in clauses])
        return self._done[key]

    def _clause(self, direction: Direction, clause: Clause) -> int:
        ports = to_ports(self._made, clause.ports, self._says[clause.verdict])
        if clause.others is None:
            return ports
        found = self._made.inside(self._others[direction], clause.others, ports)
        return self._made.where(self._region, found) if direction is Direction.EGRESS else found


def to_ports(made: Diagrams, ports: PortTest, says: int) -> int:
    """`says` of the packets that the ports are about. Protocols without policy ports pass "only where a rule has no
    ports"."""
    if ports.everything:
        return says
    spans: dict[int, list[Range]] = {}
    for protocol, low, high in ports.spans:
        spans.setdefault(protocol, []).append((low, high))
    return made.first(
        made.inside(Level.PROTOCOL, [(protocol, protocol)], made.inside(Level.DPORT, found, says))
        for protocol, found in spans.items()
    )


def neighbour_discovery(over: Space) -> int:
    """Neighbour discovery that no router forwarded."""
    if over.version == 4:
        return NOTHING
    hops = over.made.inside(Level.HOPS, [(LINK_LOCAL_HOPS, LINK_LOCAL_HOPS)])
    types = over.made.inside(Level.ICMP_TYPE, [(number, number) for number in NEIGHBOUR_DISCOVERY], hops)
    return over.made.inside(Level.PROTOCOL, [(ICMPV6, ICMPV6)], types)

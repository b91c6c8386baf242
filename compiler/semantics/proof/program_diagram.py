"""What a program in the policy language and the policies say of every packet, as one diagram for each hook and family.

`program` answers for one packet, and its table tells what is asked where; this says the same of all packets at once.
Lists of rules become diagrams of which rule decides (`deciding`) or of what it says (`at`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    MessageType,
    NamedPort,
    Nodes,
    Pods,
    PolicyBlock,
    PortRange,
    Ports,
    PortSpec,
    Rule,
    ThisNode,
    WholeProtocol,
)
from compiler.semantics.diagrams.diagram import IN, NOTHING, Range
from compiler.semantics.diagrams.policy_diagram import LOCAL, REPLIES, PolicyDiagrams, neighbour_discovery
from compiler.semantics.diagrams.space import ACCEPT, DROP, Level, Path, Space
from compiler.semantics.packet import ICMP
from compiler.semantics.proof.program import answer
from compiler.semantics.proof.program_ends import ByAddress, ProgramEnds, interfaces, names

#: What a rule of a list says: a diagram, of its place in the list and itself.
Says = Callable[[int, Rule], int]
_PASS = "pass"


class ProgramDiagrams:
    """Of a node (None: of any, of all pods), for the packets of one space. `blocks`: in the order in which they are
    asked; `list_`: the rules of the node itself; `behind`: Kubernetes' policies, of the same node and space."""

    def __init__(
        self,
        blocks: Sequence[PolicyBlock],
        list_: Sequence[Rule],
        ends: ProgramEnds,
        node: str | None,
        behind: PolicyDiagrams,
        over: Space,
    ) -> None:
        self.over, self._made, self._ends, self._behind = over, over.made, ends, behind
        #: Of the blocks, and of the node's list, in their order.
        self.rules, self.own = [rule for block in blocks for rule in block.rules], list_
        holders = ends.ends.holders
        self._own = tuple((a, a) for a in sorted(holders) if node in (None, holders[a].node))
        claimed = [(a, pods) for a, pods in ends.ends.contested.items() if any(node in (None, p.node) for p in pods)]
        self._pairs = [((a, a), (a, a)) for a, _ in claimed]
        pods: dict[int, list[int]] = {}
        for address, _ in self._own:
            pods.setdefault(id(holders[address]), []).append(address)
        self._pairs += [((a, a), (b, b)) for own in pods.values() for a in own for b in own]
        self._done: dict[tuple[int, Path, bool], int] = {}

    def impossible(self, path: Path) -> int:
        """Packets that are never on this path."""
        return self._behind.impossible(path)

    def at(self, path: Path) -> int:
        """The diagram of a hook: `ACCEPT`, `DROP` or "reject KIND" for every packet."""
        made, accept = self._made, self._made.outcome(ACCEPT)
        replies = made.inside(Level.STATE, [(state, state) for state in REPLIES], accept)
        ends = made.relabel(self.before_list(path), {accept: NOTHING})
        # Nothing is behind the node's list for pass to lead to.
        own = made.relabel(self.of_list(path, self.verdict), {made.outcome(_PASS): accept})
        return made.first([replies, ends, own, accept])

    def before_list(self, path: Path, blocks: int | None = None) -> int:
        """What policy blocks and Kubernetes' policies say, where the node's list is yet to be asked. `blocks`: what the
        verdicts of the blocks are, where that is known."""
        made = self._made
        found = self.of_blocks(path, self.verdict) if blocks is None else blocks
        return made.first([made.relabel(found, {made.outcome(_PASS): NOTHING}), self._behind.at(path)])

    def of_blocks(self, path: Path, says: Says) -> int:
        """What the policy blocks say of the packets that they are asked about; all their rules count as one list."""
        made = self._made
        asked = made.outside(made.first([self.exempt(), made.inside(Level.STATE, [(s, s) for s in REPLIES])]))
        if path is Path.INPUT:
            asked = made.where(asked, made.inside(self.over.source, self._own))
        if path is Path.OUTPUT:
            asked = made.where(asked, made.outside(made.inside(Level.SOURCE_TYPE, [(LOCAL, LOCAL)])))
        if asked == NOTHING:
            return NOTHING
        return made.where(asked, self._first(enumerate(self.rules), path, says))

    def of_list(self, path: Path, says: Says) -> int:
        """What the node's list says of the packets that come to it."""
        if path is Path.FORWARD:
            return NOTHING
        made = self._made
        asked = made.outside(made.inside(Level.STATE, [(state, state) for state in REPLIES]))
        rules = [(n, rule) for n, rule in enumerate(self.own) if self._is_here(rule, path)]
        return made.where(asked, self._first(rules, path, says))

    def exempt(self) -> int:
        """Packets that no block and no policy can stop: a pod's to itself, and neighbour discovery."""
        made = self._made
        itself = made.rows((self.over.source, self.over.destination), self._pairs) if self._pairs else NOTHING
        return made.first([neighbour_discovery(self.over), itself])

    def _first(self, rules: Iterable[tuple[int, Rule]], path: Path, says: Says) -> int:
        return self._made.first([self._rule(rule, path, says(n, rule)) for n, rule in rules])

    def _is_here(self, rule: Rule, path: Path) -> bool:
        return names(rule.target if path is Path.INPUT else rule.source, ThisNode)

    def verdict(self, _: int, rule: Rule) -> int:
        """What the rule says: `ACCEPT`, `DROP`, "reject KIND" or "pass"."""
        said = {"allow": ACCEPT, "deny": DROP, "pass": _PASS}.get(rule.verb)
        return self._made.outcome(said or f"reject {answer(rule, self.over.version)}")

    # One rule

    def _rule(self, rule: Rule, path: Path, says: int) -> int:
        made = self._made
        source = self.end(rule.source, path, source=True)
        if rule.unless is not None:
            source = made.where(made.outside(self.end(rule.unless, path, source=True)), source)
        return made.where(source, made.where(self.end(rule.target, path, source=False), self.ports(rule.ports, says)))

    def end(self, end: End, path: Path, source: bool) -> int:
        """The packets whose source, or whose target, is of the end."""
        key = (id(end), path, source)
        if key not in self._done:
            self._done[key] = self._end(end, path, source)
        return self._done[key]

    def _end(self, end: End, path: Path, source: bool) -> int:
        made, address = self._made, self.over.source if source else self.over.destination
        match end:
            case Anyone():
                return IN
            case Addresses() | Pods() | Nodes():
                return made.inside(address, self._ends.addresses(end))
            case ThisNode():
                if path is (Path.OUTPUT if source else Path.INPUT):
                    return IN
                return made.inside(Level.SOURCE_TYPE if source else Level.DESTINATION_TYPE, [(LOCAL, LOCAL)])
            case Interfaces():
                if path is (Path.OUTPUT if source else Path.INPUT):  # has none
                    return NOTHING
                return made.inside(Level.INPUT if source else Level.OUTPUT, interfaces(end))
            case Either(ends=ends):
                others = [self.end(one, path, source) for one in ends if not isinstance(one, ByAddress)]
                return made.first([made.inside(address, self._ends.together(end)), *others])
            case Both(ends=ends):
                found = IN
                for one in ends:
                    found = made.where(found, self.end(one, path, source))
                return found
            case Less(end=inner, without=without):
                return made.where(made.outside(self.end(without, path, source)), self.end(inner, path, source))
            case _:
                assert_never(end)

    def ports(self, ports: Ports, says: int = IN) -> int:
        """`says` of the packets that one of the ports is about; None: of all."""
        if ports is None:
            return says
        spans: dict[int, list[Range]] = {}
        parts = []
        for port in ports:
            if isinstance(port, PortRange):
                spans.setdefault(port.protocol, []).append((port.first, port.last))
            else:
                parts.append(self._port(port, says))
        parts += [self._to(protocol, found, says) for protocol, found in spans.items()]
        return self._made.first(parts)

    def _port(self, port: PortSpec, says: int) -> int:
        made = self._made
        match port:
            case PortRange():
                return self._to(port.protocol, [(port.first, port.last)], says)
            case WholeProtocol(protocol=protocol):
                return made.inside(Level.PROTOCOL, [(protocol, protocol)], says)
            case MessageType(protocol=protocol, type=number):
                if self.over.version != (4 if protocol == ICMP else 6):
                    return NOTHING
                types = made.inside(Level.ICMP_TYPE, [(number, number)], says)
                return made.inside(Level.PROTOCOL, [(protocol, protocol)], types)
            case NamedPort(protocol=protocol):
                return made.first(
                    made.where(made.inside(self.over.destination, pods), self._to(protocol, [(number, number)], says))
                    for number, pods in self._ends.servers(port).items()
                )
            case _:
                assert_never(port)

    def _to(self, protocol: int, ports: Sequence[Range], says: int) -> int:
        return self._made.inside(Level.PROTOCOL, [(protocol, protocol)], self._made.inside(Level.DPORT, ports, says))

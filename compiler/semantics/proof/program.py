"""The verdict of one packet under a program in the policy language, straight from its statements.

As `oracle` for the API's objects, and sharing nothing with the compiler: statement after statement, in the words of
docs/DSL.md, one packet at a time. What is decided where:

| hook | first | then | at last |
|---|---|---|---|
| FORWARD | policy blocks | Kubernetes' policies | |
| INPUT | policy blocks, of packets from pods of this node | the egress policies of those pods | the node's list |
| OUTPUT | policy blocks, where the source is not the node's own | Kubernetes' policies, of the same | the node's list |

- The first rule of all blocks that matches decides: allow passes and Kubernetes is not asked; deny and reject end the
  packet; pass leaves it to Kubernetes. Blocks stand in the order of (priority, name). What none matches, Kubernetes
  decides.
- A block of the baseline tier is no list in front: it stands among the policies of that tier, by its priority and
  before those of the same one, and each direction asks it where a pod of this node is the subject and neither the
  admin tier nor a NetworkPolicy decides. The first of its rules that matches does: pass leaves it to the default.
- The node's list: in INPUT its rules with the target self, in OUTPUT those with the source self, of all blocks of all
  files; rules of a failsafe stand in front. An allow of a policy block leads to it, not past it.
  pass is allow there, since nothing comes behind.
- Replies and related packets pass. A pod's way to itself and neighbour discovery pass blocks and policies.
- Each end is a set of (interface, address): of a source the interface it came in by, which no packet in OUTPUT has; of
  a target the one it goes out by, which none in INPUT has. `self` is everything as a target in INPUT and as a source in
  OUTPUT; elsewhere a local address. A port's name is looked up on the pod whose own the destination is. Types of ICMP
  are of IPv4, those of ICMPv6 of IPv6; a protocol's number is that of both.
- log decides nothing. reject answers with what it says, or with port unreachable; what IPv6 has no message for, it
  answers with the nearest (RFC 7915, 4.2): "prohibited" with administratively prohibited, proto with port unreachable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from compiler.resources import AdminNetworkPolicy, ClusterNetworkPolicy
from compiler.resources.cluster import Pod
from compiler.resources.language import Interfaces, PolicyBlock, Program, Rule, ThisNode, every_rule
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.policy_diagram import REPLIES
from compiler.semantics.diagrams.space import Path
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet
from compiler.semantics.proof.case import Case, Decided, Said, said
from compiler.semantics.proof.items import Placed, lists
from compiler.semantics.proof.program_ends import every_part
from compiler.semantics.proof.rule_case import RuleCases
from compiler.semantics.rules.netfilter import AddressType
from compiler.semantics.verdict import AnyPolicy, BlockRule, Verdict
from compiler.snapshot import Snapshot

_TERMINAL = ("Succeeded", "Failed")
#: What a reject says: the words for both families are those of `netfilter.Drop`.
_BOTH = {
    "tcp-reset": "tcp reset",
    "icmp-port-unreachable": "port unreachable",
    "icmp-host-unreachable": "host unreachable",
    "icmp-net-unreachable": "net unreachable",
    "icmp-admin-prohibited": "admin prohibited",
}
_ANSWERS = {
    4: _BOTH
    | {"icmp-proto-unreachable": "icmp 3/2", "icmp-net-prohibited": "icmp 3/9", "icmp-host-prohibited": "icmp 3/10"},
    6: _BOTH
    | {
        "icmp-proto-unreachable": "port unreachable",
        "icmp-net-prohibited": "admin prohibited",
        "icmp-host-prohibited": "admin prohibited",
    },
}


#: What rules of the baseline tier say.
VERDICTS = {"allow": Verdict.ALLOW, "deny": Verdict.DENY, "pass": Verdict.PASS}


class Unordered(Unprovable):
    """Blocks of a program and objects of Kubernetes whose order cannot be kept; the message names the places."""


def filters(program: Program) -> bool:
    """Whether it has rules that let packets pass or stop them. Raises Unprovable for what else it has that rules do."""
    for other in (*program.nat, *program.mangle, *program.raw):
        raise Unprovable(f"{other.span.file_line}: statements of nat, mangle and raw are not proved yet")
    for item in (*program.forward, *program.node_packets, *program.forward_packets):
        raise Unprovable(f"{item.span.file_line}: lists of what is forwarded and of every packet are not proved yet")
    for item in (*(item for block in program.policies for item in block.rules), *program.node):
        if not isinstance(item, Rule) or item.conditional or item.verb in ("log", "leave"):
            raise Unprovable(f"{item.span.file_line}: {item.text}: not proved yet")
    return bool(program.policies or program.node)


def answer(rule: Rule, version: int) -> str:
    """What a reject tells the sender, in `netfilter`'s words."""
    return _ANSWERS[version][rule.answer or "icmp-port-unreachable"]


def in_order(program: Program, policies: Iterable[AnyPolicy]) -> tuple[PolicyBlock, ...]:
    """The policy blocks of the admin tier in the order in which they are asked. Raises Unordered: they are asked before
    all objects of Kubernetes, so none may come behind one of the admin tier."""
    blocks = _sorted(program, "admin")
    for block in blocks:
        for policy in policies:
            admin = isinstance(policy, AdminNetworkPolicy) or (
                isinstance(policy, ClusterNetworkPolicy) and policy.spec.tier == "Admin"
            )
            if admin and policy.spec.priority <= block.priority:  # type: ignore[union-attr]
                raise Unordered(
                    f"{block.span.file_line}: policy {block.name} has priority {block.priority} and would come behind "
                    f"{policy.kind} {policy.metadata.name}, which has {policy.spec.priority}"  # type: ignore[union-attr]
                )
    return tuple(blocks)


def in_baseline(program: Program) -> tuple[PolicyBlock, ...]:
    """The policy blocks of the baseline tier in their order. Raises Unprovable for what needs a list in front of
    Kubernetes' policies: interfaces, self, answers and logs."""
    blocks = _sorted(program, "baseline")
    for block in blocks:
        for rule in every_rule(block.rules):
            ends = (rule.source, rule.target, *([rule.unless] if rule.unless is not None else []))
            lists = any(isinstance(one, Interfaces | ThisNode) for end in ends for one in every_part(end))
            if lists or rule.verb not in VERDICTS or rule.log is not None:
                raise Unprovable(f"{rule.span.file_line}: {rule.text}: not in the baseline tier")
    return tuple(blocks)


def _sorted(program: Program, tier: str) -> list[PolicyBlock]:
    return sorted((b for b in program.policies if b.tier == tier), key=lambda block: (block.priority, block.name))


class ProgramOracle:
    """A program, policies and a cluster, to be asked about packets at one node (None: at any, of all pods).
    `failsafe`: rules of the node's list in front of the program's. Raises Unordered."""

    def __init__(
        self,
        program: Program,
        policies: Iterable[AnyPolicy],
        snapshot: Snapshot,
        node: str | None,
        failsafe: Sequence[Rule] = (),
    ) -> None:
        known = tuple(policies)
        self._node = node
        self._oracle = Oracle(known, snapshot, tuple(self._baseline(in_baseline(program))))
        #: Rules for one packet.
        self.rules = RuleCases(self._oracle, snapshot)
        self._lists = lists(program, in_order(program, known), failsafe)
        self._claims: dict[str, list[Pod]] = {}
        for pod in (pod for pod in snapshot.pods if pod.phase not in _TERMINAL and not pod.host_network):
            for address in dict.fromkeys(pod.ips):
                self._claims.setdefault(address, []).append(pod)

    def said(self, case: Case) -> Said:
        """What program and policies say of the case."""
        if case.state in REPLIES:
            return said(self._oracle, self._node, case)
        decided = self._by_blocks(case)
        if decided is not None and decided.rule.verb in ("deny", "reject"):
            return _ended(decided, case)
        if decided is not None and decided.rule.verb == "allow":
            found = Said(True, decided=(decided,))
        else:
            found = said(self._oracle, self._node, case)
            found = found if decided is None else replace(found, decided=(decided, *found.decided))
        last = self._first(self._lists.own, case) if found.allowed else None
        if last is None:
            return found
        if last.rule.verb in ("deny", "reject"):
            return _ended(last, case)
        return replace(found, decided=(*found.decided, last))

    def _baseline(self, blocks: Iterable[PolicyBlock]) -> Iterator[BlockRule]:
        for block in blocks:
            for n, rule in enumerate(every_rule(block.rules)):

                def holds(packet: Packet, rule: Rule = rule) -> bool:
                    return self.rules.matches(rule, Case(Path.FORWARD, packet))

                yield BlockRule(block, n, VERDICTS[rule.verb], holds)

    def _by_blocks(self, case: Case) -> Decided | None:
        packet = case.packet
        if packet.is_neighbour_discovery or self._itself(packet):
            return None
        if case.path is Path.INPUT:
            holder = self._oracle.holder(packet.src)
            if holder is None or self._node not in (None, holder.node):
                return None
        if case.path is Path.OUTPUT and case.source_type is AddressType.LOCAL:
            return None
        return self._first(self._lists.blocks, case)

    def _first(self, items: Iterable[Placed], case: Case) -> Decided | None:
        """The first rule of a list that decides."""
        asked = (one for one in items if case.path in one.paths)
        return next((one.decided for one in asked if self.rules.matches(one.item, case)), None)

    def _itself(self, packet: Packet) -> bool:
        """Whether a pod of the node sends to itself; an address that several claim is one of theirs."""
        pods = self._claims.get(packet.src, [])
        if not any(self._node in (None, pod.node) for pod in pods):
            return False
        return packet.src == packet.dst or (len(pods) == 1 and self._claims.get(packet.dst) == pods)


def _ended(decided: Decided, case: Case) -> Said:
    told = answer(decided.rule, case.packet.version) if decided.rule.verb == "reject" else ""
    return Said(False, decided=(decided,), answer=told)

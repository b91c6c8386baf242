"""The verdict of one packet under a program in the policy language, straight from its statements.

As `oracle` for the API's objects, and sharing nothing with the compiler: statement after statement, in the words of
docs/DSL.md, one packet at a time. What is decided where:

| hook | first | then | at last |
|---|---|---|---|
| FORWARD | policy blocks | Kubernetes' policies | the forward list |
| INPUT | policy blocks, of packets from pods of this node | the egress policies of those pods | the node's list |
| OUTPUT | policy blocks, where the source is not the node's own | Kubernetes' policies, of the same | the node's list |

- The first rule of all blocks that matches decides: allow passes and Kubernetes is not asked; deny and reject end the
  packet; pass leaves it to Kubernetes. Blocks stand in the order of (priority, name). What none matches, Kubernetes
  decides.
- A block of the baseline tier is no list in front: it stands among the policies of that tier, by its priority and
  before those of the same one, and each direction asks it where a pod of this node is the subject and neither the
  admin tier nor a NetworkPolicy decides. The first of its rules that matches does: pass leaves it to the default.
- The node's list: in INPUT its rules with the target self, in OUTPUT those with the source self, of all blocks of all
  files, and lists with such heads; rules of a failsafe stand in front. An allow of a policy block leads to the last
  list, not past it. pass is allow there, since nothing comes behind.
- Replies and related packets pass. A pod's way to itself and neighbour discovery pass blocks and policies.
- In front of all that, replies too, the lists about packets are asked: deny and reject end a packet, all else goes on.
- Items of a nested list are asked about what its head is about; what none of them decides goes on behind it, and so
  does what one of them leaves. At the top, leave is pass.
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
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    Item,
    Less,
    Nodes,
    Opaque,
    Pods,
    PolicyBlock,
    Program,
    Rule,
    Within,
)
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.policy_diagram import REPLIES
from compiler.semantics.diagrams.space import Path
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet
from compiler.semantics.proof.as_written import Ends, meets, written
from compiler.semantics.proof.case import Case, Said, said
from compiler.semantics.proof.items import Placed, lists
from compiler.semantics.proof.program_ends import every_part
from compiler.semantics.proof.rule_case import RuleCases
from compiler.semantics.rules.netfilter import Accept, AddressType, Drop, Return, Unmodelled
from compiler.semantics.verdict import AnyPolicy, BlockRule, Verdict
from compiler.snapshot import Snapshot

_PLAIN = Addresses | Anyone | Pods | Nodes | Either | Both | Less
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
    """Whether it has lists of rules that let packets pass or stop them."""
    lists = (program.node, program.forward, program.node_packets, program.forward_packets)
    return bool(program.policies or any(lists))


def verdict(item: Item, version: int) -> str:
    """What a rule does to packets of the family: "allow", "pass", "leave", "deny", "reject KIND" in the words of
    `netfilter`, "unknown: TEXT" of a statement that is not modelled, or "nothing"."""
    match item:
        case Rule(verb="reject", answer=told):
            return f"reject {_ANSWERS[version][told or 'icmp-port-unreachable']}"
        case Rule(verb=verb):
            return "nothing" if verb == "log" else verb
        case Opaque():
            return _ends(written(item, version).ends)
        case Within():
            return "nothing"


def _ends(found: Ends) -> str:
    match found:
        case Accept():
            return "allow"
        case Return():
            return "leave"
        case Drop(rejected, kind):
            return f"reject {kind}" if rejected else "deny"
        case Unmodelled(text):
            return f"unknown: {text}"
        case None:
            return "nothing"


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
    Kubernetes' policies: interfaces, self, what routing says, answers, logs, conditions and lists."""
    blocks = _sorted(program, "baseline")
    for block in blocks:
        for item in block.rules:
            if not (isinstance(item, Rule) and _of_baseline(item)):
                raise Unprovable(f"{item.span.file_line}: {item.text}: not in the baseline tier")
    return tuple(blocks)


def rules_of(block: PolicyBlock) -> list[Rule]:
    """Of one of the baseline tier."""
    return [item for item in block.rules if isinstance(item, Rule)]


def _of_baseline(rule: Rule) -> bool:
    ends = (rule.source, rule.target, *([rule.unless] if rule.unless is not None else []))
    plain = all(isinstance(one, _PLAIN) for end in ends for one in every_part(end))
    return plain and rule.verb in VERDICTS and rule.log is None and not rule.conditional


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
        version = case.packet.version
        first = self._first(self._lists.first(case.path), case)
        if first is not None and _stops(verdict(first.item, version)):
            return _ended(first, version)
        if case.state in REPLIES:
            return said(self._oracle, self._node, case)
        block = self._by_blocks(case)
        decided = () if block is None else (block.decided,)
        says = "pass" if block is None else verdict(block.item, version)
        if block is not None and _stops(says):
            return _ended(block, version)
        found = Said(True) if says == "allow" else said(self._oracle, self._node, case)
        found = replace(found, decided=(*decided, *found.decided))
        last = self._first(self._lists.last(case.path), case) if found.allowed else None
        if last is None:
            return found
        if _stops(verdict(last.item, version)):
            return _ended(last, version)
        return replace(found, decided=(*found.decided, last.decided))

    def _baseline(self, blocks: Iterable[PolicyBlock]) -> Iterator[BlockRule]:
        for block in blocks:
            for n, rule in enumerate(rules_of(block)):

                def holds(packet: Packet, rule: Rule = rule) -> bool:
                    return self.rules.matches(rule, Case(Path.FORWARD, packet))

                yield BlockRule(block, n, VERDICTS[rule.verb], holds)

    def _by_blocks(self, case: Case) -> Placed | None:
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

    def _first(self, items: Iterable[Placed], case: Case) -> Placed | None:
        """The first rule of a list that decides, or leaves it."""
        for one in items:
            if case.path not in one.paths or not self._meets(one.item, case):
                continue
            if isinstance(one.item, Within):
                found = self._first(one.inner, case)
                if found is not None and verdict(found.item, case.packet.version) != "leave":
                    return found
            elif verdict(one.item, case.packet.version) != "nothing":
                return one
        return None

    def _meets(self, item: Item, case: Case) -> bool:
        return meets(item, case) if isinstance(item, Opaque) else self.rules.matches(item, case)

    def _itself(self, packet: Packet) -> bool:
        """Whether a pod of the node sends to itself; an address that several claim is one of theirs."""
        pods = self._claims.get(packet.src, [])
        if not any(self._node in (None, pod.node) for pod in pods):
            return False
        return packet.src == packet.dst or (len(pods) == 1 and self._claims.get(packet.dst) == pods)


def _stops(says: str) -> bool:
    return says == "deny" or says.startswith(("reject ", "unknown: "))


def _ended(placed: Placed, version: int) -> Said:
    says = verdict(placed.item, version)
    note = says.removeprefix("unknown: ") if says.startswith("unknown: ") else ""
    told = says.removeprefix("reject ") if says.startswith("reject ") else ""
    return Said(False, note=note and f"nobody knows what becomes of it: {note}", decided=(placed.decided,), answer=told)

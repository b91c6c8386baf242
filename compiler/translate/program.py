"""What of a program cannot be compiled, by itself, beside these policies, or for that node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from compiler.errors import Collector
from compiler.policy import Policy, Tier
from compiler.resources.language import (
    Interfaces,
    Item,
    Matching,
    MessageType,
    Opaque,
    PolicyBlock,
    Ports,
    Program,
    Routed,
    Rule,
    Statement,
    ThisNode,
    WholeProtocol,
    every_item,
    every_part,
)
from compiler.translate.as_written import misplaced
from compiler.translate.tables import check_tables

#: Of rules of one tool: that they let packets pass.
_ACCEPTS = re.compile(r"(?:-j|--jump) ACCEPT\b|\baccept\b")
#: Ends that only a packet has.
_LISTED: dict[type, str] = {Interfaces: "iface", ThisNode: "self", Routed: "an end by routing"}


def check_program(program: Program, policies: Sequence[Policy], has_pods: bool = True) -> None:
    """Raises InvalidInput with all that is wrong. `has_pods`: the input names some, with their addresses."""
    problems = Collector()
    check_tables(program, problems)
    for block in program.policies:
        for text, code in _block(block, policies, has_pods):
            problems.add(block.flaw(text, code))
    for item in every_item(_lists(program)):
        for text in _ports(item.ports) if isinstance(item, Matching) else ():
            problems.add(item.flaw(text, "not-compiled"))
    for item, text in _opaque(program, bool(policies)):
        problems.add(item.flaw(f"{item.name}: {text}", "opaque"))
    for item, text in misplaced(program):
        problems.add(item.flaw(f"{item.name}: {text}", "misplaced"))
    for item in (item for block in program.policies if block.tier == "baseline" for item in block.rules):
        for text in _baseline(item):
            problems.add(item.flaw(f"{text}: a block of the tier baseline is no list that packets are asked", "tier"))
    problems.check()


def _block(block: PolicyBlock, policies: Sequence[Policy], has_pods: bool) -> Iterator[tuple[str, str]]:
    if block.tier == "baseline":
        if not has_pods:
            text = f"policy {block.name}: a block of the tier baseline is about pods, and the input has none with an"
            yield f"{text} address; to name them: kubectl get pods,namespaces,nodes -A -o yaml", "no-pods"
        return
    before = [one for one in policies if one.tier is Tier.ADMIN and one.priority <= block.priority]
    if before:
        other = before[0].origin
        text = f"policy {block.name} has priority {block.priority} and would come behind {other.kind} {other.name}"
        more = f"({other.span.file_line}), which has {before[0].priority}: blocks come first, give it a smaller one"
        yield f"{text} {more}", "priority"


def _lists(program: Program) -> Iterator[Item]:
    """The items of all lists."""
    for block in program.policies:
        yield from block.rules
    yield from (*program.node_packets, *program.node, *program.forward_packets, *program.forward)


def _opaque(program: Program, has_policies: bool) -> Iterator[tuple[Opaque, str]]:
    """Rules of one tool that have no place where they stand, and why."""
    for block in (block for block in program.policies if block.tier == "admin"):
        for item in every_item(block.rules):
            if isinstance(item, Opaque):
                text = "a policy block never stops a pod's way to itself, and nobody knows what this rule does"
                yield item, f"{text}: its place is in a forward block"
    for packets, behind in ((program.node_packets, program.node), (program.forward_packets, program.forward)):
        for item in every_item(packets) if has_policies or program.policies or behind else ():
            if isinstance(item, Opaque) and _ACCEPTS.search(item.rule):
                text = "a block of packets only takes away, and this rule lets packets pass all that is asked behind it"
                yield item, f"{text}: end it with a return"


def _baseline(item: Item) -> Iterator[str]:
    """Why it has no place in a block of the tier baseline, which is asked of policies beforehand, not of packets."""
    if not isinstance(item, Rule):
        yield "opaque" if isinstance(item, Opaque) else "within"
        return
    if item.verb not in ("allow", "deny", "pass"):
        yield item.verb
    elif item.log is not None:
        yield "log"
    if item.conditional:
        yield "conditions (state, marked, source port, chance)"
    for what, end in (("its source", item.source), ("its target", item.target), ("unless", item.unless)):
        kinds = (_LISTED.get(type(part)) for part in (every_part(end) if end is not None else ()))
        for kind in dict.fromkeys(filter(None, kinds)):
            yield f"{kind} in {what}"


def _ports(ports: Ports) -> Iterator[str]:
    for one in ports or ():
        match one:
            case WholeProtocol(protocol=0):
                yield "protocol 0 is not compiled: to iptables it is every protocol"
            case MessageType(type=255):
                yield "type 255 is not compiled: to iptables it is every type"


def check_node(program: Program, node: str | None, has_pods: bool) -> None:
    """Raises InvalidInput for blocks about one machine where it is not said which one that is."""
    problems = Collector()
    blocks: tuple[tuple[str, Sequence[Statement]], ...] = (
        ("node", program.node),
        ("node packets", program.node_packets),
        ("nat", program.nat),
        ("mangle", program.mangle),
        ("raw", program.raw),
    )
    for name, items in blocks:
        for item in items[:1] if node is None and has_pods else ():
            text = f"a {name} block is about one machine, and the input has pods: say which node with --node"
            problems.add(item.flaw(text, "no-node"))
    problems.check()


def check_tool(program: Program, tool: str) -> None:
    """Raises InvalidInput for rules of another tool than the one (`iptables` or `nft`) that is compiled for."""
    problems = Collector()
    for item in (*every_item((*_lists(program), *program.nat)), *program.mangle, *program.raw):
        if isinstance(item, Opaque) and item.tool != tool:
            text = f"{item.name} is a rule of {item.tool} as it is, and cannot be compiled for {tool}"
            problems.add(item.flaw(text, "other-tool"))
    problems.check()

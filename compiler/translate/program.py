"""What of a program cannot be compiled, by itself, beside these policies, or for that node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.errors import Collector
from compiler.policy import Policy, Tier
from compiler.resources.language import (
    Dnat,
    DropFlow,
    DropFrom,
    Dscp,
    Item,
    KeepSource,
    Mark,
    Masquerade,
    MessageType,
    Mss,
    NatWithin,
    Notrack,
    Opaque,
    PolicyBlock,
    Program,
    Redirect,
    Routed,
    Rule,
    Snat,
    Statement,
    Translates,
    Ttl,
    WholeProtocol,
    parts,
)

_NAMES: dict[type[Statement], str] = {
    Dnat: "dnat",
    Snat: "snat",
    Masquerade: "masquerade",
    Redirect: "redirect",
    KeepSource: "keep source",
    Mark: "mark",
    Dscp: "dscp",
    Ttl: "ttl",
    Mss: "mss",
    Notrack: "notrack",
    DropFrom: "drop from",
    DropFlow: "drop",
    Translates: "translates",
    NatWithin: "within",
    Opaque: "opaque",
}


def check_program(program: Program, policies: Sequence[Policy]) -> None:
    """Raises InvalidInput with all that is wrong."""
    problems = Collector()
    translations = [one for one in program.expectations if isinstance(one, Translates)]
    for part in (program.nat, program.mangle, program.raw, translations):
        for statement in part[:1]:
            name = statement.verb if isinstance(statement, Rule) else _NAMES[type(statement)]
            problems.add(statement.flaw(f"{name} is not compiled yet", "not-compiled"))
    for block in program.policies:
        for text, code in _block(block, policies):
            problems.add(block.flaw(text, code))
    for items, name in (
        (program.forward, "forward blocks"),
        (program.node_packets, "node packets"),
        (program.forward_packets, "forward packets"),
    ):
        for item in items[:1]:
            problems.add(item.flaw(f"{name} are not compiled yet", "not-compiled"))
    for item in (*(item for block in program.policies for item in block.rules), *program.node):
        for text in _item(item):
            problems.add(item.flaw(text, "not-compiled"))
    problems.check()


def _block(block: PolicyBlock, policies: Sequence[Policy]) -> Iterator[tuple[str, str]]:
    if block.tier != "admin":
        yield f"policy {block.name}: a block of the tier {block.tier} is not compiled yet: leave the tier out", "tier"
        return
    before = [one for one in policies if one.tier is Tier.ADMIN and one.priority <= block.priority]
    if before:
        other = before[0].origin
        text = f"policy {block.name} has priority {block.priority} and would come behind {other.kind} {other.name}"
        more = f"({other.span.file_line}), which has {before[0].priority}: blocks come first, give it a smaller one"
        yield f"{text} {more}", "priority"


def _item(item: Item) -> Iterator[str]:
    if not isinstance(item, Rule):
        yield f"{'opaque' if isinstance(item, Opaque) else 'within'} is not compiled yet"
        return
    if item.verb in ("log", "leave"):
        yield f"{item.verb} is not compiled yet"
    if item.conditional or (item.log is not None and item.log.kernel):
        yield "conditions (state, marked, source port, chance) and log to kernel are not compiled yet"
    ends = (item.source, item.target, *(() if item.unless is None else (item.unless,)))
    if any(isinstance(part, Routed) for end in ends for part in parts(end)):
        yield "the ends local, broadcast and multicast are not compiled yet"
    yield from _rule(item)


def _rule(rule: Rule) -> Iterator[str]:
    for one in rule.ports or ():
        match one:
            case WholeProtocol(protocol=0):
                yield "protocol 0 is not compiled: to iptables it is every protocol"
            case MessageType(type=255):
                yield "type 255 is not compiled: to iptables it is every type"


def check_node(program: Program, node: str | None, has_pods: bool) -> None:
    """Raises InvalidInput for rules about the node itself where it is not said which one that is."""
    if node is None and has_pods and program.node:
        problems = Collector()
        text = "a node block is about one machine, and the input has pods: say which node with --node"
        problems.add(program.node[0].flaw(text, "no-node"))
        problems.check()

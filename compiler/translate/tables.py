"""What statements of nat, mangle and raw say that neither back end can, or that no hook knows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from compiler.errors import Collector
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Conditional,
    Dnat,
    DropFlow,
    DropFrom,
    Either,
    End,
    Flow,
    Less,
    Mark,
    MessageType,
    NamedPort,
    NatWithin,
    Nodes,
    Notrack,
    Opaque,
    Pods,
    Ports,
    Program,
    Redirect,
    Routed,
    Rule,
    Statement,
    ThisNode,
    WholeProtocol,
    parts,
    patterns,
)

_UDPLITE = 136
_EARLY = "before routing nobody knows by which interface a packet leaves"


def check_tables(program: Program, problems: Collector) -> None:
    """Adds all that is wrong with these statements."""
    for item in program.nat:
        if isinstance(item, Mark):
            problems.add(item.flaw("mark is not compiled yet in a nat block", "not-compiled"))
    for statement in chain(program.nat, program.mangle, program.raw):
        for text, code in dict.fromkeys(_statement(statement)):
            problems.add(statement.flaw(text, code))


def _statement(statement: Statement) -> Iterator[tuple[str, str]]:
    match statement:
        case Opaque():
            yield "opaque is not compiled yet", "not-compiled"
        case NatWithin() | Rule():
            name = statement.verb if isinstance(statement, Rule) else "within"
            yield f"{name} is not compiled yet in a nat block", "not-compiled"
        case Dnat():
            yield from _dnat(statement)
        case Redirect(flow=flow, port=port):
            yield from _flow(flow)
            yield from _early(flow, "redirect", connections=True)
            yield from _translated(flow.ports, port)
        case Notrack(flow=flow) | DropFlow(flow=flow):
            yield from _flow(flow)
            yield from _early(flow, "a raw statement")
        case DropFrom(source=source):
            yield from _ends(source)
        case _:
            yield from _flow(statement.flow)  # type: ignore[attr-defined]
    if isinstance(statement, Conditional) and not isinstance(statement, Rule | NatWithin) and statement.conditional:
        yield "conditions (state, marked, source port, chance) are not compiled yet in a nat block", "not-compiled"


def _flow(flow: Flow) -> Iterator[tuple[str, str]]:
    yield from _ends(*(end for end in (flow.source, flow.target) if end is not None))
    yield from _ports(flow.ports)


def _ends(*ends: End) -> Iterator[tuple[str, str]]:
    if any(isinstance(part, Routed) for end in ends for part in parts(end)):
        yield "the ends local, broadcast and multicast are not compiled yet", "not-compiled"


def _ports(ports: Ports) -> Iterator[tuple[str, str]]:
    for one in ports or ():
        match one:
            case WholeProtocol(protocol=0):
                yield "protocol 0 is not compiled: to iptables it is every protocol", "not-compiled"
            case MessageType(type=255):
                yield "type 255 is not compiled: to iptables it is every type", "not-compiled"


def _dnat(statement: Dnat) -> Iterator[tuple[str, str]]:
    yield from _ends(statement.source, statement.target, *(() if statement.to is None else (statement.to,)))
    yield from _ports(statement.ports)
    yield from _early(Flow(source=statement.source, target=statement.to), "dnat", connections=True)
    if any(isinstance(one, NamedPort) for one in statement.ports):
        yield "dnat is about ports by number: before it nobody knows which pod's ports are meant", "named-port"
    if statement.port is not None:
        yield from _translated(statement.ports, statement.port)
    if not _few(statement.target):
        yield "dnat goes to pods, nodes and single addresses: this target is more than these", "many-targets"


def _translated(ports: Ports, port: int) -> Iterator[tuple[str, str]]:
    if port == 0:
        yield "port 0 is no port to go to", "out-of-range"
    if any(one.protocol == _UDPLITE for one in ports or ()):
        yield "the kernel translates no ports of udplite", "no-ports"


def _early(flow: Flow, what: str, connections: bool = False) -> Iterator[tuple[str, str]]:
    """A target by interface, of packets that may have arrived from elsewhere."""
    ends = (flow.source or Anyone(), flow.target or Anyone())
    ways = [ends, ends[::-1]] if flow.both_ways else [ends]
    if any(any(patterns(target)) and _may_arrive(source) for source, target in ways):
        yield f"{what} cannot ask for a target by interface: {_EARLY}", "target-interface"


def _may_arrive(source: End) -> bool:
    """Whether the source may be somebody else than this node."""
    match source:
        case ThisNode():
            return False
        case Either(ends=ends):
            return any(map(_may_arrive, ends))
        case Both(ends=ends):
            return all(map(_may_arrive, ends))
        case Less(end=inner):
            return _may_arrive(inner)
        case _:
            return True


def _few(end: End) -> bool:
    """Whether an end can be taken address by address."""
    match end:
        case Addresses(first=first, last=last):
            return first == last
        case Pods() | Nodes():
            return True
        case Either(ends=ends):
            return all(map(_few, ends))
        case Both(ends=ends):
            return any(map(_few, ends))
        case Less(end=inner):
            return _few(inner)
        case _:
            return False

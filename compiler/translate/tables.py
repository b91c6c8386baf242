"""What statements of nat, mangle and raw say that neither back end can, or that no hook knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from compiler.errors import Collector
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Dnat,
    DropFlow,
    DropFrom,
    Either,
    End,
    Flow,
    Less,
    MessageType,
    NamedPort,
    NatItem,
    NatWithin,
    Nodes,
    Notrack,
    Opaque,
    Pods,
    Ports,
    Program,
    Redirect,
    Rule,
    Statement,
    ThisNode,
    WholeProtocol,
    patterns,
)

_UDPLITE = 136
_EARLY = "before routing nobody knows by which interface a packet leaves"


def check_tables(program: Program, problems: Collector) -> None:
    """Adds all that is wrong with these statements."""
    for item in program.nat:
        if isinstance(item, Rule) and item.verb == "leave":
            problems.add(item.flaw("leave stands in a list in braces, which it leaves", "leave"))
    for statement in chain(_every(program.nat), program.mangle, program.raw):
        for text, code in dict.fromkeys(_statement(statement)):
            problems.add(statement.flaw(text, code))


def _statement(statement: Statement) -> Iterator[tuple[str, str]]:
    match statement:
        case Opaque():
            pass
        case NatWithin() | Rule():
            if isinstance(statement, Rule) and statement.verb == "log":
                yield "log is not compiled yet in a nat block", "not-compiled"
            yield from _ports(statement.ports)
        case Dnat():
            yield from _dnat(statement)
        case Redirect(flow=flow, port=port):
            yield from _flow(flow)
            yield from _early(flow, "redirect", connections=True)
            yield from _translated(flow.ports, port)
        case Notrack(flow=flow) | DropFlow(flow=flow):
            yield from _flow(flow)
            yield from _early(flow, "a raw statement")
        case DropFrom():
            pass
        case _:
            yield from _flow(statement.flow)  # type: ignore[attr-defined]


def _every(items: Iterable[NatItem]) -> Iterator[NatItem]:
    """All of a nat block's, those of lists in it among them."""
    for item in items:
        yield item
        if isinstance(item, NatWithin):
            yield from _every(item.items)


def _flow(flow: Flow) -> Iterator[tuple[str, str]]:
    yield from _ports(flow.ports)


def _ports(ports: Ports) -> Iterator[tuple[str, str]]:
    for one in ports or ():
        match one:
            case WholeProtocol(protocol=0):
                yield "protocol 0 is not compiled: to iptables it is every protocol", "not-compiled"
            case MessageType(type=255):
                yield "type 255 is not compiled: to iptables it is every type", "not-compiled"


def _dnat(statement: Dnat) -> Iterator[tuple[str, str]]:
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

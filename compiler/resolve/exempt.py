"""What raw statements never drop, so that their author is not locked out of the machine.

The flows to this node of the failsafe of node blocks, and since nothing is a reply before conntrack, answers to what it
asks others: DNS, the API server, etcd, DHCP. Only what some drop would meet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product

from compiler.net import Family, intersect
from compiler.resolve.ends import LOOPBACK, Alternative, Ends, Here, Side, covers, is_node
from compiler.resolve.failsafe import PLACE, Session, lines, ports_meet
from compiler.resources.language import (
    Anyone,
    DropFlow,
    DropFrom,
    End,
    MessageType,
    Ports,
    Program,
    Rule,
    ThisNode,
    WholeProtocol,
)

_TCP, _UDP = 6, 17
#: Protocol and ports that answers come from.
_ANSWERS = (
    (_UDP, (53, 53)),
    (_TCP, (53, 53)),
    (_TCP, (6443, 6443)),
    (_TCP, (2379, 2380)),
    (_UDP, (67, 67)),
    (_UDP, (547, 547)),
)
_ARRIVING = Side(Here.NEVER, arriving=True), Side(Here.ASKED, interfaces=False)
_SENT = Side(Here.ALWAYS, interfaces=False), Side(Here.ASKED)


def exempt(
    program: Program, ends: Ends, families: Collection[Family], ssh: Collection[Session] = ()
) -> tuple[Rule, ...]:
    """The rules to ask in front of raw's drops; `ssh`: sessions that must not end."""
    drops = list(_drops(program))
    known = (line for _, line in lines({22, *(session.port for session in ssh)}))
    asked = [*(line for line in known if is_node(line.target)), *_answers()]
    return tuple(line for line in asked if any(_touch(line, drop, ends, families) for drop in drops))


def _answers() -> Iterator[Rule]:
    for protocol, span in _ANSWERS:
        name = f"{'tcp' if protocol == _TCP else 'udp'}, source port {'-'.join(map(str, dict.fromkeys(span)))}"
        yield Rule(
            verb="allow",
            source=Anyone(),
            target=ThisNode(),
            ports=(WholeProtocol(protocol=protocol),),
            source_ports=(span,),
            text=f"allow any -> self : {name}  # failsafe",
            span=PLACE,
        )


#: Source, target, destination ports; whether only what arrives is meant.
_Drop = tuple[End, End, Ports, bool]


def _drops(program: Program) -> Iterator[_Drop]:
    for statement in program.raw:
        match statement:
            case DropFrom(source=source):
                yield source, Anyone(), None, True
            case DropFlow(flow=flow):
                source, target = flow.source or Anyone(), flow.target or Anyone()
                yield source, target, flow.ports, False
                if flow.both_ways:
                    yield target, source, None, False
            case _:
                pass


def _touch(line: Rule, drop: _Drop, ends: Ends, families: Collection[Family]) -> bool:
    """Whether some packet of the line would be dropped."""
    source, target, ports, arriving = drop
    if not ports_meet(line.ports, ports):
        return False
    return any(
        _meet(line.source, source, ends, family, sides[0]) and _meet(line.target, target, ends, family, sides[1])
        for family in families
        for sides in ((_ARRIVING,) if arriving else (_ARRIVING, _SENT))
        if family is Family.IPV6 or not isinstance((line.ports or (None,))[0], MessageType)
    )


def _meet(one: End, other: End, ends: Ends, family: Family, side: Side) -> bool:
    """Whether somebody is at both ends, each asked by itself: by `lo` are only those that name it."""
    pairs = product(*(ends.alternatives(end, family, side) for end in (one, other)))
    return any(_overlap(mine, theirs) for mine, theirs in pairs)


def _overlap(one: Alternative, other: Alternative) -> bool:
    if {one.local, other.local} == {True, False} or not intersect(one.addresses, other.addresses):
        return False
    names = {one.interface, other.interface, LOOPBACK, None}
    return any(all(_holds(each, name) for each in (one, other)) for name in names)


def _holds(one: Alternative, name: str | None) -> bool:
    """Whether packets by an interface of that name (a pattern: some that it matches; None: one that nobody names) are
    among those of the alternative."""
    return covers(one.interface, name) and not any(covers(cut, name) for cut in one.outside)

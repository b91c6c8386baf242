"""What stays open in front of a node's list, so that its author is not locked out of the machine.

Only what some rule of the list would deny; each is a rule of the language itself, so that whatever reads a program
reads these rules, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from compiler.net import Family, intersect
from compiler.resolve.ends import Ends, Here, Side, is_node
from compiler.resources.language import (
    Anyone,
    End,
    Interfaces,
    Less,
    MessageType,
    NamedPort,
    Nodes,
    PortRange,
    Ports,
    Rule,
    ThisNode,
    WholeProtocol,
)
from grammar.source import Span

_TCP, _UDP = 6, 17
#: Router and neighbour solicitation and advertisement (RFC 4861).
_NEIGHBOURS = (133, 134, 135, 136)
_PLACE = Span("netpolc", 0, 0, 0, 0)
_ASKED, _HERE = Side(Here.ASKED), Side(Here.ALWAYS, interfaces=False)


def failsafe(
    rules: Sequence[Rule], ends: Ends, families: Collection[Family], ssh: Collection[int] = ()
) -> tuple[Rule, ...]:
    """The rules to put in front of the list `rules`; `ssh`: ports of sshd beside 22."""
    denying = [rule for rule in rules if rule.verb in ("deny", "reject")]
    return tuple(line for line in _lines({22, *ssh}) if any(_touch(line, rule, ends, families) for rule in denying))


def _lines(ssh: Collection[int]) -> Iterator[Rule]:
    us, anyone, loopback = ThisNode(), Anyone(), Interfaces(names=("lo",))
    dhcp = (PortRange(protocol=_UDP, first=67, last=68), PortRange(protocol=_UDP, first=546, last=547))
    yield _line(loopback, us, None, "iface lo -> self")
    for port in sorted(ssh):
        yield _line(anyone, us, _port(_TCP, port), f"any -> self : tcp/{port}")
    yield _line(anyone, us, _port(_TCP, 6443), "any -> self : tcp/6443")
    etcd = (PortRange(protocol=_TCP, first=2379, last=2380),)
    yield _line(Nodes(), us, etcd, "nodes -> self : tcp/2379-2380")
    yield _line(anyone, us, dhcp, "any -> self : udp/67-68,546-547")
    types = tuple(MessageType(protocol=58, type=one) for one in _NEIGHBOURS)
    yield _line(anyone, us, types, "any -> self : icmpv6/133,134,135,136")
    yield _line(us, loopback, None, "self -> iface lo")
    yield _line(us, anyone, (*_port(_UDP, 53), *_port(_TCP, 53)), "self -> any : udp/53 + tcp/53")
    yield _line(us, anyone, _port(_TCP, 6443), "self -> any : tcp/6443")
    yield _line(us, anyone, dhcp, "self -> any : udp/67-68,546-547")


def _line(source: End, target: End, ports: Ports, text: str) -> Rule:
    return Rule(verb="allow", source=source, target=target, ports=ports, text=f"allow {text}  # failsafe", span=_PLACE)


def _port(protocol: int, port: int) -> tuple[PortRange]:
    return (PortRange(protocol=protocol, first=port, last=port),)


def _touch(line: Rule, rule: Rule, ends: Ends, families: Collection[Family]) -> bool:
    """Whether the rule is about some packet that the line is about."""
    if not _ports_meet(line.ports, rule.ports):
        return False
    source: End = rule.source if rule.unless is None else Less(end=rule.source, without=rule.unless)
    inward = is_node(line.target)
    if not is_node(rule.target if inward else rule.source):
        return False
    sides = (_ASKED, _HERE) if inward else (_HERE, _ASKED)
    return any(
        ends.meet((line.source, source), family, sides[0]) and ends.meet((line.target, rule.target), family, sides[1])
        for family in families
        if family is Family.IPV6 or not isinstance((line.ports or (None,))[0], MessageType)
    )


def _ports_meet(one: Ports, other: Ports) -> bool:
    if one is None or other is None:
        return True
    mine, theirs = map(_spans, (one, other))
    return any(intersect((span,), (cut,)) for p, span in mine for q, cut in theirs if p == q)


def _spans(ports: Ports) -> list[tuple[int, tuple[int, int]]]:
    """Ports or types of messages of each protocol."""
    found = []
    for one in ports or ():
        match one:
            case PortRange(protocol=protocol, first=first, last=last):
                found.append((protocol, (first, last)))
            case MessageType(protocol=protocol, type=kind):
                found.append((protocol, (kind, kind)))
            case WholeProtocol(protocol=protocol) | NamedPort(protocol=protocol):
                found.append((protocol, (0, 65535)))
    return found

"""What stays open in front of a node's list, so that its author is not locked out of the machine.

Only what some rule of the list would deny. A line about a service is left out where the list itself allows that service
to somebody: its author has said who may. The SSH session that netpolc runs in stays open then by its address. Each line
is a rule of the language itself, so that whatever reads a program reads these rules, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from compiler.net import Family, intersect
from compiler.resolve.ends import Ends, Here, Side, is_node
from compiler.resources.language import (
    Addresses,
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
#: Of IPv4 and IPv6: where servers are asked, and where they answer to.
_DHCP = ((67, 547), (68, 546))
PLACE = Span("netpolc", 0, 0, 0, 0)
_ASKED, _HERE = Side(Here.ASKED), Side(Here.ALWAYS, interfaces=False)


@dataclass(frozen=True, slots=True)
class Session:
    """The client of an SSH session, and the port of the server that it came to."""

    client: IPv4Address | IPv6Address
    port: int


class Kind(Enum):
    """Which rules of a list say who may use what a line is about."""

    SERVICE = "every one that allows it"
    DHCP = "one that names its ports: allowing everything to somebody says nothing of how a machine gets its address"
    ALWAYS = "none: without neighbours and itself a machine has no network at all"


def failsafe(
    rules: Sequence[Rule],
    ends: Ends,
    families: Collection[Family],
    ssh: Collection[Session] = (),
    packets: Sequence[Rule] = (),
) -> tuple[Rule, ...]:
    """The rules to put in front of the list `rules`, and of the one of every `packets`; `ssh`: sessions that must not
    end. What the list of packets lets through the other one still decides about, and may deny all the same."""
    list_, first = (_List(one, ends, families) for one in (rules, packets))
    found: list[Rule] = []
    for kind, line in lines({22, *(session.port for session in ssh)}):
        denied = list_.denies(line) or (first.denies(line) and not first.says_who(line, kind))
        if denied and not list_.says_who(line, kind):
            found.append(line)
    everybodys = [line.ports for line in found]
    for session in ssh:
        line = _to_self(Addresses(first=session.client, last=session.client), session.port, str(session.client))
        if (list_.denies(line) or first.denies(line)) and line.ports not in everybodys:
            found.append(line)
    return tuple(found)


def lines(ssh: Collection[int]) -> Iterator[tuple[Kind, Rule]]:
    """All that a failsafe may keep open; `ssh`: ports of sshd."""
    us, anyone, loopback = ThisNode(), Anyone(), Interfaces(names=("lo",))
    yield Kind.ALWAYS, _line(loopback, us, None, "iface lo -> self")
    for port in sorted(ssh):
        yield Kind.SERVICE, _to_self(anyone, port, "any")
    yield Kind.SERVICE, _to_self(anyone, 6443, "any")
    etcd = (PortRange(protocol=_TCP, first=2379, last=2380),)
    yield Kind.SERVICE, _line(Nodes(), us, etcd, "nodes -> self : tcp/2379-2380")
    for ports in _DHCP:
        yield Kind.DHCP, _line(anyone, us, _ports(_UDP, *ports), f"any -> self : udp/{ports[0]},{ports[1]}")
    types = tuple(MessageType(protocol=58, type=one) for one in _NEIGHBOURS)
    yield Kind.ALWAYS, _line(anyone, us, types, "any -> self : icmpv6/133,134,135,136")
    yield Kind.ALWAYS, _line(us, loopback, None, "self -> iface lo")
    yield Kind.SERVICE, _line(us, anyone, (*_ports(_UDP, 53), *_ports(_TCP, 53)), "self -> any : udp/53 + tcp/53")
    yield Kind.SERVICE, _line(us, anyone, _ports(_TCP, 6443), "self -> any : tcp/6443")
    for ports in _DHCP:
        yield Kind.DHCP, _line(us, anyone, _ports(_UDP, *ports), f"self -> any : udp/{ports[0]},{ports[1]}")


def _to_self(source: End, port: int, text: str) -> Rule:
    return _line(source, ThisNode(), _ports(_TCP, port), f"{text} -> self : tcp/{port}")


def _line(source: End, target: End, ports: Ports, text: str) -> Rule:
    return Rule(verb="allow", source=source, target=target, ports=ports, text=f"allow {text}  # failsafe", span=PLACE)


def _ports(protocol: int, *ports: int) -> tuple[PortRange, ...]:
    return tuple(PortRange(protocol=protocol, first=port, last=port) for port in ports)


class _List:
    """What the rules of a list say of one packet or another that a line is about."""

    def __init__(self, rules: Sequence[Rule], ends: Ends, families: Collection[Family]) -> None:
        self._denying = [rule for rule in rules if rule.verb in ("deny", "reject")]
        self._allowing = [rule for rule in rules if rule.verb in ("allow", "pass") and not rule.conditional]
        self._ends = ends
        self._families = families

    def denies(self, line: Rule) -> bool:
        """Whether some rule would."""
        return any(self._meet(line, rule, (line.source, line.target)) for rule in self._denying)

    def says_who(self, line: Rule, kind: Kind) -> bool:
        """Whether some rule allows to somebody what the line is about."""
        if kind is Kind.ALWAYS:
            return False
        rules = (rule for rule in self._allowing if kind is Kind.SERVICE or rule.ports is not None)
        return any(self._meet(line, rule, (Anyone(), Anyone())) for rule in rules)

    def _meet(self, line: Rule, rule: Rule, between: tuple[End, End]) -> bool:
        """Whether the rule is about some packet between these ends that has the ports of the line."""
        if not ports_meet(line.ports, rule.ports):
            return False
        source: End = rule.source if rule.unless is None else Less(end=rule.source, without=rule.unless)
        inward = is_node(line.target)
        if not is_node(rule.target if inward else rule.source):
            return False
        sides = (_ASKED, _HERE) if inward else (_HERE, _ASKED)
        pairs = ((between[0], source), (between[1], rule.target))
        return any(
            all(self._ends.meet(pair, family, side) for pair, side in zip(pairs, sides, strict=True))
            for family in self._families
            if family is Family.IPV6 or not isinstance((line.ports or (None,))[0], MessageType)
        )


def ports_meet(one: Ports, other: Ports) -> bool:
    """Whether some packet has ports, or a type of message, of both."""
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

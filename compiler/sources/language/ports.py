"""Ports, types and protocols as numbers."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.resources.language import MessageType, NamedPort, PortRange, PortSpec, WholeProtocol
from grammar import dsl_literals as literal
from grammar import dsl_tree as t

TCP, ICMP, ICMPV6 = 6, 1, 58
#: IANA's numbers of the protocols that have names here.
NUMBERS = {
    "icmp": ICMP, "igmp": 2, "ipip": 4, "tcp": TCP, "egp": 8, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
    "icmpv6": ICMPV6, "eigrp": 88, "ospf": 89, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115, "sctp": 132,
    "udplite": 136,
}  # fmt: skip
#: The protocols that have ports.
WITH_PORTS = frozenset(NUMBERS[name] for name in literal.WITH_PORTS)
#: Types of messages by nft's names for them: RFC 792, 950 and 1256; RFC 4443, 2710, 3810, 4861, 2894 and 3122.
ICMP_TYPES = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16, "address-mask-request": 17,
    "address-mask-reply": 18,
}  # fmt: skip
ICMPV6_TYPES = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
    "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132,
    "nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136,
    "nd-redirect": 137, "router-renumbering": 138, "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142,
    "mld2-listener-report": 143,
}  # fmt: skip
#: Values of the classes of differentiated services: RFC 2474, 2597, 3246, 5865 and 8622.
DSCP = {
    "be": 0, "le": 1, "va": 44, "ef": 46, **{f"cs{n}": 8 * n for n in range(8)},
    **{f"af{n}{m}": 8 * n + 2 * m for n in range(1, 5) for m in range(1, 4)},
}  # fmt: skip


def of_protocol(name: t.Name) -> WholeProtocol:
    """All of a protocol that is named alone."""
    return WholeProtocol(protocol=NUMBERS[name.text])


def of_set(node: t.PortSet) -> Iterator[PortSpec]:
    """What stands behind a protocol's name; bare numbers are ports of TCP, as in a NetworkPolicy."""
    name = node.protocol.text if node.protocol is not None else "tcp"
    for port in node.ports:
        yield _port(name, port)


def _port(protocol: str, port: t.Port) -> PortSpec:
    low = port.low
    if protocol == literal.BY_NUMBER:
        assert isinstance(low, t.Number), "checked by the parser"
        return WholeProtocol(protocol=low.number)
    number = NUMBERS[protocol]
    if protocol in literal.WITH_TYPES:
        types = ICMP_TYPES if protocol == "icmp" else ICMPV6_TYPES
        return MessageType(protocol=number, type=low.number if isinstance(low, t.Number) else types[low.text])  # type: ignore[arg-type]
    if isinstance(low, t.Number):
        return PortRange(protocol=number, first=low.number, last=port.high.number if port.high else low.number)
    return NamedPort(protocol=number, name=low.text)

"""Boxes of a diagram as packets that a person can read, and back."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from compiler.semantics.boundaries import OUTSIDERS
from compiler.semantics.diagrams.diagram import Range
from compiler.semantics.diagrams.space import MARK_BITS, Level, Path, Space, address_text
from compiler.semantics.packet import ICMP, ICMPV6, TCP, Packet
from compiler.semantics.proof.case import Case
from compiler.semantics.rules.netfilter import AddressType, State
from compiler.semantics.rules.numbers import interface_text, some_interface

#: What a witness has in a field that does not matter, where the field's range allows it.
_USUAL: Mapping[int, int] = {
    Level.STATE: State.NEW,
    Level.SOURCE_TYPE: AddressType.UNICAST,
    Level.DESTINATION_TYPE: AddressType.UNICAST,
    Level.PROTOCOL: TCP,
    Level.DPORT: 80,
    Level.SPORT: 40000,
    Level.HOPS: 64,
}


def case_of(path: Path, over: Space, box: Mapping[int, Range], opaque: Mapping[int, str]) -> Case:
    """A packet of the box, as usual as possible."""
    outsider = int(ipaddress.ip_address(OUTSIDERS[over.version == 6]))

    def value(level: int) -> int:
        usual = outsider if level in (over.source, over.destination) else _USUAL.get(level, 0)
        return over.made.value(level, box[level], usual) if level in box else usual

    protocol = value(Level.PROTOCOL)
    packet = Packet(
        address_text(over.version, value(over.source)),
        address_text(over.version, value(over.destination)),
        protocol,
        value(Level.SPORT),
        value(Level.DPORT),
        value(Level.ICMP_TYPE) if protocol in (ICMP, ICMPV6) else None,
        value(Level.ICMP_CODE),
        value(Level.HOPS),
    )
    return Case(
        path,
        packet,
        State(value(Level.STATE)),
        AddressType(value(Level.SOURCE_TYPE)),
        AddressType(value(Level.DESTINATION_TYPE)),
        sum(box.get(Level.MARK + n, (0, 0))[0] << MARK_BITS - 1 - n for n in range(MARK_BITS)),
        interface_text(_interface(box, Level.INPUT)),
        interface_text(_interface(box, Level.OUTPUT)),
        {text: box[level][0] == 1 for level, text in opaque.items() if level in box},
    )


def numbers_of(case: Case, over: Space, box: Mapping[int, Range]) -> dict[int, int]:
    """The case as diagrams ask for it."""
    packet = case.packet
    bits = {Level.MARK + n: case.mark >> MARK_BITS - 1 - n & 1 for n in range(MARK_BITS)}
    return {
        **{level: low for level, (low, _) in box.items() if level >= Level.MARK + MARK_BITS},
        **bits,
        over.source: int(ipaddress.ip_address(packet.src)),
        over.destination: int(ipaddress.ip_address(packet.dst)),
        int(Level.STATE): case.state,
        int(Level.SOURCE_TYPE): case.source_type,
        int(Level.DESTINATION_TYPE): case.destination_type,
        int(Level.PROTOCOL): packet.proto,
        int(Level.SPORT): packet.sport,
        int(Level.DPORT): packet.dport,
        int(Level.ICMP_TYPE): packet.icmp_type or 0,
        int(Level.ICMP_CODE): packet.icmp_code,
        int(Level.HOPS): packet.hop_limit,
        **{level: _interface(box, level) for level in (int(Level.INPUT), int(Level.OUTPUT)) if level in box},
    }


def _interface(box: Mapping[int, Range], level: int) -> int:
    """None where that will do."""
    low, high = box.get(level, (0, 0))
    return some_interface(low, high) if low else 0

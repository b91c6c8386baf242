"""The fields of a packet that rules and policies ask, in the order in which diagrams ask them.

One family at a time: a packet has one, and nothing that IPv4 rules say is about IPv6. Connection state and where the
source is at home come first, because nearly all rules have them in front; then who the ends are, where only their
labels are known (`facts`); then the addresses, that of the pods in question before the other, which gives the fewest
nodes; what few rules ask comes last. The mark is 32 bits of which rules ask some, so each is a level. Booleans for
tests that nobody can look into follow behind as they are met.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from compiler.semantics.diagrams.cells import Cells
from compiler.semantics.diagrams.diagram import Diagrams, Range
from compiler.semantics.rules.netfilter import Field


class Path(Enum):
    """The ways of a packet through a machine that policies have to do with, by the hook where they are asked."""

    FORWARD = "forward"
    INPUT = "input"
    OUTPUT = "output"


#: As many levels are kept free for what is known of ends besides their addresses.
ROOM = 1000


class Level(IntEnum):
    """The number is the place in the order; what the values mean is in the table of `netfilter`."""

    STATE = 0
    SOURCE_TYPE = 1
    #: The first of `ROOM` levels, of two values or as many as `facts` gives them.
    ENDS = 2
    DESTINATION = 2 + ROOM
    SOURCE = 3 + ROOM
    PROTOCOL = 4 + ROOM
    DPORT = 5 + ROOM
    ICMP_TYPE = 6 + ROOM
    ICMP_CODE = 7 + ROOM
    HOPS = 8 + ROOM
    SPORT = 9 + ROOM
    INPUT = 10 + ROOM
    OUTPUT = 11 + ROOM
    DESTINATION_TYPE = 12 + ROOM
    #: The highest bit of the mark; the others follow.
    MARK = 13 + ROOM


MARK_BITS = 32

#: The outcomes of a path.
ACCEPT, DROP = "accept", "drop"

#: The level of a field; not of FAMILY, which is a diagram's own, nor of MARK.
LEVELS = {
    Field.STATE: Level.STATE,
    Field.SOURCE_TYPE: Level.SOURCE_TYPE,
    Field.DESTINATION: Level.DESTINATION,
    Field.SOURCE: Level.SOURCE,
    Field.PROTOCOL: Level.PROTOCOL,
    Field.DESTINATION_PORT: Level.DPORT,
    Field.ICMP_TYPE: Level.ICMP_TYPE,
    Field.ICMP_CODE: Level.ICMP_CODE,
    Field.HOPS: Level.HOPS,
    Field.SOURCE_PORT: Level.SPORT,
    Field.INPUT: Level.INPUT,
    Field.OUTPUT: Level.OUTPUT,
    Field.DESTINATION_TYPE: Level.DESTINATION_TYPE,
}
_BITS = {4: 32, 6: 128}


@dataclass(frozen=True, slots=True)
class Space:
    """The packets of one family, 4 or 6, and their diagrams. `source` and `destination` are the levels of the
    addresses: whichever is asked first."""

    version: int
    made: Diagrams
    source: int
    destination: int

    def level(self, field: Field) -> int:
        """Where a field is asked."""
        if field is Field.SOURCE:
            return self.source
        return self.destination if field is Field.DESTINATION else LEVELS[field]


def space(version: int, source_first: bool = False, cells: Mapping[Field, Cells] | None = None) -> Space:
    """A space without diagrams yet; `cells` of the addresses, where it is known what will be asked of them."""
    tops = {int(level): field.top for field, level in LEVELS.items()}
    tops[Level.SOURCE] = tops[Level.DESTINATION] = address_top(version)
    source, destination = (Level.DESTINATION, Level.SOURCE) if source_first else (Level.SOURCE, Level.DESTINATION)
    levels = {Field.SOURCE: source, Field.DESTINATION: destination}
    made = Diagrams(
        [tops.get(level, 1) + 1 for level in range(Level.MARK + MARK_BITS)],
        {levels[field]: own for field, own in (cells or {}).items()},
    )
    return Space(version, made, source, destination)


def address_top(version: int) -> int:
    """The largest address of a family, as a number."""
    return (1 << _BITS[version]) - 1


def block_range(cidr: str) -> tuple[int, Range]:
    """Family of a block, and its first and last address; host bits are masked, an address alone is a block."""
    block = ipaddress.ip_network(cidr, strict=False)
    return block.version, (int(block.network_address), int(block.broadcast_address))


def address_text(version: int, value: int) -> str:
    """The canonical text of an address."""
    return str(ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value))

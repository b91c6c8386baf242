"""What every routing table says of some addresses, whatever the machine."""

from __future__ import annotations

from compiler.semantics.diagrams.diagram import Diagrams
from compiler.semantics.diagrams.space import Level, Space
from compiler.semantics.diagrams.variables import Kind, Variables
from compiler.semantics.rules.netfilter import AddressType

#: Blocks whose addresses every routing table knows alike, by family.
_KNOWN = {
    4: (
        ((0x7F000000, 0x7FFFFFFF), AddressType.LOCAL),
        ((0xE0000000, 0xEFFFFFFF), AddressType.MULTICAST),
        ((0xFFFFFFFF, 0xFFFFFFFF), AddressType.BROADCAST),
    ),
    6: (((1, 1), AddressType.LOCAL), ((0xFF << 120, (1 << 128) - 1), AddressType.MULTICAST)),
}


def impossible(over: Space, variables: Variables) -> int:
    """Packets of which a type of an address is none that any routing table could say."""
    made, names = over.made, variables.names()
    whose = [(over.source, int(Level.SOURCE_TYPE)), (over.destination, int(Level.DESTINATION_TYPE))]
    parts = []
    for name, level in names.items():
        if not isinstance(name, Kind):
            continue
        if isinstance(name.address, int):
            for address, kind in whose[:2]:
                here = made.inside(address, [(name.address, name.address)])
                parts += [
                    made.where(_is(made, level, one), made.where(here, made.outside(_is(made, kind, one))))
                    for one in AddressType
                ]
        elif name.address in names and name.address.low == 0:
            whose.append((names[name.address], level))
    if over.version == 6:  # has no broadcast
        kinds = {*(kind for _, kind in whose), *(level for name, level in names.items() if isinstance(name, Kind))}
        parts += [_is(made, kind, AddressType.BROADCAST) for kind in sorted(kinds)]
    for address, kind in whose:
        for block, known in _KNOWN[over.version]:
            parts.append(made.where(made.inside(address, [block]), made.outside(_is(made, kind, known))))
    return made.first(parts)


def _is(made: Diagrams, level: int, value: int) -> int:
    return made.inside(level, [(value, value)])

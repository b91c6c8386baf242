"""Values -> words of the policy language: ends, ports, conditions. Names come from `naming`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from compiler.importing.numbers import top_of
from compiler.importing.values import STATES, Addresses, Asked, Port, Side
from compiler.net import Family, Intervals, address_text

#: Protocols that the language knows by name, with ports, with types and with neither.
_NAMES = {
    **{6: "tcp", 17: "udp", 132: "sctp", 33: "dccp", 136: "udplite", 1: "icmp", 58: "icmpv6"},
    **{2: "igmp", 47: "gre", 50: "esp", 51: "ah", 89: "ospf", 103: "pim", 112: "vrrp"},
}
_TYPES: Mapping[int, Mapping[int, str]] = {
    1: {0: "echo-reply", 3: "destination-unreachable", 8: "echo-request", 11: "time-exceeded", 12: "parameter-problem"},
    58: {
        **{1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem"},
        **{128: "echo-request", 129: "echo-reply", 133: "nd-router-solicit", 134: "nd-router-advert"},
        **{135: "nd-neighbor-solicit", 136: "nd-neighbor-advert", 137: "nd-redirect"},
    },
}
_ORDER = ("new", "established", "related", "invalid", "untracked")


@dataclass(frozen=True, slots=True)
class Names:
    """Names of zones by interfaces, of services by ports, of sets by addresses and family; of all of a family by its
    version. `either`: of what arrives or is the machine's own."""

    zones: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    services: Mapping[tuple[Port, ...], str] = field(default_factory=dict)
    sets: Mapping[tuple[int, Intervals], str] = field(default_factory=dict)
    families: Mapping[int, str] = field(default_factory=dict)
    either: str = ""


# ---- Addresses


def interval_text(version: int, interval: tuple[int, int]) -> str:
    """An address, a prefix or a range."""
    low, high = interval
    family = Family(version)
    if low == high:
        return address_text(family, low)
    size = high - low + 1
    if size & size - 1 == 0 and low % size == 0:
        return f"{address_text(family, low)}/{family.bits - (size.bit_length() - 1)}"
    return f"{address_text(family, low)}-{address_text(family, high)}"


def _addresses(found: Addresses, names: Names) -> str:
    key = found.version, found.intervals
    if key in names.sets:
        return names.sets[key]
    if found.intervals == ((0, top_of(found.version)),) and found.version in names.families:
        return names.families[found.version]
    texts = [interval_text(found.version, interval) for interval in found.intervals]
    return _any_of(texts)


# ---- Ends


def interface_text(names: tuple[str, ...]) -> str:
    """`iface eth0`, `iface (eth0, eth1)`"""
    words = [name if _is_plain(name) else f'"{name}"' for name in names]
    return f"iface {words[0]}" if len(words) == 1 else f"iface ({', '.join(words)})"


def _is_plain(name: str) -> bool:
    stem = name[:-1] if name.endswith("*") else name
    rest = stem.replace("_", "").replace(".", "").replace("-", "").replace("@", "")
    return bool(stem) and (rest.isascii() and rest.isalnum() and stem[-1] not in ".-@" and stem[0] not in ".-@")


def end(side: Side, names: Names, version: int = 0, pinned: str = "") -> str:
    """An end in words. `version`: of that family alone; `pinned`: what stands for anyone at the statement's hook:
    `self`, or a zone of all interfaces, which interfaces of the side make needless."""
    terms = [pinned] if pinned and (pinned == "self" or not side.interfaces) else []
    if side.interfaces:
        terms.append(_interfaces(side.interfaces, names))
    cuts = [_interfaces((name,), names) for name in side.not_interfaces]
    if side.addresses is not None and not side.addresses.without:
        terms.append(_addresses(side.addresses, names))
    elif version in names.families:
        terms.append(names.families[version])
    if side.addresses is not None and side.addresses.without:
        cuts.append(_addresses(side.addresses, names))
    terms += [_any_of(side.kinds)] if side.kinds else []
    cuts += side.not_kinds
    text = " and ".join(terms) or "any"
    return f"{text} except {_any_of(cuts)}" if cuts else text


def _any_of(terms: Sequence[str]) -> str:
    return terms[0] if len(terms) == 1 else f"{{ {', '.join(terms)} }}"


def _interfaces(interfaces: tuple[str, ...], names: Names) -> str:
    return names.zones.get(interfaces) or interface_text(interfaces)


# ---- Ports


def ports(found: tuple[Port, ...], names: Names) -> str:
    """`tcp/22,80-90 + icmp/echo-request`, or the name of the service."""
    return names.services.get(found) or ports_text(found)


def ports_text(found: Iterable[Port]) -> str:
    """Without names of services."""
    return " + ".join(_portsets(found))


def _portsets(found: Iterable[Port]) -> Iterator[str]:
    grouped: dict[int, list[Port]] = {}
    whole: list[int] = []
    for port in found:
        if port.low is not None:
            grouped.setdefault(port.protocol, []).append(port)
        elif port.protocol not in whole:
            whole.append(port.protocol)
    yield from (_NAMES[number] for number in whole if number in _NAMES)
    others = [str(number) for number in whole if number not in _NAMES]
    if others:
        yield f"proto/{','.join(others)}"
    for number, some in grouped.items():
        yield f"{_NAMES[number]}/{','.join(text for one in some for text in _port(one))}"


def spans(numbers: Iterable[int]) -> Iterator[str]:
    """`3`, `7-9`, in their order."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return (f"{low}" if low == high else f"{low}-{high}" for low, high in found)


def _port(port: Port) -> Iterator[str]:
    """A port, a range of ports, or types one by one."""
    low, high = port.low or 0, port.high or 0
    types = _TYPES.get(port.protocol, {})
    if all(number in types for number in range(low, high + 1)):
        yield from (types[number] for number in range(low, high + 1))
    else:
        yield str(low) if low == high else f"{low}-{high}"


# ---- Conditions


def conditions(asked: Asked) -> str:
    """What options say: states, marks, source ports, chance; each with a blank before it."""
    words = []
    if asked.states != STATES:
        words.append(f"state {','.join(name for name in _ORDER if name in asked.states)}")
    for value, mask in asked.marks:
        words.append(f"marked {value:#x}" + ("" if mask == 0xFFFFFFFF else f"/{mask:#x}"))
    if asked.source_ports is not None:
        spans = (f"{low}" if low == high else f"{low}-{high}" for low, high in asked.source_ports)
        words.append(f"source port {','.join(spans)}")
    if asked.chance:
        words.append(f"chance 1/{asked.chance}")
    return "".join(f" {word}" for word in words)

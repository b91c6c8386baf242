"""Texts of ipset -> sets of the ruleset model.

Elements are boxes of (address, protocol, port, ...) as the set's type has them. Elements that other than TCP, UDP,
SCTP and UDP-Lite packets can match (ICMP types, port 0 of protocols without ports) are refused, and so are sets
whose elements go away by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, product

from compiler.semantics.rules.netfilter import Element, Interval, Set
from compiler.semantics.rules.numbers import (
    PROTOCOLS,
    address,
    all_ones,
    bits,
    block,
    blocks_between,
    mask_of,
    number,
    protocol,
    span,
)
from grammar import ipset
from grammar.ruletext import Place
from grammar.source import Source

#: Protocols whose ports ipset looks at (ip_set_getport.c).
_PORTED = frozenset({6, 17, 132, 136})
_TCP, _UDP = (6, 6), (17, 17)
_KINDS = """
    hash:ip hash:net hash:ip,port hash:net,port hash:ip,port,ip hash:ip,port,net hash:net,net hash:net,port,net
    bitmap:port list:set
"""
#: What changes neither what is in a set nor what is asked for.
_HARMLESS = """
    family hashsize maxelem bucketsize initval netmask range size counters comment skbinfo forceadd
    packets bytes skbmark skbprio skbqueue nomatch
"""


#: What the texts of a part of elements mean, by family, netmask and kind of the part.
Known = dict[tuple[int, int, str], dict[str, list[tuple[Interval, ...]]]]


@dataclass(frozen=True, slots=True)
class IpSet:
    """`parts`: of each dimension `ip`, `net` or `port`, a port being two parts of an element: protocol and number.
    `family` None: of either."""

    content: Set
    parts: tuple[str, ...]
    family: int | None


def read(source: Source) -> dict[str, IpSet]:
    """Every set, by name. Raises Refused."""
    texts = ipset.sets(source)
    known: Known = {}
    found = {text.name: _set(text, known) for text in texts.values() if text.kind != "list:set"}
    found.update((text.name, _list(text, found)) for text in texts.values() if text.kind == "list:set")
    return {name: found[name] for name in texts}


def _set(text: ipset.IpSet, known: Known) -> IpSet:
    if text.kind not in _KINDS.split():
        raise text.place.refused(f"sets of type {text.kind} are not understood", "unsupported")
    _check(text.options, text.place)
    parts = tuple(text.kind.partition(":")[2].split(","))
    family = {"inet": 4, "inet6": 6}.get(text.options.get("family", "inet"))
    if family is None:
        raise text.place.refused(f"no such family: {text.options['family']}")
    if text.kind == "bitmap:port":
        return IpSet(Set(text.name, tuple(_port_elements(text.members)), text.place), parts, None)
    width = bits(family)
    try:
        mask = mask_of(text.options["netmask"], family) if "netmask" in text.options else all_ones(width)
        reader = _Elements(family, parts, mask, known)
    except ValueError as error:
        raise text.place.refused(str(error)) from None
    return IpSet(Set(text.name, tuple(reader.read(text.members)), text.place), parts, family)


def _check(options: dict[str, str], place: Place) -> None:
    for name, value in options.items():
        if name == "timeout" and value == "0":
            continue
        if name not in _HARMLESS.split():
            raise place.refused(f"the option {name} of a set is not understood", "unsupported")


class _Elements:
    """Reads the members of one set; `mask` is that of its option netmask. `known`: what other sets of the text had."""

    def __init__(self, family: int, parts: tuple[str, ...], mask: int, known: Known) -> None:
        self._family = family
        self._mask = mask
        self._parts = parts
        readers: dict[str, Callable[[str], list[tuple[Interval, ...]]]] = {
            "ip": self._ip,
            "net": self._net,
            "port": _protocol_and_port,
        }
        self._readers = [(known.setdefault((family, mask, part), {}), readers[part]) for part in parts]
        self._nets = [n + parts[:n].count("port") for n, part in enumerate(parts) if part == "net"]

    def read(self, members: list[ipset.Member]) -> Iterator[Element]:
        found: list[Element] = []
        for member in members:
            found += self._member(member)
        if self._nets:
            found.sort(key=lambda e: [e.box[n][1] - e.box[n][0] for n in self._nets])
        return iter(found)

    def _member(self, member: ipset.Member) -> list[Element]:
        texts = member.text.split(",")
        if len(texts) != len(self._parts):
            raise member.place.refused(f"{member.text} has not {len(self._parts)} parts")
        if member.options:
            _check(member.options, member.place)
        try:
            choices = [
                known.get(text) or known.setdefault(text, reader(text))
                for (known, reader), text in zip(self._readers, texts, strict=True)
            ]
        except ValueError as error:
            raise member.place.refused(str(error)) from None
        stays = "nomatch" not in member.options
        if len(choices) == 1:
            return [Element(box, member.place, None, stays) for box in choices[0]]
        return [Element(tuple(chain(*choice)), member.place, None, stays) for choice in product(*choices)]

    def _ip(self, text: str) -> list[tuple[Interval, ...]]:
        first, last = self._between(text)
        if self._mask == all_ones(bits(self._family)):
            return [((first, last),)]
        rest = self._mask ^ all_ones(bits(self._family))
        return [((first & self._mask, last | rest),)]

    def _net(self, text: str) -> list[tuple[Interval, ...]]:
        first, last = self._between(text)
        return [(found,) for found in blocks_between(first, last, bits(self._family))]

    def _between(self, text: str) -> Interval:
        if "-" in text:
            low, _, high = text.partition("-")
            (family, first), (other, last) = address(low), address(high)
            if other != family or last < first:
                raise ValueError(f"{text} is no range")
        else:
            family, (first, last) = block(text)
        if family != self._family:
            raise ValueError(f"{text} is not of the set's family")
        return first, last


@lru_cache(maxsize=1 << 17)
def _protocol_and_port(text: str) -> list[tuple[Interval, ...]]:
    name, given, ports = text.rpartition(":")
    found = protocol(name) if given else PROTOCOLS["tcp"]
    if found not in _PORTED:
        raise ValueError(f"{text}: elements of protocols without ports are not understood")
    return [((found, found), span(ports, "-", 65535))]


def _port_elements(members: list[ipset.Member]) -> Iterator[Element]:
    """bitmap:port looks at TCP and UDP alike, and at nothing else (ip_set_get_ip_port)."""
    for member in members:
        _check(member.options, member.place)
        try:
            low, given, high = member.text.partition("-")
            ports = (number(low, 65535), number(high if given else low, 65535))
        except ValueError as error:
            raise member.place.refused(str(error)) from None
        yield Element((_TCP, ports), member.place)
        yield Element((_UDP, ports), member.place)


def _list(text: ipset.IpSet, others: dict[str, IpSet]) -> IpSet:
    """A list of sets is what they have together, as far as they are of one kind."""
    _check(text.options, text.place)
    members = []
    for member in text.members:
        found = others.get(member.text)
        if found is None or set(member.options) - {"packets", "bytes", "comment"}:
            raise member.place.refused(f"{member.text} in a list of sets is not understood", "unsupported")
        members.append(found)
    if not members:
        return IpSet(Set(text.name, (), text.place), (), None)
    first = members[0]
    if any((m.parts, m.family) != (first.parts, first.family) for m in members) or any(
        not element.member for m in members for element in m.content.elements
    ):
        raise text.place.refused("a list of sets of several kinds, or with nomatch, is not understood", "unsupported")
    elements = tuple(element for m in members for element in m.content.elements)
    return IpSet(Set(text.name, elements, text.place), first.parts, first.family)

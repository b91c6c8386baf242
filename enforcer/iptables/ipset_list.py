"""What the kernel says of ipsets, over netlink: names, how many elements there are, and a digest of which.

Layouts: linux/netfilter/ipset/ip_set.h. `ipset list` would print 100,000 elements in 200 ms; headers are there in
microseconds.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from enforcer.netlink import Message, Netlink, attribute, attributes, each, text, word

_SUBSYSTEM = 6 << 8  # NFNL_SUBSYS_IPSET
_LIST, _BY_NAME = _SUBSYSTEM | 7, _SUBSYSTEM | 14
_PROTOCOL, _SETNAME, _TYPENAME, _FAMILY, _FLAGS, _DATA, _ADT, _INDEX = 1, 2, 3, 5, 6, 7, 8, 11
_MAXELEM, _ELEMENTS, _REFERENCES = 19, 24, 25
_HEADERS_ONLY = 1 << 2  # IPSET_FLAG_LIST_HEADER
_BRIEFLY = attribute(_FLAGS, struct.pack(">I", _HEADERS_ONLY))
_VERSION = attribute(_PROTOCOL, b"\x06")  # IPSET_PROTOCOL_MIN: all kernels since 2.6.39
_NEWER = attribute(_PROTOCOL, b"\x07")  # of the lookup by name


class Header(NamedTuple):
    """`declared`: type, family and largest number of elements; two sets that differ there are never the same set.
    `references`: rules that ask it."""

    name: str
    declared: tuple[str, int, int]
    elements: int
    references: int


def headers(netlink: Netlink, prefix: str) -> list[Header]:
    """The sets whose names begin so, by name. OSError when the kernel has no ipset."""
    return read(brief(netlink), prefix)


def brief(netlink: Netlink) -> list[Message]:
    """What the kernel says of all sets, but for elements; equal while nothing changes."""
    return netlink.dump(_LIST, socket.AF_INET, _VERSION + _BRIEFLY)


def read(messages: Iterable[Message], prefix: str) -> list[Header]:
    """The sets whose names begin so, by name."""
    found = map(_header, messages)
    return sorted(header for header in found if header is not None and header.name.startswith(prefix))


def header(netlink: Netlink, name: str) -> Header | None:
    """That of one set; None without it. OSError when the kernel refuses."""
    try:
        (answer, *_) = netlink.dump(_LIST, socket.AF_INET, _VERSION + attribute(_SETNAME, word(name)) + _BRIEFLY)
    except FileNotFoundError:
        return None
    return _header(answer)


def _header(message: Message) -> Header | None:
    said = attributes(message.payload)
    if _DATA not in said:
        return None
    data = attributes(said[_DATA])
    declared = text(said[_TYPENAME]), said[_FAMILY][0], _number(data.get(_MAXELEM))
    return Header(text(said[_SETNAME]), declared, _number(data.get(_ELEMENTS)), _number(data.get(_REFERENCES)))


def index(netlink: Netlink, name: str) -> int:
    """The number by which rules know the set. OSError (ENOENT) without one."""
    (answer,) = netlink.ask(_BY_NAME, socket.AF_INET, _NEWER + attribute(_SETNAME, word(name)))
    (number,) = struct.unpack_from(">H", attributes(answer.payload)[_INDEX])
    return int(number)


def digest(netlink: Netlink, name: str) -> str:
    """Of all elements, whatever their order in the kernel. OSError (ENOENT) without such a set."""
    found: list[bytes] = []
    for message in netlink.dump(_LIST, socket.AF_INET, _VERSION + attribute(_SETNAME, word(name))):
        found.extend(_elements(attributes(message.payload).get(_ADT, b"")))
    found.sort()
    return hashlib.sha256(b"".join(found)).hexdigest()


def _elements(data: bytes) -> Iterator[bytes]:
    """Nearly always all of them are of one length."""
    size = int.from_bytes(data[:2], "little" if struct.pack("=H", 1)[0] else "big")
    if size and size % 4 == 0 and len(data) % size == 0:
        head = data[:2]
        many = len(data) // size
        if data[0::size] == head[:1] * many and data[1::size] == head[1:] * many:
            return (element for (element,) in struct.iter_unpack(f"{size}s", data))
    return (element for _, element in each(data))


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big")

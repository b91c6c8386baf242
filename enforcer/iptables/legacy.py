"""Tables of iptables-legacy, read by libiptc through the low-level handle of python-iptables. Never written by it:
that loses targets. A handle is a copy of a table at one moment, made for one look and given back.

The kernel tells nobody when a table changes: whoever wants to know copies all of it, which is quick, and compares.
Only one thread may be here: libiptc keeps errors and iterators of all handles in common.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import socket
import struct
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from compiler.net import Family
from enforcer.iptables.xtables import TABLES, Chains, Held

#: Which tables of this network namespace are there: those that somebody has asked for.
_NAMES = {Family.IPV4: "ip_tables_names", Family.IPV6: "ip6_tables_names"}
SEE = Path("/proc/thread-self/net")
#: struct xt_entry_match and xt_entry_target: size, name, revision. Behind the name's end is what was in memory.
_PART = struct.Struct("=H29sB")


class _Layout(NamedTuple):
    """Of struct ipt_entry and ip6t_entry: where what is asked of packets ends (nfcache), target_offset and next_offset
    stand, counters, and the first match."""

    asked: int
    offsets: int
    counters: int
    matches: int


_LAYOUTS = {Family.IPV4: _Layout(84, 88, 96, 112), Family.IPV6: _Layout(136, 140, 152, 168)}
_SIZE, _OFFSETS, _COUNTERS = struct.Struct("=H"), struct.Struct("=HH"), struct.Struct("=QQ")
#: Of sockets (linux/netfilter_ipv4/ip_tables.h): struct ipt_getinfo is so long and ends with the size of all entries,
#: and ipt_get_entries has so much in front of them.
_GET_INFO, _GET_ENTRIES, _INFO, _HEAD = 64, 65, 84, 40
_TRIES = 10
_LIBC = ctypes.CDLL(None, use_errno=True)


class Library(NamedTuple):
    """libiptc's functions for one family."""

    init: Callable[[bytes], Any]
    free: Callable[[Any], None]
    first_chain: Callable[[Any], bytes | None]
    next_chain: Callable[[Any], bytes | None]
    first_rule: Callable[[bytes, Any], Any]
    next_rule: Callable[[Any, Any], Any]
    target: Callable[[Any, Any], bytes]


@cache
def _library(family: Family) -> Library:
    """Imported when it is needed: that takes half a second. ImportError or OSError without libiptc."""
    if family is Family.IPV4:
        from iptc.ip4tc import iptc as found
    else:
        from iptc.ip6tc import ip6tc as found
    parts = ("init", "free", "first_chain", "next_chain", "first_rule", "next_rule", "get_target")
    return Library(*(getattr(found, f"iptc_{part}") for part in parts))


class LegacyReader:
    """`named`: the name of the set that rules know by this number, so that equal rules are equal when their sets were
    made anew."""

    def __init__(self, named: Callable[[int], str]) -> None:
        self._named = named
        self._sockets: dict[Family, socket.socket] = {}

    def tables(self, family: Family) -> Sequence[str]:
        try:
            found = set((SEE / _NAMES[family]).read_text().split())
        except OSError:  # no such module: no such table
            return ()
        return [table for table in TABLES if table in found]

    def chains(self, family: Family, table: str, only: str = "") -> Chains:
        library = _library(family)
        handle = library.init(table.encode())
        if not handle:
            raise OSError(errno.EAGAIN, f"{table}: {os.strerror(errno.EAGAIN)}")
        try:
            names = [only.encode()] if only else list(_names(library, handle))
            return {name.decode(): tuple(self._rules(library, handle, family, name)) for name in names}
        finally:
            library.free(handle)

    def stamp(self, families: Sequence[Family]) -> Hashable:
        return tuple(
            (family, table, self._entries(family, table)) for family in families for table in self.tables(family)
        )

    def close(self) -> None:
        for opened in self._sockets.values():
            opened.close()

    def _entries(self, family: Family, table: str) -> bytes:
        """A digest of a table that is there, as the kernel hands it out, without counters."""
        layout = _LAYOUTS[family]
        data = self._copy(family, table)
        whole = hashlib.sha256()
        at, end = 0, len(data)
        while at < end:
            (following,) = _SIZE.unpack_from(data, at + layout.offsets + 2)
            whole.update(data[at : at + layout.counters])
            whole.update(data[at + layout.matches : at + following])
            at += following
        return whole.digest()

    def _copy(self, family: Family, table: str) -> bytes:
        """All entries (IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES). Bytes that the kernel leaves out stay zero."""
        name = table.encode().ljust(32, b"\0")
        for _ in range(_TRIES):
            size = int.from_bytes(self._option(family, _GET_INFO, name, _INFO)[-4:], sys.byteorder)
            asked = name + size.to_bytes(4, sys.byteorder)
            with suppress(BlockingIOError):  # it became larger or smaller meanwhile
                return self._option(family, _GET_ENTRIES, asked, _HEAD + size)[_HEAD:]
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _option(self, family: Family, number: int, given: bytes, size: int) -> bytes:
        if family not in self._sockets:
            kind = socket.AF_INET if family is Family.IPV4 else socket.AF_INET6
            self._sockets[family] = socket.socket(kind, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
        buffer = ctypes.create_string_buffer(given, size)
        length = ctypes.c_uint32(size)
        level = socket.IPPROTO_IP if family is Family.IPV4 else socket.IPPROTO_IPV6
        if _LIBC.getsockopt(self._sockets[family].fileno(), level, number, buffer, ctypes.byref(length)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return buffer.raw

    def _rules(self, library: Library, handle: Any, family: Family, chain: bytes) -> Iterator[Held]:
        layout = _LAYOUTS[family]
        rule = library.first_rule(chain, handle)
        while rule:
            place = ctypes.cast(rule, ctypes.c_void_p).value
            assert place is not None
            target, size = _OFFSETS.unpack(ctypes.string_at(place + layout.offsets, _OFFSETS.size))
            entry = ctypes.string_at(place, size)
            packets, length = _COUNTERS.unpack_from(entry, layout.counters)
            name = library.target(rule, handle)
            asks: list[str] = []
            parts = [entry[: layout.asked], *self._parts(entry, layout.matches, target, asks)]
            parts += self._parts(entry, target, size, asks) if entry[target + 2] else [name]
            yield Held(name.decode(), b"\0".join(parts), packets, length, tuple(asks))
            rule = library.next_rule(rule, handle)

    def _parts(self, entry: bytes, at: int, end: int, asks: list[str]) -> Iterator[bytes]:
        """Matches or the target, each in what it is and what it asks or does; sets go to `asks`. Not a standard target,
        which has no name: a verdict is a place in the table, and moves when rules of others become more."""
        while at < end:
            size, padded, revision = _PART.unpack_from(entry, at)
            name, data = padded.partition(b"\0")[0], entry[at + _PART.size : at + size]
            if name == b"set":  # struct xt_set_info begins with the set's number
                asks.append(self._named(struct.unpack_from("=H", data)[0]))
                data = asks[-1].encode() + data[2:]
            yield name + b" %d " % revision + data
            at += size


def _names(library: Library, handle: Any) -> Iterator[bytes]:
    name = library.first_chain(handle)
    while name:
        yield name
        name = library.next_chain(handle)

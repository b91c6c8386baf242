"""Tables of iptables-legacy, read by libiptc through the low-level handle of python-iptables. Never written by it:
that loses targets. A handle is a copy of a table at one moment, made for one look and given back.

The kernel tells nobody when a table changes. Only one thread may be here: libiptc keeps errors and iterators of all
handles in common.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from compiler.net import Family
from enforcer.xtables import TABLES, Chains, Held

#: Which tables of this network namespace are there: those that somebody has asked for.
_NAMES = {Family.IPV4: "ip_tables_names", Family.IPV6: "ip6_tables_names"}
_SEE = Path("/proc/thread-self/net")
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
_OFFSETS, _COUNTERS = struct.Struct("=HH"), struct.Struct("=QQ")


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

    def tables(self, family: Family) -> Sequence[str]:
        try:
            found = set((_SEE / _NAMES[family]).read_text().split())
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

    def heard(self, seconds: float) -> bool:
        time.sleep(seconds)
        return True

    def close(self) -> None:
        """Nothing is open between two looks."""

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
            parts = [entry[: layout.asked], *self._parts(entry, layout.matches, target)]
            parts += self._parts(entry, target, size) if entry[target + 2] else [name]
            yield Held(name.decode(), b"\0".join(parts), packets, length)
            rule = library.next_rule(rule, handle)

    def _parts(self, entry: bytes, at: int, end: int) -> Iterator[bytes]:
        """Matches or the target, each in what it is and what it asks or does. Not a standard target, which has no name:
        a verdict is a place in the table, and moves when rules of others become more."""
        while at < end:
            size, padded, revision = _PART.unpack_from(entry, at)
            name, data = padded.partition(b"\0")[0], entry[at + _PART.size : at + size]
            if name == b"set":  # struct xt_set_info begins with the set's number
                data = self._named(struct.unpack_from("=H", data)[0]).encode() + data[2:]
            yield name + b" %d " % revision + data
            at += size


def _names(library: Library, handle: Any) -> Iterator[bytes]:
    name = library.first_chain(handle)
    while name:
        yield name
        name = library.next_chain(handle)

"""What the table `inet netpolc` holds, kept up to date by what the kernel tells of every transaction. Pure.

Elements are known by the sum of their digests, which one that comes or goes changes by its own: a set of 100,000 is
never read again for one of them. Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256

from compiler.backends.nftables import TABLE
from enforcer.netlink import Message, attributes, each, text

INET = 1  # NFPROTO_INET
NAME = TABLE.split()[1]
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
NEW_TABLE, GET_TABLE, DEL_TABLE, NEW_CHAIN, GET_CHAIN, DEL_CHAIN = (_SUBSYSTEM | n for n in range(6))
NEW_RULE, GET_RULE, DEL_RULE, NEW_SET, GET_SET, DEL_SET = (_SUBSYSTEM | n for n in range(6, 12))
NEW_ELEMENTS, GET_ELEMENTS, DEL_ELEMENTS, NEW_GENERATION, GET_GENERATION = (_SUBSYSTEM | n for n in range(12, 17))
TABLE_NAME = 1  # of chains, rules, sets and lists of elements, as well
_TABLE_FLAGS = 2
CHAIN_NAME, CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 3, 4, 5, 7
RULE_CHAIN = 2
RULE_EXPRESSIONS, RULE_USERDATA = 4, 7
SET_NAME = 2  # of lists of elements, as well
_SET_FLAGS, _SET_KEY_TYPE, _SET_DATA_TYPE, _SET_COUNT = 3, 4, 6, 20
_ELEMENTS = 3
EXPRESSION_NAME, EXPRESSION_DATA = 1, 2
_GENERATION = 1
#: Sets within a rule are numbered by the kernel.
_UNNAMED = re.compile(rb"__(set|map)\d+")
_WHOLE = (1 << 128) - 1
_NUMBERS = 1 << 32


@dataclass(slots=True)
class Held:
    """A set or map: what it is declared to hold, how many elements it has, and the sum of their digests."""

    declared: bytes
    count: int = 0
    total: int = 0


class Mirror:
    """The table at one generation. `stale`: chains whose rules have to be read again."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.table: bytes | None = None
        self.chains: dict[str, bytes] = {}
        self.rules: dict[str, bytes] = {}
        self.sets: dict[str, Held] = {}
        self.stale: set[str] = set()
        self._fingerprint = ""

    def fingerprint(self) -> str:
        """Equal for equal content. Nothing may be stale."""
        if not self._fingerprint:
            self._fingerprint = self._made()
        return self._fingerprint

    def _made(self) -> str:
        found = sha256(self.table or b"")
        for name in sorted(self.chains):
            found.update(b"\0".join((b"", name.encode(), self.chains[name], self.rules.get(name, b""))))
        for name, held in sorted(self.sets.items()):
            found.update(f"\0{name}\0{held.count}\0{held.total:x}\0".encode() + held.declared)
        return found.hexdigest()[:32]

    def take(self, generation: int, messages: Iterable[Message]) -> None:
        """What a transaction did, and the generation that it made."""
        for message in messages:
            if is_ours(message):
                self._take(message)
                self._fingerprint = ""
        self.generation = generation

    def _take(self, message: Message) -> None:
        kind = message.kind
        if kind in (NEW_ELEMENTS, DEL_ELEMENTS):
            name, elements = members(message)
            held = self.sets.get(name)
            if held is not None:
                put(held, elements, 1 if kind == NEW_ELEMENTS else -1)
        elif kind in (NEW_RULE, DEL_RULE):
            self.stale.add(text(attributes(message.payload)[RULE_CHAIN]))
        elif kind == NEW_SET:
            name, declared, _ = a_set(message)
            self.sets.setdefault(name, Held(declared)).declared = declared
        elif kind == DEL_SET:
            self.sets.pop(a_set(message)[0], None)
        elif kind == NEW_CHAIN:
            name, self.chains[name] = a_chain(message)
        elif kind == DEL_CHAIN:
            name, _ = a_chain(message)
            self.chains.pop(name, None)
            self.rules.pop(name, None)
            self.stale.discard(name)
        elif kind == NEW_TABLE:
            self.table = attributes(message.payload)[_TABLE_FLAGS]
        elif kind == DEL_TABLE:
            self.table = None
            for part in (self.chains, self.rules, self.sets, self.stale):
                part.clear()


def is_ours(message: Message) -> bool:
    """Whether a message is about our table."""
    if message.family != INET or message.kind in (NEW_GENERATION, GET_GENERATION):
        return False
    for kind, value in each(message.payload):
        if kind == TABLE_NAME:
            return text(value) == NAME
    return False


def put(held: Held, elements: Sequence[bytes], sign: int = 1) -> None:
    """Elements come, or (-1) go."""
    total = sum(int.from_bytes(blake2b(element, digest_size=16).digest(), "big") for element in elements)
    held.count += sign * len(elements)
    held.total = held.total + sign * total & _WHOLE


def members(message: Message) -> tuple[str, list[bytes]]:
    """The set's name, and the elements that are told of."""
    name, elements = "", list[bytes]()
    for kind, value in each(message.payload):
        if kind == SET_NAME:
            name = text(value)
        elif kind == _ELEMENTS:
            elements += (element for _, element in each(value))
    return name, elements


def a_set(message: Message) -> tuple[str, bytes, int | None]:
    """A set's name, what it is declared to hold, and how many elements there are, where the kernel tells (6.16)."""
    said = attributes(message.payload)
    count = int.from_bytes(said[_SET_COUNT], "big") if _SET_COUNT in said else None
    parts = (said.get(kind, b"") for kind in (_SET_FLAGS, _SET_KEY_TYPE, _SET_DATA_TYPE))
    return text(said[SET_NAME]), b"|".join(parts), count


def a_chain(message: Message) -> tuple[str, bytes]:
    """A chain's name and what is declared of it: a base chain's hook, priority, type and policy."""
    said = attributes(message.payload)
    parts = (said.get(kind, b"") for kind in (CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE))
    return text(said[CHAIN_NAME]), b"|".join(parts)


def a_rule(message: Message) -> tuple[str, bytes]:
    """The chain of a rule, and what it says, without what it counted."""
    said = attributes(message.payload)
    parts = []
    for _, expression in each(said.get(RULE_EXPRESSIONS, b"")):
        inner = attributes(expression)
        name = inner[EXPRESSION_NAME]
        parts.append(name if text(name) == "counter" else name + inner.get(EXPRESSION_DATA, b""))
    said_in_all = b"|".join((*parts, said.get(RULE_USERDATA, b"")))
    return text(said[RULE_CHAIN]), _UNNAMED.sub(rb"__\1", said_in_all)


def generation(message: Message) -> int:
    """Which goes up with every transaction in the network namespace."""
    (number,) = struct.unpack(">I", attributes(message.payload)[_GENERATION])
    return int(number)


def follows(one: int, other: int) -> bool:
    """Whether `other` is the very next generation behind `one`; none is 0."""
    return other == (one + 1) % _NUMBERS or (other == 1 and one == _NUMBERS - 1)


def is_later(one: int, other: int) -> bool:
    """Whether `other` is a generation behind `one`, not long ago."""
    return 0 < (other - one) % _NUMBERS < _NUMBERS // 2


def in_chains(messages: Iterable[Message]) -> Iterator[tuple[str, bytes]]:
    """Rules of our table, by chain, in their order."""
    return (a_rule(message) for message in messages if is_ours(message))

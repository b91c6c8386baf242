"""The table `inet netpolc` as the kernel holds it, over netlink.

`nft list` takes seconds where sets are large; this asks for what is wanted and reads the answers where they are.
Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterable, Iterator

from compiler.backends.nftables import TABLE
from enforcer.netlink import Message, Netlink, attribute, attributes, each, text, word

SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
INET = 1  # NFPROTO_INET
NAME = TABLE.split()[1]
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENTS, _GET_GENERATION = (
    SUBSYSTEM | n for n in (1, 4, 7, 10, 13, 16)
)
_TABLE = 1  # of chains, rules, sets and lists of elements
_TABLE_FLAGS = 2
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 3, 4, 5, 7
_RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_USERDATA = 2, 4, 7
_SET_NAME, _SET_FLAGS, _SET_KEY_TYPE, _SET_DATA_TYPE = 2, 3, 4, 6
_ELEMENTS_SET, _ELEMENTS = 2, 3
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_GENERATION = 1
_TRIES = 10


class Tables:
    """Belongs to the network namespace of the thread that makes it. OSError when the kernel refuses."""

    def __init__(self) -> None:
        self._netlink = Netlink()

    def generation(self) -> int:
        """Which goes up with every transaction of anybody in the network namespace, and wraps at 32 bits."""
        (found,) = self._netlink.ask(_GET_GENERATION, socket.AF_UNSPEC)
        (number,) = struct.unpack(">I", attributes(found.payload)[_GENERATION])
        return int(number)

    def table(self) -> bytes | None:
        """Its flags (a dormant table has no effect); None where it is not."""
        try:
            (found,) = self._netlink.ask(_GET_TABLE, INET, attribute(_TABLE, word(NAME)))
        except FileNotFoundError:
            return None
        return attributes(found.payload)[_TABLE_FLAGS]

    def chains(self) -> dict[str, bytes]:
        """Chains of the table, each with what is declared of it: a base chain's hook, priority, type and policy."""
        found = {}
        for message in self._netlink.dump(_GET_CHAIN, INET):
            said = attributes(message.payload)
            if text(said[_TABLE]) == NAME:
                parts = (said.get(kind, b"") for kind in (_CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE))
                found[text(said[_CHAIN_NAME])] = b"|".join(parts)
        return found

    def rules(self) -> Iterator[bytes]:
        """Rules of the table, chain by chain in their order: chain, expressions without what they counted, comment."""
        for message in self._netlink.dump(_GET_RULE, INET, attribute(_TABLE, word(NAME))):
            said = attributes(message.payload)
            if text(said[_TABLE]) == NAME:
                yield b"|".join((said[_RULE_CHAIN], uncounted(said[_RULE_EXPRESSIONS]), said.get(_RULE_USERDATA, b"")))

    def sets(self) -> dict[str, bytes]:
        """Sets and maps of the table, anonymous ones as well, each with what it is declared to hold."""
        found = {}
        for message in self._of_table(_GET_SET):
            said = attributes(message.payload)
            if text(said[_TABLE]) == NAME:
                parts = (said.get(kind, b"") for kind in (_SET_FLAGS, _SET_KEY_TYPE, _SET_DATA_TYPE))
                found[text(said[_SET_NAME])] = b"|".join(parts)
        return found

    def elements(self, name: str) -> Iterator[bytes]:
        """Elements of one set or map, in no order."""
        asked = attribute(_TABLE, word(NAME)) + attribute(_ELEMENTS_SET, word(name))
        for message in self._netlink.dump(_GET_ELEMENTS, INET, asked):
            for kind, value in each(message.payload):
                if kind == _ELEMENTS:
                    yield from (element for _, element in each(value))

    def close(self) -> None:
        self._netlink.close()

    def _of_table(self, kind: int) -> list[Message]:
        """Nothing where the table is not."""
        try:
            return self._netlink.dump(kind, INET, attribute(_TABLE, word(NAME)))
        except FileNotFoundError:
            return []


def uncounted(expressions: bytes) -> bytes:
    """Expressions of a rule without the numbers of its counters."""
    parts = []
    for _, expression in each(expressions):
        said = attributes(expression)
        name = said[_EXPRESSION_NAME]
        parts.append(name if text(name) == "counter" else name + said.get(_EXPRESSION_DATA, b""))
    return b"|".join(parts)


def digest(parts: Iterable[bytes]) -> str:
    """Of some texts in their order."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(4, "big") + part)
    return found.hexdigest()[:32]

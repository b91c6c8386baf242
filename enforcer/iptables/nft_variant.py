"""Tables of iptables-nft: those that its tools make in nf_tables, read over netlink.

Layouts: linux/netfilter/nf_tables.h. A rule of theirs is made of nf_tables' own expressions, among them a counter, and
of matches and targets of xtables.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Sequence

from compiler.net import Family
from enforcer.iptables.xtables import TABLES, Chains, Held
from enforcer.netlink import Netlink, attribute, attributes, each, text, word

_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_GENERATION = (_SUBSYSTEM | n for n in (1, 4, 7, 16))
_FAMILY = {Family.IPV4: 2, Family.IPV6: 10}  # NFPROTO_IPV4, NFPROTO_IPV6
_TABLE, _CHAIN_NAME = 1, 3  # NFTA_TABLE_NAME and NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME
_RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_USERDATA = 2, 4, 7
_EXPRESSION, _EXPRESSION_DATA = 1, 2
_VERDICTS = {0: "DROP", 1: "ACCEPT", -5: "RETURN"}
_TRIES = 10


class NftReader:
    """`named`: the name of the set that rules know by this number."""

    def __init__(self, named: Callable[[int], str]) -> None:
        self._named = named
        self._netlink = Netlink()

    def tables(self, family: Family) -> Sequence[str]:
        found = {text(attributes(m.payload)[_TABLE]) for m in self._netlink.dump(_GET_TABLE, _FAMILY[family])}
        return [table for table in TABLES if table in found]

    def chains(self, family: Family, table: str, only: str = "") -> Chains:
        """Of one generation of rules."""
        for _ in range(_TRIES):
            before = self._generation()
            found = self._chains(family, table, only)
            if self._generation() == before:
                return found
        raise InterruptedError("rules change all the time")

    def stamp(self, families: Sequence[Family]) -> Hashable:
        return self._generation()

    def close(self) -> None:
        self._netlink.close()

    def _generation(self) -> bytes:
        (found,) = self._netlink.ask(_GET_GENERATION, 0)
        return found.payload

    def _chains(self, family: Family, table: str, only: str) -> Chains:
        number = _FAMILY[family]
        asked = attribute(_TABLE, word(table))
        found: dict[str, list[Held]] = {}
        if only:
            asked += attribute(_RULE_CHAIN, word(only))
        else:
            for message in self._netlink.dump(_GET_CHAIN, number):
                said = attributes(message.payload)
                if text(said[_TABLE]) == table:
                    found[text(said[_CHAIN_NAME])] = []
        for message in self._netlink.dump(_GET_RULE, number, asked):
            said = attributes(message.payload)
            found.setdefault(text(said[_RULE_CHAIN]), []).append(self._rule(said))
        return found

    def _rule(self, said: dict[int, bytes]) -> Held:
        target, packets, length = "", 0, 0
        asks: list[str] = []
        parts = [said.get(_RULE_USERDATA, b"")]
        for _, element in each(said.get(_RULE_EXPRESSIONS, b"")):
            expression = attributes(element)
            name, data = text(expression[_EXPRESSION]), expression.get(_EXPRESSION_DATA, b"")
            if name == "counter":
                counted = attributes(data)
                length, packets = (int.from_bytes(counted.get(kind, b""), "big") for kind in (1, 2))
                continue
            if name == "match":
                data = self._match(data, asks)
            elif name == "target":
                target = text(attributes(data)[1])
            elif name == "immediate":
                target = _verdict(data) or target
            parts += (name.encode(), data)
        return Held(target, b"\0".join(parts), packets, length, tuple(asks))

    def _match(self, data: bytes, asks: list[str]) -> bytes:
        """Sets by their names: their numbers change when they are made anew."""
        said = attributes(data)  # NFTA_MATCH_NAME, NFTA_MATCH_REV, NFTA_MATCH_INFO
        if text(said[1]) != "set":
            return data
        (number,) = struct.unpack_from("=H", said[3])
        asks.append(self._named(number))
        return b"\0".join((said[1], said[2], asks[-1].encode(), said[3][2:]))


def _verdict(data: bytes) -> str:
    """Of an immediate expression: NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT, then code and chain."""
    value = attributes(attributes(data).get(2, b"")).get(2)
    if value is None:
        return ""
    said = attributes(value)
    (code,) = struct.unpack(">i", said[1])
    return text(said[2]) if 2 in said else _VERDICTS.get(code, "")

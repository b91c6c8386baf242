"""What rules of our table counted, read off netlink, by the comments that netpolc knows them by (`backends.nftables`).

Rules without such a comment are of rulesets that do not count, and are passed over. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from compiler.backends.nftables import TABLE
from compiler.profiles.profiles import Count, Profile, numbered
from enforcer.netlink import Message, attributes, each, text
from enforcer.nftables.mirror import (
    EXPRESSION_DATA,
    EXPRESSION_NAME,
    RULE_CHAIN,
    RULE_EXPRESSIONS,
    RULE_USERDATA,
    is_ours,
)

_BYTES, _PACKETS = 1, 2  # NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT
_MARK = "netpolc "


class Counted(NamedTuple):
    chain: str
    comment: str
    counted: Count


def profile(messages: Iterable[Message], at: float) -> Profile:
    """Of rules, chain by chain in their order, as they are dumped; `at`: seconds since 1970."""
    found = [one for message in messages if is_ours(message) for one in _counted(message)]
    keys = numbered((TABLE, one.chain, f'comment "{one.comment}"') for one in found)
    return Profile("counters of nft", "nft", dict(zip(keys, (one.counted for one in found), strict=True)), int(at))


def _counted(message: Message) -> Iterator[Counted]:
    """The rule, when it is one that we count."""
    said = attributes(message.payload)
    comment = _comment(said.get(RULE_USERDATA, b""))
    if not comment.startswith(_MARK):
        return
    for _, expression in each(said.get(RULE_EXPRESSIONS, b"")):
        inner = attributes(expression)
        if text(inner[EXPRESSION_NAME]) == "counter":
            numbers = attributes(inner[EXPRESSION_DATA])
            packets, size = (int.from_bytes(numbers[kind], "big") for kind in (_PACKETS, _BYTES))
            yield Counted(text(said[RULE_CHAIN]), comment, Count(packets, size))
            return


def _comment(data: bytes) -> str:
    """Of a rule's user data: type, length and value, one behind the other (libnftnl/udata.h)."""
    at = 0
    while at + 2 <= len(data):
        kind, length = data[at], data[at + 1]
        if kind == _COMMENT:
            return text(data[at + 2 : at + 2 + length])
        at += 2 + length
    return ""

"""What it costs to ask a rule that does not match, by kind of question and tool, in tenths of a nanosecond.

Measured by `python -m bench.prices` (Linux 6.18, nft 1.0.6, iptables 1.8.9, ipset 7.17). Only relations count for an
order, and those carry over to other machines; the figures themselves do not.

A rule asks one question after the other, and the first that the packet does not meet ends it. Which one that is depends
on the traffic; mostly it is the first. So a rule costs its first question in full, and of each further one only that it
is there, as it takes room in the cache. iptables asks addresses, interfaces and the protocol first, in this order, then
each match as written; nft asks as written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum


class Tool(Enum):
    """Whose rules the kernel asks; the value is its name."""

    IPTABLES_LEGACY = "iptables-legacy"
    IPTABLES_NFT = "iptables-nft"
    NFTABLES = "nftables"


class Kind(Enum):
    """Of question."""

    ADDRESS = "address"
    PREFIX = "prefix"
    INTERFACE = "interface"
    PROTOCOL = "protocol"
    PORT = "port"
    PORT_RANGE = "port range"
    PORT_LIST = "port list"
    STATE = "state"
    MARK = "mark"
    SET = "set"
    ADDRESS_TYPE = "address type"


def _priced(*prices: int) -> Mapping[Kind, int]:
    return dict(zip(Kind, prices, strict=True))


#: In the order of `Kind`. Sets are hashes of 1,000 addresses, lists have 15 ports.
PRICES: Mapping[Tool, Mapping[Kind, int]] = {
    Tool.IPTABLES_LEGACY: _priced(35, 35, 39, 44, 160, 160, 223, 154, 131, 512, 376),
    Tool.IPTABLES_NFT: _priced(43, 93, 131, 65, 122, 133, 448, 325, 49, 677, 541),
    Tool.NFTABLES: _priced(42, 93, 130, 65, 121, 173, 204, 55, 48, 146, 393),
}
#: Of a rule that asks nothing, with its counter (nft: a counter alone).
NOTHING: Mapping[Tool, int] = {Tool.IPTABLES_LEGACY: 57, Tool.IPTABLES_NFT: 54, Tool.NFTABLES: 53}
#: Of a question that is seldom reached.
BEHIND: Mapping[Tool, int] = {Tool.IPTABLES_LEGACY: 0, Tool.IPTABLES_NFT: 15, Tool.NFTABLES: 1}
#: Of going to an empty chain and coming back.
JUMP: Mapping[Tool, int] = {Tool.IPTABLES_LEGACY: 113, Tool.IPTABLES_NFT: 121, Tool.NFTABLES: 99}


def price(tool: Tool, asked: Sequence[Kind]) -> int:
    """Of a rule that asks these questions in this order, for a packet that does not match; always above 0."""
    if not asked:
        return NOTHING[tool]
    return PRICES[tool][asked[0]] + BEHIND[tool] * (len(asked) - 1)

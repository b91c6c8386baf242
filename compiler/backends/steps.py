"""Texts in the order in which tools take them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Tool(Enum):
    """Who reads a text."""

    NFT = "nft"
    IPSET = "ipset"
    IPTABLES = "iptables"
    IP6TABLES = "ip6tables"


@dataclass(frozen=True, slots=True)
class Step:
    """One text for one tool, which takes all of it or (nft, iptables) nothing. What comes behind waits until it is
    in force. `settle`: no packet may still be among the rules of before when the next step begins."""

    tool: Tool
    text: str
    settle: bool = False

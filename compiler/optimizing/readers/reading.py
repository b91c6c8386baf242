"""A text of rules -> its listing, by what it is."""

from __future__ import annotations

import re
from enum import Enum

from compiler.optimizing.chains import Listing
from compiler.optimizing.readers import iptables_rules, nftables_rules
from compiler.ordering.prices import Tool
from grammar.source import Source


class Format(Enum):
    """Who prints the text; the value is its name."""

    IPTABLES = "iptables"
    NFT = "nft"


#: What a text of nft begins with, behind comments.
_NFT = re.compile(r"(?:\s*#[^\n]*\n|\s)*+(?:table|add|create|flush|delete|destroy|define|include)\b")


def format_of(text: str) -> Format:
    """By its first word; what nobody prints is taken for iptables-save's."""
    return Format.NFT if _NFT.match(text) else Format.IPTABLES


def listing(source: Source, format_: Format, tool: Tool) -> Listing:
    """`tool`: which iptables has the rules, if they are for it. Raises Refused for a text that is not of the format."""
    return nftables_rules.listing(source) if format_ is Format.NFT else iptables_rules.listing(source, tool)

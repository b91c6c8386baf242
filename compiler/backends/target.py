"""What a compile is for: back end, node, families; and what that back end can do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from compiler.net import Family


class Backend(Enum):
    """The value is the command line's."""

    NFTABLES = "nftables"
    IPTABLES = "iptables"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What passes and lowering may use, so that they need not know a back end by name.

    `verdict_maps`: one lookup can choose among many verdicts. `inline_prefixes`: up to so many prefix rules in a
    row are cheaper than one set lookup (docs/DATAPATH.md: about 30 comparisons of legacy iptables, 15 of nft).
    """

    verdict_maps: bool
    inline_prefixes: int
    inline_ports: int


CAPABILITIES = {
    Backend.NFTABLES: Capabilities(verdict_maps=True, inline_prefixes=8, inline_ports=4),
    Backend.IPTABLES: Capabilities(verdict_maps=False, inline_prefixes=24, inline_ports=64),
}


@dataclass(frozen=True, slots=True)
class Target:
    """`node` None: every pod of the input is a subject."""

    backend: Backend = Backend.NFTABLES
    node: str | None = None
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES[self.backend]

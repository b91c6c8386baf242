"""What a compile is for: back end, node, families; and what that back end can do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from compiler.net import Family


class Backend(Enum):
    """The value is the command line's."""

    NFTABLES = "nftables"
    IPTABLES = "iptables"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What passes and lowering may use, so that they need not know a back end by name.

    `verdict_maps`: one lookup can choose among many verdicts. `inline_prefixes`: so many prefix rules in a row are
    cheaper than one set lookup, which breaks even at about 30 comparisons of legacy iptables and 15 of nft
    (docs/DATAPATH.md). `inline_ports`: likewise for single ports. `multiport`: ports that one rule can list.
    `pair_sets`: sets of address pairs without a port (ipset's hash:net,net is missing from some kernels).
    `prefix_sets`: a set of prefixes of any lengths, and exceptions from them, that a rule can ask.
    `statements`: one rule can have several effects and a verdict. `hop_arithmetic`: a TTL can be set to one less or
    more (nft 1.0.6 knows constants alone). `inbound_mask`: the bits of the mark that tell POSTROUTING by which
    interface a packet came in; None: rules there can ask.
    """

    verdict_maps: bool
    inline_prefixes: int
    inline_ports: int
    multiport: int
    pair_sets: bool
    prefix_sets: bool
    statements: bool
    hop_arithmetic: bool
    inbound_mask: int | None


#: Bits that the well-known users of marks leave alone.
INBOUND_MASK = 0x0F000000
CAPABILITIES = {
    Backend.NFTABLES: Capabilities(
        verdict_maps=True,
        inline_prefixes=8,
        inline_ports=4,
        multiport=0,
        pair_sets=True,
        prefix_sets=False,
        statements=True,
        hop_arithmetic=False,
        inbound_mask=None,
    ),
    Backend.IPTABLES: Capabilities(
        verdict_maps=False,
        inline_prefixes=24,
        inline_ports=15,
        multiport=15,
        pair_sets=False,
        prefix_sets=True,
        statements=False,
        hop_arithmetic=True,
        inbound_mask=INBOUND_MASK,
    ),
}


@dataclass(frozen=True, slots=True)
class Target:
    """`node` None: every pod of the input is a subject. `mark_mask`: adjacent bits of marks that are ours. `counters`:
    rules count packets, also those of nft, which counts only when it is told to. `log_group`: the NFLOG group (0-65535)
    that gets copies of packets that are denied; None: nobody is told."""

    backend: Backend = Backend.NFTABLES
    node: str | None = None
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    mark_mask: int = INBOUND_MASK
    counters: bool = False
    log_group: int | None = None

    @property
    def capabilities(self) -> Capabilities:
        found = CAPABILITIES[self.backend]
        return found if found.inbound_mask is None else replace(found, inbound_mask=self.mark_mask)

"""What a rule does beside its verdict: nothing here ends a rule, or the packet's way.

Where each may stand (`ir/places.py`) is what iptables and nftables have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from compiler.ir.match import Rate


@dataclass(frozen=True, slots=True)
class Log:
    """A copy of the packet to the NFLOG group `group` (0-65535; None: a line to the kernel's own log), with a prefix
    that tells what it is about; `limit`: no more often than that, and what is beyond it is done unlogged."""

    prefix: str
    group: int | None = 0
    limit: Rate | None = None


@dataclass(frozen=True, slots=True)
class SetMark:
    """mark = (mark & ~mask) | value; `value` has no bit outside `mask`. In mangle OUTPUT the packet is routed again."""

    value: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SetDscp:
    """The DSCP (RFC 2474), 0-63, of either family."""

    value: int


class Step(Enum):
    """What is done to a hop limit; the value is iptables' word."""

    DECREASE = "dec"
    INCREASE = "inc"
    SET = "set"


@dataclass(frozen=True, slots=True)
class Ttl:
    """The TTL of IPv4, the hop limit of IPv6: `value` less, `value` more (0 and 255 are the ends), or `value`."""

    step: Step
    value: int


@dataclass(frozen=True, slots=True)
class ClampMss:
    """TCP's SYN: the MSS option is at most what the route's MTU lets through in both directions (RFC 4459, 3.2)."""


@dataclass(frozen=True, slots=True)
class SetMss:
    """TCP's SYN: the MSS option is at most `size`, 1-65535. Neither tool ever raises it."""

    size: int


@dataclass(frozen=True, slots=True)
class NoTrack:
    """Conntrack leaves the packet alone: no state, no NAT. In raw."""


@dataclass(frozen=True, slots=True)
class Native:
    """A whole rule of one tool (`iptables` or `nft`) as its user wrote it, alone in its rule. What it does is not
    known, verdicts among it; `name` is its user's word for it. Only that tool's back end prints it."""

    tool: str
    text: str
    name: str


Effect = Log | SetMark | SetDscp | Ttl | ClampMss | SetMss | NoTrack | Native

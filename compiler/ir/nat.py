"""Verdicts of the nat table, which sees the first packet of a connection; the others follow it.

Each ends the whole table for the packet: rules of others behind ours do not translate it again. Addresses are integers
of the rule's family. A port needs a rule that asks for one protocol with ports.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dnat:
    """The destination becomes `address`, and its port `port` unless None. In PREROUTING and OUTPUT."""

    address: int
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Snat:
    """The source becomes `address`; the port stays when it is free. In POSTROUTING and INPUT."""

    address: int


@dataclass(frozen=True, slots=True)
class Masquerade:
    """The source becomes the address of the interface that the packet leaves by. In POSTROUTING."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """The destination becomes the node itself, at `port`: the address of the interface that the packet came in by, in
    OUTPUT the loopback's. In PREROUTING and OUTPUT."""

    port: int


Translation = Dnat | Snat | Masquerade | Redirect

"""What the kernel holds in the tables of iptables, whichever variant brought it there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from compiler.net import Family

#: As /proc and the tools order nothing, we do: the order of loading.
TABLES = ("raw", "mangle", "nat", "filter")
#: Chains that hang on hooks, by table; they are there before any rule of anybody.
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
TOOLS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


@dataclass(frozen=True, slots=True)
class Held:
    """One rule. `target`: the chain it leads to, or its verdict or target. `content`: all of it but for counters;
    equal rules have equal contents. `asks`: ipsets, once for each time."""

    target: str
    content: bytes
    packets: int
    bytes: int
    asks: tuple[str, ...] = ()


#: Chain -> its rules, in their order.
Chains = Mapping[str, Sequence[Held]]


class Reader(Protocol):
    """Reads, and changes nothing: a table that is not there does not come by being asked for."""

    def tables(self, family: Family) -> Sequence[str]:
        """Those that are there, in the order of `TABLES`."""

    def chains(self, family: Family, table: str, only: str = "") -> Chains:
        """All chains of a table that is there; `only` one of them and it is there alone, if at all. OSError when the
        kernel refuses."""

    def stamp(self, families: Sequence[Family]) -> Hashable:
        """A value that is another one after every change of these tables, by whomever; looking at it costs a small part
        of reading them."""

    def close(self) -> None:
        """Gives back what is open."""

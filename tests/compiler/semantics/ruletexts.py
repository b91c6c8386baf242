"""Short texts of rules for tests, read."""

from __future__ import annotations

from typing import Any

from compiler.semantics.packet import TCP, Packet
from compiler.semantics.rules import reads_ipset, reads_iptables, reads_nftables
from compiler.semantics.rules.journey import Situation, Trace
from compiler.semantics.rules.netfilter import Condition, Rule, Ruleset, Statement, Table
from compiler.semantics.rules.trace import Tracer
from grammar.source import Source

Parts = tuple[Condition | Statement, ...]


def iptables(text: str, family: int = 4, sets: str = "", table: str = "filter") -> Table:
    """One table; `text` without its first and last line."""
    (found,) = reads_iptables.read(
        Source("rules", f"*{table}\n{text}\nCOMMIT\n"), family, reads_ipset.read(Source("sets", sets))
    )
    return found


def iptables_parts(options: str, family: int = 4, sets: str = "", table: str = "filter") -> list[Parts]:
    """The rules that `-A FORWARD OPTIONS` becomes. A chain `mine` is there."""
    found = iptables(f":mine - [0:0]\n-A FORWARD {options}", family, sets, table).chains["FORWARD"].rules
    return [rule.parts for rule in found]


def nft(text: str, family: str = "inet") -> Table:
    """One table; `text` is what stands inside."""
    (found,) = reads_nftables.read(Source("rules", f"table {family} t {{\n{text}\n}}\n"))
    return found


def nft_parts(rule: str, family: str = "inet") -> Parts:
    """One rule in a table with a chain `mine`, sets `s4`, `s6`, `cells` and a map `m4`."""
    return nft_rule(rule, family)[0].parts


def nft_rule(rule: str, family: str = "inet") -> tuple[Rule, Table]:
    """The rule and its table."""
    table = nft(
        "chain mine { }\n"
        "set s4 { type ipv4_addr; elements = { 10.0.0.1 } }\n"
        "set s6 { type ipv6_addr; }\n"
        "set cells { type ipv4_addr . inet_proto . inet_service; elements = { 10.0.0.1 . tcp . 80 } }\n"
        "set wild { type ipv4_addr . inet_proto . inet_service; elements = { 10.0.0.1 . icmp . 80 } }\n"
        "map m4 { type ipv4_addr : verdict; elements = { 10.0.0.1 : jump mine } }\n"
        f"chain c {{\n{rule}\n}}",
        family,
    )
    return table.chains["c"].rules[0], table


def traced(*tables: Table, packet: Packet | None = None, **situation: Any) -> Trace:
    """The way of a packet, by default TCP 10.0.0.1:1000 -> 10.0.0.2:80."""
    found = packet or Packet("10.0.0.1", "10.0.0.2", TCP, 1000, 80)
    return Tracer(Ruleset(tables)).trace(Situation(found, **situation))

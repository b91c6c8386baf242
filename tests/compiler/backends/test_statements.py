"""What both tools are told for each statement, and that our own readers take it for what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from compiler.backends.target import Backend, Target
from compiler.ir.effects import ClampMss, Log, SetMss
from compiler.ir.match import Hops, NoWayBack, OneIn, Rate, WithinRate
from compiler.ir.names import base_name
from compiler.ir.ruleset import Chain, Hook, Rule, Ruleset, Table
from compiler.net import Family
from compiler.pipeline import emit, prepared
from compiler.semantics.rules import netfilter as read
from compiler.semantics.rules import reads_iptables, reads_nftables
from grammar.source import Source
from tests.compiler.backends.small import commands
from tests.compiler.backends.statements import ROWS, Row

FILES = {Family.IPV4: "iptables.save", Family.IPV6: "ip6tables.save"}
#: Asked in words that are not modelled, as they are: an MSS asks for the SYN, a log for its limit.
OPAQUE = (NoWayBack, OneIn, WithinRate, ClampMss, SetMss, Rate)


def files(backend: Backend, *chains: Chain) -> Mapping[str, str]:
    target = Target(backend)
    return emit(prepared(Ruleset(chains), target), target)


def base(row: Row) -> Chain:
    return Chain(base_name(row.table, row.hook), (row.rule,), row.hook, row.table)


@pytest.mark.parametrize("name", ROWS)
class TestEveryStatement:
    def test_nft(self, name: str) -> None:
        row = ROWS[name]
        lines = commands(files(Backend.NFTABLES, base(row))["netpolc.nft"])
        at = lines.index(f"chain {base_name(row.table, row.hook)} {{")
        rule = lines[at + 1]
        assert lines[at + 2] == "}"
        assert rule.removeprefix("meta nfproto ipv4 ").removeprefix("meta nfproto ipv6 ") == row.nft

    def test_iptables(self, name: str) -> None:
        row = ROWS[name]
        emitted = files(Backend.IPTABLES, base(row))
        for number, (family, file) in enumerate(FILES.items()):
            lines = commands(emitted[file])
            start = f"-A NETPOLC-{row.hook.name} "
            found = [line.removeprefix(start) for line in lines if line.startswith(start)]
            other = row.rule.family not in (None, family)
            assert found == ([] if other else [row.iptables[number % len(row.iptables)]])
            assert lines[0] == f"*{row.table.value}"
            assert lines[-2:] == [f"-I {row.hook.name} 1 -j NETPOLC-{row.hook.name}", "COMMIT"]

    def test_our_readers_understand_it(self, name: str) -> None:
        """The statements are those that are meant; nothing is opaque but what has to be."""
        row = ROWS[name]
        nft = reads_nftables.read(Source("netpolc.nft", files(Backend.NFTABLES, base(row))["netpolc.nft"]))
        emitted = files(Backend.IPTABLES, base(row))
        texts = [(nft, base_name(row.table, row.hook))]
        for family, file in FILES.items():
            if row.rule.family in (None, family):
                texts.append(
                    (reads_iptables.read(Source(file, emitted[file]), family.value, {}), f"NETPOLC-{row.hook.name}")
                )
        for tables, chain in texts:
            (rule,) = tables[0].chains[chain].rules
            conditions = (read.In, read.InSet, read.Opaque, read.Barrier)
            found = tuple(without_words(part) for part in rule.parts if not isinstance(part, conditions))
            assert found == row.statements
            opaque = any(isinstance(part, read.Opaque | read.Barrier) for part in rule.parts)
            assert opaque == any(
                isinstance(part, OPAQUE) for part in (*row.rule.matches, *row.rule.effects, _limit(row))
            )


def _limit(row: Row) -> object:
    return next((effect.limit for effect in row.rule.effects if isinstance(effect, Log)), None)


def without_words(part: object) -> object:
    """The tools' own words are not compared."""
    if isinstance(part, read.Rewrite):
        return replace(part, text="")
    return replace(part, text="") if isinstance(part, read.Notice) else part


def test_base_chains_of_nft() -> None:
    """Type and place of every base chain that there can be; all in front of those of others."""
    places = {
        (Table.RAW, Hook.PREROUTING): "filter hook prerouting priority raw - 1",
        (Table.RAW, Hook.OUTPUT): "filter hook output priority raw - 1",
        **{(Table.MANGLE, hook): f"filter hook {hook.value} priority mangle - 1" for hook in Hook},
        (Table.MANGLE, Hook.OUTPUT): "route hook output priority mangle - 1",
        (Table.NAT, Hook.PREROUTING): "nat hook prerouting priority dstnat - 1",
        (Table.NAT, Hook.INPUT): "nat hook input priority 99",
        (Table.NAT, Hook.OUTPUT): "nat hook output priority -101",
        (Table.NAT, Hook.POSTROUTING): "nat hook postrouting priority srcnat - 1",
        **{
            (Table.FILTER, hook): f"filter hook {hook.value} priority filter - 1"
            for hook in (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT)
        },
    }
    chains = [Chain(base_name(table, hook), (), hook, table) for table, hook in places]
    text = files(Backend.NFTABLES, *chains)["netpolc.nft"]
    assert [line for line in commands(text) if line.startswith("add chain")] == [
        f"add chain inet netpolc {base_name(table, hook)} {{ type {place} ; policy accept ; }}"
        for (table, hook), place in places.items()
    ]
    (table,) = reads_nftables.read(Source("netpolc.nft", text))
    found = {name: chain.base for name, chain in table.chains.items()}
    for (kind, hook), _ in places.items():
        based = found[base_name(kind, hook)]
        assert based is not None
        assert based.nat is (kind is Table.NAT)
        assert (based.hook.value, based.accepts) == (hook.value, True)


def test_sections_of_iptables() -> None:
    """In a fixed order, whatever that of the chains; a chain without rules has no jump; a table without chains is not
    named, and brings no table into the kernel."""
    rows = [ROWS[name] for name in ("port unreachable", "masquerade", "mark", "notrack")]
    chains = [*map(base, rows), Chain("mangle-output", (), Hook.OUTPUT, Table.MANGLE)]
    lines = commands(files(Backend.IPTABLES, *chains)["iptables.save"])
    assert [line for line in lines if line[0] in "*:-" and "-A" not in line] == [
        "*raw",
        ":NETPOLC-PREROUTING - [0:0]",
        "-I PREROUTING 1 -j NETPOLC-PREROUTING",
        "*mangle",
        ":NETPOLC-FORWARD - [0:0]",
        ":NETPOLC-OUTPUT - [0:0]",
        "-I FORWARD 1 -j NETPOLC-FORWARD",
        "*nat",
        ":NETPOLC-POSTROUTING - [0:0]",
        "-I POSTROUTING 1 -j NETPOLC-POSTROUTING",
        "*filter",
        ":NETPOLC-FORWARD - [0:0]",
        "-I FORWARD 1 -j NETPOLC-FORWARD",
    ]
    assert lines.count("COMMIT") == 4
    assert "nat" not in files(Backend.IPTABLES, base(ROWS["mark"]))["iptables.save"]


def test_a_packet_that_is_counted_twice_is_warned_of() -> None:
    for name, counts in (("log", True), ("mark", False), ("ttl", False), ("mss", False), ("masquerade", False)):
        text = files(Backend.IPTABLES, base(ROWS[name]))["iptables.save"]
        assert ("grep -v ^-I iptables.save | iptables-restore --noflush" in text) is counts


def test_a_rule_that_asks_for_its_family_is_not_asked_again() -> None:
    for rule, said in (
        (replace(ROWS["dnat"].rule, matches=()), "meta nfproto ipv4 dnat"),
        (replace(ROWS["hops"].rule, matches=(Hops(1, 2),)), "ip ttl 1-2 counter drop"),
    ):
        row = ROWS["dnat"] if "dnat" in said else ROWS["hops"]
        text = files(Backend.NFTABLES, Chain("x", (rule,), row.hook, row.table))["netpolc.nft"]
        assert any(line.startswith(said) for line in commands(text))
    one: Rule = ROWS["a mark"].rule
    chain = Chain("six", (replace(one, family=Family.IPV6),), family=Family.IPV6)
    assert "nfproto" not in files(Backend.NFTABLES, chain)["netpolc.nft"]

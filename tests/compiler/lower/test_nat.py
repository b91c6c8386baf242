"""Statements of nat, mangle and raw as chains: even shares, few rules, and what leaves at the beginning."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from ipaddress import ip_address

import pytest

from compiler.backends.target import Backend, Target
from compiler.ir.check import check
from compiler.ir.match import Field, Inbound, InPrefix, OneIn
from compiler.ir.nat import Dnat
from compiler.ir.ruleset import Accept, Chain, Goto, Rule, Ruleset
from compiler.lower.asking import Asking
from compiler.lower.tables import beside
from compiler.net import Family, parse_prefix
from compiler.resolve.ends import Ends
from compiler.resolve.inventory import Inventory
from compiler.snapshot import build
from compiler.sources import language
from tests.compiler.models import pod

TARGET = Target(Backend.NFTABLES, families=(Family.IPV4,))


def lowered(text: str, pods: int = 0, target: Target = TARGET) -> Ruleset:
    """The program's tables alone, well formed."""
    program = language.load([("p.np", text.encode())], lambda _, __: "nothing is there")
    cluster = build([pod(f"p{n}", "app=web", str(ip_address("10.1.0.0") + n)) for n in range(1, pods + 1)])
    asking = Asking(Ends(Inventory(cluster), None), target.capabilities)
    found = beside(Ruleset((), families=target.families), program, asking, target)
    check(found)
    return found


def rules(found: Ruleset, chain: str) -> list[Rule]:
    return [rule for rule in found.chain(chain).rules if isinstance(rule, Rule)]


def shares(found: Ruleset, chain: Chain, share: Fraction, into: Counter[int]) -> int:
    """What each address gets of a share; how many rules are passed at most."""
    passed = longest = 0
    for rule in chain.rules:
        assert isinstance(rule, Rule)
        passed += 1
        chances = [match.of for match in rule.matches if isinstance(match, OneIn)]
        taken = share / chances[0] if chances else share
        share -= taken
        if isinstance(rule.verdict, Goto):
            longest = max(longest, passed + shares(found, found.chain(rule.verdict.chain), taken, into))
        else:
            assert isinstance(rule.verdict, Dnat)
            into[rule.verdict.address] += taken  # type: ignore[assignment]
    assert share == 0, "a connection that goes nowhere"
    return max(longest, passed)


@pytest.mark.parametrize("count", [2, 3, 8, 9, 10, 17, 31, 64, 97, 100, 1000])
def test_every_pod_has_the_same_share(count: int) -> None:
    found = lowered("nat { dnat any to 192.0.2.1 : tcp/80 -> pods(app=web) : 8080 }", count)
    (last,) = (rule for rule in rules(found, "nat-prerouting") if isinstance(rule.verdict, Goto))
    assert isinstance(last.verdict, Goto)
    into = Counter[int]()
    most = shares(found, found.chain(last.verdict.chain), Fraction(1), into)
    assert len(into) == count
    assert set(into.values()) == {Fraction(1, count)}
    assert most <= 8 + 2 * count.bit_length(), "rules passed at most"


def test_large_sets_are_a_rule_or_two() -> None:
    bad = ", ".join(f"10.{n // 250}.{n % 250}.7" for n in range(3000))
    found = lowered(f"set bad = {{ {bad} }} raw {{ drop from bad }} nat {{ masquerade bad -> bad : tcp/80 }}")
    assert len(rules(found, "raw-prerouting")) == 2
    assert len(rules(found, "nat-postrouting")) == 1
    assert len(found.sets) == 1


def test_what_nothing_is_for_leaves_first() -> None:
    """By `lo`, and of dnat without `to` the loopback addresses; not where some statement is for it."""
    lo, local = Inbound("lo"), InPrefix(Field.DESTINATION, parse_prefix("127.0.0.0/8"))
    dnat = "dnat any : tcp/80 -> 10.0.0.1"
    for text, guards in (
        (dnat, [(lo,), (local,)]),
        (f"{dnat} redirect tcp/81 to 8", [(lo,)]),
        (f"{dnat} dnat iface eth0 to 10.0.0.9 : tcp/80 -> 10.0.0.1", [(lo,)]),
        ("dnat iface eth0 to 10.0.0.9 : tcp/80 -> 10.0.0.1", []),
        (f"{dnat} redirect iface lo -> any : tcp/81 to 8", []),
    ):
        found = [
            rule.matches for rule in rules(lowered(f"nat {{ {text} }}"), "nat-prerouting") if rule.verdict == Accept()
        ]
        assert found == guards, text


def test_base_chains_are_those_of_the_table_or_none() -> None:
    bases = {
        chain.name: len(chain.rules) for chain in lowered("mangle { dscp any -> iface e ef }").chains if chain.hook
    }
    assert bases == {"mangle-prerouting": 0, "mangle-input": 0, "mangle-forward": 1, "mangle-output": 1}
    assert lowered("policy p { deny any -> any }").chains == ()

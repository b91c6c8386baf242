"""Ways through rules that ask what nobody can tell: all of them, and no impossible one."""

from __future__ import annotations

import pytest

from compiler.analysis import explain_ways
from compiler.analysis.explain_ways import Follower, Ways
from compiler.semantics.packet import TCP, Packet
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.journey import Situation

PACKET = Packet("10.0.0.1", "10.0.0.2", TCP, 1024, 80)


def follow(*rules: str) -> Ways:
    """Through FORWARD of iptables, which ends with ACCEPT."""
    text = "\n".join(("*filter", ":X -", ":Y -", *rules, "COMMIT"))
    return Follower(rulesets.read([("iptables.save", text)])).follow(Situation(PACKET))


def nft(*rules: str) -> Ways:
    chain = "\n".join(("type filter hook forward priority 0;", *rules))
    return Follower(rulesets.read([("x.nft", f"table inet t {{\nchain f {{\n{chain}\n}}\n}}\n")])).follow(
        Situation(PACKET)
    )


@pytest.mark.parametrize(
    ("rules", "passed", "assumed"),
    [
        (("-A FORWARD -s 10.0.0.0/8 -j DROP",), False, ()),
        (("-A FORWARD -i eth0 -j DROP",), None, ("input interface eth0",)),
        (("-A FORWARD ! -i eth0 -j DROP", "-A FORWARD -i eth0 -j DROP"), False, ("input interface eth0",)),
        (("-A FORWARD ! -i eth0 -j DROP", "-A FORWARD -j DROP"), False, ("input interface eth0",)),
        # One name: no interface is both, and eth1 is none of veth*.
        (("-A FORWARD -i eth0 -j X", "-A X -i eth1 -j DROP"), True, ("input interface eth0",)),
        (("-A FORWARD -i eth+ -j X", "-A X ! -i eth+ -j DROP"), True, ("input interface eth*",)),
        (("-A FORWARD -i eth0 -j X", "-A X -i eth+ -j RETURN", "-A X -j DROP"), True, ("input interface eth0",)),
        # Two interfaces, which may be the same.
        (("-A FORWARD -i eth0 -o eth0 -j DROP",), None, ("input interface eth0", "output interface eth0")),
        (("-A FORWARD -i + -j DROP",), False, ()),
        # A pure match says the same wherever it stands, a limit does not.
        (("-A FORWARD -m realm --realm 1 -j RETURN", "-A FORWARD -m realm --realm 1 -j DROP"), True, 1),
        (("-A FORWARD -m limit --limit 1/s -j RETURN", "-A FORWARD -m limit --limit 1/s -j DROP"), None, 1),
        (("-A FORWARD -m limit --limit 1/s -j DROP", "-A FORWARD -j DROP"), False, 1),
    ],
)
def test_verdicts_that_do_not_depend_on_it_are_known(
    rules: tuple[str, ...], passed: bool | None, assumed: tuple[str, ...] | int
) -> None:
    found = follow(*rules)
    assert found.passed is passed
    assert (len(found.assumed) if isinstance(assumed, int) else tuple(found.assumed)) == assumed
    assert found.trace is not None


def test_the_way_shown_is_the_one_where_none_holds() -> None:
    found = follow("-A FORWARD -i eth0 -j DROP", "-A FORWARD -o eth1 -j DROP")
    assert found.trace is not None
    assert found.trace.passed
    assert not found.trace.stops[0].steps
    assert [rule.place.span.line for rule in found.assumed.values()] == [4, 5]


def test_sets_of_interfaces() -> None:
    assert nft('iifname { "eth0", "eth1" } drop').passed is None
    assert nft('iifname . ip saddr { "eth0" . 10.0.0.1 } drop').passed is None
    assert nft('iifname . ip saddr { "eth0" . 10.0.0.1 } drop', "drop").passed is False
    stuck = nft('iifname vmap { "eth0" : drop }')
    assert stuck.passed is None
    assert stuck.stuck is not None
    assert stuck.stuck[0].startswith("input interface in ")


def test_too_many_ways_have_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [f"-A FORWARD -m limit --limit {n}/s -j X" for n in range(1, 8)]
    assert follow(*limits).passed is True
    monkeypatch.setattr(explain_ways, "MOST_WAYS", 100)
    assert follow(*limits).passed is None


def test_a_chain_for_each_of_many_interfaces() -> None:
    """As CNI plugins have it: their number does not multiply."""
    dispatch = [f"-A FORWARD -i cali{n} -j X" for n in range(200)]
    assert follow(*dispatch, "-A X -d 10.0.0.9 -j DROP").passed is True

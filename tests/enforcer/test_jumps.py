"""Jumps in texts for iptables-restore, and rules of others in front of them."""

from __future__ import annotations

from enforcer.iptables.bypass import bypasses
from enforcer.iptables.jumps import Place, Wanted, leading, placed, removing, wanted
from enforcer.iptables.xtables import Held

TEXT = """\
# netpolc
*mangle
:NETPOLC-FORWARD - [0:0]
COMMIT
*filter
:NETPOLC-FORWARD - [0:0]
:NETPOLC-INPUT - [0:0]
:NETPOLC-deny - [0:0]

-A NETPOLC-deny -j DROP
-I FORWARD 1 -m conntrack ! --ctstate ESTABLISHED,RELATED -j NETPOLC-FORWARD
-I INPUT 1 -j NETPOLC-INPUT
COMMIT
"""


def test_what_a_text_wants() -> None:
    """Also where a base chain is declared and nothing leads to it."""
    assert wanted(TEXT) == Wanted(
        {
            Place("mangle", "FORWARD"): "",
            Place("filter", "FORWARD"): "-m conntrack ! --ctstate ESTABLISHED,RELATED -j NETPOLC-FORWARD",
            Place("filter", "INPUT"): "-j NETPOLC-INPUT",
        },
        {},
    )
    assert wanted(removing("filter", ["NETPOLC-FORWARD", "NETPOLC-x"])) == Wanted(
        {Place("filter", "FORWARD"): ""}, {"filter": frozenset({"NETPOLC-FORWARD", "NETPOLC-x"})}
    )


def test_what_is_there_is_left_out_and_what_is_stale_goes_in_the_same_step() -> None:
    stale = {"filter": ["-A INPUT -s 10.0.0.1/32 -j NETPOLC-INPUT"], "mangle": ["-A FORWARD -j NETPOLC-FORWARD"]}
    lines = placed(TEXT, [Place("filter", "FORWARD")], stale).splitlines()
    assert lines[1:5] == ["*mangle", ":NETPOLC-FORWARD - [0:0]", "-D FORWARD -j NETPOLC-FORWARD", "COMMIT"]
    assert lines[-6:] == [
        "",
        "-D INPUT -s 10.0.0.1/32 -j NETPOLC-INPUT",
        "-A NETPOLC-deny -j DROP",
        "# It is there.",
        "-I INPUT 1 -j NETPOLC-INPUT",
        "COMMIT",
    ]


def test_nothing_to_do_is_the_text() -> None:
    assert placed(TEXT, [], {}) == TEXT


def test_rules_of_others_that_lead_to_ours() -> None:
    rules = [
        "-A FORWARD -j NETPOLC-FORWARD",
        "-A FORWARD -g NETPOLC-FORWARD-X",
        "-A NETPOLC-a -g NETPOLC-FORWARD",
        "-A KUBE-X -m comment --comment NETPOLC-FORWARD -j ACCEPT",
        '-A KUBE-X -m comment --comment "to netpolc" -g NETPOLC-FORWARD',
    ]
    assert list(leading(rules, {"NETPOLC-FORWARD"})) == [rules[0], rules[4]]


def held(target: str) -> Held:
    return Held(target, target.encode(), 0, 0)


def test_chains_that_can_accept() -> None:
    """However far behind, and in circles."""
    chains = {
        "FORWARD": [held("A"), held("C"), held("NETPOLC-FORWARD"), held("ACCEPT")],
        "INPUT": [held("NETPOLC-INPUT")],
        "A": [held("B")],
        "B": [held("A"), held("ACCEPT")],
        "C": [held("C"), held("DROP")],
        "NETPOLC-FORWARD": [held("DROP")],
        "NETPOLC-INPUT": [held("DROP")],
        "NETPOLC-OUTPUT": [],
    }
    listed = ["-A FORWARD -j A", "-A FORWARD -j C", "-A FORWARD -j NETPOLC-FORWARD"]
    found = [(one.place, one.rule, one.why) for one in bypasses("iptables filter", chains, lambda _: listed)]
    assert found == [
        ("iptables filter FORWARD", "-A FORWARD -j A", "it can accept packets before our rules see them"),
        ("iptables filter FORWARD", "-A FORWARD -j C", "it stands in front of our jump"),
    ]

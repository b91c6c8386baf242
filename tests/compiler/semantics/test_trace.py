"""The way of a packet: hooks, chains, sets, marks, NAT, and what decides. The kernel's word is in tests/kernel."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.semantics.packet import ICMP, ICMPV6, TCP, Packet
from compiler.semantics.rules.journey import Route, Situation, Unanswerable
from compiler.semantics.rules.netfilter import Hook, Opaque, Ruleset, State
from compiler.semantics.rules.trace import Tracer, first_state
from tests.compiler.semantics.ruletexts import iptables, nft, traced

BASE = "type filter hook forward priority 0;"


def passed(text: str, **situation: Any) -> bool:
    """A table with a base chain `b` in FORWARD; `text` is its rules, `;;` then other chains."""
    rules, _, others = text.partition(";;")
    return traced(nft(f"{others}\nchain b {{ {BASE}\n{rules}\n}}"), **situation).passed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("policy drop", False),
        ("policy drop; accept", True),
        ("policy drop; return", False),
        ("drop", False),
        ("continue; drop", False),
        ("jump c; drop ;; chain c { return; }", False),
        ("jump c; drop ;; chain c { accept; }", True),
        ("goto c; drop ;; chain c { return; }", True),
        ("jump c; drop ;; chain d { return; }\nchain c { goto d; accept; }", False),
        ("jump c; drop ;; chain d { accept; }\nchain c { jump d; drop; }", True),
        ("meta mark set 5; meta mark 5 drop", False),
        ("ip saddr 10.0.0.9 meta mark set 5; meta mark 5 drop", True),
        ("ip saddr vmap { 10.0.0.1 : drop }", False),
        ("ip saddr vmap { 10.0.0.2 : accept }; drop", False),
        ("ip saddr vmap { 10.0.0.1 : continue }; drop", False),
        ("icmp type 0 drop", True),
        ("ip ttl 63 drop", False),
    ],
)
def test_chains(text: str, expected: bool) -> None:
    assert passed(text) is expected


def test_accept_ends_one_base_chain_only() -> None:
    first = nft("chain a { type filter hook forward priority 5; drop; }")
    second = nft("chain a { type filter hook forward priority -5; accept; }")
    found = traced(first, second)
    assert [(stop.chain.base and stop.chain.base.priority, stop.passed) for stop in found.stops] == [
        (-5, True),
        (5, False),
    ]


def test_steps_tell_rules_and_elements_with_their_places() -> None:
    table = nft(
        "map m { type ipv4_addr : verdict; elements = { 10.0.0.9 : accept, 10.0.0.1 : jump c } }\n"
        f"chain c {{\ntcp dport 80 drop\n}}\nchain b {{\n{BASE}\nip saddr vmap @m\n}}"
    )
    (stop,) = traced(table).stops
    jump, drop = stop.steps
    assert (str(jump.rule.place.span), jump.rule.place.text) == ("rules:8:1", "ip saddr vmap @m")
    assert jump.element is not None
    assert (str(jump.element.place.span), jump.element.place.text) == ("rules:2:67", "10.0.0.1")
    assert (str(drop.rule.place.span), drop.chain.name, drop.element) == ("rules:4:1", "c", None)
    assert not stop.by_policy


def test_a_policy_decides_without_a_step() -> None:
    (stop,) = traced(nft(f"chain b {{ {BASE} policy drop; tcp dport 5 accept; }}")).stops
    assert (stop.passed, stop.by_policy, stop.steps) == (False, True, ())


def test_hooks_follow_the_destination() -> None:
    every = nft(
        "\n".join(f"chain {hook.value} {{ type filter hook {hook.value} priority 0; counter; }}" for hook in Hook)
    )

    def hooks(**situation: Any) -> list[str]:
        return [stop.hook.value for stop in traced(every, **situation).stops]

    assert hooks() == ["prerouting", "forward", "postrouting"]
    assert hooks(local=frozenset({"10.0.0.2"})) == ["prerouting", "input"]
    assert hooks(route=Route.SENT) == ["output", "postrouting"]


def test_interfaces_are_seen_where_the_kernel_knows_them() -> None:
    table = nft(
        'chain p { type filter hook prerouting priority 0; oifname "b" drop; iifname != "a" drop; }\n'
        'chain o { type filter hook forward priority 0; oifname != "b" drop; iifname != "a" drop; }'
    )
    assert traced(table, input="a", output="b").passed


def test_state_is_unknown_before_conntrack() -> None:
    table = nft(
        "chain a { type filter hook prerouting priority raw; ct state != invalid drop; }\n"
        "chain b { type filter hook prerouting priority mangle; ct state != new drop; }"
    )
    assert traced(table).passed
    assert not traced(table, state=State.ESTABLISHED).passed


def test_packets_that_conntrack_leaves_alone() -> None:
    table = nft(
        "chain r { type filter hook prerouting priority raw; notrack; }\n"
        f"chain b {{ {BASE} ct state untracked drop; }}"
    )
    assert not traced(table).passed
    states = {kind: first_state(Packet("::1", "::2", ICMPV6, icmp_type=kind)) for kind in (128, 129, 135)}
    assert states == {128: State.NEW, 129: State.INVALID, 135: State.UNTRACKED}
    assert first_state(Packet("10.0.0.1", "10.0.0.2", ICMP)) is State.NEW
    assert first_state(Packet("10.0.0.1", "10.0.0.2", TCP)) is State.NEW


def test_what_is_not_modelled_has_no_answer() -> None:
    table = iptables("-A FORWARD -m owner --uid-owner 0 -j DROP\n-A FORWARD -p udp -j CONNMARK --restore-mark")
    with pytest.raises(Unanswerable, match=r"rules:2:1: -m owner --uid-owner 0"):
        traced(table)
    for said in (True, False):
        tracer = Tracer(Ruleset((table,)), lambda match, rule, said=said: said)  # type: ignore[misc]
        assert tracer.trace(Situation(Packet("10.0.0.1", "10.0.0.2", TCP))).passed is not said
    assert isinstance(table.chains["FORWARD"].rules[0].parts[0], Opaque)
    with pytest.raises(Unanswerable, match="CONNMARK"):
        Tracer(Ruleset((table,)), lambda match, rule: False).trace(Situation(Packet("10.0.0.1", "10.0.0.2", 17)))


NAT = """\
-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.9:8080
-A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 8081
-A PREROUTING -p tcp --dport 82 -j DNAT --to-destination 10.0.0.5-10.0.0.6
-A POSTROUTING -p tcp --dport 83 -j SNAT --to-source 10.0.0.7-10.0.0.8
"""


def nat(filter_rules: str, port: int, **situation: Any) -> bool:
    packet = Packet("10.0.0.1", "10.0.0.2", TCP, 1000, port)
    late = nft("chain l { type filter hook postrouting priority 200; ip saddr 10.0.0.1 tcp dport 83 drop; }")
    return traced(iptables(NAT, table="nat"), iptables(filter_rules), late, packet=packet, **situation).passed


def test_nat_changes_what_later_hooks_see() -> None:
    assert not nat("-A FORWARD -d 10.0.0.9 -p tcp --dport 8080 -j DROP", 80)
    assert nat("-A FORWARD -d 10.0.0.2 -j DROP", 80)
    assert not nat("-A FORWARD -d 10.0.0.2 -j DROP", 80, state=State.ESTABLISHED)
    assert not nat("-A INPUT -p tcp --dport 8080 -j DROP", 80, local=frozenset({"10.0.0.9"}))
    assert not nat("-A INPUT -m addrtype --dst-type LOCAL -p tcp --dport 8081 -j DROP", 81)


def test_choices_of_nat_are_nobodys_to_know() -> None:
    with pytest.raises(Unanswerable, match="a destination out of several"):
        nat("", 82)
    with pytest.raises(Unanswerable, match="the source address is one of several after NAT"):
        nat("", 83)


def test_circles_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compiler.semantics.rules.trace._MOST_RULES", 1000)
    with pytest.raises(ValueError, match="in a circle"):
        passed("goto c ;; chain c { goto c; }")

"""Rules that become one: the texts, and what is told."""

from __future__ import annotations

import pytest

from compiler.optimizing.passes.simplify import simplify
from compiler.optimizing.readers import iptables_rules
from compiler.ordering.prices import Tool
from grammar.source import Source
from tests.compiler.optimizing.simplified import left, run, tells


def test_blocks_that_are_one() -> None:
    found = run(
        "[1:10] -A FORWARD -s 10.0.0.0/25 -j ACCEPT",
        "[0:0] -A FORWARD -s 10.9.0.0/16 -j REJECT",
        "[2:20] -A FORWARD -s 10.0.0.128/25 -j ACCEPT",
        "[4:40] -A FORWARD -s 10.0.1.0/24 -j ACCEPT",
        "[8:80] -A FORWARD -s 10.0.3.0/24 -j ACCEPT",
    )
    assert left(found) == [
        "[7:70] -A FORWARD -s 10.0.0.0/23 -j ACCEPT",
        "[0:0] -A FORWARD -s 10.9.0.0/16 -j REJECT",
        "[8:80] -A FORWARD -s 10.0.3.0/24 -j ACCEPT",
    ]
    assert tells(found) == ["rules:6: one rule with lines 8 and 9: [7:70] -A FORWARD -s 10.0.0.0/23 -j ACCEPT"]
    assert found.gone == 2


def test_halves_of_all_addresses_are_no_question() -> None:
    found = run("-A FORWARD -s 0.0.0.0/1 -p udp -j ACCEPT", "-A FORWARD -s 128.0.0.0/1 -p udp -j ACCEPT")
    assert left(found) == ["-A FORWARD -p udp -j ACCEPT"]


def test_ports_become_ranges_and_lists() -> None:
    found = run(
        "[1:1] -A FORWARD -s 10.0.0.1/32 -p tcp -m tcp --dport 80 -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.1/32 -p tcp -m tcp --dport 443 -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.1/32 -p tcp -m multiport --dports 8080,9000:9100 -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.2/32 -p udp -m udp --dport 10:19 -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.2/32 -p udp -m udp --dport 20 -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.3/32 -p tcp -m tcp --sport 7 --dport 1 --tcp-flags SYN,ACK SYN -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.3/32 -p tcp -m tcp --sport 7 --dport 3 --tcp-flags SYN,ACK SYN -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.3/32 -p udp -m udp --dport 1 -j ACCEPT",
    )
    assert left(found) == [
        "[3:3] -A FORWARD -s 10.0.0.1/32 -p tcp -m multiport --dports 80,443,8080,9000:9100 -j ACCEPT",
        "[2:2] -A FORWARD -s 10.0.0.2/32 -p udp -m udp --dport 10:20 -j ACCEPT",
        "[2:2] -A FORWARD -s 10.0.0.3/32 -p tcp -m tcp --sport 7 --tcp-flags SYN,ACK SYN -m multiport --dports 1,3 "
        "-j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.3/32 -p udp -m udp --dport 1 -j ACCEPT",
    ]


def test_a_list_has_room_for_fifteen() -> None:
    rules = [f"[1:1] -A FORWARD -s 10.0.0.1/32 -p sctp -m sctp --dport {2 * n} -j ACCEPT" for n in range(17)]
    listed = [",".join(str(2 * n) for n in part) for part in (range(15), range(15, 17))]
    assert left(run(*rules)) == [
        f"[15:15] -A FORWARD -s 10.0.0.1/32 -p sctp -m multiport --dports {listed[0]} -j ACCEPT",
        f"[2:2] -A FORWARD -s 10.0.0.1/32 -p sctp -m multiport --dports {listed[1]} -j ACCEPT",
    ]


def test_a_merge_must_not_cost_more() -> None:
    """A list of iptables-nft costs more than two ports, less than three."""
    rules = [f"-A FORWARD -p tcp -m tcp --dport {port} -j ACCEPT" for port in (80, 443, 8080)]
    assert len(left(run(*rules[:2], tool=Tool.IPTABLES_LEGACY))) == 1
    assert left(run(*rules[:2], tool=Tool.IPTABLES_NFT)) == rules[:2]
    assert len(left(run(*rules, tool=Tool.IPTABLES_NFT))) == 1


def test_a_question_less_can_cost_more() -> None:
    """An address is asked faster than a protocol: where all packets are the first rule's, two rules are better."""
    rules = ["[9:9] -A FORWARD -s 0.0.0.0/1 -p udp -j ACCEPT", "[0:0] -A FORWARD -s 128.0.0.0/1 -p udp -j ACCEPT"]
    end = "[{}:0] -A FORWARD -j REJECT"
    assert len(left(run(*rules, end.format(0)))) == 2  # by nine packets at the policy
    text = "\n".join(["*filter", ":FORWARD DROP [0:0]", *rules, end.format(0), "COMMIT", ""])
    assert simplify(iptables_rules.listing(Source("rules", text), Tool.IPTABLES_LEGACY)).changes == ()


def test_states_become_one_list() -> None:
    found = run(
        "[1:1] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "[1:1] -A FORWARD -m conntrack --ctstate NEW -j ACCEPT",
        "[1:1] -A FORWARD -p tcp -m state --state NEW -j REJECT",
    )
    assert left(found) == ["[3:3] -A FORWARD -m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT"]


def test_jumps_become_one_where_no_packet_takes_both() -> None:
    found = run(
        "[1:1] -A FORWARD -s 10.0.0.0/32 -j own",
        "[1:1] -A FORWARD -s 10.0.0.1/32 -j own",
        "[1:1] -A FORWARD -s 10.0.0.0/31 -p tcp -j more",
        "[1:1] -A FORWARD -s 10.0.0.1/32 -p tcp -j more",
        "[0:0] -A own -m limit --limit 1/sec -j ACCEPT",
        "[0:0] -A more -m limit --limit 1/sec -j ACCEPT",
    )
    assert left(found)[:3] == [
        "[2:2] -A FORWARD -s 10.0.0.0/31 -j own",
        "[1:1] -A FORWARD -s 10.0.0.0/31 -p tcp -j more",
        "[1:1] -A FORWARD -s 10.0.0.1/32 -p tcp -j more",
    ]


@pytest.mark.parametrize(
    "rules",
    [
        # Other comments.
        ('-A FORWARD -s 10.0.0.0/32 -m comment --comment "a" -j ACCEPT', "-A FORWARD -s 10.0.0.1/32 -j ACCEPT"),
        # Another verdict in between, for packets of the later one.
        (
            "-A FORWARD -s 10.0.0.0/32 -j ACCEPT",
            "-A FORWARD -d 10.0.0.0/32 -j REJECT",
            "-A FORWARD -s 10.0.0.1/32 -j ACCEPT",
        ),
        # A notice in between, or rules that give one.
        ("-A FORWARD -s 10.0.0.0/32 -j ACCEPT", "-A FORWARD -p tcp -j LOG", "-A FORWARD -s 10.0.0.1/32 -j ACCEPT"),
        ("-A FORWARD -s 10.0.0.0/32 -j LOG", "-A FORWARD -s 10.0.0.1/32 -j LOG"),
        (
            "-A FORWARD -s 10.0.0.0/32 -j MARK --set-xmark 0x1/0x1",
            "-A FORWARD -s 10.0.0.1/32 -j MARK --set-xmark 0x1/0x1",
        ),
        # They remember something each.
        (
            "-A FORWARD -s 10.0.0.0/32 -m limit --limit 1/sec -j ACCEPT",
            "-A FORWARD -s 10.0.0.1/32 -m limit --limit 1/sec -j ACCEPT",
        ),
        # Two things are different, or one is negated.
        ("-A FORWARD -s 10.0.0.0/32 -p tcp -j ACCEPT", "-A FORWARD -s 10.0.0.1/32 -p udp -j ACCEPT"),
        ("-A FORWARD -s 10.0.0.0/32 -d 10.0.0.0/32 -j ACCEPT", "-A FORWARD -s 10.0.0.1/32 -d 10.0.0.1/32 -j ACCEPT"),
        ("-A FORWARD -p tcp -m tcp ! --dport 1 -j ACCEPT", "-A FORWARD -p udp -m udp --dport 1 -j ACCEPT"),
        # No list asks for these.
        ("-A FORWARD -p icmp -m icmp --icmp-type 8 -j ACCEPT", "-A FORWARD -p icmp -m icmp --icmp-type 3 -j ACCEPT"),
        ("-A FORWARD -p tcp -j ACCEPT", "-A FORWARD -p udp -j ACCEPT"),
        # Other answers.
        (
            "-A FORWARD -s 10.0.0.0/32 -j REJECT --reject-with icmp-host-unreachable",
            "-A FORWARD -s 10.0.0.1/32 -j REJECT --reject-with icmp-port-unreachable",
        ),
    ],
)
def test_what_is_not_merged(rules: tuple[str, ...]) -> None:
    found = run(*rules)
    assert left(found) == list(rules)
    assert found.changes == ()

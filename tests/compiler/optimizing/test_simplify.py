"""Rules that go, and rules in other words: the texts, and what is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from compiler.optimizing.passes import shadow as shadowing
from compiler.optimizing.passes import simplify as simplifying
from compiler.optimizing.passes.lines import Entered, Line
from compiler.optimizing.passes.shadow import Shadow
from compiler.optimizing.passes.simplify import Pass, simplify
from compiler.optimizing.readers import iptables_rules
from compiler.ordering.prices import Tool
from grammar.source import Source
from tests.compiler.optimizing.simplified import HEAD, left, policy, run, tells

# Shadow


def test_a_rule_that_another_shadows() -> None:
    found = run(
        "[5:300] -A FORWARD -s 10.0.0.0/8 -p tcp -j ACCEPT",
        '[2:120] -A FORWARD -s 10.1.0.0/16 -p tcp -m tcp --dport 80 -m comment --comment "why, ever" -j DROP',
        "[0:0] -A FORWARD -s 10.1.0.0/16 -p udp -j ACCEPT",
    )
    assert left(found) == [
        "[7:420] -A FORWARD -s 10.0.0.0/8 -p tcp -j ACCEPT",
        "[0:0] -A FORWARD -s 10.1.0.0/16 -p udp -j ACCEPT",
    ]
    assert tells(found) == [
        "rules:7: removed: no packet reaches it, line 6 matches all that it may match: "
        '[2:120] -A FORWARD -s 10.1.0.0/16 -p tcp -m tcp --dport 80 -m comment --comment "why, ever" -j DROP'
    ]
    assert found.gone == 1


def test_several_rules_shadow_one_together() -> None:
    """Its packets are the first's, as nobody knows whose."""
    rules = [
        "[1:1] -A FORWARD -p tcp -m tcp --dport 0:99 -j ACCEPT",
        "[1:1] -A FORWARD -p tcp -m multiport --dports 100:1000,3000 -j DROP",
        "[1:1] -A FORWARD -p tcp -m tcp ! --dport 0:999 -j REJECT",
    ]
    shadowed = (
        "[6:60] -A FORWARD -s 10.0.0.1/32 -p tcp -m tcp --dport 22 --tcp-flags SYN,ACK SYN -m mark --mark 0x7 -j {}"
    )
    assert left(run(*rules, shadowed.format("own"), "-A own -j ACCEPT")) == [
        "[7:61] -A FORWARD -p tcp -m tcp --dport 0:99 -j ACCEPT",
        *rules[1:],
        "-A own -j ACCEPT",
    ]
    (told_,) = tells(run(*rules, "[0:0] -A FORWARD -p tcp -m tcp --sport 1 -j DROP", passes=(Pass.SHADOW,)))
    assert "lines 6, 7 and 8 match all that it may match" in told_


@pytest.mark.parametrize(
    "rules",
    [
        # Fragments have no ports.
        ("-A FORWARD -p tcp -m tcp --dport 0:65535 -j ACCEPT", "-A FORWARD -p tcp -j REJECT"),
        # Not every packet that it may match is matched.
        ("-A FORWARD -m limit --limit 1/sec -j ACCEPT", "-A FORWARD -s 10.0.0.1/32 -j REJECT"),
        ("-A FORWARD -m mark --mark 0x1 -j ACCEPT", "-A FORWARD -s 10.0.0.1/32 -j REJECT"),
        # Marks change in between.
        (
            "-A FORWARD -m mark --mark 0x1 -j ACCEPT",
            "-A FORWARD -j MARK --set-xmark 0x1/0x1",
            "-A FORWARD -m mark --mark 0x1 -j REJECT",
        ),
        # A copy is sent, something is remembered.
        ("-A FORWARD -s 10.0.0.0/8 -j ACCEPT", "-A FORWARD -s 10.0.0.1/32 -j LOG"),
        ("-A FORWARD -s 10.0.0.0/8 -j ACCEPT", "-A FORWARD -s 10.0.0.1/32 -m limit --limit 1/sec -j REJECT"),
        # It is counted and goes on.
        ("-A FORWARD -s 10.0.0.0/8 -j ACCEPT", "-A FORWARD -s 10.0.0.1/32"),
        # The packet comes back.
        ("-A FORWARD -s 10.0.0.0/8 -j own", "-A FORWARD -s 10.0.0.1/32 -j REJECT", "-A own -p tcp -j ACCEPT"),
    ],
)
def test_what_is_not_shadowed(rules: tuple[str, ...]) -> None:
    found = run(*rules)
    assert left(found) == list(rules)
    assert found.changes == ()


def test_the_same_question_besides_boxes() -> None:
    found = run(
        "-A FORWARD -s 10.0.0.0/8 -m mark --mark 0x1 -j ACCEPT",
        "-A FORWARD -s 10.0.0.0/9 -p udp -m mark --mark 0x1 -j REJECT",
    )
    assert found.gone == 1


def test_what_comes_behind_a_barrier_is_not_shadowed() -> None:
    """The packet may be another one by then."""
    rules = [
        "-A FORWARD -s 10.0.0.0/8 -j ACCEPT",
        "-A FORWARD -d 10.0.0.9/32 -j STRANGE",
        "-A FORWARD -s 10.0.0.1/32 -j REJECT",
    ]
    text = "\n".join([*HEAD.splitlines(), *rules, "COMMIT", ""])
    found = simplify(iptables_rules.listing(Source("rules", text), Tool.IPTABLES_LEGACY))
    assert found.listing.written() == text


def test_rules_that_no_jump_lets_packets_to() -> None:
    found = run(
        "[9:9] -A FORWARD -s 10.1.0.0/16 -j own",
        "[9:9] -A FORWARD -s 10.2.0.0/16 -p udp -j own",
        "[0:0] -A own -s 10.3.0.0/16 -j ACCEPT",
        "[0:0] -A own -s 10.2.0.0/16 -p tcp -j ACCEPT",
        "[4:4] -A own -s 10.4.0.0/16 -j ACCEPT",
        "[3:3] -A own -s 10.0.0.0/8 -j more",
        "[0:0] -A more ! -s 10.0.0.0/8 -j ACCEPT",
        "[3:3] -A more -d 10.0.0.1/32 -j ACCEPT",
    )
    assert left(found) == [
        "[9:9] -A FORWARD -s 10.1.0.0/16 -j own",
        "[9:9] -A FORWARD -s 10.2.0.0/16 -p udp -j own",
        "[4:4] -A own -s 10.4.0.0/16 -j ACCEPT",  # it has matched: jumps were others once, and nobody has its packets
        "[3:3] -A own -s 10.0.0.0/8 -j more",
        "[3:3] -A more -d 10.0.0.1/32 -j ACCEPT",
    ]
    assert tells(found)[0] == (
        "rules:8: removed: no packet reaches it, no rule that leads to its chain lets one through: "
        "[0:0] -A own -s 10.3.0.0/16 -j ACCEPT"
    )


def test_what_comes_to_a_chain_shadows_less() -> None:
    """One rule has all that the jump lets through."""
    found = run(
        "[0:0] -A FORWARD -p tcp -m tcp --dport 80 -j own",
        "[1:1] -A own -p tcp -m tcp --dport 1:100 -j ACCEPT",
        "[0:0] -A own -s 10.0.0.1/32 -j DROP",
    )
    assert left(found)[1:] == ["[1:1] -A own -p tcp -m tcp --dport 1:100 -j ACCEPT"]


def test_chains_that_nobody_leads_to_are_told_and_stay() -> None:
    rules = ["[0:0] -A own -p tcp -j more", "[0:0] -A more -p tcp -j DROP"]
    found = run(*rules)
    assert left(found) == rules
    assert found.deserted == run().deserted
    assert run().deserted == (("filter", "own"), ("filter", "more"))


# Redundant


def test_a_later_rule_or_the_policy_does_the_same() -> None:
    found = run(
        "[1:10] -A FORWARD -s 10.0.0.1/32 -p tcp -j ACCEPT",
        "[0:0] -A FORWARD -d 10.2.0.0/16 -j REJECT",
        "[1:10] -A FORWARD -s 10.0.0.1/32 -d 10.1.0.0/16 -j ACCEPT",
        "[0:0] -A FORWARD -s 10.3.0.0/16 -j DROP",
        "[70:700] -A FORWARD -s 10.0.0.0/16 -j ACCEPT",
        "[0:0] -A FORWARD -s 10.4.0.0/16 -j RETURN",
        "[2:20] -A FORWARD -s 10.5.0.0/16 -j RETURN",
        passes=(Pass.SHADOW,),
    )
    assert left(found) == [
        "[1:10] -A FORWARD -s 10.0.0.1/32 -p tcp -j ACCEPT",  # what goes to 10.2 would be rejected
        "[0:0] -A FORWARD -d 10.2.0.0/16 -j REJECT",
        "[71:710] -A FORWARD -s 10.0.0.0/16 -j ACCEPT",
        "[2:20] -A FORWARD -s 10.5.0.0/16 -j RETURN",  # the policy has counted its packets before
    ]
    assert policy(found) == ":FORWARD DROP [9:540]"
    assert [line.partition(": [")[0] for line in tells(found)] == [
        "rules:8: removed: it makes no difference, line 10 does the same",
        "rules:9: removed: it makes no difference, the policy does the same",
        "rules:11: removed: it makes no difference, the policy does the same",
    ]


def test_a_rule_that_spares_its_packets_the_others_stays() -> None:
    """Nine of ten packets would be asked three times more."""
    rules = [
        "[900:9] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j DROP",
        "[1:1] -A FORWARD -s 10.0.0.1/32 -p udp -m conntrack --ctstate NEW -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.2/32 -p tcp -m conntrack --ctstate NEW -j ACCEPT",
        "[1:1] -A FORWARD -s 10.0.0.3/32 -m conntrack --ctstate INVALID -j ACCEPT",
    ]
    assert left(run(*rules)) == rules
    assert left(run(rules[0].replace("900", "0"), *rules[1:])) == rules[1:]


def test_the_end_of_a_chain_of_its_own_counts_nobody() -> None:
    rules = ["[1:1] -A FORWARD -j own", "[1:1] -A own -p tcp -j ACCEPT", "[0:0] -A own -j RETURN"]
    assert left(run(*rules)) == rules


# Normalize


@pytest.mark.parametrize(
    ("rule", "faster"),
    [
        ("-p tcp -m multiport --dports 80", "-p tcp -m tcp --dport 80"),
        ("-p udp -m multiport ! --sports 5,6:9", "-p udp -m udp ! --sport 5:9"),
        ("-p tcp -m tcp -m multiport --dports 80,90", "-p tcp -m multiport --dports 80,90"),
        ("-p tcp -m tcp -m multiport --dports 80", "-p tcp -m tcp --dport 80"),
        ("-p tcp -m tcp", None),
        ("-p tcp -m multiport --ports 80", None),
        ("-p tcp -m tcp --sport 1 -m multiport --dports 80", None),
        ("-p udplite -m multiport --dports 80", None),
        ("-p tcp -m limit --limit 1/sec -m multiport --dports 80", None),
        ("-m iprange --src-range 10.0.0.1-10.0.0.4", None),
    ],
)
def test_words_that_are_asked_faster(rule: str, faster: str | None) -> None:
    text = f"[1:1] -A FORWARD {rule} -j ACCEPT"
    found = run(text, passes=(Pass.NORMALIZE,))
    assert left(found) == [text if faster is None else f"[1:1] -A FORWARD {faster} -j ACCEPT"]
    assert tells(found) == ([] if faster is None else [f"rules:6: asked faster: {left(found)[0]}"])


def test_a_range_that_is_a_block_where_that_costs_less() -> None:
    """In legacy both are one question of the rule's own."""
    rule = "-A FORWARD -m iprange ! --src-range 10.0.0.0-10.0.0.255 -j ACCEPT"
    found = run(rule, tool=Tool.IPTABLES_NFT)
    assert left(found) == ["-A FORWARD ! -s 10.0.0.0/24 -j ACCEPT"]


# All


def test_chains_that_rules_are_inserted_into_stay() -> None:
    rules = ["-A FORWARD -s 10.0.0.0/8 -j ACCEPT", "-I FORWARD -s 10.0.0.1/32 -j REJECT"]
    found = run(*rules)
    assert found.listing.written().splitlines()[5:7] == rules


def test_a_wrong_shadow_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes for granted that a rule matches all it may match: the proof tells."""
    shadow = shadowing.unreached

    def careless(lines: Sequence[Line], limits: Entered, only: Collection[int] | None) -> list[Shadow]:
        sure = [line.region._replace(exact=True, asks=frozenset()) for line in lines]
        return shadow([line._replace(region=region) for line, region in zip(lines, sure, strict=True)], limits, only)

    monkeypatch.setattr(simplifying, "unreached", careless)
    with pytest.raises(AssertionError):
        run("-A FORWARD -m mark --mark 0x1 -j ACCEPT", "-A FORWARD -s 10.0.0.1/32 -j REJECT")


def test_rules_of_ipv6() -> None:
    rules = [
        "-A FORWARD -s fd00::/65 -j ACCEPT",
        "-A FORWARD -s fd00::8000:0:0:0/65 -j ACCEPT",
        "-A FORWARD -s ::/1 -p tcp -j REJECT",
        "-A FORWARD -s 8000::/1 -p tcp -j REJECT",
        "-A FORWARD -p tcp -j LOG",
        "-A FORWARD -s fd00::1/128 -p tcp -j DROP",
    ]
    text = "\n".join(["*filter", ":FORWARD DROP [0:0]", *rules, "COMMIT", ""])
    found = simplify(iptables_rules.listing(Source("ip6tables", text), Tool.IPTABLES_LEGACY))
    assert found.listing.written().splitlines()[2:-1] == [
        "-A FORWARD -s fd00::/64 -j ACCEPT",
        "-A FORWARD -p tcp -j REJECT",
        "-A FORWARD -p tcp -j LOG",
    ]

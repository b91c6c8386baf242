"""Two rulesets are equal exactly when no packet tells them apart: by hand, and on random texts with one line changed,
whose packets are followed by the tracer."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.way_diagram import Way
from compiler.semantics.proof.equivalence import Different, Equal, equivalent
from compiler.semantics.proof.way_words import told
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.journey import Trace
from compiler.semantics.rules.netfilter import Ruleset, State
from compiler.semantics.rules.trace import Tracer
from tests.compiler.semantics.test_way_diagram import situations
from tests.kernel.pools import Pools
from tests.kernel.random_iptables import KINDS, RandomIptables
from tests.kernel.random_nft import RandomNft


def read(text: str) -> Ruleset:
    """One table of iptables, `table: rule; rule`; several, a line each; or nft's own language."""
    if text.startswith("table "):
        return rulesets.read([("rules.nft", text)])
    lines = []
    for table in filter(None, map(str.strip, text.splitlines())):
        name, _, rules = table.partition(": ")
        lines += [f"*{name}", *(f"-A {rule.strip()}" for rule in rules.split(";") if rule.strip()), "COMMIT"]
    return rulesets.read([("rules", "\n".join(lines) + "\n")])


def compared(one: str, two: str) -> Equal | Different:
    return equivalent(read(one), read(two))


SERVICE = "-p tcp -d 192.0.2.9 --dport 80 -j DNAT --to-destination 10.0.0.5:8080"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        # The filter sees what DNAT has made of the packet.
        (
            f"nat: PREROUTING {SERVICE}\nfilter: FORWARD -p tcp -d 10.0.0.5 --dport 8080 -j ACCEPT; FORWARD -j DROP",
            f"nat: PREROUTING {SERVICE}\nfilter: FORWARD ! -p tcp -j DROP; FORWARD -p tcp ! --dport 8080 -j DROP;"
            "FORWARD -d 10.0.0.5 -j ACCEPT; FORWARD -j DROP",
        ),
        # What would have come to a rule has another destination by then, if it is new.
        (
            "nat: PREROUTING -d 192.0.2.9 -j DNAT --to-destination 10.0.0.5\n"
            "filter: FORWARD -m conntrack --ctstate NEW -d 192.0.2.9 -j DROP",
            "nat: PREROUTING -d 192.0.2.9 -j DNAT --to-destination 10.0.0.5\nfilter: FORWARD",
        ),
        # A port that NAT gives decides behind it; both tools say the same.
        (
            "nat: POSTROUTING -s 10.0.0.0/8 -j SNAT --to-source 192.0.2.1",
            "table ip nat { chain post { type nat hook postrouting priority srcnat ; ip saddr 10.0.0.0/8 snat to"
            " 192.0.2.1 ; } }",
        ),
        # Of chains that translate the first one that does decides; it is the one that was loaded last.
        (
            "table ip t { chain a { type nat hook prerouting priority -100; dnat to 10.0.0.6; }\n"
            "chain b { type nat hook prerouting priority -100; dnat to 10.0.0.5; }\n}",
            "nat: PREROUTING -j DNAT --to-destination 10.0.0.5",
        ),
        # The mark that the packet has already.
        ("mangle: FORWARD -m mark --mark 1 -j MARK --set-mark 1", "mangle: FORWARD"),
        ("mangle: PREROUTING -d 192.0.2.9 -j MARK --or-mark 2; FORWARD -m mark --mark 2/2 -j DROP; INPUT -m mark "
         "--mark 2/2 -j DROP",
         "mangle: PREROUTING -d 192.0.2.9 -j MARK --set-mark 2/2; FORWARD -m mark ! --mark 0/2 -j DROP; INPUT -m mark "
         "! --mark 0/2 -j DROP"),
        # Disjoint rules with a memory of their own change places.
        (
            "filter: INPUT -p tcp -m limit --limit 1/s -j ACCEPT; INPUT -p udp -m limit --limit 1/s -j DROP",
            "filter: INPUT -p udp -m limit --limit 1/s -j DROP; INPUT -p tcp -m limit --limit 1/s -j ACCEPT",
        ),
        # So do jumps to chains where the same rule has a memory in each.
        (
            "table ip t { chain i { type filter hook input priority 0; meta l4proto tcp jump a; meta l4proto udp jump"
            " b; }\nchain a { limit rate 1/second accept; drop; }\nchain b { limit rate 1/second accept; log; }\n}",
            "table ip t { chain i { type filter hook input priority 0; meta l4proto udp jump b; meta l4proto tcp jump"
            " a; }\nchain a { limit rate 1/second accept; drop; }\nchain b { limit rate 1/second accept; log; }\n}",
        ),
        # What a rule in front of a stateful match, or of a statement that is not modelled, has decided.
        (
            "filter: INPUT -p tcp -j ACCEPT; INPUT -m recent --set --name x; INPUT -p tcp -j DROP",
            "filter: INPUT -p tcp -j ACCEPT; INPUT -m recent --set --name x",
        ),
        (
            "mangle: FORWARD -p tcp -j CONNMARK --save-mark; FORWARD -p udp -j DROP; FORWARD -p udp -j ACCEPT",
            "mangle: FORWARD -p tcp -j CONNMARK --save-mark; FORWARD -p udp -j DROP",
        ),
        # Multicast and loopback are what they are.
        (
            "filter: INPUT -d 224.0.0.0/4 -j DROP",
            "filter: INPUT -d 224.0.0.0/4 -m addrtype --dst-type MULTICAST -j DROP",
        ),
        # Untracked packets have no state and no NAT.
        (
            "raw: PREROUTING -p udp -j NOTRACK\nfilter: FORWARD -p udp -j DROP",
            "raw: PREROUTING -p udp -j CT --notrack\nfilter: FORWARD -m conntrack --ctstate UNTRACKED -p udp -j DROP",
        ),
        ("filter: INPUT -j REJECT", "table ip filter { chain i { type filter hook input priority 0; reject; } }"),
    ],
)  # fmt: skip
def test_equal(one: str, two: str) -> None:
    assert compared(one, two) == Equal((4, 6))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("nat: PREROUTING -j DNAT --to-destination 10.0.0.5", "nat: PREROUTING -j DNAT --to-destination 10.0.0.6"),
        (f"nat: PREROUTING {SERVICE}", f"nat: PREROUTING {SERVICE.replace(':8080', '')}"),
        ("nat: POSTROUTING -j MASQUERADE", "nat: POSTROUTING -j SNAT --to-source 192.0.2.1"),
        ("nat: POSTROUTING -j SNAT --to-source 192.0.2.1-192.0.2.4", "nat: POSTROUTING -j SNAT --to-source 192.0.2.1"),
        ("nat: OUTPUT -j DNAT --to-destination 10.0.0.5", "nat: OUTPUT"),
        ("mangle: POSTROUTING -j MARK --set-mark 1", "mangle: POSTROUTING"),
        ("mangle: FORWARD -j TTL --ttl-set 64", "mangle: PREROUTING -j TTL --ttl-set 64"),
        ("mangle: FORWARD -j DSCP --set-dscp 0x2e", "mangle: FORWARD -j DSCP --set-dscp 0x0a"),
        ("raw: PREROUTING -j NOTRACK", "raw: PREROUTING"),
        # The machine may be one of those that a multicast is for.
        ("filter: INPUT -d 224.0.0.5 -j DROP", "filter: INPUT"),
        ("filter: INPUT -j REJECT", "filter: INPUT -j DROP"),
        ("filter: INPUT -j REJECT", "filter: INPUT -j REJECT --reject-with icmp-host-unreachable"),
        ("filter: INPUT -j LOG --log-prefix x; INPUT -j DROP", "filter: INPUT -j DROP"),
        ("filter: INPUT -j LOG; INPUT -p tcp -j DROP", "filter: INPUT -p tcp -j DROP; INPUT -j LOG"),
        ("mangle: INPUT -j LOG; INPUT -j MARK --set-mark 1", "mangle: INPUT -j MARK --set-mark 1; INPUT -j LOG"),
        # Two memories are not one.
        (
            "filter: INPUT -p tcp -m limit --limit 1/s -j DROP; INPUT -p udp -m limit --limit 1/s -j DROP",
            "filter: INPUT ! -p tcp -j ACCEPT; INPUT -m limit --limit 1/s -j DROP",
        ),
        (
            "filter: INPUT -m connlimit --connlimit-upto 5 -j DROP",
            "filter: INPUT -m connlimit ! --connlimit-upto 5 -j DROP",
        ),
        (
            "table ip t { chain c { type filter hook input priority 0; meta cpu 1 drop; } }",
            "table ip t { chain c { type filter hook input priority 0; meta cpu != 1 drop; } }",
        ),
        ("filter: INPUT -m limit --limit 1/s; INPUT -p tcp -j DROP", "filter: INPUT -p tcp -j DROP"),
        (
            "mangle: FORWARD -j CONNMARK --save-mark; FORWARD -p tcp -j DROP",
            "mangle: FORWARD -p tcp -j DROP; FORWARD -j CONNMARK --save-mark",
        ),
        # Header rewritten between two questions of one match, which may answer otherwise then.
        (
            "mangle: FORWARD -m dscp --dscp 1 -j ACCEPT; FORWARD -j DSCP --set-dscp 1; FORWARD -m dscp --dscp 1"
            " -j DROP",
            "mangle: FORWARD -m dscp --dscp 1 -j ACCEPT; FORWARD -j DSCP --set-dscp 1",
        ),
        # Routing sees the mark, even where it is gone at the end.
        (
            "mangle: PREROUTING -j MARK --set-mark 1; FORWARD -j MARK --set-mark 0; INPUT -j MARK --set-mark 0",
            "mangle: FORWARD -j MARK --set-mark 0; INPUT -j MARK --set-mark 0",
        ),
        # A packet of a connection that is translated is another one in front of that.
        ("mangle: PREROUTING -d 192.0.2.9 -m conntrack --ctstate ESTABLISHED -j DROP",
         "mangle: FORWARD -d 192.0.2.9 -m conntrack --ctstate ESTABLISHED -j DROP; INPUT -d 192.0.2.9 -m conntrack "
         "--ctstate ESTABLISHED -j DROP"),
    ],
)  # fmt: skip
def test_different(one: str, two: str) -> None:
    for a, b in ((one, two), (two, one)):
        found = compared(a, b)
        assert isinstance(found, Different)
        for witness in found.witnesses:
            assert witness.one != witness.two


def test_a_witness_has_the_packet_and_both_ways() -> None:
    one = f"nat: PREROUTING {SERVICE}\nfilter: FORWARD -d 10.0.0.5 -p tcp --dport 8080 -j ACCEPT; FORWARD -j DROP"
    found = compared(one, one.replace("--dport 8080", "--dport 80"))
    assert isinstance(found, Different)
    packets = {(w.situation.packet.dst, w.one.how, w.two.how) for w in found.witnesses}
    assert packets & {("192.0.2.9", "accept", "drop"), ("10.0.0.5", "accept", "drop"), ("10.0.0.5", "drop", "accept")}
    for witness in found.witnesses:
        assert witness.question.way is Way.ARRIVES
        if not witness.question.known:
            assert [trace and trace.how for trace in witness.traces] == [witness.one.how, witness.two.how]


def ends(trace: Trace, mark: int) -> tuple[object, ...]:
    """What may be compared of a packet's way: the change of what is gone, and of a mark, are not as they stand."""
    change = trace.change
    marked = mark & change.keep ^ change.flip
    return (trace.how, trace.notices, *((change.but_mark, marked) if trace.passed else ()))


@pytest.mark.parametrize(
    ("tool", "seeds"),
    # Others are large: dozens of tests under masks that are no prefix, each of which is a Boolean more.
    [("nftables", (0, 3, 5, 6, 7, 8)), ("iptables", range(8))],
)
def test_one_line_changed(tool: str, seeds: Iterable[int]) -> None:
    """Equal: no packet fares differently. Different: the witness does."""
    answers = {True: 0, False: 0}
    for seed in seeds:
        chosen = Random(seed)
        pools = Pools(chosen)
        files = (
            {"netpolc.nft": RandomNft(pools, changes=True).text}
            if tool == "nftables"
            else dict(RandomIptables(pools, list(KINDS), changes=True).files)
        )
        name = chosen.choice([name for name in files if "ipset" not in name])
        lines = files[name].splitlines()
        begins = "-A" if tool == "iptables" else "\t\t"
        rules = [n for n, line in enumerate(lines) if line.startswith(begins) and "type " not in line]
        at = chosen.choice([n for n in rules if "policy" not in lines[n]])
        edited = [*lines[:at], *lines[at + 1 :]]
        try:
            one, two = (rulesets.read({**files, name: "\n".join(text) + "\n"}.items()) for text in (lines, edited))
            found = equivalent(one, two)
        except Unprovable:  # a set that is asked under a mask which is no prefix
            continue
        answers[isinstance(found, Equal)] += 1
        if isinstance(found, Equal):
            tracers = Tracer(one), Tracer(two)
            for situation in situations(pools, chosen, 100):
                first, second = (ends(tracer.trace(situation), situation.mark) for tracer in tracers)
                assert first == second, (seed, situation)
        else:
            for witness in found.witnesses:
                traces = [trace for trace in witness.traces if trace is not None]
                if len(traces) == 2:
                    sides = [ends(trace, witness.situation.mark) for trace in traces]
                    assert sides[0] != sides[1], (seed, witness)
    assert min(answers.values()) > 0


def test_the_states_of_witnesses_are_real() -> None:
    found = compared(
        "filter: FORWARD -m conntrack --ctstate ESTABLISHED -j DROP", "filter: FORWARD -m conntrack --ctstate NEW"
    )
    assert isinstance(found, Different)
    assert {witness.situation.state for witness in found.witnesses} == {State.ESTABLISHED}


def test_outcomes_in_words() -> None:
    one = (
        f"nat: PREROUTING {SERVICE}; POSTROUTING -j MASQUERADE\nmangle: FORWARD -j LOG; FORWARD -j MARK --or-mark 1;"
        "FORWARD -m limit --limit 1/s; FORWARD -j DSCP --set-dscp 0x2e"
    )
    found = compared(one, f"{one}\nfilter: FORWARD -d 10.0.0.5 -j REJECT")
    assert isinstance(found, Different)
    witness = next(w for w in found.witnesses if w.situation.packet.dst == "192.0.2.9" and not w.question.known)
    limited = "told: log; asked: limit rate 1/second burst 5 packets (place 1)"
    assert told(witness.one, 4) == (
        "accepted; destination address 10.0.0.5, destination port 8080, source address (the address of the outgoing "
        f"interface); mark & 0xfffffffe ^ 0x1; hop limit -1; DSCP: 46; {limited}"
    )
    assert told(witness.two, 4) == f"rejected with port unreachable; {limited}"


def test_a_set_that_rules_fill_is_refused() -> None:
    text = "*filter\n-A INPUT -p tcp --dport 22 -j SET --add-set seen src\n-A INPUT -m set --match-set seen src -j DROP"
    ruleset = rulesets.read([("ipset.save", "create seen hash:ip\n"), ("rules", f"{text}\nCOMMIT\n")])
    with pytest.raises(Unprovable, match="the set seen is asked, and rules change what is in it"):
        equivalent(ruleset, ruleset)

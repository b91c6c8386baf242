"""Each pass alone, and all together: texts mean what they meant, counters add up to the same, nothing is left to do."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.optimizing.passes.simplify import Pass, Simplified, Why, simplify
from compiler.optimizing.readers import iptables_rules
from compiler.optimizing.whole import optimize, spent
from compiler.ordering.prices import Tool
from compiler.semantics.proof.equivalence import Equal, equivalent
from compiler.semantics.rules import rulesets
from grammar.source import Source

ADDRESSES = ["10.0.0.0/32", "10.0.0.1/32", "10.0.0.2/31", "10.0.0.0/30", "10.0.0.4/30", "10.0.0.0/8", "0.0.0.0/1"]
ADDRESSES += ["128.0.0.0/1"]
PORTS = ["1", "2", "1:2", "3:9", "10", "0:1", "2:65535"]
STATES = ["NEW", "RELATED", "ESTABLISHED", "INVALID,UNTRACKED", "RELATED,ESTABLISHED", "INVALID,NEW,UNTRACKED"]
EFFECTS = ['LOG --log-prefix "x"', "MARK --set-xmark 0x1/0x1", "NFLOG --nflog-group 1"]
NOT = st.sampled_from(["", "", "", "", "! "])


def often(draw: st.DrawFn, one_in: int) -> bool:
    return draw(st.integers(1, one_in)) == 1


@st.composite
def lines(draw: st.DrawFn, chain: str, jumps: tuple[str, ...]) -> str:
    """A rule of few words, so that many are alike, hold each other, or are pieces of one."""
    words = []
    if often(draw, 2):
        words.append(f"{draw(NOT)}-s {draw(st.sampled_from(ADDRESSES))}")
    if often(draw, 4):
        words.append(f"{draw(NOT)}-d {draw(st.sampled_from(ADDRESSES))}")
    if often(draw, 6):
        words.append(f"{draw(NOT)}-i {draw(st.sampled_from(['eth0', 'eth+', 'lo']))}")
    match draw(st.integers(0, 8)):
        case 0 | 1:
            name = draw(st.sampled_from(["tcp", "tcp", "udp"]))
            words.append(f"-p {name} -m {name} {draw(NOT)}--dport {draw(st.sampled_from(PORTS))}")
        case 2:
            ports = ",".join(draw(st.lists(st.sampled_from(PORTS), min_size=1, max_size=3)))
            words.append(f"-p tcp -m multiport {draw(NOT)}--dports {ports}")
        case 3:
            words.append(f"-p tcp -m tcp --sport {draw(st.sampled_from(PORTS))} --dport {draw(st.sampled_from(PORTS))}")
        case 4:
            words.append(draw(st.sampled_from(["-p tcp", "! -p tcp", "-p icmp", "-p icmp -m icmp --icmp-type 8"])))
        case 5:
            words.append("-p icmp -m icmp ! --icmp-type 3/1")
        case 6:
            words.append("-p tcp -m tcp --tcp-flags SYN,ACK SYN -m multiport --dports 1")
    if often(draw, 4):
        words.append(f"-m conntrack {draw(NOT)}--ctstate {draw(st.sampled_from(STATES))}")
    if often(draw, 8):
        words.append(f"-m mark {draw(NOT)}--mark 0x1/0x1")
    if often(draw, 12):
        words.append("-m limit --limit 5/min")
    if often(draw, 12):
        words.append("-m iprange --src-range 10.0.0.0-10.0.0.3")
    if often(draw, 8):
        words.append('-m comment --comment "by hand"')
    ends = ["ACCEPT"] * 4 + ["DROP"] * 4 + ["RETURN", "REJECT --reject-with icmp-port-unreachable"]
    does = draw(st.sampled_from([*ends, *jumps, *jumps, *EFFECTS]))
    how = draw(st.sampled_from(["-j", "-j", "-g"])) if does in jumps else "-j"
    packets = draw(st.sampled_from([0, 0, 1, 3, 50]))
    return f"[{packets}:{packets * 40}] -A {chain} {' '.join([*words, how, does])}"


VARIED = [
    ("-s {} -j", ["10.0.0.0/31", "10.0.0.2/31", "10.0.0.4/30", "10.0.0.0/32", "10.0.0.1/32", "10.0.0.0/8"]),
    ("-s {} -p udp -j", ["0.0.0.0/1", "128.0.0.0/1"]),
    ("-d {} -p tcp -m tcp --dport 1 -j", ["10.0.0.4/31", "10.0.0.6/31", "10.0.0.0/30"]),
    ("-p tcp -m tcp --dport {} -j", [*PORTS, "0:65535"]),
    ("-s 10.0.0.0/8 -p udp -m udp --sport {} --dport 5 -j", PORTS),
    ("-s 10.0.0.0/8 -p tcp -m multiport --dports {} -j", ["1,3", "3:9,11,13", "2", "0,10:65535", "4,6,8,10,12,14,16"]),
    ("-m conntrack --ctstate {} -j", STATES),
    ("-p tcp -m conntrack --ctstate {} -m mark --mark 0x1/0x1 -j", STATES),
]


@st.composite
def alike(draw: st.DrawFn, chain: str, jumps: tuple[str, ...]) -> list[str]:
    """Rules that differ in one thing."""
    words, values = draw(st.sampled_from(VARIED))
    does = draw(st.sampled_from(["ACCEPT", "ACCEPT", "DROP", *jumps]))
    found = []
    for value in draw(st.lists(st.sampled_from(values), min_size=2, max_size=4, unique=True)):
        packets = draw(st.sampled_from([0, 0, 1, 3, 50]))
        found.append(f"[{packets}:{packets * 40}] -A {chain} {words.format(value)} {does}")
    return found


@st.composite
def chains(draw: st.DrawFn, chain: str, jumps: tuple[str, ...], most: int) -> list[str]:
    found = draw(st.lists(lines(chain, jumps), max_size=most))
    if draw(st.booleans()):
        found += draw(alike(chain, jumps))
    return draw(st.permutations(found)) if often(draw, 3) else found


@st.composite
def texts(draw: st.DrawFn) -> str:
    forward = draw(chains("FORWARD", ("own", "more"), 8))
    own = draw(chains("own", ("more",), 4))
    more = draw(chains("more", (), 3))
    policy = draw(st.sampled_from(["ACCEPT", "DROP"]))
    declared = [f":FORWARD {policy} [2:80]", ":own - [0:0]", ":more - [0:0]"]
    return "\n".join(["*filter", *declared, *forward, *own, *more, "COMMIT", ""])


def simplified(text: str, *passes: Pass, tool: Tool = Tool.IPTABLES_LEGACY) -> Simplified:
    return simplify(iptables_rules.listing(Source("rules", text), tool), passes or tuple(Pass))


def same(one: str, two: str) -> bool:
    before, after = (rulesets.read([("rules", text)]) for text in (one, two))
    return isinstance(equivalent(before, after, families=(4,)), Equal)


def totals(text: str) -> tuple[int, int]:
    """Packets and bytes of all rules and policies."""
    counted = re.findall(r"\[(\d+):(\d+)\]", text)
    return sum(int(packets) for packets, _ in counted), sum(int(octets) for _, octets in counted)


def effects(text: str) -> list[str]:
    """Rules that remember something, as they are; of those that do something, what, and how often they did."""
    found = []
    for line in text.splitlines():
        if "limit" in line:
            found.append(line)
        elif any(one in line for one in EFFECTS):
            found.append(line.partition(" ")[0] + line.partition(" -j ")[2])
    return found


@pytest.mark.parametrize("passes", [(one,) for one in Pass] + [tuple(Pass)], ids=lambda passes: passes[-1].value)
@pytest.mark.parametrize("tool", [Tool.IPTABLES_LEGACY, Tool.IPTABLES_NFT], ids=lambda tool: tool.value)
@settings(max_examples=60, deadline=None)
@given(texts())
def test_any_text(passes: tuple[Pass, ...], tool: Tool, text: str) -> None:
    found = simplified(text, *passes, tool=tool)
    new = found.listing.written()
    assert same(text, new)
    assert totals(new) == totals(text)
    assert effects(new) == effects(text)
    assert len(new.splitlines()) == len(text.splitlines()) - found.gone
    again = simplified(new, *passes, tool=tool)
    assert (again.listing.written(), again.changes) == (new, ())


@settings(max_examples=150, deadline=None)
@given(texts())
def test_passes_and_order_together(text: str) -> None:
    """No packet fares otherwise or is lost, nothing is left to do, and by what was counted nothing costs more: as long
    as rules that no packet reaches have not counted any, which must be somewhere else then."""
    listing = iptables_rules.listing(Source("rules", text), Tool.IPTABLES_LEGACY)
    found = optimize(listing, tuple(Pass), Fraction(0))
    new = found.listing.written()
    assert same(text, new)
    assert totals(new) == totals(text)
    assert found.before == spent(listing)
    unreached = [change for change in found.simplified.changes if change.why is Why.UNREACHED]
    if all(change.text.startswith("[0:0]") for change in unreached):
        assert found.after <= found.before
    again = optimize(iptables_rules.listing(Source("rules", new), Tool.IPTABLES_LEGACY), tuple(Pass), Fraction(0))
    assert again.listing.written() == new

"""Questions that no packet meets two of, and what comes of it: lists one after the other that do not go deep."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.ir.match import Field, FromPorts, Inbound, InPrefix, IsProtocol, Match, Outbound, ToAnyPort, ToPorts
from compiler.lower.asking import Question
from compiler.lower.heads import Heads
from compiler.net import Family, Prefix
from compiler.pipeline import Compiler
from compiler.semantics.diagrams.spots import targets
from compiler.semantics.rules.rulesets import read
from compiler.snapshot import build
from compiler.sources import language

ADDRESSES = (0x0A000001, 0x0A000002, 0x0A000003, 0x0B000001)
PORTS = (1, 2, 3)
INTERFACES = ("eth0", "eth1", "lo")
PACKETS: list[dict[str, int | str]] = [
    dict(zip(("source", "destination", "protocol", "to", "from", "in", "out"), values, strict=True))
    for values in product(ADDRESSES, ADDRESSES, (6, 17), PORTS, (1, 2), INTERFACES, ("eth0", "lo"))
]


def spans() -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)).map(lambda ends: (min(ends), max(ends)))


def matches() -> st.SearchStrategy[Match]:
    fields = st.sampled_from((Field.SOURCE, Field.DESTINATION))
    blocks = st.tuples(st.sampled_from(ADDRESSES), st.sampled_from((1, 8, 31, 32)))
    prefixes = blocks.map(lambda block: Prefix(4, block[0] >> 32 - block[1] << 32 - block[1], block[1]))
    protocols = st.sampled_from((6, 17))
    ways = st.sampled_from((Inbound, Outbound))
    names = st.sampled_from((("eth", True), ("eth0", False), ("eth1", False), ("lo", False)))
    return st.one_of(
        st.builds(InPrefix, fields, prefixes),
        st.builds(IsProtocol, protocols),
        st.builds(lambda protocol, span: ToPorts(protocol, *span), protocols, spans()),
        st.builds(lambda protocol, span: FromPorts(protocol, *span), protocols, spans()),
        st.builds(lambda protocol, two: ToAnyPort(protocol, tuple(two)), protocols, st.lists(spans(), min_size=1)),
        st.builds(lambda way, name: way(*name), ways, names),
    )


def meets(packet: Mapping[str, int | str], match: Match) -> bool:
    """The plain meaning of a match."""
    match match:
        case InPrefix(field, prefix):
            address = packet["source" if field is Field.SOURCE else "destination"]
            assert isinstance(address, int)
            return address >> 32 - prefix.length == prefix.base >> 32 - prefix.length
        case IsProtocol(protocol):
            return packet["protocol"] == protocol
        case ToPorts(protocol, low, high):
            return packet["protocol"] == protocol and low <= int(packet["to"]) <= high
        case FromPorts(protocol, low, high):
            return packet["protocol"] == protocol and low <= int(packet["from"]) <= high
        case ToAnyPort(protocol, several):
            return any(meets(packet, ToPorts(protocol, *span)) for span in several)
        case Inbound(name, begins) | Outbound(name, begins):
            own = str(packet["in" if isinstance(match, Inbound) else "out"])
            return own.startswith(name) if begins else own == name
    raise AssertionError(match)


QUESTIONS = st.lists(matches(), max_size=3).map(lambda found: Question(tuple(found)))


@given(heads=st.lists(QUESTIONS, max_size=4), one=QUESTIONS)
def test_no_packet_meets_two_questions_that_are_apart(heads: list[Question], one: Question) -> None:
    known = Heads()
    for head in heads:
        known.add([(None, head)])
    if known.are_apart([(None, one)]):
        for packet in PACKETS:
            if all(meets(packet, match) for match in one.matches):
                assert not any(all(meets(packet, match) for match in head.matches) for head in heads)


def test_prefixes_ports_and_interfaces_are_told_apart() -> None:
    known = Heads()
    at = [InPrefix(Field.DESTINATION, Prefix(4, 0x0A000000 + (n << 8), 24)) for n in range(500)]
    for prefix in at:
        known.add([(Family.IPV4, Question((prefix, ToPorts(6, 80, 80))))])
    free = InPrefix(Field.DESTINATION, Prefix(4, 0x0B000000, 24))
    assert known.are_apart([(None, Question((free,)))])
    assert known.are_apart([(None, Question((at[7], ToPorts(6, 81, 90))))])
    assert known.are_apart([(None, Question((at[7], IsProtocol(17))))])
    assert known.are_apart([(Family.IPV6, Question((at[7],)))])
    assert not known.are_apart([(None, Question((at[7],)))])
    assert not known.are_apart([(None, Question((ToPorts(6, 79, 80),)))])
    assert not known.are_apart([(None, Question(()))])


def lists(count: int) -> str:
    """Lists that allow, each about another prefix, and a rule about all of them."""
    inside = "allow 10.0.0.0/8 -> any : tcp/80\nleave 10.1.0.0/16 -> any\nreject any -> any : udp"
    several = "\n".join(f"within any -> 192.0.{n}.0/24 {{\n{inside}\n}}" for n in range(count))
    return f"forward {{\n{several}\ndeny any -> any : tcp/22\n}}\n"


def depth(text: str, backend: Backend) -> int:
    """How many chains of the compiled program are one in the other at most, gotos counted."""
    program = language.load([("lists.np", text.encode())], lambda name, path: f"{name} includes {path}")
    made = Compiler((), build((), (), ()), program, None).compile(Target(backend, None, (Family.IPV4,)))
    (table,) = read(made.files.items()).tables
    known: dict[str, int] = {}

    def deep(name: str) -> int:
        if name not in known:
            led = (one for rule in table.chains[name].rules for part in rule.parts for one in targets(table, part))
            known[name] = 1 + max(map(deep, led), default=0)
        return known[name]

    return max(map(deep, table.chains))


@pytest.mark.parametrize("backend", Backend)
def test_lists_about_different_packets_do_not_go_deeper(backend: Backend) -> None:
    assert depth(lists(100), backend) == depth(lists(3), backend) <= 6

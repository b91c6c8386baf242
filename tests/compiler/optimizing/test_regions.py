"""What rules of iptables match, as boxes."""

from __future__ import annotations

import pytest

from compiler.optimizing.readers.iptables_regions import region
from compiler.optimizing.regions import FRAGMENT, MOST, Region
from compiler.ordering.dimensions import FROM, IN, PROTOCOL, SOURCE, STATE, TO
from grammar.iptables import tables
from grammar.source import Source

ALL = (1 << 32) - 1
TEN = (10 << 24, (11 << 24) - 1)


def of(words: str, version: int = 4) -> Region:
    (table,) = tables(Source("rules", f"*filter\n-A FORWARD {words} -j DROP\nCOMMIT\n"))
    return region(table.commands[0], version)


@pytest.mark.parametrize(
    ("words", "dimension", "spans"),
    [
        ("", SOURCE, {(0, ALL)}),
        ("-s 10.0.0.0/8", SOURCE, {TEN}),
        ("! -s 10.0.0.0/8", SOURCE, {(0, TEN[0] - 1), (TEN[1] + 1, ALL)}),
        ("-s 0.0.0.0/0", SOURCE, {(0, ALL)}),
        ("--source 10.0.0.1", SOURCE, {(TEN[0] + 1,) * 2}),
        ("-p all", PROTOCOL, {(0, 255)}),
        ("! -p udp", PROTOCOL, {(0, 16), (18, 255)}),
        ("-p tcp", FRAGMENT, {(0, 1)}),
        ("-p tcp -m tcp", FRAGMENT, {(0, 0)}),
        ("-p tcp --dport 80", FRAGMENT, {(0, 0)}),
        ("-f", FRAGMENT, {(1, 1)}),
        ("! -f", FRAGMENT, {(0, 0)}),
        ("-p tcp -m tcp ! --dport 80", TO, {(0, 79), (81, 65535)}),
        ("-p tcp -m tcp --sport :7", FROM, {(0, 7)}),
        ("-p tcp -m multiport --dports 3,1,2,9:", TO, {(1, 3), (9, 65535)}),
        ("-p tcp -m multiport ! --dports 1", TO, {(0, 0), (2, 65535)}),
        ("-p icmp -m icmp --icmp-type 8", TO, {(0x800, 0x8FF)}),
        ("-p icmp -m icmp --icmp-type 3/4", TO, {(0x304, 0x304)}),
        ("-p icmp -m icmp --icmp-type 255", TO, {(0, 65535)}),
        ("-m conntrack --ctstate NEW,ESTABLISHED", STATE, {(1, 1), (3, 3)}),
        ("-m state ! --state NEW", STATE, {(0, 0), (2, 4)}),
        ("-i +", IN, {(0, (1 << 128) - 1)}),
        ('-m comment --comment "-s 10.0.0.1"', SOURCE, {(0, ALL)}),
        ("-m iprange --src-range 10.0.0.0-10.255.255.255", SOURCE, {TEN}),
    ],
)
def test_exact(words: str, dimension: int, spans: set[tuple[int, int]]) -> None:
    found = of(words)
    assert (found.exact, found.calm, found.asks) == (True, True, frozenset())
    assert {box[dimension] for box in found.boxes} == spans
    assert len(found.boxes) == len(spans)


@pytest.mark.parametrize(
    "words",
    [
        "-m mark --mark 0x1/0x1",
        "-p tcp -m tcp --tcp-flags SYN,ACK SYN",
        "-m set --match-set friends src",
        "-m conntrack --ctstate DNAT",
        "-p icmp -m icmp --icmp-type echo-request",
        "-p tcp -m multiport --ports 1,2",
        "-p tcp -m comment --comment x --dport 80",
        "-m addrtype --dst-type LOCAL --limit-iface-in",
    ],
)
def test_asked_besides(words: str) -> None:
    """Of the same question, the same; and another when it is negated or stands in another match."""
    found = of(words)
    assert found.exact
    assert len(found.asks) == 1
    assert of(f"-s 10.0.0.0/8 {words}").asks == found.asks
    assert of("-m connmark --mark 0x1/0x1").asks != found.asks


@pytest.mark.parametrize(
    ("words", "calm"),
    [
        ("-s 10.0.0.0/255.0.255.0", True),
        ("-s fd00::/8", True),
        ("-s 10.0.0.1,10.0.0.2", True),
        ("! -p all", True),
        ("-4 -s 10.0.0.1", True),
        ("-p tcp -m udp --dport 1", True),
        ("! -p tcp -m multiport --dports 1", True),
        ("-m limit --limit 1/sec", False),
        ("-m set --match-set s src ! --update-counters", False),
        ("-m statistic --mode nth --every 2 --packet 0", False),
        ("-m unheard --of it", False),
    ],
)
def test_maybe_less(words: str, calm: bool) -> None:
    found = of(words)
    assert (found.exact, found.calm) == (False, calm)


def test_what_keeps_state_is_asked_of_what_the_header_lets_through() -> None:
    (box,) = of("-s 10.0.0.0/8 -p tcp -m limit --limit 1/sec -m tcp --dport 80").boxes
    assert (box[SOURCE], box[PROTOCOL], box[TO]) == (TEN, (6, 6), (0, 65535))


def test_nothing_is_no_box() -> None:
    assert of("-p tcp -m tcp --dport 80 -m multiport --dports 81,82").boxes == ()


def test_many_boxes_become_the_one_around_them() -> None:
    ports = ",".join(str(2 * n) for n in range(15))
    found = of(f"-p tcp -m multiport --sports {ports} -m multiport --dports {ports}")
    assert not found.exact
    assert [(box[FROM], box[TO]) for box in found.boxes] == [((0, 28), (0, 28))]
    assert len(of(f"-p tcp -m multiport --dports {ports}").boxes) == 15 <= MOST


def test_ipv6() -> None:
    assert of("-s fd00::/8", 6).boxes[0][SOURCE] == (0xFD << 120, (0xFE << 120) - 1)
    assert of("-p ipv6-icmp -m icmp6 --icmpv6-type 255", 6).boxes[0][TO] == (0xFF00, 0xFFFF)

"""The packets that rules of nft match, as boxes and questions."""

from __future__ import annotations

import pytest

from compiler.optimizing.passes.simplify import simplify
from compiler.optimizing.readers.nftables_regions import region
from compiler.optimizing.readers.nftables_rules import listing
from compiler.optimizing.regions import FRAGMENT, UNIVERSE, Region
from compiler.ordering.dimensions import DESTINATION, FROM, IN, PROTOCOL, SOURCE, STATE, TO, VERSION
from grammar import nftables_tree as tree
from grammar.source import Source

ADDRESS = 0x0A000001
V4, WHOLE = {VERSION: (4, 4)}, {FRAGMENT: (0, 0)}
TCP = {PROTOCOL: (6, 6)} | WHOLE


def region_of(words: str, family: str = "inet") -> Region:
    (chain,) = listing(Source("x.nft", f"table {family} t {{\n\tchain c {{\n\t\t{words}\n\t}}\n}}\n")).chains
    said = chain.rules[0].said
    assert isinstance(said, tree.Rule)
    return region(said, family)


def narrowed(found: Region) -> list[dict[int, tuple[int, int]]]:
    """Of each box, what is narrower than all packets of its version of IP."""
    boxes = []
    for box in found.boxes:
        whole = {SOURCE: (0, (1 << 32) - 1), DESTINATION: (0, (1 << 32) - 1)} if box[VERSION] == (4, 4) else {}
        whole[STATE] = (0, 4)
        boxes.append({n: side for n, side in enumerate(box) if side != whole.get(n, UNIVERSE[n])})
    return boxes


@pytest.mark.parametrize(
    ("rule", "boxes"),
    [
        ("accept", [{VERSION: (4, 4)}, {VERSION: (6, 6)}]),
        ("ip saddr 10.0.0.1 drop", [V4 | {SOURCE: (ADDRESS,) * 2}]),
        ("ip saddr { 10.0.0.1, 10.0.0.3-10.0.0.4 } drop",
         [V4 | {SOURCE: (ADDRESS,) * 2}, V4 | {SOURCE: (ADDRESS + 2, ADDRESS + 3)}]),
        ("ip daddr != 10.0.0.0/8 drop",
         [V4 | {DESTINATION: (0, (10 << 24) - 1)}, V4 | {DESTINATION: (11 << 24, (1 << 32) - 1)}]),
        ("ip saddr 10.0.0.1 tcp dport 80-90 drop", [V4 | TCP | {SOURCE: (ADDRESS,) * 2, TO: (80, 90)}]),
        ("ip protocol tcp th sport < 9 drop", [V4 | {PROTOCOL: (6, 6), FRAGMENT: (0, 0)}]),
        ("ip protocol tcp th sport 9 drop", [V4 | TCP | {FROM: (9, 9)}]),
        ("ip protocol 47 th sport 9 drop", [V4 | {PROTOCOL: (47, 47)} | WHOLE]),
        ("ip protocol tcp tcp sport >= 9 drop", [V4 | TCP | {FROM: (9, 65535)}]),
        ("meta nfproto ipv4 ct state { new, related } drop", [V4 | {STATE: (1, 2)}]),
        ("meta nfproto != ipv6 ct state != new drop", [V4 | {STATE: (0, 0)}, V4 | {STATE: (2, 4)}]),
        ('ip ttl 3 iifname "a*" drop', [V4 | {IN: (ord("a") << 120, (ord("b") << 120) - 1)}]),
        ("icmp type echo-request ip ttl 1 drop", [V4 | {PROTOCOL: (1, 1)} | WHOLE]),
        ("ip saddr . tcp dport { 10.0.0.1 . 1, 10.0.0.2 . 3 } drop",
         [V4 | TCP | {SOURCE: (ADDRESS, ADDRESS + 1), TO: span} for span in ((1, 1), (3, 3))]),
        ("ip saddr @a drop", [V4]),
        ("ip saddr & 255.0.0.255 == 10.0.0.1 drop", [V4]),
        # What stands behind a statement narrows nothing.
        ("ip saddr 10.0.0.1 counter tcp dport 80 drop", [V4 | {SOURCE: (ADDRESS,) * 2}]),
        ("ip saddr 10.0.0.1 tcp dport vmap { 1 : drop, 2-3 : accept }",
         [V4 | TCP | {SOURCE: (ADDRESS,) * 2, TO: (1, 3)}]),
    ],
)  # fmt: skip
def test_boxes(rule: str, boxes: list[dict[int, tuple[int, int]]]) -> None:
    assert narrowed(region_of(rule)) == boxes


@pytest.mark.parametrize(
    ("rule", "asks", "exact", "calm"),
    [
        ("ip saddr 10.0.0.1 drop", [], True, True),
        ("tcp dport { 1, 5-9 } counter packets 1 bytes 1 drop", [], True, True),
        ("ip saddr @a meta mark 5 drop", ["ip saddr @a", "meta mark 5"], True, True),
        ("ip saddr != @a drop", ["ip saddr != @a"], True, True),
        ("ip saddr . ip daddr @a drop", ["ip saddr . ip daddr @a"], True, True),
        ("tcp flags syn / syn,ack drop", ["tcp flags syn / syn,ack"], True, True),
        ("icmp type echo-request drop", ["icmp type echo-request"], True, True),
        ("ct state != new,related drop", ["ct state != new,related"], True, True),
        ("tcp dport 1 reject", [], True, True),
        ("tcp dport 1 reject with icmpx admin-prohibited", [], True, True),
        ("tcp dport 1 reject with tcp reset", [], False, True),
        ("tcp dport 1 dnat ip to 10.0.0.1", [], False, True),
        ("tcp dport 1 masquerade", [], True, True),
        ('tcp dport 1 log prefix "x" drop', [], True, False),
        ('tcp dport 1 counter name "web" drop', [], True, False),
        ("tcp dport 1 meta mark set 0x5 accept", [], True, False),
        ("tcp dport 1 ip dscp set cs1 accept", [], False, False),
        ("tcp dport 1 limit rate 1/second accept", [], False, False),
        ("numgen random mod 2 0 accept", [], False, False),
        ("counter tcp dport 1 accept", [], False, False),
        ("tcp dport vmap { 1 : accept, 2 : drop }", [], True, True),
        ("tcp dport vmap @doors", [], False, True),
        ("ip saddr . ip daddr vmap { 10.0.0.1 . 10.0.0.2 : accept }", [], False, True),
    ],
)
def test_what_is_asked_besides_and_what_is_known(rule: str, asks: list[str], exact: bool, calm: bool) -> None:
    found = region_of(rule)
    assert sorted(map(str, found.asks)) == asks
    assert (found.exact, found.calm) == (exact, calm)


def test_a_table_of_one_family_has_one_universe() -> None:
    assert narrowed(region_of("accept", "ip")) == [V4]
    assert narrowed(region_of("accept", "ip6")) == [{VERSION: (6, 6)}]
    assert region_of("ip6 saddr fd00::1 ip saddr 10.0.0.1 drop").boxes == ()


def test_counters_of_scripts_have_no_numbers_until_they_take_some() -> None:
    text = "table inet t {{\n\tchain c {{\n\t\ttcp dport 1-9 {} drop\n"
    text += "\t\ttcp dport 5 counter packets 3 bytes 9 drop\n\t}}\n}}\n"
    new = simplify(listing(Source("x.nft", text.format("counter")))).listing.written()
    assert "tcp dport 1-9 counter packets 3 bytes 9 drop" in new
    assert "dport 5" not in new
    for other in ('counter name "web"', 'log prefix "counter"', ""):  # nobody else would tell of these packets
        assert simplify(listing(Source("x.nft", text.format(other)))).listing.written() == text.format(other)


def test_rules_that_no_packet_reaches_go() -> None:
    rules = ["ip saddr 10.0.0.0/9 drop", "ip saddr 10.128.0.0/9 tcp dport 80 accept", "ip saddr 10.128.0.0/9 drop"]
    gone = ["ip saddr 10.1.0.0/16 accept", "ip saddr 10.0.0.0/8 counter packets 0 bytes 0 log drop"]
    text = "table inet t {{\n\tchain c {{\n\t\ttype filter hook input priority 0;\n\t\t{}\n\t}}\n}}\n"
    found = simplify(listing(Source("x.nft", text.format("\n\t\t".join([*rules, *gone])))))
    assert [change.text for change in found.changes] == gone[:1]  # the other one does more than to end a packet's way
    assert found.listing.written() == text.format("\n\t\t".join([*rules, gone[1]]))

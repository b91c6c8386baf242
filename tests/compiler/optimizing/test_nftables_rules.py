"""Rules of nft as an order sees them, and texts of nft in another order."""

from __future__ import annotations

from fractions import Fraction

import pytest

from compiler.optimizing.chains import Listing
from compiler.optimizing.readers.nftables_rules import listing
from compiler.optimizing.reorder import Reordered, reorder
from compiler.ordering.dimensions import DESTINATION, EVERYTHING, FROM, IN, PROTOCOL, SOURCE, STATE, TO, VERSION
from compiler.ordering.prices import Kind
from compiler.semantics.proof.equivalence import Equal, equivalent
from compiler.semantics.rules import rulesets
from grammar.source import Source

TEXT = """\
table {family} t {{
	map doors {{
		type inet_service : verdict
		elements = {{ 22 : jump busy, 80 : goto own }}
	}}
	map open {{
		type inet_service : verdict
	}}
	chain own {{
		ip protocol udp counter packets 1 bytes 2 accept
	}}
	chain busy {{
		accept
	}}
	chain c {{
		{rule}
		type filter hook forward priority filter; policy accept;
	}}
}}
"""
ADDRESS = 0x0A000001


def read(text: str) -> Listing:
    return listing(Source("rules.nft", text))


def narrowed(rule: str, family: str = "inet") -> dict[int, tuple[int, int]] | None:
    """The dimensions that the rule narrows, None of a barrier."""
    (asked,) = (one.asked for one in read(TEXT.format(rule=rule, family=family)).chains[-1].rules)
    if asked.barrier:
        assert asked.box == EVERYTHING
        return None
    return {n: own for n, (own, all_) in enumerate(zip(asked.box, EVERYTHING, strict=True)) if own != all_}


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("accept", {}),
        ("ip saddr 10.0.0.1 accept", {SOURCE: (ADDRESS,) * 2, VERSION: (4, 4)}),
        ("ip saddr 10.0.0.0/30 accept", {SOURCE: (ADDRESS - 1, ADDRESS + 2), VERSION: (4, 4)}),
        ("ip daddr { 10.0.0.1-10.0.0.3, 10.0.0.9 } drop", {DESTINATION: (ADDRESS, ADDRESS + 8), VERSION: (4, 4)}),
        ("ip saddr != 10.0.0.1 accept", {VERSION: (4, 4)}),
        ("ip saddr @friends accept", {VERSION: (4, 4)}),
        ("ip saddr & 255.0.0.255 == 10.0.0.1 accept", {VERSION: (4, 4)}),
        ("ip6 daddr fd00::/127 accept", {DESTINATION: (0xFD << 120, (0xFD << 120) + 1), VERSION: (6, 6)}),
        ("tcp dport 80 accept", {PROTOCOL: (6, 6), TO: (80, 80)}),
        ("udp sport 1-5 accept", {PROTOCOL: (17, 17), FROM: (1, 5)}),
        ("tcp dport != 80 accept", {PROTOCOL: (6, 6)}),
        ("tcp dport < 80 accept", {PROTOCOL: (6, 6)}),
        ("meta l4proto { tcp, udp } th dport 53 accept", {PROTOCOL: (6, 17), TO: (53, 53)}),
        ("meta l4proto ipv6-icmp accept", {PROTOCOL: (58, 58)}),
        ("ip protocol icmp accept", {PROTOCOL: (1, 1), VERSION: (4, 4)}),
        ("ip6 nexthdr tcp accept", {VERSION: (6, 6)}),
        ("icmp type echo-request accept", {PROTOCOL: (1, 1)}),
        ("ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 82 } accept",
         {SOURCE: (ADDRESS, ADDRESS + 1), VERSION: (4, 4), PROTOCOL: (6, 6), TO: (80, 82)}),
        ("ct state established,related accept", {STATE: (2, 3)}),
        ("ct state { established, new } accept", {STATE: (1, 3)}),
        ("ct state != new accept", {}),
        ("iifname { \"a\", \"b*\" } accept", {IN: (ord("a") << 120, (ord("c") << 120) - 1)}),
        ("iifname \"b\\*\" accept", {}),
        ("iif 1 accept", {}),
        ("meta nfproto ipv6 accept", {VERSION: (6, 6)}),
        ("meta protocol ip accept", {}),
        ("meta mark 5 tcp dport 1 accept", {PROTOCOL: (6, 6), TO: (1, 1)}),
        # Nothing narrows behind what counts, tells, or may keep state.
        ("ip saddr 10.0.0.1 counter packets 1 bytes 2 tcp dport 80 accept", {SOURCE: (ADDRESS,) * 2, VERSION: (4, 4)}),
        ("log prefix \"x\" tcp dport 80 accept", {}),
        ("limit rate 5/second tcp dport 80 accept", {}),
        ("numgen inc mod 2 0 tcp dport 80 accept", {}),
        ("tcp dport 80 meta mark set 0x1", {PROTOCOL: (6, 6), TO: (80, 80)}),
        ("tcp dport 80 meta priority set 1:2 accept", {PROTOCOL: (6, 6), TO: (80, 80)}),
        ("tcp flags syn tcp option maxseg size set rt mtu", {PROTOCOL: (6, 6)}),
        ("tcp dport { 1, 2 } jump own", {PROTOCOL: (6, 6), TO: (1, 2)}),
        ("tcp dport vmap { 1 : accept, 4 : jump own }", {PROTOCOL: (6, 6), TO: (1, 4)}),
        ("tcp dport vmap @doors", {PROTOCOL: (6, 6)}),
        ("ip daddr 10.0.0.1 dnat ip to 10.0.0.2", {DESTINATION: (ADDRESS,) * 2, VERSION: (4, 4)}),
        # Of these nobody knows what they leave alone.
        ("notrack", None),
        ("tcp dport 80 ct mark set 0x1 accept", None),
        ("tcp dport 80 counter packets 1 bytes 2 fwd to eth0", None),
        ("tcp dport 80 queue num 1", None),
        ("tcp dport 80 ip daddr set 10.0.0.1", None),
        ("ct zone set 5", None),
        ("update @seen { ip saddr limit rate 1/second } accept", None),
        ("ct count over 5 drop", None),
        ("tcp dport 1 jump nowhere", None),
        ("tcp dport vmap @nowhere", None),
        ("tcp dport 1 tcp dport 2 accept", None),
    ],
)  # fmt: skip
def test_boxes_hold_all_that_a_rule_may_match(rule: str, found: dict[int, tuple[int, int]] | None) -> None:
    assert narrowed(rule) == found


def test_a_table_of_one_family_narrows_to_it() -> None:
    assert narrowed("accept", "ip") == {VERSION: (4, 4)}
    assert narrowed("tcp dport 1 drop", "ip6") == {VERSION: (6, 6), PROTOCOL: (6, 6), TO: (1, 1)}


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [
        ("ip saddr 10.0.0.1 tcp dport 80 accept", (Kind.ADDRESS, Kind.PORT)),
        ("ip saddr 10.0.0.0/8 tcp dport 80-90 accept", (Kind.PREFIX, Kind.PORT_RANGE)),
        ("ip saddr { 10.0.0.1 } tcp dport { 80 } accept", (Kind.SET, Kind.PORT_LIST)),
        ('iifname "a" ct state new meta l4proto tcp accept', (Kind.INTERFACE, Kind.STATE, Kind.PROTOCOL)),
        ("meta mark 1 fib saddr type local accept", (Kind.MARK, Kind.ADDRESS_TYPE)),
        ("ip saddr . tcp dport { 10.0.0.1 . 80 } accept", (Kind.SET,)),
        ("tcp dport vmap @doors", (Kind.SET,)),
    ],
)
def test_what_is_asked_has_a_price(rule: str, kinds: tuple[Kind, ...]) -> None:
    assert read(TEXT.format(rule=rule, family="inet")).chains[-1].rules[0].asked.kinds == kinds


@pytest.mark.parametrize(
    ("rule", "ends", "to", "does"),
    [
        ("counter packets 7 bytes 8 accept", True, (), "accept"),
        ("counter packets 7 bytes 8 return", True, (), "return"),
        ("counter packets 7 bytes 8", False, (), ""),
        ("counter packets 7 bytes 8 continue", False, (), "continue"),
        ('counter packets 7 bytes 8 log prefix "a b"', False, (), 'log prefix "a b"'),
        ('counter packets 7 bytes 8 reject with tcp reset', True, (), "reject with tcp reset"),
        ("counter packets 7 bytes 8 masquerade", True, (), "masquerade"),
        ('counter packets 7 bytes 8 jump own comment "x y"', False, ("own",), "jump own"),
        ("counter packets 7 bytes 8 goto own", True, ("own",), "goto own"),
        ("counter packets 7 bytes 8 tcp dport vmap { 1 : accept, 2 : drop }", True, (),
         "tcp dport vmap { 1 : accept, 2 : drop }"),
        ("counter packets 7 bytes 8 tcp dport vmap @doors", False, ("busy", "own"), "tcp dport vmap @doors"),
    ],
)  # fmt: skip
def test_what_a_rule_does(rule: str, ends: bool, to: tuple[str, ...], does: str) -> None:
    found = read(TEXT.format(rule=rule, family="inet")).chains[-1].rules[0]
    assert (found.asked.ends, found.asked.to, found.does) == (ends, to, does)
    assert (found.counted, found.packets, found.bytes) == (True, 7, 8)
    assert found.comment == ("x y" if "comment" in rule else "")
    assert found.returns is (does == "return")


SMALL = """\
table inet filter { # handle 4
	counter web {
		packets 1 bytes 1
	}

	set blocked {
		type ipv4_addr
		elements = { 192.0.2.1 }
	}

	chain own { # handle 1
		ip saddr 10.0.0.9 counter packets 1 bytes 60 drop # handle 2
		ip saddr 10.0.0.8 counter packets 9 bytes 540 return # handle 3
	}

	chain forward { # handle 5
		type filter hook forward priority filter; policy drop;
		ip saddr 10.0.0.1 counter packets 5 bytes 300 accept comment "seldom" # handle 6
		ip saddr 10.0.0.2 counter packets 9 bytes 540 drop # handle 7
		ip saddr 10.0.0.0/24 tcp dport 80 counter packets 2 bytes 120 accept # handle 8
		ip saddr 10.1.0.0/16 counter packets 900 bytes 54000 accept # handle 9
		tcp dport 443 jump own # handle 10
		ip saddr 10.2.0.0/16 counter packets 800 bytes 48000 accept # handle 11
	}
}
"""


def reordered(text: str) -> Reordered:
    return reorder(read(text), Fraction(0))


def same(one: str, two: str) -> bool:
    counter = "\tcounter web {\n\t\tpackets 1 bytes 1\n\t}\n"
    before, after = (rulesets.read([("rules", text.replace(counter, ""))]) for text in (one, two))
    return isinstance(equivalent(before, after), Equal)


def test_rules_move_with_counters_comments_and_handles_and_nothing_else_moves() -> None:
    found = reordered(SMALL)
    lines, old = found.text.splitlines(), SMALL.splitlines()
    handles = [line.rpartition(" ")[2] for line in lines if " handle " in line]
    assert handles == ["4", "1", "3", "2", "5", "9", "7", "6", "10", "11", "8"]
    assert sorted(lines) == sorted(old)
    kept = [(n, line) for n, line in enumerate(old) if " handle " not in line]
    assert [(n, line) for n, line in enumerate(lines) if " handle " not in line] == kept
    assert same(SMALL, found.text)
    assert reordered(found.text).text == found.text


def test_policies_are_what_the_text_says_once() -> None:
    forward, own = read(SMALL).chains[1], read(SMALL).chains[0]
    assert forward.policy is not None
    assert (forward.policy.text, forward.policy.does) == ("policy drop", "drop")
    assert own.policy is None
    again = SMALL + "table inet filter {\n\tchain forward {\n\t\tpolicy accept;\n\t}\n}\n"
    assert read(again).chains[1].policy is None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("table inet filter {", "table bridge filter {", "what the family bridge asks is not understood"),
        ("return # handle 3", "return; accept # handle 3", "comments stand behind several rules on a line"),
    ],
)
def test_chains_that_stay(old: str, new: str, why: str) -> None:
    found = reordered(SMALL.replace(old, new))
    assert ("own", why) in [(name, reason) for _, name, reason in found.left]


def test_scripts_that_change_rules_leave_chains_as_they_are() -> None:
    found = reordered(SMALL + "insert rule inet filter own accept\n")
    assert found.text == SMALL + "insert rule inet filter own accept\n"
    assert {why for *_, why in found.left} == {"rules are changed on line 26"}


def test_rules_that_are_not_understood_are_barriers() -> None:
    text = SMALL.replace("tcp dport 80 counter packets 2 bytes 120 accept", "flow add @fast")
    found = reordered(text)
    (forward,) = (chain for chain in found.chains if chain.chain == "forward")
    assert [place.text for place in forward.barriers] == ["ip saddr 10.0.0.0/24 flow add @fast # handle 8"]
    assert "handle 7\n\t\tip saddr 10.0.0.1" in found.text
    assert found.text.index("# handle 8") < found.text.index("# handle 9")


def test_rules_that_are_not_understood_may_lead_to_chains() -> None:
    """To those that they name; through a map that nobody knows to any of the table's own."""
    for rule, to in (
        ("ct count over 5 counter jump busy", ("busy",)),
        ("meta hour vmap { 1 : goto own, 2 : jump busy }", ("busy", "own")),
        ("vlan id 5 drop", ()),
        ("tcp dport vmap @nowhere", ("busy", "own")),
        ("ip saddr vmap @strange", ("busy", "own")),
    ):
        elements = "elements = { 1.1.1.1 timeout 1d : drop }"
        strange = f"\tmap strange {{\n\t\ttype ipv4_addr : verdict\n\t\tflags timeout\n\t\t{elements}\n\t}}\n"
        text = TEXT.format(family="inet", rule=rule).replace("\tmap open", f"{strange}\tmap open")
        found = read(text).chains[-1].rules[0].asked
        assert (found.barrier, found.to) == (True, to), rule


def test_a_comment_may_lack_its_words() -> None:
    assert read(TEXT.format(family="inet", rule="tcp dport 1 accept comment")).chains[-1].rules[0].does == "accept"


def test_rules_pass_by_sets_that_they_are_not_in() -> None:
    rule = "tcp dport {0} counter packets {1} bytes 1 {2}"
    text = TEXT.format(
        family="inet", rule="\n\t\t".join([rule.format("{ 22, 8443 }", 1, "drop"), rule.format(80, 9, "accept")])
    )
    found = reordered(text)
    assert found.text.index("dport 80") < found.text.index("dport { 22, 8443 }")
    assert same(text, found.text)
    text = text.replace("dport 80", "dport 8000-9000")
    assert reordered(text).text == text

"""Where rules stand in texts of nftables, whatever else these have."""

from __future__ import annotations

import pytest

from grammar.nftables_blocks import Blocks, Key, blocks
from grammar.ruletext import Refused
from grammar.source import Source

TEXT = """\
table inet filter { # handle 1
	comment "of \\ the house"
	counter web {
		packets 5 bytes 300
	}
	flowtable fast {
		hook ingress priority filter
		devices = { eth0, eth1 }
	}
	ct helper ftp-standard {
		type "ftp" protocol tcp
	}
	set blocked {
		type ipv4_addr
		elements = { 192.0.2.1, 192.0.2.2 }
	}
	map doors {
		type inet_service : verdict
		elements = { 22 : jump admins, 80 : accept }
	}
	map towards {
		type inet_service : ipv4_addr
		elements = { 22 : 10.0.0.1 }
	}
	chain admins { # handle 3
		ip saddr { 10.0.0.1,
			10.0.0.2 } accept # handle 7
		flow add @fast # handle 8
	}
	chain input {
		comment "in front"
		type filter hook input priority filter; policy drop;
		tcp dport 22 counter packets 1 bytes 2 jump admins; tcp dport 80 accept
	}
}
table bridge wires {
	chain c {
		ether saddr 00:00:00:00:00:01 vlan id 7 drop
	}
}
"""


def found(text: str) -> Blocks:
    return blocks(Source("rules.nft", text))


def test_rules_are_places_and_the_rest_is_passed_over() -> None:
    chains = found(TEXT).chains
    assert {
        key: (chain.hook, [(one.place.text, one.alone) for one in chain.rules]) for key, chain in chains.items()
    } == {
        Key("inet", "filter", "admins"): (
            "",
            [
                ("ip saddr { 10.0.0.1,\n\t\t\t10.0.0.2 } accept # handle 7", True),
                ("flow add @fast # handle 8", True),
            ],
        ),
        Key("inet", "filter", "input"): (
            "input",
            [("tcp dport 22 counter packets 1 bytes 2 jump admins", False), ("tcp dport 80 accept", False)],
        ),
        Key("bridge", "wires", "c"): ("", [("ether saddr 00:00:00:00:00:01 vlan id 7 drop", True)]),
    }


def test_a_rule_that_is_not_understood_is_a_place_and_the_reason() -> None:
    accept, flow = found(TEXT).chains[Key("inet", "filter", "admins")].rules
    assert (accept.said is None, accept.why) == (False, "")
    assert (flow.said, flow.why) == (None, "flow is not understood here")


def test_policies_are_places() -> None:
    chains = found(TEXT).chains
    assert [place.text for place in chains[Key("inet", "filter", "input")].policies] == ["policy drop"]
    assert not chains[Key("inet", "filter", "admins")].policies


def test_maps_to_verdicts_have_their_elements() -> None:
    maps = found(TEXT).maps
    doors = [(element.key[0].text, element.verdict) for element in maps[Key("inet", "filter", "doors")]]
    assert [(key, said.kind, said.chain) for key, said in doors if said] == [
        ("22", "jump", "admins"),
        ("80", "accept", ""),
    ]
    assert [element.verdict for element in maps[Key("inet", "filter", "towards")]] == [None]


def test_scripts_declare_in_front_of_rules() -> None:
    text = """add table inet t
add chain inet t c { type filter hook input priority 0 ; policy drop ; }
add chain inet t own
add map inet t doors { type inet_service : verdict ; }
add set inet t hosts { type ipv4_addr ; }
flush table inet t
table inet t {
	chain c {
		tcp dport vmap @doors
	}
}
add element inet t hosts { 10.0.0.1 }
add element inet t doors { 22 : jump own }
"""
    here = found(text)
    assert not here.odd
    assert {key.name: (chain.hook, len(chain.rules)) for key, chain in here.chains.items()} == {
        "c": ("input", 1),
        "own": ("", 0),
    }
    ((said,),) = ([element.verdict for element in elements] for elements in here.maps.values())
    assert said is not None
    assert said.chain == "own"
    assert [one.text for one in found(text + "flush table inet t\n").odd] == ["flush table inet t"]


def test_scripts_add_rules_and_change_them() -> None:
    text = "flush ruleset\nadd table t\nadd chain t c\nadd rule t c tcp dport 1 accept\nadd rule t c drop\n"
    (key, chain), *_ = found(text).chains.items()
    assert key == Key("ip", "t", "c")
    assert [one.place.text for one in chain.rules] == ["tcp dport 1 accept", "drop"]
    assert not found(text).odd
    for odd in (
        "flush chain t c",
        "insert rule t c accept",
        'include "x"',
        "delete rule t c handle 3",
        "define x = { 1, 2 }",
    ):
        assert [one.text for one in found(f"table t {{\nchain c {{\naccept\n}}\n}}\n{odd}\n").odd] == [odd]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("*filter\n", "1:1", "a table or a command of nft is expected, not *filter"),
        ("table t {\n chain c {\n accept\n }\n", "4:3", "} is expected, not the end of the text"),
        ("table t {\n chain c {\n ip saddr { 1.1.1.1, 2\n }\n }\n", "5:3", "} is expected, not the end of the text"),
        ("table t {\n map m {\n", "2:9", "} is expected, not the end of the text"),
        ("table {\n}\n", "1:7", "the name of a table is expected, not {"),
        ("table t {\n}\n}\n", "3:1", "a table or a command of nft is expected, not }"),
        ("table t { \x00 }\n", "1:11", "'\\x00' has no meaning here"),
    ],
)
def test_what_is_no_text_of_nft(text: str, place: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        found(text)
    flaw = refused.value.flaw
    assert f"{flaw.span}: {flaw.message}" == f"rules.nft:{place}: {message}"

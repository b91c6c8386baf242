"""Lists of programs and what stands in them, from text to values: what is said, and what cannot be."""

from __future__ import annotations

import pytest

from compiler.errors import InvalidInput
from compiler.resources.language import (
    Anyone,
    Dnat,
    Item,
    Log,
    Mark,
    Marked,
    NatWithin,
    Opaque,
    Program,
    Rate,
    Routed,
    Rule,
    Within,
    every_item,
)
from compiler.sources.language import load
from tests.compiler.programs import every_rule


def read(text: str) -> Program:
    return load([("f.np", text.encode())], lambda _, __: "nothing is there")


def problems(text: str) -> list[str]:
    """`COLUMN CODE` of everything that is wrong."""
    with pytest.raises(InvalidInput) as caught:
        read(text)
    return [f"{one.span.column} {one.code}" for one in caught.value.diagnostics]


def rule(item: Item) -> Rule:
    assert isinstance(item, Rule)
    return item


def test_each_block_has_its_list_of_all_files() -> None:
    texts = ["forward { allow any -> any }", "forward packets { deny any -> any }", "node packets { deny any -> self }"]
    both = [(f"{n}.np", text.encode()) for n, text in enumerate([*texts, *texts])]
    found = load(both, lambda _, __: "nothing is there")
    assert [len(items) for items in (found.forward, found.forward_packets, found.node_packets)] == [2, 2, 2]
    assert found.node == ()
    assert rule(found.forward[1]).span.file == "3.np"


def test_lists_in_lists() -> None:
    program = read(
        "forward { within 10.0.0.0/8 -> any : tcp/22 unless from 10.1.0.0/16 { # inside\n"
        "  leave any -> any within any -> any { } allow any -> any } deny any -> any }"
    )
    outer, last = program.forward
    assert isinstance(outer, Within)
    assert outer.text == "within 10.0.0.0/8 -> any : tcp/22 unless from 10.1.0.0/16"
    assert outer.unless is not None
    assert [type(item) for item in outer.items] == [Rule, Within, Rule]
    assert [one.verb for one in every_rule(program.forward)] == ["leave", "allow", "deny"]
    assert len(list(every_item(program.forward))) == 5
    assert rule(last).verb == "deny"


def test_conditions() -> None:
    found = rule(
        read(
            "forward packets { deny any -> any : udp/53 state invalid,related marked 0x10/0xff "
            "source port 53,1024-65535 chance 1/3 }"
        ).forward_packets[0]
    )
    assert found.states == ("invalid", "related")
    assert found.marked == Marked(value=0x10, mask=0xFF)
    assert found.source_ports == ((53, 53), (1024, 65535))
    assert found.chance == 3
    assert found.conditional
    assert not rule(read("forward { deny any -> any unless from 10.0.0.1 }").forward[0]).conditional
    assert rule(read("forward { deny any -> any marked 7 }").forward[0]).marked == Marked(value=7, mask=0xFFFFFFFF)


def test_log_as_a_statement_and_as_an_option() -> None:
    said, plain, option = map(
        rule,
        read(
            'forward { log any -> any "x " limit 5/min to kernel log any -> any deny any -> any log to kernel }'
        ).forward,
    )
    assert said.log == Log(prefix="x ", limit=Rate(count=5, unit="minute"), kernel=True)
    assert said.reason == ""
    assert plain.log == Log()
    assert option.log == Log(kernel=True)


def test_a_log_behind_a_rule_is_told_by_what_follows() -> None:
    text = 'forward { allow any -> any log\n log any -> any # c\n deny any -> any log "log" log {10.0.0.1} -> any }'
    assert [(one.verb, one.log is not None) for one in map(rule, read(text).forward)] == [
        ("allow", True),
        ("log", True),
        ("deny", True),
        ("log", True),
    ]


def test_ends_by_what_routing_says() -> None:
    items = read("zone out = { broadcast, multicast } forward { deny any -> out deny local -> any }").forward
    assert rule(items[1]).source == Routed(kind="local")
    assert problems("zone local = 10.0.0.1") == ["6 reserved"]
    assert problems("forward { deny any -> broadcast and 2001:db8::1 }") == ["23 family-mismatch"]
    assert problems("forward { deny any -> locl }") == ["23 unknown-name"]


def test_rules_of_one_tool() -> None:
    program = read(
        'forward { opaque a iptables ipv4 " -m u32 --u32 \\"0=0\\" -j DROP " } raw { opaque b nft output "accept" }'
    )
    (first,), (second,) = program.forward, program.raw
    assert isinstance(first, Opaque)
    assert isinstance(second, Opaque)
    assert (first.name, first.tool, first.version, first.hook) == ("a", "iptables", 4, None)
    assert first.rule == '-m u32 --u32 "0=0" -j DROP'
    assert (second.tool, second.version, second.hook) == ("nft", None, "output")


@pytest.mark.parametrize(
    "said",
    [
        *(
            'iptables "-j SOMEWHERE"',
            'iptables "-g NETPOLC-deny"',
            'iptables "-t nat -j ACCEPT"',
            'iptables "-A INPUT"',
        ),
        *('iptables "-j"', 'iptables "accept"', 'iptables "-m comment --comment \\"x"', 'nft "jump x"', 'nft "goto x"'),
        *(
            'nft "ip saddr vmap { 10.0.0.1 : drop }"',
            'nft "include \\"/etc/rules\\""',
            'nft "define a = 5"',
            'nft "ip saddr @x drop"',
            'nft "drop; accept"',
            'nft "} chain x {"',
        ),
        *('nft "drop accept"', 'nft "ip saddr 10.0.0.1 return counter"', 'nft "accept log prefix \\"x\\""'),
        *('nft "ip saddr { 10.0.0.1"', 'nft "$x drop"', 'nft "drop \\\\"', 'nft "ip saddr ] drop"', 'nft "\'"'),
    ],
)
def test_what_is_more_than_a_rule_is_refused(said: str) -> None:
    assert problems(f"forward {{ opaque x {said} }}") == [f"{21 + said.index(' ')} bad-rule"]


def test_nat_lists() -> None:
    program = read(
        "nat { within any -> 10.96.0.1 : tcp/443 chance 1/2 { mark any 1/1 "
        "dnat any to any : tcp -> 10.0.0.1 chance 1/2 leave any -> any log any -> any }"
        ' masquerade any marked 1/1 opaque x nft postrouting "masquerade" }'
    )
    within, masquerade, opaque = program.nat
    assert isinstance(within, NatWithin)
    assert within.chance == 2
    mark, dnat, leave, log = within.items
    assert isinstance(mark, Mark)
    assert isinstance(dnat, Dnat)
    assert (dnat.chance, dnat.source) == (2, Anyone())
    assert isinstance(leave, Rule)
    assert isinstance(log, Rule)
    assert masquerade.marked == Marked(value=1, mask=1)  # type: ignore[union-attr]
    assert isinstance(opaque, Opaque)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("forward { allow any -> self }", ["24 self"]),
        ("forward { within self -> any { } within any -> any { deny self -> any } }", ["18 self", "59 self"]),
        ("node { within any -> any { } }", ["8 self"]),
        ("node { within any -> self { allow any -> any } }", []),
        ("node { within self -> self { } }", ["8 self"]),
        ('node { within any -> self { opaque x nft input "drop" } }', ["42 bad-hook"]),
        ('node { opaque x nft "drop" }', ["17 no-hook"]),
        ('forward { opaque x nft forward "drop" }', ["24 bad-hook"]),
        ("forward { allow any -> any state related }", ["34 bad-state"]),
        ("policy p { allow any -> any state established }", ["35 bad-state"]),
        ("forward packets { pass any -> any }", ["19 bad-verb"]),
        ("forward { allow any -> any source port 53 }", ["28 no-ports"]),
        ("forward { allow any -> any : tcp/53 + icmp/8 source port 53 }", ["30 no-ports"]),
        ("forward { allow any -> any chance 2/3 }", ["35 bad-chance"]),
        ("forward { allow any -> any chance 1/65536 }", ["37 out-of-range"]),
        ("forward { allow any -> any marked 3/1 }", ["35 bad-mark"]),
        ("nat { masquerade any source port 5 }", ["22 no-ports"]),
        ("nat { masquerade any chance 1/2 chance 1/3 }", ["33 twice"]),
        (f'forward {{ log any -> any "{"x" * 30}" to kernel }}', ["11 too-long"]),
        (f'forward {{ log any -> any "{"x" * 29}" to kernel }}', []),
    ],
)
def test_what_cannot_be_said(text: str, wrong: list[str]) -> None:
    if wrong:
        assert problems(text) == wrong
    else:
        read(text)

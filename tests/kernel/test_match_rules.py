"""Every match: which packets it holds for, asked of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from compiler.errors import Unsupported
from compiler.ir.effects import Log
from compiler.ir.match import (
    Field,
    FromPorts,
    HasBit,
    HasMark,
    Hops,
    IcmpType,
    Inbound,
    InSet,
    InState,
    IsProtocol,
    Match,
    Outbound,
    Per,
    Rate,
    State,
    ToAnyPort,
    ToPorts,
    WithinRate,
)
from compiler.ir.ruleset import Drop, Hook, PrefixSet, Rule, Table
from compiler.net import SCTP, TCP, UDP, Family, Prefix, parse_address, parse_prefix
from compiler.semantics.packet import ICMP, ICMPV6, Packet, block_edges
from tests.kernel.packets import GRE
from tests.kernel.pools import UDPLITE
from tests.kernel.rig import Rig
from tests.kernel.texts import base, texts
from tests.kernel.traced import Traced, beside, shown

pytestmark = pytest.mark.kernel

DCCP = 33
FOUR, SIX = ("198.18.0.1", "198.18.1.1"), ("2001:db8::1", "2001:db8:1::1")
V4, V6 = Family.IPV4, Family.IPV6
RATE = Rate(1, Per.HOUR, 1)


def of(
    protocol: int,
    sport: int = 40000,
    dport: int = 80,
    *,
    icmp_type: int | None = None,
    icmp_code: int = 0,
    hop_limit: int = 64,
) -> list[Packet]:
    """In both families, where the protocol is of both."""
    ends = {ICMP: (FOUR,), ICMPV6: (SIX,)}.get(protocol, (FOUR, SIX))
    return [Packet(*pair, protocol, sport, dport, icmp_type, icmp_code, hop_limit) for pair in ends]


#: Name -> (matches, the family of the rule, packets that they hold for, packets that they do not hold for).
CASES: dict[str, tuple[Sequence[Match], Family | None, list[Packet], list[Packet]]] = {
    "a source port": ([FromPorts(TCP, 9, 9)], None, of(TCP, 9), of(TCP, 8) + of(TCP, 10) + of(UDP, 9)),
    "source ports": (
        [FromPorts(UDP, 5, 9)],
        None,
        of(UDP, 5) + of(UDP, 9),
        of(UDP, 4) + of(UDP, 10) + of(TCP, 5) + of(UDP, 99, 5),
    ),
    "any source port": ([FromPorts(SCTP, 0, 65535)], None, of(SCTP, 1), of(UDP, 1)),
    "both ports": (
        [FromPorts(TCP, 5, 9), ToPorts(TCP, 80, 90)],
        None,
        of(TCP, 5, 90),
        of(TCP, 4, 80) + of(TCP, 5, 91) + of(UDP, 5, 80),
    ),
    "a port of UDP-Lite": ([ToPorts(UDPLITE, 80, 80)], None, of(UDPLITE), of(UDPLITE, 80, 81) + of(UDP)),
    "ports of DCCP": (
        [ToPorts(DCCP, 80, 90), FromPorts(DCCP, 7, 7)],
        None,
        of(DCCP, 7, 85),
        of(DCCP, 8, 85) + of(TCP, 7, 85),
    ),
    "a bit of an address": ([HasBit(Field.DESTINATION, 8)], V4, of(TCP)[:1], of(TCP)[1:]),
    "a bit that is not": ([HasBit(Field.DESTINATION, 8, one=False)], V4, [], of(TCP)),
    "no such bit in the source": ([HasBit(Field.SOURCE, 8)], V4, [], of(TCP)),
    "the first bits of two addresses": (
        [HasBit(Field.SOURCE, 31), HasBit(Field.DESTINATION, 29, one=False)],
        V4,
        of(UDP)[:1],
        of(UDP)[1:],
    ),
    "bits of IPv6": (
        [HasBit(Field.SOURCE, 127, one=False), HasBit(Field.DESTINATION, 80)],
        V6,
        of(TCP)[1:],
        of(TCP)[:1],
    ),
    "another bit of IPv6": ([HasBit(Field.SOURCE, 125, one=False)], V6, [], of(TCP)),
    "a protocol": ([IsProtocol(GRE)], None, of(GRE), of(TCP) + of(253)),
    "a protocol with ports": ([IsProtocol(UDP), ToPorts(UDP, 80, 80)], None, of(UDP), of(UDP, 80, 81) + of(TCP)),
    "a number without name": ([IsProtocol(253)], None, of(253), of(GRE)),
    "a type of ICMP": ([IcmpType(V4, 8)], V4, of(ICMP), of(ICMP, icmp_type=13) + of(ICMPV6) + of(TCP)),
    "a type of ICMPv6": ([IcmpType(V6, 128)], V6, of(ICMPV6), of(ICMPV6, icmp_type=1) + of(ICMP)),
    "a code": (
        [IcmpType(V4, 3, 4)],
        V4,
        of(ICMP, icmp_type=3, icmp_code=4),
        of(ICMP, icmp_type=3, icmp_code=3) + of(ICMP, icmp_type=8, icmp_code=0),
    ),
    "code 0": ([IcmpType(V6, 1, 0)], V6, of(ICMPV6, icmp_type=1), of(ICMPV6, icmp_type=1, icmp_code=1)),
    "ICMP twice": ([IsProtocol(ICMPV6), IcmpType(V6, 128)], V6, of(ICMPV6), of(ICMPV6, icmp_type=1)),
    "where it comes from": ([Inbound("tin"), ToPorts(TCP, 80, 80)], None, of(TCP), of(UDP)),
    "not from there": ([Inbound("tout")], None, [], of(TCP)),
    "where it leaves": ([Outbound("tout"), ToPorts(TCP, 80, 80)], None, of(TCP), of(UDP)),
    "the beginning of a name": ([Inbound("ti", prefix=True), Outbound("t", prefix=True)], None, of(TCP), []),
    "another beginning": ([Outbound("ti", prefix=True)], None, [], of(TCP)),
    "a whole name is none": ([Inbound("ti")], None, [], of(TCP)),
    "no mark": ([HasMark(0), ToPorts(TCP, 80, 80)], None, of(TCP), of(UDP)),
    "a mark": ([HasMark(1)], None, [], of(TCP)),
    "bits of a mark": ([HasMark(0, 0xFF00)], None, of(TCP), []),
    "new": ([InState((State.NEW,)), ToPorts(TCP, 80, 80)], None, of(TCP), of(UDP)),
    "other states": ([InState((State.ESTABLISHED, State.INVALID, State.RELATED, State.UNTRACKED))], None, [], of(TCP)),
    # The router takes one off before FORWARD.
    "hops": (
        [Hops(10, 20)],
        V4,
        of(TCP, hop_limit=11)[:1] + of(TCP, hop_limit=21)[:1],
        of(TCP, hop_limit=10) + of(TCP, hop_limit=22) + of(TCP, hop_limit=15)[1:],
    ),
    "a hop limit": ([Hops(9, 9)], V6, of(TCP, hop_limit=10)[1:], of(TCP, hop_limit=9) + of(TCP, hop_limit=11)),
    "all hops": ([Hops(0, 255), ToPorts(TCP, 80, 80)], V4, of(TCP)[:1], of(TCP)[1:] + of(UDP)),
    "few hops": ([Hops(0, 9)], V6, of(TCP, hop_limit=10)[1:], of(TCP, hop_limit=11)),
    "a rule of one family": ([ToPorts(TCP, 80, 80)], V6, of(TCP)[1:], of(TCP)[:1]),
}


@pytest.mark.parametrize("case", CASES)
def test_match(rig: Rig, flavour: str, case: str) -> None:
    matches, family, held, others = CASES[case]
    files = texts(flavour, base(Table.FILTER, Hook.FORWARD, Rule(tuple(matches), Drop(), family)))
    rig.load(files, flavour)
    packets = [*held, *others]
    expected = [False] * len(held) + [True] * len(others)
    assert rig.forwarded(packets) == expected
    for text in (files | beside(rig), shown(rig, flavour), shown(rig, flavour, numeric=True)):
        assert Traced(text).verdicts("forwarded", packets) == expected, "our readers and the tracer know it"


def test_what_is_sent_came_in_by_no_interface(rig: Rig, flavour: str) -> None:
    """Chains may be shared by hooks with an inbound interface and OUTPUT, where rules that ask for one meet nobody."""
    asked = [Rule((Inbound(name, prefix),), Drop()) for name in ("tin", "tout", "lo", "t") for prefix in (False, True)]
    files = texts(flavour, base(Table.FILTER, Hook.OUTPUT, *asked))
    rig.load(files, flavour)
    packets = [*of(TCP), *of(UDP)]
    assert rig.sent(packets) == [True] * 4
    assert Traced(files | beside(rig)).verdicts("sent", packets) == [True] * 4


@pytest.mark.parametrize(
    "name", ["", "a b", 'a"b', "a\nb", "wg+", "wg*", "a;b", "-x", "é", "x" * 16, "a\\b", "!a", "$a"]
)
@pytest.mark.parametrize("way", [Inbound, Outbound])
def test_an_interface_that_cannot_be_said_is_refused(flavour: str, way: type[Inbound | Outbound], name: str) -> None:
    any_inbound = flavour == "nftables" and way is Inbound and not name  # is said by `iif != 0`
    for prefix in (False,) if any_inbound else (False, True):
        with pytest.raises(Unsupported, match="interface name"):
            texts(flavour, base(Table.FILTER, Hook.FORWARD, Rule((way(name, prefix),), Drop())))


@pytest.mark.parametrize("name", ["eth0.5", "br-0a1b", "x" * 15, "veth_1@x", ".5"])
def test_names_of_interfaces(rig: Rig, flavour: str, name: str) -> None:
    for prefix in (False, True):
        rig.load(texts(flavour, base(Table.FILTER, Hook.FORWARD, Rule((Inbound(name, prefix),), Drop()))), flavour)
        assert rig.forwarded(of(TCP)) == [True, True]


#: Rates at the ends of what is taken. xt_limit would count the others wrongly, or wrap around.
TAKEN = [
    (1, Per.DAY, 1),
    (1, Per.HOUR, 37),
    (5, Per.MINUTE, 5),
    (10_000, Per.SECOND, 10_000),
    (100, Per.DAY, 100),
    (600_000, Per.MINUTE, 1),
]
REFUSED = [(1, Per.DAY, 2), (1, Per.HOUR, 38), (10_001, Per.SECOND, 1), (3000, Per.SECOND, 1), (5, Per.MINUTE, 10_001)]


@pytest.mark.parametrize(("count", "per", "burst"), TAKEN)
def test_rates(rig: Rig, flavour: str, count: int, per: Per, burst: int) -> None:
    rule = Rule((ToPorts(UDP, 80, 80), WithinRate(Rate(count, per, burst))), Drop(), V4)
    rig.load(texts(flavour, base(Table.FILTER, Hook.FORWARD, rule)), flavour)
    few = [replace(p, sport=n) for n in range(min(burst, 40) + 5) for p in of(UDP)[:1]]
    dropped = rig.exchange(few).count(False)
    assert dropped >= min(burst, 40)
    assert dropped == burst or burst > 40 or count > 100


@pytest.mark.parametrize(("count", "per", "burst"), REFUSED)
def test_rates_that_iptables_cannot_count(count: int, per: Per, burst: int) -> None:
    rule = Rule((WithinRate(Rate(count, per, burst)),), Drop())
    with pytest.raises(Unsupported, match=r"a (rate|burst) of"):
        texts("iptables-nft", base(Table.FILTER, Hook.FORWARD, rule))
    assert "limit rate" in texts("nftables", base(Table.FILTER, Hook.FORWARD, rule))["netpolc.nft"]


def test_lists_of_ports_and_a_source_port(rig: Rig) -> None:
    """Of iptables alone: nft has sets."""
    matches = (ToAnyPort(TCP, ((80, 80), (90, 99))), FromPorts(TCP, 7, 7))
    rig.load(texts("iptables-legacy", base(Table.FILTER, Hook.FORWARD, Rule(matches, Drop()))), "iptables-legacy")
    packets = [*of(TCP, 7, 80), *of(TCP, 7, 95), *of(TCP, 8, 80), *of(TCP, 7, 81)]
    assert rig.forwarded(packets) == [False] * 4 + [True] * 4


#: Blocks in blocks, with exceptions, and members in those again.
BLOCKS = {
    V4: {
        "198.18.0.0/16": True,
        "198.18.0.0/24": False,
        "198.18.0.64/26": True,
        "198.18.0.77/32": False,
        "198.18.1.0/24": True,
        "198.19.0.1/32": True,
        "198.19.0.3/32": True,
    },
    V6: {"2001:db8::/32": True, "2001:db8:0:1::/64": False, "2001:db8:0:1::7/128": True, "2001:db9::9/128": True},
}


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("field", [Field.SOURCE, Field.DESTINATION])
def test_blocks_and_exceptions(rig: Rig, flavour: str, family: Family, field: Field) -> None:
    """At the edges of every block; and in front of another match and a log that is limited."""
    elements = tuple(sorted((parse_prefix(text), member) for text, member in BLOCKS[family].items()))
    blocks = PrefixSet("blocks", family, elements)
    rule = Rule((InSet((field,), "blocks"), ToPorts(UDP, 80, 80)), Drop(), family, effects=(Log("x", 1, RATE),))
    files = texts(flavour, base(Table.FILTER, Hook.FORWARD, rule), sets=[blocks])
    rig.load(files, flavour)
    width = 128 if family is V6 else 32
    far = {V4: "203.0.113.1", V6: "2001:dba::1"}[family]
    edges = sorted({edge for text in BLOCKS[family] for edge in block_edges(text)})
    packets, expected = [], []
    for address in edges:
        ends = (address, far) if field is Field.SOURCE else (far, address)
        inside = [one for one in elements if one[0].covers(Prefix(family.value, parse_address(address)[1], width))]
        for port in (80, 81):
            packets.append(Packet(*ends, UDP, 9, port))
            expected.append(port != 80 or not (inside and inside[-1][1]))
    assert rig.forwarded(packets) == expected
    assert 4 < expected.count(False) < len(expected) / 2
    for text in (files | beside(rig), shown(rig, flavour)):
        # The tracer does not know what a limit says: the packet goes on either way.
        assert Traced(text, limits=True).verdicts("forwarded", packets) == expected

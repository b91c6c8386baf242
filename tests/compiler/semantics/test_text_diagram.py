"""Texts executed symbolically say of every packet what the tracer says of it: on random rulesets of both tools, with
jumps, gotos, returns, sets, maps, marks and negations."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from random import Random

import pytest

from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.space import ACCEPT, DROP, MARK_BITS, Level, Path, Space, space
from compiler.semantics.diagrams.text_diagram import TextDiagrams
from compiler.semantics.packet import ICMP, ICMPV6, Packet
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.journey import Route, Situation
from compiler.semantics.rules.netfilter import AddressType, Ruleset, State
from compiler.semantics.rules.trace import Tracer
from tests.kernel.pools import Pools
from tests.kernel.random_iptables import KINDS, RandomIptables
from tests.kernel.random_nft import RandomNft
from tests.kernel.rig import NODE

OWN = frozenset(NODE)


def kind(address: str) -> AddressType:
    """As routing tables of a machine with the addresses of `NODE` know it."""
    value = ipaddress.ip_address(address)
    if address in OWN or value.is_loopback:
        return AddressType.LOCAL
    if value.is_multicast:
        return AddressType.MULTICAST
    return AddressType.BROADCAST if str(value) == "255.255.255.255" else AddressType.UNICAST


def interface(name: str) -> int:
    return int.from_bytes(name.encode().ljust(16, b"\0"), "big")


def values(packet: Packet, over: Space, situation: Situation) -> dict[int, int]:
    """The packet as the hooks behind PREROUTING see it."""
    routed = situation.route is Route.ARRIVES and packet.dst not in OWN
    icmp = packet.proto in (ICMP, ICMPV6)
    echo = 8 if packet.proto == ICMP else 128
    found = {
        Level.STATE: situation.state or State.NEW,
        Level.SOURCE_TYPE: kind(packet.src),
        Level.DESTINATION_TYPE: kind(packet.dst),
        over.source: int(ipaddress.ip_address(packet.src)),
        over.destination: int(ipaddress.ip_address(packet.dst)),
        Level.PROTOCOL: packet.proto,
        Level.SPORT: packet.sport,
        Level.DPORT: packet.dport,
        Level.ICMP_TYPE: (echo if packet.icmp_type is None else packet.icmp_type) if icmp else 0,
        Level.ICMP_CODE: packet.icmp_code,
        Level.HOPS: packet.hop_limit - routed,
        Level.INPUT: interface(situation.input),
        Level.OUTPUT: interface(situation.output),
    }
    bits = {Level.MARK + n: situation.mark >> MARK_BITS - 1 - n & 1 for n in range(MARK_BITS)}
    return {int(level): int(value) for level, value in (found | bits).items()}


def situations(pools: Pools, chosen: Random, count: int) -> list[tuple[Path, Situation]]:
    found = []
    own = {4: NODE[0], 6: NODE[1]}
    for packet in [*pools.packets(count), *pools.packets(count // 4, to=own)]:
        sent = packet.dst not in OWN and chosen.random() < 0.2
        path = Path.INPUT if packet.dst in OWN else Path.OUTPUT if sent else Path.FORWARD
        where = "" if sent else "tin", "" if path is Path.INPUT else "tout"
        state, mark = (
            chosen.choice([State.NEW] * 3 + list(State)),
            chosen.choice((0, 0, 1, 0x7267, chosen.getrandbits(32))),
        )
        route = Route.SENT if sent else Route.ARRIVES
        found.append((path, Situation(packet, route, OWN, *where, state, mark)))
    return found


def compare(ruleset: Ruleset, found: list[tuple[Path, Situation]]) -> tuple[int, int]:
    """How many packets were compared, and how many of these are dropped."""
    tracer = Tracer(ruleset)
    wholes: dict[tuple[int, bool, Path], tuple[TextDiagrams, Space, int]] = {}
    for version in (4, 6):
        for source_first in (False, True):
            over = space(version, source_first)
            text = TextDiagrams(ruleset, over)
            wholes |= {(version, source_first, path): (text, over, text.at(path)) for path in Path}
    dropped = 0
    for path, situation in found:
        passed = tracer.trace(situation).passed
        for source_first in (False, True):
            text, over, whole = wholes[situation.packet.version, source_first, path]
            numbers = values(situation.packet, over, situation)
            for level, asked in text.matches.masked.items():
                assert asked.mask is not None
                number = numbers[over.level(asked.field)] & asked.mask
                numbers[level] = any(low <= number <= high for low, high in asked.intervals)
            said = over.made.says(whole, numbers)
            assert said == (ACCEPT if passed else DROP), (path, situation)
        dropped += not passed
    return len(found), dropped


@pytest.mark.parametrize("tool", ["nftables", "iptables"])
def test_it_says_what_the_tracer_says(tool: str) -> None:
    total = gone = refused = 0
    for seed in range(40):
        chosen = Random(seed)
        pools = Pools(chosen)
        files: Mapping[str, str] = (
            {"netpolc.nft": RandomNft(pools).text} if tool == "nftables" else RandomIptables(pools, list(KINDS)).files
        )
        ruleset = rulesets.read(files.items())
        try:
            count, dropped = compare(ruleset, situations(pools, chosen, 200))
        except Unprovable:  # a set that is asked under a mask which is no prefix
            refused += 1
            continue
        total, gone = total + count, gone + dropped
    assert refused < 10
    assert total // 10 < gone < total * 9 // 10


MARKS = """
table inet t {
    set own { type ipv4_addr ; elements = { 10.0.0.1, 10.0.0.2 } }
    map where { type ipv4_addr : verdict ; elements = { 10.0.0.1 : jump one, 10.0.0.2 : goto two } }
    chain pre { type filter hook prerouting priority mangle ; tcp dport 80 meta mark set 0x10 }
    chain one { meta mark 0x10 return ; meta mark set 0x1 }
    chain two { ip daddr @own accept ; meta mark set meta mark | 0x2 }
    chain forward {
        type filter hook forward priority filter ; policy accept ;
        ip saddr vmap @where
        meta mark & 0x3 == 0x1 drop
        meta mark & 0x2 != 0x0 accept
        ip saddr @own drop
    }
}
"""


def test_effects_reach_what_comes_behind() -> None:
    ruleset = rulesets.read([("marks.nft", MARKS)])
    chosen = Random(1)
    ends = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    found = []
    for n in range(300):
        packet = Packet(chosen.choice(ends), chosen.choice(ends), 6, 1000 + n, chosen.choice((80, 81)))
        mark = chosen.choice((0, 1, 2, 0x10, 0x12))
        found.append((Path.FORWARD, Situation(packet, Route.ARRIVES, OWN, "tin", "tout", State.NEW, mark)))
    count, dropped = compare(ruleset, found)
    assert 20 < dropped < count - 20


OPAQUE = """*filter
-A FORWARD {0} -j DROP
-A FORWARD {0} -j {1}
-A FORWARD -j ACCEPT
COMMIT
"""
TRANSLATED = """*nat
-A PREROUTING -d 1.1.1.1 -j DNAT --to-destination 2.2.2.2
COMMIT
*filter
-A FORWARD -d 2.2.2.2 -j DROP
-A FORWARD -d 1.1.1.1 -j DROP
COMMIT
"""


def forward(text: str) -> tuple[TextDiagrams, Space, int]:
    over = space(4)
    found = TextDiagrams(rulesets.read([("rules", text)]), over, translates=True)
    return found, over, found.at(Path.FORWARD)


def test_a_match_that_nobody_can_look_into_is_one_boolean() -> None:
    """The same answer everywhere: what the first rule drops never comes to the second."""
    match = "-m string --string x --algo bm --to 65535"
    for target in ("ACCEPT", "DROP"):
        found, over, whole = forward(OPAQUE.format(match, target))
        (level,) = found.matches.opaque
        assert [over.made.says(whole, {level: holds}) for holds in (0, 1)] == [ACCEPT, DROP]


def test_a_stateful_match_answers_anew_each_time() -> None:
    found, over, whole = forward(OPAQUE.format("-m limit --limit 1/sec", "DROP"))
    one, two = found.matches.opaque
    said = {(a, b): over.made.says(whole, {one: a, two: b}) for a in (0, 1) for b in (0, 1)}
    assert said == {(0, 0): ACCEPT, (0, 1): DROP, (1, 0): DROP, (1, 1): DROP}


def test_rules_behind_dnat_see_the_translated_packet() -> None:
    found, over, whole = forward(TRANSLATED)
    made, addresses = over.made, [int(ipaddress.ip_address(f"{n}.{n}.{n}.{n}")) for n in (1, 2, 3)]
    said = {
        (state, to): made.says(whole, {Level.STATE: state, over.destination: to})
        for state in (State.NEW, State.INVALID)
        for to in addresses
    }
    one, two, three = addresses
    assert [to for (state, to), what in said.items() if what == ACCEPT] == [three, three]
    wanted = made.inside(over.destination, [(two, two)])
    before = found.before(Path.FORWARD, wanted)
    assert [made.says(before, {over.destination: to}) for to in addresses] == ["in", "in", "nothing"]
    assert made.says(before, {over.destination: one, Level.STATE: State.INVALID}) == "nothing"


def test_a_text_that_translates_is_refused_where_nobody_minds() -> None:
    with pytest.raises(Unprovable, match="table nat, chain PREROUTING: translates addresses"):
        TextDiagrams(rulesets.read([("rules", TRANSLATED)]), space(4))

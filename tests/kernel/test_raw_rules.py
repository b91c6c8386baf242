"""The raw table: what conntrack never hears of, and what is dropped before it could."""

from __future__ import annotations

import re
import socket

import pytest

from compiler.ir.effects import NoTrack
from compiler.ir.match import Field, Inbound, InPrefix, InState, LocalDestination, NoWayBack, Replies, State, ToPorts
from compiler.ir.ruleset import Accept, Chain, Continue, Drop, Hook, Jump, Lookup, PrefixMap, Return, Rule, Table
from compiler.net import UDP, Family, parse_prefix
from compiler.semantics.packet import Packet
from tests.kernel.rig import Rig
from tests.kernel.router import CLIENT, INNER, SERVER, Routed
from tests.kernel.sniff import Sniffer
from tests.kernel.texts import base, texts

pytestmark = pytest.mark.kernel

#: Brings conntrack in: a namespace tracks nothing until a rule asks for it.
TRACKING = base(Table.FILTER, Hook.FORWARD, Rule((Replies(),), Accept()))
VXLAN = ToPorts(UDP, 4789, 4789)


def sends(net: Routed, address: str, port: int, source: str = "") -> bool:
    """Whether the client's datagram arrives at the server."""
    client = net.client.client(address, socket.SOCK_DGRAM)
    if source:
        client.bind((source, 0))
    with Sniffer(net.server) as wire:
        client.sendto(b"x", (address, port))
        return wire.first(address, port, 0.2) is not None


def tracked(net: Routed) -> set[int]:
    """Which of the two ports the router knows connections to."""
    return {4789, 4790} & {int(port) for port in re.findall(r"dport=(\d+)", net.tracked())}


def test_notrack(net: Routed, flavour: str) -> None:
    raw = base(Table.RAW, Hook.PREROUTING, Rule((VXLAN, Inbound("in0")), Continue(), effects=(NoTrack(),)))
    net.load(texts(flavour, raw, TRACKING), flavour)
    for address in SERVER:
        assert sends(net, address, 4789)
        assert sends(net, address, 4790)
    assert tracked(net) == {4790}
    untracked = base(
        Table.FILTER, Hook.FORWARD, Rule((InState((State.UNTRACKED, State.INVALID)),), Drop()), Rule((), Accept())
    )
    net.load(texts(flavour, raw, untracked), flavour)
    assert [sends(net, address, port) for address in SERVER for port in (4789, 4790)] == [False, True] * 2


def test_notrack_of_the_routers_own(net: Routed, flavour: str) -> None:
    raw = base(Table.RAW, Hook.OUTPUT, Rule((VXLAN,), Continue(), effects=(NoTrack(),)))
    net.load(texts(flavour, raw, TRACKING), flavour)
    for address in SERVER:
        for port in (4789, 4790):
            net.router.client(address, socket.SOCK_DGRAM).sendto(b"x", (address, port))
    assert tracked(net) == {4790}


def test_forged_sources(net: Routed, flavour: str) -> None:
    """Addresses whose packets would have to come from the other side."""
    forged = ("10.7.2.77", "fd07:2::77")
    net.router.namespace.sysctl({f"net.ipv4.conf.{name}.rp_filter": 0 for name in ("all", "in0")})
    net.client.namespace.ip(f"addr replace {forged[0]} dev lo", f"addr replace {forged[1]} dev lo nodad")
    for n, address in enumerate(SERVER):
        assert sends(net, address, 4000, forged[n])
    net.load(texts(flavour, base(Table.RAW, Hook.PREROUTING, Rule((Inbound("in0"), NoWayBack()), Drop()))), flavour)
    for n, address in enumerate(SERVER):
        assert not sends(net, address, 4000, forged[n])
        assert sends(net, address, 4000, CLIENT[n])
        assert sends(net, address, 4000)


def test_local_destinations(net: Routed, flavour: str) -> None:
    rule = Rule((LocalDestination(), ToPorts(UDP, 4000, 4000)), Drop())
    net.load(texts(flavour, base(Table.RAW, Hook.PREROUTING, rule)), flavour)
    server = net.router.listen(4000, socket.SOCK_DGRAM)
    assert [sends(net, address, 4000) for address in SERVER] == [True, True]
    for address in INNER:
        net.client.client(address, socket.SOCK_DGRAM).sendto(b"x", (address, 4000))
        with pytest.raises(BlockingIOError):
            server.recv(8)


FOUR = Family.IPV4
BOGONS = PrefixMap("bogons4", FOUR, tuple((parse_prefix(block), Drop()) for block in ("10.0.0.0/8", "192.0.2.0/24")))
HOSTS = PrefixMap("hosts4", FOUR, tuple((parse_prefix(f"10.9.0.{n}/32"), Jump(f"n{n % 2}")) for n in range(40)))
CHAINS = (
    Chain("n0", (Rule((InPrefix(Field.DESTINATION, parse_prefix("198.18.1.1/32")),), Drop(), FOUR),), table=Table.RAW),
    Chain("n1", (Rule((), Return()),), table=Table.RAW),
)


def test_blocks_of_sources(rig: Rig, flavour: str) -> None:
    first = base(Table.RAW, Hook.PREROUTING, Lookup(Field.SOURCE, "bogons4", FOUR))
    rig.load(texts(flavour, first, maps=[BOGONS]), flavour)
    expected = {"10.1.1.1": False, "192.0.2.9": False, "192.0.3.1": True, "11.0.0.1": True}
    assert rig.forwarded([Packet(source, "198.18.1.1", UDP, 1, 2) for source in expected]) == [*expected.values()]


def test_hosts_that_lead_to_chains(rig: Rig, flavour: str) -> None:
    """Of the same table, and so are the trees that iptables needs to find them."""
    first = base(Table.RAW, Hook.PREROUTING, Lookup(Field.SOURCE, "hosts4", FOUR))
    rig.load(texts(flavour, first, *CHAINS, maps=[HOSTS]), flavour)
    expected = {
        (f"10.9.0.{n}", destination): n % 2 == 1 or n == 40 or destination == "198.18.1.2"
        for n in range(41)
        for destination in ("198.18.1.1", "198.18.1.2")
    }
    assert rig.forwarded([Packet(*ends, UDP, 1, 2) for ends in expected]) == [*expected.values()]

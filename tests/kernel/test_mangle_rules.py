"""What the mangle table does to packets, read from those that arrive."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from compiler.ir.effects import ClampMss, Effect, SetDscp, SetMark, SetMss, Step, Ttl
from compiler.ir.match import Field, FromPorts, HasMark, Inbound, InPrefix, Outbound, ToPorts
from compiler.ir.ruleset import Chain, Continue, Drop, Hook, Rule, Table
from compiler.net import TCP, UDP, Family, parse_prefix
from compiler.semantics.packet import Packet
from tests.kernel.machines import ALLOWED_WITHIN
from tests.kernel.packets import encode
from tests.kernel.rig import Rig
from tests.kernel.router import INNER, SERVER, Routed, outcome
from tests.kernel.sniff import Header, Sniffer, header
from tests.kernel.texts import base, texts

pytestmark = pytest.mark.kernel

_SO_RCVMARK = 75  # asm-generic/socket.h, Linux 5.19
_SO_MARK = 36


def does(hook: Hook, *effects: Effect, port: int = 80) -> Chain:
    return base(Table.MANGLE, hook, Rule((ToPorts(TCP, port, port),), Continue(), effects=effects))


def syns(net: Routed, port: int = 80) -> Iterator[Header]:
    """The client's SYN as it arrives at the server, in each family."""
    server = net.server.listen(port)
    with Sniffer(net.server) as wire:
        for address in SERVER:
            assert outcome(net.client, address, port, ALLOWED_WITHIN) == 0
            found = wire.first(address, port)
            assert found is not None
            yield found
    server.close()


@pytest.mark.parametrize("hook", [Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING])
def test_dscp(net: Routed, flavour: str, hook: Hook) -> None:
    net.load(texts(flavour, does(hook, SetDscp(34))), flavour)
    assert [found.dscp for found in syns(net)] == [34, 34]
    assert [found.dscp for found in syns(net, 81)] == [0, 0]


def test_mss(net: Routed, flavour: str) -> None:
    net.load(texts(flavour, does(Hook.FORWARD, SetMss(1000)), does(Hook.POSTROUTING, SetMss(9000), port=81)), flavour)
    assert [found.mss for found in syns(net)] == [1000, 1000]
    assert [found.mss for found in syns(net, 81)] == [1460, 1440], "nothing makes it larger"
    assert [found.mss for found in syns(net, 82)] == [1460, 1440]


@pytest.fixture
def narrow(net: Routed) -> Iterator[Routed]:
    """The way out of the router takes less."""
    net.router.namespace.ip("link set out0 mtu 1400")
    yield net
    net.router.namespace.ip("link set out0 mtu 1500")


@pytest.mark.parametrize("hook", [Hook.FORWARD, Hook.POSTROUTING])
def test_mss_that_the_way_takes(narrow: Routed, flavour: str, hook: Hook) -> None:
    narrow.load(texts(flavour, does(hook, ClampMss())), flavour)
    assert [found.mss for found in syns(narrow)] == [1360, 1340]
    assert [found.mss for found in syns(narrow, 81)] == [1460, 1440]


def test_mss_of_the_answer(narrow: Routed, flavour: str) -> None:
    """The server's SYN-ACK came by the narrow way, and leaves by a wide one."""
    rule = Rule((FromPorts(TCP, 80, 80),), Continue(), effects=(ClampMss(),))
    narrow.load(texts(flavour, base(Table.MANGLE, Hook.FORWARD, rule)), flavour)
    narrow.server.listen(80)
    for address, mss in zip(SERVER, (1360, 1340), strict=True):
        with Sniffer(narrow.client) as wire:
            client = narrow.client.connect(address, 80)
            found = wire.first(*client.getsockname()[:2])
        assert found is not None
        assert (found.ports[0], found.mss) == (80, mss)


def test_several_effects(narrow: Routed, flavour: str) -> None:
    """In their order, and the matches are asked before the first of them."""
    effects = (
        SetMark(1),
        SetDscp(46),
        Ttl(Step.SET, 33),
        ClampMss(),
        SetMark(2, 0xFF),
        Ttl(Step.DECREASE, 3),
        SetMss(900),
    )
    rule = Rule((ToPorts(TCP, 80, 80), HasMark(0)), Continue(), effects=effects)
    later = base(Table.FILTER, Hook.FORWARD, Rule((ToPorts(TCP, 80, 82), HasMark(2)), Drop()))
    first = base(Table.MANGLE, Hook.FORWARD, rule)
    narrow.load(texts(flavour, first), flavour)
    assert [(f.dscp, f.hops, f.mss) for f in syns(narrow)] == [(46, 30, 900)] * 2
    narrow.load(texts(flavour, first, later), flavour)
    narrow.server.listen(80)
    narrow.server.listen(82)
    for address in SERVER:
        assert outcome(narrow.client, address, 80) is None
        assert outcome(narrow.client, address, 82) == 0


def expected(effect: Ttl, hops: int) -> int:
    match effect.step:
        case Step.SET:
            return effect.value
        case Step.INCREASE:
            return min(255, hops + effect.value)
        case Step.DECREASE:
            return max(0, hops - effect.value)


@pytest.mark.parametrize(
    "effect",
    [Ttl(Step.DECREASE, 1), Ttl(Step.INCREASE, 1), Ttl(Step.DECREASE, 100), Ttl(Step.INCREASE, 200), Ttl(Step.SET, 7)],
)
def test_every_ttl(rig: Rig, flavour: str, effect: Ttl) -> None:
    """The router has taken one off before FORWARD."""
    rig.load(texts(flavour, does(Hook.FORWARD, effect)), flavour)
    for ends in (("198.18.0.1", "198.18.1.1"), ("2001:db8::1", "2001:db8:1::1")):
        for hops in range(2, 256):
            out = rig.changed(encode(Packet(*ends, TCP, hops, 80, hop_limit=hops), hops))
            assert out is not None
            found = header(out)
            assert (found.hops, found.checksum) == (expected(effect, hops - 1), True), hops
        other = rig.changed(encode(Packet(*ends, TCP, 1, 81, hop_limit=9), 1))
        assert other is not None
        assert header(other).hops == 8


def marks(net: Routed, server: socket.socket, port: int) -> list[int]:
    """The mark of the client's datagram when it is delivered to the router, in each family."""
    server.setsockopt(socket.SOL_SOCKET, _SO_RCVMARK, 1)
    server.setblocking(True)
    server.settimeout(ALLOWED_WITHIN)
    found = []
    for address in INNER:
        net.client.client(address, socket.SOCK_DGRAM).sendto(b"x", (address, port))
        _, ancillary, _, _ = server.recvmsg(64, 64)
        found += [int.from_bytes(data, "little") for _, kind, data in ancillary if kind == _SO_MARK]
    return found


@pytest.mark.parametrize("hook", [Hook.PREROUTING, Hook.INPUT])
def test_mark(net: Routed, flavour: str, hook: Hook) -> None:
    rules = (
        Rule((Inbound("in0"),), Continue(), effects=(SetMark(0xABCD),)),
        Rule((ToPorts(UDP, 80, 80), HasMark(0xCD, 0xFF)), Continue(), effects=(SetMark(0x10, 0xFF),)),
        Rule((ToPorts(UDP, 81, 81), HasMark(0xCE, 0xFF)), Continue(), effects=(SetMark(0x10, 0xFF),)),
    )
    net.load(texts(flavour, base(Table.MANGLE, hook, *rules)), flavour)
    for port, mark in ((80, 0xAB10), (81, 0xABCD)):
        server = net.router.listen(port, socket.SOCK_DGRAM)
        assert marks(net, server, port) == [mark, mark]


@pytest.fixture
def forked(net: Routed) -> Iterator[Routed]:
    """Two addresses that are behind the client, and behind the server for what has the mark 5."""
    ip = net.router.namespace.ip
    ways = [
        ("", "203.0.113.1", "10.7.1.2", "10.7.2.2"),
        ("-6 ", "2001:db8:5::1", "fd07:1::2", "fd07:2::2"),
    ]
    for option, address, near, far in ways:
        ip(f"route add {address} via {near}", f"route add {address} via {far} table 100")
        net.router.namespace.run(*f"ip {option}rule add fwmark 5 lookup 100".split())
    yield net
    for option, address, _, _ in ways:
        ip(f"route del {address}", f"route del {address} table 100")
        net.router.namespace.run(*f"ip {option}rule del fwmark 5".split())


def test_a_mark_of_the_routers_own_chooses_the_way(forked: Routed, flavour: str) -> None:
    """Mangle OUTPUT comes behind the first choice; another mark asks again."""
    rule = Rule((ToPorts(UDP, 80, 80), Outbound("in0")), Continue(), effects=(SetMark(5),))
    with Sniffer(forked.server) as server, Sniffer(forked.client) as client:
        for loaded in (False, True):
            if loaded:
                forked.load(texts(flavour, base(Table.MANGLE, Hook.OUTPUT, rule)), flavour)
            for address in ("203.0.113.1", "2001:db8:5::1"):
                forked.router.client(address, socket.SOCK_DGRAM).sendto(b"x", (address, 80))
                assert (server if loaded else client).first(address, 80) is not None


def test_each_family_has_its_own(net: Routed, flavour: str) -> None:
    """A rule of one family; and one that asks for an address of that family."""
    prefix = parse_prefix("10.7.2.0/24")
    rules = (
        Rule((ToPorts(TCP, 80, 80),), Continue(), Family.IPV6, effects=(SetDscp(8), SetMss(800))),
        Rule(
            (InPrefix(Field.DESTINATION, prefix),), Continue(), Family.IPV4, effects=(Ttl(Step.DECREASE, 5), SetDscp(4))
        ),
    )
    net.load(texts(flavour, base(Table.MANGLE, Hook.FORWARD, *rules)), flavour)
    four, six = syns(net)
    assert (four.dscp, four.hops, four.mss) == (4, 58, 1460)
    assert (six.dscp, six.hops, six.mss) == (8, 63, 800)

"""mangle and raw blocks through the language: read from packets that arrive, marks from sockets, conntrack's table."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.kernel.machines import ALLOWED_WITHIN, Machine
from tests.kernel.programs import load
from tests.kernel.router import CLIENT, INNER, OUTER, SERVER, Routed, outcome
from tests.kernel.sniff import Header, Sniffer

pytestmark = pytest.mark.kernel

BOTH = (0, 1)
_SO_RCVMARK = 75  # asm-generic/socket.h, Linux 5.19
#: Brings conntrack in: a namespace tracks nothing until a rule asks for it.
TRACKED = "policy p { deny any -> any : tcp/9 }\n"


def syns(net: Routed, port: int = 80, client: Machine | None = None) -> Iterator[Header]:
    """A SYN of the client as it arrives at the server, in each family."""
    server = net.server.listen(port)
    with Sniffer(net.server) as wire:
        for address in SERVER:
            assert outcome(client or net.client, address, port, ALLOWED_WITHIN) == 0
            found = wire.first(address, port)
            assert found is not None
            yield found
    server.close()


def test_dscp_ttl_and_mss(net: Routed, flavour: str) -> None:
    """All that match are done, a later one after an earlier one; TTLs once, however many ways there are to match."""
    load(
        net,
        flavour,
        """
        mangle {
          dscp tcp/80 af11
          dscp client -> outside : tcp/80,81 ef
          ttl  set 40 for inside -> any : tcp/80
          ttl  dec 3 for { client, inside } <-> { server, outside, 192.0.2.0/24 } : tcp/80 + tcp/70-90
          mss  set 1000 for inside -> outside : tcp/80
          mss  set 1100 for any -> any
        }
        """,
    )
    assert [(one.dscp, one.hops, one.mss) for one in syns(net)] == [(46, 37, 1000)] * 2
    assert [(one.dscp, one.hops, one.mss) for one in syns(net, 81)] == [(46, 60, 1100)] * 2
    assert [(one.dscp, one.hops, one.mss) for one in syns(net, 91)] == [(0, 63, 1100)] * 2
    assert [(one.dscp, one.mss) for one in syns(net, 80, net.router)] == [(10, 1100)] * 2, "not from inside"


def test_packets_back_have_the_port_at_their_source(net: Routed, flavour: str) -> None:
    load(net, flavour, "mangle { dscp client <-> server : tcp/80,90-92 cs3 }")
    for port, dscp in ((80, 24), (91, 24), (81, 0)):
        net.server.listen(port)
        for n in BOTH:
            with Sniffer(net.client) as wire:
                opened = net.client.connect(SERVER[n], port)
                answer = wire.first(CLIENT[n], opened.getsockname()[1])
            assert answer is not None
            assert (answer.ports[0], answer.dscp) == (port, dscp)
        assert [one.dscp for one in syns(net, port + 1000)] == [0, 0]


def test_clamped_to_the_way(net: Routed, flavour: str) -> None:
    """In both directions; and of the router's own."""
    net.router.namespace.ip("link set out0 mtu 1400")
    try:
        load(net, flavour, "mangle { mss clamp pmtu for any <-> outside : tcp/80 }")
        assert [one.mss for one in syns(net)] == [1360, 1340]
        assert [one.mss for one in syns(net, 81)] == [1460, 1440]
    finally:
        net.router.namespace.ip("link set out0 mtu 1500")


def marks(net: Routed, server: socket.socket, port: int) -> list[int]:
    """The mark of the client's datagram when it is delivered to the router, in each family."""
    server.setsockopt(socket.SOL_SOCKET, _SO_RCVMARK, 1)
    server.setblocking(True)
    server.settimeout(ALLOWED_WITHIN)
    found = []
    for address in INNER:
        net.client.client(address, socket.SOCK_DGRAM).sendto(b"x", (address, port))
        _, ancillary, _, _ = server.recvmsg(64, 64)
        found += [int.from_bytes(data, "little") for _, kind, data in ancillary if kind == _SO_RCVMARK - 39]
    return found


def test_mark(net: Routed, flavour: str) -> None:
    load(
        net,
        flavour,
        """
        mangle {
          mark inside 0xabcd
          mark client -> self : udp/80 0x10/0xff
          mark self -> any : udp/80 0x77
          mark server -> any 0x66
        }
        """,
    )
    for port, mark in ((80, 0xAB10), (81, 0xABCD)):
        assert marks(net, net.router.listen(port, socket.SOCK_DGRAM), port) == [mark, mark]


@pytest.fixture
def forked(net: Routed) -> Iterator[Routed]:
    """Two addresses that are behind the client, and behind the server for what has the mark 5."""
    ip = net.router.namespace.ip
    ways = [("", "203.0.113.1", "10.7.1.2", "10.7.2.2"), ("-6 ", "2001:db8:5::1", "fd07:1::2", "fd07:2::2")]
    for option, address, near, far in ways:
        ip(f"route add {address} via {near}", f"route add {address} via {far} table 100")
        net.router.namespace.run(*f"ip {option}rule add fwmark 5 lookup 100".split())
    yield net
    for option, address, _, _ in ways:
        ip(f"route del {address}", f"route del {address} table 100")
        net.router.namespace.run(*f"ip {option}rule del fwmark 5".split())


def test_a_mark_chooses_the_way(forked: Routed, flavour: str) -> None:
    """Set before routing, of what arrives and of the router's own, unless the way out is what is asked for."""
    with Sniffer(forked.server) as server, Sniffer(forked.client) as client:
        for loaded in (False, True):
            if loaded:
                load(forked, flavour, "mangle { mark any -> { 203.0.113.1, 2001:db8:5::1 } : udp/80 5 }")
            for address in ("203.0.113.1", "2001:db8:5::1"):
                for machine in (forked.router, forked.client):
                    machine.client(address, socket.SOCK_DGRAM).sendto(b"x", (address, 80))
                    assert (server if loaded else client).first(address, 80) is not None


def sends(net: Routed, address: str, port: int, source: str = "", machine: Machine | None = None) -> bool:
    """Whether a datagram of the client arrives at the server."""
    client = (machine or net.client).client(address, socket.SOCK_DGRAM)
    if source:
        client.bind((source, 0))
    with Sniffer(net.server) as wire:
        try:
            client.sendto(b"x", (address, port))
        except PermissionError:  # dropped in OUTPUT
            return False
        return wire.first(address, port, 0.2) is not None


def test_notrack(net: Routed, flavour: str) -> None:
    """Both ways, of what is forwarded and of the router's own; not other ports, and others keep their connections."""
    load(
        net,
        flavour,
        TRACKED + "raw { notrack udp/4789 between { client, server, outer }  notrack self -> any : udp/5 }",
    )
    for n, address in enumerate(SERVER):
        for port in (4789, 4790, 5):
            assert sends(net, address, port)
            assert sends(net, address, port, OUTER[n], net.router)
    known = re.findall(r"src=(\S+) dst=\S+ sport=\d+ dport=(\d+) (?=\[)", net.tracked())
    ours = {*CLIENT, *OUTER, "fd07:1:0:0:0:0:0:2", "fd07:2:0:0:0:0:0:1"}
    assert {port for source, port in known if source in ours} == {"4790", "5"}
    assert {source for source, port in known if port == "5"} <= {*CLIENT, "fd07:1:0:0:0:0:0:2"}


def test_drops(net: Routed, flavour: str) -> None:
    load(net, flavour, "raw { drop client -> server : udp/80  drop self -> outside : udp/81  drop from second }")
    for address in SERVER:
        assert not sends(net, address, 80)
        assert sends(net, address, 81)
        assert sends(net, address, 80, machine=net.router)
        assert not sends(net, address, 81, machine=net.router)


def test_forged_sources(net: Routed, flavour: str) -> None:
    """Addresses whose packets would have to come from the other side, and those of nobody."""
    forged, bogus = ("10.7.2.77", "fd07:2::77"), ("192.0.2.7", "2001:db8::7")
    net.router.namespace.sysctl({f"net.ipv4.conf.{name}.rp_filter": 0 for name in ("all", "in0")})
    for one in (*forged, *bogus):
        net.client.namespace.ip(f"addr replace {one} dev lo" + (" nodad" if ":" in one else ""))
    for n, address in enumerate(SERVER):
        assert sends(net, address, 4000, forged[n])
        assert sends(net, address, 4000, bogus[n])
    load(net, flavour, "raw { drop spoofed from { 10.7.2.0/24, fd07:2::/64 }  drop from bogons and inside }")
    for n, address in enumerate(SERVER):
        assert not sends(net, address, 4000, forged[n])
        assert not sends(net, address, 4000, bogus[n])
        assert sends(net, address, 4000, CLIENT[n])


def test_the_failsafe_of_raw(net: Routed, flavour: str) -> None:
    """SSH and answers of DNS to the router itself are never dropped there; others' are."""
    for failsafe in (True, False):
        load(net, flavour, "raw { drop client -> any }", failsafe=failsafe)
        shell, other, dns = net.router.listen(22), net.router.listen(23), net.router.listen(4000, socket.SOCK_DGRAM)
        for n in BOTH:
            assert (outcome(net.client, INNER[n], 22) == 0) is failsafe
            assert outcome(net.client, INNER[n], 23) is None
            assert outcome(net.client, SERVER[n], 22) is None
            client = net.client.client(INNER[n], socket.SOCK_DGRAM)
            client.bind((CLIENT[n], 53))
            client.sendto(b"answer", (INNER[n], 4000))
            dns.setblocking(True)
            dns.settimeout(0.3)
            if failsafe:
                assert dns.recv(16) == b"answer"
            else:
                with pytest.raises(TimeoutError):
                    dns.recv(16)
            client.close()
        for one in (shell, other, dns):
            one.close()
        net.clear()


def test_by_loopback_only_what_names_it(net: Routed, flavour: str) -> None:
    """The router's own packets to itself were met when they were sent."""
    load(net, flavour, "raw { drop any -> any : udp/80  drop from iface lo and 127.0.0.2 }", proving=True)
    inside = net.router.listen(81, socket.SOCK_DGRAM)
    inside.setblocking(True)
    inside.settimeout(0.3)
    for source, arrives in (("127.0.0.1", True), ("127.0.0.2", False)):
        sender = net.router.client("127.0.0.1", socket.SOCK_DGRAM)
        sender.bind((source, 0))
        sender.sendto(b"x", ("127.0.0.1", 81))
        if arrives:
            assert inside.recv(8) == b"x"
        else:
            with pytest.raises(TimeoutError):
                inside.recv(8)

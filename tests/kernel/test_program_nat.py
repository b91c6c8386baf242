"""nat blocks through the language: what the two ends of a real connection see of each other."""

from __future__ import annotations

from collections import Counter
from socket import SO_MARK, SOL_SOCKET

import pytest

from compiler.net import TCP
from compiler.semantics.packet import Packet
from tests.kernel.compiled import files, pod
from tests.kernel.machines import ALLOWED_WITHIN
from tests.kernel.packets import encode
from tests.kernel.programs import load
from tests.kernel.rig import Rig
from tests.kernel.router import CLIENT, INNER, OUTER, SECOND, SERVER, VIRTUAL, Routed, meets, outcome
from tests.kernel.sniff import header

pytestmark = pytest.mark.kernel

BOTH = (0, 1)


def unreached(net: Routed, port: int) -> None:
    """Nobody answers for the virtual address: whoever gets there was translated."""
    assert [outcome(net.client, VIRTUAL[n], port) for n in BOTH] == [None, None]


def seen(net: Routed, port: int) -> list[str]:
    """The client as the server sees it, in each family."""
    server = net.server.listen(port)
    found = [meets(net.client, server, SERVER[n], port)[0] for n in BOTH]
    server.close()
    return found


def test_dnat_of_what_is_for_the_router(net: Routed, flavour: str) -> None:
    """Without `to`: any of its addresses, from one side alone; a new port, or the same."""
    load(net, flavour, "nat { dnat inside : tcp/8443 -> server : 443  dnat inside : tcp/81 -> server }")
    web, same = net.server.listen(443), net.server.listen(81)
    for n in BOTH:
        for address in (INNER[n], OUTER[n], SECOND[n]):
            assert meets(net.client, web, address, 8443)[0] == CLIENT[n], "the source stays"
        assert meets(net.client, same, INNER[n], 81)[0] == CLIENT[n]
        assert outcome(net.router, OUTER[n], 8443) not in (0, None), "the router's own did not come in by in0"
    unreached(net, 8443)


def test_dnat_of_another_address_and_the_routers_own(net: Routed, flavour: str) -> None:
    load(net, flavour, "nat { dnat any to virtual : tcp/8443 -> server : 443 }")
    web = net.server.listen(443)
    for n in BOTH:
        assert meets(net.client, web, VIRTUAL[n], 8443)[0] == CLIENT[n]
        assert meets(net.router, web, VIRTUAL[n], 8443)[0] == OUTER[n]
    unreached(net, 443)


def test_dnat_of_everything_that_is_the_routers_own(net: Routed, flavour: str) -> None:
    """From the router to itself, but not to its loopback address, which `to` missing does not mean."""
    load(net, flavour, "nat { dnat self : tcp/8443 -> server : 443 }")
    web = net.server.listen(443)
    for n in BOTH:
        meets(net.router, web, INNER[n], 8443)
        assert outcome(net.router, ("127.0.0.1", "::1")[n], 8443) not in (0, None)
        assert outcome(net.client, INNER[n], 8443) not in (0, None), "others are not the router"


def test_the_first_statement_that_fits(net: Routed, flavour: str) -> None:
    load(
        net,
        flavour,
        """
        nat {
          redirect client -> virtual : tcp/80 to 8080
          dnat any to virtual : tcp/80-81 -> server : 443
          redirect tcp/81 to 8081
        }
        """,
    )
    proxy, web = net.router.listen(8080), net.server.listen(443)
    for n in BOTH:
        assert meets(net.client, proxy, VIRTUAL[n], 80)[0] == CLIENT[n]
        assert meets(net.client, web, VIRTUAL[n], 81)[0] == CLIENT[n]
        assert meets(net.router, web, VIRTUAL[n], 80)[0] == OUTER[n]


def test_redirect(net: Routed, flavour: str) -> None:
    """Of what arrives, and of what the router sends; several protocols and ports."""
    load(net, flavour, "nat { redirect any -> server : tcp/80,90-92 + udp/80 to 8080 }")
    proxy = net.router.listen(8080)
    for n in BOTH:
        for port in (80, 91):
            assert meets(net.client, proxy, SERVER[n], port)[0] == CLIENT[n]
            meets(net.router, proxy, SERVER[n], port)


def test_masquerade_and_who_keeps_its_source(net: Routed, flavour: str) -> None:
    load(net, flavour, "nat { keep source for any -> server : tcp/81  masquerade client -> outside }")
    assert seen(net, 80) == [*OUTER]
    assert seen(net, 81) == [*CLIENT]


def test_masquerade_both_ways(net: Routed, flavour: str) -> None:
    """Connections either way have the port at their target."""
    load(net, flavour, "nat { masquerade server <-> client : tcp/80 }")
    assert seen(net, 80) == [*OUTER]
    assert seen(net, 81) == [*CLIENT]


def test_snat_is_for_the_family_of_its_address(net: Routed, flavour: str) -> None:
    load(net, flavour, f"nat {{ snat client -> server : tcp/80 as {SECOND[0]} }}")
    assert seen(net, 80) == [SECOND[0], CLIENT[1]]
    load(net, flavour, f"nat {{ snat client -> server : tcp/82 as {SECOND[1]} }}")
    assert seen(net, 82) == [CLIENT[0], SECOND[1]]
    assert seen(net, 80) == [*CLIENT], "what the program said before is gone"


@pytest.mark.parametrize("zone", ["inside", "iface in*", 'iface "*"', "any except outside"])
def test_masquerade_of_what_came_in_by_an_interface(net: Routed, flavour: str, zone: str) -> None:
    """The router's own came in by none."""
    load(net, flavour, f"nat {{ masquerade {zone} -> outside }}")
    assert seen(net, 80) == [*OUTER]
    load(net, flavour, "nat { masquerade outside -> outside }")
    net.router.namespace.forget_connections()
    assert seen(net, 80) == [*CLIENT]


def test_many_statements_that_leave_something_out(net: Routed, flavour: str) -> None:
    """nft loads no more than 15 chains in a row."""
    several = "".join(
        f"dnat any : tcp/{n} -> server : 443  redirect tcp/{n + 100} to 8080\n" for n in range(1000, 1040)
    )
    away = "".join(f"masquerade any except iface x{n} -> iface y{n}\n" for n in range(12))
    load(net, flavour, f"nat {{ {several} {away} }}")
    web, proxy = net.server.listen(443), net.router.listen(8080)
    for n in BOTH:
        for port in (1000, 1039):
            assert meets(net.client, web, INNER[n], port)[0] == CLIENT[n]
            assert meets(net.client, proxy, SERVER[n], port + 100)[0] == CLIENT[n]


def test_marks_of_others_are_not_taken_for_the_way_in(net: Routed, flavour: str) -> None:
    """A socket of the router itself that sets all bits; what is forwarded keeps its other ones."""
    load(net, flavour, "nat { snat inside -> outside as 10.7.2.9  snat inside -> outside as fd07:2::9 }")
    for n in BOTH:
        server = net.server.listen(80)
        socket = net.router.client(SERVER[n])
        socket.setsockopt(SOL_SOCKET, SO_MARK, 0x0F000000)
        socket.setblocking(True)
        socket.settimeout(ALLOWED_WITHIN)
        socket.connect((SERVER[n], 80))
        server.setblocking(True)
        accepted, peer = server.accept()
        accepted.close()
        assert peer[0].removeprefix("::ffff:") == OUTER[n]
        server.close()
    assert seen(net, 81) == [*SECOND]


def test_dnat_to_pods(rig: Rig, flavour: str) -> None:
    """All of them with an address of the family, evenly; a connection stays where it went."""
    pods = [
        pod(f"shop/p{n}", [f"198.18.1.{n}", *([f"2001:db8:1::{n}"] if n % 2 else [])], "app=web") for n in range(1, 36)
    ]
    text = "nat { dnat any to { 198.18.9.9, 2001:db8:9::9 } : tcp/80 -> pods(namespace: shop, app=web) : 8080 }"
    rig.load(files(pods, flavour, program=text), flavour)
    for several, ends, virtual in (
        ({f"198.18.1.{n}" for n in range(1, 36)}, "198.18.0.1", "198.18.9.9"),
        ({f"2001:db8:1::{n}" for n in range(1, 36)}, "2001:db8::1", "2001:db8:9::9"),
    ):
        found = Counter[str]()
        for n in range(1000):
            sent = (encode(Packet(ends, virtual, TCP, 2000 + n, 80), serial) for serial in (2 * n, 2 * n + 1))
            first, again = (rig.changed(one) for one in sent)
            assert first is not None
            assert again is not None
            seen = header(first)
            assert seen.ports == (2000 + n, 8080)
            assert header(again).destination == seen.destination
            found[seen.destination] += 1
        known = several & {one["ip"] for each in pods for one in each["status"]["podIPs"]}
        share = 1000 / len(known)
        assert found.keys() == known
        assert all(abs(count - share) < 6 * share**0.5 for count in found.values()), found

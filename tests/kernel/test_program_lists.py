"""Lists of programs beyond policy blocks, by what becomes of packets: what is forwarded, every packet, lists in lists,
conditions, ends by what routing says, the kernel's own log, rules of one tool."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler.net import TCP, UDP
from compiler.semantics.packet import ICMP, ICMPV6, Packet
from tests.kernel.nflog import Listener
from tests.kernel.rig import BACKEND, NODE, Rig
from tests.kernel.sniff import header
from tests.kernel.test_programs import DENY_ALL, OTHER, WORLD, A, B, Passing, packets

pytestmark = pytest.mark.kernel

#: In front of all rules of ours: marks, by the destination port.
MARKS = """
table inet marking {
	chain before {
		type filter hook prerouting priority -300 ; policy accept ;
		meta l4proto tcp tcp dport 100-199 meta mark set 0x5510
		meta l4proto tcp tcp dport 200-299 meta mark set 0x5520
	}
}
"""
_ALL_NAMESPACES = Path("/proc/sys/net/netfilter/nf_log_all_netns")


def pings(source: tuple[str, str], target: tuple[str, str], reply: bool = False) -> list[Packet]:
    """Echo requests, or replies that nobody asked for: conntrack has no connection for them."""
    types = ((ICMP, 0 if reply else 8), (ICMPV6, 129 if reply else 128))
    return [Packet(source[n], target[n], proto, icmp_type=kind) for n, (proto, kind) in enumerate(types)]


def test_what_is_forwarded(rig: Rig, flavour: str) -> None:
    """Behind blocks and policies, whose allow leads to the list; nobody is exempt, but for replies."""
    net = Passing(
        rig,
        flavour,
        """
        policy p { allow world -> pods : tcp/1-2 pass any -> any : tcp/3 }
        forward {
          deny   world -> any : tcp/2-3
          reject any -> any : tcp/4 unless from other
          allow  any -> any : tcp/5
          pass   any -> any : tcp/6
          deny   any -> any : tcp/5-7
          deny   pods -> pods : tcp/8
        }
        """,
        DENY_ALL,
    )
    assert [net.forwarded(WORLD, A, n) for n in range(1, 5)] == [True, False, False, False]
    assert [net.forwarded(WORLD, OTHER, n) for n in range(1, 9)] == [True, False, False, False, True, True, False, True]
    assert net.forwarded(OTHER, WORLD, 4)
    assert [net.forwarded(A, A, n) for n in (7, 8, 9)] == [False, False, True], "a pod to itself is not exempt"
    assert net.delivered(WORLD, 2), "what comes to the node is not forwarded"
    assert net.sent(NODE, WORLD, 7)
    for n in (0, 1):
        asked = Packet(OTHER[n], WORLD[n], TCP, 7, 4)
        assert rig.exchange([asked, Packet(WORLD[n], OTHER[n], TCP, 4, 7)]) == [True, True], "a reply to tcp/7"


def test_every_packet(rig: Rig, flavour: str) -> None:
    """In front of replies: they can be denied, and what is allowed goes on to everything else."""
    net = Passing(
        rig,
        flavour,
        """
        forward packets {
          allow any -> any : tcp/1-2
          deny any -> any : tcp/2-3
          deny world -> other : tcp source port 9
          deny any -> any state invalid
          leave any -> any : tcp/5
          deny any -> any : tcp/5
        }
        forward { deny any -> any : tcp/1 }
        node packets {
          deny world -> self : tcp/1
          deny self -> world : tcp/2
          deny any -> self state invalid
        }
        node { deny any -> self : tcp/3 }
        """,
    )
    assert [net.forwarded(WORLD, OTHER, n) for n in (1, 2, 3, 4, 5)] == [False, True, False, True, True]
    for n in (0, 1):
        first = Packet(OTHER[n], WORLD[n], TCP, 4567, 9)
        assert rig.exchange([first, Packet(WORLD[n], OTHER[n], TCP, 9, 4567)]) == [True, False], "a reply"
        first = Packet(OTHER[n], WORLD[n], TCP, 4567, 10)
        assert rig.exchange([first, Packet(WORLD[n], OTHER[n], TCP, 10, 4567)]) == [True, True]
    assert rig.forwarded(pings(WORLD, OTHER)) == [True, True]
    assert rig.forwarded(pings(WORLD, OTHER, reply=True)) == [False, False], "invalid"
    assert rig.delivered(pings(WORLD, NODE, reply=True)) == [False, False]
    assert [net.delivered(WORLD, n) for n in (1, 2, 3)] == [False, True, False]
    assert [net.sent(NODE, WORLD, n) for n in (1, 2)] == [True, False]


def test_a_packets_list_has_the_failsafe_in_front(rig: Rig, flavour: str) -> None:
    net = Passing(rig, flavour, "node packets { deny any -> self }", failsafe=True)
    assert [net.delivered(WORLD, n) for n in (22, 6443, 80)] == [True, True, False]


def test_lists_in_lists(rig: Rig, flavour: str) -> None:
    """What a head is about is asked inside; the first that decides does, the rest goes on behind, and so does leave."""
    net = Passing(
        rig,
        flavour,
        """
        forward {
          within world -> any : tcp/1-9 {
            allow any -> any : tcp/1
            leave any -> any : tcp/2
            within any -> other : tcp/2-4 {
              leave any -> any : tcp/3
              deny  any -> any : tcp/4
              within any -> any : tcp/2 unless from world { deny any -> any }
            }
            deny any -> any : tcp/2-3
            allow any -> any : tcp/5
            within any -> any : tcp/6 { }
          }
          deny any -> any : tcp/2,5,7 unless from pods
          within pods -> any { deny any -> any : tcp/7 }
        }
        node {
          within world -> self { deny any -> any : tcp/1-2 leave any -> any : tcp/3 }
          deny any -> self : tcp/3
          within self -> { world, other } { deny any -> other : tcp/1 }
        }
        policy p {
          within any -> pods : tcp/50-59 {
            allow world -> any : tcp/51
            pass any -> any : tcp/52
            leave any -> any : tcp/53
            deny any -> any : tcp/50-53
          }
          deny any -> pods : tcp/53-54
        }
        """,
    )
    denied = [n for n in range(1, 10) if not net.forwarded(WORLD, OTHER, n)]
    assert denied == [2, 3, 4, 7], "2 leaves and is denied behind, 3 leaves the inner one and is denied in the outer"
    assert [n for n in range(1, 10) if not net.forwarded(OTHER, WORLD, n)] == [2, 5, 7]
    assert [n for n in range(1, 10) if not net.forwarded(A, WORLD, n)] == [7]
    assert [n for n in range(1, 5) if not net.delivered(WORLD, n)] == [1, 2, 3]
    assert [n for n in range(1, 5) if not net.delivered(OTHER, n)] == [3]
    assert [net.sent(NODE, who, 1) for who in (WORLD, OTHER)] == [True, False]
    assert [n for n in range(50, 56) if not net.forwarded(WORLD, A, n)] == [50, 53, 54]
    assert [n for n in range(50, 56) if not net.forwarded(OTHER, B, n)] == [50, 51, 53, 54]


def test_conditions(rig: Rig, flavour: str) -> None:
    net = Passing(
        rig,
        flavour,
        """
        forward {
          deny any -> any : tcp/150,160,250 marked 0x10/0xf0
          deny any -> any : tcp/151 marked 0x5510
          deny any -> any : tcp/152 marked 0x10
          within any -> any marked 0x5520 { deny any -> any : tcp/251,153 }
          deny any -> any : tcp/21-29 + udp/21-29 source port 3021,3024-3026
          deny any -> any : udp source port 3031
          deny any -> other state invalid
          deny any -> world state new,untracked
        }
        node { deny any -> self : tcp/1 state new }
        """,
    )
    rig.namespace.run("nft", "-f", "-", stdin=MARKS)
    assert [n for n in (150, 151, 152, 153, 250, 251) if not net.forwarded(WORLD, OTHER, n)] == [150, 151, 251]
    assert [n for n in range(20, 30) if not net.forwarded(WORLD, OTHER, n)] == [21, 24, 25, 26]
    assert [n for n in range(20, 32) if not net.forwarded(WORLD, OTHER, n, UDP)] == [21, 24, 25, 26, 31]
    assert rig.forwarded(pings(WORLD, OTHER)) == [True, True]
    assert rig.forwarded(pings(WORLD, OTHER, reply=True)) == [False, False]
    assert not net.forwarded(OTHER, WORLD, 300)
    assert rig.forwarded(pings(OTHER, WORLD, reply=True)) == [True, True]
    assert not net.delivered(WORLD, 1)


def test_chance(rig: Rig, flavour: str) -> None:
    """Of 400 packets a quarter, once for each, however many rules the statement is: 8 standard deviations around it."""
    many = ",".join(f"203.0.113.{n}" for n in range(1, 40, 2))
    net = Passing(
        rig,
        flavour,
        f"""
        set many = {{ {many}, 203.0.113.0/24, 2001:db8:2::/64, 2001:db8:2::9, fd09::1, fd09::5 }}
        forward {{
          deny any -> other : udp/1 chance 1/4
          deny many -> any : udp/2 chance 1/4
          deny any -> pods : tcp/8080 + tcp/http chance 1/4
          deny any -> any : udp/3 chance 1/1
        }}
        """,
    )
    for source, target, proto, port in ((WORLD, OTHER, UDP, 1), (OTHER, WORLD, UDP, 2), (WORLD, A, TCP, 8080)):
        for n in (0, 1):
            sent = [Packet(source[n], target[n], proto, 5000 + k, port) for k in range(400)]
            assert 30 <= rig.forwarded(sent).count(False) <= 170
    assert not net.forwarded(WORLD, OTHER, 3, UDP)
    assert net.forwarded(WORLD, OTHER, 4, UDP)


def test_what_routing_says_of_an_address(rig: Rig, flavour: str) -> None:
    net = Passing(
        rig,
        flavour,
        """
        node {
          deny  any -> self and broadcast : udp/1
          deny  any -> self and multicast : udp/2
          deny  any -> self and local : udp/3
          deny  any -> self except local : udp/4
          deny  any -> self except { multicast, local } : udp/5
        }
        forward { deny local -> any : tcp/1 deny any -> any except local : tcp/2 }
        """,
    )
    assert [n for n in range(1, 6) if not net.delivered(WORLD, n, UDP)] == [3]
    everybody = Packet(WORLD[0], "255.255.255.255", UDP, 3000, 0)
    group = Packet(WORLD[0], "224.0.0.1", UDP, 3000, 0)
    for target, wanted in ((everybody, [1, 4, 5]), (group, [2, 4])):
        sent = [Packet(target.src, target.dst, UDP, 3000 + n, n) for n in range(1, 6)]
        assert [n for n, passed in enumerate(rig.delivered(sent), 1) if not passed] == wanted, target
    assert [net.forwarded(WORLD, OTHER, n) for n in (1, 2)] == [True, False]


def test_log_goes_on(rig: Rig, flavour: str) -> None:
    """As a statement: each packet once, whatever is behind it."""
    net = Passing(
        rig,
        flavour,
        """
        forward {
          log  world -> any : tcp/1-2 "seen "
          log  world -> pods : tcp/8080 + tcp/http "seen "
          deny any -> any : tcp/1
          within any -> any : tcp/3 { log any -> any "inner " limit 1/hour burst 2 }
          deny any -> any : tcp/3
        }
        """,
    )
    with Listener(rig.namespace, 0) as log:

        def heard() -> list[tuple[str, str, int]]:
            found = [(message.prefix, header(message.payload)) for message in log.messages()]
            return [(prefix, seen.source, seen.ports[1]) for prefix, seen in found]

        for number, passed in ((1, False), (2, True)):
            assert net.forwarded(WORLD, OTHER, number) is passed
            assert heard() == [("seen ", ip, number) for ip in WORLD]
        assert net.forwarded(WORLD, A, 8080)
        assert heard() == [("seen ", ip, 8080) for ip in WORLD], "by its number and by its name"
        assert rig.forwarded([Packet(OTHER[0], WORLD[0], TCP, 4000 + n, 3) for n in range(6)]) == [False] * 6
        assert heard() == [("inner ", OTHER[0], 3)] * 2


@pytest.fixture
def kernel_log() -> Iterator[int]:
    """What the kernel says from now on. It is silent about other namespaces than the first unless it is told."""
    before = _ALL_NAMESPACES.read_text()
    _ALL_NAMESPACES.write_text("1")
    opened = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(opened, 0, os.SEEK_END)
    yield opened
    os.close(opened)
    _ALL_NAMESPACES.write_text(before)


def test_the_log_of_the_kernel(rig: Rig, flavour: str, kernel_log: int) -> None:
    prefix = f"front-{flavour} "
    net = Passing(
        rig,
        flavour,
        f"""
        forward {{
          log  any -> any : tcp/1 "{prefix}" to kernel
          deny any -> any : tcp/2 log "{prefix}" limit 10/min to kernel
        }}
        """,
    )
    assert [net.forwarded(WORLD, OTHER, n) for n in (1, 2, 3)] == [True, False, True]
    found: list[str] = []
    until = time.monotonic() + 5
    while len(found) < 4 and time.monotonic() < until:
        try:
            line = os.read(kernel_log, 8192).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.02)
            continue
        found += [line] if prefix in line else []
    assert [line.partition("DPT=")[2].split()[0] for line in found] == ["1", "1", "2", "2"]


def test_rules_of_one_tool(rig: Rig, flavour: str) -> None:
    """In their places, for their families and at their hooks."""
    said = {
        "nftables": ("nft", "tcp dport 1 drop", "tcp dport 2-3 drop", "tcp dport 4 drop"),
        "iptables": ("iptables", *(f"-p tcp -m tcp --dport {n} -j DROP" for n in ("1", "2:3", "4"))),
    }
    tool, one, two, three = said[BACKEND[flavour]]
    net = Passing(
        rig,
        flavour,
        f"""
        forward {{
          opaque one {tool} "{one}"
          allow world -> any : tcp/2
          within other -> any {{ opaque two {tool} ipv6 "{two}" }}
          deny any -> any : tcp/5
        }}
        node {{ opaque three {tool} input "{three}" within self -> any {{ opaque more {tool} "{one}" }} }}
        """,
    )
    assert [n for n in range(1, 6) if not net.forwarded(WORLD, OTHER, n)] == [1, 5]
    for n, wanted in ((2, [True, False]), (3, [True, False]), (4, [True, True])):
        assert rig.forwarded(packets(OTHER, WORLD, n)) == wanted
    assert [n for n in range(1, 6) if not net.delivered(WORLD, n)] == [4]
    assert [n for n in range(1, 6) if not net.sent(NODE, WORLD, n)] == [1]


def test_many_lists_one_after_the_other(rig: Rig, flavour: str) -> None:
    """nf_tables takes chains 16 deep: lists about different packets go on behind all of them."""
    inside = "allow world -> any leave other -> any deny any -> any"
    lists = "\n".join(f"within any -> any : tcp/{n} {{ {inside} }}" for n in range(1, 41))
    net = Passing(rig, flavour, f"forward {{\n{lists}\ndeny any -> world : tcp/1-41\n}}\n")
    for n in (1, 20, 40):
        assert net.forwarded(WORLD, OTHER, n), "allowed"
        assert not net.forwarded(OTHER, WORLD, n), "left, and denied behind"
        assert not net.forwarded(A, OTHER, n), "denied in the list"
    assert net.forwarded(A, OTHER, 41)
    assert not net.forwarded(OTHER, WORLD, 41)

"""The rig itself, against rules written by hand: a judge that says yes to everything, or no, must not go unnoticed."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from compiler.semantics.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Packet, connection
from tests.kernel.namespace import CommandFailed, Namespace
from tests.kernel.packets import ESP, GRE, Unreachable, handshake, reply
from tests.kernel.rig import NODE, Rig

pytestmark = pytest.mark.kernel

ENDS = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}
PROTOCOLS = [(4, p) for p in (TCP, UDP, SCTP, ICMP, GRE, ESP)] + [(6, p) for p in (TCP, UDP, SCTP, ICMPV6, GRE, ESP)]
WEB_ONLY = """
*filter
-A {hook} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A {hook} -p tcp -m tcp --dport 80 -j ACCEPT
-A {hook} -p udp -m udp --dport 80 -j ACCEPT
-A {hook} -j DROP
COMMIT
"""
WEB_ONLY_NFT = """
table inet hand {{
	chain rules {{
		type filter hook {hook} priority 0 ; policy drop ;
		ct state established,related accept
		tcp dport 80 accept
		udp dport 80 accept
	}}
}}
"""


def files(flavour: str, hook: str) -> dict[str, str]:
    if flavour == "nftables":
        return {"netpolc.nft": WEB_ONLY_NFT.format(hook=hook.lower())}
    rules = WEB_ONLY.format(hook=hook)
    return {"ipset.save": "create hand hash:ip -exist\n", "iptables.save": rules, "ip6tables.save": rules}


@pytest.mark.parametrize(("family", "proto"), PROTOCOLS)
def test_everything_passes_without_rules(rig: Rig, family: int, proto: int) -> None:
    near, far = ENDS[family]
    node = NODE[family == 6]
    assert rig.forwarded([connection(near, far, proto, 80, 1)]) == [True]
    assert rig.delivered([connection(near, node, proto, 80, 1)]) == [True]
    assert rig.sent([connection(node, far, proto, 80, 1), connection(near, far, proto, 80, 1)]) == [True, True]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("hook", "ask"), [("FORWARD", "forwarded"), ("INPUT", "delivered"), ("OUTPUT", "sent")])
def test_rules_decide(rig: Rig, flavour: str, hook: str, ask: str, family: int) -> None:
    near, far = ENDS[family]
    if hook == "INPUT":
        far = NODE[family == 6]
    rig.load(files(flavour, hook), flavour)
    packets = [connection(near, far, proto, port, 1) for proto in (TCP, UDP, SCTP) for port in (80, 81)]
    assert getattr(rig, ask)(packets) == [True, False, True, False, False, False]
    rig.reset()
    assert getattr(rig, ask)(packets) == [True] * 6


@pytest.mark.parametrize("family", [4, 6])
def test_conntrack_sees_replies(rig: Rig, flavour: str, family: int) -> None:
    near, far = ENDS[family]
    rig.load(files(flavour, "FORWARD"), flavour)
    web = Packet(near, far, TCP, 40000, 80)
    assert rig.exchange(handshake(web)) == [True] * 4
    other_port = Packet(near, far, TCP, 40001, 80)
    router = "10.9.9.9" if family == 4 else "fd00::99"
    assert rig.exchange([Unreachable(router, web), Unreachable(router, other_port)]) == [True, False]
    rig.namespace.forget_connections()
    assert rig.exchange(handshake(web)[1:2]) == [False], "a SYN-ACK that answers nothing"
    datagram = Packet(near, far, UDP, 40000, 80)
    assert rig.exchange([reply(datagram), datagram, reply(datagram)]) == [False, True, True]


def test_first_packets_are_judged_for_themselves(rig: Rig, flavour: str) -> None:
    rig.load(files(flavour, "FORWARD"), flavour)
    there = Packet("10.0.0.1", "10.0.0.2", UDP, 99, 80)
    assert rig.forwarded([there, reply(there), there]) == [True, False, True]


def test_a_refused_file_is_an_error(rig: Rig, flavour: str) -> None:
    with pytest.raises(CommandFailed):
        rig.load(dict.fromkeys(files(flavour, "FORWARD"), "nonsense\n"), flavour)
    with pytest.raises(ValueError, match="surprise"):
        rig.load({"surprise.txt": ""}, flavour)


def test_namespaces_end_with_their_files() -> None:
    """Nothing under /run/netns, and the thread is back where it was."""
    before = os.readlink("/proc/thread-self/ns/net")
    names = set(Path("/run/netns").iterdir()) if Path("/run/netns").exists() else set()
    with Rig() as rig:
        with rig.namespace:
            assert os.readlink("/proc/thread-self/ns/net") != before
        assert {p.name for p in Path("/sys/class/net").iterdir()}.isdisjoint({"tin", "tout"})
    assert os.readlink("/proc/thread-self/ns/net") == before
    # Others may take theirs away meanwhile; none may have come.
    assert (set(Path("/run/netns").iterdir()) if Path("/run/netns").exists() else set()) <= names
    with pytest.raises(OSError, match="Bad file descriptor"), rig.namespace:
        pass


def test_only_the_calling_thread_moves() -> None:
    here = os.readlink("/proc/thread-self/ns/net")
    seen: list[str] = []
    namespace = Namespace()
    try:
        with namespace:
            thread = threading.Thread(target=lambda: seen.append(os.readlink(f"/proc/{os.getpid()}/ns/net")))
            thread.start()
            thread.join()
        assert namespace.run("readlink", "/proc/self/ns/net").strip() != here
    finally:
        namespace.close()
    assert os.readlink("/proc/thread-self/ns/net") == here


def test_speed(rig: Rig) -> None:
    """In batches, built and judged: 200,000 a second on an idle core; far less only when something is wrong."""
    packets = [Packet(f"10.0.{n >> 8}.{n & 255}", "10.1.0.1", TCP, 1024 + n, 80) for n in range(20_000)]
    start = time.process_time()
    assert all(rig.forwarded(packets))
    assert len(packets) / (time.process_time() - start) > 40_000


def test_reset_takes_back_policies_and_lists_of_sets(rig: Rig) -> None:
    probe = [Packet("10.1.0.9", "10.1.0.1", TCP, dport=80)]
    files = {
        "ipset.save": "create a hash:ip\ncreate b list:set\nadd b a\n",
        "iptables.save": "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n",
    }
    rig.load(files, "iptables-legacy")
    assert rig.forwarded(probe) == [False]
    rig.reset()
    assert rig.forwarded(probe) == [True]

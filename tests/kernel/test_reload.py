"""Loading over what is there: the same again, and something else under traffic."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from compiler.semantics.packet import SCTP, TCP, UDP, Packet, connection
from tests.kernel.compiled import Object, block, files, pod, pods, policy, port
from tests.kernel.packets import Sendable, handshake
from tests.kernel.rig import Rig
from tests.kernel.stream import Stream
from tests.kernel.test_paths import CLUSTER, EGRESS_OF_A, FAR, ICMP_OF, INGRESS_OF_A, OTHER_NODE, WORLD, A, B

pytestmark = pytest.mark.kernel

RELOADS = 100
BOTH_TOOLS = ("iptables", "ip6tables")

#: The next version: more policies for the same pods (other classes, chains and port sets), other pods around them
#: (other elements in every set), and nothing different for the streams below.
CROWD = [pod(f"crowd/p{n}", [f"10.1.9.{n}", f"fd00:1:9::{n}"], "app=crowd") for n in range(1, 250)]
NEXT: list[Object] = [
    *CLUSTER,
    *CROWD,
    INGRESS_OF_A,
    EGRESS_OF_A,
    policy("shop", "a-more", "app=a", ingress=[{"from": [pods("app=crowd", "")], "ports": [port(443), port(8443)]}]),
    policy("shop", "a-also", "app=a", egress=[{"to": [block("203.0.113.0/24", "203.0.113.9/32")]}]),
    policy("shop", "b", "app=b", ingress=[{"from": [pods("app=crowd", "")]}], policyTypes=["Ingress"]),
    policy("crowd", "deny", policyTypes=["Ingress", "Egress"]),
]
BEFORE: list[Object] = [*CLUSTER, *CROWD[:100], INGRESS_OF_A, EGRESS_OF_A]


def stream(rig: Rig) -> Stream:
    """First packets of every kind, both families, that both versions allow or deny; and an open connection's."""
    allowed: list[Sendable] = []
    denied: list[Sendable] = []
    for family in (4, 6):
        a, b, far, world = A[family], B[family], FAR[family], WORLD[family]
        beyond = {4: "198.51.100.200", 6: "2001:db8:77:0:8000::1"}[family]
        for n in range(4):
            allowed += [connection(b, a, proto, number, n) for proto, number in ((TCP, 80), (UDP, 53), (SCTP, 9))]
            allowed += [connection(far, a, TCP, number, n + 9) for number in (80, 8000, 8005, 8010)]
            allowed += [connection(world, a, proto, 7, n) for proto in (TCP, UDP, ICMP_OF[family])]
            allowed += [
                connection(a, far, TCP, 80, n),
                connection(a, world, UDP, 99, n),
                connection(b, far, TCP, 99, n),
            ]
            denied += [connection(b, a, proto, number, n + 30) for proto, number in ((TCP, 53), (UDP, 80), (SCTP, 80))]
            denied += [connection(far, a, TCP, number, n + 39) for number in (79, 81, 7999, 8011)]
            denied += [connection(b, a, ICMP_OF[family], 0, n + 60), connection(OTHER_NODE[family], a, TCP, 80, n + 70)]
            denied += [
                connection(a, b, TCP, 80, n + 80),
                connection(a, beyond, TCP, 80, n),
                connection(a, far, UDP, 80, n),
            ]
        opened = handshake(Packet(b, a, TCP, 50000, 80))
        assert rig.exchange(opened) == [True] * 4
        allowed += opened[2:]
    return Stream(rig, allowed, denied)


def ours(rig: Rig, flavour: str) -> str:
    """Everything of netpolc in the kernel, as the tools list it, without counters."""
    run = rig.namespace.run
    if flavour == "nftables":
        return re.sub(r"packets \d+ bytes \d+", "", run("nft", "list", "table", "inet", "netpolc"))
    saved = [run(f"{tool}-{flavour.removeprefix('iptables-')}-save") for tool in BOTH_TOOLS]
    sets = run("ipset", "save", "-sorted")
    return re.sub(r" initval \S+| \[\d+:\d+\]|^#.*\n", "", "".join([*saved, sets]), flags=re.MULTILINE)


def test_loading_again_changes_nothing(rig: Rig, flavour: str) -> None:
    """But for one more jump in front: text for iptables-restore cannot ask whether a rule is there (README, Limits)."""
    compiled = files(NEXT, flavour)
    rig.load(compiled, flavour)
    once = ours(rig, flavour)
    rig.load(compiled, flavour)
    again = ours(rig, flavour)
    if flavour != "nftables":
        jumps = re.findall(r"^-A (?:FORWARD|INPUT|OUTPUT) .*\n", again, flags=re.MULTILINE)
        assert len(jumps) == 2 * 2 * 3, "two families, three hooks, two loads"
        again = re.sub(r"^(-A (?:FORWARD|INPUT|OUTPUT) .*\n)\1", r"\1", again, flags=re.MULTILINE)
    assert again == once
    probes = [Packet(B[4], A[4], TCP, 1, n) for n in (80, 81)] + [Packet(B[6], A[6], TCP, 1, n) for n in (80, 81)]
    assert rig.forwarded(probes) == [True, False] * 2


def test_output_does_not_depend_on_what_was_there(rig: Rig, flavour: str) -> None:
    """After any history the rules that packets pass are those of the last load."""
    rig.load(files(NEXT, flavour), flavour)
    rig.load(files(BEFORE, flavour), flavour)
    probes = [Packet(f"10.1.9.{n}", A[4], TCP, n, number) for n in (1, 99, 249) for number in (80, 443)]
    assert rig.forwarded(probes) == [False] * 6
    assert rig.forwarded([Packet(f"10.1.9.{n}", WORLD[4], TCP, n, 80) for n in (1, 99, 249)]) == [True] * 3
    rig.load(files(NEXT, flavour), flavour)
    assert rig.forwarded(probes) == [False] * 6, "their own egress is denied now"
    assert rig.forwarded([Packet(f"10.1.9.{n}", WORLD[4], TCP, n, 80) for n in (1, 99, 249)]) == [False] * 3
    rig.load(files(CLUSTER, flavour), flavour)
    assert rig.forwarded([*probes, Packet(A[4], B[4], TCP, 1, 1)]) == [True] * 7


def slowed(compiled: Mapping[str, str], rules: int = 400) -> Mapping[str, str]:
    """The same with so many rules that match nothing in front of ours: packets stay in the hook for microseconds more,
    and what a reload does to a packet that is between two rules happens a hundred times as often."""
    nft = "\tchain forward {\n"
    first = "-A NETPOLC-FORWARD "
    return {
        name: text.replace(nft, nft + "\t\tip protocol 250 drop\n\t\tip6 nexthdr 250 drop\n" * rules, 1).replace(
            first, "-A NETPOLC-FORWARD -p 250 -j DROP\n" * rules + first, 1
        )
        for name, text in compiled.items()
    }


@pytest.mark.parametrize("dwell", ["as it is", "slowed"])
def test_hitless(rig: Rig, flavour: str, dwell: str) -> None:
    versions = [files(BEFORE, flavour), files(NEXT, flavour)]
    if dwell == "slowed":
        versions = list(map(slowed, versions))
    rig.load(versions[0], flavour)
    with stream(rig) as running:
        for n in range(RELOADS):
            rig.load(versions[(n + 1) % 2], flavour)
    print(f"{flavour}, {dwell}: {running.sent} packets during {RELOADS} reloads")
    assert (dict(running.lost), dict(running.leaked)) == ({}, {})
    assert running.sent > 50 * RELOADS, "too few packets to tell"


def test_the_stream_sees_a_gap(rig: Rig) -> None:
    """What a user who takes the old rules away first would get: the test above can fail."""
    compiled = files(BEFORE, "nftables")
    rig.load(compiled, "nftables")
    with stream(rig) as running:
        for _ in range(10):
            rig.namespace.run("nft", "flush", "table", "inet", "netpolc")
            rig.load(compiled, "nftables")
    assert running.leaked
    assert not running.lost

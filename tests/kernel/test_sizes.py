"""Where another layout is chosen: rows turn into sets, trees of chains, maps, several rules of ports. Each size on both
sides of such a point, with packets to everything that is listed and to its neighbours.
"""

from __future__ import annotations

import ipaddress
import random

import pytest

from compiler.net import Family
from compiler.semantics.packet import SCTP, TCP, UDP, Packet
from tests.kernel.compiled import Object, block, files, pod, pods, policy, port
from tests.kernel.rig import Rig
from tests.kernel.test_paths import CLUSTER, FAR, INGRESS_OF_A, A, B

pytestmark = pytest.mark.kernel

CLIENT = ("10.9.0.1", "fd00:9::1")


@pytest.mark.parametrize("count", [1, 8, 9, 16, 17, 300])
def test_pods(rig: Rig, flavour: str, count: int) -> None:
    """Every pod has one of 20 policies of its own; all of them reach themselves; addresses are scattered."""
    chosen = random.Random(count)
    numbers = chosen.sample(range(1 << 16), count)
    homes = [(f"10.1.{n >> 8}.{n & 255}", f"fd00:1::{n:x}:{n & 15:x}") for n in numbers]
    objects = [pod(f"x/p{n}", home, f"group=g{n % 20}") for n, home in enumerate(homes)]
    objects.append(pod("x/client", CLIENT, node="node2"))
    for group in range(20):
        opened = {"from": [pods("app=client")], "ports": [port(1000 + group)]}
        rules = {"policyTypes": ["Ingress", "Egress"], "ingress": [opened], "egress": [{"ports": [port(2000 + group)]}]}
        objects.append(policy("x", f"g{group}", f"group=g{group}", **rules))
    rig.load(files(objects, flavour), flavour)
    packets: list[Packet] = []
    expected: list[bool] = []
    for n, home in enumerate(homes):
        group = n % 20
        other = homes[(n + 1) % count]
        for family in (0, 1):
            one, client, next_one = home[family], CLIENT[family], other[family]
            cases = [
                (client, one, 1000 + group, True),
                (client, one, 1000 + (group + 1) % 20, False),
                (one, client, 2000 + group, True),
                (one, client, 2000 + (group + 1) % 20, False),
                (one, one, 1, True),
                (next_one, one, 1000 + group, count == 1),
            ]
            packets += [Packet(source, destination, TCP, 3000, to) for source, destination, to, _ in cases]
            expected += [allowed for *_, allowed in cases]
    wrong = [str(p) for p, got, want in zip(packets, rig.forwarded(packets), expected, strict=True) if got != want]
    assert not wrong


@pytest.mark.parametrize("count", [1, 8, 9, 24, 25, 150])
def test_blocks(rig: Rig, flavour: str, count: int) -> None:
    """Blocks of many lengths inside each other, with excepts; port n for the n-th, so that no two are alike."""
    chosen = random.Random(count)
    rules: list[Object] = []
    nets: list[tuple[list[ipaddress.IPv4Network], int]] = []
    for n in range(count):
        length = chosen.randrange(9, 29)
        base = ipaddress.ip_network((0x0A000000 | chosen.randrange(1 << 22), length), strict=False)
        assert isinstance(base, ipaddress.IPv4Network)
        excepts = [chosen.choice(list(base.subnets(2))), chosen.choice(list(base.subnets(3)))]
        rules.append({"from": [block(str(base), *map(str, excepts))], "ports": [port(1000 + n)]})
        nets.append(([base, *excepts], 1000 + n))
    web = ("172.16.0.1", "fd00::1")
    rig.load(files([pod("x/web", web), policy("x", "in", ingress=rules)], flavour), flavour)
    edges = {
        ipaddress.IPv4Address(int(edge) + step)
        for (several, _) in nets
        for net in several
        for edge in (net.network_address, net.broadcast_address)
        for step in (-1, 0, 1)
    }
    packets: list[Packet] = []
    expected: list[bool] = []
    for address in chosen.sample(sorted(edges), min(200, len(edges))):
        for (base, *excepts), number in nets[:: max(1, count // 40)]:
            packets.append(Packet(str(address), web[0], TCP, 3000, number))
            expected.append(address in base and not any(address in cut for cut in excepts))
    assert any(expected)
    wrong = [str(p) for p, got, want in zip(packets, rig.forwarded(packets), expected, strict=True) if got != want]
    assert not wrong


@pytest.mark.parametrize("count", [1, 4, 5, 15, 16, 40])
@pytest.mark.parametrize("rest", ["denied", "allowed"])
def test_ports(rig: Rig, flavour: str, count: int, rest: str) -> None:
    """Single ports and ranges in turn; `allowed`: an admin policy denies them, and everything else passes."""
    web = ("10.1.1.1", "fd00:1::1")
    spans = [
        (proto, 100 * n, 100 * n + (7 if n % 3 == 2 else 0)) for n in range(1, count + 1) for proto in (TCP, UDP, SCTP)
    ]
    words = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}
    if rest == "denied":
        listed = [port(low, words[proto], high if high > low else None) for proto, low, high in spans]
        rules = policy("x", "in", ingress=[{"ports": listed}])
    else:
        rules = denying([(words[proto], low, high) for proto, low, high in spans])
    rig.load(files([pod("x/web", web), pod("x/client", CLIENT, node="node2"), rules], flavour), flavour)
    points = [(p, n) for proto, low, high in spans for p in (TCP, UDP, SCTP) for n in (low - 1, low, high, high + 1)]
    packets = [Packet(CLIENT[f], web[f], p, 3000, n) for f in (0, 1) for p, n in points]
    inside = {(proto, n) for proto, low, high in spans for n in range(low, high + 1)}
    expected = [((p.proto, p.dport) in inside) == (rest == "denied") for p in packets]
    wrong = [str(p) for p, got, want in zip(packets, rig.forwarded(packets), expected, strict=True) if got != want]
    assert not wrong
    others = [Packet(CLIENT[f], web[f], proto) for f in (0, 1) for proto in (47, 50, 33, 136)]
    assert rig.forwarded(others) == [rest == "allowed"] * 8


def denying(spans: list[tuple[str, int, int]]) -> Object:
    """An AdminNetworkPolicy; a rule takes 100 ports."""
    ports = [
        {"portRange": {"protocol": protocol, "start": low, "end": high}}
        if high > low
        else {"portNumber": {"protocol": protocol, "port": low}}
        for protocol, low, high in spans
    ]
    several = [ports[n : n + 100] for n in range(0, len(ports), 100)]
    rules = [{"action": "Deny", "from": [{"namespaces": {}}], "ports": some} for some in several]
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": "deny"},
        "spec": {"priority": 1, "subject": {"namespaces": {}}, "ingress": rules},
    }


@pytest.mark.parametrize("family", list(Family))
def test_one_family_alone(rig: Rig, flavour: str, family: Family) -> None:
    """`--family`: the other one has no rules, and nothing of it is touched."""
    compiled = files([*CLUSTER, INGRESS_OF_A], flavour, families=(family,))
    assert ("ip6tables.save" in compiled) == (flavour != "nftables" and family is Family.IPV6)
    rig.load(compiled, flavour)
    assert rig.forwarded([Packet(B[v], A[v], TCP, 1, 81) for v in (4, 6)]) == [family.value != 4, family.value != 6]
    assert rig.forwarded([Packet(FAR[v], A[v], TCP, 1, 80) for v in (4, 6)]) == [True, True]

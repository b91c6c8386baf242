"""Blocks of the baseline tier, by what becomes of packets: each direction by itself, behind all that decides first."""

from __future__ import annotations

import pytest

from compiler.net import TCP
from compiler.semantics.packet import ICMP, ICMPV6, Packet
from tests.kernel.compiled import Object, block, policy
from tests.kernel.rig import NODE, Rig
from tests.kernel.test_programs import FAR, OTHER, WORLD, A, B, Passing, packets

pytestmark = pytest.mark.kernel


def tiered(name: str, tier: str, priority: int, action: str, *ports: int) -> Object:
    """All pods, to and from all pods, at these ports."""
    protocols = [{"tcp": {"destinationPort": {"number": number}}} for number in ports]
    ends: list[Object] = [{"namespaces": {}}]
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "tier": tier,
            "priority": priority,
            "subject": {"namespaces": {}},
            "ingress": [{"name": "in", "action": action, "from": ends, "protocols": protocols}],
            "egress": [{"name": "out", "action": action, "to": ends, "protocols": protocols}],
        },
    }


def test_each_direction_by_itself(rig: Rig, flavour: str) -> None:
    """The pods of this node alone; at both ends where both are here; the first rule of a direction decides."""
    net = Passing(
        rig,
        flavour,
        """
        policy base tier baseline {
          allow world   -> pods(app=a) : tcp/1
          deny  any     -> pods(app=a) : tcp/1-2
          deny  pods(app=b) -> any     : tcp/3
          allow pods    -> world       : tcp/3
          deny  pods(app=far) -> world : tcp/4
          deny  world   -> pods(app=far) : tcp/5
        }
        """,
    )
    assert [net.forwarded(WORLD, A, n) for n in (1, 2, 3)] == [True, False, True]
    assert [net.forwarded(OTHER, A, n) for n in (1, 2, 3)] == [False, False, True]
    assert net.forwarded(OTHER, B, 1)
    assert not net.forwarded(B, A, 1), "the ingress of a"
    assert [net.forwarded(B, who, 3) for who in (A, WORLD)] == [False, False], "the egress of b, the first match"
    assert net.forwarded(A, B, 3)
    assert [net.forwarded(FAR, WORLD, 4), net.forwarded(WORLD, FAR, 5)] == [True, True], "another node's to decide"
    assert [net.forwarded(FAR, A, 1), net.forwarded(FAR, A, 3)] == [False, True]
    assert net.forwarded(WORLD, OTHER, 1), "no pod at either end"


def test_only_what_nothing_else_decided(rig: Rig, flavour: str) -> None:
    """Behind the blocks and objects of the Admin tier and NetworkPolicies; pass leads to none of them, but allows."""
    net = Passing(
        rig,
        flavour,
        """
        policy top priority 1 { allow any -> any : tcp/1  pass any -> any : tcp/2 }
        policy base tier baseline priority 5 { pass any -> pods(app=a) : tcp/9  deny any -> any }
        """,
        tiered("first", "Admin", 7, "Accept", 3),
        tiered("more", "Baseline", 6, "Deny", 9),
        policy("shop", "b", "app=b", policyTypes=["Ingress"], ingress=[{"from": [block("198.51.100.0/24")]}]),
        policy("shop", "b6", "app=b", policyTypes=["Ingress"], ingress=[{"from": [block("2001:db8:1::/48")]}]),
    )
    assert net.forwarded(WORLD, A, 1), "allowed by the block on top"
    assert [net.forwarded(FAR, A, n) for n in (2, 3, 4, 9)] == [False, True, False, True]
    assert [net.forwarded(who, B, 5) for who in (WORLD, OTHER)] == [True, False], "the NetworkPolicy decides"
    assert not net.forwarded(B, WORLD, 5), "b's egress is isolated by none"
    assert net.forwarded(A, A, 5), "a pod reaches itself"
    assert net.sent(NODE, A, 5), "and its node reaches it"
    assert not net.delivered(A, 5), "a pod its node only as its egress says"
    assert net.delivered(WORLD, 5)


@pytest.mark.parametrize(("priority", "allowed"), [(4, False), (5, True), (6, True)])
def test_ties_go_to_blocks(rig: Rig, flavour: str, priority: int, allowed: bool) -> None:
    text = "policy base tier baseline priority 5 { allow any -> any : tcp/1 }"
    net = Passing(rig, flavour, text, tiered("other", "Baseline", priority, "Deny", 1, 2))
    assert [net.forwarded(FAR, A, n) for n in (1, 2)] == [allowed, False]


def test_ends_are_expressions(rig: Rig, flavour: str) -> None:
    """Addresses of pods, expressions, of one family alone; ports by name on the pods that are the target."""
    net = Passing(
        rig,
        flavour,
        """
        policy base tier baseline {
          deny pods and 10.1.0.2 -> world except 203.0.113.0/24 : tcp/1
          deny { pods(app=b), 10.1.0.2 } -> nodes : tcp/2
          deny any -> pods except { 10.1.0.3, fd00::3 } : tcp/http
          deny 10.1.0.2 -> { pods(app=b), world } and any : tcp/http
          deny any except { world, pods } -> pods : tcp/8 unless from 203.0.113.9
        }
        """,
    )
    assert rig.forwarded(packets(A, WORLD, 1)) == [False, True]
    assert rig.delivered(packets(A, NODE, 2)) == [False, True]
    assert [net.delivered(who, 2) for who in (B,)] == [False]
    assert [net.forwarded(WORLD, who, n) for who in (A, B) for n in (8080, 9090)] == [False, True, True, True]
    assert rig.forwarded(packets(A, B, 9090)) == [False, True], "named by the target's pods, the egress of one address"
    assert net.forwarded(A, B, 8080)
    assert net.forwarded(A, WORLD, 8080), "no pod, no name"
    assert rig.forwarded(packets(OTHER, A, 8)) == [True, False]
    assert net.forwarded(WORLD, A, 8)


def test_protocols(rig: Rig, flavour: str) -> None:
    """Those that policies of Kubernetes cannot name, next to those that they can."""
    net = Passing(
        rig,
        flavour,
        """
        policy base tier baseline {
          allow any -> pods(app=a) : icmp/echo-request + icmpv6/echo-request + udplite/7-9 + proto/253
          pass  any -> pods(app=a) : tcp/1
          deny  any -> pods(app=a)
          deny  any -> pods(app=b) : gre + icmp/echo-request + icmpv6/echo-request + tcp/2
        }
        """,
    )
    families = ((0, ICMP), (1, ICMPV6))
    pings = [Packet(WORLD[n], A[n], proto, 7) for n, proto in families]
    assert rig.forwarded(pings) == [True, True]
    assert rig.forwarded([Packet(WORLD[n], B[n], proto, 7) for n, proto in families]) == [False, False]
    assert [net.forwarded(WORLD, A, 0, proto) for proto in (253, 47, 50)] == [True, False, False]
    assert [net.forwarded(WORLD, B, 0, proto) for proto in (253, 47, 50)] == [True, False, True]
    assert [net.forwarded(WORLD, A, n, 136) for n in (6, 7, 9, 10)] == [False, True, True, False]
    assert [net.forwarded(WORLD, who, n, TCP) for who in (A, B) for n in (1, 2)] == [True, False, True, False]

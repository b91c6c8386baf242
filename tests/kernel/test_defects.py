"""Defects that other compilers of policies have had, each as a trap for this one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from compiler.errors import InvalidInput
from compiler.semantics.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Packet, connection
from tests.kernel.compiled import Object, block, files, namespace, pod, pods, policy, port
from tests.kernel.rig import Rig

pytestmark = pytest.mark.kernel


@dataclass(frozen=True, slots=True)
class Addresses:
    """The same cluster in one family: `at(n)` are pods, `away(n)` are nobody's."""

    family: int

    def at(self, n: int) -> str:
        return f"10.1.1.{n}" if self.family == 4 else f"fd00:1:1::{n}"

    def away(self, n: int) -> str:
        return f"10.7.0.{n}" if self.family == 4 else f"fd00:7::{n}"

    def block(self, v4: str, v6: str) -> Object:
        return block(*(v4 if self.family == 4 else v6).split(" except "))


@pytest.fixture(params=[4, 6])
def net(request: pytest.FixtureRequest) -> Addresses:
    return Addresses(int(request.param))


def both(n: int) -> list[str]:
    """A pod's addresses."""
    return [Addresses(4).at(n), Addresses(6).at(n)]


def passing(rig: Rig, *connections: tuple[str, str, int]) -> list[bool]:
    """Which TCP connections (source, destination, port) get through."""
    return rig.forwarded([Packet(a, b, TCP, 2000 + n, number) for n, (a, b, number) in enumerate(connections)])


WEB, CLIENT, OTHER = 10, 11, 12
CLUSTER = [pod("x/web", both(WEB)), pod("x/client", both(CLIENT)), pod("x/other", both(OTHER))]


class TestDirection:
    """An egress rule never satisfies ingress, nor the reverse, whichever policy carries it."""

    def test_egress_to_a_pod_is_not_ingress_of_that_pod(self, rig: Rig, flavour: str, net: Addresses) -> None:
        objects = [
            *CLUSTER,
            policy("x", "closed", "app=web", ingress=[]),
            policy("x", "out", "app=client", policyTypes=["Egress"], egress=[{"to": [pods("app=web")]}]),
        ]
        rig.load(files(objects, flavour), flavour)
        client, web, other = net.at(CLIENT), net.at(WEB), net.at(OTHER)
        assert passing(rig, (client, web, 80), (other, web, 80), (client, other, 80)) == [False] * 3
        assert passing(rig, (web, client, 80), (other, client, 80)) == [True, True]

    def test_ingress_from_a_pod_is_not_egress_of_that_pod(self, rig: Rig, flavour: str, net: Addresses) -> None:
        objects = [
            *CLUSTER,
            policy("x", "in", "app=web", ingress=[{"from": [pods("app=client")]}]),
            policy("x", "closed", "app=client", policyTypes=["Egress"], egress=[]),
        ]
        rig.load(files(objects, flavour), flavour)
        client, web, other = net.at(CLIENT), net.at(WEB), net.at(OTHER)
        assert passing(rig, (client, web, 80), (client, other, 80), (other, web, 80)) == [False] * 3
        assert passing(rig, (web, client, 80), (other, client, 80)) == [True, True]

    def test_one_policy_with_both(self, rig: Rig, flavour: str, net: Addresses) -> None:
        """Its egress rule names web, its ingress rule does not: nobody it selects reaches web."""
        nobody, to_web = {"from": [pods("app=nobody")]}, {"to": [pods("app=web")]}
        rig.load(files([*CLUSTER, policy("x", "all", ingress=[nobody], egress=[to_web])], flavour), flavour)
        client, web, other = net.at(CLIENT), net.at(WEB), net.at(OTHER)
        assert (
            passing(rig, (client, web, 80), (other, web, 80), (web, client, 80), (net.away(1), web, 80)) == [False] * 4
        )

    def test_both_sides_decide_on_ports(self, rig: Rig, flavour: str, net: Addresses) -> None:
        objects = [
            *CLUSTER,
            policy("x", "in", "app=web", ingress=[{"from": [pods("app=client")], "ports": [port(80), port(81)]}]),
            policy("x", "out", "app=client", egress=[{"to": [pods("app=web")], "ports": [port(81), port(82)]}]),
        ]
        rig.load(files(objects, flavour), flavour)
        client, web = net.at(CLIENT), net.at(WEB)
        # policyTypes absent: the second policy isolates client in both directions.
        assert passing(rig, *((client, web, n) for n in (80, 81, 82))) == [False, True, False]
        assert passing(rig, (web, client, 81)) == [False]


class TestExcept:
    """An `except` cuts only its own ipBlock, never a sibling peer, whatever rule or policy has that."""

    WIDE = ("10.0.0.0/8 except 10.1.1.0/24", "fd00::/16 except fd00:1:1::/64")

    def test_beside_a_pod_selector(self, rig: Rig, flavour: str, net: Addresses) -> None:
        peers = [net.block(*self.WIDE), pods("app=client")]
        rig.load(files([*CLUSTER, policy("x", "in", "app=web", ingress=[{"from": peers}])], flavour), flavour)
        web = net.at(WEB)
        sources = [(net.at(CLIENT), True), (net.at(OTHER), False), (net.at(99), False), (net.away(1), True)]
        assert passing(rig, *((source, web, 80) for source, _ in sources)) == [expected for _, expected in sources]

    @pytest.mark.parametrize("where", ["peer", "rule", "policy"])
    def test_beside_a_block_inside_it(self, rig: Rig, flavour: str, net: Addresses, where: str) -> None:
        wide, inside = net.block(*self.WIDE), net.block("10.1.1.8/30", "fd00:1:1::8/125")
        policies = {
            "peer": [policy("x", "in", "app=web", ingress=[{"from": [wide, inside]}])],
            "rule": [policy("x", "in", "app=web", ingress=[{"from": [wide]}, {"from": [inside]}])],
            "policy": [
                policy("x", "in", "app=web", ingress=[{"from": [wide]}]),
                policy("x", "also-in", "app=web", ingress=[{"from": [inside]}]),
            ],
        }[where]
        rig.load(files([*CLUSTER, *policies], flavour), flavour)
        sources = [(net.at(8), True), (net.at(9), True), (net.at(99), False), (net.away(1), True)]
        assert passing(rig, *((s, net.at(WEB), 80) for s, _ in sources)) == [expected for _, expected in sources]

    def test_ports_of_each(self, rig: Rig, flavour: str, net: Addresses) -> None:
        around_other = net.block("10.1.0.0/16 except 10.1.1.12/32", "fd00:1::/32 except fd00:1:1::12/128")
        rules = [
            {"from": [net.block(*self.WIDE)], "ports": [port(80)]},
            {"from": [pods("app=client")], "ports": [port(443)]},
            {"from": [around_other], "ports": [port(8)]},
        ]
        rig.load(files([*CLUSTER, policy("x", "in", "app=web", ingress=rules)], flavour), flavour)
        for source, expected in (
            (net.at(CLIENT), [False, True, True]),
            (net.at(OTHER), [False, False, False]),
            (net.at(99), [False, False, True]),
            (net.away(1), [True, False, False]),
        ):
            assert passing(rig, *((source, net.at(WEB), n) for n in (80, 443, 8))) == expected


class TestNames:
    """Names of chains and sets are never the same for two things."""

    def test_joined_names(self, rig: Rig, flavour: str, net: Addresses) -> None:
        """`a-b`/`c` and `a`/`b-c` are one text with a dash between; so are their pods."""
        objects: list[Object] = [
            pod("a-b/c", both(WEB)),
            pod("a/b-c", both(CLIENT)),
            policy("a-b", "c", ingress=[{"ports": [port(80)]}]),
            policy("a", "b-c", ingress=[{"ports": [port(81)]}]),
        ]
        rig.load(files(objects, flavour), flavour)
        for number, expected in ((WEB, [True, False]), (CLIENT, [False, True])):
            assert passing(rig, *((net.away(1), net.at(number), n) for n in (80, 81))) == expected

    def test_longest_names(self, rig: Rig, flavour: str, net: Addresses) -> None:
        """253 characters that differ in the last, in as many policies as would collide when cut."""
        stem = ".".join(["n" * 63] * 4)[:252]
        objects: list[Object] = []
        for n in range(9):
            name = f"{stem}{n}"
            assert len(name) == 253
            objects.append(pod(f"x/{name}", both(20 + n), f"app=p{n}"))
            objects.append(
                policy(
                    "x", name, f"app=p{n}", ingress=[{"from": [pods(f"app=p{(n + 1) % 9}")], "ports": [port(80 + n)]}]
                )
            )
        compiled = files(objects, flavour)
        rig.load(compiled, flavour)
        cases = [(a, b, n) for a in range(9) for b in range(9) if a != b for n in range(9)]
        expected = [a == (b + 1) % 9 and n == b for a, b, n in cases]
        assert passing(rig, *((net.at(20 + a), net.at(20 + b), 80 + n) for a, b, n in cases)) == expected


class TestHostBits:
    """CIDRs with host bits are the same block as their masked form: both rules count, neither replaces the other."""

    RULES = (
        {"from": [block("10.7.0.9/16", "10.7.3.77/24"), block("FD00:7::9/32")], "ports": [port(80)]},
        {"from": [block("10.7.0.0/16", "10.7.4.0/24"), block("fd00:7::/32", "fd00:7:0:1::5/64")], "ports": [port(443)]},
        {"from": [block("10.7.255.255/16"), block("fd00:0007:0::ffff/32")], "ports": [port(53, "UDP")]},
    )

    def test_lenient(self, rig: Rig, flavour: str) -> None:
        objects = [*CLUSTER, policy("x", "in", "app=web", ingress=list(self.RULES))]
        rig.load(files(objects, flavour, lenient=True), flavour)
        for source, expected in (
            ("10.7.0.1", [True, True, True]),
            ("10.7.3.1", [False, True, True]),
            ("10.7.4.1", [True, False, True]),
            ("10.8.0.1", [False, False, False]),
            ("fd00:7::1", [True, True, True]),
            ("fd00:7:0:1::1", [True, False, True]),
            ("fd00:8::1", [False, False, False]),
        ):
            web = both(WEB)[":" in source]
            packets = [Packet(source, web, proto, 1, number) for proto, number in ((TCP, 80), (TCP, 443), (UDP, 53))]
            assert (source, rig.forwarded(packets)) == (source, expected)

    def test_refused_otherwise(self, flavour: str) -> None:
        with pytest.raises(InvalidInput):
            files([*CLUSTER, policy("x", "in", "app=web", ingress=list(self.RULES))], flavour)


class TestNobody:
    """A peer or port that nothing has matches nothing; it never becomes "any"."""

    NOBODY = pytest.mark.parametrize(
        "peer",
        [
            pods("app=nobody"),
            pods("", "team=nobody"),
            pods("app=web", "kubernetes.io/metadata.name=missing"),
            pods("app=pending"),
            pods("app=agent"),
            pods("app=done"),
        ],
        ids=["no-pod", "no-namespace", "unknown-namespace", "no-address", "host-network", "succeeded"],
    )
    CLUSTER = (
        *CLUSTER,
        namespace("empty", team="none"),
        pod("x/pending", [], phase="Pending"),
        pod("x/agent", ["192.0.2.1", "2001:db8::1"], host_network=True),
        pod("x/done", both(40), phase="Succeeded"),
    )

    def everyone(self, net: Addresses) -> list[str]:
        node = "192.0.2.9" if net.family == 4 else "2001:db8::9"
        return [net.at(CLIENT), net.at(OTHER), net.at(40), net.at(99), net.away(1), node]

    @NOBODY
    def test_ingress(self, rig: Rig, flavour: str, net: Addresses, peer: Object) -> None:
        rules = [{"from": [peer]}, {"from": [peer], "ports": [port(80)]}]
        rig.load(files([*self.CLUSTER, policy("x", "in", "app=web", ingress=rules)], flavour), flavour)
        self.nothing(rig, net, [(source, net.at(WEB)) for source in self.everyone(net)])

    @NOBODY
    def test_egress(self, rig: Rig, flavour: str, net: Addresses, peer: Object) -> None:
        rules = [{"to": [peer]}, {"to": [peer], "ports": [port(80)]}]
        out = policy("x", "out", "app=web", policyTypes=["Egress"], egress=rules)
        rig.load(files([*self.CLUSTER, out], flavour), flavour)
        self.nothing(rig, net, [(net.at(WEB), destination) for destination in self.everyone(net)])

    def nothing(self, rig: Rig, net: Addresses, ends: list[tuple[str, str]]) -> None:
        icmp = ICMP if net.family == 4 else ICMPV6
        points = ((TCP, 80), (TCP, 1), (UDP, 53), (SCTP, 9), (icmp, 0), (47, 0))
        packets = [connection(*pair, *point, 1) for pair in ends for point in points]
        assert rig.forwarded(packets) == [False] * len(packets)

    def test_the_other_familys_block(self, rig: Rig, flavour: str) -> None:
        """A rule with IPv4 blocks alone says nothing about IPv6, so nothing of it is allowed; and the reverse."""
        for own, number in ((0, 1), (1, 0)):
            cidr = ("10.0.0.0/8", "fd00::/8")[own]
            rig.load(
                files([*CLUSTER, policy("x", "in", "app=web", ingress=[{"from": [block(cidr)]}])], flavour), flavour
            )
            assert passing(rig, (both(CLIENT)[own], both(WEB)[own], 80)) == [True]
            assert passing(rig, (both(CLIENT)[number], both(WEB)[number], 80)) == [False]

    def test_named_ports(self, rig: Rig, flavour: str, net: Addresses) -> None:
        """Where the destination has no port of that name and protocol, the rule matches nothing, not every port."""
        web = pod(
            "x/web", both(WEB), ports=[{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53}]
        )
        for named, allowed in ((port("missing"), []), (port("dns", "UDP"), []), (port("http"), [8080])):
            rules = policy("x", "in", "app=web", ingress=[{"ports": [named]}])
            out = policy("x", "out", "app=client", policyTypes=["Egress"], egress=[{"ports": [named]}])
            rig.load(files([web, *CLUSTER[1:], rules, out], flavour), flavour)
            points = [(proto, n) for proto in (TCP, UDP) for n in (53, 80, 8080)]
            expected = [proto == TCP and n in allowed for proto, n in points]
            for source in (net.at(OTHER), net.at(CLIENT), net.away(1)):
                assert rig.forwarded([Packet(source, net.at(WEB), p, 1, n) for p, n in points]) == expected
            # Towards other pods and addresses no such port exists.
            for far in (net.at(OTHER), net.away(1)):
                assert rig.forwarded([Packet(net.at(CLIENT), far, p, 1, n) for p, n in points]) == [False] * 6

    def test_no_pods_at_all_on_this_node(self, rig: Rig, flavour: str, net: Addresses) -> None:
        """An empty ruleset lets everything pass, and nothing is isolated by a policy of another node's pods."""
        rig.load(files([*CLUSTER, policy("x", "in", ingress=[])], flavour, node="node1"), flavour)
        assert passing(rig, (net.at(CLIENT), net.at(WEB), 80)) == [False]
        away = [pod("x/far", both(77), node="node2"), pod("x/near", both(78))]
        rig.load(files([*away, policy("x", "in", "app=far", ingress=[])], flavour, node="node1"), flavour)
        assert passing(rig, (net.at(CLIENT), net.at(77), 80), (net.at(77), net.at(78), 80)) == [True, True]


class TestReusedAddress:
    """Succeeded and Failed pods hold no address: another pod may have it already."""

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_as_a_peer(self, rig: Rig, flavour: str, net: Addresses, phase: str) -> None:
        """What the old pod was allowed, the new one is not."""
        objects = [
            pod("x/web", both(WEB)),
            pod("x/job", both(CLIENT), phase=phase),
            pod("x/intruder", both(CLIENT)),
            policy("x", "in", "app=web", ingress=[{"from": [pods("app=job")]}]),
            policy("x", "out", "app=web", policyTypes=["Egress"], egress=[{"to": [pods("app=job")]}]),
        ]
        rig.load(files(objects, flavour), flavour)
        web, intruder = net.at(WEB), net.at(CLIENT)
        assert passing(rig, (intruder, web, 80), (web, intruder, 80)) == [False, False]
        rig.load(
            files([*objects, policy("x", "in-new", "app=web", ingress=[{"from": [pods("app=intruder")]}])], flavour),
            flavour,
        )
        assert passing(rig, (intruder, web, 80), (web, intruder, 80)) == [True, False]

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_as_a_subject(self, rig: Rig, flavour: str, net: Addresses, phase: str) -> None:
        """What isolated the old pod does not isolate the new one, nor does it open what isolates that."""
        old = [pod("x/job", both(CLIENT), phase=phase, node="node1"), pod("x/web", both(CLIENT))]
        closed = policy("x", "closed", "app=job", ingress=[])
        rig.load(files([*old, closed], flavour), flavour)
        assert passing(rig, (net.away(1), net.at(CLIENT), 80)) == [True]
        rules = [policy("x", "open", "app=job", ingress=[{}]), policy("x", "closed", "app=web", ingress=[])]
        rig.load(files([*old, *rules], flavour), flavour)
        assert passing(rig, (net.away(1), net.at(CLIENT), 80)) == [False]

    def test_named_port_of_the_old_pod(self, rig: Rig, flavour: str, net: Addresses) -> None:
        objects = [
            pod("x/job", both(CLIENT), phase="Succeeded", ports=[{"name": "http", "containerPort": 1}]),
            pod("x/web", both(CLIENT), ports=[{"name": "http", "containerPort": 2}]),
            policy("x", "in", ingress=[{"ports": [port("http")]}]),
        ]
        rig.load(files(objects, flavour), flavour)
        assert passing(rig, *((net.away(1), net.at(CLIENT), n) for n in (1, 2))) == [False, True]

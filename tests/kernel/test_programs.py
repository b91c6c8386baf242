"""Policy and node blocks of programs, by what becomes of packets: every verb, every end, each hook, beside policies."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from compiler.net import TCP, UDP, Family
from compiler.resolve.failsafe import Session
from compiler.semantics.packet import ICMP, ICMPV6, Packet
from tests.kernel.compiled import block, files, node, pod, policy, port
from tests.kernel.nflog import Listener
from tests.kernel.rig import NODE, Rig
from tests.kernel.router import SERVER, Routed, outcome, told
from tests.kernel.sniff import header

pytestmark = pytest.mark.kernel

#: By the number of the family: pods of this node and another one, and strangers.
A, B = ("10.1.0.2", "fd00::2"), ("10.1.0.3", "fd00::3")
FAR = ("10.1.1.2", "fd00:1::2")
MATE = ("192.0.2.77", "2001:db8:ffff::77")
WORLD, OTHER = ("198.51.100.7", "2001:db8:1::7"), ("203.0.113.9", "2001:db8:2::9")
CLUSTER = [
    pod("shop/a", A, ports=[{"name": "http", "containerPort": 8080}]),
    pod("shop/b", B, ports=[{"name": "http", "containerPort": 9090}]),
    pod("shop/far", FAR, node="node2"),
    node("node1", NODE),
    node("node2", MATE),
]
SETS = "".join(f"set {name} = {{ {ips[0]}, {ips[1]} }}\n" for name, ips in {"world": WORLD, "other": OTHER}.items())


def packets(source: Sequence[str], target: Sequence[str], number: int, proto: int = TCP) -> list[Packet]:
    """One of each family, to the port `number`."""
    return [Packet(source[n], target[n], proto, 3000 + number % 1000, number) for n in (0, 1)]


def both(found: Sequence[bool]) -> bool:
    """What is the same for both families."""
    one, other = found
    assert one is other
    return one


class Passing:
    """Asks the rig for one kind of connection in both families."""

    def __init__(
        self, rig: Rig, flavour: str, program: str, *policies: object, failsafe: bool | Sequence[Session] = False
    ) -> None:
        self.rig = rig
        text = SETS + program
        objects = [*CLUSTER, *policies]
        rig.load(files(objects, flavour, program=text, failsafe=failsafe), flavour)  # type: ignore[arg-type]

    def forwarded(self, source: Sequence[str], target: Sequence[str], number: int, proto: int = TCP) -> bool:
        return both(self.rig.forwarded(packets(source, target, number, proto)))

    def delivered(self, source: Sequence[str], number: int, proto: int = TCP) -> bool:
        return both(self.rig.delivered(packets(source, NODE, number, proto)))

    def sent(self, source: Sequence[str], target: Sequence[str], number: int, proto: int = TCP) -> bool:
        return both(self.rig.sent(packets(source, target, number, proto)))


DENY_ALL = policy("shop", "deny-all", policyTypes=["Ingress", "Egress"])
WORLD_81 = policy(
    "shop",
    "world",
    policyTypes=["Ingress"],
    ingress=[{"from": [block("0.0.0.0/0"), block("::/0")], "ports": [port(n) for n in (81, 82, 83)]}],
)


def test_the_first_match_decides(rig: Rig, flavour: str) -> None:
    """Across blocks by priority, then name; allow and deny in front of NetworkPolicies, pass and no match behind."""
    net = Passing(
        rig,
        flavour,
        """
        policy z priority 2 { deny any -> pods : tcp/80-82 + udp/53 }
        policy c priority 1 { pass any -> pods : tcp/82-83 deny any -> pods : tcp/82 }
        policy b priority 1 { allow world -> pods : tcp/80,84 deny any -> pods : tcp/84 }
        """,
        WORLD_81,
    )
    assert net.forwarded(WORLD, A, 80), "allowed by b, which no NetworkPolicy does"
    assert not net.forwarded(OTHER, A, 80), "denied by z"
    assert not net.forwarded(WORLD, A, 81), "denied by z, whatever the NetworkPolicy says"
    assert net.forwarded(WORLD, A, 82), "passed by c, and the NetworkPolicy allows it"
    assert net.forwarded(WORLD, A, 83)
    assert net.forwarded(WORLD, A, 84)
    assert not net.forwarded(OTHER, A, 84)
    assert not net.forwarded(WORLD, A, 85), "what no block is about: the NetworkPolicy"
    assert not net.forwarded(WORLD, A, 53, UDP)
    assert net.forwarded(WORLD, FAR, 85), "a pod of another node is not for this node's policies"
    assert not net.forwarded(OTHER, FAR, 80), "blocks are about all that is forwarded"
    assert net.forwarded(WORLD, OTHER, 80), "a router's transit"


def test_interfaces(rig: Rig, flavour: str) -> None:
    """What is forwarded comes in by tin and leaves by tout."""
    net = Passing(
        rig,
        flavour,
        """
        policy p {
          deny iface tin    -> any         : tcp/1
          deny iface tout   -> any         : tcp/2
          deny any          -> iface tout  : tcp/3
          deny any          -> iface tin   : tcp/4
          deny iface ti*    -> iface (eth0, to*) : tcp/5
          deny any except iface tin -> any : tcp/6
          deny any except iface x*  -> any except iface eth0 : tcp/7
          deny iface t* except iface tin -> any : tcp/8
          deny iface tin and world -> any  : tcp/9
          allow any except iface x0 -> any : tcp/10
          deny any -> any                  : tcp/10-11
        }
        node {
          deny iface tin -> self : tcp/1
          deny iface lo -> self : tcp/2
          deny any -> self and iface tin : tcp/3
          deny self -> iface tout : tcp/1
          deny self -> iface tin : tcp/2
          deny self and iface tout -> any : tcp/3
        }
        """,
    )
    denied = {n: not net.forwarded(WORLD, OTHER, n) for n in range(1, 13)}
    assert [n for n, is_denied in denied.items() if is_denied] == [1, 3, 5, 7, 9, 11]
    assert net.forwarded(OTHER, WORLD, 9)
    assert [n for n in range(1, 4) if not net.delivered(WORLD, n)] == [1]
    assert [n for n in range(1, 4) if not net.sent(NODE, WORLD, n)] == [1]


def test_ends(rig: Rig, flavour: str) -> None:
    net = Passing(
        rig,
        flavour,
        """
        set many = { 203.0.113.0/24 except 203.0.113.9, 198.51.100.0/25 except { 198.51.100.7, 198.51.100.64/26 },
                     10.9.0.1, 10.9.0.3, 10.9.0.5-10.9.0.7, 10.9.0.9, 2001:db8:2::/64 except 2001:db8:2::9,
                     2001:db8:1::/120 except 2001:db8:1::7, fd09::1, fd09::3, fd09::5, fd09::9 }
        policy p {
          deny pods                  -> world : tcp/1
          deny pods(app=b)           -> world : tcp/2
          deny any                   -> nodes : tcp/3
          deny many                  -> any   : tcp/4
          deny any                   -> many  : tcp/5
          deny any except many       -> any   : tcp/6
          deny any                   -> world : tcp/7 unless from pods
          deny world                 -> pods  : tcp/http
          deny other                 -> pods(app=b) : tcp/http
          deny pods(app in (a, far)) and 10.1.0.0/16 -> world : tcp/8
        }
        """,
    )
    assert [net.forwarded(who, WORLD, 1) for who in (A, FAR, OTHER)] == [False, False, True]
    assert [net.forwarded(who, WORLD, 2) for who in (A, B)] == [True, False]
    assert [net.forwarded(WORLD, who, 3) for who in (MATE, A)] == [False, True]
    inside, cut = ("203.0.113.8", "2001:db8:2::8"), [WORLD, OTHER, ("198.51.100.65", "fd09::2")]
    for there in (inside, ("10.9.0.6", "fd09::5")):
        assert [net.forwarded(there, WORLD, n) for n in (4, 6)] == [False, True]
        assert not net.forwarded(WORLD, there, 5)
    for there in cut:
        assert [net.forwarded(there, WORLD, n) for n in (4, 6)] == [True, False]
        assert net.forwarded(WORLD, there, 5)
    assert [net.forwarded(who, WORLD, 7) for who in (A, OTHER)] == [True, False]
    assert [net.forwarded(WORLD, who, n) for who in (A, B) for n in (8080, 9090)] == [False, True, True, False]
    assert [net.forwarded(OTHER, who, n) for who in (A, B) for n in (8080, 9090)] == [True, True, True, False]
    assert rig.forwarded(packets(A, WORLD, 8)) == [False, True], "of IPv4 alone"


def test_ports_and_protocols(rig: Rig, flavour: str) -> None:
    many = ",".join(str(n) for n in range(1001, 1041, 2))
    net = Passing(
        rig,
        flavour,
        f"""
        service some = tcp/{many} + udp/{many} + tcp/2000-2010,2020-2030
        policy p {{
          deny any -> other : some + sctp + icmp/echo-request + icmpv6/echo-request
          deny any -> world : gre + proto/253
        }}
        """,
    )
    for proto in (TCP, UDP):
        assert [net.forwarded(WORLD, OTHER, n, proto) for n in (1001, 1002, 1039, 1041)] == [False, True, False, True]
    assert [net.forwarded(WORLD, OTHER, n) for n in (1999, 2000, 2010, 2011, 2025)] == [True, False, False, True, False]
    assert not net.forwarded(WORLD, OTHER, 5, 132)
    pings = [Packet(WORLD[n], OTHER[n], proto, 7) for n, proto in ((0, ICMP), (1, ICMPV6))]
    assert rig.forwarded(pings) == [False, False]
    assert [net.forwarded(OTHER, WORLD, 0, proto) for proto in (47, 253, 50)] == [False, False, True]


def test_pods_and_their_own_node(rig: Rig, flavour: str) -> None:
    """INPUT: blocks for the pods of the node alone, then their egress policies, then the node's list, for all."""
    net = Passing(
        rig,
        flavour,
        """
        policy p {
          allow pods -> any : tcp/1,5
          deny  any  -> any : tcp/2
        }
        node {
          deny any -> self : tcp/5-6
          allow world -> self : tcp/7
          reject any -> self : tcp/7
        }
        """,
        DENY_ALL,
    )
    assert net.delivered(A, 1), "allowed by the block, and no egress policy is asked"
    assert not net.delivered(A, 2)
    assert not net.delivered(A, 3), "no egress is allowed"
    assert not net.delivered(A, 5), "an allow of a block leads to the node's list"
    assert [net.delivered(WORLD, n) for n in (1, 2, 5, 6, 7)] == [True, True, False, False, True]
    assert not net.delivered(OTHER, 7)
    assert net.delivered(FAR, 2), "a pod of another node is anybody here"


def test_what_the_node_sends(rig: Rig, flavour: str) -> None:
    """OUTPUT: the node's own packets are for its list alone; blocks are asked of those with a borrowed address."""
    net = Passing(
        rig,
        flavour,
        """
        policy p { deny any -> world : tcp/1-2 allow pods -> any : tcp/4 }
        node {
          deny self -> world : tcp/2-4
          deny self -> any except world : tcp/9
        }
        """,
        DENY_ALL,
    )
    assert [net.sent(NODE, WORLD, n) for n in range(1, 6)] == [True, False, False, False, True]
    assert [net.sent(NODE, OTHER, n) for n in (2, 9)] == [True, False]
    assert net.sent(NODE, A, 5), "the node reaches its pods"
    assert not net.sent(A, WORLD, 1)
    assert not net.sent(A, OTHER, 5), "the egress policy of the pod"
    assert net.sent(A, OTHER, 4)


def test_what_nothing_denies(rig: Rig, flavour: str) -> None:
    """Replies; a pod's way to itself, also of pods that no policy selects; neighbour discovery."""
    program = "policy p { allow world -> pods : tcp/80 reject any -> any with icmp-admin-prohibited }"
    net = Passing(rig, flavour, program)
    assert net.forwarded(A, A, 1)
    assert not net.forwarded(A, B, 1)
    for n in (0, 1):
        asked = Packet(WORLD[n], A[n], TCP, 4444, 80)
        answer = Packet(A[n], WORLD[n], TCP, 80, 4444)
        assert rig.exchange([asked, answer]) == [True, True]
        assert rig.exchange([Packet(A[n], WORLD[n], TCP, 81, 4445)]) == [False]
    discovery = [Packet(A[1], NODE[1], ICMPV6, icmp_type=kind, hop_limit=255) for kind in (134, 135, 136)]
    assert rig.delivered(discovery) == [False, True, True]


def test_logs(rig: Rig, flavour: str) -> None:
    """Of every verb, with its prefix, and no more than the limit; the verdict is the same."""
    program = """
    policy p {
      allow  world -> any : tcp/1 log "one "
      deny   world -> any : tcp/2 log "two " limit 1/hour burst 3
      pass   world -> any : tcp/3 log "three "
      reject world -> any : tcp/4 log
    }
    node { deny any -> self : tcp/5 log "five " }
    """
    net = Passing(rig, flavour, program)
    with Listener(rig.namespace, 0) as log:

        def heard() -> list[tuple[str, str, int]]:
            found = [(message.prefix, header(message.payload)) for message in log.messages()]
            return [(prefix, seen.source, seen.ports[1]) for prefix, seen in found]

        for number, prefix, passed in ((1, "one ", True), (3, "three ", True), (4, "", False)):
            assert net.forwarded(WORLD, OTHER, number) is passed
            assert heard() == [(prefix, ip, number) for ip in WORLD]
        many = [Packet(WORLD[0], OTHER[0], TCP, 5000 + n, 2) for n in range(10)]
        assert rig.forwarded(many) == [False] * 10
        assert heard() == [("two ", WORLD[0], 2)] * 3
        assert not net.delivered(WORLD, 5)
        assert heard() == [("five ", ip, 5) for ip in WORLD]
        assert net.forwarded(OTHER, WORLD, 1)
        assert heard() == []


LOCKED = "node { deny any -> self deny self -> any }"


def test_the_failsafe(rig: Rig, flavour: str) -> None:
    net = Passing(rig, flavour, LOCKED, failsafe=True)
    assert [net.delivered(WORLD, n) for n in (22, 6443, 2379, 80)] == [True, True, False, False]
    assert [net.delivered(MATE, n) for n in (2379, 2380, 2381)] == [True, True, False]
    assert [net.delivered(WORLD, n, UDP) for n in (67, 68, 546, 53)] == [True, True, True, False]
    assert [net.sent(NODE, WORLD, n) for n in (53, 6443, 22)] == [True, True, False]
    assert [net.sent(NODE, WORLD, n, UDP) for n in (53, 67, 69)] == [True, True, False]
    discovery = [Packet(WORLD[1], NODE[1], ICMPV6, icmp_type=kind, hop_limit=255) for kind in (133, 134, 135, 136, 137)]
    assert rig.delivered(discovery) == [True, True, True, True, False]


def test_the_failsafe_hears_whom_its_author_lets_in(rig: Rig, flavour: str) -> None:
    """What the list allows to some is not opened to all, but for the session's own client."""
    program = "node { allow other -> self : tcp/22  allow self -> other : udp/53  deny any -> self  deny self -> any }"
    sessions = [Session(ip_address(ip), 22) for ip in MATE]
    net = Passing(rig, flavour, program, failsafe=sessions)
    assert [net.delivered(who, 22) for who in (OTHER, WORLD, MATE)] == [True, False, True]
    assert [net.delivered(who, 6443) for who in (OTHER, WORLD, MATE)] == [True, True, True]
    assert [net.sent(NODE, who, 53, UDP) for who in (OTHER, WORLD)] == [True, False]


def test_without_the_failsafe(rig: Rig, flavour: str) -> None:
    net = Passing(rig, flavour, LOCKED)
    assert [net.delivered(WORLD, n) for n in (22, 6443)] == [False, False]
    assert [net.sent(NODE, WORLD, n) for n in (53, 6443)] == [False, False]
    assert rig.delivered([Packet(WORLD[1], NODE[1], ICMPV6, icmp_type=135, hop_limit=255)]) == [False]


def test_a_family_alone(rig: Rig, flavour: str) -> None:
    program = (
        SETS + "policy p { deny any -> other : tcp/1 reject any -> any : tcp/2 } node { deny any -> self : tcp/1 }"
    )
    for n, family in enumerate(Family):
        rig.reset()
        rig.load(files(CLUSTER, flavour, families=(family,), program=program), flavour)
        expected = [n == 1, n == 0]
        for number in (1, 2):
            assert rig.forwarded(packets(WORLD, OTHER, number)) == expected
        assert rig.delivered(packets(WORLD, NODE, 1)) == expected


#: What a datagram hears, of IPv4 and IPv6: by RFC 7915, 4.2, the nearest where IPv6 has no such answer.
HEARD = {
    "": ((3, 3), (1, 4)),
    "with icmp-host-unreachable": ((3, 1), (1, 3)),
    "with icmp-net-unreachable": ((3, 0), (1, 0)),
    "with icmp-admin-prohibited": ((3, 13), (1, 1)),
    "with icmp-proto-unreachable": ((3, 2), (1, 4)),
    "with icmp-host-prohibited": ((3, 10), (1, 1)),
    "with icmp-net-prohibited": ((3, 9), (1, 1)),
}


def test_what_a_reject_answers(net: Routed, flavour: str) -> None:
    """Real stacks on both sides; behind a machine that knows no cluster at all, and from the machine itself."""
    rules = "".join(f"reject iface in0 -> iface out0 : udp/{1000 + n} {said}\n" for n, said in enumerate(HEARD))
    own = "".join(f"reject self -> any : udp/{1000 + n} {said}\n" for n, said in enumerate(HEARD))
    program = (
        f"policy p {{ {rules} reject any -> any : tcp/80 with tcp-reset deny any -> any : tcp/81 }} node {{ {own} }}"
    )
    net.load(files([], flavour, None, program=program), flavour)
    for n, expected in enumerate(HEARD.values()):
        for family in (0, 1):
            assert told(net.client, SERVER[family], 1000 + n) == expected[family]
            assert told(net.router, SERVER[family], 1000 + n) == expected[family]
    for number in (80, 81, 82):
        net.server.listen(number)
    for address in SERVER:
        assert outcome(net.client, address, 80) == 111, "ECONNREFUSED"
        assert outcome(net.client, address, 81) is None
        assert outcome(net.client, address, 82) == 0

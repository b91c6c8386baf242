"""Which lines stand in front of a node's list: those that some rule of it would deny, and no others."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from compiler.net import Family
from compiler.resolve.ends import Ends
from compiler.resolve.failsafe import Session, failsafe
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import Node
from compiler.resources.language import Rule
from compiler.snapshot import build
from compiler.sources.language import load
from tests.compiler.programs import every_rule

ENDS = Ends(Inventory(build(nodes=[Node("n1", ips=("192.0.2.1",)), Node("n2", ips=("192.0.2.2",))])), "n1")
LO, SSH, API, ETCD = (
    "iface lo -> self",
    "any -> self : tcp/22",
    "any -> self : tcp/6443",
    "nodes -> self : tcp/2379-2380",
)
SERVER, CLIENT = "any -> self : udp/67,547", "any -> self : udp/68,546"
NEIGHBOURS = "any -> self : icmpv6/133,134,135,136"
TO_LO, DNS, TO_API = "self -> iface lo", "self -> any : udp/53 + tcp/53", "self -> any : tcp/6443"
TO_DHCP = [f"self -> any : udp/{ports}" for ports in ("67,547", "68,546")]
INWARD, OUTWARD = [LO, SSH, API, ETCD, SERVER, CLIENT, NEIGHBOURS], [TO_LO, DNS, TO_API, *TO_DHCP]


def rules(text: str) -> tuple[Rule, ...]:
    return tuple(every_rule(load([("node.np", f"node {{ {text} }}".encode())], lambda _, __: "nothing is there").node))


def lines(text: str, *ssh: Session, families: tuple[Family, ...] = tuple(Family)) -> list[str]:
    found = failsafe(rules(text), ENDS, families, ssh)
    assert all(line.verb == "allow" for line in found)
    return [line.text.removeprefix("allow ").removesuffix("  # failsafe") for line in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("allow any -> self pass self -> any", []),
        ("deny any -> self", INWARD),
        ("reject self -> any", OUTWARD),
        ("deny any -> self deny self -> any", [*INWARD, *OUTWARD]),
        ("deny iface eth0 -> self", INWARD[1:]),
        ("deny iface eth* -> self", INWARD[1:]),
        ("deny any except iface l* -> self", INWARD[1:]),
        ("deny iface l* -> self", INWARD),
        ("deny any -> self unless from iface lo", INWARD[1:]),
        ("deny any -> self : tcp", [LO, SSH, API, ETCD]),
        ("deny any -> self : tcp/2380", [LO, ETCD]),
        ("deny 192.0.2.2 -> self : tcp/2380", [LO, ETCD]),
        ("deny 192.0.2.3 -> self : tcp/2380", [LO]),
        ("deny any -> self : tcp/80-81", [LO]),
        ("deny any -> self : udp/68", [LO, CLIENT]),
        ("deny any -> self : udp/1-67", [LO, SERVER]),
        ("deny any -> self : icmpv6", [LO, NEIGHBOURS]),
        ("deny any -> self : icmpv6/137", [LO]),
        ("deny 192.0.2.0/24 -> self", INWARD[:6]),
        ("deny self -> 192.0.2.0/24 : udp", [TO_LO, DNS, *TO_DHCP]),
        ("deny self -> iface eth0 : tcp/53", [DNS]),
    ],
)
def test_only_what_would_be_denied(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


@pytest.mark.parametrize(
    ("allowed", "left_out"),
    [
        ("allow 192.0.2.9 -> self : tcp/22", [SSH]),
        ("allow any -> self : tcp/1-2379", [SSH, ETCD]),
        ("pass iface eth0 -> self : tcp", [SSH, API, ETCD]),
        ("allow 192.0.2.9 -> self", [SSH, API, ETCD]),
        ("allow 192.0.2.9 -> self : udp/67", [SERVER]),
        ("allow fe80::/10 -> self : udp", [SERVER, CLIENT]),
        ("allow fe80::/10 -> self : icmpv6", []),
        ("allow iface lo -> self : tcp/80", []),
        ("allow 192.0.2.9 -> self : tcp/22 unless from 192.0.2.0/24", []),
        ("allow pods -> self : tcp/22", []),
        ("allow nodes -> self : tcp/2380", [ETCD]),
        ("allow self -> 192.0.2.53 : udp/53", [DNS]),
        ("allow self -> any : tcp/6443", [TO_API]),
        ("allow self -> 192.0.2.53", [DNS, TO_API]),
        ("deny 192.0.2.9 -> self : tcp/22", []),
    ],
)
def test_whoever_says_who_may_is_heard(allowed: str, left_out: list[str]) -> None:
    """To be asked by everybody would void it. DHCP is not meant by rules without ports, neighbours and lo by none."""
    found = lines(f"{allowed} deny any -> self deny self -> any")
    assert found == [line for line in (*INWARD, *OUTWARD) if line not in left_out]


HERE, ELSEWHERE = Session(ip_address("192.0.2.7"), 2222), Session(ip_address("2001:db8::7"), 22)


def test_the_session_of_the_author() -> None:
    """Its port is one of SSH; where that is not open to everybody, it is to the session's own client."""
    assert lines("deny any -> self : tcp/1-9999", HERE) == [LO, SSH, "any -> self : tcp/2222", API, ETCD]
    text = "allow 10.0.0.1 -> self : tcp/22,2222 deny any -> self"
    for session, line in ((HERE, "192.0.2.7 -> self : tcp/2222"), (ELSEWHERE, "2001:db8::7 -> self : tcp/22")):
        assert lines(text, session) == [LO, API, ETCD, SERVER, CLIENT, NEIGHBOURS, line]
    assert lines("allow 10.0.0.1 -> self : tcp/22 deny 10.0.0.0/8 -> self : tcp/22", HERE, ELSEWHERE) == [LO]
    assert lines("allow 10.0.0.1 -> self : tcp/22 deny any -> self : tcp/22", ELSEWHERE, families=(Family.IPV4,)) == [
        LO
    ]


def test_one_family() -> None:
    assert lines("deny any -> self", families=(Family.IPV4,)) == INWARD[:6]
    assert lines("deny 2001:db8::/32 -> self", families=(Family.IPV4,)) == []

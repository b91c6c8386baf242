"""Which lines stand in front of a node's list: those that some rule of it would deny, and no others."""

from __future__ import annotations

import pytest

from compiler.net import Family
from compiler.resolve.ends import Ends
from compiler.resolve.failsafe import failsafe
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import Node
from compiler.resources.language import Rule, every_rule
from compiler.snapshot import build
from compiler.sources.language import load

ENDS = Ends(Inventory(build(nodes=[Node("n1", ips=("192.0.2.1",)), Node("n2", ips=("192.0.2.2",))])), "n1")
LO, SSH, API, ETCD = (
    "iface lo -> self",
    "any -> self : tcp/22",
    "any -> self : tcp/6443",
    "nodes -> self : tcp/2379-2380",
)
DHCP, NEIGHBOURS = "any -> self : udp/67-68,546-547", "any -> self : icmpv6/133,134,135,136"
TO_LO, DNS, TO_API = "self -> iface lo", "self -> any : udp/53 + tcp/53", "self -> any : tcp/6443"
TO_DHCP = "self -> any : udp/67-68,546-547"
INWARD, OUTWARD = [LO, SSH, API, ETCD, DHCP, NEIGHBOURS], [TO_LO, DNS, TO_API, TO_DHCP]


def rules(text: str) -> tuple[Rule, ...]:
    return tuple(every_rule(load([("node.np", f"node {{ {text} }}".encode())], lambda _, __: "nothing is there").node))


def lines(text: str, *ssh: int, families: tuple[Family, ...] = tuple(Family)) -> list[str]:
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
        ("deny any -> self : udp/68", [LO, DHCP]),
        ("deny any -> self : icmpv6", [LO, NEIGHBOURS]),
        ("deny any -> self : icmpv6/137", [LO]),
        ("deny 192.0.2.0/24 -> self", INWARD[:5]),
        ("deny self -> 192.0.2.0/24 : udp", [TO_LO, DNS, TO_DHCP]),
        ("deny self -> iface eth0 : tcp/53", [DNS]),
    ],
)
def test_only_what_would_be_denied(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


def test_other_ports_of_ssh() -> None:
    assert lines("deny any -> self : tcp/1-9999", 2222, 22) == [LO, SSH, "any -> self : tcp/2222", API, ETCD]


def test_one_family() -> None:
    assert lines("deny any -> self", families=(Family.IPV4,)) == INWARD[:5]
    assert lines("deny 2001:db8::/32 -> self", families=(Family.IPV4,)) == []

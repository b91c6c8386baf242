"""What raw never drops: lines that some drop would meet, and no others."""

from __future__ import annotations

from compiler.net import Family
from compiler.resolve.ends import Ends
from compiler.resolve.exempt import exempt
from compiler.resolve.inventory import Inventory
from compiler.snapshot import build
from compiler.sources import language


def lines(text: str, families: tuple[Family, ...] = tuple(Family)) -> list[str]:
    program = language.load([("p.np", f"raw {{ {text} }}".encode())], lambda _, __: "nothing is there")
    found = exempt(program, Ends(Inventory(build()), None), families)
    return [one.text.removeprefix("allow any -> self : ").partition("  #")[0] for one in found]


def test_drops_from_an_address_meet_all_but_what_comes_by_lo() -> None:
    """Nodes are nobody here, so etcd of nodes is not among them."""
    found = lines("drop from 10.0.0.0/8")
    assert found[:2] == ["tcp/22", "tcp/6443"]
    assert found[-6:] == [
        "udp, source port 53",
        "tcp, source port 53",
        "tcp, source port 6443",
        "tcp, source port 2379-2380",
        "udp, source port 67",
        "udp, source port 547",
    ]
    assert not any("iface" in one for one in found)


def test_loopback_where_a_drop_names_it() -> None:
    assert "allow iface lo -> self" in lines("drop from iface lo")
    assert "allow iface lo -> self" not in lines("drop from iface eth0")


def test_ports() -> None:
    assert lines("drop any -> any : tcp/20-22") == [
        "tcp/22",
        "tcp, source port 53",
        "tcp, source port 6443",
        "tcp, source port 2379-2380",
    ]
    assert lines("drop any -> any : sctp") == []
    assert lines("drop any -> any : icmpv6/135") == ["icmpv6/133,134,135,136"]
    assert lines("drop any -> any : icmpv6/135", (Family.IPV4,)) == []


def test_what_is_not_dropped_is_met_by_nothing() -> None:
    assert lines("notrack any -> any") == []
    assert lines("drop self -> iface eth0 : sctp/22") == []

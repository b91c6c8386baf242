"""Who uses what on a node, as it is found in a real kernel; and from one back end to another under traffic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from compiler.net import Family
from enforcer.dataplane import Actual, Dataplane
from enforcer.iptables.iptables import Iptables, Variant
from enforcer.move import leave
from enforcer.nftables.nft import Nft
from enforcer.node.agents import findings
from enforcer.node.choose import LEGACY, NFT_VARIANT, NFTABLES, Choice, Use, choose
from enforcer.plan import whole
from tests.kernel.compiled import files
from tests.kernel.namespace import Namespace
from tests.kernel.rig import Rig
from tests.kernel.test_reload import BEFORE, stream

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A kernel that nobody has asked for a table; the test runs there."""
    fresh = Namespace()
    with fresh:
        yield fresh
    fresh.close()


def run(node: Namespace, *commands: str) -> None:
    for command in commands:
        node.run(*command.split())


def test_nobody_is_there(node: Namespace) -> None:
    found = findings()
    assert (found.missing, found.uses, found.ours) == ({}, (), frozenset())
    assert findings() == found, "looking changes nothing"
    assert choose(found).backend == NFTABLES


def test_what_keeps_cut_connections_from_going_on_is_nobodys(node: Namespace) -> None:
    run(node, "iptables-legacy -t mangle -N CUT-NETPOLC", "iptables-legacy -t mangle -A FORWARD -j CUT-NETPOLC")
    run(node, "nft add table inet netpolc-cut")
    found = findings()
    assert (found.uses, found.ours) == ((), frozenset())


def test_empty_tables_are_nobodys(node: Namespace) -> None:
    run(node, "iptables-legacy -t nat -S", "ip6tables-legacy -S", "iptables-nft -t nat -S", "iptables-nft -A INPUT")
    run(node, "iptables-nft -D INPUT")
    assert findings().uses == ()


@pytest.mark.parametrize(("variant", "backend"), [("legacy", LEGACY), ("nft", NFT_VARIANT)])
def test_agents_by_their_chains(node: Namespace, variant: str, backend: str) -> None:
    for chain, table in (
        ("KUBE-SERVICES", "nat"),
        ("KUBE-IPTABLES-HINT", "mangle"),
        ("KUBE-ROUTER-FORWARD", "filter"),
        ("cali-FORWARD", "filter"),
        ("DOCKER-USER", "filter"),
        ("ufw-before-input", "filter"),
        ("mine", "filter"),
    ):
        run(node, f"iptables-{variant} -t {table} -N {chain}")
    run(node, f"ip6tables-{variant} -A INPUT -s fd00::1 -j DROP")
    found = findings()
    assert {use.backend for use in found.uses} == {backend}
    assert {use.who: use.sign for use in found.uses if use.sign != "rules in INPUT of ip6tables filter"} == {
        "kube-proxy": "KUBE-SERVICES in iptables nat",
        "the kubelet": "KUBE-IPTABLES-HINT in iptables mangle",
        "kube-router": "KUBE-ROUTER-FORWARD in iptables filter",
        "Calico": "cali-FORWARD in iptables filter",
        "Docker": "DOCKER-USER in iptables filter",
        "ufw": "ufw-before-input in iptables filter",
        "somebody": "mine in iptables filter",
    }
    assert Use(backend, "somebody", "rules in INPUT of ip6tables filter") in found.uses
    assert choose(found).backend == (LEGACY if variant == "legacy" else NFTABLES)


def test_agents_by_their_tables(node: Namespace) -> None:
    run(node, "nft add table inet firewalld", "nft add table ip kube-proxy", "nft add table ip6 strange")
    assert set(findings().uses) == {
        Use(NFTABLES, "firewalld", "table inet firewalld"),
        Use(NFTABLES, "kube-proxy", "table ip kube-proxy"),
        Use(NFTABLES, "somebody", "table ip6 strange"),
    }


def test_what_is_not_installed_is_told_by_name(
    node: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in ("iptables-legacy-restore", "ip6tables-legacy-restore", "iptables-nft-restore"):
        (tmp_path / tool).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert findings().missing == {
        LEGACY: "ipset is not installed",
        NFT_VARIANT: "ip6tables-nft-restore is not installed; ipset is not installed",
    }
    with pytest.raises(OSError, match="ip6tables-nft-restore is not installed"):
        Iptables(Variant.NFT)
    with pytest.raises(OSError, match="ipset is not installed"):
        Iptables(Variant.NFT, [Family.IPV4])


FLAVOURS = {NFTABLES: "nftables", LEGACY: "iptables-legacy", NFT_VARIANT: "iptables-nft"}


def opened(name: str) -> Dataplane:
    return Nft() if name == NFTABLES else Iptables(Variant(name.removeprefix("iptables-")))


def test_from_each_to_each(rig: Rig) -> None:
    """There is no moment in which nobody denies, and never one in which somebody denies what both allow."""
    way = [NFTABLES, LEGACY, NFT_VARIANT, LEGACY, NFTABLES, NFT_VARIANT, NFTABLES]
    with rig.namespace:
        first = opened(way[0])
        first.apply(whole(files(BEFORE, FLAVOURS[way[0]])))
        first.close()
        with stream(rig) as running:
            for old, new in pairwise(way):
                assert findings().ours == {old}
                dataplane = opened(new)
                steps = whole(files(BEFORE, FLAVOURS[new]))
                dataplane.apply(steps)
                wanted = dataplane.read()
                assert dataplane.sweep(wanted) in ([], ())
                assert findings().ours == {old, new}
                leave(Choice(new, "", leave=(old,)), opened)
                assert findings().ours == {new}
                assert dataplane.read() == wanted
                dataplane.close()
        assert (dict(running.lost), dict(running.leaked)) == ({}, {})
        assert running.sent > 1000
        last = opened(way[-1])
        last.remove()
        assert last.read() == Actual()
        last.close()
        assert rig.namespace.run("ipset", "list", "-n") == ""

"""Which back end a node gets, from what was seen on it."""

from __future__ import annotations

import pytest

from enforcer.node.choose import LEGACY, NFT_VARIANT, NFTABLES, Findings, Impossible, Use, choose

PROXY_LEGACY = Use(LEGACY, "kube-proxy", "KUBE-SERVICES in iptables nat")
PROXY_NFT = Use(NFT_VARIANT, "kube-proxy", "KUBE-SERVICES in iptables nat")
FIREWALLD = Use(NFTABLES, "firewalld", "table inet firewalld")
DOCKER = Use(LEGACY, "Docker", "DOCKER in iptables filter")
NO_LIBRARY = {NFTABLES: "libnftables.so.1: cannot open shared object file"}
NO_KERNEL = {NFTABLES: "the kernel has no nf_tables", NFT_VARIANT: "the kernel has no nf_tables"}


@pytest.mark.parametrize(
    ("found", "backend"),
    [
        (Findings(), NFTABLES),
        (Findings(uses=(PROXY_NFT,)), NFTABLES),
        (Findings(uses=(FIREWALLD,)), NFTABLES),
        (Findings(uses=(PROXY_LEGACY, DOCKER)), LEGACY),
        (Findings(uses=(PROXY_LEGACY, FIREWALLD)), NFTABLES),
        (Findings(uses=(PROXY_LEGACY, PROXY_NFT)), NFTABLES),
        (Findings(NO_LIBRARY), NFT_VARIANT),
        (Findings(NO_LIBRARY, (PROXY_NFT,)), NFT_VARIANT),
        (Findings(NO_LIBRARY, (PROXY_LEGACY, FIREWALLD)), LEGACY),
        (Findings(NO_KERNEL), LEGACY),
        (Findings({LEGACY: "ipset is not installed"}, (PROXY_LEGACY,)), NFTABLES),
        (Findings(uses=(FIREWALLD,), ours=frozenset({LEGACY})), NFTABLES),
    ],
)
def test_choice(found: Findings, backend: str) -> None:
    assert choose(found).backend == backend


def test_it_says_why() -> None:
    assert choose(Findings()).why == "nothing speaks against it"
    assert choose(Findings(uses=(PROXY_LEGACY, DOCKER))).why == (
        "iptables-legacy is used by kube-proxy (KUBE-SERVICES in iptables nat), Docker (DOCKER in iptables filter), "
        "and nobody uses nf_tables"
    )
    assert choose(Findings(NO_KERNEL)).why == (
        "nftables cannot be used: the kernel has no nf_tables; iptables-nft cannot be used: the kernel has no nf_tables"
    )
    assert choose(Findings({LEGACY: "ipset is not installed"}, (DOCKER,))).why == (
        "iptables-legacy cannot be used: ipset is not installed"
    )


def test_both_variants_are_a_finding() -> None:
    (warning,) = choose(Findings(uses=(PROXY_LEGACY, DOCKER, PROXY_NFT))).warnings
    assert warning == (
        "both variants of iptables are in use: iptables-legacy is used by kube-proxy (KUBE-SERVICES in iptables nat), "
        "Docker (DOCKER in iptables filter); iptables-nft is used by kube-proxy (KUBE-SERVICES in iptables nat)"
    )
    assert choose(Findings(uses=(PROXY_LEGACY, FIREWALLD))).warnings == ()


def test_never_in_two_places() -> None:
    assert choose(Findings(ours=frozenset({NFTABLES}))).leave == ()
    assert choose(Findings(uses=(DOCKER,), ours=frozenset({NFTABLES, LEGACY}))).leave == (NFTABLES,)
    assert choose(Findings(ours=frozenset({NFT_VARIANT, LEGACY}))).leave == (LEGACY, NFT_VARIANT)


def test_what_each_lacks() -> None:
    lacking = dict.fromkeys((LEGACY, NFT_VARIANT), "ipset is not installed") | NO_LIBRARY
    with pytest.raises(Impossible) as error:
        choose(Findings(lacking))
    assert str(error.value) == (
        "nftables: libnftables.so.1: cannot open shared object file; iptables-nft: ipset is not installed; "
        "iptables-legacy: ipset is not installed"
    )

"""Loading beside the rules of others, and in vain: neither leaves a trace where it should not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from compiler.semantics.packet import TCP, Packet
from tests.kernel.compiled import files
from tests.kernel.namespace import CommandFailed
from tests.kernel.rig import FLAVOURS, Rig
from tests.kernel.test_paths import A, B
from tests.kernel.test_reload import BEFORE, NEXT, ours

pytestmark = pytest.mark.kernel

#: Rules as Docker, kube-proxy and an administrator leave them behind.
FOREIGN_IPTABLES = """
*nat
:DOCKER - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 192.0.2.9:6443
COMMIT
*filter
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -d 172.17.0.0/16 -j DOCKER
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A DOCKER-USER -s 10.1.1.12/32 -p tcp -m tcp --dport 8001 -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
COMMIT
"""
FOREIGN_NFT = """
table ip kube-proxy {
	set cluster-ips { type ipv4_addr ; elements = { 10.96.0.1, 10.96.0.10 } ; }
	chain filter-forward {
		type filter hook forward priority -110 ; policy accept ;
		ct state new ip daddr @cluster-ips reject
		ip saddr 10.1.1.12 tcp dport 8002 drop
	}
}
"""


@pytest.mark.parametrize("theirs", ["legacy", "nft"])
def test_rules_of_others_stay_and_count(rig: Rig, flavour: str, theirs: str) -> None:
    """Nothing of theirs changes, and what netpolc allows they may still drop."""
    run = rig.namespace.run
    run(f"iptables-{theirs}-restore", "--noflush", stdin=FOREIGN_IPTABLES)
    run("nft", "-f", "-", stdin=FOREIGN_NFT)
    run("ipset", "create", "others", "hash:net")

    def foreign() -> tuple[list[str], str, list[str]]:
        saved = run(f"iptables-{theirs}-save").splitlines()
        sets = [name for name in run("ipset", "list", "-n").splitlines() if not name.startswith("netpolc-")]
        kept = [line.split(" [")[0] for line in saved if "NETPOLC-" not in line and not line.startswith("#")]
        return kept, run("nft", "list", "table", "ip", "kube-proxy"), sets

    before = foreign()
    for objects in (BEFORE, NEXT, BEFORE):
        rig.load(files(objects, flavour), flavour)
        assert foreign() == before
    probes = [Packet(B[4], A[4], TCP, n, n) for n in (8000, 8001, 8002, 8003, 8011)]
    assert rig.forwarded(probes) == [True, False, False, True, False]


def broken(compiled: Mapping[str, str]) -> list[Mapping[str, str]]:
    """Variants of the files that a tool refuses, near the beginning and at the very end."""
    variants: list[Mapping[str, str]] = []
    for name, text in compiled.items():
        match name:
            case "netpolc.nft":
                wrong = ["add rule inet netpolc forward jump nowhere\n", "nonsense\n"]
                variants += [{name: text + line} for line in wrong]
                variants.append({name: text.replace("}\n", "}\nnonsense\n", 1)})
            case "ipset.save":
                variants.append({name: text + "add netpolc-missing 10.0.0.1\n"})
            case _:
                wrong = ["-A NETPOLC-FORWARD -j NOWHERE", "-A NETPOLC-FORWARD -m set --match-set netpolc-missing src"]
                variants += [{name: text.replace("\nCOMMIT", f"\n{line}\nCOMMIT")} for line in wrong]
                variants += [{name: text.replace("\nCOMMIT", "\nnonsense\nCOMMIT")}, {name: text.replace("COMMIT", "")}]
    return variants


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_load_that_fails_changes_no_rule(rig: Rig, flavour: str) -> None:
    """Of one file; the iptables files are one step each. Sets that were brought in vain are used by nothing."""
    rig.load(files(BEFORE, flavour), flavour)
    before = ours(rig, flavour).partition("create netpolc-")[0]
    variants = broken(files(NEXT, flavour))
    for variant in variants:
        try:
            rig.load(variant, flavour)
        except CommandFailed:
            refused = True
        else:
            refused = "COMMIT" not in "".join(variant.values())  # a file without it is read and has no effect
        assert refused
        assert ours(rig, flavour).partition("create netpolc-")[0] == before
    probes = [Packet(B[4], A[4], TCP, 1, n) for n in (80, 81)]
    assert rig.forwarded(probes) == [True, False]

"""`netpolc verify` beside what others have loaded: the policies are about the pod behind a service or a published port,
and nothing that drops in front of or behind a translation is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.cli.test_verify import Netpolc, given, rules  # noqa: F401 (a fixture)

#: As kube-proxy has them: a service with two endpoints, one of them a pod of ours, hairpins, a node port.
KUBE_PROXY = """*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-ONE - [0:0]
:KUBE-SEP-TWO - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-DB - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30432 -j KUBE-SVC-DB
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SEP-ONE -s 10.0.0.2/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-ONE -p tcp -m tcp -j DNAT --to-destination 10.0.0.2:5432
-A KUBE-SEP-TWO -s 10.9.0.2/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-TWO -p tcp -m tcp -j DNAT --to-destination 10.9.0.2:5432
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "shop/db cluster IP" -m tcp --dport 5432 -j KUBE-SVC-DB
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-DB ! -s 10.0.0.0/8 -d 10.96.0.10/32 -p tcp -m tcp --dport 5432 -j KUBE-MARK-MASQ
-A KUBE-SVC-DB -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-ONE
-A KUBE-SVC-DB -j KUBE-SEP-TWO
COMMIT
"""
#: As Docker has them: a published port of the node.
DOCKER = """*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 10.0.0.2/32 -d 10.0.0.2/32 -p tcp -m tcp --dport 5432 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.2:5432
COMMIT
"""
OTHERS = {"kube-proxy": KUBE_PROXY, "docker": DOCKER, "both": KUBE_PROXY + DOCKER}


def verify(folder: Path, netpolc: Netpolc, backend: str, beside: str) -> tuple[int, str]:
    (folder / "iptables-save.txt").write_text(beside)
    found = netpolc("verify", "in.yaml", "--node", "n1", *given(folder / backend), "--rules", "iptables-save.txt")
    return found.status, found.stdout + found.stderr


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
@pytest.mark.parametrize("beside", OTHERS)
def test_policies_are_about_the_translated_packet(
    rules: Path,  # noqa: F811
    netpolc: Netpolc,
    backend: str,
    beside: str,
) -> None:
    assert verify(rules, netpolc, backend, OTHERS[beside]) == (
        0,
        "equal: every IPv4 and IPv6 packet fares as the policies say\n",
    )


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        # A client of the service never gets to the pod.
        ("*raw\n-A PREROUTING -d 10.96.0.10/32 -j DROP\nCOMMIT\n", ["-> 10.96.0.10 tcp/5432", "10.0.0.2 tcp/5432"]),
        ("*mangle\n-A PREROUTING -p tcp --dport 30432 -j DROP\nCOMMIT\n", ["tcp/30432", "10.0.0.2 tcp/5432"]),
        # What is marked in front of the translation is dropped behind it.
        (
            "*mangle\n-A PREROUTING -j MARK --set-mark 0\n-A PREROUTING -d 10.96.0.10/32 -j MARK --set-mark 7\n"
            "-A FORWARD -m mark --mark 7 -j DROP\nCOMMIT\n",
            ["-> 10.96.0.10 tcp/5432", "10.0.0.2 tcp/5432", "-m mark --mark 7 -j DROP"],
        ),
        # The last chains of all see another source.
        (
            "*security\n-A FORWARD -j ACCEPT\nCOMMIT\n*mangle\n-A POSTROUTING -d 10.0.0.2/32 -j DROP\nCOMMIT\n",
            ["-> 10.0.0.2", "-A POSTROUTING -d 10.0.0.2/32 -j DROP"],
        ),
    ],
)
def test_what_drops_beyond_a_translation_is_found(
    rules: Path,  # noqa: F811
    netpolc: Netpolc,
    more: str,
    lines: list[str],
) -> None:
    for backend in ("nftables", "iptables"):
        status, text = verify(rules, netpolc, backend, KUBE_PROXY + more)
        assert status == 1
        assert all(line in text for line in lines), text


def test_translation_around_the_policies(rules: Path, netpolc: Netpolc) -> None:  # noqa: F811
    """Rules that look for the service's address, where policies mean the pod's."""
    text = (rules / "iptables" / "iptables.save").read_text()
    around = KUBE_PROXY.replace("--to-destination 10.0.0.2:5432", "--to-destination 10.0.0.2:9999")
    assert verify(rules, netpolc, "iptables", around)[0] == 0
    (rules / "iptables" / "iptables.save").write_text(
        text.replace("-A NETPOLC-FORWARD -d", "-A NETPOLC-FORWARD -p udp -d")
    )
    status, shown = verify(rules, netpolc, "iptables", around)
    assert (status, "denied" in shown) == (1, True)

"""`netpolc verify` from end to end: texts of both tools, what it answers, and what it refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run

CLUSTER = """\
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: c, image: x, ports: [{containerPort: 5432, name: pg}]}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
    ports: [{port: pg}, {port: 8000, endPort: 9000}]
"""

Netpolc = Callable[..., Run]


@pytest.fixture
def rules(netpolc: Netpolc, tmp_path: Path) -> Path:
    """A folder for each back end; the input is `in.yaml`."""
    (tmp_path / "in.yaml").write_text(CLUSTER)
    for backend in ("nftables", "iptables"):
        assert netpolc("compile", "in.yaml", "--node", "n1", "--backend", backend, "-o", backend).status == 0
    return tmp_path


def given(folder: Path) -> list[str]:
    return ["--rules", *(str(path) for path in sorted(folder.iterdir()) if not path.name.startswith("."))]


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_what_compile_wrote_is_equal(rules: Path, netpolc: Netpolc, backend: str) -> None:
    found = netpolc("verify", "in.yaml", "--node", "n1", *given(rules / backend))
    assert (found.status, found.stdout) == (0, "equal: every IPv4 and IPv6 packet fares as the policies say\n")


def test_a_folder_stands_for_its_files(rules: Path, netpolc: Netpolc) -> None:
    """Also for those of the node, where it has a folder for each."""
    assert netpolc("verify", "in.yaml", "--node", "n1", "--rules", "iptables").status == 0
    (rules / "all").mkdir()
    (rules / "iptables").rename(rules / "all/n1")
    assert netpolc("verify", "in.yaml", "--node", "n1", "--rules", "all").status == 0
    assert netpolc("verify", "in.yaml", "--rules", "all").stderr.startswith("error: all: no .nft or .save file in")


def test_a_witness_shows_both_sides(rules: Path, netpolc: Netpolc) -> None:
    text = (rules / "nftables" / "netpolc.nft").read_text()
    (rules / "bad.nft").write_text(text.replace("8000-9000 return", "8000-9001 return"))
    found = netpolc("verify", "in.yaml", "--node", "n1", "--family", "ipv4", "--rules", "bad.nft")
    assert found.status == 1
    first = found.stdout.split("\n\n")[1].splitlines()
    assert first[0] == "10.0.0.0 -> 10.0.0.2 tcp/9001 (forwarded)"
    assert first[1:3] == [
        "  policies: denied",
        "    ingress denied, since NetworkPolicies select the pod and none of their rules allows it: "
        "shop/p (in.yaml:12)",
    ]
    assert first[3] == "  rules: accepted"
    assert first[-1].endswith("tcp dport 8000-9001 return")
    assert first[-1].lstrip().startswith("bad.nft:")


def test_rules_that_lack_one_family_differ(rules: Path, netpolc: Netpolc) -> None:
    names = [part for name in ("ipset.save", "iptables.save") for part in ("--rules", f"iptables/{name}")]
    assert netpolc("verify", "in.yaml", "--node", "n1", "--family", "ipv4", *names).status == 0
    assert netpolc("verify", "in.yaml", "--node", "n1", *names).status == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --rules FILE (once or more) or --live"),
        (("--live", "--rules", "bad.nft"), "give --rules FILE (once or more) or --live"),
        (("--rules", "missing.nft"), "missing.nft: No such file or directory"),
        (("--rules", "bad.nft"), "bad.nft:1:26: error: foo is not understood here [unsupported]"),
        (("--rules", "bad.nft", "--node", "n7"), "--node n7: the input knows n1"),
    ],
)
def test_what_is_no_question_is_refused(
    rules: Path, netpolc: Netpolc, arguments: tuple[str, ...], message: str
) -> None:
    (rules / "bad.nft").write_text("table inet x { chain a { foo bar; } }\n")
    found = netpolc("verify", "in.yaml", *arguments)
    assert found.status == 2
    assert message in found.stderr


class TestPoliciesAlone:
    """Rules are proved for whoever is in their sets."""

    @pytest.fixture
    def lists(self, netpolc: Netpolc, tmp_path: Path) -> Path:
        (tmp_path / "alone.yaml").write_text(CLUSTER.split("---\n")[2])
        for backend in ("nftables", "iptables"):
            assert netpolc("compile", "alone.yaml", "--backend", backend, "-o", f"alone-{backend}").status == 0
        return tmp_path

    @pytest.mark.parametrize("backend", ["nftables", "iptables"])
    def test_what_compile_wrote_is_equal(self, lists: Path, netpolc: Netpolc, backend: str) -> None:
        found = netpolc("verify", "alone.yaml", *given(lists / f"alone-{backend}"))
        claim = (
            "equal: every IPv4 and IPv6 packet fares as the policies say, once every set holds what its comment says"
        )
        assert (found.status, found.stdout) == (0, f"{claim}\n")

    def test_a_witness_says_who_is_in_which_set(self, lists: Path, netpolc: Netpolc) -> None:
        text = (lists / "alone-nftables" / "netpolc.nft").read_text()
        (lists / "bad.nft").write_text(text.replace("8000-9000 return", "8000-9001 return"))
        found = netpolc("verify", "alone.yaml", "--family", "ipv4", "--rules", "bad.nft")
        assert found.status == 1
        first = found.stdout.split("\n\n")[1].splitlines()
        name = next(word.lstrip("@") for word in text.split() if word.startswith("@s4-appdb"))
        assert first[:6] == [
            "10.0.0.0 -> 10.0.0.2 tcp/9001 (forwarded)",
            "  10.0.0.0: no pod",
            "  10.0.0.2: a pod of namespace shop: app=db",
            f"  10.0.0.2 is in {name}",
            "  policies: denied",
            "    ingress denied, since NetworkPolicies select the pod and none of their rules allows it: "
            "shop/p (alone.yaml:1)",
        ]
        assert first[6] == "  rules: accepted"
        assert first[-1].endswith(f"ip daddr @{name} ip saddr 10.0.0.0/16 tcp dport 8000-9001 return [{name}]")

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("pods(app=db) in shop", "somebody", "the words beside the set s4-appdb"),
            ('comment "to be filled: pods(app=db) in shop" ; ', "", "is empty, and nothing beside it says who belongs"),
        ],
    )
    def test_a_set_that_nobody_can_fill_is_refused(
        self, lists: Path, netpolc: Netpolc, old: str, new: str, message: str
    ) -> None:
        text = (lists / "alone-nftables" / "netpolc.nft").read_text()
        (lists / "bad.nft").write_text(text.replace(old, new))
        found = netpolc("verify", "alone.yaml", "--rules", "bad.nft")
        assert found.status == 2
        assert message in found.stderr

    def test_rules_for_known_pods_are_no_answer(self, lists: Path, rules: Path, netpolc: Netpolc) -> None:
        found = netpolc("verify", "alone.yaml", *given(rules / "nftables"))
        assert found.status == 2
        assert "no pod with an address in the input, and these rules have no set that is to be filled" in found.stderr


def test_only_root_reads_the_rules_of_the_machine(
    rules: Path, netpolc: Netpolc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = netpolc("verify", "in.yaml", "--live")
    assert found.status == 2
    assert "only root can read the rules of this machine" in found.stderr


@pytest.mark.parametrize(("option", "other"), [((), ("--no-failsafe",)), (("--no-failsafe",), ())])
def test_programs_are_verified_as_they_were_compiled(
    netpolc: Netpolc, tmp_path: Path, option: tuple[str, ...], other: tuple[str, ...]
) -> None:
    """With the failsafe or without, and never without the program."""
    (tmp_path / "in.yaml").write_text(CLUSTER)
    (tmp_path / "edge.np").write_text("node { deny any -> self : tcp/1-1024 }\n")
    asked = ("in.yaml", "edge.np", "--node", "n1")
    assert netpolc("compile", *asked, *option, "-o", "rules").status == 0
    said = netpolc("verify", *asked, "--rules", "rules", *option)
    assert (said.status, said.stdout) == (0, "equal: every IPv4 and IPv6 packet fares as program and policies say\n")
    assert netpolc("verify", *asked, "--rules", "rules", *other).status == 1
    assert netpolc("verify", "in.yaml", "--node", "n1", "--rules", "rules").status == 1


def test_expectations_are_judged_too(netpolc: Netpolc, tmp_path: Path) -> None:
    """By the program, so the rules keep them where they are equal to it."""
    (tmp_path / "in.yaml").write_text(CLUSTER)
    program = "node { deny any -> self : tcp/1-1024 }\nexpect { any cannot reach self : 25 "
    asked = ("in.yaml", "edge.np", "--node", "n1")
    (tmp_path / "edge.np").write_text(program + "}\n")
    assert netpolc("compile", *asked, "-o", "rules").status == 0
    said = netpolc("verify", *asked, "--rules", "rules")
    equal = "equal: every IPv4 and IPv6 packet fares as program and policies say\n"
    assert (said.status, said.stdout) == (0, f"{equal}expectations: 1 of 1 hold\n")
    (tmp_path / "edge.np").write_text(program + " any can reach self : 80 }\n")
    said = netpolc("verify", *asked, "--rules", "rules")
    assert said.status == 1
    assert said.stdout.startswith(
        f"{equal}\nexpectations: 1 of 2 fail\n\nedge.np:2:38: error: this does not hold: any can"
    )
    assert "node rule[0] (edge.np:1): deny any -> self : tcp/1-1024" in said.stdout
    (tmp_path / "edge.np").write_text(program.replace("deny", "reject") + "}\n")
    said = netpolc("verify", *asked, "--rules", "rules")
    assert said.status == 1
    assert said.stdout.startswith("different: ")
    assert said.stdout.endswith("\nexpectations: 1 of 1 hold\n")


TABLES = """zone world = iface eth0
raw    { drop from 192.0.2.0/24 }
mangle { mark world 0x10/0xff }
nat    { dnat world : tcp/8443 -> 10.0.0.9 : 443  masquerade any -> world }
expect { world : 8443 translates to 10.0.0.9 : 443 }
"""


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_statements_of_all_tables_are_verified(netpolc: Netpolc, tmp_path: Path, backend: str) -> None:
    """Of a machine by itself; one rule more is a difference, with a packet as it comes to its hook."""
    (tmp_path / "router.np").write_text(TABLES)
    assert netpolc("compile", "router.np", "--backend", backend, "-o", "rules").status == 0
    said = netpolc("verify", "router.np", "--rules", "rules")
    assert (said.status, said.stdout) == (
        0,
        "equal: every IPv4 and IPv6 packet fares as program and policies say\nexpectations: 1 of 1 hold\n",
    )
    more = {
        "nftables": "table ip more { chain c { type filter hook postrouting priority 0; ip daddr 1.1.1.1 drop; } }",
        "iptables": "*mangle\n-A POSTROUTING -d 1.1.1.1 -j DROP\nCOMMIT",
    }[backend]
    (tmp_path / "more.txt").write_text(more + "\n")
    said = netpolc("verify", "router.np", "--rules", "rules", "more.txt")
    assert said.status == 1
    head, _, packet, program, rules, *_ = said.stdout.splitlines()
    assert head == "different: one packet"
    assert packet.split(" (")[1].startswith("postrouting, raw and mangle, in by eth0, out by eth1")
    assert (program, rules) == ("  program: accepted", "  rules: dropped")


def test_a_translation_that_strays(netpolc: Netpolc, tmp_path: Path) -> None:
    """compile writes nothing and exits with 1; so does verify of rules that are equal."""
    (tmp_path / "router.np").write_text(TABLES)
    assert netpolc("compile", "router.np", "-o", "rules").status == 0
    (tmp_path / "router.np").write_text(TABLES.replace("443 }\n", "444 }\n"))
    told = [
        "router.np:5:10: error: this does not hold: world : 8443 translates to 10.0.0.9 : 444 [expectation]",
        "  10.0.0.1 -> 10.0.0.2 tcp/8443 (arrives, the destination is the node's own address, in by eth0)",
        "  program: accepted; destination address 10.0.0.9, destination port 443; mark & 0xffffff00 ^ 0x10",
        "    nat[0] (router.np:4): dnat world : tcp/8443 -> 10.0.0.9 : 443",
    ]
    said = netpolc("compile", "router.np", "-o", "others")
    assert (said.status, said.stderr.splitlines()) == (1, told)
    assert not (tmp_path / "others").exists()
    said = netpolc("verify", "router.np", "--rules", "rules")
    assert said.status == 1
    assert said.stdout.splitlines()[2:] == ["expectations: 1 of 1 fail", "", *told]


def test_policies_alone_beside_a_program_are_refused(netpolc: Netpolc, tmp_path: Path) -> None:
    policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: {}}}"
    (tmp_path / "in.yaml").write_text(policy)
    (tmp_path / "router.np").write_text(TABLES)
    said = netpolc("compile", "in.yaml", "router.np")
    assert said.status == 2
    assert "policies alone are proved for every cluster there may be, which a program beside them is not" in said.stderr

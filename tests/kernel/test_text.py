"""What is in the text beside the rules: names that somebody else chose, names that the kernel limits, and no comment
where packets would pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from compiler.semantics.packet import TCP, Packet
from tests.kernel.compiled import Object, block, files, pod, pods, policy, port
from tests.kernel.rig import Rig
from tests.kernel.test_paths import CLUSTER, EGRESS_OF_A, INGRESS_OF_A, A, B

pytestmark = pytest.mark.kernel

#: File names are the user's own, and so are the bytes in them: everything here would do harm in some syntax.
HOSTILE = [
    "a\nadd rule inet netpolc forward accept\n",
    "a\r-I FORWARD 1 -j ACCEPT\r",
    "a\n-A NETPOLC-FORWARD -j ACCEPT\nCOMMIT\n*nat\n",
    "a\nflush\ndestroy\n",
    'a"; flush ruleset; #',
    "a\\\nadd table inet injected",
    "a\\",
    "a' $(reboot) `reboot` ${IFS} %s %n {0}",
    "}\n}\ntable inet injected {\n",
    'include "/etc/passwd"\ndefine x = 1\n',
    "\u2028add table inet injected\u2028\x85\x0b\x0c\x1c\x1d\x1e",
    "\x00\x07\x1b[2J\ufeff\u202e\ud800"[:-1] + "é日本語😀",
    "x" * 5000,
]

#: 63-character labels and 253-character names, in every place that may become part of a name in the kernel.
LONG_NAME = ".".join(["n" * 63] * 4)[:253].rstrip(".")
LONG_SPACE = "s" * 63
LONG_LABEL = f"{'k' * 63}=" + "v" * 63


def long_cluster() -> list[Object]:
    objects: list[Object] = [pod(f"{LONG_SPACE}/{LONG_NAME}", ["10.1.3.1", "fd00:1:3::1"], LONG_LABEL)]
    for n in range(40):  # enough for maps, trees of chains, shared sets and port chains
        objects.append(pod(f"{LONG_SPACE}/p{n}", [f"10.1.{n}.77", f"fd00:1:{n:x}::77"], f"{LONG_LABEL},n=n{n}"))
        peers = [
            pods(LONG_LABEL),
            *(block(f"10.{n}.{m}.0/24", f"10.{n}.{m}.64/26") for m in range(30)),
            block(f"fd{n:02}::/16"),
        ]
        ports = [port(1000 + n), port(2000 + 2 * n, end=2001 + 2 * n), port("web"), port(n + 1, "SCTP")]
        rules: Any = [{"from": peers, "ports": ports}, {"from": [pods("", LONG_LABEL)]}]
        objects.append(policy(LONG_SPACE, f"{LONG_NAME[:250]}{n}", f"n=n{n}", ingress=rules))
    return objects


def without_comments(compiled: Mapping[str, str]) -> dict[str, str]:
    """The rules alone; nft's comments of sets are strings inside a statement."""
    return {
        name: re.sub(r'^[\t ]*#.*\n| comment "[^"\\\n]*" ;', "", text, flags=re.MULTILINE)
        for name, text in compiled.items()
    }


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_file_names_stay_in_comments(rig: Rig, flavour: str, name: str) -> None:
    objects = [*CLUSTER, INGRESS_OF_A, EGRESS_OF_A]
    hostile, plain = files(objects, flavour, source=name), files(objects, flavour)
    assert without_comments(hostile) == without_comments(plain)
    for text in hostile.values():
        assert all(c == "\n" or c == "\t" or c.isprintable() for c in text)
        assert not re.search(r"\\$", text, flags=re.MULTILINE), "a line that goes on in the next"
    rig.load(hostile, flavour)
    assert rig.forwarded([Packet(B[4], A[4], TCP, 1, n) for n in (80, 81)]) == [True, False]
    assert "injected" not in rig.namespace.run("nft", "list", "tables")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_what_policies_say_stays_in_comments(rig: Rig, flavour: str, name: str) -> None:
    """Values that no check narrows: names of rules in the tiers, and domain names of an Accept that matches nothing."""
    admin = {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": "admin"},
        "spec": {
            "priority": 1,
            "subject": {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "a"}}}},
            "ingress": [{"name": name[:100], "action": "Deny", "from": [{"namespaces": {}}]}],
        },
    }
    compiled = files([*CLUSTER, admin], flavour)
    for text in compiled.values():
        assert all(c == "\n" or c == "\t" or c.isprintable() for c in text)
    rig.load(compiled, flavour)
    assert rig.forwarded([Packet(B[4], A[4], TCP, 1, 80), Packet(A[4], B[4], TCP, 1, 80)]) == [False, True]
    assert "injected" not in rig.namespace.run("nft", "list", "tables")


def test_lengths_that_the_kernel_allows(rig: Rig, flavour: str) -> None:
    """iptables: 28 characters for a chain (XT_EXTENSION_MAXNAMELEN), 31 for a set (IPSET_MAXNAMELEN, less the 0)."""
    compiled = files(long_cluster(), flavour, node=None)
    rig.load(compiled, flavour)
    text = "".join(compiled.values())
    if flavour == "nftables":
        names = re.findall(r"^add (?:chain|set|map) inet netpolc (\S+)", text, flags=re.MULTILINE)
        assert len(names) > 100
        assert max(map(len, names)) <= 127  # NFT_NAME_MAXLEN is 256; readers have an end too
        assert max(len(remark) for remark in re.findall(r'comment "([^"]*)"', text)) <= 127
        return
    chains = re.findall(r"^:(\S+) - ", text, flags=re.MULTILINE)
    sets = re.findall(r"^create (\S+) ", text, flags=re.MULTILINE)
    assert len(set(chains)) > 60
    assert len(set(sets)) > 60
    assert max(map(len, chains)) <= 28
    assert max(map(len, sets)) <= 31
    assert all(name.startswith("NETPOLC-") for name in chains)
    assert all(name.startswith("netpolc-") for name in sets)
    assert len(sets) == len(set(sets)), "two sets share a name"


def test_no_comment_where_packets_pass(flavour: str) -> None:
    """A comment costs 17 ns on every rule that is evaluated (docs/DATAPATH.md); lines for the reader cost nothing."""
    compiled = files([*CLUSTER, INGRESS_OF_A, EGRESS_OF_A], flavour)
    rules = "".join(without_comments(compiled).values())
    assert "comment" not in rules
    text = "".join(compiled.values())
    for origin in ("shop/a", "shop/a-out", "ingress[0]", "ingress[1]", "egress[0]", "egress[1]"):
        assert re.search(rf"^[\t ]*#.*{re.escape(origin)}(?!\w)", text, flags=re.MULTILINE), f"nothing names {origin}"


def test_every_chain_says_where_it_comes_from(flavour: str) -> None:
    """Right above its rules; with place and file:line for those that are a policy's."""
    text = "".join(files([*CLUSTER, INGRESS_OF_A, EGRESS_OF_A], flavour).values())
    heads = re.findall(r"((?:^[\t ]*#.*\n)*)^[\t ]*(?:chain (\S+) \{|-A NETPOLC-(\S+) )", text, flags=re.MULTILINE)
    seen: set[str] = set()
    for remark, nft_name, iptables_name in heads:
        name = nft_name or iptables_name
        if name in seen:
            continue
        seen.add(name)
        assert remark, f"{name} says nothing"
        if name.startswith(("in", "eg")) and "-" in name:
            assert re.search(r"objects\.json:\d+", remark), f"{name} does not say where"
    assert len(seen) >= 6

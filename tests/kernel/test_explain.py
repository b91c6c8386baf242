"""The rules that `explain --rules` names are those that the kernel applies: every one of them, and no other."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from compiler.analysis.explain_rules import Passage
from compiler.analysis.explain_rules_text import key_text
from compiler.semantics.diagrams.space import Path as Way
from compiler.sources.manifests import load
from tests.kernel.namespace import CommandFailed
from tests.kernel.rig import Rig
from tests.kernel.watched import Explained, live, said, watching

pytestmark = pytest.mark.kernel

SHOP = Path(__file__).resolve().parents[2] / "fixtures/examples/shop"
FOUND = load((path.name, path.read_bytes()) for path in sorted(SHOP.glob("*.yaml")))
NODE = Explained(FOUND, "node-a")

#: Pods of the node and of the other, nodes, and the world inside and outside of blocks; by family.
ENDS = {
    4: ("10.244.1.11", "10.244.1.12", "10.244.1.13", "10.244.1.2", "10.244.2.12", "10.244.2.21", "172.18.0.11"),
    6: ("fd00:10:244:1::11", "fd00:10:244:1::12", "fd00:10:244:2::13", "fd00:10:244:2::21", "fd00:172:18::11"),
}
WORLD = {4: ("203.0.113.7", "203.0.113.200", "169.254.1.1"), 6: ("2001:db8::7", "fd00:ec2::254")}
PORTS = (":8080", ":5432", ":443", ":9113", ":53/UDP", ":9/SCTP", "")


@pytest.fixture(scope="module")
def node_rig() -> Iterator[Rig]:
    with Rig(NODE.own) as rig:
        yield rig


def test_the_rules_that_are_named_are_those_that_apply(node_rig: Rig, flavour: str) -> None:
    NODE.load(node_rig, flavour)
    passages = list(connections(live(node_rig, flavour)))
    with watching(node_rig, flavour) as watch:
        for passage in passages:
            passed, met = watch.first(passage)
            assert passage.agrees
            assert passed is passage.ways.passed, passage.packet
            assert met == said(passage, flavour), passage.packet
            if passage.replies is not None and passage.path is Way.FORWARD:
                assert watch.reply(passage) == (True, said(passage.replies, flavour)), passage.packet
    verdicts = Counter((passage.path, passage.ways.passed) for passage in passages)
    assert len(verdicts) == 5, "all but the node's own packets are denied somewhere"
    assert sum(verdicts.values()) > 500


def test_a_rule_of_somebody_else_is_named(node_rig: Rig, flavour: str) -> None:
    """One that lets through what no policy allows; it is on top of the chain that denies."""
    NODE.load(node_rig, flavour)
    if flavour == "nftables":
        node_rig.namespace.run("nft", "insert", "rule", "inet", "netpolc", "deny", "tcp", "dport", "5432", "accept")
    else:
        node_rig.namespace.run(flavour, "-I", "NETPOLC-deny", "-p", "tcp", "--dport", "5432", "-j", "ACCEPT")
    passage = NODE.ask(live(node_rig, flavour), "10.244.1.11", "10.244.1.13:5432")
    assert passage is not None
    assert (passage.agrees, passage.ways.passed) == (False, True)
    with watching(node_rig, flavour) as watch:
        passed, met = watch.first(passage)
    assert passed
    assert met == said(passage, flavour)
    assert "5432" in met[-1][1]


def test_the_key_that_a_set_lacks_is_the_one_to_add(node_rig: Rig, flavour: str) -> None:
    """A member is lost; what explain says of the set, given to its tool, brings the connection back."""
    NODE.load(node_rig, flavour)

    def change(verb: str, name: str, key: str) -> None:
        nft = ("nft", "delete" if verb == "del" else verb, "element", "inet", "netpolc", name, f"{{ {key} }}")
        node_rig.namespace.run(*(nft if flavour == "nftables" else ("ipset", verb, name, key)))

    def now() -> Passage:
        passage = NODE.ask(live(node_rig, flavour), "10.244.1.11", "10.244.1.12:8080")
        assert passage is not None
        return passage

    text = "\n".join(live(node_rig, flavour).values())
    name = re.search(r"(?:set|create) ((?:netpolc-)?pairs4-\w+) ", text)
    assert name is not None
    nft, ipset = "10.244.1.11 . 10.244.1.12 . tcp . 8080", "10.244.1.11,tcp:8080,10.244.1.12"
    change("del", name[1], nft if flavour == "nftables" else ipset)
    lost = now()
    assert (lost.agrees, lost.ways.passed) == (False, False)
    with watching(node_rig, flavour) as watch:
        assert watch.first(lost) == (False, said(lost, flavour))
        (miss,) = [miss for miss in lost.ways.missed if "pairs" in miss.name]
        change("add", miss.name, key_text(miss, 4))
        found = now()
        assert found.agrees
        assert watch.first(found) == (True, said(found, flavour))


def test_the_rules_of_this_machine(node_rig: Rig, flavour: str) -> None:
    """The whole command. Which node it is follows from the connection, or else from the host name."""
    NODE.load(node_rig, flavour)
    run = node_rig.namespace.run
    netpolc = (sys.executable, "-m", "compiler.cli.main", "explain", str(SHOP), "--live")
    found = run(*netpolc, "--from", "10.244.1.11", "--to", "10.244.1.12:8080")
    assert "\nrules of node-a let it pass (forwarded)\n" in found
    of_nft = r"10.244.1.11 . 10.244.1.12 . tcp . 8080 +nft list table inet netpolc:\d+"
    of_ipset = r" 10.244.1.11,tcp:8080,10.244.1.12 +ipset save:\d+"
    assert re.search(of_nft if flavour == "nftables" else of_ipset, found)
    between = (*netpolc, "--from", "10.244.1.11", "--to", "10.244.2.12:8080")
    with pytest.raises(CommandFailed, match="say whose rules these are, with --node"):
        run(*between)
    named = run("unshare", "--uts", "sh", "-c", 'hostname node-a && exec "$@"', "sh", *between)
    assert "\nrules of node-a let it pass (forwarded)\n" in named
    assert "rules of node-b" not in named


def connections(text: dict[str, str]) -> Iterator[Passage]:
    """What is said of every connection that comes by the node."""
    for family in (4, 6):
        ends, world = ENDS[family], WORLD[family]
        for source, destination in (*product(ends, ends), *product(ends, world), *product(world, ends)):
            if source == destination in NODE.own or (source in world and destination in NODE.own):
                continue  # over loopback; and of no pod's concern
            for port in PORTS:
                found = NODE.ask(text, source, f"[{destination}]{port}")
                if found is not None:
                    yield found

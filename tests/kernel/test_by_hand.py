"""Policies without pods: what the kernel does once somebody has filled the sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from compiler.backends import ipset
from compiler.backends.target import Backend, Target
from compiler.ir.ruleset import Hook, Ruleset
from compiler.net import Family
from compiler.pipeline import Compiler
from compiler.policy import Action, Tier
from compiler.resources.cluster import Pod
from compiler.semantics.diagrams import space
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.packet import TCP, UDP, Packet
from compiler.semantics.proof.case import Case, said
from compiler.semantics.proof.verify import Equal
from compiler.semantics.proof.verify_alone import AloneVerifier
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.netfilter import AddressType
from compiler.snapshot import build
from compiler.sources.manifests import load
from tests.compiler.lower.test_lists import emitted, lists, set_for
from tests.compiler.models import ANYONE, EVERYWHERE, block, network_policy, pods, ports, rule, tier_policy
from tests.kernel.rig import BACKEND, FLAVOURS, Rig
from tests.kernel.traced import shown
from tests.property.crossings import Crossing, Rigs, Wiring, kernel_verdicts
from tests.property.filling import filled_files
from tests.property.scenarios import Scenario, scenarios
from tests.property.trial import Trial

pytestmark = pytest.mark.kernel


def fill(rig: Rig, ruleset: Ruleset, backend: str, who: dict[str, list[str]]) -> None:
    """Puts IPv4 addresses into the sets, as a reader of the script would."""
    for words, addresses in who.items():
        found = set_for(ruleset, Family.IPV4, words)
        for address in addresses:
            if backend == "nftables":
                rig.namespace.run("nft", "add", "element", "inet", "netpolc", found.name, f"{{ {address} }}")
            else:
                rig.namespace.run("ipset", "add", ipset.set_name(found), address)


def test_loading_again_keeps_what_was_filled(rig: Rig, flavour: str) -> None:
    backend = BACKEND[flavour]
    ruleset = lists(network_policy("a", pods("app=web"), ingress=()), backend=backend)
    probe = [Packet("10.1.0.9", "10.1.0.1", TCP, dport=80)]
    rig.load(emitted(ruleset, backend), flavour)
    assert rig.forwarded(probe) == [True]
    fill(rig, ruleset, backend, {"pods(app=web) in shop": ["10.1.0.1"]})
    assert rig.forwarded(probe) == [False]
    rig.load(emitted(ruleset, backend), flavour)
    assert rig.forwarded(probe) == [False]


def test_a_pod_in_several_sets_gets_what_each_policy_allows(rig: Rig, flavour: str) -> None:
    """union: "rules of all policies add up"; here a default deny and two policies that select the same pod."""
    policies = (
        network_policy("deny", pods(), ingress=()),
        network_policy("web", pods("app=web"), ingress=(rule(pods("app=api"), to=ports("tcp/80")),)),
        network_policy("old", pods("v=1"), ingress=(rule(block("10.9.0.0/16", "10.9.1.0/24"), to=ports("tcp/443")),)),
    )
    ruleset = lists(*policies, backend=BACKEND[flavour])
    rig.load(emitted(ruleset, BACKEND[flavour]), flavour)
    members = {
        "pods(all) in shop": ["10.1.0.1", "10.1.0.2"],
        "pods(app=web) in shop": ["10.1.0.1"],
        "pods(v=1) in shop": ["10.1.0.1"],
        "pods(app=api) in shop": ["10.1.0.2"],
    }
    fill(rig, ruleset, BACKEND[flavour], members)
    expected = {
        Packet("10.1.0.2", "10.1.0.1", TCP, dport=80): True,
        Packet("10.1.0.2", "10.1.0.1", TCP, dport=443): False,
        Packet("10.9.0.7", "10.1.0.1", TCP, dport=443): True,
        Packet("10.9.1.7", "10.1.0.1", TCP, dport=443): False,
        Packet("10.1.0.1", "10.1.0.2", TCP, dport=80): False,
        Packet("10.1.0.1", "10.8.0.1", TCP, dport=80): True,
    }
    assert dict(zip(expected, rig.forwarded(list(expected)), strict=True)) == expected


def test_tiers_keep_their_order(rig: Rig, flavour: str) -> None:
    """Admin first match; Pass goes on; Baseline only for pods that no NetworkPolicy isolates."""
    everyone = pods(namespace=EVERYWHERE)
    policies = (
        tier_policy(
            Tier.ADMIN,
            1,
            everyone,
            ingress=(
                rule(pods("app=good"), action=Action.ALLOW, to=ports("tcp/1-9")),
                rule(pods("app=bad"), action=Action.DENY, to=ports("tcp/1-19")),
                rule(pods("app=good"), action=Action.PASS),
            ),
        ),
        tier_policy(Tier.ADMIN, 2, everyone, ingress=(rule(pods("app=good"), action=Action.DENY),)),
        network_policy("web", pods("app=web"), ingress=(rule(pods("app=good"), to=ports("tcp/80")),)),
        tier_policy(Tier.BASELINE, 0, everyone, ingress=(rule(*ANYONE, action=Action.DENY, to=ports("tcp/90")),)),
    )
    ruleset = lists(*policies, backend=BACKEND[flavour])
    rig.load(emitted(ruleset, BACKEND[flavour]), flavour)
    web, free, good, bad = "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"
    fill(
        rig,
        ruleset,
        BACKEND[flavour],
        {
            "pods(all) in namespaces(all)": [web, free, good, bad],
            "pods(app=web) in shop": [web],
            "pods(app=good) in shop": [good],
            "pods(app=bad) in shop": [bad],
        },
    )
    expected = {
        Packet(good, web, TCP, dport=5): True,  # admin allow
        Packet(bad, web, TCP, dport=5): False,  # admin deny
        Packet(good, web, TCP, dport=80): True,  # passed on to the NetworkPolicy
        Packet(good, web, TCP, dport=81): False,
        Packet(good, free, TCP, dport=90): False,  # passed on, and denied by the baseline
        Packet(good, free, TCP, dport=91): True,
        Packet(bad, free, TCP, dport=21): True,
        Packet(bad, free, TCP, dport=90): False,
    }
    assert dict(zip(expected, rig.forwarded(list(expected)), strict=True)) == expected


def test_a_pod_reaches_itself_and_nobody_else(rig: Rig, flavour: str) -> None:
    """Also without sets of pairs, where addresses are compared bit by bit."""
    ruleset = lists(network_policy("deny", pods(), ingress=(), egress=()), backend=BACKEND[flavour])
    rig.load(emitted(ruleset, BACKEND[flavour]), flavour)
    own = {4: "10.1.0.1", 6: "fd00:1::1"}
    if flavour == "nftables":
        for version, address in own.items():
            rig.namespace.run(
                "nft", "add", "element", "inet", "netpolc", f"self{version}", f"{{ {address} . {address} }}"
            )
    for family, address in ((Family.IPV4, own[4]), (Family.IPV6, own[6])):
        name = set_for(ruleset, family, "pods(all) in shop")
        if flavour == "nftables":
            rig.namespace.run("nft", "add", "element", "inet", "netpolc", name.name, f"{{ {address} }}")
        else:
            rig.namespace.run("ipset", "add", ipset.set_name(name), address)
    others = ["10.1.0.0", "10.1.0.2", "10.1.1.1", "10.129.0.1", "11.1.0.1", "138.1.0.1"]
    others += ["fd00:1::", "fd00:1::3", "fd00:1:8000::1", "fd00:1::1:0:0:1", "fc00:1::1", "7d00:1::1"]
    expected = {
        packet: destination == source
        for source in own.values()
        for destination in (source, *others)
        if (":" in source) == (":" in destination)
        for packet in (Packet(source, destination, TCP, dport=80), Packet(source, destination, UDP, dport=53))
    }
    assert dict(zip(expected, rig.forwarded(list(expected)), strict=True)) == expected


SHOP = Path(__file__).resolve().parents[2] / "fixtures/examples/shop"


def test_what_the_kernel_lists_is_proved_after_the_sets_were_filled(rig: Rig, flavour: str) -> None:
    """nft lists the sets with their comments; ipset has none, so its text as it was written goes with iptables-save."""
    found = load([("policies.yaml", (SHOP / "policies.yaml").read_bytes())])
    snapshot = build(referred=["shop"])
    files = dict(Compiler(found.policies, snapshot).compile(Target(Backend(BACKEND[flavour]))).files)
    cluster = build([Pod("shop", "db", {"tier": "database"}, ("10.1.0.1", "fd00:1::1"))])
    rig.load(filled_files(files, cluster), flavour)
    verifier = AloneVerifier([located.value for located in found.policies], snapshot)
    listed = shown(rig, flavour)
    if flavour == "nftables":
        text = rig.namespace.run("nft", "list", "table", "inet", "netpolc")
        assert "10.1.0.1" in text
        assert isinstance(verifier.verify(None, rulesets.read([("live", text)])), Equal)
        return
    assert "10.1.0.1" in listed["ipset.save"]
    texts = {name: listed[name] for name in ("ipset.save", "iptables.save", "ip6tables.save")}
    with pytest.raises(Unprovable, match="nothing beside it says who belongs in it"):
        verifier.verify(None, rulesets.read(texts.items()))
    written = {**texts, "ipset.save": files["ipset.save"]}
    assert isinstance(verifier.verify(None, rulesets.read(written.items())), Equal)


@pytest.fixture(scope="module")
def rigs() -> Iterator[Rigs]:
    found = Rigs()
    yield found
    found.close()


_PATHS = {Hook.FORWARD: space.Path.FORWARD, Hook.INPUT: space.Path.INPUT, Hook.OUTPUT: space.Path.OUTPUT}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("with_nodes", [False, True])
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios)
def test_filled_for_any_cluster_they_do_what_the_policies_say_of_it(
    rigs: Rigs, flavour: str, with_nodes: bool, scenario: Scenario
) -> None:
    """Compiled without the pods, filled by the comments, asked by packets at every hook of every node."""
    trial = Trial(scenario.text, 400)
    nodes = trial.snapshot.nodes.values() if with_nodes else ()
    compiler = Compiler(trial.located, build((), trial.snapshot.namespaces.values(), nodes))
    files = filled_files(compiler.compile(Target(Backend(BACKEND[flavour]))).files, trial.snapshot)
    found = kernel_verdicts(rigs, Wiring(trial.snapshot), lambda _: [files], flavour, trial.packets)
    for n, hooks in found.items():
        for at, passed in hooks.items():
            assert passed is _allowed(trial, trial.packets[n], at), (trial.packets[n], at)


def _allowed(trial: Trial, packet: Packet, at: Crossing) -> bool:
    kind = AddressType.LOCAL if at.hook is Hook.OUTPUT else AddressType.UNICAST
    return said(trial.oracle, None, Case(_PATHS[at.hook], packet, source_type=kind)).allowed

"""The stages joined: same input, same bytes; what goes into the artifacts; hostile names all the way through."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest

from compiler import pipeline
from compiler.backends.target import Backend, Target
from compiler.ir.ruleset import Lookup, Ruleset
from compiler.net import Family
from compiler.pipeline import Artifacts, Compiler, compile_node
from compiler.resolve import reach
from compiler.resources.cluster import Pod
from compiler.snapshot import build
from compiler.sources.manifests import load
from tests.compiler.backends.small import commands, without_remarks

Object = dict[str, Any]
FILES = {
    Backend.NFTABLES: ["netpolc.nft"],
    Backend.IPTABLES: ["ipset.save", "iptables.save", "ip6tables.save"],
}


def labelled(**labels: str) -> Object:
    return {"matchLabels": labels} if labels else {}


def policy(name: str, selects: Object, namespace: str = "shop", **spec: object) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": selects, **spec},
    }


def pod(name: str, number: int, namespace: str = "shop", node: str = "n1", **labels: str) -> Object:
    port = {"name": "http", "containerPort": 8080 + number % 2}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "main", "ports": [port]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": f"10.0.0.{number}"}, {"ip": f"fd00::{number:x}"}]},
    }


def cluster() -> list[Object]:
    """Every kind, a little of everything that has an order: labels, peers, blocks, named ports, nodes, tiers."""
    found: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"env": env, "team": "a"}}}
        for name, env in (("shop", "prod"), ("dev", "test"), ("ops", "prod"))
    ]
    found += [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"n{n}", "labels": {"role": "worker"}},
            "status": {"addresses": [{"type": "InternalIP", "address": f"192.0.2.{n}"}]},
        }
        for n in (1, 2)
    ]
    for number in range(1, 31):
        space, app = ("shop", "dev", "ops")[number % 3], ("web", "api", "db")[number % 2]
        found.append(pod(f"p{number}", number, space, f"n{number % 2 + 1}", app=app, v=str(number % 4)))
    everyone = {
        "namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "test"]}]}
    }
    for n, space in enumerate(("shop", "dev", "ops")):
        found.append(
            policy(
                f"in-{n}",
                labelled(app="web"),
                space,
                ingress=[
                    {"from": [everyone, {"podSelector": labelled(v="1")}], "ports": [{"port": 80}, {"port": "http"}]},
                    {"from": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.8/29", "10.0.0.64/26"]}}]},
                ],
            )
        )
        egress = [{"to": [everyone], "ports": [{"port": "http"}, {"port": 53, "protocol": "UDP"}]}]
        found.append(policy(f"out-{n}", labelled(), space, policyTypes=["Egress"], egress=egress))
    found.append(
        {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "top"},
            "spec": {
                "tier": "Admin",
                "priority": 1,
                "subject": {"namespaces": {}},
                "egress": [
                    {"action": "Deny", "to": [{"nodes": labelled(role="worker")}, {"networks": ["192.0.2.0/24"]}]},
                    {"action": "Pass", "to": [{"namespaces": labelled(env="prod")}]},
                ],
            },
        }
    )
    return found


def compiled(objects: Sequence[Object], target: Target) -> Artifacts:
    """The artifacts of these objects, each in a file of its own, so that lines do not depend on the order."""
    files = []
    for one in objects:
        name = f"{one['kind']}-{one['metadata'].get('namespace', '')}-{one['metadata']['name']}.json"
        files.append((name, json.dumps(one).encode()))
    found = load(files)
    referred = {p.value.metadata.namespace or "default" for p in found.policies if p.value.kind == "NetworkPolicy"}
    snapshot = build((*found.pods, *found.templates), found.namespaces, found.nodes, referred)
    return compile_node(found.policies, snapshot, target)


TARGETS = [Target(backend, node) for backend in Backend for node in (None, "n1")]


def digest() -> str:
    """Everything that the pipeline emits for `cluster`, with and without pods, in one digest."""
    found = hashlib.sha256()
    for target in TARGETS:
        for objects in (cluster(), [one for one in cluster() if one["kind"] != "Pod"]):
            for minimum in (4, 1024):
                with patch.object(reach, "SHARED_MINIMUM", minimum):
                    for name, text in compiled(objects, target).files.items():
                        found.update(f"{name}\0{text}\0".encode())
    return found.hexdigest()


class TestSameInputSameBytes:
    def test_whatever_python_hashes_strings_to(self) -> None:
        """Sets and dicts of strings come in another order in every process; the scripts must not."""
        root = Path(__file__).resolve().parents[2]
        code = "from tests.compiler.test_pipeline import digest; print(digest())"
        digests = set()
        for seed in ("0", "1", "4242"):
            environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stderr
            digests.add(done.stdout)
        assert len(digests) == 1

    @pytest.mark.parametrize("target", TARGETS, ids=str)
    @pytest.mark.parametrize("with_pods", [True, False], ids=["pods", "no pods"])
    def test_whatever_the_order_of_the_objects(self, target: Target, with_pods: bool) -> None:
        objects = [one for one in cluster() if with_pods or one["kind"] != "Pod"]
        once = compiled(objects, target).files
        for seed in range(3):
            random.Random(seed).shuffle(objects)
            again = compiled(objects, target).files
            assert list(again) == list(once)
            for name in once:
                assert again[name] == once[name]

    def test_twice_from_one_compiler(self) -> None:
        """Compilers remember what they found out for one node; the next one must not notice."""
        found = load([("all.json", "\n---\n".join(json.dumps(one) for one in cluster()).encode())])
        snapshot = build(found.pods, found.namespaces, found.nodes)
        busy = Compiler(found.policies, snapshot)
        together = [busy.compile(target).files for target in (*TARGETS, *TARGETS)]
        alone = [compile_node(found.policies, snapshot, target).files for target in (*TARGETS, *TARGETS)]
        assert together == alone


class TestArtifacts:
    @pytest.mark.parametrize("backend", list(Backend))
    def test_files_in_the_order_of_loading(self, backend: Backend) -> None:
        assert list(compiled(cluster(), Target(backend)).files) == FILES[backend]

    def test_the_ruleset_is_what_was_printed(self) -> None:
        assert any(isinstance(r, Lookup) for c in compiled(cluster(), Target()).ruleset.chains for r in c.rules)
        printed = compiled(cluster(), Target(Backend.IPTABLES)).ruleset
        assert printed.maps == ()
        assert not any(isinstance(r, Lookup) for c in printed.chains for r in c.rules)

    def test_symbolic_is_input_without_any_pod_that_has_an_address(self) -> None:
        assert not compiled(cluster(), Target(node="n1")).symbolic
        assert not compiled(cluster(), Target(node="elsewhere")).symbolic
        assert compiled([one for one in cluster() if one["kind"] != "Pod"], Target()).symbolic

    @pytest.mark.parametrize(("node", "where"), [("n1", "node n1"), (None, "every pod of the input")])
    def test_the_head_says_what_it_is_for(self, node: str | None, where: str) -> None:
        text = compiled(cluster(), Target(Backend.NFTABLES, node)).files["netpolc.nft"]
        assert text.startswith(f"# netpolc: {where}, 7 policies, nftables\n")

    def test_families(self) -> None:
        only = compiled(cluster(), Target(Backend.NFTABLES, families=(Family.IPV4,))).files["netpolc.nft"]
        assert not [line for line in commands(only) if "ip6" in line or "ipv6" in line]
        files = compiled(cluster(), Target(Backend.IPTABLES, families=(Family.IPV6,))).files
        assert list(files) == ["ipset.save", "ip6tables.save"]
        assert "inet " not in "".join(line for line in commands(files["ipset.save"]) if line.startswith("create"))

    def test_no_policy_at_all_lets_everything_go(self) -> None:
        pods = [one for one in cluster() if one["kind"] == "Pod"]
        ruleset = compiled(pods, Target()).ruleset
        assert [chain.name for chain in ruleset.chains] == ["forward", "input", "output", "deny"]

    def test_rulesets_are_checked_between_passes(self) -> None:
        """But for what a pass left as it was."""
        seen: list[Ruleset] = []
        changes = [lambda ruleset, _, n=n: replace(ruleset, notes=(str(n),)) for n in range(2)]
        steps = (pipeline.PASSES[0], changes[0], lambda ruleset, _: ruleset, changes[1])
        known: list[Ruleset | None] = []

        def check(ruleset: Ruleset, before: Ruleset | None = None) -> None:
            seen.append(ruleset)
            known.append(before)

        with patch.object(pipeline, "check", check), patch.object(pipeline, "PASSES", steps):
            compiled(cluster(), Target(Backend.IPTABLES))
        assert [ruleset.notes for ruleset in seen] == [(), (), ("0",), ("1",)]
        assert known == [None, *seen[:-1]], "each is made of one that was checked"
        assert seen[0].maps
        assert not seen[-1].maps


class TestRemarks:
    """What a reader of the result must know of rules that cannot mean all that they say."""

    @staticmethod
    def remarks(*rules: Object, nodes: bool = True, pods: bool = True) -> list[str]:
        top = {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "top"},
            "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": list(rules)},
        }
        objects = [one for one in cluster() if (nodes or one["kind"] != "Node") and (pods or one["kind"] != "Pod")]
        listed = {"kind": "List", "apiVersion": "v1", "items": [*objects[:-1], top]}
        found = load([("a.json", json.dumps(listed).encode())])
        return list(Compiler(found.policies, build(found.pods, found.namespaces, found.nodes)).remarks())

    READ: ClassVar[Object] = {"action": "Accept", "to": [{"namespaces": {}}, {"networks": ["10.0.0.0/8"]}]}
    TO_NODES: ClassVar[Object] = {"action": "Deny", "to": [{"namespaces": {}}, {"nodes": {}}]}
    TO_DOMAINS: ClassVar[Object] = {"action": "Accept", "to": [{"domainNames": ["a.example"]}, {"namespaces": {}}]}
    UNREAD: ClassVar[Object] = {
        "action": "Deny",
        "to": [{"namespaces": {"matchExpressions": [{"key": "a", "operator": "x"}]}}],
    }

    def test_nothing_to_say(self) -> None:
        assert self.remarks(self.READ, self.TO_NODES) == []

    def test_rules_that_fail_closed(self) -> None:
        (found,) = self.remarks(self.READ, self.UNREAD)
        assert found.startswith("ClusterNetworkPolicy top egress[1] (a.json:1): not all of it can be read")

    def test_domains_that_no_file_knows(self) -> None:
        (found,) = self.remarks(self.READ, self.TO_DOMAINS)
        assert found.startswith("ClusterNetworkPolicy top egress[1] (a.json:1): domainNames match nothing")

    def test_nodes_that_the_input_does_not_hold(self) -> None:
        (found,) = self.remarks(self.READ, self.TO_NODES, nodes=False)
        assert found.startswith("ClusterNetworkPolicy top egress[1] (a.json:1): matches no node")

    def test_addresses_of_several_pods(self) -> None:
        """A snapshot may say so, files may not."""
        policy = {"kind": "NetworkPolicy", "metadata": {"name": "a"}, "spec": {"podSelector": {}}}
        found = load([("a.json", json.dumps({"apiVersion": "networking.k8s.io/v1", **policy}).encode())])
        snapshot = build(Pod("x", name, {}, ("10.0.0.1",), "n1") for name in ("b", "a"))
        assert list(Compiler(found.policies, snapshot).remarks()) == [
            "10.0.0.1: held by x/a and x/b, so it is nobody's; nothing may connect from or to it"
        ]
        assert list(Compiler((), snapshot).remarks()) == []

    def test_sets_by_hand_say_it_themselves(self) -> None:
        assert self.remarks(self.TO_DOMAINS, self.TO_NODES, nodes=False, pods=False) == []


#: Names that validation takes, or that it never sees: file names, labels of custom resources.
EVIL = 'x"; } \n-A FORWARD -j ACCEPT\nadd rule inet netpolc forward accept # \\'


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("with_pods", [True, False], ids=["pods", "no pods"])
def test_nothing_that_users_write_becomes_a_command(backend: Backend, with_pods: bool) -> None:
    """The same input under a plain and under an evil file name, with plain and evil labels."""

    def of(file: str, value: str) -> list[str]:
        admin = {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "a"},
            "spec": {
                "tier": "Admin",
                "priority": 1,
                "subject": {"namespaces": {}},
                "ingress": [{"action": "Deny", "from": [{"namespaces": {"matchLabels": {"k": value}}}]}],
            },
        }
        objects = [policy("p", labelled(), policyTypes=["Ingress"]), admin, *([pod("a", 1)] if with_pods else [])]
        found = load([(file, "\n---\n".join(json.dumps(one) for one in objects).encode())])
        files = compile_node(found.policies, build(found.pods), Target(backend)).files
        return [line for text in files.values() for line in without_remarks(text)]

    plain, evil = of("a.json", "x"), of(f"{EVIL}.json", EVIL)
    assert len(plain) == len(evil)
    assert [line.split()[0] for line in plain] == [line.split()[0] for line in evil]
    assert not any("FORWARD -j ACCEPT" in line or line.startswith("add rule") for line in evil)

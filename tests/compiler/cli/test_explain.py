"""`netpolc explain` as a user runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.analysis.ends import Directory
from compiler.analysis.explain import explain
from compiler.analysis.explain_rules import Rules
from compiler.analysis.explain_text import text
from compiler.analysis.quotes import Quotes
from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.snapshot import build
from compiler.sources.manifests import Manifests, load
from tests.compiler.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[3]
SHOP = str(ROOT / "fixtures/examples/shop")
Netpolc = Callable[..., Run]


def test_text_names_rules_and_shows_their_lines(netpolc: Netpolc) -> None:
    done = netpolc("explain", SHOP, "--from", "shop/frontend", "--to", "shop/database:5432/TCP")
    assert (done.status, done.stderr) == (1, "")
    assert done.stdout.startswith("denied: shop/frontend -> shop/database, port 5432/TCP\n")
    assert "and 7 more address pairs of these ends alike" in done.stdout
    assert f"ingress[0] allow, misses by peer: the port fits ({SHOP}/policies.yaml:110)" in done.stdout
    assert "peer 0: shop/frontend-6d8f7c9b5-4kqzx has tier=frontend, not tier=backend" in done.stdout
    assert "          112 |             matchLabels: {tier: backend}\n" in done.stdout
    assert "isolated for egress by\n    shop/default-deny" in done.stdout
    assert f"To allow it: add to egress of shop/frontend ({SHOP}/policies.yaml:46)" in done.stdout


def test_allowed_is_status_0(netpolc: Netpolc) -> None:
    done = netpolc("explain", SHOP, "--from", "shop/frontend", "--to", "shop/backend:http")
    assert (done.status, done.stderr) == (0, "")
    assert f"allowed, by egress[0] of shop/frontend ({SHOP}/policies.yaml:66)" in done.stdout
    assert f"To deny it: remove or narrow egress[0] of shop/frontend ({SHOP}/policies.yaml:66)" in done.stdout


def test_json_says_the_same(netpolc: Netpolc) -> None:
    done = netpolc("explain", SHOP, "--from", "shop/frontend", "--to", "169.254.169.254:80", "--format", "json")
    assert done.status == 1
    found = json.loads(done.stdout)
    (answer,) = found["answers"]
    assert (found["allowed"], answer["pairs"], answer["port"]) == (False, 2, 80)
    egress = answer["egress"]
    assert egress["because"] == "rule"
    assert [tier["asked"] for tier in egress["tiers"]] == [True, False, False]
    rule = egress["tiers"][0]["policies"][0]["rules"][0]
    assert (rule["rule"], rule["outcome"], rule["place"]) == ("egress[0]", "decides", f"{SHOP}/guardrails.yaml:13")
    assert rule["lines"][1] == "   14 |       action: Deny"
    assert egress["change"]["remove"][0]["place"] == f"{SHOP}/guardrails.yaml:13"
    assert egress["change"]["add"]["rule"]["to"] == [{"ipBlock": {"cidr": "169.254.169.254/32"}}]
    assert answer["ingress"]["because"] == "no-subject"


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("shop/nobody", "shop/backend:80", "error: no pod or workload shop/nobody in the input"),
        ("shop/frontend", "shop/backand:80", "did you mean shop/backend"),
    ],
)
def test_unknown_ends_are_bad_input(netpolc: Netpolc, source: str, destination: str, message: str) -> None:
    done = netpolc("explain", SHOP, "--from", source, "--to", destination)
    assert (done.status, done.stdout) == (2, "")
    assert message in done.stderr


def test_one_long_line_is_cut(netpolc: Netpolc, tmp_path: Path) -> None:
    names = ["a" * 20 + str(n) for n in range(40)]
    rule = {"from": [{"podSelector": {"matchLabels": {"app": name}}} for name in names]}
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"podSelector": {}, "ingress": [rule]},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "namespace": "n", "labels": {"app": names[0]}},
        "status": {"podIP": "10.0.0.1"},
    }
    (tmp_path / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [policy, pod]}))
    done = netpolc("explain", "all.json", "--from", "192.0.2.1", "--to", "n/x:80")
    assert done.status == 1
    assert max(map(len, done.stdout.splitlines())) < 160


def crowd() -> Manifests:
    """500 policies, 200 workloads of 10 pods on 10 nodes."""
    documents = []
    for n in range(500):
        documents.append(
            f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{namespace: ns, name: p{n}}}\n"
            f"spec:\n  podSelector: {{matchLabels: {{app: a{n % 5}}}}}\n  policyTypes: [Ingress, Egress]\n"
            f"  ingress:\n  - {{from: [{{ipBlock: {{cidr: 10.{n % 256}.0.0/16}}}}], ports: [{{port: {n + 1}}}]}}\n"
            f"  egress:\n  - {{to: [{{podSelector: {{matchLabels: {{app: a{n % 200}}}}}}}], ports: [{{port: 80}}]}}\n"
        )
    for w in range(200):
        labels = f"labels: {{app: a{w}}}"
        documents.append(
            f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{namespace: ns, name: w{w}}}\n"
            f"spec: {{template: {{metadata: {{{labels}}}, spec: {{containers: []}}}}}}\n"
        )
        documents.extend(
            f"apiVersion: v1\nkind: Pod\nmetadata: {{namespace: ns, name: w{w}-{k}, {labels}}}\n"
            f"spec: {{nodeName: n{k}, containers: []}}\nstatus: {{podIP: 10.{w}.0.{k + 1}}}\n"
            for k in range(10)
        )
    return load([("all.yaml", "---\n".join(documents).encode())])


def test_it_takes_half_a_second_at_most_besides_loading() -> None:
    """The slowest step is asked here, without reading any file."""
    found = crowd()
    snapshot = build((*found.pods, *found.templates), found.namespaces)
    policies = [one.value for one in found.policies]
    begin = time.process_time()
    directory = Directory(snapshot)
    there, wanted = directory.destination("ns/w3:80")
    answer = explain(policies, snapshot, directory.source("ns/w1"), there, wanted)
    lines = list(text(answer, Quotes(found.policies)))
    assert time.process_time() - begin < 0.5
    assert sum(one.count for one in answer.answers) == 100
    assert len(lines) > 200


@pytest.mark.parametrize("backend", list(Backend))
def test_the_rules_of_two_nodes_take_little_more(backend: Backend) -> None:
    """Compiled, which takes most of it, read back and followed; on an idle machine it is less than half of this."""
    found = crowd()
    snapshot = build((*found.pods, *found.templates), found.namespaces)
    policies = [one.value for one in found.policies]
    directory = Directory(snapshot)
    there, wanted = directory.destination("ns/w3-1:80")
    answer = explain(policies, snapshot, directory.source("ns/w1-0"), there, wanted)
    begin = time.process_time()
    compiler = Compiler(found.policies, snapshot)
    rules = Rules(policies, snapshot, answer, lambda node: compiler.compile(Target(backend, node)).files.items())
    ((_, journey),) = rules.journeys()
    assert time.process_time() - begin < 2
    assert journey is not None
    assert [(passage.node, passage.agrees) for passage in journey.passages] == [("n0", True), ("n1", True)]

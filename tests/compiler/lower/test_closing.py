"""Addresses of a node's pod ranges that nobody has: what the chains of a stage look like, and what they let through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.analysis.proof import Prover
from compiler.backends.target import Backend, Target
from compiler.ir.ruleset import Goto, Jump, Lookup, Return, Rule, Ruleset
from compiler.live.steady import steady
from compiler.pipeline import Compiler
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import Located, load

NODE = """\
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDRs: [10.0.0.0/24, "fd00::/64"]}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: p{n}, namespace: x, labels: {{app: "{n}"}}}}
spec: {{nodeName: {node}}}
status: {{phase: Running, podIPs: [{{ip: {ip}}}]}}
---
"""
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: p{n}, namespace: x}}
spec: {{podSelector: {{matchLabels: {{app: "{n}"}}}}, ingress: [{{from: [{{ipBlock: {{cidr: 192.0.2.{n}/32}}}}]}}]}}
---
"""


def cluster(subjects: int, others: int) -> tuple[tuple[Located, ...], Snapshot]:
    """So many classes of one pod each, so many pods that no policy selects, one pod of another node in our range, and a
    subject outside of it."""
    text = NODE + "".join(POD.format(n=n, node="a", ip=f"10.0.0.{n + 10}") for n in range(subjects + others))
    text += POD.format(n=200, node="b", ip="10.0.0.200") + POD.format(n=201, node="a", ip="10.9.9.9")
    text += "".join(POLICY.format(n=n) for n in (*range(subjects), 201))
    found = load([("cluster.yaml", text.encode())])
    snapshot = build(found.pods, found.namespaces, found.nodes)
    return found.policies, replace(snapshot, complete=True, closed=True)


def compiled(subjects: int, others: int, backend: Backend = Backend.NFTABLES) -> Ruleset:
    policies, snapshot = cluster(subjects, others)
    return Compiler(policies, snapshot).compile(Target(backend, "a")).ruleset


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize(("subjects", "others"), [(0, 0), (1, 0), (0, 1), (3, 3), (30, 0), (30, 30), (10, 5), (2, 100)])
def test_proved(backend: Backend, subjects: int, others: int) -> None:
    """In rows, sets and trees; and the same text is not what it would be were the ranges open."""
    policies, snapshot = cluster(subjects, others)
    files = Compiler(policies, snapshot).compile(Target(backend, "a")).files
    assert Prover(policies, snapshot).prove("a", files.items()).equal
    assert not Prover(policies, replace(snapshot, closed=False)).prove("a", files.items()).equal


@pytest.mark.parametrize("backend", Backend)
def test_nobody_at_all(backend: Backend) -> None:
    """What a node has before anything is known."""
    _, snapshot = cluster(0, 0)
    snapshot = replace(snapshot, pods=())
    files = Compiler((), snapshot).compile(Target(backend, "a")).files
    assert Prover((), snapshot).prove("a", files.items()).equal


def test_a_stage_knows_everybody() -> None:
    found = compiled(1, 1)
    (known,) = (one for one in found.maps if one.name == "ingress4")
    verdicts = {str(prefix.base & 0xFF): verdict for prefix, verdict in known.elements}
    assert isinstance(verdicts.pop("10"), Goto), "a subject"
    assert isinstance(verdicts.pop("9"), Goto), "one outside of the range"
    assert verdicts == {"11": Return(), "200": Return()}
    lookup, rest = found.chain("pods-in4").rules
    assert isinstance(lookup, Lookup)
    assert isinstance(rest, Rule)
    assert rest.verdict == Goto("unknown-in4")


def test_a_tree_ends_at_the_unknown() -> None:
    found = compiled(30, 0, Backend.IPTABLES)
    trees = [chain for chain in found.chains if chain.name.startswith("t")]
    assert len(trees) > 2
    for tree in trees:
        last = tree.rules[-1]
        assert isinstance(last, Rule)
        assert last.verdict == Goto("unknown-in4")
    assert not any(isinstance(rule.verdict, Jump) for tree in trees for rule in tree.rules if isinstance(rule, Rule))


def test_steadily_too() -> None:
    """Rulesets that move have such trees, under a name of their own: their verdicts are others than of open ranges."""
    policies, snapshot = cluster(30, 30)
    target = Target(Backend.IPTABLES, "a")
    whole = Compiler(policies, snapshot)._lower(target)
    assert "t-ingress4-closed" in {chain.name for chain in steady(whole, target).chains}


def test_nothing_changes_where_nothing_is_closed() -> None:
    policies, snapshot = cluster(3, 3)
    names = {
        chain.name for chain in Compiler(policies, replace(snapshot, closed=False))._lower(Target(node="a")).chains
    }
    assert not [name for name in names if name.startswith(("pods-", "unknown-"))]
    every = Compiler(policies, snapshot).compile(Target()).ruleset
    assert not [chain.name for chain in every.chains if chain.name.startswith("unknown-")], "no node, no ranges"

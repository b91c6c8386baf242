"""What a proof costs: CPU seconds and memory, texts read and both sides built.

    python -m bench.verify [--part NAME]

Each part runs in a process of its own. Times are CPU seconds; targets are the baselines of the ratios.

- *rules*: 10,000 iptables rules of Kubernetes shape (100 pods, 100 peers each: pod addresses and CIDRs, few ports)
  against the NetworkPolicies that they came from.
- *members*: the rules of a node with 110 pods as the compiler writes them, with more than 100,000 members in sets.
- *node*: what the proof adds to a compile of one node with 110 pods, out of 150,000 pods and 10,000 policies, as
  `netpolc compile` does it; *nodes*: the same for five nodes, each. What the compile leaves is there before.
- *lists*: two first-match lists of 10,000 rules as ClassBench makes them (nested prefixes, wildcards, port ranges)
  that mean the same, against each other.
- *orders*: a list of 100,000 rules of Kubernetes shape against one in another order, as `netpolc optimize` proves it.
"""

from __future__ import annotations

import argparse
import gc
import os
import pathlib
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from bench.rule_lists import classbench, kubernetes
from compiler.analysis.same import differences
from compiler.backends.target import Backend
from compiler.resources import NetworkPolicy
from compiler.resources.cluster import Node, Pod
from compiler.resources.validation import validate
from compiler.semantics.diagrams.space import Path, space
from compiler.semantics.diagrams.text_diagram import TextDiagrams
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from compiler.snapshot import build

RULES_SECONDS, MEMBERS_SECONDS, NODE_SECONDS, LISTS_SECONDS, MEGABYTES = 2.0, 5.0, 5.0, 10.0, 500.0
ORDERS_SECONDS, ORDERS_MEGABYTES = 30.0, 1_000.0
_PODS, _PEERS, _LIST, _ORDERED = 100, 100, 10_000, 100_000
_PORTS = (53, 80, 443, 5432, 8080, 9090)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.verify", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--part", choices=list(PARTS), help="this part alone, in this process")
    options = parser.parse_args(arguments)
    if options.part:
        gc.disable()  # as the command line does
        PARTS[options.part]()
        return
    print(f"# Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"{'':<52} {'measured':>10} {'target':>10} {'ratio':>7}")
    for part in PARTS:
        subprocess.run([sys.executable, "-m", "bench.verify", "--part", part], check=True)


def _rules() -> None:
    draw = random.Random(1)
    policies, rules = [], []
    for n in range(_PODS):
        peers = []
        rules.append(f":pod-{n} - [0:0]")
        for _ in range(_PEERS):
            length = 32 if draw.random() < 0.9 else draw.choice((12, 16, 20, 24, 28))
            base = (0x0AF40000 + draw.randrange(1 << 16) if length == 32 else draw.getrandbits(32)) >> 32 - length
            cidr, port = f"{_text(base << 32 - length)}/{length}", draw.choice(_PORTS)
            peers.append({"from": [{"ipBlock": {"cidr": cidr}}], "ports": [{"port": port}]})
            rules.append(f"-A pod-{n} -s {cidr} -p tcp -m tcp --dport {port} -j RETURN")
        rules += [f"-A pod-{n} -s {_own(n)} -j RETURN", f"-A pod-{n} -j DROP"]
        spec = {"podSelector": {"matchLabels": {"n": str(n)}}, "ingress": peers}
        policies.append(_policy(f"p{n}", spec))
    pods = [Pod("x", f"pod-{n}", {"n": str(n)}, (_own(n),), "node") for n in range(_PODS)]
    established = "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    hooks = [f"-A {hook} {established}" for hook in ("FORWARD", "OUTPUT")]
    hooks.append("-A OUTPUT -m addrtype --src-type LOCAL -j RETURN")
    hooks += [f"-A {hook} -d {_own(n)} -j pod-{n}" for n in range(_PODS) for hook in ("FORWARD", "OUTPUT")]
    text = "\n".join(["*filter", *sorted(rules, key=lambda line: line[0] != ":"), *hooks, "COMMIT", ""])
    cluster = build(pods, nodes=[Node("node", {}, ("192.168.0.1",))])

    def proof() -> None:
        found = verify(policies, cluster, "node", rulesets.read([("iptables.save", text)]), (4,))
        assert isinstance(found, Equal), found.witnesses[0]

    _measure(f"rules: {_PODS * _PEERS:,} of Kubernetes shape", proof, RULES_SECONDS)


def _members() -> None:
    from bench.big_cluster import NAMESPACES, PODS, POLICIES, big_cluster, yaml_text
    from compiler.backends.target import Target
    from compiler.net import Family
    from compiler.pipeline import compile_node
    from compiler.sources.manifests import load

    cluster = big_cluster(NAMESPACES // 10, PODS // 10, POLICIES // 10)
    located = load([("policies.yaml", yaml_text(cluster.policies).encode())]).policies
    snapshot = build(cluster.pods, cluster.namespaces, cluster.nodes)
    policies = [one.value for one in located]
    for backend in Backend:
        files = compile_node(located, snapshot, Target(backend, "node-1", (Family.IPV4,))).files

        def proof(files: dict[str, str] = dict(files)) -> None:  # noqa: B006
            found = verify(policies, snapshot, "node-1", rulesets.read(files.items()), (4,))
            assert isinstance(found, Equal), found.witnesses[0]

        sets = {id(found): found for table in rulesets.read(files.items()).tables for found in table.sets.values()}
        count = sum(len(found.elements) for found in sets.values())
        _measure(f"members: {count:,} in sets, {backend.value}", proof, MEMBERS_SECONDS)


def _node(backend: Backend, nodes: int) -> None:
    from bench.big_cluster import big_cluster, yaml_text
    from compiler.analysis.proof import Prover
    from compiler.backends.target import Target
    from compiler.net import Family
    from compiler.pipeline import Compiler
    from compiler.sources.manifests import load

    cluster = big_cluster()
    located = load([("policies.yaml", yaml_text(cluster.policies).encode())]).policies
    compiler = Compiler(located, build(cluster.pods, cluster.namespaces, cluster.nodes))
    del cluster
    made = [compiler.compile(Target(backend, f"node-{n}", (Family.IPV4,))) for n in range(1, nodes + 1)]
    size = sum(len(text) for one in made for text in one.files.values()) / nodes / 1e6

    def proof() -> None:
        prover = Prover(located, compiler.snapshot)
        for one in made:
            assert prover.prove(one.target.node, one.files.items(), (4,)).equal

    what = f"{nodes} nodes, each" if nodes > 1 else "one node"
    _measure(f"node: {what}, {size:.1f} MB, {backend.value}", proof, NODE_SECONDS, nodes)


def _lists() -> None:
    lines = list(classbench(random.Random(1), _LIST))
    one = "\n".join(["*filter", *(f"-A FORWARD {line}" for line in lines), "COMMIT", ""])
    calls = [f"-A FORWARD -j part-{n}" for n in range(0, _LIST, 100)]
    heads = [f":part-{n} - [0:0]" for n in range(0, _LIST, 100)]
    parts = [f"-A part-{n - n % 100} {line}" for n, line in enumerate(lines)]
    two = "\n".join(["*filter", *heads, *parts, *calls, "COMMIT", ""])

    def proof() -> None:
        over = space(4)
        found = {TextDiagrams(rulesets.read([("list", text)]), over).at(Path.FORWARD) for text in (one, two)}
        assert len(found) == 1

    _measure(f"lists: {_LIST:,} rules like ClassBench's, twice", proof, LISTS_SECONDS)


def _orders() -> None:
    draw = random.Random(1)
    lines = list(kubernetes(draw, _ORDERED))
    allowing, denying = ([line for line in lines if line.verdict == verdict] for verdict in ("ACCEPT", "DROP"))
    draw.shuffle(allowing)
    orders = [lines, [*allowing, *denying]]
    one, two = ("\n".join(["*filter", *(f"-A FORWARD {line}" for line in order), "COMMIT", ""]) for order in orders)

    def proof() -> None:
        assert not differences([("one", one)], [("two", two)], (4, 6), ("one", "two"))

    _measure(f"orders: {_ORDERED:,} rules of Kubernetes shape", proof, ORDERS_SECONDS, megabytes=ORDERS_MEGABYTES)


def _policy(name: str, spec: object) -> NetworkPolicy:
    value = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "x"},
        "spec": spec,
    }
    found, problems = validate(value)
    assert isinstance(found, NetworkPolicy), problems
    return found


def _own(number: int) -> str:
    return _text(0x0A000001 + number)


def _text(value: int) -> str:
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def _measure(title: str, work: Callable[[], None], target: float, times: int = 1, megabytes: float = MEGABYTES) -> None:
    """The CPU seconds of each of so many times that the work is done, and the peak of memory."""
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): the peak is what is used now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.process_time()
    work()
    spent = (time.process_time() - start) / times
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{title:<52} {spent:>8.2f} s {target:>8.2f} s {spent / target:>7.2f}")
    title = f"  memory beside the {before:.0f} MiB before"
    print(f"{title:<52} {peak - before:>6.0f} MiB {megabytes:>6.0f} MiB {(peak - before) / megabytes:>7.2f}")


PARTS: dict[str, Callable[[], None]] = {
    "rules": _rules,
    "members": _members,
    **{f"node-{backend.value}": partial(_node, backend, 1) for backend in Backend},
    "nodes": partial(_node, Backend.NFTABLES, 5),
    "lists": _lists,
    "orders": _orders,
}

if __name__ == "__main__":
    main()

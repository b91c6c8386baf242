"""What one change of a cluster costs the compiler of a node that follows it, and how much memory following takes.

    python -m bench.latency [--quick] [--backend nftables|iptables]

The node has 110 of 150,000 pods; there are 500 namespaces and 10,000 policies (`bench.big_cluster`). Times are CPU
milliseconds of this process for one `LiveCompiler.take`, from a batch of one event to its change: median, 99th
percentile and the longest. Objects are made before and are in the memory at the start; the API server and the kernel
have no part in this.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bench.big_cluster import NAMESPACES, PODS, POLICIES, BigCluster, big_cluster, yaml_text
from compiler.backends.target import Backend, Target
from compiler.live.batch import Batch, PolicyKey
from compiler.live.compiler import LiveCompiler
from compiler.net import Family
from compiler.resources.cluster import Namespace, Pod
from compiler.sources.manifests import Located, load

NODE = "node-1"
FIRST_SECONDS = 6.0
MEDIAN, REMOTE, LOCAL, A_POD = 3.0, 40.0, 50.0, 1.0  # milliseconds

Events = Iterator[Batch]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a cluster of a tenth of the size, fewer events")
    parser.add_argument("--backend", choices=[backend.value for backend in Backend], default=Backend.NFTABLES.value)
    options = parser.parse_args(arguments)
    print(f"# Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs, {options.backend}")
    share = 10 if options.quick else 1
    cluster = big_cluster(NAMESPACES // share, PODS // share, POLICIES // share)
    policies = load([("policies.yaml", yaml_text(cluster.policies).encode())]).policies
    _measure(cluster, policies, LiveCompiler(Target(Backend(options.backend), NODE, (Family.IPV4,))), 1000 // share)


def _measure(cluster: BigCluster, policies: Sequence[Located], live: LiveCompiler, times: int) -> None:
    world = _World(cluster, policies)
    gc.collect()
    gc.freeze()  # as the daemon does when it has listed everything
    before, start = _mebibytes(), time.process_time()
    live.take(world.whole())
    spent = time.process_time() - start
    gc.collect()
    gc.freeze()
    count = f"{len(cluster.pods):,} pods, {len(policies):,} policies"
    print(f"{f'first take, {count}':<56} {spent:>8.2f} s   target {FIRST_SECONDS:.0f} s")
    memory = _mebibytes()
    print(f"{'resident, beside the objects':<56} {memory - before:>8.1f} MiB, {memory:.0f} MiB with them")
    print(f"{'':<56} {'p50':>8} {'p99':>8} {'longest':>8}  target p50, p99 (ms)")
    _row("a remote pod comes, goes", _each(live, world.comes_and_goes, times), MEDIAN, REMOTE)
    _row("a remote pod's address", _each(live, world.readdressed, times), MEDIAN, REMOTE)
    _row("a remote pod's labels", _each(live, world.relabelled, times), MEDIAN, REMOTE)
    _row("a remote pod of a new deployment", _each(live, world.deployed, times), MEDIAN, REMOTE)
    few = max(times // 10, 10)
    _row("a local pod comes, goes", _each(live, world.here, few), LOCAL, LOCAL)
    _row("a NetworkPolicy goes, comes", _each(live, world.policy, few), LOCAL, LOCAL)
    _row("a namespace's labels", _each(live, world.namespace, few // 5), None, None)
    _row("a policy of the cluster goes, comes", _each(live, world.cluster_policy, few // 5), None, None)
    start = time.process_time()
    for batch in world.many(10):
        live.take(batch)
    print(f"{'100 pods a batch: a pod':<56} {time.process_time() - start:>8.3f}{'':<21} {A_POD:.0f}")
    print(f"{'resident after all that':<56} {_mebibytes():>8.0f} MiB")


def _each(live: LiveCompiler, events: Callable[[], Events], times: int) -> list[float]:
    """Sorted milliseconds."""
    spent = []
    for _ in range(times):
        for batch in events():
            start = time.process_time()
            live.take(batch)
            spent.append((time.process_time() - start) * 1e3)
    return sorted(spent)


def _row(what: str, spent: list[float], median: float | None, high: float | None) -> None:
    figures = (spent[len(spent) // 2], spent[len(spent) * 99 // 100], spent[-1])
    targets = "" if median is None or high is None else f"  {median:.0f}, {high:.0f}"
    print(f"{what:<56} " + " ".join(f"{figure:>8.2f}" for figure in figures) + targets, flush=True)


def _mebibytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as found:
        return int(found.read().split()[1]) * os.sysconf("SC_PAGESIZE") / (1 << 20)


class _World:
    """Events of the cluster; after each of these generators it is as before."""

    def __init__(self, cluster: BigCluster, policies: Sequence[Located]) -> None:
        self._cluster = cluster
        self._policies = policies
        self._draw = random.Random(1)
        self._number = 0
        self._remote = [pod for pod in cluster.pods if pod.node != NODE]
        self._local = [pod for pod in cluster.pods if pod.node == NODE]
        spaces = {pod.namespace for pod in self._local}
        self._near = [located for located in policies if located.value.metadata.namespace in spaces]
        self._wide = [located for located in policies if located.value.kind != "NetworkPolicy"]

    def whole(self) -> Batch:
        return Batch(
            {(pod.namespace, pod.name): pod for pod in self._cluster.pods},
            {space.name: space for space in self._cluster.namespaces},
            {node.name: node for node in self._cluster.nodes},
            {_key(located): located for located in self._policies},
        )

    def _free(self) -> tuple[str, ...]:
        self._number += 1
        return (f"10.{200 + self._number // 62500}.{self._number // 250 % 250}.{self._number % 250}",)

    def comes_and_goes(self) -> Events:
        return self._comes_and_goes(self._remote)

    def here(self) -> Events:
        return self._comes_and_goes(self._local)

    def _comes_and_goes(self, pods: Sequence[Pod]) -> Events:
        ips = self._free()
        pod = replace(self._draw.choice(pods), name=f"new-{self._number}", ips=ips)
        yield _pods(pod)
        yield Batch(pods={(pod.namespace, pod.name): None})

    def readdressed(self) -> Events:
        pod = self._draw.choice(self._remote)
        yield from (_pods(replace(pod, ips=self._free())), _pods(pod))

    def relabelled(self) -> Events:
        pod = self._draw.choice(self._remote)
        app = self._draw.choice(("web", "db", "cache", "report"))
        yield from (_pods(replace(pod, labels={**pod.labels, "app": app})), _pods(pod))

    def deployed(self) -> Events:
        pod, ips = self._draw.choice(self._remote), self._free()
        labels = {**pod.labels, "pod-template-hash": f"new-{self._number}"}
        yield from (_pods(replace(pod, labels=labels, ips=ips)), _pods(pod))

    def policy(self) -> Events:
        return self._goes_and_comes(self._draw.choice(self._near))

    def cluster_policy(self) -> Events:
        return self._goes_and_comes(self._draw.choice(self._wide))

    def _goes_and_comes(self, located: Located) -> Events:
        yield Batch(policies={_key(located): None})
        yield Batch(policies={_key(located): located})

    def namespace(self) -> Events:
        space = self._draw.choice(self._cluster.namespaces)
        yield Batch(namespaces={space.name: Namespace(space.name, {**space.labels, "env": "test"})})
        yield Batch(namespaces={space.name: space})

    def many(self, times: int) -> Events:
        for _ in range(times):
            yield _pods(*(replace(pod, ips=self._free()) for pod in self._draw.sample(self._remote, 100)))


def _pods(*pods: Pod) -> Batch:
    return Batch(pods={(pod.namespace, pod.name): pod for pod in pods})


def _key(located: Located) -> PolicyKey:
    policy = located.value
    return policy.kind, policy.metadata.namespace or "" if policy.kind == "NetworkPolicy" else "", policy.metadata.name


if __name__ == "__main__":
    main()

"""Clusters with groups of many pods: covers with exceptions, thresholds that single pods cross, budgets that run out.

The random clusters of `clusters` have a dozen pods; here are hundreds in namespaces of teams, as `bench` makes them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from random import Random

import pytest

from bench.big_cluster import big_cluster, yaml_text
from compiler.backends.target import Backend, Target
from compiler.ir.change import applied
from compiler.ir.check import check
from compiler.live.batch import Batch
from compiler.live.compiler import LiveCompiler
from compiler.lower import fastpath
from compiler.net import Family
from compiler.resolve import reach
from compiler.resources.cluster import Namespace, Pod
from compiler.sources.manifests import load
from tests.compiler.live.clusters import policy_key
from tests.compiler.live.test_compiler import plain, static

HERE = "node-1"
_FOUR, _BOTH = (Family.IPV4,), tuple(Family)


class Crowd:
    """A cluster of some hundred pods, and events in it."""

    def __init__(self, random: Random) -> None:
        self._random = random
        made = big_cluster(
            random.choice((3, 8)), random.choice((200, 400)), random.choice((30, 80)), random.randrange(9)
        )
        self._made = made
        self._policies = load([("p.yaml", yaml_text(made.policies).encode())]).policies

    @cached_property
    def whole(self) -> Batch:
        return Batch(
            {(pod.namespace, pod.name): pod for pod in self._made.pods},
            {space.name: space for space in self._made.namespaces},
            {node.name: node for node in self._made.nodes},
            {policy_key(located): located for located in self._policies},
        )

    def batch(self) -> Batch:
        found = Batch()
        for _ in range(self._random.choice((1, 1, 3, 20))):
            found = found.then(self._event())
        return found

    def _event(self) -> Batch:
        draw = self._random
        kind = draw.random()
        if kind < 0.75:
            pod = draw.choice(self._made.pods)
            return Batch(pods={(pod.namespace, pod.name): self._pod(pod)})
        if kind < 0.8:
            space = draw.choice(self._made.namespaces)
            other = Namespace(space.name, {**space.labels, "env": draw.choice(("test", "production"))})
            return Batch(namespaces={space.name: draw.choice((None, space, other))})
        if kind < 0.83:
            node = draw.choice(self._made.nodes)
            return Batch(nodes={node.name: draw.choice((None, node))})
        located = draw.choice(self._policies)
        return Batch(policies={policy_key(located): draw.choice((None, located))})

    def _pod(self, pod: Pod) -> Pod | None:
        draw = self._random
        labels = {**pod.labels, "app": draw.choice(("web", "cache", "report")), "tier": draw.choice(("front", "data"))}
        taken = draw.choice(self._made.pods)
        elsewhere = (f"203.0.113.{draw.randrange(250)}",), (f"10.9.0.{draw.randrange(250)}", "fd00::9"), ()
        return draw.choice(
            (
                None,
                pod,
                replace(pod, labels=labels),
                replace(pod, ips=draw.choice((taken.ips, *elsewhere))),
                replace(pod, node=draw.choice((HERE, "node-0", ""))),
                replace(pod, ports=taken.ports),
            )
        )


@pytest.mark.parametrize("seed", range(8))
def test_every_change_makes_what_a_compile_from_scratch_makes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    monkeypatch.setattr(reach, "SHARED_MINIMUM", random.choice((5, 20, 60)))
    monkeypatch.setattr(fastpath, "PAIR_BUDGET", random.choice((1 << 18, 1 << 18, 200, 1000)))
    target = Target(random.choice(list(Backend)), HERE, random.choice((_FOUR, _BOTH)))
    crowd, live = Crowd(random), LiveCompiler(target)
    done, rules = crowd.whole, live.ruleset()
    rules = applied(rules, live.take(done))
    assert rules == live.ruleset()
    for number in range(20):
        batch = crowd.batch()
        rules, done = applied(rules, live.take(batch)), done.then(batch)
        assert rules == live.ruleset()
        if number % 5 == 4:
            check(rules)
            assert plain(rules) == static(live, target)
    fresh = LiveCompiler(target)
    fresh.take(done)
    assert fresh.ruleset() == rules

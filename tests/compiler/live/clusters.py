"""Clusters that move: random batches of every kind of event over a small vocabulary, so that everything meets.

A history is a list of batches from an empty cluster on. Policies and first objects come from `tests.property.scenarios`
by the real reader; what happens to them afterwards is made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from compiler.live.batch import Batch, PodKey, PolicyKey
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.sources.manifests import Located, load
from tests.property.scenarios import LABELS, NAMESPACES, NODE_LABELS, SPACE_LABELS, scenario

NODE = "n0"
_NAMES = 6


def policy_key(located: Located) -> PolicyKey:
    """The key of a policy as batches have it."""
    metadata = located.value.metadata
    spaced = located.value.kind == "NetworkPolicy"
    return located.value.kind, (metadata.namespace or "default") if spaced else "", metadata.name


class World:
    """Makes batches; knows what is there, so that changes are changes more often than not."""

    def __init__(self, random: Random) -> None:
        self._random = random
        first = [load([("f.json", scenario(random).text)]) for _ in range(3)]
        self._first = first[0]
        self._located = [located for found in first for located in found.policies]
        self._pods: dict[PodKey, Pod] = {}
        self._seen: dict[PodKey, Pod] = {}
        self._addresses = [f"10.0.1.{n}" for n in range(1, 12)]

    def history(self, length: int) -> Iterator[Batch]:
        """A first batch as lists give it, or nothing at all; then `length` of single events or a few together."""
        if self._random.random() < 0.8:
            pods = [pod for pod in self._first.pods if not pod.template_of]
            self._pods = {(pod.namespace, pod.name): pod for pod in pods}
            self._seen = dict(self._pods)
            yield Batch(
                dict(self._pods),
                {space.name: space for space in self._first.namespaces},
                {node.name: node for node in self._first.nodes},
                {policy_key(located): located for located in self._first.policies},
            )
        for _ in range(length):
            batch = Batch()
            for _ in range(self._random.choice((1, 1, 1, 2, 5))):
                batch = batch.then(self._event())
            yield batch

    def _event(self) -> Batch:
        kind = self._random.choices(
            (self._pod, self._pod_gone, self._space, self._node, self._policy), (10, 3, 2, 2, 3)
        )[0]
        return kind()

    def _labels(self, vocabulary: dict[str, tuple[str, ...]]) -> dict[str, str]:
        draw = self._random
        own = {key: values for key, values in vocabulary.items() if "/" not in key}  # else the API server sets it
        return {key: draw.choice(values) for key, values in own.items() if draw.random() < 0.6}

    def _pod(self) -> Batch:
        draw = self._random
        known = list(self._seen.values())
        if known and draw.random() < 0.75:
            pod = draw.choice(known)
        else:
            pod = Pod(draw.choice(NAMESPACES), f"q{draw.randrange(_NAMES)}", ips=self._ips(), node=self._place())
        for _ in range(draw.choice((0, 1, 1, 2))):
            pod = self._changed(pod)
        key = pod.namespace, pod.name
        self._pods[key] = self._seen[key] = pod
        return Batch(pods={key: pod})

    def _changed(self, pod: Pod) -> Pod:
        draw = self._random
        what = draw.randrange(7)
        if what == 0:
            return replace(pod, node=self._place())
        if what == 1:
            return replace(pod, labels=self._labels(dict(LABELS)))
        if what == 2:
            return replace(pod, ips=self._ips())
        if what == 3:
            return replace(pod, phase=draw.choice(("Running", "Succeeded", "Pending")))
        if what == 4:
            return replace(pod, host_network=not pod.host_network)
        if what == 5:
            others = list(self._seen.values())
            return replace(pod, ports=draw.choice(others).ports if others else ())
        others = list(self._pods.values())
        return replace(pod, ips=draw.choice(others).ips if others else ())

    def _ips(self) -> tuple[str, ...]:
        draw = self._random
        last = draw.randrange(1, 12)
        four, six = f"10.0.1.{last}", f"fd00::{last:x}"
        return draw.choice(((four,), (four, six), (six, four), (six,), ()))

    def _place(self) -> str:
        return self._random.choice((NODE, NODE, "n1", "n2", ""))

    def _pod_gone(self) -> Batch:
        if not self._pods:
            return Batch()
        key = self._random.choice(list(self._pods))
        del self._pods[key]
        return Batch(pods={key: None})

    def _space(self) -> Batch:
        name = self._random.choice(NAMESPACES)
        if self._random.random() < 0.25:
            return Batch(namespaces={name: None})
        return Batch(namespaces={name: Namespace(name, self._labels(dict(SPACE_LABELS)))})

    def _node(self) -> Batch:
        name = self._random.choice((NODE, "n1", "n2"))
        if self._random.random() < 0.25:
            return Batch(nodes={name: None})
        ips = (f"192.0.2.{self._random.randrange(1, 6)}", *self._random.choice(((), ("10.0.1.3",))))
        blocks = self._random.choice(((), ("10.0.1.0/29",), ("10.0.1.0/28", "10.0.1.0/30", "fd00::/125")))
        return Batch(nodes={name: Node(name, self._labels(dict(NODE_LABELS)), ips, blocks)})

    def _policy(self) -> Batch:
        located = self._random.choice(self._located)
        return Batch(policies={policy_key(located): located if self._random.random() < 0.7 else None})


def squashed(batches: Sequence[Batch]) -> Batch:
    """All of them as one."""
    whole = Batch()
    for batch in batches:
        whole = whole.then(batch)
    return whole


def split(batch: Batch, random: Random) -> list[Batch]:
    """One batch as one event each, in any order."""
    found = [Batch(pods={key: pod}) for key, pod in batch.pods.items()]
    found += [Batch(namespaces={key: space}) for key, space in batch.namespaces.items()]
    found += [Batch(nodes={key: node}) for key, node in batch.nodes.items()]
    found += [Batch(policies={key: policy}) for key, policy in batch.policies.items()]
    random.shuffle(found)
    return found

"""A cluster that changes in every way, one change after the other, from a seed.

A change is a few objects put and deleted in order; an enforcer may see the states between them or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

from tests.cluster.store import Key, Object, key_of
from tests.kernel.compiled import block, namespace, node, pod, pods, policy, port

SPACES = ("a", "b", "c")
APPS = ("web", "db", "job")
ENVS = ("prod", "test")
NODES = {"node1": ("192.0.2.1", "2001:db8::1"), "node2": ("192.0.2.2", "2001:db8::2")}
ADDRESSES = tuple((f"10.0.1.{n}", f"fd00:1::{n:x}") for n in range(10, 26))
OUTSIDE = (("203.0.113.9", "2001:db8:99::9"), ("198.51.100.9", "2001:db8:98::9"))
PORTS: tuple[tuple[str, int], ...] = (("TCP", 80), ("TCP", 443), ("UDP", 53))
_MOST_POLICIES, _FEWEST_PODS = 8, 8


@dataclass(frozen=True, slots=True)
class Change:
    """`steps`, in order: an object to put, or the key of one to delete."""

    kind: str
    steps: tuple[Object | Key, ...]


def states(objects: Mapping[Key, Object], steps: Sequence[Object | Key]) -> Iterator[dict[Key, Object]]:
    """All objects after each step."""
    for step in steps:
        if isinstance(step, dict):
            objects = {**objects, key_of(step): step}
        else:
            objects = {key: item for key, item in objects.items() if key != step}
        yield dict(objects)


@dataclass(slots=True)
class Churn:
    """Objects by key. `random` decides everything: the same seed makes the same changes."""

    random: Random
    objects: dict[Key, Object] = field(default_factory=dict)
    _number: int = 0

    def __post_init__(self) -> None:
        for name, ips in NODES.items():
            self._keep(node(name, ips))
        for space in SPACES:
            self._keep(namespace(space, env=self.random.choice(ENVS)))
        for _ in range(11):
            self._keep(self._pod(self._free()))
        for _ in range(4):
            self._keep(self._policy())

    def next(self) -> Change:
        """One more change, done to `objects`."""
        while True:
            kind = self.random.choice(tuple(_KINDS))
            steps = tuple(_KINDS[kind](self))
            if steps:
                *_, self.objects = states(self.objects, steps)
                return Change(kind, steps)

    def _keep(self, item: Object) -> None:
        self.objects[key_of(item)] = item

    def _all(self, kind: str) -> list[Object]:
        return [item for key, item in self.objects.items() if key[0] == kind]

    def _name(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}{self._number}"

    def _free(self) -> tuple[str, str]:
        used = {one["ip"] for item in self._all("Pod") for one in item["status"]["podIPs"]}
        return self.random.choice([pair for pair in ADDRESSES if pair[0] not in used])

    def _pod(self, address: Sequence[str]) -> Object:
        where = f"{self.random.choice(SPACES)}/{self._name('p')}"
        serves = [{"containerPort": 80, "name": "serve"}]
        return pod(
            where, list(address), f"app={self.random.choice(APPS)}", self.random.choice((*NODES, "node1")), ports=serves
        )

    # Policies

    def _policy(self) -> Object:
        chosen, spec = self.random, {}
        if chosen.random() < 0.75:
            spec["ingress"] = [self._rule("from") for _ in range(chosen.randint(0, 2))]
        if not spec or chosen.random() < 0.35:
            spec["egress"] = [self._rule("to") for _ in range(chosen.randint(0, 2))]
        types = [kind for kind in ("Ingress", "Egress") if kind.lower() in spec]
        selects = chosen.choice(("", *(f"app={app}" for app in APPS)))
        return policy(chosen.choice(SPACES), self._name("np"), selects, policyTypes=types, **spec)

    def _rule(self, side: str) -> Object:
        found: Object = {}
        if self.random.random() < 0.9:
            found[side] = [self._peer() for _ in range(self.random.randint(1, 2))]
        if self.random.random() < 0.6:
            found["ports"] = [self._port() for _ in range(self.random.randint(1, 2))]
        return found

    def _peer(self) -> Object:
        chosen = self.random
        return chosen.choice(
            (
                lambda: pods(f"app={chosen.choice(APPS)}"),
                lambda: pods("", f"env={chosen.choice(ENVS)}"),
                lambda: pods(f"app={chosen.choice(APPS)}", ""),
                lambda: block("10.0.1.0/28", "10.0.1.12/31"),
                lambda: block("fd00:1::/124"),
                lambda: block("0.0.0.0/0", "203.0.113.0/24"),
                lambda: block("::/0", "fd00:1::10/125"),
            )
        )()

    def _port(self) -> Object:
        protocol, number = self.random.choice(PORTS)
        return self.random.choice((port(number, protocol), port("serve"), port(1, "TCP", end=100)))

    # Kinds of change

    def policy_added(self) -> Iterator[Object | Key]:
        if len(self._all("NetworkPolicy")) < _MOST_POLICIES:
            yield self._policy()

    def policy_removed(self) -> Iterator[Object | Key]:
        if found := self._all("NetworkPolicy"):
            yield key_of(self.random.choice(found))

    def policy_narrowed(self) -> Iterator[Object | Key]:
        """A rule, a peer or a port less; the last peer or port takes its rule with it, which would mean everybody."""
        item = self._some_policy()
        spec = item["spec"] if item else {}
        rules = [(side, rule) for side in ("ingress", "egress") for rule in spec.get(side) or ()]
        if item is None or not rules:
            return
        side, rule = self.random.choice(rules)
        parts = [rule[name] for name in ("from", "to", "ports") if len(rule.get(name, ())) > 1]
        if parts:
            self.random.choice(parts).pop()
        else:
            item["spec"][side].remove(rule)
        yield item

    def policy_widened(self) -> Iterator[Object | Key]:
        item = self._some_policy()
        if item is not None:
            side = self.random.choice([s for s in ("ingress", "egress") if s in item["spec"]])
            item["spec"][side].append(self._rule("from" if side == "ingress" else "to"))
            yield item

    def _some_policy(self) -> Object | None:
        found = self._all("NetworkPolicy")
        return deepcopy(self.random.choice(found)) if found else None

    def pod_added(self) -> Iterator[Object | Key]:
        if len(self._all("Pod")) < len(ADDRESSES):
            yield self._pod(self._free())

    def pod_removed(self) -> Iterator[Object | Key]:
        found = self._all("Pod")
        if len(found) > _FEWEST_PODS:
            yield key_of(self.random.choice(found))

    def pod_moved(self) -> Iterator[Object | Key]:
        item = deepcopy(self.random.choice(self._all("Pod")))
        item["spec"]["nodeName"] = "node2" if item["spec"]["nodeName"] == "node1" else "node1"
        yield item

    def pod_relabelled(self) -> Iterator[Object | Key]:
        item = deepcopy(self.random.choice(self._all("Pod")))
        item["metadata"]["labels"]["app"] = self.random.choice(APPS)
        yield item

    def address_reused(self) -> Iterator[Object | Key]:
        """The heir comes behind or, as a watch may see it, before the dead is gone; the address is nobody's then."""
        old = self.random.choice(self._all("Pod"))
        heir = self._pod([one["ip"] for one in old["status"]["podIPs"]])
        yield from self.random.choice(((key_of(old), heir), (_finished(old), heir, key_of(old))))

    def namespace_relabelled(self) -> Iterator[Object | Key]:
        item = deepcopy(self.random.choice(self._all("Namespace")))
        item["metadata"]["labels"]["env"] = "test" if item["metadata"]["labels"]["env"] == "prod" else "prod"
        yield item


def _finished(item: Object) -> Object:
    found = deepcopy(item)
    found["status"]["phase"] = "Succeeded"
    return found


_KINDS: Mapping[str, Callable[[Churn], Iterator[Object | Key]]] = {
    "policy added": Churn.policy_added,
    "policy narrowed": Churn.policy_narrowed,
    "policy widened": Churn.policy_widened,
    "policy removed": Churn.policy_removed,
    "pod added": Churn.pod_added,
    "pod removed": Churn.pod_removed,
    "pod moved": Churn.pod_moved,
    "pod relabelled": Churn.pod_relabelled,
    "address reused": Churn.address_reused,
    "namespace relabelled": Churn.namespace_relabelled,
}
KINDS = tuple(_KINDS)

"""A cluster that moves at random, in which some connections keep their verdicts: `Moving.stream` sends them. How they
come to their verdicts does change: by which sets, chains and classes, and whether policies are about them at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import TypeVar

from compiler.backends.target import Backend, Target
from compiler.ir.change import Change
from compiler.live.batch import Batch
from compiler.live.compiler import LiveCompiler
from compiler.semantics.packet import TCP, connection
from compiler.sources.manifests import Located, Manifests
from tests.kernel.compiled import Object, block, loaded, namespace, pod, pods, policy, port
from tests.kernel.packets import Sendable
from tests.kernel.rig import Rig
from tests.kernel.stream import Stream
from tests.kernel.test_paths import CLUSTER, EGRESS_OF_A, FAR, INGRESS_OF_A, A, B
from tests.kernel.test_reload import stream

_K = TypeVar("_K")
_V = TypeVar("_V")

_POOL = 60
_FROM_CROWD = [{"from": [pods("app=crowd", "")], "ports": [port(443), port(8443)]}]
_SAME_AS_A = {key: value for key, value in INGRESS_OF_A["spec"].items() if key != "podSelector"}
#: `fixed` gets web from far and b, whether it is guarded or not; b and far may be let in for more.
FIXED = {4: "10.1.1.20", 6: "fd00:1:1::20"}
_GUARD = policy(
    "shop", "guard", "guard=on", ingress=[{"from": [pods("app=far"), pods("app=b")], "ports": [port(80), port(81)]}]
)
_EXTRA = policy("shop", "extra", "app=a", ingress=[{"from": [pods("extra=on")], "ports": [port(7000)]}])
#: None of them changes what the stream may do.
POLICIES: Mapping[str, Object] = {
    "more": policy("shop", "a-more", "app=a", ingress=_FROM_CROWD),
    "twin": policy("shop", "a-twin", "app=a", **_SAME_AS_A),
    "team": policy(
        "shop", "a-team", "app=a", ingress=[{"from": [pods("", "team=x")], "ports": [port(9000, end=9100)]}]
    ),
    "web": policy("shop", "a-web", "app=a", ingress=[{"from": [pods("app=b")], "ports": [port(80)]}]),
    "also": policy("shop", "a-also", "app=a", egress=[{"to": [block("203.0.113.0/24", "203.0.113.9/32")]}]),
    "crowd-out": policy("shop", "a-crowd", "app=a", egress=[{"to": [pods("app=other", "")]}], policyTypes=["Egress"]),
    "b": policy("shop", "b", "app=b", ingress=[{"from": [pods("app=crowd", "")]}], policyTypes=["Ingress"]),
    "deny": policy("crowd", "deny", policyTypes=["Ingress", "Egress"]),
    "some": policy("crowd", "some", "app=crowd", ingress=[{"from": [pods("app=other")], "ports": [port(80)]}]),
    "blocks": policy("crowd", "blocks", "app=other", ingress=[{"from": [block("10.0.0.0/8", "10.1.1.0/24")]}]),
}


class Moving:
    """`change` moves something; `compiler` has followed. The first `Change` is of everything."""

    def __init__(self, seed: int, crowd: int = 40) -> None:
        self._random = Random(seed)
        self._crowd: dict[int, tuple[int, str, str]] = {n: (n, "app=crowd", "node1") for n in range(1, crowd + 1)}
        self._policies = {"more", "deny"}
        self._team = self._guarded = False
        self._extra: set[str] = set()
        self._known = Manifests()
        self.compiler = LiveCompiler(Target(Backend.IPTABLES, "node1"))
        self.take()

    def objects(self) -> Iterator[Object]:
        yield from (*CLUSTER[:3], *CLUSTER[5:], INGRESS_OF_A, EGRESS_OF_A, _GUARD, _EXTRA)
        yield pod("shop/fixed", list(FIXED.values()), f"app=fixed,guard={'on' if self._guarded else 'off'}")
        for name, ips, where in (("b", B, "node1"), ("far", FAR, "node2")):
            extra = "on" if name in self._extra else "off"
            yield pod(f"shop/{name}", list(ips.values()), f"app={name},extra={extra}", where)
        yield namespace("crowd", **({"team": "x"} if self._team else {}))
        for number, (address, labels, node) in self._crowd.items():
            yield pod(f"crowd/p{number}", [f"10.1.9.{address}", f"fd00:1:9::{address}"], labels, node)
        yield from (POLICIES[name] for name in sorted(self._policies))

    def change(self) -> Change:
        """One to four things at once."""
        for _ in range(self._random.randint(1, 4)):
            self._move()
        return self.take()

    def take(self) -> Change:
        """What the compiler makes of the objects of now."""
        before, self._known = self._known, loaded(list(self.objects()))
        return self.compiler.take(_batch(before, self._known))

    def _move(self) -> None:
        random = self._random
        number = random.randint(1, _POOL)
        match random.randint(0, 11):
            case 0 | 1 | 2:
                self._crowd.pop(number, None)
            case 3 | 4:
                taken = {address for address, _, _ in self._crowd.values()}
                address = random.choice([one for one in range(1, _POOL + 1) if one not in taken] or [number + _POOL])
                labels = random.choice(("app=crowd", "app=other"))
                self._crowd[number] = address, labels, random.choice(("node1", "node1", "node2"))
            case 5:
                self._policies ^= {random.choice(sorted(POLICIES))}
            case 6:
                self._team = not self._team
            case 7 | 8 | 9:
                self._guarded = not self._guarded
            case _:
                self._extra ^= {random.choice(("b", "far"))}

    @staticmethod
    def stream(rig: Rig) -> Stream:
        """What stays allowed and what stays denied."""
        steady = stream(rig)
        allowed: list[Sendable] = []
        denied: list[Sendable] = []
        for family in (4, 6):
            a, b, far, fixed = A[family], B[family], FAR[family], FIXED[family]
            for n in range(30):
                allowed += [connection(source, fixed, TCP, 80 + n % 2, 100 + n) for source in (b, far)]
                allowed += [connection(source, a, TCP, 80, 200 + n) for source in (b, far)]
                denied += [connection(a, fixed, TCP, 80, 300 + n), connection(far, a, TCP, 81, 400 + n)]
        return steady.with_more(allowed, denied)


def _batch(before: Manifests, now: Manifests) -> Batch:
    return Batch(
        _changed({(p.namespace, p.name): p for p in before.pods}, {(p.namespace, p.name): p for p in now.pods}),
        _changed({n.name: n for n in before.namespaces}, {n.name: n for n in now.namespaces}),
        _changed({n.name: n for n in before.nodes}, {n.name: n for n in now.nodes}),
        _changed(_by_key(before), _by_key(now)),
    )


def _by_key(found: Manifests) -> Mapping[tuple[str, str, str], Located]:
    return {
        (one.value.kind, one.value.metadata.namespace or "", one.value.metadata.name): one for one in found.policies
    }


def _changed(before: Mapping[_K, _V], now: Mapping[_K, _V]) -> dict[_K, _V | None]:
    gone = dict.fromkeys(before.keys() - now.keys())
    return {**gone, **{key: value for key, value in now.items() if before.get(key) != value}}

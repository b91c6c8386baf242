"""What the reconciler's tests drive it with: a source that says what a test wants, and a clock that only they move."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.live.batch import Batch
from compiler.resources.language import NO_PROGRAM, Program
from enforcer.sources.saved import Saved, read
from enforcer.sources.source import Problem

NODE = "node-a"
NODES = """\
apiVersion: v1
kind: Node
metadata: {name: node-a}
spec: {podCIDRs: [10.0.0.0/24, "fd00::/64"]}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}
spec: {{nodeName: {node}}}
status: {{phase: Running, podIPs: [{{ip: {ip}}}]}}
---
"""
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, ingress: [{{ports: [{{port: {port}}}]}}]}}
---
"""


def pod(name: str, ip: str, node: str = NODE) -> str:
    return POD.format(name=name, ip=ip, node=node)


def policy(app: str, port: int, name: str = "") -> str:
    return POLICY.format(name=name or app, app=app, port=port)


def saved(*texts: str) -> Saved:
    """The objects of these manifests."""
    found, problems = read({"cluster.yaml": "".join(texts).encode()}, None, lambda file, path: "no includes here")
    assert found is not None, problems
    return found


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """A source. `says` is what it has to tell, in the order of taking; waiting for nothing moves the clock."""

    def __init__(self, clock: Clock, says: Iterable[Saved] = ()) -> None:
        self._clock, self._before = clock, Saved()
        self.says = list(says)
        self.synced = False
        self.program: Program = NO_PROGRAM
        self.wrong: tuple[Problem, ...] = ()
        self.started = False

    def start(self) -> None:
        self.started = True

    def wait(self, timeout: float) -> bool:
        if not self.says:
            self._clock.now += timeout
        return bool(self.says)

    def take(self) -> Batch:
        before, self._before = self._before, self.says.pop(0)
        self.synced = True
        return self._before.since(before)

    def problems(self) -> tuple[Problem, ...]:
        return self.wrong

    def stop(self) -> None:
        self.started = False

"""A node full of isolated pods, and the connections that reach them: what `bench.packets` measures.

Every pod of the node has a policy of its own, the worst case for layouts that spend chains or sets on policies. Who
may connect is decided by labels: an *app* of `PEERS` pods on other nodes. Seeded: the same call, the same cluster.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from bench.wire import Flow
from compiler.net import Family, address_text, parse_prefix
from compiler.policy import (
    Action,
    Block,
    Direction,
    Origin,
    Peer,
    PodSelector,
    Policy,
    Ports,
    Requirement,
    Rule,
    Selector,
    Tier,
)
from compiler.resources.cluster import Pod
from compiler.snapshot import Snapshot, build
from grammar.source import Span

NODE = "bench-node"
PEERS = 16
PORT, RANGE = 53, (8000, 8999)

_PODS_A_NAMESPACE = 100
_FIRST_POD, _FIRST_PEER, _FIRST_OUTSIDER = 0x0A000001, 0x0A800000, 0xAC100000  # 10.0.0.1, 10.128.0.0, 172.16.0.0
_OUTSIDE = Block(parse_prefix("172.16.0.0/12"), (parse_prefix("172.16.128.0/17"),))
_UDP = 17


class Case(Enum):
    """How a connection is judged; the value says it to the reader."""

    EXACT = "one of 16 peers, its port"
    BOTH = "pod to pod of the node, egress and ingress policies"
    RANGE = "one of 16 peers, in a port range"
    BLOCK = "from outside, an ipBlock with an except"
    DENIED = "from outside, denied"
    OPEN = "a pod without policies"


@dataclass(frozen=True, slots=True)
class NodeCluster:
    """`apps` holds, for each pod of the node, the first address of its peers: one /28 of `PEERS` addresses."""

    policies: tuple[Policy, ...]
    snapshot: Snapshot
    pods: tuple[int, ...]
    apps: tuple[int, ...]
    cases: tuple[Case, ...]

    def flows(self, case: Case, count: int, pairs: int, seed: int = 1) -> tuple[Flow, ...]:
        """Connections of one case, no two the same, between at most so many pairs of a source and a pod. DENIED ones
        are like BLOCK ones with a source in the except."""
        draw = random.Random(seed)
        like = Case.BLOCK if case is Case.DENIED else case
        fitting = [n for n, found in enumerate(self.cases) if found is like]
        ends = [self._flow(case, draw.choice(fitting), draw) for _ in range(min(pairs, count))]
        return tuple(draw.choice(ends)._replace(source_port=1024 + n) for n in range(count))

    def _flow(self, case: Case, pod: int, draw: random.Random) -> Flow:
        source = self.apps[pod] + draw.randrange(PEERS)
        port = PORT
        match case:
            case Case.BOTH:
                source = self.pods[pod + 1 if pod + 1 < len(self.pods) else 0]
            case Case.RANGE:
                port = 8080
            case Case.BLOCK | Case.OPEN:
                source = _FIRST_OUTSIDER + draw.randrange(1 << 15)
            case Case.DENIED:
                source = _FIRST_OUTSIDER + (1 << 15) + draw.randrange(1 << 15)
        return Flow(source, self.pods[pod], 0, port)


def node_cluster(pods: int, cases: Sequence[Case] = (Case.EXACT,), seed: int = 1) -> NodeCluster:
    """`pods` pods on the node, dealt out to `cases` in turn, and as many peers elsewhere as their policies need."""
    draw = random.Random(seed)
    apps = max(4, pods // 10)
    dealt = tuple(cases[n % len(cases)] for n in range(pods))
    chosen = tuple(draw.randrange(apps) for _ in range(pods))
    own = [Pod(_space(n), f"pod-{n}", {"pod": f"{n}"}, (_text(_FIRST_POD + n),), NODE) for n in range(pods)]
    far = [
        Pod("clients", f"app-{k}-{i}", {"app": f"app-{k}"}, (_text(_FIRST_PEER + k * PEERS + i),), f"node-{i}")
        for k in range(apps)
        for i in range(PEERS)
    ]
    policies = [policy for n in range(pods) for policy in _policies(n, dealt[n], chosen[n], (n + 1) % pods)]
    return NodeCluster(
        tuple(sorted(policies, key=lambda p: p.order)),
        build([*own, *far]),
        tuple(_FIRST_POD + n for n in range(pods)),
        tuple(_FIRST_PEER + k * PEERS for k in chosen),
        dealt,
    )


def _policies(pod: int, case: Case, app: int, neighbour: int) -> Iterator[Policy]:
    """What isolates one pod."""
    peers: Peer = PodSelector("clients", _label("app", f"app-{app}"))
    one, some = Ports(spans=((_UDP, PORT, PORT),)), Ports(spans=((_UDP, *RANGE),))
    match case:
        case Case.EXACT:
            yield _policy(pod, Direction.INGRESS, peers, one)
        case Case.RANGE:
            yield _policy(pod, Direction.INGRESS, peers, some)
        case Case.BLOCK:
            yield _policy(pod, Direction.INGRESS, _OUTSIDE, one)
        case Case.BOTH:
            yield _policy(pod, Direction.INGRESS, PodSelector(_space(neighbour), _label("pod", f"{neighbour}")), one)
            yield _policy(neighbour, Direction.EGRESS, PodSelector(_space(pod), _label("pod", f"{pod}")), one)
        case _:
            return


def _policy(pod: int, direction: Direction, peer: Peer, ports: Ports) -> Policy:
    name = f"{direction.value}-{pod}"
    span = Span("bench.yaml", pod + 1, 1, pod + 2, 1)
    origin = Origin("NetworkPolicy", _space(pod), name, "", span)
    rules = (Rule(Action.ALLOW, (peer,), ports, replace(origin, place=f"{direction.value}[0]")),)
    ingress = direction is Direction.INGRESS
    return Policy(
        Tier.APPLICATION,
        0,
        PodSelector(_space(pod), _label("pod", f"{pod}")),
        frozenset({direction}),
        rules if ingress else (),
        () if ingress else rules,
        origin,
    )


def _space(pod: int) -> str:
    return f"space-{pod // _PODS_A_NAMESPACE}"


def _label(key: str, value: str) -> Selector:
    return Selector((Requirement(key, "In", (value,)),))


def _text(address: int) -> str:
    return address_text(Family.IPV4, address)

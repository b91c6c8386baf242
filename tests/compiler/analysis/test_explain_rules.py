"""As explain follows them, compiled rules do what the policies say, for every connection of the example."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product

import pytest

from compiler.analysis.explain_rules import Rules, node_addresses, nodes_on_the_way
from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.resources.cluster import Node, Pod
from compiler.semantics.diagrams.space import Path
from compiler.snapshot import build
from tests.compiler.analysis.test_explain import FOUND, POLICIES, SNAPSHOT, ask

COMPILER = Compiler(FOUND.policies, SNAPSHOT)
ENDS = (
    "shop/frontend",
    "shop/backend",
    "shop/database",
    "monitoring/prometheus-0",
    "monitoring/node-exporter-5hr8j",
    "node-a",
    "node-b",
    "203.0.113.7",
    "2001:db8::7",
)
PORTS = ("8080", "5432", "443", "9102", "53/UDP", "9/SCTP", "icmp")


@cache
def texts(backend: Backend, node: str | None) -> Mapping[str, str]:
    return COMPILER.compile(Target(backend, node)).files


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("port", PORTS)
def test_rules_do_what_the_policies_say(backend: Backend, port: str) -> None:
    paths: dict[tuple[Path, bool | None], int] = {}
    for source, destination in product(ENDS, ENDS):
        if (":" in source) != (":" in destination) and "." in source + destination:
            continue  # of different families
        found = ask(source, f"[{destination}]:{port}" if ":" in destination else f"{destination}:{port}")
        rules = Rules(POLICIES, SNAPSHOT, found, lambda node: texts(backend, node).items())
        for answer, journey in rules.journeys():
            assert journey is not None
            assert all(passage.agrees for passage in journey.passages)
            assert all(passage.ways.passed for passage in journey.passages) is answer.allowed
            for passage in journey.passages:
                paths[passage.path, passage.ways.passed] = paths.get((passage.path, passage.ways.passed), 0) + 1
    assert len(paths) == 5, "all ways but those of the node's own packets are denied somewhere"


def test_nodes_on_the_way() -> None:
    assert nodes_on_the_way(ask("shop/frontend", "shop/backend:80"), SNAPSHOT) == ("node-a", "node-b")
    assert nodes_on_the_way(ask("shop/database-0", "192.0.2.1:80"), SNAPSHOT) == ("node-a",)
    assert nodes_on_the_way(ask("192.0.2.2", "192.0.2.1:80"), SNAPSHOT) == ()


def test_addresses_of_nodes() -> None:
    """Those of the Node, and those of its host-network pods that have not finished."""
    pods = [
        Pod("n", "agent", ips=("192.0.2.1",), node="a", host_network=True),
        Pod("n", "gone", ips=("192.0.2.9",), node="a", host_network=True, phase="Failed"),
        Pod("n", "own", ips=("10.0.0.1",), node="a"),
    ]
    found = node_addresses(build(pods, nodes=[Node("b", ips=("192.0.2.2", "2001:db8::2"))]))
    assert found == {"192.0.2.1": "a", "192.0.2.2": "b", "2001:db8::2": "b"}

"""The compile bench runs, and what it compiles is what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.big_cluster import PODS_A_NODE, big_cluster, pod_object, yaml_text
from compiler.sources.manifests import load
from grammar.manifest import documents

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("part", ["nftables", "iptables", "yaml", "help"])
def test_every_part_prints_its_ratio(part: str) -> None:
    command = [sys.executable, "-m", "bench.compile", "--quick", "--part", part]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows
    assert all(float(row[-2 - (row[-1] == "CPU")]) > 0 for row in rows)


def test_objects_survive_being_written() -> None:
    cluster = big_cluster(5, 300, 100)
    objects = (*cluster.policies, *map(pod_object, cluster.pods))
    read = [
        tree.value for tree in documents("f.yaml", yaml_text(objects).encode(), lambda flaw: pytest.fail(str(flaw)))
    ]
    assert read == list(objects)


def test_the_cluster_is_valid_and_full() -> None:
    cluster = big_cluster(5, 300, 100)
    found = load([("f.yaml", yaml_text((*cluster.policies, *map(pod_object, cluster.pods))).encode())])
    assert found.pods == cluster.pods
    assert len(found.policies) == 100
    assert sum(pod.node == "node-0" for pod in cluster.pods) == PODS_A_NODE
    assert cluster == big_cluster(5, 300, 100)

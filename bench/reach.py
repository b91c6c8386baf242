"""What `netpolc reach` costs: CPU seconds for who can open what to whom, all the way from files to each format.

    python -m bench.reach [--quick] [--write FILE]

200 workloads with 500 policies: 1,000 pods in 19 namespaces, as `bench.big_cluster` makes them. Every number is that
of a process of its own, the best of the repetitions. `--write` leaves the cluster in a file, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.big_cluster import big_cluster, pod_object, yaml_text

NAMESPACES, PODS, POLICIES = 19, 1_000, 500
SECONDS = 2.0
FORMATS = ("text", "json", "csv", "dot", "html")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.reach", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one repetition instead of five")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the cluster there and measure nothing")
    options = parser.parse_args(arguments)
    if options.write:
        options.write.write_text(cluster_text(), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "cluster.yaml"
        place.write_text(cluster_text(), encoding="utf-8")
        _measure(place, 1 if options.quick else 5)


def cluster_text() -> str:
    """The cluster with its policies, as a file."""
    made = big_cluster(NAMESPACES, PODS, POLICIES)
    spaces: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one.name, "labels": dict(one.labels)}}
        for one in made.namespaces
    ]
    nodes: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": one.name, "labels": dict(one.labels)},
            "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in one.ips]},
        }
        for one in made.nodes
    ]
    return yaml_text((*spaces, *nodes, *map(pod_object, made.pods), *made.policies))


def _measure(place: Path, times: int) -> None:
    size = place.stat().st_size / 1e6
    found = json.loads(_run(place, "workload", "json"))
    workloads = sum(end["kind"] == "pods" for end in found["ends"])
    print(f"# Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"# {workloads} workloads, {PODS} pods, {POLICIES} policies, {size:.1f} MB of YAML,", end=" ")
    print(f"{len(found['ends'])} ends, {len(found['connections']):,} connections")
    print(f"{'the whole command':<30} {'measured':>10} {'target':>10} {'ratio':>7}")
    for by, formats in (("workload", FORMATS), ("pod", ("csv",))):
        for form in formats:
            spent = min(_cpu(place, by, form) for _ in range(times))
            print(f"{f'--by {by} --format {form}':<30} {spent:>10.2f} {SECONDS:>10.2f} {spent / SECONDS:>7.2f}  s CPU")


def _cpu(place: Path, by: str, form: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(place, by, form)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(place: Path, by: str, form: str) -> bytes:
    netpolc = str(Path(sys.executable).with_name("netpolc"))
    command = [netpolc, "reach", str(place), "--by", by, "--format", form]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    main()

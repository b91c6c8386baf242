"""The third opinion: what network-config-analyzer is told, and how it is asked.

It pins its dependencies to versions that ours exclude, so it lives in an environment of its own, `.venv-analyzer`,
which `run/setup --for-tests` makes from requirements/analyzer.txt.

It knows pods by name and addresses outside, and nothing of nodes, phases, host network or the addresses of pods: it is
told of the pods that hold addresses, and everyone else is an address. Neither a pod's way to itself nor port 0 exists
for it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from compiler.semantics.packet import PORTED, Packet
from compiler.snapshot import Snapshot

Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-analyzer" / "bin" / "python"
WORKER = Path(__file__).with_name("worker.py")


class Analyzer:
    """A process that answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def allowed(self, objects: Iterable[Object], snapshot: Snapshot, packets: Sequence[Packet]) -> list[bool]:
        """Its verdicts on these packets, each with a pod at one end at least; `objects` are those of `snapshot` and
        its NetworkPolicies."""
        names = holders(snapshot)
        asks = [[names.get(p.src, p.src), names.get(p.dst, p.dst), p.proto, p.dport] for p in packets]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"objects": list(_told(objects, snapshot)), "asks": asks}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "failed" not in answer, answer["failed"]
        verdicts: list[bool] = answer["verdicts"]
        return verdicts


@contextmanager
def analyzer() -> Iterator[Analyzer]:
    """Fails when it is not installed; skips, and says so, when it is left out knowingly."""
    if os.environ.get("NETPOLC_NO_ANALYZER") == "1":
        pytest.skip("NETPOLC_NO_ANALYZER=1: no third opinion")
    if not PYTHON.exists():
        pytest.fail(f"needs {PYTHON.parent.parent.name} (run/setup --for-tests); NETPOLC_NO_ANALYZER=1 goes without")
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL  # it warns a lot; what fails comes with the answer
    with subprocess.Popen([PYTHON, WORKER], stdin=pipe, stdout=pipe, stderr=nothing, text=True) as process:
        try:
            yield Analyzer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def holders(snapshot: Snapshot) -> dict[str, str]:
    """Address -> the pod that holds it, as the analyzer calls it."""
    return {ip: f"{pod.namespace}/{pod.name}" for pod in snapshot.pods if pod.holds_addresses for ip in pod.ips}


def can_be_asked(packet: Packet, snapshot: Snapshot) -> bool:
    """Whether the analyzer has a word for this connection."""
    names = holders(snapshot)
    source, destination = names.get(packet.src), names.get(packet.dst)
    return source != destination and (packet.dport > 0 or packet.proto not in PORTED)


def _told(objects: Iterable[Object], snapshot: Snapshot) -> Iterator[Object]:
    """The cluster as far as the analyzer knows clusters. The snapshot's namespaces have the label that an API server
    gives them, and those that are only referred to are among them."""
    known = set(holders(snapshot).values())
    for space in snapshot.namespaces.values():
        metadata = {"name": space.name, "labels": dict(space.labels)}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    for item in objects:
        metadata = item["metadata"]
        if item["kind"] == "NetworkPolicy":
            yield {**item, "spec": _readable(item["spec"])}
        elif item["kind"] == "Pod" and f"{metadata.get('namespace', 'default')}/{metadata['name']}" in known:
            yield item


def _readable(spec: Object) -> Object:
    """The same spec without what the analyzer takes for a mistake and an API server takes: no podSelector, Egress
    before Ingress, rules of a direction that policyTypes leaves out."""
    found = {"podSelector": {}, **spec}
    types = found.get("policyTypes")
    if types:
        found["policyTypes"] = sorted(types, key=["Ingress", "Egress"].index)
        for field, direction in (("ingress", "Ingress"), ("egress", "Egress")):
            if direction not in types:
                found.pop(field, None)
    return found

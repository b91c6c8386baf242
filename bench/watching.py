"""What watching an API server costs the daemon: CPU seconds, memory, and how long an event takes to become a batch.

    python -m bench.watching [--quick]

The server is the tests' stand-in, in a process of its own; objects are as large as a real server sends them (three
kilobytes a pod). Times of the daemon are CPU seconds of its process. Latency is from the moment in which the server
has the change to the moment in which the batch is taken, both by the machine's monotonic clock.

- *first list*: 150,000 pods, 500 namespaces and 10,000 policies in pages of 500, until the first batch is taken;
- *again*: the history is forgotten, and everything is listed anew and found to be as it was;
- *one at a time*: a pod changes fifty times a second;
- *many*: 1,000 pods change each second, for ten seconds.
"""

from __future__ import annotations

import argparse
import gc
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from bench.big_cluster import NAMESPACES, PODS, POLICIES, Object, big_cluster, pod_object
from compiler.resources.cluster import Pod
from enforcer.api.kube import Cluster
from enforcer.api.reflector import Timing
from enforcer.api.transport import Transport
from tests.enforcer.apiserver import ApiServer

LIST_SECONDS, LIST_MEBIBYTES = 5.0, 140.0
EVENT_MILLISECONDS = 1.0
MANY = 1000
#: Restarts of watches are quick, so that nobody waits for the one that the part *again* asks for.
TIMING = Timing(first=0.05, steady=0.1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.watching", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the pods and policies, for two seconds each")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve)
        return
    part = 10 if options.quick else 1
    with subprocess.Popen(
        [sys.executable, "-m", "bench.watching", "--serve", str(part)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as server:  # fmt: skip
        assert server.stdin
        assert server.stdout
        url = server.stdout.readline().strip()
        print(f"# Linux {platform.release()}, Python {platform.python_version()}")
        print(f"{'':<68} {'measured':>10} {'target':>10} {'ratio':>7}")
        measure(url, server.stdin.write, PODS // part, 2 if options.quick else 10)
        server.stdin.write("end\n")


# The server


def serve(part: int) -> None:
    """Has a cluster, and does as it is told on its standard input."""
    server = ApiServer(bookmark=60.0)
    cluster = big_cluster(NAMESPACES, PODS // part, POLICIES // part)
    server.state.keep(
        "namespaces", ({"metadata": _metadata(n.name, labels=dict(n.labels))} for n in cluster.namespaces)
    )
    server.state.keep("pods", map(dressed, cluster.pods))
    policies = [value for value in cluster.policies if value["kind"] == "NetworkPolicy"]
    server.state.keep("networkpolicies", (value | {"metadata": value["metadata"] | _metadata()} for value in policies))
    print(server.url, flush=True)
    for line in sys.stdin:
        match line.split():
            case ["change", count, rate]:
                change(server, cluster.pods, int(count), float(rate))
            case ["lapse"]:
                server.stop()
                change(server, cluster.pods, 1, 1)
                server.state.forget()
                server.start()
            case _:
                server.close()
                return


def change(server: ApiServer, pods: Sequence[Pod], count: int, rate: float) -> None:
    """Changes so many pods, so many a second; a label tells when."""
    random, began = Random(1), time.monotonic()
    for n in range(count):
        time.sleep(max(0.0, began + n / rate - time.monotonic()))
        value = dressed(random.choice(pods))
        value["metadata"]["labels"] |= {"changed": str(time.monotonic_ns())}
        server.state.put("pods", value)


def dressed(pod: Pod) -> Object:
    """With the parts that a cluster adds."""
    value = pod_object(pod)
    container = value["spec"]["containers"][0] | {
        "env": [{"name": f"SETTING_{n}", "value": "some value of it"} for n in range(15)],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
        "terminationMessagePath": "/dev/termination-log",
    }
    fields: Object = {"f:metadata": {"f:labels": {f"f:key-{n}": {} for n in range(20)}}}
    managed = [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "fieldsV1": fields}]
    conditions = [
        {"type": f"Condition{n}", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"} for n in range(5)
    ]
    status = [{"name": "main", "image": "x" * 80, "imageID": "y" * 120, "state": {"running": {"startedAt": "2026"}}}]
    return value | {
        "metadata": value["metadata"] | _metadata() | {"managedFields": managed},
        "spec": value["spec"] | {"containers": [container], "tolerations": [{"key": "a", "operator": "Exists"}] * 3},
        "status": value["status"] | {"conditions": conditions, "containerStatuses": status},
    }


def _metadata(name: str = "", **more: object) -> Object:
    made = {"uid": "0" * 36, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return made | ({"name": name} if name else {}) | more


# The daemon


def measure(url: str, tell: object, pods: int, seconds: int) -> None:
    def said(line: str) -> None:
        assert callable(tell)
        tell(line + "\n")

    before = memory()
    began, spent = time.monotonic(), time.process_time()
    cluster = Cluster(Transport(lambda made: setattr(made, "host", url)), timing=TIMING)
    cluster.start()
    while not cluster.synced:
        cluster.wait(60)
    taken = cluster.take()
    assert len(taken.pods) == pods
    row("first list: CPU seconds", time.process_time() - spent, LIST_SECONDS)
    row("first list: seconds", time.monotonic() - began)
    row("first list: peak MiB above an empty daemon", memory() - before, LIST_MEBIBYTES)
    gc.collect()
    gc.freeze()
    spent = time.process_time()
    said("lapse")
    while not cluster.wait(60) or not cluster.take():
        pass
    row("again: CPU seconds", time.process_time() - spent, LIST_SECONDS)
    row("again: peak MiB above an empty daemon", memory() - before)
    said(f"change {50 * seconds} 50")
    report("one at a time", latencies(cluster, 50 * seconds), EVENT_MILLISECONDS)
    spent = time.process_time()
    said(f"change {MANY * seconds} {MANY}")
    report("many", latencies(cluster, MANY * seconds))
    row(f"many: share of a processor, {MANY} changes a second", (time.process_time() - spent) / seconds)
    cluster.stop()


def latencies(cluster: Cluster, count: int) -> Iterator[float]:
    """Milliseconds from change to batch; of a pod that changed twice before it was taken, of the last change."""
    until = time.monotonic() + 60
    last, quiet = 0, time.monotonic()
    while time.monotonic() < until and time.monotonic() - quiet < 2:
        if not cluster.wait(0.5):
            continue
        batch, now = cluster.take(), time.monotonic_ns()
        quiet = time.monotonic()
        for pod in batch.pods.values():
            if pod is not None and "changed" in pod.labels:
                last += 1
                yield (now - int(pod.labels["changed"])) / 1e6
        if last >= count:
            return


def report(name: str, found: Iterable[float], target: float | None = None) -> None:
    values = sorted(found)
    row(f"{name}: milliseconds to a batch, median of {len(values)}", statistics.median(values), target)
    row(f"{name}: milliseconds to a batch, 99 %", values[len(values) * 99 // 100])


def memory() -> float:
    """Peak of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(name: str, value: float, target: float | None = None) -> None:
    ratio = f"{target:>10.2f} {value / target:>7.2f}" if target else ""
    print(f"{name:<68} {value:>10.2f} {ratio}".rstrip(), flush=True)


if __name__ == "__main__":
    main()

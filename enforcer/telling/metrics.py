"""What the daemon tells Prometheus: made when it is asked for, from what the reconciler knows of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from enforcer.reconcile import Counts, State

#: Version 0.0.4 of the text format, which every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Seen:
    """The daemon at one moment. `problems`: how many things are wrong; `applied_at`: seconds since 1970 of the last
    change of rules, None before the first; `denied`: packets that were told of as denied."""

    node: str
    backend: str
    version: str
    state: State
    problems: int
    applied_at: float | None
    denied: int = 0


class Metrics(Collector):
    """`look` is called each time somebody asks."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def page(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        seen = self._look()
        yield InfoMetricFamily(
            "netpolc",
            "The enforcer of a node",
            value={"node": seen.node, "backend": seen.backend, "version": seen.version},
        )
        yield from _now(seen)
        yield from _since_the_start(seen.state.counts, seen.denied)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on the moment."""
        return ()


def _now(seen: Seen) -> Iterator[Metric]:
    state, view = seen.state, seen.state.view
    yield _gauge("synced", "Whether the whole cluster has been seen once", state.synced)
    yield _gauge("in_sync", "Whether the rules in force are what the cluster asks for", state.in_sync)
    yield _gauge("proved", "Whether the rules in force were proved to mean what the policies say", state.proved)
    yield _gauge("problems", "Things that are wrong now, as netpolc status lists them", seen.problems)
    yield _gauge("closed_addresses", "Addresses closed because rules for them were found wrong", len(state.barred))
    yield _gauge("foreign_rules", "Rules of others that let packets pass before ours see them", len(state.foreign))
    yield _gauge("chains", "Chains in the kernel that are ours", len(state.actual.chains))
    yield _gauge("sets", "Sets and maps in the kernel that are ours", len(state.actual.sets))
    if seen.applied_at is not None:
        yield _gauge("last_change_timestamp_seconds", "When rules were changed last, since 1970", seen.applied_at)
    if view is not None:
        pods = view.snapshot.pods
        yield _gauge("policies", "Policies that the rules in force were made of", len(view.policies))
        yield _gauge("pods", "Pods of the cluster that the rules in force know", len(pods))
        yield _gauge("local_pods", "Pods of this node among them", sum(pod.node == seen.node for pod in pods))


def _since_the_start(counts: Counts, denied: int) -> Iterator[Metric]:
    yield _counter("batches", "Batches of changed objects that were taken", counts.batches)
    yield _by_result("compiles", "Rulesets that were made", ok=counts.compiled, failed=counts.failed)
    yield _counter("proof_mismatches", "Proofs that found rules wrong", counts.mismatches)
    yield _by_result("applies", "Loads of rules", ok=counts.applied, busy=counts.busy, refused=counts.refused)
    yield _counter("drifts", "Changes of our rules by others, all put right", counts.drifts)
    yield _counter("denials_told", "Denied packets that were logged, at a limited rate", denied)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"netpolc_{name}", about, value=value)


def _counter(name: str, about: str, value: int) -> Metric:
    return CounterMetricFamily(f"netpolc_{name}", about, value=value)


def _by_result(name: str, about: str, **results: int) -> Metric:
    family = CounterMetricFamily(f"netpolc_{name}", about, labels=["result"])
    for result, count in results.items():
        family.add_metric([result], count)
    return family

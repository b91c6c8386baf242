"""What Prometheus reads of the daemon."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from compiler.resources.cluster import Pod
from compiler.resources.language import NO_PROGRAM
from compiler.snapshot import build
from enforcer.dataplane import Actual, Foreign
from enforcer.reconcile import Counts, State, View
from enforcer.telling.metrics import Metrics, Seen


def read(seen: Seen) -> dict[tuple[str, ...], float]:
    """Name and sorted values of labels -> value, of what is netpolc's own."""
    page = Metrics(lambda: seen).page().decode()
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return {(s.name, *sorted(s.labels.values())): s.value for s in samples if s.name.startswith("netpolc")}


def test_before_anything_was_seen() -> None:
    found = read(Seen("node-a", "nftables", "0.1.0", State(), 1, None))
    assert found["netpolc_info", "0.1.0", "nftables", "node-a"] == 1
    assert (found["netpolc_synced",], found["netpolc_in_sync",], found["netpolc_problems",]) == (0, 0, 1)
    assert not {("netpolc_pods",), ("netpolc_last_change_timestamp_seconds",)} & found.keys()


def test_everything_that_the_reconciler_knows() -> None:
    pods = [Pod("shop", f"p{n}", ips=(f"10.0.0.{n}",), node=f"node-{'ab'[n % 2]}") for n in range(1, 6)]
    state = State(
        synced=True,
        in_sync=True,
        proved=True,
        view=View((), build(pods), NO_PROGRAM),
        actual=Actual(frozenset({"a", "b"}), frozenset({"s"})),
        barred=frozenset({"10.0.0.1"}),
        foreign=(Foreign("FORWARD", "-j ACCEPT", "in front of ours"),),
        counts=Counts(batches=1, compiled=2, failed=3, mismatches=4, applied=5, busy=6, refused=7, drifts=8),
    )
    found = read(Seen("node-a", "iptables-legacy", "0.1.0", state, 0, 1.75e9, 9))
    assert {name[len("netpolc_") :]: value for (name, *labels), value in found.items() if not labels} == {
        **{"synced": 1, "in_sync": 1, "proved": 1, "problems": 0, "closed_addresses": 1, "foreign_rules": 1},
        **{"chains": 2, "sets": 1, "last_change_timestamp_seconds": 1.75e9, "policies": 0, "pods": 5, "local_pods": 2},
        **{"batches_total": 1, "proof_mismatches_total": 4, "drifts_total": 8, "denials_told_total": 9},
    }
    results = {("compiles", "ok"): 2, ("compiles", "failed"): 3, ("applies", "ok"): 5, ("applies", "busy"): 6}
    for (name, result), value in {**results, ("applies", "refused"): 7}.items():
        assert found[f"netpolc_{name}_total", result] == value


def test_the_process_is_told_of_too() -> None:
    assert b"process_resident_memory_bytes" in Metrics(lambda: Seen("n", "nftables", "0", State(), 0, None)).page()

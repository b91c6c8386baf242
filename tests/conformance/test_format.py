"""How cases are read, on a suite of our own: a row misread would judge nothing, or the wrong thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conformance.cases import FORMAT, State, cases
from tests.conformance.judged import Judged

CLUSTER = {
    "namespaces": [{"name": "x", "labels": {"env": "test"}}],
    "nodes": [{"name": "n1", "ips": ["192.0.2.1"]}],
    "pods": [
        {
            "namespace": "x",
            "name": "a",
            "labels": {"app": "a"},
            "ips": ["10.0.0.1", "fd00::1"],
            "node": "n1",
            "ports": [],
        },
        {
            "namespace": "x",
            "name": "b",
            "labels": {},
            "ips": ["10.0.0.2"],
            "ports": [{"name": None, "containerPort": 80}],
        },
    ],
}
CLOSED = {
    "kind": "NetworkPolicy",
    "metadata": {"namespace": "x", "name": "p"},
    "spec": {"podSelector": {}},
    "status": {},
}


def states(tmp_path: Path, *steps: Any, **case: Any) -> list[State]:
    """The states of a case with these steps, in a suite that shares its cluster."""
    suite = {
        "format": FORMAT,
        "clusters": {"c": CLUSTER},
        "cases": [{"name": "n", "cluster": "c", "steps": steps, **case}],
    }
    (tmp_path / "suite.json").write_text(json.dumps(suite))
    (tmp_path / "other.json").write_text('{"format": "something else"}')
    (found,) = cases(tmp_path)
    assert found.name == "suite/n"
    return list(found.states())


def row(source: str, destination: str, port: int = 80, allowed: bool = True, **more: Any) -> dict[str, Any]:
    return {"from": source, "to": destination, "protocol": "TCP", "port": port, "allowed": allowed, **more}


def test_no_folder_no_case(tmp_path: Path) -> None:
    assert list(cases(tmp_path / "missing")) == []


def test_steps_build_on_each_other(tmp_path: Path) -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"namespace": "y", "name": "c"},
        "spec": {"containers": [{"name": "m", "image": "m"}]},
        "status": {"podIPs": [{"ip": "10.0.0.3"}]},
    }
    space = {"kind": "Namespace", "metadata": {"name": "y", "labels": {"env": "prod"}}}
    one, two, three, four = states(
        tmp_path,
        {"apply": [CLOSED]},
        {"apply": [space, pod]},
        {"delete": [{"kind": "NetworkPolicy", "namespace": "x", "name": "p"}]},
        {"delete": [{"kind": "Namespace", "name": "y"}]},
    )
    assert [len(state.objects) for state in (one, two, three, four)] == [5, 7, 6, 4]
    assert Judged(one).policies[0].value.metadata.name == "p"
    assert [pod.node for pod in Judged(two).snapshot.pods] == ["n1", "node1", "node1"], "a node that is left open"
    assert Judged(two).snapshot.namespaces["y"].labels["env"] == "prod"
    assert four.objects.keys() == one.objects.keys() - {("NetworkPolicy", "x", "p")}


def test_table(tmp_path: Path) -> None:
    table = [
        row("x/a", "x/b"),
        row("ip:203.0.113.1", "x/a", 81, False, family="IPv4", ingress=False),
        row("x/a", "x/a"),
    ]
    (state,) = states(tmp_path, {"expect": {"table": table}})
    assert [str(found) for found in state.rows] == ["x/a -> x/b TCP/80", "ip:203.0.113.1 -> x/a TCP/81"]
    assert [(found.allowed, found.version, found.ingress) for found in state.rows] == [
        (True, None, None),
        (False, 4, False),
    ]


def test_matrix(tmp_path: Path) -> None:
    probe = {"protocol": "UDP", "port": 53, "rows": {"x/a": ".IEBx?"}}
    to = ["x/1", "x/2", "x/3", "x/4", "x/5", "x/6"]
    (state,) = states(tmp_path, {"expect": {"matrix": {"to": to, "probes": [probe]}}})
    told = [(found.allowed, found.ingress, found.egress) for found in state.rows]
    assert told == [(True,) * 3, (False, False, True), (False, True, False), (False,) * 3, (False, None, None)]


def test_complete_list(tmp_path: Path) -> None:
    inside, outside = "10.0.0.0-10.0.0.9", "10.0.0.10-255.255.255.255"
    allow = {inside: {"x/w[Job]": "TCP 80,90-92,UDP 53"}, "x/w[Job]": {outside: "ALL"}}
    externals = ["10.0.0.9", "10.0.0.10", "::1"]
    expect = {"allow": allow, "endpoints": {"x/a": "x/w[Job]"}, "externals": externals, "ports": [53, 80, 92]}
    (state,) = states(tmp_path, {"expect": expect})
    allowed = {str(found) for found in state.rows if found.allowed}
    into = {"ip:10.0.0.9 -> x/a TCP/80", "ip:10.0.0.9 -> x/a TCP/92", "ip:10.0.0.9 -> x/a UDP/53"}
    out = {f"x/a -> ip:10.0.0.10 {protocol}/{port}" for protocol in ("TCP", "UDP", "SCTP") for port in (53, 80, 92)}
    assert allowed == into | out
    assert len(state.rows) == 3 * 2 * 9, "both ways, never between two externals"


def test_known_disagreements(tmp_path: Path) -> None:
    table = [row("x/a", "x/b", port) for port in (80, 81, 82)]
    known = [
        {"from": "x/a", "port": 80, "who_is_right": "reference"},
        {"step": 0, "to": ["x/b", "x/c"], "port": [81], "who_is_right": "nobody"},
        {"step": 1, "port": 82, "who_is_right": "reference"},
    ]
    first, second = states(tmp_path, *[{"expect": {"table": table}}] * 2, known_disagreements=known)
    assert [(found.port, found.allowed) for found in first.rows] == [(80, False), (82, True)]
    assert [(found.port, found.allowed) for found in second.rows] == [(80, False), (81, True), (82, False)]


def test_a_row_has_one_family(tmp_path: Path) -> None:
    table = [row("x/a", "x/b"), row("ip:2001:db8::1", "x/a"), row("x/a", "ip:2001:db8::1"), row("node:n1", "x/a")]
    (state,) = states(tmp_path, {"expect": {"table": table}})
    packets = [packet for _, packet in Judged(state).rows]
    ends = [(packet.src, packet.dst) for packet in packets]
    outside = "2001:db8::1"
    assert ends == [("10.0.0.1", "10.0.0.2"), (outside, "fd00::1"), ("fd00::1", outside), ("192.0.2.1", "10.0.0.1")]
    assert len({packet.sport for packet in packets}) == 4


def test_selectors_that_v1alpha1_requires(tmp_path: Path) -> None:
    spec = {"priority": 1, "subject": {"pods": {"podSelector": {}}}}
    policy = {"kind": "AdminNetworkPolicy", "metadata": {"name": "p"}, "spec": spec}
    (state,) = states(tmp_path, {"apply": [policy]})
    assert b'"namespaceSelector"' not in state.text
    assert b'"namespaceSelector": {}' in state.repaired

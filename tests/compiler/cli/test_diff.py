"""`netpolc diff`: what opened and closed, why, and the exit status that CI goes by."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[3]
SHOP = ROOT / "fixtures/examples/shop"
Netpolc = Callable[..., Run]


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The shop, with an except less and another peer of the backend."""
    place = tmp_path / "new"
    shutil.copytree(SHOP, place)
    policies = place / "policies.yaml"
    text = policies.read_text(encoding="utf-8")
    wider = text.replace("            except: [203.0.113.128/25]\n", "")
    peer = "        - podSelector:\n            matchLabels: {tier: %s}\n"
    narrower = wider.replace(peer % "frontend", peer % "none", 1)
    assert len({text, wider, narrower}) == 3
    policies.write_text(narrower, encoding="utf-8")
    return place


def test_what_opened_and_closed_and_why(netpolc: Netpolc, changed: Path) -> None:
    found = netpolc("diff", str(SHOP), "new")
    assert found.status == 1
    old = f"{SHOP}/policies.yaml"
    lines = found.stdout.splitlines()
    assert lines[:4] == [
        "opened: tcp 443, IPv4",
        "  from   shop/backend",
        "  to     outside 203.0.113.128/25",
        "  e.g.   10.244.1.12 -> 203.0.113.128 tcp/443",
    ]
    flat = " ".join(found.stdout.split())
    assert f"before denied: egress, no rule allows it in shop/default-deny ({old}:2)" in flat
    assert "after allowed: egress by shop/backend egress[1] (new/policies.yaml:93)" in flat
    closed = lines[lines.index("closed: tcp 8080") :]
    assert closed[1:3] == ["  from   shop/frontend", "  to     shop/backend"]
    assert f"ingress by shop/backend ingress[0] ({old}:82)" in flat
    assert "after denied: ingress, no rule allows it in shop/default-deny (new/policies.yaml:2)" in flat


@pytest.mark.parametrize(
    ("fail_on", "there", "back"), [("opened", 0, 1), ("closed", 1, 0), ("any", 1, 1), ("none", 0, 0)]
)
def test_exit_status(netpolc: Netpolc, tmp_path: Path, fail_on: str, there: int, back: int) -> None:
    """On the way there a policy appears, which only closes; on the way back it only opens."""
    (tmp_path / "deny.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {namespace: monitoring, name: closed}\nspec: {podSelector: {}}\n"
    )
    (tmp_path / "empty.yaml").write_text("")
    cluster = ("--cluster", f"{SHOP}/pods.yaml", "--cluster", f"{SHOP}/cluster.yaml", "--fail-on", fail_on)
    assert netpolc("diff", "empty.yaml", "deny.yaml", *cluster).status == there
    assert netpolc("diff", "deny.yaml", "empty.yaml", *cluster).status == back


def test_no_difference(netpolc: Netpolc) -> None:
    found = netpolc("diff", str(SHOP), str(SHOP), "--fail-on", "any")
    assert (found.status, found.stdout) == (0, "no difference: everyone reaches whom they reached before\n")


def test_the_cluster_of_one_side_is_for_both(netpolc: Netpolc, changed: Path) -> None:
    """The new side has policies alone."""
    whole = netpolc("diff", str(SHOP), "new", "--format", "json")
    alone = netpolc("diff", str(SHOP), "new/policies.yaml", "--format", "json")
    assert json.loads(alone.stdout)["ends"] == json.loads(whole.stdout)["ends"]


def test_json(netpolc: Netpolc, changed: Path) -> None:
    made = json.loads(netpolc("diff", str(SHOP), "new", "--format", "json").stdout)
    (opened,), (closed,) = made["opened"], made["closed"]
    assert opened["ports"] == {"tcp": [[443, 443]]}
    assert opened["families"] == ["IPv4"]
    assert [made["ends"][n]["name"] for n in closed["from"]] == [
        "shop/frontend-6d8f7c9b5-4kqzx",
        "shop/frontend-6d8f7c9b5-t7w2n",
    ]
    (witness,) = closed["witnesses"]
    assert (witness["before"]["allowed"], witness["after"]["allowed"]) == (True, False)
    rules = [rule for reason in witness["before"]["reasons"] for rule in reason["rules"]]
    assert [rule["rule"] for rule in rules] == ["egress[0]", "ingress[0]"]
    assert closed["all_rules"] is True


def test_workloads_without_pods(netpolc: Netpolc, changed: Path) -> None:
    found = netpolc("diff", f"{SHOP}/policies.yaml", "new/policies.yaml", "--cluster", f"{SHOP}/workloads.yaml")
    assert found.status == 1
    assert "  to     outside 203.0.113.128/25" in found.stdout.splitlines()


@pytest.mark.parametrize("names", [("missing", "new"), ("new", f"{ROOT}/fixtures/examples/broken.yaml")])
def test_bad_input(netpolc: Netpolc, changed: Path, names: tuple[str, str]) -> None:
    found = netpolc("diff", *names)
    assert found.status == 2
    assert "error:" in found.stderr
    assert found.stdout == ""


def test_a_new_pod_opens(netpolc: Netpolc, tmp_path: Path) -> None:
    """Each side has its own cluster: whom a new pod reaches is opened."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: a, name: {0}}}\nstatus: {{podIP: 10.0.0.{1}}}\n"
    (tmp_path / "old.yaml").write_text(pod.format("one", 1))
    (tmp_path / "new.yaml").write_text(pod.format("one", 1) + "---\n" + pod.format("two", 2))
    found = netpolc("diff", "old.yaml", "new.yaml")
    assert found.status == 1
    assert "    before one of them was not there" in found.stdout.splitlines()
    assert "closed" not in found.stdout

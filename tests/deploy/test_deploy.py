"""What `deploy/` says, held against what the daemon does; and by the tools of its own world where these are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from compiler.cli.main import COMMANDS, cli
from compiler.resources.language import NO_PROGRAM
from compiler.snapshot import build
from enforcer.reconcile import State, View
from enforcer.telling.metrics import Metrics, Seen

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def static() -> list[dict[str, Any]]:
    return documents((DEPLOY / "kubernetes.yaml").read_text())


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = (one for one in static() if one["kind"] == kind)
    return found


def parsed(arguments: list[str]) -> str:
    """The command that these arguments run; click refuses what it does not know."""
    assert arguments[0] in COMMANDS
    command = cli.get_command(click.Context(cli), arguments[0])
    assert command is not None
    command.make_context(arguments[0], list(arguments[1:]), resilient_parsing=False)
    return arguments[0]


def metric_names() -> set[str]:
    """Every name that a query may ask for."""
    state = State(view=View((), build(), NO_PROGRAM))
    page = Metrics(lambda: Seen("n", "nftables", "0", state, 0, 1.0)).page().decode()
    return {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}


def asked(query: str) -> set[str]:
    return set(re.findall(r"\b(?:netpolc|process)_\w+", query))


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: not judged by it")
    return found


def test_the_daemonset_runs_a_command_that_there_is() -> None:
    (container,) = of_kind("DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert parsed(container["args"]) == "enforce"


def test_the_daemonset_has_one_capability_and_a_root_that_is_read_only() -> None:
    (container,) = of_kind("DaemonSet")["spec"]["template"]["spec"]["containers"]
    context = container["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert context["readOnlyRootFilesystem"]
    assert not context["privileged"]
    assert not context["allowPrivilegeEscalation"]


def test_the_role_reads_and_writes_events_alone() -> None:
    for rule in of_kind("ClusterRole")["rules"]:
        assert rule["verbs"] == (["create", "patch"] if rule["resources"] == ["events"] else ["get", "list", "watch"])
        assert "*" not in rule["resources"] + rule["apiGroups"]


def test_alerts_ask_for_metrics_that_there_are() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
    for rule in rules:
        assert asked(rule["expr"]) <= metric_names(), rule["alert"]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    panels = json.loads((DEPLOY / "grafana/netpolc.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert all(asked(query) and asked(query) <= metric_names() for query in queries)


def test_no_panel_lies_on_another() -> None:
    panels = json.loads((DEPLOY / "grafana/netpolc.json").read_text())["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_promtool_takes_the_alerts() -> None:
    command = [tool("promtool"), "check", "rules", str(DEPLOY / "prometheus/alerts.yaml")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("systemd/*.service")), ids=lambda unit: unit.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    """Next to each other, since one names the other; with a netpolc that is installed."""
    netpolc = Path(sys.executable).parent / "netpolc"
    for one in DEPLOY.glob("systemd/*.service"):
        (tmp_path / one.name).write_text(one.read_text().replace("/opt/netpolc/bin/netpolc", str(netpolc)))
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", str(tmp_path / unit.name)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("systemd/*.service")), ids=lambda unit: unit.name)
def test_units_run_commands_that_there_are(unit: Path) -> None:
    (start,) = re.findall(r"^ExecStart=/opt/netpolc/bin/netpolc (.*)$", unit.read_text(), re.MULTILINE)
    words = [word for word in start.split() if not word.startswith("$")]
    assert words[0] in COMMANDS
    if words[0] == "enforce":
        folder = words.index("--cluster")
        assert parsed([*words[: folder + 1], str(DEPLOY), *words[folder + 2 :]]) == "enforce"


def test_the_chart_is_the_manifest() -> None:
    """With its own values, under the name and in the namespace that the manifest has."""
    command = [tool("helm"), "template", "netpolc", str(DEPLOY / "chart"), "--namespace", "kube-system"]
    made = documents(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for one in made:
        if one["kind"] == "DaemonSet":
            for container in one["spec"]["template"]["spec"]["containers"]:
                assert container.pop("imagePullPolicy") == "IfNotPresent"
    key = lambda one: (one["kind"], one["metadata"]["name"])  # noqa: E731
    assert sorted(made, key=key) == sorted(static(), key=key)


def test_the_image_has_what_the_daemon_runs() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for package in ("nftables", "libnftables1", "iptables", "ipset", "python3"):
        assert re.search(rf"\b{package}\b", text.split("FROM ")[-1]), package
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())

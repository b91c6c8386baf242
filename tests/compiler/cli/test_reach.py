"""`netpolc reach`: formats, filters, and what the page shows in a real browser."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from compiler.analysis.reach import By, Reach
from compiler.analysis.reach_page import Template, page
from compiler.analysis.survey import Kind, Party
from tests.compiler.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[3]
SHOP = str(ROOT / "fixtures/examples/shop")
Netpolc = Callable[..., Run]


def connections(found: Run) -> dict[tuple[str, str], dict[str, Any]]:
    """(source, target) -> ports, from JSON."""
    made = json.loads(found.stdout)
    names = [end["name"] for end in made["ends"]]
    return {(names[one["from"]], names[one["to"]]): one["ports"] for one in made["connections"]}


def test_text(netpolc: Netpolc) -> None:
    found = netpolc("reach", SHOP, "--from", "shop/backend")
    assert found.status == 0
    assert found.stdout.splitlines() == [
        "shop/backend (2 pods)",
        "  tcp 53; udp 53 -> kube-system/coredns",
        "  tcp 5432       -> shop/database",
        "  tcp 443        -> outside 203.0.113.0/25",
    ]


def test_json_names_ends_and_exact_ports(netpolc: Netpolc) -> None:
    found = connections(netpolc("reach", SHOP, "--format", "json"))
    assert found["shop/frontend", "shop/backend"] == {"tcp": [[8080, 8080]]}
    assert ("shop/frontend", "shop/database") not in found
    everything = {name: [[0, 65535]] for name in ("tcp", "udp", "sctp")}
    assert found["kube-system/coredns", "monitoring/grafana"] == {**everything, "other": True}


def test_by_pod(netpolc: Netpolc) -> None:
    found = connections(netpolc("reach", SHOP, "--format", "json", "--by", "pod", "--to", "shop/database-0"))
    assert found["shop/database-1", "shop/database-0"] == {"tcp": [[5432, 5432]]}
    assert ("shop/database-0", "shop/database-0") not in found
    assert {target for _, target in found} == {"shop/database-0"}


def test_csv_has_an_interval_a_line(netpolc: Netpolc) -> None:
    rows = list(csv.DictReader(netpolc("reach", SHOP, "--format", "csv").stdout.splitlines()))
    chosen = [tuple(row.values()) for row in rows if row["source"] == "shop/database"]
    both = "IPv4 IPv6"
    assert chosen == [
        ("shop/database", "kube-system/coredns", both, "every", "tcp", "53", "53"),
        ("shop/database", "kube-system/coredns", both, "every", "udp", "53", "53"),
        ("shop/database", "shop/database", both, "every", "tcp", "5432", "5432"),
    ]
    assert {row["protocol"] for row in rows} == {"tcp", "udp", "sctp", "other"}


def test_csv_names_every_range(netpolc: Netpolc, tmp_path: Path) -> None:
    """Text counts what is beyond the first six blocks; a row of CSV must be enough to tell whom it means."""
    holes = [f"10.{n}.0.0/16" for n in range(0, 18, 2)]
    (tmp_path / "in.yaml").write_text(
        f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: web}}
spec:
  podSelector: {{}}
  policyTypes: [Egress]
  egress:
  - to: [{{ipBlock: {{cidr: 0.0.0.0/0, except: [{", ".join(holes)}]}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: web}}
status: {{podIP: 192.0.2.1}}
"""
    )
    assert "and 3 more" in netpolc("reach", "in.yaml").stdout
    rows = list(csv.DictReader(netpolc("reach", "in.yaml", "--format", "csv", "--from", "pods").stdout.splitlines()))
    assert {row["target"] for row in rows} == {f"outside 0.0.0.0/0 except {', '.join(holes)}"}


def test_dot_quotes_what_it_names(netpolc: Netpolc) -> None:
    found = netpolc("reach", SHOP, "--format", "dot").stdout
    assert found.startswith("digraph reach {\n")
    assert found.count("{") == found.count("}") == 1 + len({"shop", "monitoring", "kube-system"})
    assert '[label="tcp 8080"]' in found


@pytest.mark.parametrize("name", ["shop", "shop/*", "shop/backend-5c7d9f6b8d-m2x9p", "10.244.1.12", "pods"])
def test_ways_to_name_an_end(netpolc: Netpolc, name: str) -> None:
    found = connections(netpolc("reach", SHOP, "--format", "json", "--from", name))
    assert ("shop/backend", "shop/database") in found


def test_address_outside_and_node(netpolc: Netpolc) -> None:
    outside = connections(netpolc("reach", SHOP, "--format", "json", "--from", "198.51.100.1", "--to", "shop"))
    assert {target for _, target in outside} == {"shop/frontend"}
    nodes = connections(netpolc("reach", SHOP, "--format", "json", "--from", "node-a"))
    assert {source for source, _ in nodes} == {"all nodes"}


def test_a_name_that_nobody_has_is_an_error(netpolc: Netpolc) -> None:
    found = netpolc("reach", SHOP, "--from", "prometheus", "--to", "shp/backend")
    assert found.status == 2
    assert "--from prometheus: nobody in the input has this name; did you mean monitoring/prometheus?" in found.stderr
    assert found.stdout == ""


def test_policies_alone_are_an_error(netpolc: Netpolc) -> None:
    found = netpolc("reach", f"{SHOP}/policies.yaml")
    assert found.status == 2
    assert "no pod with an address and no workload in the input" in found.stderr


def test_workloads_without_pods_have_stand_ins(netpolc: Netpolc) -> None:
    found = netpolc("reach", f"{SHOP}/policies.yaml", f"{SHOP}/workloads.yaml", "--format", "json")
    assert "3 workloads have no pod with an address" in found.stderr
    assert set(connections(found)) >= {
        ("shop/frontend", "shop/backend"),
        ("shop/database", "shop/database"),
        ("shop/backend", "203.0.113.0/25"),
    }
    assert ("0.0.0.0/0", "shop/frontend") not in connections(found)


def test_bad_input(netpolc: Netpolc) -> None:
    found = netpolc("reach", str(ROOT / "fixtures/examples/broken.yaml"))
    assert found.status == 2
    assert "broken.yaml:9:3: error:" in found.stderr


# The page


class Page(HTMLParser):
    """The cells of the matrix and what the page would load, from a DOM as the browser dumps it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[dict[str, str | None]] = []
        self.loads: list[str | None] = []
        self.headings: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._within = tag
        if "data-from" in found:
            self.cells.append(found)
        self.loads += [found[name] for name in ("src", "href") if name in found]

    def handle_data(self, data: str) -> None:
        if self._within == "h2":
            self.headings.append(data)


def browser(tmp_path: Path, address: str, *more: str) -> str:
    """What headless chromium prints."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: the page was not opened in a browser (apt-get install chromium)")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=5000 --window-size=1400,900"
    done = subprocess.run(
        [program, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", *more, address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_a_dash_is_standard_output(netpolc: Netpolc, tmp_path: Path) -> None:
    found = netpolc("reach", SHOP, "-o", "-")
    assert found == netpolc("reach", SHOP)
    assert found.stdout
    assert not (tmp_path / "-").exists()


@pytest.fixture
def shop_page(netpolc: Netpolc, tmp_path: Path) -> Path:
    assert netpolc("reach", SHOP, "--format", "html", "-o", "reach.html").status == 0
    return tmp_path / "reach.html"


def test_page_has_no_outside_parts(shop_page: Path) -> None:
    text = shop_page.read_text(encoding="utf-8")
    assert not Page(text).loads
    for loading in ("url(", "@import", "http://", "https://", "fetch(", "XMLHttpRequest"):
        assert loading not in text.replace("http://www.w3.org/2000/svg", ""), loading


def test_browser_draws_every_cell(netpolc: Netpolc, shop_page: Path, tmp_path: Path) -> None:
    made = json.loads(netpolc("reach", SHOP, "--format", "json").stdout)
    drawn = Page(browser(tmp_path, shop_page.as_uri(), "--dump-dom")).cells
    assert {(int(c["data-from"] or ""), int(c["data-to"] or "")) for c in drawn} == {
        (one["from"], one["to"]) for one in made["connections"]
    }
    names = [end["name"] for end in made["ends"]]
    said = {(names[int(c["data-from"] or "")], names[int(c["data-to"] or "")]): c for c in drawn}
    assert said["shop/frontend", "shop/backend"]["data-ports"] == "tcp 8080"
    assert said["shop/backend", "203.0.113.0/25"]["data-ports"] == "tcp 443 (IPv4)"
    assert said["kube-system/coredns", "monitoring/grafana"]["class"] == "cell all"


def test_browser_filters_by_port_and_name(shop_page: Path, tmp_path: Path) -> None:
    drawn = Page(browser(tmp_path, shop_page.as_uri() + "#port=tcp%205432&name=database", "--dump-dom"))
    assert {c["data-ports"] for c in drawn.cells} == {"tcp 5432"}
    assert len(drawn.cells) == 2
    chosen = Page(browser(tmp_path, shop_page.as_uri() + "#view=graph&end=shop/database", "--dump-dom"))
    assert chosen.headings == ["shop/database"]


def test_light_and_dark_are_different_pictures(shop_page: Path, tmp_path: Path) -> None:
    pictures = []
    for theme in ("light", "dark"):
        place = tmp_path / f"{theme}.png"
        browser(tmp_path, f"{shop_page.as_uri()}#theme={theme}", f"--screenshot={place}")
        pictures.append(place.read_bytes())
    assert all(picture.startswith(b"\x89PNG") and len(picture) > 20_000 for picture in pictures)
    assert pictures[0] != pictures[1]


def test_names_never_become_markup() -> None:
    """No name that passes validation holds `<`; should one ever, the data still cannot end the script."""
    hostile = Party(Kind.PODS, "x", "x/</script><script>alert(1)</script>&amp;", (), {})
    made = page(Reach(By.POD, (hostile,), ()), Template("<script>/*DATA*/</script>", "", ""))
    assert made.count("<") == 2
    assert json.loads(made.removeprefix("<script>").removesuffix("</script>"))["ends"][0]["name"] == hostile.name

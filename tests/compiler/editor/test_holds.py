"""Who ends are in a small cluster."""

from __future__ import annotations

import pytest

from compiler.editor.holds import SHOWN, Holdings, addresses
from compiler.editor.hover import hover
from compiler.net import Family
from compiler.resources.cluster import Pod
from compiler.snapshot import build
from tests.compiler.editor.test_questions import HOLDINGS
from tests.compiler.editor.worlds import World


def held(end: str, holdings: Holdings = HOLDINGS) -> list[str]:
    """The lines below `now:` for a zone that is this end."""
    world = World(a=f"zone z = {end}\n")
    assert world.wrong() == {}
    found = hover(world.project, "a.np", 5, holdings)
    assert found is not None
    lines = found.text.replace("  \n", "\n").split("\n")
    return [line for line in lines[lines.index("now:") + 2 : -2] if line] if "now:" in lines else []


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        ("any", ["everyone"]),
        ("iface (eth0, wg*)", ["by wg*", "by eth0"]),
        ("self", ["this node, whichever of its addresses"]),
        ("any except self", ["not this node"]),
        ("broadcast", ["addresses that routing calls broadcast"]),
        ("pods(app=nobody)", ["nobody"]),
        (
            "pods(namespace: shop)",
            [
                *("2 pods:", "- shop/api-1 (10.0.0.2)", "- shop/web-1 (10.0.0.1, fd00::1)"),
                "addresses: 10.0.0.1-10.0.0.2, fd00::1",
            ],
        ),
        ("nodes", ["2 nodes:", "- one (192.0.2.1)", "- two (192.0.2.2)", "addresses: 192.0.2.1-192.0.2.2"]),
        ("pods except 10.0.0.0/31", ["3 pods:"]),
        ("10.0.0.1", ["1 pod:", "- shop/web-1 (10.0.0.1, fd00::1)"]),
        ("198.51.100.1", []),
    ],
)
def test_who_is_there(end: str, lines: list[str]) -> None:
    found = held(end)
    assert found[: len(lines)] == lines
    assert bool(found) == bool(lines)


def test_an_interface_with_addresses() -> None:
    assert held("iface eth0 and 10.0.0.0/30")[0] == "by eth0: 10.0.0.0/30"


def test_many_are_cut() -> None:
    pods = [Pod("n", f"p-{n}", {}, (f"10.0.1.{2 * n}",), "one") for n in range(100)]
    found = held("pods", Holdings(build(pods)))
    assert found[0] == "100 pods:"
    assert found[SHOWN + 1] == f"... and {100 - SHOWN} more"
    assert len(found[-1]) < 700


def test_addresses_are_prefixes_where_they_are() -> None:
    spans = ((0, 0), (4, 7), (9, 10), (2**32 - 1, 2**32 - 1))
    assert addresses(spans, Family.IPV4) == ["0.0.0.0", "0.0.0.4/30", "0.0.0.9-0.0.0.10", "255.255.255.255"]

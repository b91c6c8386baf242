"""Expectations of translation: which hold, which packet strays from those that do not, which statements they are
about."""

from __future__ import annotations

import pytest

from compiler.analysis.expected import Expected, expected
from compiler.resources.cluster import Pod
from compiler.snapshot import Snapshot, build
from compiler.sources.language import load

HEAD = "zone world = iface eth0 zone shop = pods(app=shop) "


def pod(name: str, *ips: str, app: str = "shop") -> Pod:
    return Pod("default", name, {"app": app}, ips, node="n1")


SHOP = build([pod("a", "10.0.0.1"), pod("b", "10.0.0.2"), pod("c", "10.0.0.3", app="api")], [], [])


def judged(text: str, snapshot: Snapshot = SHOP) -> Expected:
    program = load([("edge.np", f"{HEAD}\n{text}".encode())], lambda name, _: name)
    return expected(program, [], snapshot)


DNAT = "nat { dnat world : tcp/8443 -> shop : 443  redirect world : tcp/80 to 8080 }"
HOLD = [
    (DNAT, "world : 8443 translates to shop : 443"),
    (DNAT, "world : 8443 translates to pods : 443"),
    (DNAT, "world : 80 translates to self : 8080"),
    (DNAT, "self : 8443 translates to shop : 443"),  # nothing of it arrives
    (f"{DNAT} raw {{ drop from world }}", "world : 8443 translates to shop : 444"),  # so nothing is left
    ("nat { dnat world : tcp/443 -> 10.0.0.9 }", "world : 443 translates to 10.0.0.9 : 443"),
    ("nat { dnat any : tcp/443 -> 10.0.0.9 }", "world : 443 translates to 10.0.0.9 : 443"),
]
FAIL = [
    (DNAT, "any : 8443 translates to shop : 443", ""),
    (DNAT, "world : 8443 translates to shop : 444", "nat[0] (edge.np:2)"),
    (DNAT, "world : 8443 translates to 10.0.0.1 : 443", "nat[0] (edge.np:2)"),  # one of two
    (DNAT, "world : 8000-9000 translates to shop : 443", ""),
    (DNAT, "world : 80 translates to shop : 8080", "nat[1] (edge.np:2)"),
    (DNAT, "world : 8443 translates to pods(app=nobody) : 443", "nat[0] (edge.np:2)"),
    (f"{DNAT} raw {{ notrack tcp/8443 }}", "world : 8443 translates to shop : 443", "untracked"),
    ("nat { dnat world to 192.0.2.1 : tcp/443 -> 10.0.0.9 }", "world : 443 translates to 10.0.0.9 : 443", ""),
    (f"nat {{ redirect world : tcp/8443 to 1 }} {DNAT}", "world : 8443 translates to shop : 443", "destination port 1"),
]


@pytest.mark.parametrize(("statements", "expectation"), HOLD)
def test_what_holds(statements: str, expectation: str) -> None:
    assert judged(f"{statements} expect {{ {expectation} }}").failed == ()


@pytest.mark.parametrize(("statements", "expectation", "told"), FAIL)
def test_a_packet_that_strays(statements: str, expectation: str, told: str) -> None:
    (failed,) = judged(f"{statements}\nexpect {{ {expectation} }}").failed
    head, case, program, *more = failed.splitlines()
    assert head == f"edge.np:3:10: error: this does not hold: {expectation} [expectation]"
    assert "tcp/" in case
    assert "the destination is the node's own address" in case
    assert program.startswith("  program: accepted")
    assert told in "\n".join([program, *more])
    assert bool(more) is (told.startswith(("nat", "destination")))


def test_what_is_told_beside() -> None:
    """Nobody's, of pods without an address of the family, and statements that no expectation is about."""
    found = judged(f"{DNAT} expect {{ world : 8443 translates to shop : 443  self : 1 translates to 10.0.0.9 : 1 }}")
    assert found.failed == ()
    assert found.remarks == (
        "edge.np:2:126: speaks of no packet, so it holds: self : 1 translates to 10.0.0.9 : 1",
        "edge.np:2:87: not of IPv6, in which its target has no address: world : 8443 translates to shop : 443",
        "no expectation constrains nat[1] (edge.np:2): redirect world : tcp/80 to 8080",
    )
    assert judged(DNAT).remarks == ()

"""`netpolc compile --profile` as a process: what it takes, what it says, what stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.optimizing import weights
from compiler.profiles.profile_text import written
from grammar.source import Flaw, Source
from tests.compiler.cli.conftest import Run

Netpolc = Callable[..., Run]

PROGRAM = """forward {
  deny any -> 198.18.0.1 : tcp/80
  allow any -> 198.18.0.2 : tcp/80
  deny any -> 198.18.0.3 : tcp/80
  deny any -> 198.18.0.0/24
  allow any -> 198.18.1.0/24
}
"""
COUNTS = {"198.18.0.1": 3, "198.18.0.2": 900, "198.18.0.3": 40, "198.18.0.0": 5, "198.18.1.0": 2000}
FILES = {"nftables": "netpolc.nft", "iptables": "iptables.save"}


def compiled(netpolc: Netpolc, *options: str, backend: str = "nftables") -> tuple[str, str]:
    """The script of IPv4, and what is said."""
    Path("edge.np").write_text(PROGRAM)
    done = netpolc("compile", "edge.np", "--backend", backend, "-o", "out", *options)
    assert done.status == 0, done.stderr
    return Path("out", FILES[backend]).read_text(), done.stderr


def counting(text: str, counts: dict[str, int] | None = None) -> str:
    """The script as if it was dumped: with the packets of each rule of the list."""
    lines = []
    for line in text.splitlines():
        found = re.search(r"198\.18\.\d\.\d", line)
        packets = (counts or COUNTS)[found[0]] if found and "#" not in line else 0
        line = re.sub(r"counter\b", f"counter packets {packets} bytes 0", line)
        lines.append(f"[{packets}:0] {line}" if line.startswith("-A") else line)
    return "\n".join(line for line in lines if not re.match(r"\s*(#|add|flush|-I)", line)) + "\n"


def hosts(text: str) -> list[str]:
    """Of the list, in its order."""
    lines = [line for line in text.splitlines() if not line.strip().startswith("#")]
    return [found[0] for line in lines if (found := re.search(r"198\.18\.\d\.\d", line))]


@pytest.fixture(params=list(FILES))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_rules_that_match_often_come_first(netpolc: Netpolc, backend: str) -> None:
    before, _ = compiled(netpolc, "--counters", backend=backend)
    Path("dump").write_text(counting(before))
    after, said = compiled(netpolc, "--profile", "dump", backend=backend)
    assert hosts(before) == list(COUNTS)
    assert hosts(after) == ["198.18.1.0", "198.18.0.2", "198.18.0.3", "198.18.0.1", "198.18.0.0"]
    assert re.search(r"note: profiles count (\d+) of \1 rules\n", said)
    assert "note: 2 of 5 rules that could stand in another order moved, proved to be the best order\n" in said
    asked = [sum(at * COUNTS[host] for at, host in enumerate(hosts(text), 1)) for text in (after, before)]
    now, loaded = (f"{one / sum(COUNTS.values()):.1f}" for one in asked)
    assert f"compared with {now} rules instead of {loaded}; " in said
    assert "Proved: " in after.splitlines()[1]
    Path("dump").write_text(counting(after))
    assert compiled(netpolc, "--profile", "dump", backend=backend)[0] == after


def test_the_loaded_order_stays_for_a_small_gain(netpolc: Netpolc, backend: str) -> None:
    before, _ = compiled(netpolc, "--counters", backend=backend)
    Path("dump").write_text(counting(before))
    after, _ = compiled(netpolc, "--profile", "dump", backend=backend)
    near = {**COUNTS, "198.18.0.1": 41}
    Path("dump").write_text(counting(after, near))
    assert hosts(compiled(netpolc, "--profile", "dump", "--threshold", "5", backend=backend)[0]) == hosts(after)
    moved = hosts(compiled(netpolc, "--profile", "dump", "--threshold", "0", backend=backend)[0])
    assert moved.index("198.18.0.1") < moved.index("198.18.0.3")


def test_profiles_of_an_older_program(netpolc: Netpolc) -> None:
    before, _ = compiled(netpolc, "--counters")
    other = re.sub(r"netpolc [0-9a-f]{12}", "netpolc 0123456789ab", counting(before), count=1)
    Path("dump").write_text(other)
    _, said = compiled(netpolc, "--profile", "dump")
    assert "; the others weigh nothing\n" in said
    assert "note: profiles count 1 rule (3 packets) that are not among these\n" in said


def test_rules_without_counters_tell_nothing(netpolc: Netpolc) -> None:
    before, _ = compiled(netpolc)
    assert "counter return" not in before
    Path("dump").write_text(before)
    after, said = compiled(netpolc, "--profile", "dump", "--no-counters")
    assert after == before
    assert "note: profiles count 0 of " in said
    assert "note: no packet is counted where rules could stand in another order\n" in said


def test_counters_are_of_every_rule_that_is_not_passed_by_all(netpolc: Netpolc) -> None:
    text, _ = compiled(netpolc, "--counters")
    plain, _ = compiled(netpolc)
    lines = [line for line in text.splitlines() if "comment" in line]
    assert len(lines) == len({line.rpartition("comment")[2] for line in lines})
    assert all("counter " in line for line in lines)
    assert len([line for line in lines if "198.18" in line]) == 5
    without = re.sub(r' comment "netpolc [0-9a-f]{12}"', "", text)
    assert without.replace("counter ", "") == plain.replace("counter ", "")
    assert "Proved: " in text.splitlines()[1]


def test_what_cannot_be(netpolc: Netpolc) -> None:
    before, _ = compiled(netpolc, "--counters", backend="iptables")
    Path("dump").write_text(counting(before))
    wrong = netpolc("compile", "edge.np", "--profile", "dump")
    assert (wrong.status, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: --profile: rules of nft are expected, for --backend nftables\n"
    assert "--profile is of one node" in netpolc("compile", "edge.np", "--node", "all", "--profile", "dump").stderr
    Path("bad").write_text("{")
    bad = netpolc("compile", "edge.np", "--profile", "bad", "--profile", "nowhere")
    assert (bad.status, bad.stderr) == (2, "error: nowhere: No such file or directory\n")
    assert netpolc("compile", "edge.np", "--profile", "bad").stderr.startswith("bad:1:2: error: ")


def test_profiles_come_one_after_the_other(netpolc: Netpolc) -> None:
    before, _ = compiled(netpolc, "--counters", backend="iptables")
    for hour in (1, 2):
        head = f"# Generated by iptables-save v1.8.9 on Wed Nov 25 0{hour}:00:00 2026\n"
        Path(f"dump{hour}").write_text(head + counting(before))
    done = netpolc("compile", "edge.np", "--backend", "iptables", "--profile", "dump2", "--profile", "dump1")
    assert (done.status, done.stderr) == (2, "error: dump1 is older than dump2: the oldest profile comes first\n")


def test_a_profile_of_netpolc_says_the_same(netpolc: Netpolc, backend: str) -> None:
    """As the one who harvests counters writes it."""
    before, _ = compiled(netpolc, "--counters", backend=backend)
    Path("dump").write_text(counting(before))
    flaws: list[Flaw] = []
    profiles = weights.read(Source("dump", Path("dump").read_text()), flaws.append)
    assert not flaws
    Path("own.json").write_text(written(profiles, "2026-11-25T12:00:00Z"))
    by_dump, by_own = (compiled(netpolc, "--profile", name, backend=backend) for name in ("dump", "own.json"))
    assert by_dump == by_own
    assert by_dump[0] != before


def test_of_several_dumps_what_was_counted_between_them_counts(netpolc: Netpolc, backend: str) -> None:
    before, _ = compiled(netpolc, "--counters", backend=backend)
    for name, counts in (("old", COUNTS), ("new", {**COUNTS, "198.18.0.1": COUNTS["198.18.0.1"] + 50})):
        Path(name).write_text(counting(before, counts))
    after, said = compiled(netpolc, "--profile", "old", "--profile", "new", backend=backend)
    assert hosts(after) == list(COUNTS)
    assert "compared with 1.0 rules instead of 1.0; " in said

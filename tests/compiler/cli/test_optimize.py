"""`netpolc optimize` as a process: a better order that is proved, or a message and nothing written."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from compiler.cli import optimize
from compiler.optimizing import whole
from compiler.optimizing.chains import Listing
from compiler.optimizing.passes import shadow
from compiler.optimizing.passes import simplify as simplifying
from compiler.optimizing.passes.lines import Entered, Line
from compiler.optimizing.passes.shadow import Shadow
from compiler.optimizing.readers import iptables_rules
from compiler.optimizing.reorder import Reordered, reorder
from compiler.semantics.proof.equivalence import Equal, equivalent
from compiler.semantics.rules import rulesets
from grammar.source import Source
from tests.compiler.cli.optimizing import ROOT, SMALL, Netpolc, optimized
from tests.compiler.optimizing.test_passes import totals
from tests.test_project import consoles, run_block

OFFICE = (ROOT / "fixtures" / "optimize" / "office.save").read_text()
GATEWAY = (ROOT / "fixtures" / "optimize" / "gateway.save").read_text()
BETTER = """*filter
:FORWARD ACCEPT [0:0]
[9:540] -A FORWARD -s 10.0.0.2/32 -j DROP
[1:60] -A FORWARD -s 10.0.0.1/32 -j DROP
[5000:300000] -A FORWARD -s 10.0.0.0/24 -j REJECT
COMMIT
"""


def test_rules_come_from_standard_input(netpolc: Netpolc, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = optimized(netpolc, GATEWAY)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GATEWAY.encode())))
    done = netpolc("optimize", "-")
    assert (done.status, done.stdout) == (0, wanted.stdout)
    assert done.stderr == wanted.stderr.replace("rules.save", "-")


def test_a_better_order_that_is_proved(netpolc: Netpolc) -> None:
    done = optimized(netpolc, GATEWAY)
    assert done.status == 0, done.stderr
    assert done.stdout != GATEWAY
    assert sorted(done.stdout.splitlines()) == sorted(GATEWAY.splitlines())
    old, new = (rulesets.read([("rules", text)]) for text in (GATEWAY, done.stdout))
    assert isinstance(equivalent(old, new), Equal)
    assert "2 of 14 rules moved; comparing costs 57.7% less\nproved: " in done.stderr
    again = optimized(netpolc, done.stdout)
    assert (again.status, again.stdout) == (0, done.stdout)
    assert "0 of 14 rules moved; comparing costs 0.0% less" in again.stderr
    assert "proved" not in again.stderr


def test_the_table_says_what_a_packet_meets(netpolc: Netpolc) -> None:
    done = optimized(netpolc, SMALL, "--threshold", "0")
    assert (done.status, done.stdout) == (0, BETTER)
    row = next(line.split() for line in done.stderr.splitlines() if line.startswith("filter FORWARD"))
    asked = [(1 * 1 + 9 * 2 + 5000 * 3) / 5010, (9 * 1 + 1 * 2 + 5000 * 3) / 5010]
    assert row[2:5] == ["3", "1", "5010"]
    assert row[5:7] == [f"{one:.1f}" for one in asked]
    assert row[7:] == ["10.5", "10.5", "10.5", "optimal"]  # three addresses, 3.5 ns each


def test_prices_are_those_of_the_tool(netpolc: Netpolc) -> None:
    shown = {}
    for name, tool in optimize.TOOLS.items():
        done = optimized(netpolc, GATEWAY, "--tool", name)
        listing = iptables_rules.listing(Source("rules", GATEWAY), tool)
        chain = reorder(listing, Fraction(1, 100)).chains[1]
        row = next(line.split() for line in done.stderr.splitlines() if line.startswith("filter FORWARD"))
        shown[name] = row[7]
        assert shown[name] == f"{float(chain.ordering.written / chain.counted / 10):.1f}"
    assert shown["legacy"] != shown["nft"]


def test_a_threshold_keeps_the_order(netpolc: Netpolc) -> None:
    """By default a hundredth must be gained."""
    done = optimized(netpolc, SMALL)
    assert (done.status, done.stdout) == (0, SMALL)
    assert optimized(netpolc, GATEWAY, "--threshold", "90").stdout == GATEWAY


def test_check_is_for_ci(netpolc: Netpolc) -> None:
    done = optimized(netpolc, GATEWAY, "--check")
    assert (done.status, done.stdout) == (1, "")
    assert "2 of 14 rules moved" in done.stderr
    assert optimized(netpolc, optimized(netpolc, GATEWAY).stdout, "--check").status == 0
    assert optimized(netpolc, GATEWAY, "--check", "-o", "new.save").status == 2
    assert not Path("new.save").exists()


def test_written_whole_over_its_input_too(netpolc: Netpolc) -> None:
    wanted = optimized(netpolc, GATEWAY).stdout
    done = optimized(netpolc, GATEWAY, "-o", "rules.save")
    assert (done.status, done.stdout) == (0, "")
    assert Path("rules.save").read_text() == wanted


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("FORWARD\n", "1:1", "a table begins with a line like *filter"),
        ("*filter\n[1:2] -D FORWARD\nCOMMIT\n", "2:1", "-D is not understood here"),
        ('*filter\n[1:2] -A FORWARD --comment "x\nCOMMIT\n', "2:28", "the quote is not closed"),
        (f"*filter\n[{'9' * 21}:2] -A FORWARD -j DROP\nCOMMIT\n", "2:1", "[999999999999999999999:2] is not understood"),
        ("*filter\n[1:2] -A FORWARD -j DROP\n", "1:1", "the table has no COMMIT"),
    ],
)
def test_what_is_no_iptables_save(netpolc: Netpolc, text: str, place: str, message: str) -> None:
    done = optimized(netpolc, text, "-o", "new.save")
    assert done.status == 2
    assert f"rules.save:{place}: error: {message}" in done.stderr
    assert not Path("new.save").exists()


def test_without_counters_weights_are_an_estimate(netpolc: Netpolc) -> None:
    """What belongs to a connection goes first, a broad block before a host; what overlaps stays in its order."""
    lines = [
        "-A FORWARD -s 10.0.0.1/32 -p udp -m udp --dport 69 -m conntrack --ctstate NEW -j DROP",
        "-A FORWARD -s 10.1.0.0/16 -p tcp -m tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT",
        "-A FORWARD -p icmp -j DROP",
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    text = "\n".join(["*filter", ":FORWARD DROP [0:0]", *lines, "COMMIT", ""])
    done = optimized(netpolc, text, "--passes", "order")
    assert done.status == 0, done.stderr
    assert done.stderr.startswith("note: rules.save: weights are an estimate: no packets are counted\n")
    assert done.stdout.splitlines()[2:6] == [lines[n] for n in (2, 3, 1, 0)]
    again = optimized(netpolc, done.stdout, "--check", "--passes", "order")
    assert again.status == 0, again.stderr


def test_by_an_estimate_too_all_is_done_at_once(netpolc: Netpolc) -> None:
    """A first rule for most packets stays, though the policy would let them pass as well."""
    replies = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    others = [f"-A FORWARD -s 10.0.0.{n}/32 -m conntrack --ctstate NEW -j DROP" for n in (1, 3, 5, 8, 9)]
    text = "\n".join(["*filter", ":FORWARD ACCEPT [0:0]", replies, *others, "COMMIT", ""])
    done = optimized(netpolc, text)
    assert done.status == 0, done.stderr
    assert done.stdout.splitlines()[2] == replies
    assert "\n1 rule fewer; " in done.stderr  # 8 and 9 are one block
    assert optimized(netpolc, done.stdout, "--check").status == 0


def test_nothing_to_put_in_order(netpolc: Netpolc) -> None:
    text = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j ACCEPT\nCOMMIT\n"
    done = optimized(netpolc, text)
    assert (done.status, done.stdout) == (0, text)
    assert done.stderr.endswith("there is nothing to put in order: no other chain has more than one rule\n")
    assert optimized(netpolc, text, "--check").status == 0


def test_files_that_are_none(netpolc: Netpolc) -> None:
    done = netpolc("optimize", "nowhere.save")
    assert (done.status, done.stderr) == (2, "error: nowhere.save: No such file or directory\n")
    Path("bytes.save").write_bytes(b"*filter\n\xff\n")
    assert "bytes.save: not UTF-8 text" in netpolc("optimize", "bytes.save").stderr


def test_nothing_moves_past_what_is_not_understood(netpolc: Netpolc) -> None:
    rule = "[700:9] -A FORWARD -d 192.0.2.1/32 -j NFQUEUE --queue-num 0"
    lines = SMALL.splitlines(keepends=True)
    text = "".join([*lines[:3], f"{rule}\n", *lines[3:]])
    done = optimized(netpolc, text, "--threshold", "0")
    assert (done.status, done.stdout) == (0, text)
    assert f"note: rules.save:4: nothing moves past this rule: {rule}" in done.stderr


def test_chains_that_rules_are_inserted_into_are_named(netpolc: Netpolc) -> None:
    text = SMALL.replace("-A FORWARD -s 10.0.0.2/32", "-I FORWARD -s 10.0.0.2/32")
    done = optimized(netpolc, text, "--threshold", "0")
    assert (done.status, done.stdout) == (0, text)
    assert "note: rules.save: filter FORWARD stays as it is" in done.stderr


def test_what_cannot_be_proved_is_written_only_when_asked_for(netpolc: Netpolc) -> None:
    """Nobody says who belongs in the set."""
    text = SMALL.replace("-s 10.0.0.2/32", "-s 10.0.0.2/32 -m set --match-set friends dst")
    done = optimized(netpolc, text, "-o", "new.save", "--threshold", "0")
    assert done.status == 2
    assert "friends" in done.stderr
    assert "--no-prove writes them" in done.stderr
    assert not Path("new.save").exists()
    done = optimized(netpolc, text, "-o", "new.save", "--threshold", "0", "--no-prove")
    assert done.status == 0
    assert "proved" not in done.stderr
    assert sorted(Path("new.save").read_text().splitlines()) == sorted(text.splitlines())
    assert Path("new.save").read_text() != text


def test_sets_are_read_for_the_proof(netpolc: Netpolc) -> None:
    text = SMALL.replace("-s 10.0.0.2/32", "-s 10.0.0.2/32 -m set --match-set friends dst")
    Path("sets").write_text("create friends hash:ip family inet\nadd friends 192.0.2.7\n")
    done = optimized(netpolc, text, "--threshold", "0", "--sets", "sets")
    assert done.status == 0, done.stderr
    assert "proved: " in done.stderr
    assert done.stdout.index("friends") < done.stdout.index("10.0.0.1")
    for other, message in ((SMALL, "sets:1:1: error: "), ("table inet t {\n}\n", "sets:1:1: error: ")):
        Path("sets").write_text(other)
        done = optimized(netpolc, text, "--threshold", "0", "--sets", "sets")
        assert (done.status, done.stdout) == (2, "")
        assert message in done.stderr


@pytest.mark.parametrize("name", ["rules.save", "ip6tables.save"])
def test_an_order_that_does_something_else_is_a_defect(
    netpolc: Netpolc, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The proof does not believe the order: one that lets a general rule come first is told with a packet."""

    def wrong(listing: Listing, threshold: Fraction) -> Reordered:
        (chain,) = listing.chains
        swapped = replace(chain, rules=(chain.rules[2], *chain.rules[:2]))
        return replace(reorder(listing, threshold), listing=replace(listing, chains=(swapped,)))

    monkeypatch.setattr(whole, "reorder", wrong)
    text, address = SMALL, "10.0.0."
    if name.startswith("ip6"):
        text, address = SMALL.replace("10.0.0.0/24", "fd00::/64").replace("/32", "/128"), "fd00::"
        text = text.replace("10.0.0.", "fd00::")
    done = optimized(netpolc, text, "-o", "new.save", "--passes", "order", name=name)
    assert done.status == 70
    assert "the new rules would do something else; please report this defect" in done.stderr
    assert f"\n{address}" in done.stderr
    assert f"{name} (new):3: " in done.stderr
    assert f"{name}:3: " in done.stderr or f"{name}:4: " in done.stderr
    assert not Path("new.save").exists()


def test_ipv6(netpolc: Netpolc) -> None:
    text = SMALL.replace("10.0.0.0/24", "fd00::/64").replace("10.0.0.", "fd00::").replace("/32", "/128")
    done = optimized(netpolc, text, "--threshold", "0", name="ip6tables.save")
    assert done.status == 0, done.stderr
    assert done.stdout.index("fd00::2") < done.stdout.index("fd00::1")
    assert "proved: " in done.stderr


def test_rules_that_are_not_needed_go(netpolc: Netpolc) -> None:
    """Told with their lines, why, and what is gained; with `--passes` only what is asked for."""
    done = optimized(netpolc, OFFICE)
    assert done.status == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(OFFICE.splitlines()) - 6
    assert totals(done.stdout) == totals(OFFICE)
    told = [line for line in done.stderr.splitlines() if line.startswith("rules.save:")]
    assert [line.split(":")[1] for line in told] == ["9", "11", "13", "15", "16", "19"]
    assert 'comment "laptop lost, ticket 4711" -j DROP' in told[1]
    assert "6 rules fewer; comparing costs 4.8% less by that" in done.stderr
    assert optimized(netpolc, OFFICE, "--passes", "order").stdout.count("\n") == OFFICE.count("\n")
    done = optimized(netpolc, OFFICE, "--passes", "shadow")
    assert "3 rules fewer" in done.stderr
    assert " rules moved" not in done.stderr
    assert "one rule with" not in done.stderr
    done = optimized(netpolc, OFFICE, "--passes", "shadow,sort")
    assert done.status == 2
    assert "'sort' is no pass: normalize, shadow, merge, " in done.stderr


def test_many_rules_that_go_are_told_when_asked_for(netpolc: Netpolc) -> None:
    lines = "".join(f"[1:1] -A FORWARD -s 10.0.{n}.0/24 -p tcp -j REJECT\n" for n in range(0, 120, 2))
    text = f"*filter\n:FORWARD DROP [0:0]\n[60:60] -A FORWARD -s 10.0.0.0/16 -p tcp -j ACCEPT\n{lines}COMMIT\n"
    done = optimized(netpolc, text)
    assert done.stderr.count(": removed: ") == 40
    assert "\n20 more are not told here: --verbose\n60 rules fewer; " in done.stderr
    assert optimized(netpolc, text, "-v").stderr.count(": removed: ") == 60


def test_a_pass_that_does_something_else_is_a_defect(netpolc: Netpolc, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof does not believe passes either: one that takes a limit for none."""
    kept = shadow.unreached

    def careless(lines: Sequence[Line], limits: Entered, only: Collection[int] | None) -> list[Shadow]:
        sure = [line.region._replace(exact=True, calm=True) for line in lines]
        return kept([line._replace(region=region) for line, region in zip(lines, sure, strict=True)], limits, only)

    monkeypatch.setattr(simplifying, "unreached", careless)
    text = SMALL.replace("-s 10.0.0.1/32 -j DROP", "-s 10.0.0.0/30 -m limit --limit 1/sec -j DROP")
    text = text.replace("-s 10.0.0.2/32 -j DROP", "-s 10.0.0.2/32 -j ACCEPT")
    done = optimized(netpolc, text, "-o", "new.save")
    assert done.status == 70
    assert "the new rules would do something else" in done.stderr
    assert not Path("new.save").exists()


@pytest.mark.parametrize("file", sorted((ROOT / "fixtures" / "import").glob("*.save")), ids=lambda file: file.stem)
def test_rules_of_many_tools(netpolc: Netpolc, file: Path) -> None:
    """With counters that grow from rule to rule: another order, proved, all lines kept, and nothing left to do. With
    all passes no packet is lost that was counted."""
    lines = file.read_text().splitlines(keepends=True)
    text = "".join(f"[{n**3}:9] {line}" if line[:2] == "-A" else line for n, line in enumerate(lines))
    for passes in ("order", ",".join(optimize.PASSES)):
        options = ("--threshold", "0", "--passes", passes)
        done = optimized(netpolc, text, *options, name=file.name)
        assert done.status == 0, done.stderr
        assert "\nproved: " in done.stderr
        assert done.stdout != text
        if passes == "order":
            assert sorted(done.stdout.splitlines()) == sorted(text.splitlines())
        else:
            assert totals(done.stdout) == totals(text)
        assert optimized(netpolc, done.stdout, *options, "--check", name=file.name).status == 0


@pytest.mark.kernel
@pytest.mark.parametrize("text", [GATEWAY, OFFICE], ids=["order", "fewer"])
@pytest.mark.parametrize("tool", ["legacy", "nft"])
def test_the_kernel_has_the_new_rules(netpolc: Netpolc, tool: str, text: str) -> None:
    """With their counters, in the words in which they were written; what it prints could not be better."""
    assert optimized(netpolc, text, "-o", "new.save", "--tool", tool).status == 0
    script = f"iptables-{tool}-restore --counters < new.save && iptables-{tool}-save -c -t filter"
    loaded = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, check=True
    ).stdout
    kept = [line for line in Path("new.save").read_text().splitlines() if line[0] in "[:"]
    assert sorted(line for line in loaded.splitlines() if line[0] in "[:") == sorted(kept)
    rules_ = [line for line in kept if line[0] == "["]
    assert [line for line in loaded.splitlines() if line[0] == "["] == rules_
    assert optimized(netpolc, loaded, "--check", "--tool", tool, name="loaded.save").status == 0


def test_the_document_shows_what_is_printed(tmp_path: Path) -> None:
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    blocks = list(consoles(ROOT / "docs" / "OPTIMIZE.md"))
    assert blocks
    for block in blocks:
        run_block(block, tmp_path, own_namespace=False)


def test_relaxed_orders_are_proved_and_certify_no_bound(netpolc: Netpolc) -> None:
    text = SMALL.replace("-s 10.0.0.1/32 -j DROP", "-s 10.0.0.0/31 -j REJECT")
    assert optimized(netpolc, text, "--passes", "order").stdout == text
    done = optimized(netpolc, text, "--passes", "order", "--relax")
    assert done.status == 0
    # The last rule may pass the first, not the second; so the second comes first.
    assert [line.split()[-3] for line in done.stdout.splitlines()[2:5]] == ["10.0.0.2/32", "10.0.0.0/24", "10.0.0.0/31"]
    assert "note: rules.save: filter FORWARD: what its rules match now is guessed (--relax)" in done.stderr
    row = next(line.split() for line in done.stderr.splitlines() if line.startswith("filter FORWARD"))
    assert row[-2:] == ["-", "-"]
    assert "proved: " in done.stderr


def test_a_page_with_pictures(netpolc: Netpolc) -> None:
    """Beside the rules; who asks for it has to say where these go."""
    done = optimized(netpolc, GATEWAY, "-o", "new.save", "--report", "html")
    assert done.status == 0
    assert done.stdout.startswith("<!doctype html>\n")
    assert done.stdout.endswith("</html>\n")
    assert "proved: with the new rules every packet fares as with the old" in done.stdout
    assert "filter FORWARD" in done.stdout
    assert Path("new.save").read_text() == optimized(netpolc, GATEWAY).stdout
    assert optimized(netpolc, GATEWAY, "--check", "--report", "html").stdout == done.stdout
    assert "nothing changes" in optimized(netpolc, Path("new.save").read_text(), "--check", "--report", "html").stdout
    refused = optimized(netpolc, GATEWAY, "--report", "html")
    assert (refused.status, refused.stdout) == (2, "")
    assert "-o FILE says where the rules go" in refused.stderr

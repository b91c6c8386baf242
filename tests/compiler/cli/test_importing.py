"""`netpolc import` as a process: a program that is proved, or a message and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compiler.cli import importing
from compiler.cli.importing import command
from compiler.importing import filtering, iptables_asks, iptables_does, lists, sections
from compiler.importing.asking import Asking
from compiler.importing.values import Asked
from compiler.net import Intervals
from grammar.dsl import read
from grammar.format import format_file

SERVER = """*filter
:INPUT DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -s 203.0.113.66/32 -j DROP
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT ! -s 10.0.0.0/8 -p tcp -m tcp --dport 5432 -j REJECT --reject-with tcp-reset
-A INPUT -p tcp -m multiport --dports 80,443,5432 -j ACCEPT
-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 22 -m comment --comment "administrators" -j ACCEPT
-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A OUTPUT -d 203.0.113.0/24 -o eth0 -p udp -m udp --dport 53 -j DROP
COMMIT
"""


def run(folder: Path, text: str, *options: str, name: str = "rules.save") -> Result:
    place = folder / name
    place.write_text(text)
    return CliRunner().invoke(command, [str(place), *options])


def test_a_program_that_is_proved(tmp_path: Path) -> None:
    done = run(tmp_path, SERVER)
    assert done.exit_code == 0, done.stderr
    assert "\nproved: " in done.stderr
    assert "9 rules: 8 statements, 0 of them opaque; 2 rules without effect left out, 0 not imported" in done.stderr
    assert '"administrators"' in done.stdout
    assert "# rules.save:9 INPUT" in done.stdout
    problems: list[object] = []
    found = read("x.np", done.stdout.encode(), problems.append)
    assert found is not None
    assert not problems
    assert format_file(*found) == done.stdout


def test_written_whole(tmp_path: Path) -> None:
    done = run(tmp_path, SERVER, "-o", str(tmp_path / "edge.np"))
    assert done.exit_code == 0, done.stderr
    assert not done.stdout
    assert (tmp_path / "edge.np").read_text() == run(tmp_path, SERVER).stdout


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("*filter\n-A INPUT -j NOBODY-X --y\n:x\nCOMMIT\n", "3:1", "a chain is declared like"),
        ("*filter\n-A NOWHERE -j DROP\nCOMMIT\n", "2:4", "the chain NOWHERE is not declared"),
        ("*nonsense\nCOMMIT\n", "1:1", "there is no table nonsense"),
        ("*filter\n-A INPUT -j DROP\n", "1:1", "the table has no COMMIT"),
        ("what is this\n", "1:1", "what is not understood here"),
        ("table inet t {\n  chain c {\n    foo bar\n  }\n}\n", "3:5", "foo is not understood here"),
    ],
)
def test_what_is_no_ruleset(tmp_path: Path, text: str, place: str, message: str) -> None:
    done = run(tmp_path, text, "-o", str(tmp_path / "edge.np"))
    assert done.exit_code == 2
    assert f"rules.save:{place}: error: {message}" in done.stderr
    assert not (tmp_path / "edge.np").exists()


def test_rules_of_two_tools(tmp_path: Path) -> None:
    (tmp_path / "r.nft").write_text("table inet t {\n}\n")
    done = run(tmp_path, SERVER, str(tmp_path / "r.nft"))
    assert done.exit_code == 2
    assert "import them one by one" in done.stderr


def _without(field: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A reader that forgets a question."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        right = Asking.done
        empty = Asked()
        patch.setattr(Asking, "done", lambda self: replace(right(self), **{field: getattr(empty, field)}))

    return plant


def _swapped(patch: pytest.MonkeyPatch) -> None:
    right = Asking.done
    patch.setattr(
        Asking,
        "done",
        lambda self: replace(found := right(self), source=found.target, target=found.source),
    )


def _positive(patch: pytest.MonkeyPatch) -> None:
    right = Asking.addresses

    def addresses(self: Asking, of_source: bool, version: int, intervals: Intervals, negated: bool) -> None:
        right(self, of_source, version, intervals, False)

    patch.setattr(Asking, "addresses", addresses)


PLANTED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "sources are forgotten": _without("source"),
    "targets are forgotten": _without("target"),
    "ends are swapped": _swapped,
    "negation is forgotten": _positive,
    "a port too many": lambda patch: patch.setattr(
        iptables_asks, "span", lambda word, separator: (int(word), int(word) + 1)
    ),
    "DROP accepts": lambda patch: patch.setitem(iptables_does._VERDICTS, "DROP", "allow"),
    "REJECT answers otherwise": lambda patch: patch.setitem(iptables_does._ANSWERS, "tcp-reset", ""),
    "the policy is forgotten": lambda patch: patch.setattr(
        lists.Lists, "base", lambda self, chain: self.items(chain.name)
    ),
    "replies are not told from first packets": lambda patch: patch.setattr(
        filtering, "_takes_from_replies", lambda item: False
    ),
    "states are forgotten": lambda patch: patch.setattr(
        iptables_asks, "_states", lambda option: frozenset({"established", "related", "invalid"})
    ),
    "rules stand in another order": lambda patch: patch.setattr(
        sections, "tidied", lambda items: tuple(reversed(tuple(items)))
    ),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_planted_mistakes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    PLANTED[mistake](monkeypatch)
    monkeypatch.setattr(importing, "_MOST_AS_WRITTEN", -1)  # none of them is hidden by iptables' own words
    done = run(tmp_path, SERVER, "-o", str(tmp_path / "edge.np"))
    assert done.exit_code == 1, done.stderr
    assert "error: the program would do something else than the rules" in done.stderr
    assert not (tmp_path / "edge.np").exists()


def test_hundreds_of_lists(tmp_path: Path) -> None:
    """iptables goes from one list that allows to the next, where a packet may be in both, hundreds of chains deep: then
    the meaning is compared."""
    heads = [f"-{'io'[n % 2]} eth{n}" for n in range(600)]
    lists = [
        f"-A FORWARD {head} -j c{n}\n-A c{n} -p udp -j ACCEPT\n-A c{n} -p tcp -j REJECT" for n, head in enumerate(heads)
    ]
    chains = "\n".join(f":c{n} - [0:0]" for n in range(600))
    text = "\n".join(
        ["*filter", chains, "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", *lists, "COMMIT"]
    )
    done = run(tmp_path, text + "\n")
    assert done.exit_code == 0, done.stderr
    assert "its chains are too deep to be compared" in done.stderr


def test_options_of_masquerade_that_are_left_out_are_told(tmp_path: Path) -> None:
    rules = "-A POSTROUTING -o eth0 -j MASQUERADE --random-fully\n-A POSTROUTING -o eth1 -j MASQUERADE\n"
    done = run(tmp_path, f"*nat\n:POSTROUTING ACCEPT [0:0]\n{rules}COMMIT\n")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("masquerade") == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert told == ["note: rules.save:3: without --random-fully: which port is free is the kernel's choice in any case"]
    chain = "chain post { type nat hook postrouting priority srcnat; policy accept;"
    done = run(tmp_path, f'table ip nat {{ {chain}\n oifname "eth0" masquerade random\n }}\n}}\n', name="rules.nft")
    assert "note: rules.nft:2: without random: " in done.stderr


def test_a_rule_that_stays_in_words_of_nft_says_what_it_translates(tmp_path: Path) -> None:
    """Our table is one of both families."""
    chain = "chain pre { type nat hook prerouting priority dstnat; policy accept;"
    for family, address in (("ip", "10.0.0.3"), ("ip6", "fd00::3")):
        text = f'table {family} nat {{ {chain}\n iifname "eth2" dnat to {address}\n }}\n}}\n'
        done = run(tmp_path, text, name="rules.nft")
        assert done.exit_code == 0, done.stderr
        assert f'nft prerouting "iifname \\"eth2\\" dnat {family} to {address}"' in done.stdout

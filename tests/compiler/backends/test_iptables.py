"""The iptables-restore scripts: what they say, what they own, and that both variants take them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.backends import ipset
from compiler.backends.iptables import FILES, chain_name, emit
from compiler.backends.iptables_rules import PREFIX
from compiler.ir.match import Field, InPrefix, NeighbourDiscovery, Replies, ToPorts
from compiler.ir.names import LONGEST
from compiler.ir.ruleset import Accept, Chain, Drop, Hook, Jump, Rule, Ruleset, Table
from compiler.net import Family, parse_prefix
from tests.compiler.backends.small import FOR_IPTABLES, HOSTILE, V4, V6, commands, with_notes

#: iptables-restore reads a line of at most 10,240 bytes, with its end.
LONGEST_LINE = 10_239
SETS = {found.name: ipset.set_name(found) for found in FOR_IPTABLES.sets}


def script(family: Family, ruleset: Ruleset = FOR_IPTABLES) -> str:
    return emit(ruleset)[FILES[family]]


def rules(chain: str, family: Family, ruleset: Ruleset = FOR_IPTABLES) -> list[str]:
    """The rules of a chain, without `-A CHAIN`."""
    start = f"-A {PREFIX}{chain} "
    return [line.removeprefix(start) for line in commands(script(family, ruleset)) if line.startswith(start)]


def restored(family: Family, variant: str, ruleset: Ruleset) -> str:
    """What loading sets and rules says, in a network namespace of its own; empty when all is well."""
    files = emit(ruleset)
    tool = f"{'ip' if family is V4 else 'ip6'}tables-{variant}-restore"
    code = (
        "import subprocess, sys\n"
        "sets, rules = sys.stdin.buffer.read().split(b'\\0\\0\\0')\n"
        "subprocess.run(['ipset', 'restore'], input=sets, check=True)\n"
        f"sys.exit(subprocess.run([{tool!r}, '--noflush'], input=rules).returncode)\n"
    )
    both = b"\0\0\0".join(files[name].encode() for name in (ipset.FILE, FILES[family]))
    done = subprocess.run(["unshare", "-n", sys.executable, "-c", code], input=both, capture_output=True, timeout=60)
    return done.stderr.decode(errors="replace") or f"status {done.returncode}" if done.returncode else ""


def test_files_come_in_the_order_of_loading() -> None:
    assert list(emit(FOR_IPTABLES)) == ["ipset.save", "iptables.save", "ip6tables.save"]
    only = Ruleset(FOR_IPTABLES.chains, FOR_IPTABLES.sets, families=(V6,))
    assert list(emit(only)) == ["ipset.save", "ip6tables.save"]


class TestText:
    def test_frame(self) -> None:
        lines = script(V4).split("\n")
        assert lines[:3] == [
            "# netpolc: node n1",
            "# Load after ipset.save: iptables-restore --noflush iptables.save",
            "*filter",
        ]
        assert lines[-2:] == ["COMMIT", ""]
        assert "ip6tables-restore --noflush ip6tables.save" in script(V6)

    def test_chains_of_the_family_are_declared_first(self) -> None:
        def declared(family: Family) -> list[str]:
            return [line.split()[0] for line in commands(script(family)) if line.startswith(":")]

        shared = [":NETPOLC-FORWARD", ":NETPOLC-OUTPUT"]
        assert declared(V4) == [*shared, ":NETPOLC-eg4-web", ":NETPOLC-deny"]
        assert declared(V6) == [*shared, ":NETPOLC-in6-web", ":NETPOLC-deny"]
        assert all(line.endswith(" - [0:0]") for line in commands(script(V4)) if line.startswith(":"))

    def test_rules_of_ipv4(self) -> None:
        hosts, named, pairs = SETS["s4-hosts"], SETS["s4-named"], SETS["pairs4"]
        assert rules("FORWARD", V4) == [
            f"-m set --match-set {pairs} src,dst,dst -j RETURN",
            "-s 10.0.0.1/32 -j NETPOLC-eg4-web",
        ]
        assert rules("OUTPUT", V4) == ["-m addrtype --src-type LOCAL -j RETURN"]
        assert rules("eg4-web", V4) == [
            f"-m set --match-set {hosts} src -p tcp -m tcp --dport 80 -j RETURN",
            f"-m set --match-set {hosts} dst -p udp -m udp --dport 5:9 -j NETPOLC-deny",
            f"-m set --match-set {named} dst,dst -j RETURN",
            "-s 10.0.0.0/8 -d 10.0.0.1/32 -g NETPOLC-deny",
            "-p tcp -m multiport --dports 80,443:445 -j RETURN",
            f"-m set --match-set {SETS['nets']} dst -j RETURN",
            "-g NETPOLC-deny",
        ]
        assert rules("deny", V4) == ["-j DROP"]

    def test_rules_of_ipv6(self) -> None:
        assert rules("FORWARD", V6) == [f"-m set --match-set {SETS['pairs6']} src,dst,dst -j RETURN"]
        assert rules("OUTPUT", V6) == [
            "-m addrtype --src-type LOCAL -j RETURN",
            f"-m set --match-set {SETS['s6-later']} src -j DROP",
        ]
        assert rules("in6-web", V6) == ["-s fd00::/64 -g NETPOLC-deny", "-p sctp -j RETURN", "-g NETPOLC-deny"]
        assert rules("deny", V6) == [
            *(f"-p ipv6-icmp -m icmp6 --icmpv6-type {n} -m hl --hl-eq 255 -j RETURN" for n in (133, 135, 136)),
            "-j DROP",
        ]

    def test_hooks_have_one_jump_each_that_lets_replies_go(self) -> None:
        assert [line for line in commands(script(V4)) if line.startswith("-I")] == [
            "-I FORWARD 1 -m conntrack ! --ctstate ESTABLISHED,RELATED -j NETPOLC-FORWARD",
            "-I OUTPUT 1 -m conntrack ! --ctstate ESTABLISHED,RELATED -j NETPOLC-OUTPUT",
        ]

    def test_a_hook_that_does_not_let_replies_go_is_always_asked(self) -> None:
        for first in (
            Rule((), Accept()),
            Rule((Replies(),), Drop()),
            Rule((Replies(), ToPorts(6, 1, 1)), Accept()),
            Rule((Replies(),), Accept(), V4),
        ):
            found = Ruleset((Chain("forward", (first,), Hook.FORWARD),))
            assert "-I FORWARD 1 -j NETPOLC-FORWARD" in commands(script(V4, found))
            assert len(rules("FORWARD", V4, found)) == 1
        found = Ruleset((Chain("mangle-forward", (Rule((Replies(),), Accept()),), Hook.FORWARD, Table.MANGLE),))
        assert "-I FORWARD 1 -j NETPOLC-FORWARD" in commands(script(V4, found)), "in filter alone"

    def test_only_the_first_rule_is_left_to_the_jump(self) -> None:
        reply = Rule((Replies(),), Accept())
        found = Ruleset((Chain("forward", (reply, Rule((Replies(),), Drop())), Hook.FORWARD),))
        assert rules("FORWARD", V4, found) == ["-m conntrack --ctstate ESTABLISHED,RELATED -j DROP"]

    def test_alternatives_multiply(self) -> None:
        """A match that needs several rules keeps the others of its rule in each of them."""
        both = Rule((InPrefix(Field.SOURCE, parse_prefix("fd00::/64")), NeighbourDiscovery()), Drop(), V6)
        found = Ruleset((Chain("forward", (both,), Hook.FORWARD),))
        assert [line.startswith("-s fd00::/64 -p ipv6-icmp") for line in rules("FORWARD", V6, found)] == [True] * 3

    def test_prefixes_are_printed_as_the_kernel_s_tools_do(self) -> None:
        half = Rule((InPrefix(Field.DESTINATION, parse_prefix("0.0.0.0/1")),), Drop(), V4)
        assert rules("FORWARD", V4, Ruleset((Chain("forward", (half,), Hook.FORWARD),))) == ["-d 0.0.0.0/1 -j DROP"]

    def test_notes_are_comments_and_no_rule_has_one(self) -> None:
        lines = script(V4).split("\n")
        marked = lines.index("# deny: shop/p egress[0]")
        assert lines[marked + 1] == "-A NETPOLC-eg4-web -s 10.0.0.0/8 -d 10.0.0.1/32 -g NETPOLC-deny"
        assert "--comment" not in script(V4)


class TestOwnership:
    def test_only_our_chains_are_filled_and_only_jumps_go_into_hooks(self) -> None:
        for family in (V4, V6):
            for line in commands(script(family)):
                assert line in ("*filter", "COMMIT") or line.startswith((f":{PREFIX}", f"-A {PREFIX}", "-I "))
            jumps = [line for line in commands(script(family)) if line.startswith("-I")]
            assert all(re.search(rf"-j {PREFIX}[A-Z]+$", line) for line in jumps)

    def test_what_we_allow_returns_to_the_hook(self) -> None:
        """Rules of others still see it: netpolc never says ACCEPT."""
        assert "ACCEPT" not in script(V4) + script(V6)

    def test_names_fit(self) -> None:
        longest = Chain("x" * LONGEST, ())
        assert len(chain_name(longest)) <= 28
        assert all(len(name) <= 31 for name in SETS.values())


PLAIN = {family: commands(script(family, with_notes(FOR_IPTABLES, ""))) for family in Family}


@pytest.mark.parametrize("family", [V4, V6])
def test_a_note_of_rules_of_both_families_stands_in_the_script_of_either(family: Family) -> None:
    both = Chain("both", tuple(Rule((), Drop(), one, note="deny: shop/p") for one in (V4, V6)))
    assert script(family, Ruleset((both,))).count("# deny: shop/p\n") == 1


@pytest.mark.parametrize("note", HOSTILE)
def test_hostile_notes_change_no_command_and_no_line_is_too_long(note: str) -> None:
    for family in Family:
        found = script(family, with_notes(FOR_IPTABLES, note, note))
        assert commands(found) == PLAIN[family]
        assert max(len(line.encode()) for line in found.split("\n")) <= LONGEST_LINE


@given(st.text() | st.text(st.sampled_from("\n\r\\\"'#\x00\u2028 a")))
def test_no_note_changes_a_command(note: str) -> None:
    for family in Family:
        assert commands(script(family, with_notes(FOR_IPTABLES, note))) == PLAIN[family]


@pytest.mark.kernel
@pytest.mark.parametrize("variant", ["legacy", "nft"])
@pytest.mark.parametrize("family", list(Family))
class TestRestore:
    def test_takes_everything_that_we_can_say(self, family: Family, variant: str) -> None:
        assert restored(family, variant, FOR_IPTABLES) == ""

    def test_refuses_what_is_no_script(self, family: Family, variant: str) -> None:
        broken = Ruleset((Chain("forward", (Rule((), Jump("nowhere")),), Hook.FORWARD),))
        assert restored(family, variant, broken) != ""

    def test_takes_hostile_notes(self, family: Family, variant: str) -> None:
        assert restored(family, variant, with_notes(FOR_IPTABLES, *HOSTILE)) == ""

    def test_takes_names_at_their_limit(self, family: Family, variant: str) -> None:
        name = "x" * LONGEST
        found = Ruleset((Chain("forward", (Rule((), Jump(name)),), Hook.FORWARD), Chain(name, (Rule((), Drop()),))))
        assert restored(family, variant, found) == ""

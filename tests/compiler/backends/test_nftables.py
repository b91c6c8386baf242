"""The nftables script: what it says, that nothing in a name can become a rule, and that nft takes it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.backends.nftables import FILE, emit
from compiler.errors import Unsupported
from compiler.ir.match import Field, ToAnyPort
from compiler.ir.ruleset import Chain, Drop, Goto, Hook, Jump, Lookup, PrefixMap, PrefixSet, Rule, Ruleset, Set
from compiler.net import Family, Prefix, mask
from tests.compiler.backends.small import (
    FOR_NFTABLES,
    HOSTILE,
    HOSTS,
    REMARK,
    V4,
    commands,
    with_notes,
    without_remarks,
)


def script(ruleset: Ruleset = FOR_NFTABLES) -> str:
    """The text as it is."""
    (text,) = emit(ruleset).values()
    return text


def readable(ruleset: Ruleset = FOR_NFTABLES) -> str:
    """The text with the names of sets and maps as they are in the ruleset, without the digest of their content."""
    return re.sub(r"-[0-9a-f]{10}\b", "", script(ruleset))


def block(text: str, opening: str) -> list[str]:
    """The commands between the line `opening` and its closing brace."""
    found = commands(text)
    begin = found.index(opening)
    return found[begin + 1 : found.index("}", begin)]


def accepted(text: str) -> str:
    """What nft says of a script in a network namespace of its own; empty when it takes it."""
    done = subprocess.run(
        ["unshare", "-n", "nft", "-c", "-f", "-"],
        input=text.encode("utf-8", "surrogateescape"),
        capture_output=True,
        timeout=60,
    )
    return done.stderr.decode(errors="replace") if done.returncode else ""


def test_one_file() -> None:
    assert list(emit(FOR_NFTABLES)) == [FILE]


class TestText:
    def test_head(self) -> None:
        assert readable().split("\n")[:2] == [
            "# netpolc: node n1",
            "# Load with: nft -f netpolc.nft   (one transaction; loading again is safe)",
        ]
        assert script().endswith("}\n")

    def test_everything_is_declared_then_chains_are_emptied_then_filled(self) -> None:
        """One transaction that never deletes the table or a base chain: reloading loses no packet."""
        found = commands(readable())
        assert found[0] == "add table inet netpolc"
        assert found[1:6] == [
            "add chain inet netpolc forward { type filter hook forward priority filter - 1 ; policy accept ; }",
            "add chain inet netpolc output { type filter hook output priority filter - 1 ; policy accept ; }",
            "add chain inet netpolc eg4-web",
            "add chain inet netpolc in6-web",
            "add chain inet netpolc deny",
        ]
        assert found[6] == "flush table inet netpolc"
        assert not [line for line in found if line.startswith(("delete", "destroy"))]
        first_rule = found.index("table inet netpolc {")
        for name in re.findall(r"add element inet netpolc (\S+)", readable()):
            declarations = f"add set inet netpolc {name} ", f"add map inet netpolc {name} "
            assert any(line.startswith(declarations) for line in found[:first_rule])

    def test_sets_are_declared_with_types_and_a_remark(self) -> None:
        declared = [line for line in commands(readable()) if line.startswith("add set")]
        assert declared == [
            "add set inet netpolc pairs4 { type ipv4_addr . ipv4_addr . inet_proto . inet_service ; "
            'comment "known pairs" ; }',
            "add set inet netpolc pairs6 { type ipv6_addr . ipv6_addr . inet_proto . inet_service ; "
            'comment "known pairs" ; }',
            'add set inet netpolc s4-hosts { type ipv4_addr ; comment "some pods" ; }',
            'add set inet netpolc s6-later { type ipv6_addr ; comment "to be filled: pods(app=web) in shop" ; }',
            "add set inet netpolc s4-named { type ipv4_addr . inet_proto . inet_service ; "
            'comment "pods that serve dns" ; }',
            "add set inet netpolc p-many { type inet_proto . inet_service ; }",
        ]

    def test_no_set_or_map_is_ever_emptied(self) -> None:
        """Old rules may still ask it; one that is filled by hand would lose what it holds."""
        assert [line for line in commands(script()) if line.startswith("flush")] == ["flush table inet netpolc"]

    def test_chains(self) -> None:
        assert block(readable(), "chain forward {") == [
            "ct state established,related accept",
            "ip saddr . ip daddr . meta l4proto . th dport @pairs4 accept",
            "ip6 saddr . ip6 daddr . meta l4proto . th dport @pairs6 accept",
            "ip saddr vmap @egress4-32",
            "ip6 daddr vmap @nets6-128",
            "ip6 daddr & ffff:ffff:: vmap @nets6-32",
            "ip6 daddr & ffff:: vmap @nets6-16",
        ]
        assert block(readable(), "chain output {") == [
            "ct state established,related accept",
            "fib saddr type local accept",
            "ip6 saddr @s6-later counter drop",
        ]
        assert block(readable(), "chain eg4-web {") == [
            "ip saddr @s4-hosts tcp dport 80 return",
            "ip daddr @s4-hosts udp dport 5-9 jump deny",
            "ip daddr . meta l4proto . th dport @s4-named return",
            "ip saddr 10.0.0.0/8 ip daddr 10.0.0.1/32 goto deny",
            "meta l4proto sctp return",
            "meta l4proto . th dport @p-many return",
        ]
        assert block(readable(), "chain in6-web {") == ["ip6 saddr fd00::/64 goto deny", "goto deny"]
        assert block(readable(), "chain deny {") == [
            "icmpv6 type { 133, 135, 136 } ip6 hoplimit 255 return",
            "counter drop",
        ]

    def test_elements(self) -> None:
        def of(name: str) -> list[str]:
            return block(readable(), f"add element inet netpolc {name} {{")

        assert of("pairs4") == ["10.0.0.1 . 10.0.0.2 . tcp . 80"]
        assert of("pairs6") == ["fd00::1 . fd00::2 . sctp . 9"]
        assert of("s4-hosts") == ["10.0.0.1,", "10.0.0.2"]
        assert of("s4-named") == ["10.0.0.1 . udp . 53"]
        assert of("p-many") == ["tcp . 1,", "udp . 2"]
        assert of("egress4-32") == ["10.0.0.1 : jump eg4-web"]
        assert of("nets6-128") == ["fd00:2::1 : return"]
        assert of("nets6-32") == ["fd00:1:: : return,", "fd00:2:: : goto deny"]
        assert of("nets6-16") == ["fd00:: : goto in6-web"]
        assert "add element inet netpolc s6-later" not in readable()

    def test_notes_are_comments_above_what_they_are_about(self) -> None:
        lines = readable().split("\n")
        assert lines[lines.index("\tchain in6-web {") - 1] == "\t# ingress of shop/web"
        assert lines[lines.index("add element inet netpolc nets6-32 {") - 1] == "# other ends by prefix"
        marked = lines.index("\t\t# deny: shop/p egress[0]")
        assert lines[marked + 1] == "\t\tip saddr 10.0.0.0/8 ip daddr 10.0.0.1/32 goto deny"

    def test_no_comment_on_a_rule(self) -> None:
        """DATAPATH: what many packets pass carries none."""
        rules = [line for line in commands(readable()) if not line.startswith("add set")]
        assert not any("comment" in line for line in rules)

    def test_all_sets_are_hashes(self) -> None:
        """A new interval set loses packets while it commits."""
        assert "interval" not in readable()


class TestNamesOfSetsAndMaps:
    """Named after their content: packets between two rules must not meet new elements in old maps."""

    def declared(self, ruleset: Ruleset) -> list[str]:
        return [line.split()[4] for line in commands(script(ruleset)) if line.startswith(("add set", "add map"))]

    def test_follow_the_content(self) -> None:
        host = PrefixMap("m", V4, ((Prefix(4, 1, 32), Goto("deny")),))
        variants: list[tuple[Set, PrefixMap]] = [
            (HOSTS, host),
            (replace(HOSTS, elements=HOSTS.elements[:1]), replace(host, elements=((Prefix(4, 1, 32), Jump("deny")),))),
            (replace(HOSTS, elements=((7,),)), replace(host, elements=((Prefix(4, 2, 32), Goto("deny")),))),
            (replace(HOSTS, name="other"), replace(host, name="other")),
        ]
        deny = Chain("deny", ())
        names = [tuple(self.declared(Ruleset((deny,), (one,), (two,)))) for one, two in variants]
        assert len({one for one, _ in names}) == len({two for _, two in names}) == len(variants)

    def test_do_not_follow_notes(self) -> None:
        assert self.declared(with_notes(FOR_NFTABLES, "other")) == self.declared(FOR_NFTABLES)

    def test_of_a_set_by_hand_are_as_they_are(self) -> None:
        assert "s6-later" in self.declared(FOR_NFTABLES)

    def test_are_the_same_wherever_they_stand(self) -> None:
        """Every name that a rule asks or an element goes to is declared."""
        known = self.declared(FOR_NFTABLES)
        asked = re.findall(r"@(\S+)", "\n".join(commands(script())))
        filled = re.findall(r"add element inet netpolc (\S+)", script())
        assert set(asked) == set(known)
        assert set(known) - set(filled) == {"s6-later"}
        assert len(set(known)) == len(known)


class TestRefusal:
    def test_prefix_sets(self) -> None:
        with pytest.raises(Unsupported, match="nftables cannot express a prefix set"):
            emit(Ruleset((), (PrefixSet("x", V4, ()),)))

    def test_port_lists(self) -> None:
        chain = Chain("forward", (Rule((ToAnyPort(6, ((1, 2), (4, 5))),), Drop()),), Hook.FORWARD)
        with pytest.raises(Unsupported, match="nftables cannot express a list of ports in a rule without a set"):
            emit(Ruleset((chain,)))


PLAIN = without_remarks(script(with_notes(FOR_NFTABLES, "")))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_notes_change_no_command(text: str) -> None:
    assert without_remarks(script(with_notes(FOR_NFTABLES, text))) == PLAIN


@given(st.text() | st.text(st.sampled_from("\n\r\\\"'{};#\x00\u2028 a")))
def test_no_note_changes_a_command(text: str) -> None:
    found = script(with_notes(FOR_NFTABLES, text))
    assert without_remarks(found) == PLAIN
    for remark in REMARK.findall(found):
        assert len(remark.encode()) <= 127, "NFTNL_UDATA: a set's comment has 128 bytes with its end"
        assert remark.isprintable()


def test_a_set_of_one_element_and_many_elements_need_no_special_form() -> None:
    many = Set("many", V4, (Field.SOURCE,), tuple((n,) for n in range(1, 3000)))
    found = block(readable(Ruleset((), (many,))), "add element inet netpolc many {")
    assert len(found) == 2999
    assert all(line.endswith(",") for line in found[:-1])


@pytest.mark.kernel
class TestNft:
    def test_takes_everything_that_we_can_say(self) -> None:
        assert accepted(script()) == ""

    def test_refuses_what_is_no_script(self) -> None:
        assert "Error" in accepted(script() + "add rule inet netpolc nowhere accept\n")

    def test_takes_hostile_notes(self) -> None:
        assert accepted(script(with_notes(FOR_NFTABLES, *HOSTILE))) == ""

    @pytest.mark.parametrize("text", HOSTILE)
    def test_takes_hostile_remarks(self, text: str) -> None:
        """The first note of a set becomes its comment in the kernel."""
        assert accepted(script(Ruleset((), (replace(HOSTS, notes=(text,)),)))) == ""

    def test_takes_an_empty_ruleset(self) -> None:
        assert accepted(script(Ruleset(()))) == ""

    def test_takes_prefixes_of_every_length(self) -> None:
        maps = []
        for family in Family:
            top = (1 << family.bits) - 1
            elements = tuple(
                sorted((Prefix(family.value, top & mask(family, n), n) for n in range(1, family.bits + 1)), key=tuple)
            )
            maps.append(PrefixMap(f"m{family.value}", family, tuple((p, Goto("deny")) for p in elements)))
        forward = Chain("forward", tuple(Lookup(Field.SOURCE, m.name, m.family) for m in maps), Hook.FORWARD)
        deny = Chain("deny", (Rule((), Drop()),))
        assert accepted(script(Ruleset((forward, deny), maps=tuple(maps)))) == ""


def test_what_the_kernel_has_no_room_for_stands_above_the_set() -> None:
    """Nothing else says who belongs in a set that is filled by hand."""
    note = f"to be filled: pods(app in ({', '.join(f'value-{n}' for n in range(40))})) in shop"
    ruleset = Ruleset((), (Set("s4-app", Family.IPV4, (Field.SOURCE,), (), (note,), by_hand=True),))
    lines = script(ruleset).split("\n")
    at = next(n for n, line in enumerate(lines) if line.startswith("add set"))
    assert lines[at].endswith(f'comment "{note[:117]}..." ; }}')
    first = lines.index(next(line for line in lines if line.startswith("# s4-app: ")))
    assert "".join([lines[first][2:], *(line[6:] for line in lines[first + 1 : at])]) == f"s4-app: {note}"

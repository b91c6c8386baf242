"""Input for `ipset restore`: names from content, lines that its reader takes whole."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.backends.ipset import directions, emit, set_name
from compiler.errors import Unsupported
from compiler.ir.match import Field
from compiler.ir.ruleset import PrefixSet, Set
from compiler.net import parse_prefix
from tests.compiler.backends.small import (
    BY_HAND,
    FOR_IPTABLES,
    HOSTILE,
    HOSTS,
    PAIR_KEY,
    PAIRS6,
    SOURCE,
    TEN,
    V4,
    V6,
    commands,
)

DESTINATION, PROTOCOL, PORT = Field.DESTINATION, Field.PROTOCOL, Field.PORT
LONGEST_NAME = 31  # IPSET_MAXNAMELEN is 32, with the end
LONGEST_LINE = 1023


def text(*sets: Set | PrefixSet, notes: tuple[str, ...] = ()) -> str:
    return emit(sets, {found.name: set_name(found) for found in sets}, notes)


def restored(script: str) -> tuple[int, str]:
    """Status and words of `ipset restore` in a network namespace of its own, then what is there."""
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", "ipset restore && ipset save"],
        input=script.encode("utf-8", "surrogateescape"),
        capture_output=True,
        timeout=60,
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


class TestText:
    def test_everything(self) -> None:
        pairs4, pairs6, hosts, later, named, nets = (set_name(found) for found in FOR_IPTABLES.sets)
        assert commands(text(*FOR_IPTABLES.sets, notes=FOR_IPTABLES.notes)) == [
            f"create {pairs4} hash:ip,port,ip family inet maxelem 4194304 -exist",
            f"add {pairs4} 10.0.0.1,tcp:80,10.0.0.2 -exist",
            f"create {pairs6} hash:ip,port,ip family inet6 maxelem 4194304 -exist",
            f"add {pairs6} fd00::1,sctp:9,fd00::2 -exist",
            f"create {hosts} hash:ip family inet maxelem 4194304 -exist",
            f"add {hosts} 10.0.0.1 -exist",
            f"add {hosts} 10.0.0.2 -exist",
            f"create {later} hash:ip family inet6 maxelem 4194304 -exist",
            f"create {named} hash:ip,port family inet maxelem 4194304 -exist",
            f"add {named} 10.0.0.1,udp:53 -exist",
            f"create {nets} hash:net family inet maxelem 4194304 -exist",
            f"add {nets} 10.0.0.0/8 -exist",
            f"add {nets} 10.1.0.0/16 nomatch -exist",
        ]

    def test_comments(self) -> None:
        lines = text(HOSTS, notes=("netpolc: node n1",)).split("\n")
        assert lines[:4] == [
            "# netpolc: node n1",
            "# Load first: ipset restore < ipset.save   (sets that are there already stay as they are)",
            "",
            "# s4-hosts: some pods",
        ]

    def test_nothing_is_ever_flushed_swapped_or_destroyed(self) -> None:
        """A set that rules are using never changes."""
        words = {line.split()[0] for line in commands(text(*FOR_IPTABLES.sets))}
        assert words == {"create", "add"}

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ((SOURCE,), "src"),
            ((DESTINATION,), "dst"),
            (PAIR_KEY, "src,dst,dst"),
            ((DESTINATION, PROTOCOL, PORT), "dst,dst"),
        ],
    )
    def test_directions(self, fields: tuple[Field, ...], expected: str) -> None:
        assert directions(fields) == expected

    @pytest.mark.parametrize("fields", [(PROTOCOL, PORT), (SOURCE, DESTINATION), (SOURCE, PROTOCOL, PORT), ()])
    def test_what_an_ipset_cannot_hold_is_refused(self, fields: tuple[Field, ...]) -> None:
        with pytest.raises(Unsupported, match="ipset cannot express a set of"):
            directions(fields)
        with pytest.raises(Unsupported, match="ipset cannot express a set of"):
            set_name(Set("x", V4, fields, ()))


class TestNames:
    def test_are_short_and_ours(self) -> None:
        for name in ("pairs4", "in4-backend-abcdefg-n12", "x", "a" * 20, "s4-twelve-ch-abcdefg"):
            found = set_name(replace(HOSTS, name=name))
            assert re.fullmatch(r"netpolc-[a-z0-9][a-z0-9-]*-[0-9a-f]{10}", found)
            assert "--" not in found
            assert len(found) <= LONGEST_NAME

    def test_follow_the_content(self) -> None:
        variants: list[Set | PrefixSet] = [
            HOSTS,
            replace(HOSTS, elements=HOSTS.elements[:1]),
            replace(HOSTS, elements=()),
            replace(HOSTS, family=V6),
            replace(HOSTS, name="s4-hosts2"),
            PrefixSet("s4-hosts", V4, ()),
            PrefixSet("s4-hosts", V4, ((TEN, True),)),
            PrefixSet("s4-hosts", V4, ((TEN, False),)),
        ]
        assert len({set_name(found) for found in variants}) == len(variants)

    def test_do_not_follow_notes(self) -> None:
        """Else a policy file that moves by a line would bring every set anew."""
        assert set_name(replace(HOSTS, notes=("other",))) == set_name(HOSTS)

    def test_of_a_set_by_hand_stay(self) -> None:
        assert set_name(BY_HAND) == set_name(replace(BY_HAND, notes=("to be filled: others",)))

    @given(st.lists(st.integers(0, 2**32 - 1), unique=True), st.lists(st.integers(0, 2**32 - 1), unique=True))
    def test_equal_only_for_equal_content(self, one: list[int], two: list[int]) -> None:
        names = [set_name(replace(HOSTS, elements=tuple((n,) for n in sorted(each)))) for each in (one, two)]
        assert (names[0] == names[1]) is (sorted(one) == sorted(two))


PLAIN = commands(text(*(replace(found, notes=("",)) for found in FOR_IPTABLES.sets)))


@pytest.mark.parametrize("note", HOSTILE)
def test_hostile_notes_change_no_command_and_no_line_is_too_long(note: str) -> None:
    found = text(*(replace(each, notes=(note, note)) for each in FOR_IPTABLES.sets), notes=(note, note))
    assert commands(found) == PLAIN
    assert max(len(line.encode()) for line in found.split("\n")) <= LONGEST_LINE


@given(st.text() | st.text(st.sampled_from("\n\r\\\"'#\x00\u2028 a")))
def test_no_note_changes_a_command(note: str) -> None:
    found = text(*(replace(each, notes=(note,)) for each in FOR_IPTABLES.sets), notes=(note,))
    assert commands(found) == PLAIN


def test_the_longest_lines_of_elements_are_short() -> None:
    """Two IPv6 addresses, a protocol and a port."""
    top = (1 << 128) - 1
    found = text(replace(PAIRS6, name="a" * 20, elements=((top, top, 132, 65535),)))
    assert max(map(len, commands(found))) < 200


@pytest.mark.kernel
class TestIpset:
    def test_takes_everything_that_we_can_say_twice(self) -> None:
        script = text(*FOR_IPTABLES.sets, notes=FOR_IPTABLES.notes)
        status, once = restored(script)
        assert status == 0, once
        assert once.count("add ") == 7
        assert "10.1.0.0/16 nomatch" in once
        status, twice = restored(script + script)
        assert status == 0, twice
        assert sorted(re.sub(r" initval \S+", "", line) for line in twice.splitlines()) == sorted(
            re.sub(r" initval \S+", "", line) for line in once.splitlines()
        )

    def test_takes_hostile_notes(self) -> None:
        status, words = restored(text(*(replace(each, notes=HOSTILE) for each in FOR_IPTABLES.sets), notes=HOSTILE))
        assert status == 0, words
        assert words.count("create ") == len(FOR_IPTABLES.sets)

    def test_refuses_what_is_none(self) -> None:
        assert restored(text(HOSTS) + "add nowhere 10.0.0.1\n")[0] != 0

    def test_takes_names_and_prefixes_at_their_limits(self) -> None:
        prefixes = [parse_prefix(f"255.255.255.255/{n}") for n in range(1, 33)]
        elements = tuple((prefix, n % 2 == 0) for n, prefix in enumerate(prefixes))
        found = PrefixSet("in4-aaaaaaaa-bbbbbbb-n17", V4, elements)
        assert len(set_name(found)) == LONGEST_NAME
        status, words = restored(text(found))
        assert status == 0, words
        assert words.count("add ") == 32

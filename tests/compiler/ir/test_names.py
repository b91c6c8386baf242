"""Names of chains and sets: readable, short, and never the same for two things."""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.iptables_rules import PREFIX
from compiler.ir.names import LONGEST, Namer

KINDS = st.sampled_from(("in4", "eg6", "p", "s4", "t6", "d4"))


@settings(deadline=None)
@given(st.lists(st.tuples(KINDS, st.text(max_size=300), st.text(max_size=300)), unique_by=lambda e: (e[0], e[2])))
def test_names_fit_and_differ(wanted: list[tuple[str, str, str]]) -> None:
    namer = Namer()
    found = [namer.name(*each) for each in wanted]
    assert len(set(found)) == len(found)
    for name in found:
        assert len(name) <= LONGEST
        assert re.fullmatch(r"[a-z][a-z0-9]*-[a-z0-9]+-[a-z2-7]{7}", name), "nft takes no other characters unquoted"
    assert found == [namer.name(*each) for each in wanted], "the same key gets the same name again"
    assert found == [Namer().name(*each) for each in wanted], "names do not depend on what was named before"


def test_with_iptables_prefix_they_fit_a_chain() -> None:
    """iptables: "chain name too long (must be under 29 chars)"."""
    assert len(PREFIX) + LONGEST <= 28


def test_known_collisions_of_other_tools() -> None:
    """`a-b`/`c` and `a`/`b-c`; names of 253 characters that differ at the end."""
    namer = Namer()
    keys = ["a-b/c", "a/b-c", "a-b-c", "x" * 252 + "a", "x" * 252 + "b"]
    assert len({namer.name("in4", "same", key) for key in keys}) == len(keys)


def test_kinds_have_names_of_their_own() -> None:
    """A kind and a key cannot be cut in two ways that meet."""
    namer = Namer()
    assert namer.name("in4", "web", "k") != namer.name("eg4", "web", "k")
    assert namer.name("a", "web", "b\0k") != namer.name("a\0b", "web", "k")


@pytest.mark.parametrize(
    ("stem", "shown"),
    [
        ("backend", "backend"),
        ("Back_End.7", "backend7"),
        ("a-very-long-policy-name", "averylon"),
        ("größe", "gre"),
        ("---", "x"),
        ("", "x"),
        ("日本", "x"),
        ("\n; drop", "drop"),
    ],
)
def test_stems_are_what_a_reader_recognises(stem: str, shown: str) -> None:
    assert Namer().name("in4", stem, "key").split("-")[1] == shown


class TestCollidingDigests:
    """35 bits do collide now and then: then a salt tells the keys apart, the first come keeps the plain name."""

    @staticmethod
    def weak(data: bytes) -> object:
        """A hash with two values for salt 0 and proper ones for others."""
        if data.endswith(b"\x000"):
            data = b"even" if len(data) % 2 else b"odd"
        return hashlib.new("sha256", data)

    def test_keys_are_told_apart(self) -> None:
        with patch("compiler.ir.names.hashlib.sha256", self.weak):
            namer = Namer()
            found = [namer.name("in4", "x", key) for key in ("aa", "bb", "cc", "d")]
            assert len(set(found)) == 4
            assert found == [namer.name("in4", "x", key) for key in ("aa", "bb", "cc", "d")]
            assert Namer().name("in4", "x", "bb") == found[0], "alone it would have had the plain name"

    def test_digests_that_always_collide_are_a_defect_not_a_shared_name(self) -> None:
        constant = hashlib.new("sha256", b"")
        with patch("compiler.ir.names.hashlib.sha256", lambda data: constant):
            namer = Namer()
            namer.name("in4", "x", "a")
            with pytest.raises(AssertionError, match="collided"):
                namer.name("in4", "x", "b")


def test_the_digest_is_of_kind_and_key() -> None:
    """Names are part of what reload compares: they must not change between versions without need."""
    digest = b32encode(hashlib.sha256(b"in4\0the key\x000").digest()).decode().lower()[:7]
    assert Namer().name("in4", "web", "the key") == f"in4-web-{digest}"

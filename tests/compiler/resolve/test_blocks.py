"""Blocks and their excepts, for every address at once, against one look at a time."""

from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.net import ALL_PORTS, Family, parse_address, parse_prefix
from compiler.policy import Block, NodeSelector, Peer, Selector, Tier
from compiler.resolve.blocks import Clauses, flatten, nested_blocks
from compiler.resolve.classes import Clause
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import Node
from compiler.snapshot import build
from tests.compiler.meaning import inside
from tests.compiler.models import block, pods, rule
from tests.compiler.worlds import UNIVERSE, blocks

NOBODY = Inventory(build())


def clauses(*peers: tuple[Peer, ...]) -> tuple[Clause, ...]:
    """One clause for each tuple of peers."""
    return tuple(Clause(Tier.APPLICATION, rule(*each), ALL_PORTS, ()) for each in peers)


def held_at(found: tuple[Clause, ...], text: str, inventory: Inventory = NOBODY) -> Clauses:
    """The clauses that hold at an address, both ways of asking compared."""
    family, address = parse_address(text)
    nested = nested_blocks(inventory, found, family)
    around = [(p.length, held) for p, held in nested if inside(text, p)]
    spans = flatten(nested, family)
    by_span = spans[bisect_right([start for start, _ in spans], address) - 1][1]
    assert max(around, key=lambda entry: entry[0])[1] == by_span
    return by_span


class TestHeldClauses:
    def test_an_except_cuts_its_own_block_only(self) -> None:
        """SEMANTICS: "an `except` cuts only its own ipBlock, never a sibling peer" """
        cut, sibling = block("10.0.0.0/8", "10.1.0.0/16"), block("10.1.2.0/24")
        assert held_at(clauses((cut, sibling)), "10.1.2.3") == {0}
        assert held_at(clauses((cut, sibling)), "10.1.3.1") == set()
        assert held_at(clauses((cut,), (sibling,)), "10.1.2.3") == {1}
        assert held_at(clauses((cut,), (block("10.0.0.0/8"),)), "10.1.2.3") == {1}

    def test_equal_blocks_with_other_excepts(self) -> None:
        found = clauses((block("10.0.0.0/8", "10.1.0.0/16"),), (block("10.0.0.0/8", "10.2.0.0/16"),))
        assert held_at(found, "10.1.0.1") == {1}
        assert held_at(found, "10.2.0.1") == {0}
        assert held_at(found, "10.3.0.1") == {0, 1}

    def test_a_block_that_equals_another_s_except(self) -> None:
        found = clauses((block("10.0.0.0/8", "10.1.0.0/16"),), (block("10.1.0.0/16"),))
        assert held_at(found, "10.1.0.1") == {1}

    def test_excepts_within_excepts_add_nothing_back(self) -> None:
        found = clauses((block("10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24"),))
        assert held_at(found, "10.1.1.1") == set()
        assert held_at(found, "10.1.2.1") == set()
        assert held_at(found, "10.2.0.1") == {0}

    def test_two_blocks_of_one_clause_one_cut(self) -> None:
        found = clauses((block("10.0.0.0/8", "10.1.0.0/16"), block("10.0.0.0/7")))
        assert held_at(found, "10.1.0.1") == {0}

    def test_the_whole_internet_and_its_edges(self) -> None:
        found = clauses((block("0.0.0.0/0", "128.0.0.0/1"),), (block("255.255.255.255/32"),))
        assert held_at(found, "0.0.0.0") == {0}
        assert held_at(found, "127.255.255.255") == {0}
        assert held_at(found, "128.0.0.0") == set()
        assert held_at(found, "255.255.255.254") == set()
        assert held_at(found, "255.255.255.255") == {1}

    def test_families_are_apart(self) -> None:
        found = clauses((block("0.0.0.0/0"),), (block("::/0"),))
        assert held_at(found, "0.0.0.1") == {0}
        assert held_at(found, "::1") == {1}

    def test_nodes_are_their_addresses(self) -> None:
        inventory = Inventory(build(nodes=[Node("n1", {}, ("10.0.0.7", "fd00::7"))]))
        found = clauses((NodeSelector(Selector()),), (pods(),))
        assert held_at(found, "10.0.0.7", inventory) == {0}
        assert held_at(found, "10.0.0.8", inventory) == set()
        assert held_at(found, "fd00::7", inventory) == {0}

    @settings(max_examples=100)
    @given(st.lists(st.lists(blocks(), max_size=3).map(tuple), max_size=3), st.sampled_from(list(Family)))
    def test_equal_to_asking_each_block(self, peers: list[tuple[Block, ...]], family: Family) -> None:
        found = clauses(*peers)
        for text in UNIVERSE[family]:
            expected = {
                n
                for n, of_clause in enumerate(peers)
                if any(inside(text, b.prefix) and not any(inside(text, cut) for cut in b.excepts) for b in of_clause)
            }
            assert held_at(found, text) == expected, text


class TestShape:
    def test_sorted_with_the_empty_prefix_first(self) -> None:
        found = nested_blocks(NOBODY, clauses((block("10.0.0.0/8", "10.1.0.0/16"), block("9.0.0.0/8"))), Family.IPV4)
        assert [str(prefix) for prefix, _ in found] == ["0.0.0.0/0", "9.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16"]

    def test_of_no_blocks(self) -> None:
        assert nested_blocks(NOBODY, (), Family.IPV6) == ((parse_prefix("::/0"), frozenset()),)

    @pytest.mark.parametrize("family", list(Family))
    def test_spans_cover_everything_once(self, family: Family) -> None:
        text = "10.0.0.0/8" if family is Family.IPV4 else "fd00::/8"
        spans = flatten(nested_blocks(NOBODY, clauses((block(text),)), family), family)
        assert [held for _, held in spans] == [frozenset(), frozenset({0}), frozenset()]
        assert spans[0][0] == 0
        assert [start for start, _ in spans] == sorted({start for start, _ in spans})

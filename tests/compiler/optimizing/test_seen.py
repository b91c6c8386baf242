"""Looking again at those rules alone that may be other than before finds what looking at all finds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.optimizing.passes import seen
from compiler.optimizing.passes.lines import Block, Line
from compiler.optimizing.passes.seen import Seen
from compiler.optimizing.passes.shadow import redundant, unreached
from compiler.optimizing.passes.simplify import renumbered
from compiler.optimizing.readers import iptables_rules
from compiler.ordering.prices import Tool
from grammar.source import Source
from tests.compiler.optimizing.test_passes import texts


@pytest.fixture(autouse=True)
def few_changes_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many changed, the others are not looked at."""
    monkeypatch.setattr(seen, "_SHARE", 0)


@st.composite
def changed(draw: st.DrawFn, lines: list[Line]) -> list[Line]:
    """Some go, and some stand elsewhere."""
    kept = [line for line in lines if draw(st.integers(0, 3))]
    for _ in range(draw(st.integers(0, 2)) if kept else 0):
        kept.insert(draw(st.integers(0, len(kept) - 1)), kept.pop(draw(st.integers(0, len(kept) - 1))))
    return kept


@settings(max_examples=300, deadline=None)
@given(texts(), st.data())
def test_nothing_is_overlooked(text: str, data: st.DataObject) -> None:
    listing = iptables_rules.listing(Source("rules", text), Tool.IPTABLES_LEGACY)
    chain = next(one for one in listing.chains if one.name == "FORWARD")
    block = Block(listing.chains, {})
    before = block.lines[listing.chains.index(chain)]
    if data.draw(st.booleans()):  # rules may come, too
        before, now = data.draw(changed(before)), before
    else:
        now = data.draw(changed(before))
    again = Seen(before).again(now, ordered=False)
    assert again is not None
    found = redundant(before, chain)
    assert sorted(redundant(now, chain, again, renumbered(found, before, now, again))) == sorted(redundant(now, chain))
    again = Seen(before).again(now, ordered=True)
    gone = {id(before[shadow.number].rule.said) for shadow in unreached(before, None)}
    every = unreached(now, None)
    if again is not None:
        wanted = [one for one in every if one.number in again]
        assert [one.number for one in unreached(now, None, again)] == [one.number for one in wanted]
        others = {id(now[shadow.number].rule.said) for shadow in every if shadow.number not in again}
        assert others <= gone

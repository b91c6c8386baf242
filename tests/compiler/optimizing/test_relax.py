"""Rules that do the same change places, others do not; what they match then is dealt out by boxes, and none is lost."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.optimizing import relax
from compiler.optimizing.readers import iptables_rules
from compiler.optimizing.relax import relaxing, rescored
from compiler.optimizing.reorder import Reordered, reorder
from compiler.ordering.prices import Tool
from grammar.source import Source
from tests.compiler.optimizing.test_reorder import lines, reordered, same

#: The last rule overlaps the first, and is the one that matches.
SMALL = """\
*filter
:FORWARD ACCEPT [0:0]
[64:1] -A FORWARD -s 10.0.0.0/24 -d 10.1.0.0/16 -j {first}
[5:1] -A FORWARD -s 10.0.3.0/24 -j ACCEPT
[900:1] -A FORWARD -s 10.0.0.0/16 -d 10.1.0.0/17 {last}
COMMIT
"""


def relaxed(text: str) -> Reordered:
    rules = iptables_rules.listing(Source("rules", text), Tool.IPTABLES_LEGACY)
    return reorder(rules, Fraction(0), relaxing(rules, Fraction(0)))


def test_rules_that_do_the_same_change_places() -> None:
    text = SMALL.format(first="ACCEPT", last="-j ACCEPT")
    found = relaxed(text)
    (chain,) = found.chains
    assert chain.ordering.row == (2, 0, 1)
    # Half of what the first rule matches goes to the last.
    assert list(chain.now) == [32, 5, 932]
    assert sum(chain.now) == chain.counted
    assert chain.asked() == (Fraction(64 + 2 * 5 + 3 * 900, 969), Fraction(932 + 2 * 32 + 3 * 5, 969))
    assert [rule.matched for rule in found.listing.chains[0].rules] == [932, 32, 5]
    assert sorted(found.text) == sorted(text)
    assert same(text, found.text)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("DROP", "-j ACCEPT"),
        ("ACCEPT", "-m limit --limit 1/sec -j ACCEPT"),
        ("LOG", "-j LOG"),
        ("NFQUEUE", "-j NFQUEUE"),
        ("REJECT --reject-with tcp-reset", "-j REJECT"),
    ],
)
def test_others_do_not(first: str, last: str) -> None:
    text = SMALL.format(first=first, last=last).replace("-s 10.0.3.0/24 -j ACCEPT", "-s 10.9.3.0/24 -j ACCEPT")
    found, strict = relaxed(text), reordered(text)
    assert found.text == strict.text
    assert not found.chains[0].now
    assert found.chains[0].ordering == strict.chains[0].ordering


def test_lists_of_ports_are_what_they_hold() -> None:
    """A half of the first rule's packets, not all that lie between its ports."""
    text = SMALL.replace("-s 10.0.0.0/24 -d 10.1.0.0/16 -j {first}", "-p tcp -m multiport --dports 22,8443 -j ACCEPT")
    text = text.replace("-s 10.0.0.0/16 -d 10.1.0.0/17 {last}", "-p tcp -m tcp --dport 22 -j ACCEPT")
    assert list(relaxed(text).chains[0].now) == [32, 5, 932]
    apart = text.replace("--dport 22 -j ACCEPT", "--dport 80 -j ACCEPT").replace("-s 10.0.3.0/24", "-p udp")
    (chain,) = relaxed(apart).chains
    assert chain.ordering.row == (2, 0, 1)
    assert not chain.now


def test_long_chains_stay_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relax, "MOST", 2)
    text = SMALL.format(first="ACCEPT", last="-j ACCEPT")
    assert relaxed(text).text == reordered(text).text


@given(st.lists(lines(), min_size=2, max_size=9), st.lists(lines("own", ()), max_size=4))
def test_meaning_and_lines_stay(made: list[str], own: list[str]) -> None:
    text = "\n".join(["*filter", ":FORWARD DROP [0:0]", ":own - [0:0]", *made, *own, "COMMIT", ""])
    found = relaxed(text)
    assert sorted(found.text.splitlines()) == sorted(text.splitlines())
    assert same(text, found.text)
    for chain in found.chains:
        assert chain.ordering.cost <= chain.ordering.written
        assert sum(chain.now or chain.weights) == chain.counted


BOXES = st.lists(
    st.tuples(*[st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda ends: (min(ends), max(ends)))] * 2),
    min_size=1,
    max_size=7,
)


@given(BOXES, st.data())
def test_nothing_gets_lost_and_who_is_not_passed_keeps_all(
    boxes: list[tuple[tuple[int, int], ...]], data: st.DataObject
) -> None:
    count = len(boxes)
    weights = [Fraction(data.draw(st.integers(0, 1000))) for _ in boxes]
    actions = [data.draw(st.sampled_from("AD")) for _ in boxes]
    row = data.draw(st.permutations(range(count)))
    rules = [(box,) for box in boxes]
    found = rescored(rules, actions, weights, row)
    assert sum(found) == sum(weights)
    assert min(found) >= 0
    assert rescored(rules, actions, weights, range(count)) == weights
    place = {job: at for at, job in enumerate(row)}
    for job in range(count):
        passed = any(
            place[other] < place[job] and actions[other] == actions[job] and _meet(boxes[job], boxes[other])
            for other in range(job + 1, count)
        )
        assert passed or found[job] >= weights[job]


def _meet(one: tuple[tuple[int, int], ...], two: tuple[tuple[int, int], ...]) -> bool:
    return all(a <= d and c <= b for (a, b), (c, d) in zip(one, two, strict=True))

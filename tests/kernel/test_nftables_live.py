"""Rulesets that move, in the kernel: after any changes it holds what a load of the last ruleset brings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest

from compiler.backends.nftables_live import Live, next_version
from compiler.backends.nftables_told import CHUNK
from compiler.backends.target import Backend, Target
from compiler.ir.match import Field, InSet
from compiler.ir.ruleset import Accept, Chain, Hook, Rule, Ruleset, Set
from compiler.live.compiler import LiveCompiler
from compiler.lower import fastpath
from compiler.net import TCP, Family
from compiler.resolve import reach
from enforcer.dataplane import Actual
from enforcer.nftables.nft import Nft
from enforcer.nftables.tables import Tables
from tests.compiler.live.clusters import NODE, World
from tests.kernel.namespace import Namespace

pytestmark = pytest.mark.kernel

_PART = re.compile(r"^\t(?:set|map|chain) .*?^\t\}", re.MULTILINE | re.DOTALL)
_ELEMENTS = re.compile(r"(?<=elements = \{).*?(?=\})", re.DOTALL)


def _in_order(elements: str) -> str:
    return ",".join(sorted(map(str.strip, elements.split(","))))


class Place:
    """A network namespace with a dataplane."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        with self.namespace:
            self.nft = Nft()

    def held(self) -> list[str]:
        """Chains, sets and maps as nft lists them, in no order and whatever their version."""
        text = self.namespace.run("nft", "-s", "list", "table", "inet", "netpolc")
        parts = _PART.findall(re.sub(r"-v\d+\b", "", text))
        return sorted(
            _ELEMENTS.sub(lambda m: ",".join(sorted(map(str.strip, m[0].split(",")))), part) for part in parts
        )

    def close(self) -> None:
        self.nft.close()
        self.namespace.close()


@pytest.fixture
def place() -> Iterator[Place]:
    found = Place()
    yield found
    found.close()


@pytest.fixture
def other() -> Iterator[Place]:
    found = Place()
    yield found
    found.close()


@pytest.mark.parametrize("seed", range(12))
def test_changes_make_what_a_load_brings(
    place: Place, other: Place, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, budget = ((1024, 1 << 18), (2, 1 << 18), (3, 12), (1024, 0))[seed % 4]
    monkeypatch.setattr(reach, "SHARED_MINIMUM", shared)
    monkeypatch.setattr(fastpath, "PAIR_BUDGET", budget)
    compiler, live = LiveCompiler(Target(Backend.NFTABLES, NODE), closed=seed % 3 == 1), Live()
    loaded, ways = False, set[int]()
    for batch in World(Random(seed)).history(12):
        change = compiler.take(batch)
        after = compiler.ruleset()
        steps = live.update(change, after) if loaded else live.load(after)
        loaded = True
        place.nft.apply(steps)
        ways.add(len(steps))
        other.nft.apply(Live().load(after))
        assert place.held() == other.held()
        actual = place.nft.read()
        assert (actual.chains, actual.sets) == (live.chains, live.sets), "what is left over has another name"
        other.nft.remove()
    assert len(ways) > 1, "these changes were all of one kind"


def test_a_load_beside_what_an_earlier_one_left(place: Place) -> None:
    """A daemon that starts again knows nothing of the one before but names."""
    compiler = LiveCompiler(Target(Backend.NFTABLES, NODE))
    rulesets = []
    for batch in World(Random(3)).history(4):
        compiler.take(batch)
        rulesets.append(compiler.ruleset())
    first = Live(next_version(place.nft.read().sets))
    place.nft.apply(first.load(rulesets[0]))
    before = place.nft.read().sets
    again = Live(next_version(before))
    place.nft.apply(again.load(rulesets[-1]))
    assert before.isdisjoint(again.sets)
    assert before < place.nft.read().sets
    place.nft.apply(place.nft.sweep(Actual(again.chains, again.sets)))
    actual = place.nft.read()
    assert (actual.chains, actual.sets) == (again.chains, again.sets)


def test_large_sets_come_in_several_texts(place: Place) -> None:
    """libnftables takes 1.6 kB for each element that it is told in one text."""
    pairs = tuple((n, 1, TCP, 80) for n in range(3 * CHUNK + 5))
    key = (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT)
    found = Set("pairs4", Family.IPV4, key, pairs)
    asking = Rule((InSet(key, "pairs4"),), Accept(), Family.IPV4)
    ruleset = Ruleset((Chain("forward", (asking,), Hook.FORWARD),), (found,))
    steps = Live().load(ruleset)
    assert [step.text.count(" . tcp . 80") for step in steps] == [CHUNK, CHUNK, CHUNK, 5]
    assert ["@pairs4" in step.text for step in steps] == [False, False, False, True]
    place.nft.apply(steps)
    with place.namespace:
        tables = Tables()
        assert tables.now().sets["pairs4-v1"].count == len(pairs)
        tables.close()

"""The live compiler is the compiler: after any history, the rules are those of a compile from scratch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.ir.change import applied, canonical
from compiler.ir.check import check
from compiler.ir.ruleset import Ruleset
from compiler.live.batch import Batch
from compiler.live.compiler import LiveCompiler
from compiler.live.steady import steady
from compiler.lower import fastpath
from compiler.lower.closing import closing
from compiler.lower.pods import lower
from compiler.pipeline import emit
from compiler.resolve import reach
from compiler.resolve.classes import classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reacher
from compiler.resolve.unknown import ranges
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from compiler.translate import translate
from tests.compiler.live.clusters import NODE, World, split, squashed

targets = st.builds(Target, st.sampled_from(Backend), st.sampled_from((NODE, NODE, None)))
seeds = st.integers(0, 1 << 32)


@pytest.fixture(autouse=True, params=[(1024, 1 << 18), (2, 1 << 18), (3, 12), (1024, 0)], ids=str)
def limits(request: pytest.FixtureRequest) -> Iterator[None]:
    """From where on selectors become sets, and how many pairs there are: small, so that they are crossed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reach, "SHARED_MINIMUM", request.param[0])
        patch.setattr(fastpath, "PAIR_BUDGET", request.param[1])
        yield


def static(live: LiveCompiler, target: Target) -> Ruleset:
    """What the compiler makes of the same cluster, before anything is named after its content."""
    snapshot = live.snapshot()
    inventory = Inventory(snapshot)
    found = classes(inventory, translate(live.policies()), target.node)
    made = closing(lower(found, Reacher(inventory), target), ranges(snapshot, target.node, target.families))
    return plain(steady(made, target))


def plain(ruleset: Ruleset) -> Ruleset:
    """Canonical, and without origins, which chains that many classes ask do not have when they are to last."""
    found = canonical(ruleset)
    chains = (replace(c, rules=tuple(replace(rule, origins=()) for rule in c.rules)) for c in found.chains)
    return replace(found, chains=tuple(chains))


def from_scratch(target: Target, batches: Sequence[Batch], closed: bool = False) -> Ruleset:
    fresh = LiveCompiler(target, closed)
    fresh.take(squashed(batches))
    return fresh.ruleset()


@settings(max_examples=40, deadline=None)
@given(targets, seeds, st.booleans())
def test_every_change_makes_what_a_compile_from_scratch_makes(target: Target, seed: int, closed: bool) -> None:
    live, done = LiveCompiler(target, closed), list[Batch]()
    rules = live.ruleset()
    for batch in World(Random(seed)).history(12):
        change = live.take(batch)
        done.append(batch)
        before, rules = rules, live.ruleset()
        check(rules)
        assert plain(rules) == static(live, target)
        assert applied(before, change) == rules
        assert bool(change) == (before != rules)
    assert rules == from_scratch(target, done, closed)


@settings(max_examples=20, deadline=None)
@given(targets, seeds)
def test_how_events_come_together_means_nothing(target: Target, seed: int) -> None:
    random = Random(seed)
    batches = list(World(random).history(10))
    apart = LiveCompiler(target)
    for batch in batches:
        for event in split(batch, random):
            apart.take(event)
    assert apart.ruleset() == from_scratch(target, batches)


@settings(max_examples=15, deadline=None)
@given(targets, seeds)
def test_what_is_taken_back_leaves_nothing(target: Target, seed: int) -> None:
    """Every object goes again, the last first: nothing is left, and all comes back as it was."""
    batches = list(World(Random(seed)).history(8))
    live = LiveCompiler(target)
    for batch in batches:
        live.take(batch)
    rules = live.ruleset()
    there = squashed(batches)
    for batch in reversed(batches):
        live.take(
            Batch(
                dict.fromkeys(batch.pods),
                dict.fromkeys(batch.namespaces),
                dict.fromkeys(batch.nodes),
                dict.fromkeys(batch.policies),
            )
        )
    assert live.ruleset() == from_scratch(target, [])
    live.take(there)
    assert live.ruleset() == rules


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(Backend), seeds, st.booleans())
def test_rules_mean_what_the_policies_say(backend: Backend, seed: int, closed: bool) -> None:
    live = LiveCompiler(Target(backend, NODE), closed)
    for batch in World(Random(seed)).history(3):
        live.take(batch)
        files = emit(live.ruleset(), Target(backend, NODE))
        rules = rulesets.read(files.items())
        assert isinstance(verify([p.value for p in live.policies()], live.snapshot(), NODE, rules), Equal)

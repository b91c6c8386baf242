"""Questions about any place of any text: answers keep what they promise, and nothing fails."""

from __future__ import annotations

import os
import random
from contextlib import suppress

import pytest

from compiler.editor import completion, names, symbols
from compiler.editor.holds import Holdings
from compiler.editor.hover import hover
from compiler.editor.names import NotRenamed, Place
from compiler.editor.symbols import Symbol
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.snapshot import build
from grammar import dsl
from grammar.source import Flaw, Source
from tests.compiler.editor.worlds import World
from tests.grammar.fuzz import EXAMPLES, examples, mutated

SHARE = int(os.environ.get("NETPOLC_EXAMPLES", "150"))
SERVICES = next(one.read_text() for one in EXAMPLES if one.name == "services.np")
PODS = [
    Pod("shop", "web-1", {"app": "web"}, ("10.0.0.1", "fd00::1"), "one"),
    Pod("shop", "api-1", {"app": "api"}, ("10.0.0.2",), "two"),
    Pod("kube-system", "dns-1", {"k8s-app": "dns"}, ("10.0.0.3",), "one"),
    Pod("kube-system", "proxy", {}, ("192.0.2.1",), "one", host_network=True),
]
CLUSTER = build(
    PODS, [Namespace("shop", {"team": "a"})], [Node("one", {}, ("192.0.2.1",)), Node("two", {}, ("192.0.2.2",))]
)
HOLDINGS = Holdings(CLUSTER, "one")


def edited(seed: int) -> tuple[World, str, random.Random]:
    """A world with an example that somebody is changing, and chance for more."""
    chance, texts = random.Random(seed), examples()
    text = chance.choice(texts)
    text = text if chance.random() < 0.3 else mutated(text, texts, chance)
    return World(services=SERVICES, a=text), text, chance


@pytest.mark.parametrize("seed", range(max(SHARE // 5, 1)))
def test_every_question_has_an_answer(seed: int) -> None:
    world, text, chance = edited(seed)
    places = [chance.randrange(len(text) + 1) for _ in range(25)]
    for offset in places:
        found = hover(world.project, "a.np", offset, HOLDINGS if chance.random() < 0.7 else None)
        assert found is None or (found.text and found.place.begin <= offset <= found.place.end)
        everywhere = names.references(world.project, "a.np", offset)
        defined = names.definitions(world.project, "a.np", offset)
        if everywhere:
            assert set(defined) <= set(everywhere)
            assert len({shown(world, one) for one in everywhere}) == 1
        with suppress(NotRenamed):
            assert names.renamed(world.project, "a.np", offset, "other-name") == everywhere != []
    reading = world.project.reading("a.np")
    assert reading is not None
    for one in symbols.symbols(reading):
        nested(one)


def shown(world: World, place: Place) -> str:
    reading = world.project.reading(place.file)
    assert reading is not None
    assert reading.text is not None
    return reading.text.source.text[place.begin : place.end]


def nested(one: Symbol) -> None:
    """Whether what is inside of a symbol lies in it."""
    assert one.name
    assert one.begin <= one.head[0] <= one.head[1] <= one.end
    for inner in one.inside:
        assert one.begin <= inner.begin <= inner.end <= one.end
        nested(inner)


@pytest.mark.parametrize("seed", range(max(SHARE // 5, 1)))
def test_whatever_is_offered_the_parser_takes(seed: int) -> None:
    """Each choice, in the place of the word that it is for: no error of syntax begins there."""
    world, text, chance = edited(1000 + seed)
    for _ in range(8):
        offset = chance.randrange(len(text) + 1)
        for one in completion.choices(world.project, "a.np", offset, CLUSTER):
            assert one.begin <= offset
            flaws: list[Flaw] = []
            behind = " any" if one.text == "log" else ""  # it may be the word that a statement begins with
            source = Source("a.np", text[: one.begin] + one.text + behind)
            dsl.parse(source, flaws.append)
            line, column = source.position(one.begin)
            there = [flaw for flaw in flaws if (flaw.span.line, flaw.span.column) == (line, column)]
            assert not [flaw for flaw in there if flaw.code in ("syntax", "character", "unknown-type")], (one, there)


@pytest.mark.parametrize("seed", range(max(SHARE // 10, 1)))
def test_renaming_keeps_what_programs_say(seed: int) -> None:
    """Every name of an example: renamed everywhere, there is nothing new to say but its name."""
    world = World(services=SERVICES, a=examples()[seed % len(EXAMPLES)])
    reading = world.project.reading("a.np")
    assert reading is not None
    chance = random.Random(seed)
    one = chance.choice(reading.occurrences)
    with suppress(NotRenamed):
        places = names.renamed(world.project, "a.np", one.node.begin, "another")
        before = {file: len(flaws) for file, flaws in world.wrong().items()}
        for place in reversed(places):
            text = world.texts[place.file].decode()
            world.texts[place.file] = (text[: place.begin] + "another" + text[place.end :]).encode()
        world.look()
        assert {file: len(flaws) for file, flaws in world.wrong().items()} == before
        assert not any("unknown-name" in flaw for flaws in world.wrong().values() for flaw in flaws)
        assert names.renamed(world.project, "a.np", one.node.begin, one.node.text)


def test_a_block_whose_head_is_wrong_has_its_rules_in_the_outline() -> None:
    world = World(a="policy {\n  allow any -> any\n}\n")
    reading = world.project.reading("a.np")
    assert reading is not None
    assert [(one.name, [inner.name for inner in one.inside]) for one in symbols.symbols(reading)] == [
        ("policy", ["allow any -> any"])
    ]
    assert not reading.occurrences

"""The parser's steps are lark's: what it reads by itself is read into the same tree, what it refuses is an error."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

import lark
import pytest

from grammar import dsl
from grammar import dsl_tree as t
from grammar.dsl_recovery import Reading
from grammar.source import Source
from tests.grammar import fuzz


def placed(found: Any) -> Any:
    """A tree with the places of its nodes, which do not count where trees are compared."""
    if isinstance(found, t.Node):
        return type(found), *(placed(getattr(found, one.name)) for one in fields(found))
    return tuple(map(placed, found)) if isinstance(found, tuple) else found


def by_lark(text: str) -> Any:
    try:
        return placed(dsl.parser().parse(text))
    except lark.exceptions.UnexpectedInput:
        return None


@pytest.mark.parametrize("seed", range(4))
def test_changed_programs(seed: int) -> None:
    chance, texts = random.Random(seed), fuzz.examples()
    refused = 0
    for _ in range(100):
        text = fuzz.mutated(chance.choice(texts), texts, chance)
        reading, wanted = Reading(Source("x.np", text), dsl.parser()), by_lark(text)
        tree = reading.tree()
        assert bool(reading.found) is (wanted is None), text
        assert wanted in (None, placed(tree)), text
        refused += wanted is None
    assert 40 < refused < 100


@pytest.mark.parametrize("between", [" ", "\n", "\t", "\r\n", "  # } \n", "#\n#\n", " \r\n\t#x\r\n "])
def test_what_stands_between_tokens(between: str) -> None:
    words = 'policy p { allow any -> { 10.0.0.1 , 2001:db8:: / 32 } : tcp/80 "#" deny any -> any }'.replace(" / ", "/")
    text = between.join(["", *words.split(" "), ""])
    assert placed(Reading(Source("x.np", text), dsl.parser()).tree()) == by_lark(text) is not None

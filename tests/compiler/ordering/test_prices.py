"""Prices are there for every question of every tool, and are costs that jobs can have."""

from __future__ import annotations

from itertools import product

import pytest

from compiler.ordering.jobs import Jobs
from compiler.ordering.prices import JUMP, PRICES, Kind, Tool, price


@pytest.mark.parametrize("tool", Tool)
def test_every_question_has_a_price(tool: Tool) -> None:
    assert set(PRICES[tool]) == set(Kind)
    assert all(PRICES[tool][kind] > 0 for kind in Kind)
    assert JUMP[tool] > 0
    assert price(tool, []) > 0


@pytest.mark.parametrize(("tool", "one", "two"), [*product(Tool, Kind, Kind)])
def test_the_first_question_counts_and_more_of_them_are_not_cheaper(tool: Tool, one: Kind, two: Kind) -> None:
    alone = price(tool, [one])
    assert alone == PRICES[tool][one]
    assert alone <= price(tool, [one, two]) <= alone + PRICES[tool][two]


def test_relations_that_layouts_rest_on() -> None:
    """An address is the cheapest question of all; a set pays for itself after a dozen or so of them."""
    for tool in Tool:
        assert min(PRICES[tool], key=PRICES[tool].__getitem__) is Kind.ADDRESS
        assert 3 < PRICES[tool][Kind.SET] / PRICES[tool][Kind.ADDRESS] < 30


def test_prices_are_costs() -> None:
    jobs = Jobs.of([1] * len(Kind), [price(Tool.NFTABLES, [kind]) for kind in Kind], [0] * len(Kind))
    assert jobs.unit == 1

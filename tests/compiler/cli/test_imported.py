"""Rulesets in many styles, each imported as its golden program says, and proved."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run
from bench.kube_proxy import rules

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "import"
#: Golden program -> the rules that it is made of.
PROGRAMS = {
    **{place.stem: (place.name,) for place in sorted(FIXTURES.glob("*.save")) if "both" not in place.name},
    **{f"{place.stem}-nft": (place.name,) for place in sorted(FIXTURES.glob("*.nft"))},
    "both": ("both.v4.save", "both.v6.save"),
}
#: What nothing can be compared of today: rules in the tool's own words in nat, mangle and raw.
NOT_YET: frozenset[str] = frozenset()


@pytest.fixture
def whole() -> Iterator[None]:
    """Garbage of large proofs is not kept for the other tests."""
    yield
    gc.collect()


def test_there_are_many_styles() -> None:
    assert len(PROGRAMS) >= 12


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden_programs(netpolc: Callable[..., Run], request: pytest.FixtureRequest, name: str) -> None:
    done = netpolc("import", "--no-prove", *(str(FIXTURES / one) for one in PROGRAMS[name]))
    assert done.status == 0, done.stderr
    golden = FIXTURES / f"{name}.np"
    if request.config.getoption("--update"):
        golden.write_text(done.stdout)
    assert done.stdout == golden.read_text()
    Path("again.np").write_text(done.stdout)
    assert netpolc("fmt", "--check", "again.np").status == 0


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in NOT_YET])
@pytest.mark.usefixtures("whole")
def test_programs_are_proved(netpolc: Callable[..., Run], name: str) -> None:
    done = netpolc("import", *(str(FIXTURES / one) for one in PROGRAMS[name]))
    assert done.status == 0, done.stderr
    assert "\nproved: " in done.stderr
    assert done.stdout == (FIXTURES / f"{name}.np").read_text()


def test_many_services(netpolc: Callable[..., Run]) -> None:
    """Some 5,000 rules of kube-proxy; that they are proved is shown by bench/importing.py."""
    Path("kube.save").write_text(rules(440))
    done = netpolc("import", "--no-prove", "kube.save")
    assert done.status == 0, done.stderr
    assert "4940 rules: 3436 statements, 1 of them opaque" in done.stderr

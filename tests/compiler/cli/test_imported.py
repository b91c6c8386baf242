"""Rulesets in many styles, each imported as its golden program says, and proved."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.kube_proxy import rules
from compiler.analysis.same import differences
from compiler.backends.target import Backend, Target
from compiler.cli.importing import written
from compiler.net import Family
from compiler.pipeline import Compiler
from compiler.snapshot import build
from tests.compiler.cli.conftest import Run
from tests.test_project import consoles, run_block

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "import"
#: Golden program -> the rules that it is made of.
PROGRAMS = {
    **{place.stem: (place.name,) for place in sorted(FIXTURES.glob("*.save")) if "both" not in place.name},
    **{f"{place.stem}-nft": (place.name,) for place in sorted(FIXTURES.glob("*.nft"))},
    "both": ("both.v4.save", "both.v6.save"),
}


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


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.usefixtures("whole")
def test_programs_are_proved(netpolc: Callable[..., Run], name: str) -> None:
    done = netpolc("import", *(str(FIXTURES / one) for one in PROGRAMS[name]))
    assert done.status == 0, done.stderr
    assert "\nproved: compiled again" in done.stderr
    assert done.stdout == (FIXTURES / f"{name}.np").read_text()


@pytest.mark.parametrize("name", ["docker", "both", "router-nft"])
def test_the_other_tool_does_the_same(name: str) -> None:
    """Of which nothing stays in one tool's own words."""
    texts = [(one, (FIXTURES / one).read_text()) for one in PROGRAMS[name]]
    found, _, program = written(texts, None)
    backend = Backend.NFTABLES if found.tool == "iptables" else Backend.IPTABLES
    target = Target(backend, None, tuple(Family(version) for version in found.versions))
    made = Compiler((), build((), (), ()), program, None).compile(target)
    assert not differences(texts, made.files.items(), found.versions, ("rules", "program"))


def test_the_document_shows_what_is_printed(tmp_path: Path) -> None:
    (tmp_path / "fixtures").symlink_to(FIXTURES.parent)
    for block in consoles(FIXTURES.parents[1] / "docs" / "IMPORT.md"):
        run_block(block, tmp_path, own_namespace=False)


def test_many_services(netpolc: Callable[..., Run]) -> None:
    """Some 5,000 rules of kube-proxy; that they are proved is shown by bench/importing.py."""
    Path("kube.save").write_text(rules(440))
    done = netpolc("import", "--no-prove", "kube.save")
    assert done.status == 0, done.stderr
    assert "4940 rules: 3436 statements, 1 of them opaque" in done.stderr

"""What is asked of addresses is known before it is asked; where something is forgotten, the proof is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.semantics.diagrams.cells import Cells
from compiler.semantics.diagrams.questions import Question, told_apart
from compiler.semantics.proof import verify as module
from compiler.semantics.proof.verify import Different, Equal, Verifier
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.netfilter import Field
from compiler.snapshot import build
from compiler.sources.manifests import load

SHOP = Path(__file__).resolve().parents[3] / "fixtures/examples/shop"
FOUND = load([(path.name, path.read_bytes()) for path in sorted(SHOP.iterdir())])
SNAPSHOT = build(FOUND.pods, FOUND.namespaces, FOUND.nodes)
POLICIES = [located.value for located in FOUND.policies]
NODES = (None, *SNAPSHOT.node_names())


def texts(backend: Backend, node: str | None) -> dict[str, str]:
    return dict(Compiler(FOUND.policies, SNAPSHOT).compile(Target(backend, node)).files)


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[Field, Cells]]:
    """Those that proofs were tried with."""
    made: list[Mapping[Field, Cells]] = []

    def noted(version: int, questions: Iterable[Question]) -> dict[Field, Cells]:
        made.append(found := told_apart(version, questions))
        return found

    monkeypatch.setattr(module, "told_apart", noted)
    return made


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("backend", Backend)
def test_nothing_is_forgotten(backend: Backend, node: str | None, cells: list[Mapping[Field, Cells]]) -> None:
    ruleset = rulesets.read(texts(backend, node).items())
    assert isinstance(Verifier(POLICIES, SNAPSHOT).verify(node, ruleset), Equal)
    assert len(cells) == 2, "one for each family"
    assert all(1 < len(own) < 40 for found in cells for own in found.values())


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize(
    "change",
    [
        str,
        lambda text: text.replace("dport 8080", "dport 8081"),
        lambda text: text.replace("10.244.1.12", "10.244.1.9"),
    ],
)
def test_what_is_forgotten_costs_time_alone(
    backend: Backend,
    change: Callable[[str], str],
    cells: list[Mapping[Field, Cells]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {name: change(text) for name, text in texts(backend, "node-a").items()}
    ruleset = rulesets.read(files.items())
    found = Verifier(POLICIES, SNAPSHOT).verify("node-a", ruleset)
    assert isinstance(found, Equal if files == texts(backend, "node-a") else Different)
    known, before = list(cells), len(cells)
    monkeypatch.setattr(module, "of_rules", lambda *_: iter(()))
    monkeypatch.setattr(module, "of_policies", lambda *_: iter(()))
    assert Verifier(POLICIES, SNAPSHOT).verify("node-a", ruleset) == found
    assert len(cells) > before + 2, "it had to begin again"
    assert all(len(own) <= max(len(one[end]) for one in known) for last in cells[before:] for end, own in last.items())

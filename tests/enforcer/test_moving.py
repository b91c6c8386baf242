"""The engine whose rules move: which steps it gives from what is there, what is proved, and when it leaves the rules
to a compile from scratch. What the steps do in a kernel is for `test_enforce`."""

from __future__ import annotations

import pytest

from compiler.analysis.proof import Proof, Prover
from compiler.backends.target import Backend, Target
from compiler.live.batch import Batch
from compiler.live.compiler import LiveCompiler
from compiler.resources.language import NO_PROGRAM
from enforcer.compiling import Compiled
from enforcer.dataplane import Actual
from enforcer.moving import Moving
from enforcer.picture import Closed
from enforcer.plan import Desired
from enforcer.sources.saved import Saved, read
from tests.enforcer.driven import NODE, NODES, Clock, pod, policy, saved

FAR = "node-b"
FROM_APP = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-far, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: far}}}], ports: [{port: 80}]}]
---
"""
FIRST = (NODES, pod("web", "10.0.0.1"), pod("far", "10.0.9.1", FAR), FROM_APP)
ONE = saved(*FIRST)
#: The other pod has another address: elements alone.
TWO = saved(NODES, pod("web", "10.0.0.1"), pod("far", "10.0.9.2", FAR), FROM_APP)
#: And one more policy: other rules.
THREE = saved(NODES, pod("web", "10.0.0.1"), pod("far", "10.0.9.2", FAR), FROM_APP, policy("web", 443))


class Driven:
    def __init__(self, backend: Backend = Backend.NFTABLES, closed: Closed | None = None) -> None:
        self.clock = Clock()
        self.engine = Moving(Target(backend, NODE), closed, lambda: Actual(), clock=self.clock)
        self._before = Saved()

    def take(self, state: Saved) -> Compiled:
        before, self._before = self._before, state
        return self.engine.take(state.since(before), state.program)


@pytest.mark.parametrize("backend", Backend)
def test_from_each_version_to_the_newest(backend: Backend) -> None:
    driven = Driven(backend)
    one = driven.take(ONE)
    assert one.proved
    first = one.desired.digest
    whole = one.desired.steps(None)
    assert one.desired.steps(first) == ()
    two = driven.take(TWO)
    moved = two.desired.steps(first)
    assert 0 < sum(len(step.text) for step in moved) < sum(len(step.text) for step in whole) / 3
    assert "10.0.9.2" in "".join(step.text for step in moved)
    assert two.desired.steps(two.desired.digest) == ()
    assert driven.engine.ruleset == driven.engine._live.ruleset()


def test_versions_that_were_never_loaded_are_on_the_way() -> None:
    driven = Driven()
    first = driven.take(ONE).desired
    first.steps(None)
    before = first.digest
    driven.take(TWO)
    newest = driven.take(THREE).desired
    text = "".join(step.text for step in newest.steps(before))
    assert "10.0.9.2" in text
    assert "443" in text
    assert newest.steps(before), "asked again, as when a tool was busy"
    assert newest.steps(newest.digest) == ()


def test_whatever_else_is_there_is_replaced() -> None:
    driven = Driven()
    driven.take(ONE).desired.steps(None)
    newest = driven.take(TWO).desired
    for before in (None, "of a compile from scratch"):
        whole = "".join(step.text for step in newest.steps(before))
        assert "flush table inet netpolc" in whole
        assert newest.names.chains >= {"forward", "input", "output", "deny"}


def test_elements_alone_are_not_proved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    proofs: list[str] = []
    prove = Prover.prove

    def counted(self: Prover, *args: object, **kwargs: object) -> Proof:
        proofs.append("")
        return prove(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Prover, "prove", counted)
    driven = Driven()
    driven.take(ONE).desired.steps(None)
    driven.take(TWO)
    assert len(proofs) == 1
    driven.take(THREE)
    assert len(proofs) == 2


def test_rules_that_are_wrong_are_left_to_a_compile_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    prove = Prover.prove

    def wrong(self: Prover, *args: object, **kwargs: object) -> Proof:
        if "-v1" in "".join(text for _, text in args[1]):  # type: ignore[attr-defined]
            return Proof((4,), ("a packet gets through",), ends=frozenset({"10.0.0.1"}))
        return prove(self, *args, **kwargs)  # type: ignore[arg-type]

    driven = Driven()
    with monkeypatch.context() as patched:
        patched.setattr(Prover, "prove", wrong)
        made = driven.take(ONE)
        assert isinstance(made.desired, Desired)
        assert made.proved
        assert not made.barred, "its own proof holds"
    again = driven.take(THREE)
    assert not isinstance(again.desired, Desired)
    assert "flush table" in "".join(step.text for step in again.desired.steps(made.desired.digest))


def test_a_defect_is_left_to_a_compile_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    driven = Driven()
    driven.take(ONE).desired.steps(None)
    with monkeypatch.context() as broken:
        broken.setattr(LiveCompiler, "take", lambda *_: 1 / 0)
        made = driven.take(TWO)
    assert isinstance(made.desired, Desired)
    assert "10.0.9.2" in made.desired.load[0].text
    assert isinstance(driven.take(THREE).desired, Desired), "and so is what comes behind"


def test_programs_are_compiled_from_scratch() -> None:
    driven = Driven()
    driven.take(ONE).desired.steps(None)
    files = {"cluster.yaml": "".join(FIRST).encode(), "guard.np": b"node {\n  deny any -> self : tcp/25\n}\n"}
    with_program, problems = read(files, None, lambda file, path: "nothing here")
    assert with_program is not None, problems
    made = driven.take(with_program)
    assert isinstance(made.desired, Desired)
    assert "dport 25" in made.desired.load[0].text
    assert not isinstance(driven.take(ONE).desired, Desired)


def test_views_are_of_now_and_not_made_too_often() -> None:
    driven = Driven()
    view = driven.take(ONE).view
    assert [one.name for one in view.local(NODE)] == ["web"]
    snapshot = view.snapshot
    assert view.snapshot is snapshot
    assert snapshot.pods[0].ips == ("10.0.9.1",)
    newer = driven.take(TWO).view
    assert newer.snapshot.pods[0].ips == ("10.0.9.2",)
    assert newer.snapshot is newer.snapshot
    assert newer.program == NO_PROGRAM


def test_nothing_but_a_batch_without_anything() -> None:
    driven = Driven()
    first = driven.take(ONE).desired
    first.steps(None)
    again = driven.engine.take(Batch(), NO_PROGRAM).desired
    assert again.steps(first.digest) == ()


@pytest.mark.parametrize("backend", Backend)
def test_addresses_that_nobody_has_are_closed(backend: Backend) -> None:
    driven = Driven(backend, Closed(NODE))
    text = "".join(step.text for step in driven.take(ONE).desired.steps(None))
    assert "10.0.0.0/24" in text
    assert not driven.take(TWO).remarks


def test_steps_that_cannot_be_had_are_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    driven = Driven()
    first = driven.take(ONE).desired
    first.steps(None)
    before = first.digest
    with monkeypatch.context() as broken:
        broken.setattr("compiler.backends.nftables_live.Live.update", lambda *_: 1 / 0)
        newest = driven.take(TWO).desired
    assert "flush table" in "".join(step.text for step in newest.steps(before))


def test_versions_do_not_wait_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.moving._WAITING", 3)
    driven = Driven()
    first = driven.take(ONE).desired
    first.steps(None)
    before = first.digest
    for _ in range(3):
        driven.take(TWO)
        newest = driven.take(ONE).desired
    assert "flush table" in "".join(step.text for step in newest.steps(before))
    assert "flush table" not in "".join(step.text for step in driven.take(TWO).desired.steps(newest.digest))

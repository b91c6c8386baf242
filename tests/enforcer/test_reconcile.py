"""The reconciler over a dataplane in memory: what is applied, when, and what becomes of everything that goes wrong."""

from __future__ import annotations

import pytest

from compiler.analysis.proof import Proof, Prover
from compiler.backends.target import Backend, Target
from enforcer.compiling import Whole
from enforcer.dataplane import Foreign
from enforcer.fake import FakeDataplane, busy, refused
from enforcer.picture import Closed
from enforcer.reconcile import Pace, Reconciler, View
from tests.enforcer.driven import NODE, NODES, Clock, Scripted, pod, policy, saved

ONE = saved(NODES, pod("web", "10.0.0.1"), policy("web", 80))
TWO = saved(NODES, pod("web", "10.0.0.1"), policy("web", 443))
THREE = saved(NODES, pod("web", "10.0.0.1"), pod("db", "10.0.0.2"), policy("web", 443), policy("db", 5432))


class Rig:
    def __init__(self, *faults: object, backend: Backend = Backend.NFTABLES, ranges: tuple[str, ...] = ()) -> None:
        self.clock = Clock()
        self.source = Scripted(self.clock)
        self.dataplane = FakeDataplane(faults)  # type: ignore[arg-type]
        self.told: list[tuple[View | None, View]] = []
        self.reconciler = Reconciler(
            self.source,
            self.dataplane,
            Whole(Target(backend, NODE), Closed(NODE, ranges)),
            self.clock,
            Pace(retry=1, longest=4, look=0.5, check=60),
            lambda before, now: self.told.append((before, now)),
        )
        self.state = self.reconciler.state

    def turn(self, *says: object) -> None:
        self.source.says += says  # type: ignore[arg-type]
        self.reconciler.turn()

    @property
    def loads(self) -> list[str]:
        """What was applied, but for what was swept."""
        return [step.text for step in self.dataplane.applied if not step.text.startswith("sweep")]

    def says(self) -> str:
        return "\n".join(problem.text for problem in self.reconciler.problems())


def test_nothing_is_written_before_the_first_sync() -> None:
    rig = Rig()
    rig.dataplane.leave("of-an-earlier-run")
    for _ in range(10):
        rig.turn()
    assert not rig.dataplane.applied
    assert not rig.state.in_sync
    assert "of-an-earlier-run" in rig.dataplane.read().chains


def test_the_first_sync_replaces_what_an_earlier_run_left() -> None:
    rig = Rig()
    rig.dataplane.leave("of-an-earlier-run")
    rig.turn(ONE)
    assert rig.state.in_sync
    assert rig.state.proved
    assert len(rig.loads) == 1
    assert "of-an-earlier-run" not in rig.dataplane.read().chains
    assert [before for before, _ in rig.told] == [None]


def test_a_node_that_nobody_knows_is_a_problem() -> None:
    """Rules for no pod at all are in force, and somebody should hear of it."""
    rig = Rig()
    rig.turn(saved(pod("web", "10.0.0.1", "node-b")))
    assert rig.state.in_sync
    assert "is --node right?" in rig.says()
    rig.turn(saved(pod("web", "10.0.0.1", "node-b"), pod("db", "10.0.0.2", NODE)))
    assert not rig.reconciler.problems()


@pytest.mark.parametrize("backend", Backend)
def test_every_change_is_applied_once(backend: Backend) -> None:
    rig = Rig(backend=backend)
    rig.turn(ONE)
    first = len(rig.loads)
    rig.turn(TWO)
    assert len(rig.loads) == 2 * first
    for _ in range(5):
        rig.turn()
    assert len(rig.loads) == 2 * first
    assert rig.state.counts.applied == 2
    (_, one), (before, now) = rig.told
    assert before is one
    assert now.policies != one.policies


def test_changes_that_come_together_are_one() -> None:
    rig = Rig()
    rig.turn(ONE, TWO, THREE)
    assert len(rig.loads) == 1
    assert "5432" in rig.loads[0]


def test_a_change_that_changes_no_rule_is_not_applied() -> None:
    rig = Rig()
    rig.turn(ONE)
    rig.turn(saved(NODES, pod("web", "10.0.0.1"), policy("web", 80), pod("far", "10.0.1.1", node="node-b")))
    assert rig.state.counts.compiled == 2
    assert len(rig.loads) == 1
    assert rig.state.in_sync


def test_a_busy_tool_is_asked_again_with_longer_pauses() -> None:
    rig = Rig(busy(), busy(), busy(), busy(), None)
    rig.turn(ONE)
    assert not rig.state.in_sync
    assert "busy" in rig.says()
    began, tried = rig.clock.now, []
    while not rig.state.in_sync:
        count = rig.state.counts.busy
        rig.turn()
        if rig.state.counts.busy > count or rig.state.in_sync:
            tried.append(round(rig.clock.now - began, 3))
    assert tried == [1, 3, 7, 11]
    assert not rig.reconciler.problems()


def test_news_do_not_shorten_the_pause() -> None:
    rig = Rig(busy())
    rig.turn(ONE)
    rig.turn(TWO)
    assert not rig.loads
    while not rig.loads:
        rig.turn()
    assert "443" in rig.loads[0], "the newest alone"


def test_a_refusal_in_the_middle_loads_everything_anew() -> None:
    rig = Rig(None, refused(1), None, backend=Backend.IPTABLES)
    rig.turn(ONE)
    whole = len(rig.loads)
    rig.turn(TWO)
    assert "no such table" in rig.says()
    assert rig.state.counts.refused == 1
    while not rig.state.in_sync:
        rig.turn()
    assert len(rig.loads) == whole + 1 + whole


def test_what_others_remove_comes_back() -> None:
    rig = Rig()
    rig.turn(ONE)
    rig.dataplane.lose("deny")
    rig.turn()
    assert rig.state.in_sync
    assert "deny" in rig.dataplane.read().chains
    assert rig.state.counts.drifts == 1


def test_what_others_remove_unheard_comes_back_with_the_next_check() -> None:
    rig = Rig()
    rig.turn(ONE)
    while rig.clock.now < 1061:
        rig.turn()
    rig.dataplane.lose("deny", heard=False)
    while rig.clock.now < 1119:
        rig.turn()
        assert not rig.state.counts.drifts
    while rig.clock.now < 1122:
        rig.turn()
    assert rig.state.counts.drifts == 1
    assert "deny" in rig.dataplane.read().chains


def test_rules_that_bypass_ours_are_told() -> None:
    rig = Rig()
    rig.turn(ONE)
    rig.dataplane.bypass = [Foreign("filter FORWARD", "-j ACCEPT", "accepts before our jump")]
    while rig.clock.now < 1062:
        rig.turn()
    assert rig.says() == "accepts before our jump: -j ACCEPT"


class Wrong:
    """The proof of some texts fails, with a packet to this address; whatever else is proved is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, address: str, until_closed: bool = True) -> None:
        prove = Prover.prove

        def wrong(self: Prover, *args: object, **kwargs: object) -> Proof:
            found = prove(self, *args, **kwargs)  # type: ignore[arg-type]
            assert found.equal, found.witnesses
            node, texts = args[0], "".join(text for _, text in args[1])  # type: ignore[attr-defined]
            assert node == NODE
            closed = "5432" not in texts  # nobody may connect to that pod, whatever its policy says
            if address in texts and not (closed and until_closed):
                return Proof((4,), (f"a packet to {address} gets through",), ends=frozenset({address, "1.2.3.4"}))
            return found

        monkeypatch.setattr(Prover, "prove", wrong)


def test_a_ruleset_that_is_wrong_closes_the_pods_concerned(monkeypatch: pytest.MonkeyPatch) -> None:
    Wrong(monkeypatch, "10.0.0.2")
    rig = Rig()
    rig.turn(TWO)
    rig.turn(THREE)
    assert rig.state.counts.mismatches == 1
    assert rig.state.barred == {"10.0.0.2"}
    assert "10.0.0.2" in rig.says()
    assert rig.state.in_sync, "the others' rules are what they should be"
    assert len(rig.loads) == 2
    rig.turn(TWO)
    assert not rig.state.barred
    assert not rig.says()


def test_a_ruleset_that_stays_wrong_is_never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    Wrong(monkeypatch, "10.0.0.2", until_closed=False)
    rig = Rig()
    rig.turn(TWO)
    rig.turn(THREE)
    for _ in range(5):
        rig.turn()
    assert len(rig.loads) == 1
    assert not rig.state.in_sync
    assert "defect" in rig.says()
    rig.turn(TWO)
    assert rig.state.in_sync


def test_a_defect_of_the_compiler_leaves_the_rules_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.turn(ONE)
    with monkeypatch.context() as broken:
        broken.setattr("enforcer.compiling.Compiler", lambda *_: 1 / 0)
        rig.turn(TWO)
    assert "internal error" in rig.says()
    assert not rig.state.in_sync
    rig.turn(THREE)
    assert rig.state.in_sync
    assert len(rig.loads) == 2


def test_addresses_that_nobody_has_are_closed() -> None:
    rig = Rig()
    rig.turn(ONE)
    assert "ip daddr 10.0.0.0/24 goto deny" in rig.loads[0]
    assert not rig.state.remarks


def test_ranges_that_were_given_are_those_that_count() -> None:
    rig = Rig(ranges=("10.9.0.0/16",))
    rig.turn(ONE)
    assert "ip daddr 10.9.0.0/16 goto deny" in rig.loads[0]
    assert "10.0.0.0/24" not in rig.loads[0]


def test_a_node_without_ranges_is_told_of() -> None:
    rig = Rig()
    rig.turn(saved(pod("web", "10.0.0.1"), policy("web", 80)))
    assert rig.state.in_sync
    assert "node node-a has no podCIDRs" in rig.state.remarks[0]


def test_rules_that_cannot_be_looked_at_are_looked_at_again() -> None:
    rig = Rig()
    rig.turn(ONE)
    rig.dataplane.lose("deny")
    rig.dataplane.unreadable += [busy(), busy()]
    rig.turn()
    rig.turn()
    assert len(rig.loads) == 1
    rig.turn()
    assert rig.state.counts.drifts == 1
    assert "deny" in rig.dataplane.read().chains


def test_leftovers_that_will_not_go_are_told_of() -> None:
    rig = Rig(None, refused(), None, None)
    rig.dataplane.leave("of-an-earlier-run")
    rig.turn(ONE)
    assert rig.state.in_sync
    assert "stays: no such table" in rig.says()
    for _ in range(5):
        rig.turn()
    while rig.says():
        assert rig.clock.now < 1062
        rig.turn()
    assert len(rig.loads) == 1, "the rules are not loaded again for that"
    assert "of-an-earlier-run" not in rig.dataplane.read().chains
    assert not rig.says()

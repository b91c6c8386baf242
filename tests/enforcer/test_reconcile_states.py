"""The reconciler under everything at once: objects that come and go, faults of tools, others who remove rules,
leftovers and time, in any order. It comes to the rules of a compile from scratch, and loads no others on the way."""

from __future__ import annotations

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from compiler.backends.target import Backend, Target
from enforcer.compiling import Whole
from enforcer.fake import FakeDataplane, busy, refused
from enforcer.picture import Closed
from enforcer.plan import Desired, covers
from enforcer.reconcile import Pace, Reconciler
from enforcer.sources.saved import Saved
from tests.enforcer.driven import NODE, NODES, Clock, Scripted, pod, policy, saved

APPS = ("web", "db", "cache")
PORTS = (80, 443, 5432)
LONGEST = 8.0


class Enforcing(RuleBasedStateMachine):
    """`wanted` has the rules that the objects of each moment mean, compiled apart."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.source = Scripted(self.clock)
        self.dataplane = FakeDataplane()
        self.pods: dict[str, str] = {}
        self.policies: dict[str, str] = {}
        #: Others have removed something since all was well.
        self.tampered = False

    @initialize(backend=st.sampled_from(Backend), left=st.booleans())
    def start(self, backend: Backend, left: bool) -> None:
        self.whole = Whole(Target(backend, NODE), Closed(NODE), proving=False)
        self.backend = backend
        if left:
            self.dataplane.leave("of-an-earlier-run")
        pace = Pace(retry=1, longest=LONGEST, look=0.5, check=30)
        self.reconciler = Reconciler(self.source, self.dataplane, self.whole, self.clock, pace)

    # What happens to the cluster

    @rule(app=st.sampled_from(APPS), last=st.integers(1, 9), node=st.sampled_from([NODE, "node-b"]))
    def put_pod(self, app: str, last: int, node: str) -> None:
        if all(f"10.0.0.{last}}}" not in text for name, text in self.pods.items() if name != app):
            self.pods[app] = pod(app, f"10.0.0.{last}", node)
            self.says()

    @rule(app=st.sampled_from(APPS))
    def drop_pod(self, app: str) -> None:
        if self.pods.pop(app, None) is not None:
            self.says()

    @rule(app=st.sampled_from(APPS), port=st.sampled_from(PORTS))
    def put_policy(self, app: str, port: int) -> None:
        self.policies[app] = policy(app, port)
        self.says()

    @rule(app=st.sampled_from(APPS))
    def drop_policy(self, app: str) -> None:
        if self.policies.pop(app, None) is not None:
            self.says()

    def says(self) -> None:
        self.source.says.append(self.now)

    @property
    def now(self) -> Saved:
        return saved(NODES, *sorted(self.pods.values()), *sorted(self.policies.values()))

    @property
    def wanted(self) -> Desired:
        """From scratch."""
        whole = Whole(Target(self.backend, NODE), Closed(NODE), proving=False)
        found = whole.take(self.now.since(Saved()), self.source.program).desired
        assert isinstance(found, Desired)
        return found

    # What happens to the node

    @rule(fault=st.sampled_from([busy(), busy(1), refused(), refused(1), None]))
    def fail(self, fault: object) -> None:
        self.dataplane.faults.append(fault)  # type: ignore[arg-type]

    @precondition(lambda self: not self.dataplane.read().empty)
    @rule(data=st.data(), heard=st.booleans())
    def lose(self, data: st.DataObject, heard: bool) -> None:
        there = self.dataplane.read()
        self.dataplane.lose(data.draw(st.sampled_from(sorted(there.chains | there.sets))), heard)
        self.tampered = True

    @rule()
    def turn(self) -> None:
        self.reconciler.turn()
        if self.reconciler.state.in_sync and not self.source.says and not self.tampered:
            assert covers(self.dataplane.read(), self.wanted.names), "in sync, it says"

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def come_to_rest(self) -> None:
        """No more faults; then all is well within the longest pause and a look at everything."""
        self.dataplane.faults.clear()
        if not self.source.says and not self.source.synced:
            return
        until = self.clock.now + LONGEST + 31
        while self.clock.now < until:
            self.reconciler.turn()
        there, wanted = self.dataplane.read(), self.wanted
        assert self.reconciler.state.in_sync
        assert not self.reconciler.problems()
        assert (there.chains, there.sets) == (wanted.names.chains, wanted.names.sets), "all of it, and no leftovers"
        texts = {step.text for step in wanted.load}
        assert self.dataplane.contents() <= texts, "of one version"
        self.tampered = False

    @invariant()
    def nothing_is_written_before_the_first_sync(self) -> None:
        assert self.source.synced or not self.dataplane.applied


TestEnforcing = Enforcing.TestCase
TestEnforcing.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, phases=(Phase.explicit, Phase.generate)
)

"""Batches put together are what there is, whatever came in between; each is as small as it can be."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from compiler.live.batch import Batch
from compiler.resources.cluster import Namespace, Node, Pod
from enforcer.api.cache import Cache
from enforcer.api.objects import Read, Value
from enforcer.api.wire import KINDS, NAMESPACES, NODES, PODS, POLICIES, Key, Kind
from enforcer.sources.source import Problem
from tests.property.test_oracle_is_the_compiler import examples

A, B = ("x", "a"), ("x", "b")


def pod(key: Key = A, app: str = "web") -> Pod:
    return Pod(*key, {"app": app})


def synced(kinds: tuple[Kind, ...] = (PODS,)) -> Cache:
    """With nothing in it, and that was taken."""
    cache = Cache(kinds)
    for kind in kinds:
        cache.listed(kind, 100, {})
    cache.take()
    return cache


def test_nothing_before_everything() -> None:
    cache = Cache()
    for kind in KINDS[:-1]:
        cache.listed(kind, 10, {})
        cache.happened(kind, A, 11, None)
        assert (cache.synced, cache.changed, cache.take()) == (False, False, Batch())
    cache.listed(KINDS[-1], 10, {A: (9, Read(pod()))})
    assert cache.synced
    assert cache.changed
    assert cache.take() == Batch(pods={A: pod()})
    assert not cache.changed


def test_each_kind_has_its_place() -> None:
    cache = synced(KINDS)
    cache.happened(PODS, A, 101, Read(pod()))
    cache.happened(NAMESPACES, ("", "x"), 102, Read(Namespace("x")))
    cache.happened(NODES, ("", "n"), 103, Read(Node("n")))
    cache.happened(POLICIES[0], A, 104, None)
    assert cache.take() == Batch({A: pod()}, {"x": Namespace("x")}, {"n": Node("n")})


def test_several_changes_are_one() -> None:
    cache = synced()
    cache.happened(PODS, A, 101, Read(pod()))
    cache.happened(PODS, A, 102, Read(pod(app="db")))
    cache.happened(PODS, B, 103, Read(pod(B)))
    cache.happened(PODS, B, 104, None)
    assert cache.take() == Batch(pods={A: pod(app="db")})
    cache.happened(PODS, A, 105, Read(pod(app="web")))
    cache.happened(PODS, A, 106, Read(pod(app="db")))
    assert not cache.take(), "it is again as it was taken"
    cache.happened(PODS, A, 107, None)
    cache.happened(PODS, A, 108, Read(pod(app="new")))
    assert cache.take() == Batch(pods={A: pod(app="new")})
    cache.happened(PODS, A, 109, None)
    assert cache.take() == Batch(pods={A: None})


def test_old_events_change_nothing() -> None:
    cache = synced()
    assert cache.happened(PODS, A, 105, Read(pod()))
    assert cache.happened(PODS, A, 105, Read(pod(app="db"))), "twice"
    assert cache.happened(PODS, A, 104, None), "late"
    assert cache.take() == Batch(pods={A: pod()})
    assert cache.happened(PODS, A, 110, None)
    assert cache.happened(PODS, A, 110, None)
    assert not cache.happened(PODS, A, 107, Read(pod())), "gone already, or late? a list will tell"
    assert cache.take() == Batch(pods={A: None})
    assert cache.at(PODS) == 110


def test_a_list_is_the_truth() -> None:
    """Whatever its version: the server's data may be those of yesterday."""
    cache = synced()
    cache.happened(PODS, A, 105, Read(pod()))
    cache.happened(PODS, B, 106, Read(pod(B)))
    cache.take()
    cache.listed(PODS, 50, {A: (40, Read(pod(app="old")))})
    assert cache.take() == Batch(pods={A: pod(app="old"), B: None})
    assert cache.at(PODS) == 50
    cache.listed(PODS, 60, {A: None})
    assert not cache.take(), "held at its version"


def test_problems_last_as_long_as_their_object_is_so() -> None:
    cache = synced()
    wrong = Problem("pod x/a", "what is this?")
    cache.happened(PODS, A, 101, Read(pod()))
    cache.take()
    cache.happened(PODS, A, 102, Read(None, (wrong,)))
    assert cache.problems() == (wrong,)
    assert cache.take() == Batch(pods={A: None}), "it is not what it was"
    assert cache.version(PODS, A) == 102, "and is not read again"
    cache.listed(PODS, 110, {A: None})
    assert cache.problems() == (wrong,)
    cache.happened(PODS, A, 111, Read(pod()))
    assert (cache.problems(), cache.take()) == ((), Batch(pods={A: pod()}))
    cache.happened(PODS, B, 112, Read(None, (wrong,)))
    cache.listed(PODS, 120, {A: None})
    assert cache.problems() == ()


@dataclass(slots=True)
class Server:
    """A server's pods, each with its version."""

    version: int = 100
    pods: dict[Key, tuple[int, Pod]] = field(default_factory=dict)


class Life(RuleBasedStateMachine):
    """Pods come and go on a server; the cache is told of it by events, some of them late or twice, and by lists. Where
    it can't put an event in order, there is a list, as the reflector has it."""

    def __init__(self) -> None:
        super().__init__()
        self.cache, self.server = Cache((PODS,)), Server()
        self.taken: dict[Key, Value] = {}
        self.waiting: list[tuple[Key, int, Pod | None]] = []

    @rule(key=st.sampled_from([A, B]), app=st.sampled_from("ab"), gone=st.booleans())
    def changes(self, key: Key, app: str, gone: bool) -> None:
        if gone and key not in self.server.pods:
            return
        self.server.version += 1
        if gone:
            del self.server.pods[key]
        else:
            self.server.pods[key] = (self.server.version, pod(key, app))
        if self.cache.synced:
            self.waiting.append((key, self.server.version, None if gone else pod(key, app)))

    @rule(data=st.data())
    def is_told(self, data: st.DataObject) -> None:
        """Of one of the next two things, mostly of the first; perhaps of it again later."""
        if not self.waiting:
            return
        chosen = data.draw(st.sampled_from([0, 0, 0, 1]))
        event = self.waiting[min(chosen, len(self.waiting) - 1)]
        if data.draw(st.sampled_from([True, True, False])):
            self.waiting.remove(event)
        key, version, value = event
        if not self.cache.happened(PODS, key, version, None if value is None else Read(value)):
            self.lists()

    @rule()
    def lists(self) -> None:
        found = {
            key: None if self.cache.version(PODS, key) == version else (version, Read(value))
            for key, (version, value) in self.server.pods.items()
        }
        self.cache.listed(PODS, self.server.version, found)
        self.waiting.clear()

    @rule()
    def takes(self) -> None:
        batch = self.cache.take()
        assert self.cache.synced or not batch
        for key, value in batch.pods.items():
            assert value != self.taken.get(key), "news that is none"
            if value is None:
                del self.taken[key]
            else:
                self.taken[key] = value

    @invariant()
    def agrees(self) -> None:
        """Once everything was told and taken."""
        if self.cache.synced and not self.waiting:
            self.takes()
            assert self.taken == {key: value for key, (_, value) in self.server.pods.items()}


TestLife = Life.TestCase
TestLife.settings = examples(200)

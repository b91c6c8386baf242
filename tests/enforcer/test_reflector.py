"""When a list or a watch is asked for, with what, and how long one waits in between: by a clock that tests turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from enforcer.api.cache import Cache
from enforcer.api.objects import Read
from enforcer.api.reflector import LARGEST, Reflector, Timing, lines
from enforcer.api.transport import Lost, Refusal
from enforcer.api.wire import NAMESPACES, POLICIES, Key, Kind, Malformed

WIDE = POLICIES[1]
Answer = bytes | Exception
#: (second, what was asked for, how long it may be silent)
Request = tuple[float, Mapping[str, Any], float]


@dataclass
class World:
    """A server that answers as `script` says, over and over at its end; a clock; and the cache, as a sink."""

    script: Callable[[float, Mapping[str, Any]], Answer]
    kind: Kind = NAMESPACES
    watch_lasts: float = 0.0
    now: float = 0.0
    until: float = 3600.0
    asked: list[Request] = field(default_factory=list)
    troubles: list[tuple[float, str]] = field(default_factory=list)
    renewed: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = Cache((self.kind,))

    def run(self, seconds: float, seed: int = 1, timing: Timing = Timing()) -> list[Request]:  # noqa: B008
        """What is asked for in that time."""
        self.until = seconds
        Reflector(self.kind, self, self, self.pause, lambda: self.now, Random(seed), timing).run()  # type: ignore[arg-type]
        return self.asked

    def pause(self, seconds: float) -> bool:
        self.now += seconds
        return self.now >= self.until

    # As a transport

    @contextmanager
    def get(self, path: str, asked: Mapping[str, Any], silence: float) -> Iterator[World]:
        self.asked.append((self.now, {"path": path, **asked}, silence))
        self.answer = self.script(self.now, asked)
        self.now += 0.01
        if isinstance(self.answer, Refusal) or (isinstance(self.answer, Lost) and "watch" not in asked):
            raise self.answer
        yield self

    def read(self) -> bytes:
        assert isinstance(self.answer, bytes)
        return self.answer

    def blocks(self) -> Iterator[bytes]:
        self.now += self.watch_lasts
        if isinstance(self.answer, Exception):
            raise self.answer
        yield self.answer

    def renew(self) -> None:
        self.renewed.append(self.now)

    # As a sink

    def bulk(self) -> nullcontext[None]:
        return nullcontext()

    def trouble(self, kind: Kind, text: str) -> None:
        if text != (self.troubles[-1][1] if self.troubles else ""):
            self.troubles.append((self.now, text))

    def listed(self, kind: Kind, version: int, found: Mapping[Key, tuple[int, Read] | None]) -> None:
        self.cache.listed(kind, version, found)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cache, name)


def page(version: int = 100, *names: str, more: str = "") -> bytes:
    items = [{"metadata": {"name": name, "resourceVersion": str(version)}} for name in names]
    return json.dumps({"metadata": {"resourceVersion": str(version), "continue": more}, "items": items}).encode()


def bookmark(version: int) -> bytes:
    value = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}
    return json.dumps(value).encode() + b"\n"


def test_a_good_server() -> None:
    """One list in pages, then one watch after the other, with a limit for the server and a longer one for us; the
    limits differ, so that machines do not come back together."""
    pages = iter([page(100, "a", more="token"), page(100, "b")])
    world = World(lambda now, asked: next(pages) if "watch" not in asked else bookmark(150 + int(now)), watch_lasts=270)
    first, second, *watches = world.run(3600)
    assert first == (0.0, {"path": "/api/v1/namespaces", "limit": 500}, 60.0)
    assert second[1] == {"path": "/api/v1/namespaces", "limit": 500, "continue": "token"}
    assert len(watches) == 14
    limits = [asked["timeoutSeconds"] for _, asked, _ in watches]
    assert all(240 <= limit <= 300 for limit in limits)
    assert len(set(limits)) > 5
    assert [silence for _, _, silence in watches] == [limit + 30 for limit in limits]
    assert [asked["resourceVersion"] for _, asked, _ in watches][:2] == [100, 150]
    assert all(asked["allowWatchBookmarks"] == "true" for _, asked, _ in watches)
    assert all(later - earlier == pytest.approx(270.01) for (earlier, *_), (later, *_) in pairwise(watches))
    assert world.troubles == []
    other = World(lambda now, asked: page() if "watch" not in asked else bookmark(150), watch_lasts=270)
    other.run(3600, seed=2)
    assert [asked.get("timeoutSeconds") for _, asked, _ in other.asked[1:15]] != limits


def test_a_server_that_is_away_for_an_hour() -> None:
    """It is asked a few times at first, then twice a minute or so. What was seen stays, and the watch goes on."""
    away = Lost("Connection refused")
    back = 3600.0 + 300

    def script(now: float, asked: Mapping[str, Any]) -> Answer:
        if 300 < now < back:
            return away
        return bookmark(100 + int(now)) if "watch" in asked else page(100 + int(now), "a")

    world = World(script, watch_lasts=100)
    asked = world.run(back + 600)
    times = [now for now, *_ in asked if 400 < now < back]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) < 200
    assert all(15 <= wait <= 30.1 for wait in waits[10:])
    assert len({round(wait, 2) for wait in waits[10:]}) > 20, "not the same everywhere"
    assert [text for _, text in world.troubles] == ["Connection refused", ""]
    assert sum("watch" not in one and one["limit"] == 500 for _, one, _ in asked) == 1, "it goes on where it was"
    assert world.cache.take().namespaces.keys() == {"a"}
    assert len(world.renewed) > 10, "perhaps it has another address now"


@pytest.mark.parametrize("after", [0.0, 7.0, 1e9])
def test_a_server_says_when_to_come_again(after: float) -> None:
    """It is believed within reason."""
    world = World(lambda now, asked: Refusal(429, "too much", after))
    times = [now for now, *_ in world.run(3000)]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert all(wait >= min(after, 300) for wait in waits)
    assert all(wait <= max(30, min(after, 300) * 1.25) + 0.02 for wait in waits)


def test_each_failure_doubles_the_wait() -> None:
    world = World(lambda now, asked: Refusal(500, "broken"))
    times = [now for now, *_ in world.run(60)]
    waits = [later - earlier - 0.01 for earlier, later in pairwise(times)]
    assert waits[0] <= 0.5
    for n, wait in enumerate(waits[1:6], 1):
        assert 0.25 * 2**n <= wait <= 0.5 * 2**n
    assert [text for _, text in world.troubles] == ["broken (status 500)"]


def test_a_watch_that_was_steady_makes_good() -> None:
    """After it, the next failure is the first one again."""
    world = World(lambda now, asked: page() if "watch" not in asked else Lost("reset"), watch_lasts=60)
    asked = world.run(1200)
    watches = [now for now, one, _ in asked if "watch" in one]
    assert all(later - earlier < 61 for earlier, later in pairwise(watches))
    assert world.troubles == []


def test_a_refused_watch_leads_to_a_list_at_last() -> None:
    """Whatever the server dislikes about going on, a list is the remedy. That it must wait is no reason."""
    for code, lists in ((410, 5), (400, 5), (429, 1), (500, 1), (403, 1)):
        said = Refusal(code, "no")
        world = World(lambda now, asked, said=said: page() if "watch" not in asked else said)  # type: ignore[misc]
        asked = world.run(30)
        found = sum(one.get("limit") == 500 for _, one, _ in asked)
        assert found >= lists if lists > 1 else found == 1, code


def test_time_went_back_while_nobody_spoke() -> None:
    """A server with the data of yesterday does not tell a watch of tomorrow anything. After a watch in which nothing
    came, it is asked where it is."""
    restored = 500.0

    def script(now: float, asked: Mapping[str, Any]) -> Answer:
        if "watch" in asked:
            return b""
        return page(100, "a", "new") if now < restored else page(50, "a")

    world = World(script, watch_lasts=250)
    asked = world.run(1100)
    kinds = ["watch" if "watch" in one else one["limit"] for _, one, _ in asked]
    assert kinds[:6] == [500, "watch", 1, "watch", 1, 500]
    assert world.cache.take().namespaces.keys() == {"a"}
    assert world.cache.at(NAMESPACES) == 50


def test_versions_that_are_given_out_twice() -> None:
    """Once time went back, an equal version does not mean an equal object."""
    pages = [page(100, "a"), page(50), page(100, "a").replace(b'"name": "a"', b'"name": "a", "labels": {"n": "2"}')]
    lists = iter([pages[0], pages[1], pages[2]])
    world = World(lambda now, asked: b"" if "watch" in asked else next(lists), watch_lasts=250)
    world.run(252)
    assert world.cache.take().namespaces["a"].labels == {"n": "2"}  # type: ignore[union-attr]


def test_a_kind_that_the_cluster_lacks() -> None:
    """It is asked for now and then; once it is there, all at once."""

    def script(now: float, asked: Mapping[str, Any]) -> Answer:
        if 300 < now < 600:
            return bookmark(100 + int(now)) if "watch" in asked else page()
        return Refusal(404, "not found")

    world = World(script, kind=WIDE, watch_lasts=50)
    asked = world.run(1000)
    assert world.cache.synced
    lists = [now for now, one, _ in asked if one.get("limit") == 500]
    before = [later - earlier for earlier, later in pairwise(lists) if later < 300]
    assert all(15 <= wait <= 46 for wait in before)
    assert len(before) < 20
    gone = [now for now in lists if 600 <= now < 700]
    assert gone[-1] - gone[0] >= 10, "it must be missing for a while"


def test_a_kind_that_every_cluster_has() -> None:
    """A server that does not know of namespaces is none: nothing is believed."""
    world = World(lambda now, asked: Refusal(404, "not found"))
    world.run(60)
    assert not world.cache.synced
    assert world.troubles[-1][1] == "not found (status 404)"


def test_a_mistake_of_ours_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    mistakes = iter([ZeroDivisionError("oops")])

    def script(now: float, asked: Mapping[str, Any]) -> Answer:
        for mistake in mistakes:
            raise mistake
        return bookmark(200) if "watch" in asked else page(100, "a")

    world = World(script, watch_lasts=250)
    world.run(300)
    assert world.cache.take().namespaces.keys() == {"a"}
    assert "a mistake in netpolc" in caplog.text


def test_lines() -> None:
    assert list(lines([b"a\nb", b"c\n\n", b"d"])) == [b"a", b"bc"]
    assert list(lines([])) == []
    with pytest.raises(Malformed, match="larger than 64 MiB"):
        list(lines([b"x" * (LARGEST // 2 + 1)] * 2))

"""What is done behind changes of rules holds nobody up, misses nothing, and is done before the end."""

from __future__ import annotations

import logging
import threading
import time
from itertools import pairwise

import pytest

from enforcer.later import Later
from tests.enforcer.process import until


class Slow:
    """Takes its time with each; `free` lets it go on."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str]] = []
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self, before: str | None, now: str) -> None:
        self.begun.set()
        assert self.free.wait(10)
        self.seen.append((before, now))


def test_what_comes_meanwhile_is_one_change() -> None:
    views, slow = list("abcdef"), Slow()
    later = Later(slow, rest=0)
    later(None, views[0])
    assert slow.begun.wait(10)
    begun = time.monotonic()
    for one, other in pairwise(views):
        later(one, other)
    assert time.monotonic() - begun < 1, "nobody waits"
    slow.free.set()
    until(lambda: len(slow.seen) == 2, "both are told")
    assert slow.seen == [(None, views[0]), (views[0], views[5])]
    later.close()


def test_the_end_comes_behind_the_last_change() -> None:
    slow = Slow()
    slow.free.set()
    later = Later(slow, rest=60)
    views = list("abc")
    later(None, views[0])
    until(lambda: len(slow.seen) == 1, "the first is told at once")
    later(views[0], views[1])
    later(views[1], views[2])
    begun = time.monotonic()
    later.close()
    assert time.monotonic() - begun < 30, "no rest at the end"
    assert slow.seen == [(None, views[0]), (views[0], views[2])]


def test_rests() -> None:
    times: list[float] = []

    def tell(before: str | None, now: str) -> None:
        times.append(time.monotonic())

    later = Later(tell, rest=0.3)
    later(None, "a")
    until(lambda: len(times) == 1, "told")
    later(None, "a")
    until(lambda: len(times) == 2, "told again")
    later.close()
    assert times[1] - times[0] >= 0.3


def test_what_goes_wrong_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def fails(before: str | None, now: str) -> None:
        told.append(now)
        raise OSError("conntrack is not to be had")

    later = Later(fails, rest=0)
    with caplog.at_level(logging.WARNING, "netpolc"):
        later(None, "a")
        until(lambda: len(told) == 1, "told")
        later(None, "a")
        later.close()
    assert len(told) == 2
    assert [r.message for r in caplog.records] == ["after a change of rules: conntrack is not to be had"] * 2

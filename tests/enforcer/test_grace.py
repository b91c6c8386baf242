"""Whoever changes rules next waits for packets of before, and for no longer."""

from __future__ import annotations

import os
import threading
import time

import pytest

from enforcer import grace


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When grace periods ended; each takes a tenth of a second here."""
    ends: list[float] = []

    def settle() -> None:
        time.sleep(0.1)
        ends.append(time.monotonic())

    monkeypatch.setattr(grace, "settle", settle)
    return ends


def test_the_end_is_behind_every_beginning(settled: list[float]) -> None:
    found = grace.Grace()
    found.end()
    assert len(settled) == 1, "that of whoever was here before"
    found.begin()
    time.sleep(0.03)
    found.begin()  # in the middle of a period, which does not count for it
    second = time.monotonic()
    found.end()
    assert settled[-1] - second >= 0.1
    found.close()


def test_nobody_waits_without_need(settled: list[float]) -> None:
    found = grace.Grace()
    found.end()
    began = time.monotonic()
    found.end()
    assert time.monotonic() - began < 0.05
    found.close()
    assert not any(thread.name == "grace" for thread in threading.enumerate())


@pytest.mark.kernel
def test_both_ways_wait_for_a_grace_period() -> None:
    """A grace period takes a tick of the clock, 1 ms at 1,000 Hz; what does not wait returns in microseconds."""
    for wait in (grace.settle, grace._closed_socket):
        took = []
        for _ in range(5):
            began = time.monotonic()
            wait()
            took.append(time.monotonic() - began)
        assert max(took) > 0.0005, wait
        assert max(took) < 5, wait


@pytest.mark.kernel
def test_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """There membarrier(2) returns at once, whatever packets are on their way."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    assert not grace._barrier()

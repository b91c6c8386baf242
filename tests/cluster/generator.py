"""Packets through a rig as fast as a process of its own can send them (`sender`), every one of them judged."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet as `tests.kernel.packets.encode` made it, and whether it has to pass. `before`: packets that open its
    connection, sent when it begins to be allowed."""

    raw: bytes
    allowed: bool
    before: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Tally:
    """Since the last answer: packets sent, seconds, and by serial how many were lost and leaked. `settled`: seconds
    until what changes sides had done so, None when it did not."""

    sent: int = 0
    seconds: float = 0.0
    lost: Counter[int] = field(default_factory=Counter)
    leaked: Counter[int] = field(default_factory=Counter)
    settled: float | None = None
    wrong: tuple[int, ...] = ()


class Generator:
    """The other end: what the process is told. `with Generator(tin, tout) as generator:`"""

    def __init__(self, devices: tuple[int, int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.sender", *map(str, devices)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=devices,
        )

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *about: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def judge(self, stable: Sequence[Sent]) -> Tally:
        """From now on these are sent and judged; what came of those of before."""
        return self._ask(("judge", list(stable)))

    def turn(self, flips: Sequence[Sent], within: float) -> Tally:
        """Sends these, too, until all of them do as they are expected to, and judges them from then on."""
        return self._ask(("turn", list(flips), within))

    def _ask(self, command: object) -> Tally:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(pickle.dumps(command))
        self._process.stdin.flush()
        found = pickle.load(self._process.stdout)
        assert isinstance(found, Tally)
        return found

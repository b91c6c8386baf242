"""Where the daemon's picture of the cluster comes from: an API server or a folder of manifests.

A source watches by itself, in threads of its own; the reconciler takes from it, in one thread. What was taken once is
not kept: the taker holds the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from compiler.live.batch import Batch
from compiler.resources.language import Program


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that the picture lacks or holds an old state of, for people to mend. `about`: a file, an object or a
    server; the same problem keeps its `about` and `text` as long as it lasts."""

    about: str
    text: str


class Source(Protocol):
    """`start` comes first; nothing is called after `stop`."""

    def start(self) -> None:
        """Begins to watch. Returns at once."""

    def wait(self, timeout: float) -> bool:
        """Waits until there is something to take, so many seconds at most. Whether there is."""

    def take(self) -> Batch:
        """All that has changed since it was taken last; first everything that there is. Empty before `synced`."""

    @property
    def synced(self) -> bool:
        """Whether everything has been seen once: what was taken since then is the whole cluster. Never False again."""

    @property
    def program(self) -> Program:
        """What the policy language says beside the policies, as of what was taken last."""

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now."""

    def stop(self) -> None:
        """Ends all watching; returns when the threads have ended."""

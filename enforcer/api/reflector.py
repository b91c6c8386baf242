"""One kind of objects of an API server, reflected into the cache: listed, watched, and listed again where that fails.

What is held stays when a server is away, slow, or sends what can't be read, until a list says otherwise. Waits grow
with every failure and are never the same on two machines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import Protocol

from enforcer.api.objects import Read, Reader
from enforcer.api.transport import Lost, Refusal, Transport
from enforcer.api.wire import Decoder, Ended, Event, Key, Kind, Malformed, group_versions, resources_of, version_of

log = logging.getLogger("netpolc")
#: Objects of a page. Lists ask for the state of now, never for what a server happens to remember: an old state may
#: allow what has been revoked.
PAGE = 500
#: Bytes of an event: etcd takes objects of 1.5 MiB unless told otherwise, and JSON is not the shortest form.
LARGEST = 64 << 20
#: Failures in a row after which a remedy is tried: other credentials, or a list in place of a watch.
_OFTEN = 3
#: Seconds that a server may ask to wait at most.
_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Timing:
    """All in seconds. A server ends a watch after `watch` (least, most), so that clients move to servers that came
    back; a connection that is silent for `grace` longer than that is dead. `page`: how long the next part of a list
    may take. The first wait is `first` at most, each one behind twice that of before, `most` at most. `steady`: a
    watch that lasted so long had not failed. `poll`: how often a kind is asked for that the cluster lacks. `gone`: how
    long a kind must have been missing for its objects to be forgotten."""

    watch: tuple[int, int] = (240, 300)
    grace: float = 30.0
    page: float = 60.0
    first: float = 0.5
    most: float = 30.0
    steady: float = 5.0
    poll: float = 30.0
    gone: float = 10.0


TIMING = Timing()


class Sink(Protocol):
    """Takes what is seen of all kinds, from a thread for each. The methods are those of the cache."""

    def version(self, kind: Kind, key: Key) -> int | None: ...

    def at(self, kind: Kind) -> int: ...

    def listed(self, kind: Kind, version: int, found: Mapping[Key, tuple[int, Read] | None]) -> None: ...

    def happened(self, kind: Kind, key: Key, version: int, read: Read | None) -> bool: ...

    def passed(self, kind: Kind, version: int) -> None: ...

    def bulk(self) -> AbstractContextManager[None]:
        """What is done meanwhile makes many objects that stay."""

    def trouble(self, kind: Kind, text: str) -> None:
        """Why this kind can't be seen at the moment; empty when it can."""


class Stale(Exception):
    """What is held can't be gone on from: something is missing behind it, or time went back."""


class Reflector:
    """`pause` waits so many seconds, and says whether it is over."""

    def __init__(
        self,
        kind: Kind,
        transport: Transport,
        sink: Sink,
        pause: Callable[[float], bool],
        monotonic: Callable[[], float],
        random: Random,
        timing: Timing = TIMING,
    ) -> None:
        self.kind = kind
        self._transport, self._sink = transport, sink
        self._pause, self._monotonic, self._random, self._timing = pause, monotonic, random, timing
        self._decoder, self._reader = Decoder(kind), Reader(kind)
        self._known = False  # whether its objects were listed, ever
        self._listed = False  # and a watch may go on from there
        self._doubtful = False  # whether the server still has what it had
        self._distrusted = False  # versions say nothing any more: they are given out a second time
        self._failures = 0  # since a watch was steady: lists that go well and watches that don't are asked for slowly
        self._missing: float | None = None  # since when the cluster lacks this kind

    def run(self) -> None:
        """Lists and watches until it is over."""
        while not self._pause(self._safe_step()):
            pass

    def _safe_step(self) -> float:
        """A mistake of ours must not end the thread: the kind would be as it is now for ever."""
        try:
            return self._step()
        except Exception:
            log.exception("%s: a mistake in netpolc, please report it", self.kind.resource)
            self._listed = False
            return self._waited(False, "a mistake in netpolc, see the log", 0.0)

    def _step(self) -> float:
        """One list or one watch. How many seconds to wait before the next one."""
        began, watching = self._monotonic(), self._listed
        after, said = 0.0, ""
        try:
            if not watching:
                with self._sink.bulk():
                    self._list()
                return 0.0
            self._watch()
        except Refusal as refusal:
            said, after = str(refusal), refusal.after
            if refusal.code == 404 and self.kind.optional:
                return self._lacking()
            if refusal.code == 401:
                self._transport.renew()
            elif 400 <= refusal.code < 500 and refusal.code not in (403, 429):
                self._listed = False  # 410: the server has forgotten; else it does not like what it is asked for
        except Ended as ended:
            said = str(ended)
            self._listed = ended.code != 410 and self._failures < _OFTEN
        except (Malformed, Stale) as error:
            said, self._listed = str(error), False
        except Lost as lost:
            said = str(lost)
            if self._failures >= _OFTEN:
                self._transport.renew()
        return self._waited(watching and self._monotonic() - began >= self._timing.steady, said, after)

    def _waited(self, steady: bool, said: str, after: float) -> float:
        """How long to wait after a watch, or after a failure."""
        if steady:
            self._failures = 0
            if not said:
                return 0.0
        self._doubtful = True
        most = min(self._timing.most, self._timing.first * 2**self._failures)
        least = most / 2 if self._failures else 0.0  # one failure may be anything: the server has just been restarted
        self._failures += 1
        if self._failures > 1:
            self._sink.trouble(self.kind, said or "the server ends every watch at once")
        return max(self._random.uniform(least, most), min(after, _PATIENCE) * self._random.uniform(1, 1.25))

    def _list(self) -> None:
        """Everything as of one moment. A list that does not come to its end changes nothing."""
        found: dict[Key, tuple[int, Read] | None] = {}
        versions, token = [], ""
        while True:
            asked: dict[str, str | int] = {"limit": PAGE} | ({"continue": token} if token else {})
            with self._transport.get(self.kind.path, asked, self._timing.page) as answer:
                page = self._decoder.page(answer.read())
            for one in page.objects:
                key, version = self._decoder.identity(one)
                held = self._sink.version(self.kind, key) == version and not self._distrusted
                found[key] = None if held else (version, self._reader.read(one))
            versions.append(page.version)
            token = page.more
            if not token:
                break
            if self._pause(0.0):
                raise Lost("stopped")
        # One page may be newer than another where a server gives tokens for the rest "as it is now".
        self._sink.listed(self.kind, min(versions), found)
        self._known = self._listed = True
        self._doubtful, self._distrusted, self._missing = False, False, None
        self._sink.trouble(self.kind, "")

    def _watch(self) -> None:
        """What happens behind what is held, until the server ends it."""
        if self._doubtful:
            self._ask_time()
        wait = self._random.randint(*self._timing.watch)
        asked: dict[str, str | int] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._sink.at(self.kind),
            "timeoutSeconds": wait,
        }
        self._doubtful = True  # a server that has gone back in time is silent until it is where it was
        with self._transport.get(self.kind.path, asked, wait + self._timing.grace) as answer:
            self._sink.trouble(self.kind, "")
            for line in lines(answer.blocks()):
                self._take(self._decoder.event(line))
                self._doubtful = False

    def _take(self, event: Event) -> None:
        if event.type == "BOOKMARK":
            version = version_of(event.object)
            self._compare(version)
            self._sink.passed(self.kind, version)
            return
        key, version = self._decoder.identity(event.object)
        deleted = event.type == "DELETED"
        if not deleted and self._sink.version(self.kind, key) == version:
            return
        if not self._sink.happened(self.kind, key, version, None if deleted else self._reader.read(event.object)):
            raise Stale("an event came out of order")

    def _ask_time(self) -> None:
        """Whether the server is at least where we are: one whose data was restored from a backup is not. Raises
        Stale."""
        with self._transport.get(self.kind.path, {"limit": 1}, self._timing.page) as answer:
            self._compare(self._decoder.page(answer.read()).version)
        self._doubtful = False

    def _compare(self, version: int) -> None:
        if version < self._sink.at(self.kind):
            self._distrusted = True
            raise Stale("time went back on the server")

    def _lacking(self) -> float:
        """The cluster does not have this kind, perhaps not yet, or not any more. A server that is just being started
        may say so of one that it has: objects that are held stay for a while."""
        now = self._monotonic()
        self._listed = False
        self._missing = now if self._missing is None else self._missing
        left = self._missing + self._timing.gone - now if self._known else 0.0
        if left > 0:
            return min(left, self._random.uniform(0.5, 1.0))
        self._known = False
        self._sink.listed(self.kind, 0, {})
        self._sink.trouble(self.kind, self._served_otherwise())
        return self._random.uniform(0.5, 1.5) * self._timing.poll

    def _served_otherwise(self) -> str:
        """What to say where the cluster has this kind in versions alone that we can't read."""
        group = self.kind.version.partition("/")[0]
        try:
            with self._transport.get(f"/apis/{group}", {}, self._timing.page) as answer:
                versions = group_versions(answer.read())
            for version in versions:
                with self._transport.get(f"/apis/{version}", {}, self._timing.page) as answer:
                    if self.kind.resource in resources_of(answer.read()) and version != self.kind.version:
                        return f"served as {version}, not as {self.kind.version}: these policies are not enforced"
        except (Lost, Refusal, Malformed):
            return ""  # asked again before long
        return ""


def lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a stream, as soon as they are whole; what is left behind the last one is none. Raises Malformed
    for one that does not end."""
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from filter(None, whole)
        if len(rest) > LARGEST:
            raise Malformed(f"an event larger than {LARGEST >> 20} MiB")

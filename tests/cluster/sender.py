"""The process that sends packets through a rig, and judges every one of them.

    python -m tests.cluster.sender TIN TOUT       descriptors that it inherits

Packets go in rounds; the hooks have run when a write returns, so what a round's packets came to is known at its end.
Commands are pickled to its standard input, each with one answer on standard output (`generator` speaks them).
"""

from __future__ import annotations

import os
import pickle
import select
import sys
import time
from contextlib import suppress
from typing import BinaryIO

from tests.cluster.generator import Sent, Tally

#: Packets in a row between two looks at what came out: `tout` holds 500.
BATCH = 200
#: A flow that changes sides has done so when this many rounds in a row agree.
AGREE = 3


class _Sender:
    def __init__(self, tin: int, tout: int) -> None:
        self._tin, self._tout = tin, tout
        self._stable: list[Sent] = []
        self._batches: list[tuple[list[bytes], frozenset[bytes], frozenset[bytes]]] = []
        self._tally, self._since = Tally(), time.monotonic()

    def take(self) -> Tally:
        found, self._tally = self._tally, Tally()
        now = time.monotonic()
        found.seconds, self._since = now - self._since, now
        return found

    def set(self, stable: list[Sent]) -> None:
        """Allowed and denied ones alternate in each batch, so far as there are both."""
        self._stable = stable
        self._batches = []
        for at in range(0, len(stable), BATCH):
            some = stable[at : at + BATCH]
            yes, no = (frozenset(s.raw[-4:] for s in some if s.allowed is wanted) for wanted in (True, False))
            self._batches.append(([s.raw for s in some], yes, no))

    def round(self) -> None:
        for packets, allowed, denied in self._batches:
            tails = self._pass(packets)
            self._tally.sent += len(packets)
            if len(tails) != len(allowed) or not denied.isdisjoint(tails):
                self._tally.lost.update(int.from_bytes(tail, "big") for tail in allowed.difference(tails))
                self._tally.leaked.update(int.from_bytes(tail, "big") for tail in denied.intersection(tails))

    def wrong(self, flips: list[Sent]) -> list[Sent]:
        """Which of these do not do as expected."""
        found = []
        for at in range(0, len(flips), BATCH):
            some = flips[at : at + BATCH]
            tails = set(self._pass([s.raw for s in some]))
            self._tally.sent += len(some)
            found += [s for s in some if (s.raw[-4:] in tails) is not s.allowed]
        return found

    def open(self, flips: list[Sent]) -> None:
        for sent in flips:
            if sent.allowed and sent.before:
                self._pass(list(sent.before))

    def _pass(self, packets: list[bytes]) -> list[bytes]:
        """The serials of what came out."""
        tin, tout, write, read = self._tin, self._tout, os.write, os.read
        for raw in packets:
            write(tin, raw)
        tails = []
        with suppress(BlockingIOError):
            while True:
                tails.append(read(tout, 2048)[-4:])
        return tails

    def turn(self, flips: list[Sent], within: float) -> None:
        begun, agreed = time.monotonic(), 0
        while agreed < AGREE:
            self.round()
            wrong = self.wrong(flips)
            if wrong and agreed == 0:
                self.open(wrong)
            agreed = 0 if wrong else agreed + 1
            if time.monotonic() - begun > within:
                self._tally.wrong = tuple(int.from_bytes(s.raw[-4:], "big") for s in wrong)
                return
        self._tally.settled = time.monotonic() - begun
        self.set([*self._stable, *flips])


def main(tin: int, tout: int, commands: BinaryIO, answers: BinaryIO) -> None:
    sender = _Sender(tin, tout)
    ready = select.poll()
    ready.register(commands, select.POLLIN | select.POLLHUP)
    while True:
        sender.round()
        if not ready.poll(0):
            continue
        try:
            command = pickle.load(commands)
        except EOFError:
            return
        if command[0] == "judge":
            found = sender.take()
            sender.set(command[1])
            sender.open(command[1])
        else:
            sender.turn(command[1], command[2])
            found = sender.take()
        answers.write(pickle.dumps(found))
        answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), open(0, "rb", buffering=0), open(1, "wb"))  # noqa: SIM115

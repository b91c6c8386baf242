"""The table `inet netpolc` as the kernel holds it, over netlink, and who changes it.

`nft list` takes seconds where sets are large. This reads the table once and then listens: the kernel tells of every
transaction of anybody in the network namespace, with all that it did, and numbers them, so that what is missed is
noticed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

from enforcer.netlink import Lost, Message, Netlink, attribute, word
from enforcer.nftables.mirror import (
    GET_CHAIN,
    GET_ELEMENTS,
    GET_GENERATION,
    GET_RULE,
    GET_SET,
    GET_TABLE,
    INET,
    NAME,
    NEW_GENERATION,
    NEW_TABLE,
    RULE_CHAIN,
    SET_NAME,
    TABLE_NAME,
    Held,
    Mirror,
    a_chain,
    a_set,
    follows,
    generation,
    in_chains,
    is_later,
    is_ours,
    members,
    put,
)

_NOTIFICATIONS = 7  # NFNLGRP_NFTABLES
_ROOM = 32 << 20  # what is told of some 100,000 elements at once
_TRIES = 20
_PAUSE = 0.02
_FEW = 30
_OURS = attribute(TABLE_NAME, word(NAME))


class Tables:
    """Belongs to the network namespace of the thread that makes it. OSError when the kernel refuses. `own`: ports of
    sockets by which we change the table."""

    def __init__(self, own: Callable[[], set[int]] = set) -> None:
        self._netlink = Netlink()
        self._ears = Netlink(_NOTIFICATIONS, room=_ROOM)
        self._mirror: Mirror | None = None
        #: What is told of a transaction that is not complete.
        self._open: list[Message] = []
        self._own = own
        self._known = own()
        self._touched = False

    def now(self) -> Mirror:
        """The table of this moment."""
        for _ in range(_TRIES):
            self._listen(0)
            if self._mirror is None:
                self._mirror = self._read()
            elif self._mirror.generation == self.generation() and self._reread(self._mirror):
                return self._mirror
        raise InterruptedError("rules change all the time")

    def touched(self, seconds: float) -> bool:
        """Whether somebody else has changed the table since this was asked last; waits so long for it. What was missed
        may have been that."""
        until = time.monotonic() + seconds
        self._listen(0)
        while not self._touched and (rest := until - time.monotonic()) > 0:
            self._listen(rest)
        touched, self._touched = self._touched, False
        return touched

    def generation(self) -> int:
        (found,) = self._netlink.ask(GET_GENERATION, socket.AF_UNSPEC)
        return generation(found)

    def rules(self) -> list[Message]:
        """Rules of the table, chain by chain in their order."""
        return self._netlink.dump(GET_RULE, INET, _OURS)

    def everything(self) -> tuple[list[Message], list[Message]]:
        """Chains and rules of all tables of everybody."""
        return self._netlink.dump(GET_CHAIN, socket.AF_UNSPEC), self._netlink.dump(GET_RULE, socket.AF_UNSPEC)

    def elements(self, name: str) -> Iterator[bytes]:
        """Elements of one set or map, in no order; while it grows, some may come twice."""
        for message in self._netlink.dump(GET_ELEMENTS, INET, _OURS + attribute(SET_NAME, word(name))):
            yield from members(message)[1]

    def close(self) -> None:
        self._netlink.close()
        self._ears.close()

    # Listening

    def _listen(self, seconds: float) -> None:
        """Takes all that was told, or is within so long."""
        try:
            while told := self._ears.heard(seconds):
                seconds = 0
                for message in told:
                    if message.kind == NEW_GENERATION:
                        self._end(message)
                    else:
                        self._open.append(message)
        except Lost:
            self._mirror, self._open, self._touched = None, [], True
            self._catch_up()

    def _catch_up(self) -> None:
        """Takes what is left to be told: until there is nothing the kernel drops what comes, without a word
        (NETLINK_S_CONGESTED)."""
        while True:
            try:
                if not self._ears.heard(0):
                    return
            except Lost:
                continue

    def _end(self, message: Message) -> None:
        """A transaction is complete."""
        told, self._open = self._open, []
        number = generation(message)
        if any(map(is_ours, told)) and not self._is_own(message.port):
            self._touched = True
        if self._mirror is None or not is_later(self._mirror.generation, number):
            return
        if follows(self._mirror.generation, number):
            self._mirror.take(number, told)
        else:
            self._mirror, self._touched = None, True

    def _is_own(self, port: int) -> bool:
        if port not in self._known:
            self._known |= self._own()  # an interrupted one was opened anew
        return port in self._known

    # Reading

    def _read(self) -> Mirror | None:
        """Everything but rules; None when it changed meanwhile."""
        found = Mirror(self.generation())
        try:
            (table,) = self._netlink.ask(GET_TABLE, INET, _OURS)
        except FileNotFoundError:
            return found if self.generation() == found.generation else None
        found.take(found.generation, [table._replace(kind=NEW_TABLE)])
        for message in self._netlink.dump(GET_CHAIN, INET):
            if is_ours(message):
                name, found.chains[name] = a_chain(message)
        for message in self._netlink.dump(GET_SET, INET, _OURS):
            name, declared, count = a_set(message)
            elements = list(set(self.elements(name)))
            if count not in (None, len(elements)):  # a hash that grows shows some twice and others not at all
                time.sleep(_PAUSE)
                return None
            found.sets[name] = Held(declared)
            put(found.sets[name], elements)
        found.stale.update(found.chains)
        return found if self.generation() == found.generation else None

    def _reread(self, mirror: Mirror) -> bool:
        """Rules of chains that are stale. Whether they are of the mirror's generation."""
        if mirror.stale:
            if len(mirror.stale) > _FEW:
                found = list(in_chains(self.rules()))
            else:
                asked = (_OURS + attribute(RULE_CHAIN, word(name)) for name in sorted(mirror.stale))
                found = [rule for one in asked for rule in in_chains(self._netlink.dump(GET_RULE, INET, one))]
            if self.generation() != mirror.generation:
                return False
            mirror.rules.update(dict.fromkeys(mirror.stale, b""))
            for name, rule in found:
                if name in mirror.stale:
                    mirror.rules[name] += len(rule).to_bytes(4, "big") + rule
            mirror.stale.clear()
        return True

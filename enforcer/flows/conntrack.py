"""Cuts connections that a change of rules has revoked, and no other: established packets are never judged again, so a
connection lives on until conntrack forgets it.

Connections are told apart by tuple and id, so one that began meanwhile between the same ports stays. What is deleted
is judged again with its next packet, by the rules of now; what that does not deny, because it comes from the other
end, is held back (`holds`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from enforcer.flows.flows import Flow, Verdict, asking, deletion, read, revoked
from enforcer.flows.holds import Holds, held
from enforcer.netlink import Netlink

log = logging.getLogger("netpolc")

_GET, _DELETE = 0x101, 0x102  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET and IPCTNL_MSG_CT_DELETE
#: The kernel walks the whole table for each address that it is asked for: beyond so many we take all of it.
_FEW = 8
_SHOWN = 5


class Conntrack:
    """The table of the network namespace of the calling thread. `holds`: how what was cut is kept from going on."""

    def __init__(self, holds: Holds) -> None:
        self._netlink, self._holds = Netlink(), holds

    def close(self) -> None:
        self._netlink.close()
        self._holds.close()

    def flows(self, pods: frozenset[bytes], touched: Collection[bytes] | None = None) -> list[Flow]:
        """Connections with an end among `pods`, packed addresses; only those with an end among `touched`, too."""
        if touched is not None and len(touched) <= _FEW:
            asked = [asking(address, reply) for address in touched for reply in (False, True)]
            found = {flow.entry: flow for family, body in asked for flow in self._dump(family, body, pods)}
            return list(found.values())
        every = self._dump(0, b"", pods)
        return every if touched is None else [flow for flow in every if _touches(flow, touched)]

    def delete(self, flows: Iterable[Flow]) -> int:
        """How many of them were still there."""
        gone = 0
        for flow in flows:
            with suppress(FileNotFoundError):  # ENOENT: it ended meanwhile
                self._netlink.ask(_DELETE, *deletion(flow))
                gone += 1
        return gone

    def cut(
        self,
        pods: frozenset[bytes],
        local: frozenset[bytes],
        now: Verdict,
        before: Verdict | None = None,
        touched: Collection[bytes] | None = None,
    ) -> Sequence[Flow]:
        """Cuts what `revoked` names among the connections of `pods`. How many that will be is logged before."""
        doomed = list(revoked(self.flows(pods, touched), local, now, before))
        if doomed:
            some = ", ".join(map(str, doomed[:_SHOWN])) + (", ..." if len(doomed) > _SHOWN else "")
            log.info("cutting %d open connections that policies deny now: %s", len(doomed), some)
            try:
                self._holds.hold(list(held(doomed)))
            except OSError as error:
                log.warning("what answers connections that are cut may make them anew: %s", error)
            self.delete(doomed)
        return doomed

    def _dump(self, family: int, body: bytes, pods: frozenset[bytes]) -> list[Flow]:
        found = (read(message.family, message.payload, pods) for message in self._netlink.dump(_GET, family, body))
        return [flow for flow in found if flow is not None]


def _touches(flow: Flow, touched: Collection[bytes]) -> bool:
    size = flow.first.family.bits // 8
    return any(end.to_bytes(size, "big") in touched for end in (flow.first.source, flow.first.destination))

"""Hears of denied packets from the kernel, and writes to the log who wanted what and which policies said no."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread

from compiler.resources.cluster import Pod
from compiler.semantics.packet import Packet
from compiler.snapshot import Snapshot
from enforcer.reconcile import View
from enforcer.telling.denials import Denial, denial, packet_of
from enforcer.telling.nflog import Listener

log = logging.getLogger("netpolc")

#: Whose copies of packets are ours, unless somebody says otherwise.
GROUP = 9853
#: Bytes of a packet: headers, with some of IPv6's extensions.
_LARGEST = 256
#: Ends, protocols and ports that are counted apart; those beyond are counted together.
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Pair:
    """Who was kept from whom; a pod by NAMESPACE/NAME, anybody else by address. `port` is 0 where there is none."""

    source: str
    destination: str
    protocol: int
    port: int


OTHERS = Pair("", "", 0, 0)


class Hearing:
    """Listens in a thread of its own, in the network namespace of whoever makes it. `look`: what rules in force were
    made of, None before the first. OSError when somebody else listens to the group."""

    def __init__(self, group: int, node: str, look: Callable[[], View | None]) -> None:
        self._node, self._look = node, look
        self._listener = Listener(group, _LARGEST)
        self._ending = Event()
        self._snapshot: Snapshot | None = None
        self._holders: dict[str, list[Pod]] = {}
        #: Told packets; the kernel copies some of a flood only.
        self.pairs: Counter[Pair] = Counter()
        self.told = 0
        self._thread = Thread(target=self._listen, name="denials", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Returns when the thread has ended."""
        self._ending.set()
        self._thread.join()
        self._listener.close()

    def _listen(self) -> None:
        while not self._ending.is_set():
            if self._listener.wait(0.25):
                for packet in (packet_of(message.payload) for message in self._listener.messages(0)):
                    if packet is not None:
                        self._tell(packet)

    def _tell(self, packet: Packet) -> None:
        view = self._look()
        found = self._denial(packet, view) if view is not None else Denial(packet, "", "", (), ())
        self.told += 1
        pair = Pair(found.source or packet.src, found.destination or packet.dst, packet.proto, packet.dport)
        self.pairs[pair if pair in self.pairs or len(self.pairs) < _MOST else OTHERS] += 1
        log.info("denied: %s", found, extra={"data": found.fields()})

    def _denial(self, packet: Packet, view: View) -> Denial:
        pods = (*self._held(packet.src, view), *self._held(packet.dst, view))
        spaces = {pod.namespace for pod in pods}
        policies = [
            one.value
            for one in view.policies
            if one.value.kind != "NetworkPolicy" or (one.value.metadata.namespace or "default") in spaces
        ]
        return denial(packet, self._node, pods, view.snapshot.namespaces, view.snapshot.nodes, policies)

    def _held(self, address: str, view: View) -> Sequence[Pod]:
        """Pods that hold it, of which there are several for a moment when an address is used again."""
        snapshot = view.snapshot
        if snapshot is not self._snapshot:
            self._snapshot, self._holders = snapshot, {}
            for pod in snapshot.pods:
                if pod.holds_addresses:
                    for one in pod.ips:
                        self._holders.setdefault(one, []).append(pod)
        return self._holders.get(address, ())

"""Which rules packets meet in the kernel, and which ones explain names.

nftables tells by itself which rules a packet met and with which verdict (`nft monitor trace`); iptables counts what
each rule matched. The rules that are explained are what the tools print of the loaded ones, as with `--live`.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from threading import Event, Thread
from typing import IO

from compiler.analysis.ends import Directory
from compiler.analysis.explain import explain
from compiler.analysis.explain_rules import Passage, Rules, node_addresses
from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.semantics.diagrams.space import Path
from compiler.semantics.packet import TCP, UDP, Packet
from compiler.semantics.rules.journey import Step
from compiler.snapshot import build
from compiler.sources.manifests import Manifests
from tests.kernel.packets import Sendable, handshake, reply
from tests.kernel.rig import BACKEND, Rig
from tests.kernel.traced import shown

#: In front of all chains: what the node's own stack says, of its neighbours, is not to be counted; sockets of the rig
#: mark what they send.
_QUIET = """
table inet quiet {
	chain out {
		type filter hook output priority -400 ; policy drop ;
		meta mark 0x7267 accept
	}
}
"""
_TRACING = """
table inet tracing {
	chain in { type filter hook prerouting priority -350 ; meta nftrace set 1 ; }
	chain out { type filter hook output priority -350 ; meta nftrace set 1 ; }
}
"""
_TRACED = re.compile(r"trace id (\w+) inet netpolc (\S+) rule (.*) \(verdict (.*)\)$")
_COUNTED = re.compile(r"^\[(\d+):\d+\] (-A .*)$", re.MULTILINE)

#: Numbers of packets that mark a place in the trace.
_MARKERS = count(1)

#: What a packet met: chain, rule, and of nftables the verdict.
Met = tuple[str, ...]


class Explained:
    """A node of a cluster, its rules in the kernel, and what explain says of them."""

    def __init__(self, found: Manifests, node: str) -> None:
        self.policies = [one.value for one in found.policies]
        referred = {space for policy in self.policies if (space := policy.metadata.namespace)}
        self.snapshot = build((*found.pods, *found.templates), found.namespaces, found.nodes, referred)
        self.node = node
        self.homes = node_addresses(self.snapshot)
        self.own = tuple(address for address, home in self.homes.items() if home == node)
        self._compiler = Compiler(found.policies, self.snapshot)

    def load(self, rig: Rig, flavour: str) -> None:
        """These rules and no others."""
        rig.reset()
        rig.load(self._compiler.compile(Target(Backend(BACKEND[flavour]), self.node)).files, flavour)

    def ask(self, text: dict[str, str], source: str, destination: str) -> Passage | None:
        """What is said of the connection at the node; None when it does not come by."""
        directory = Directory(self.snapshot)
        there, wanted = directory.destination(destination)
        answer = explain(self.policies, self.snapshot, directory.source(source), there, wanted)
        ((_, journey),) = Rules(self.policies, self.snapshot, answer, lambda _: text.items(), self.node).journeys()
        return None if journey is None else journey.passages[0]


def live(rig: Rig, flavour: str) -> dict[str, str]:
    """What `--live` reads; the rig's own table mutes the node."""
    if flavour == "nftables":
        return {"netpolc.nft": rig.namespace.run("nft", "list", "table", "inet", "netpolc")}
    return {name: text for name, text in shown(rig, flavour).items() if name != "rig.nft"}


def said(passage: Passage, flavour: str) -> list[Met]:
    """The steps in our rules, as the tools show them."""
    assert passage.ways.trace is not None
    steps = [step for stop in passage.ways.trace.stops for step in stop.steps]
    if flavour == "nftables":
        return [
            (step.chain.name, plain(step.rule.place.text), verdict(step))
            for step in steps
            if step.table.name == "netpolc"
        ]
    return sorted(
        (step.chain.name, step.rule.place.text.split("] ", 1)[-1]) for step in steps if step.table.name == "filter"
    )


def plain(rule: str) -> str:
    return re.sub(r"counter packets \d+ bytes \d+", "counter", rule)


def verdict(step: Step) -> str:
    name = type(step.verdict).__name__.lower()
    chain = getattr(step.verdict, "chain", None)
    return f"{name} {chain}" if chain else name


Send = Callable[[], bool]


class Watch:
    """Sends packets one by one and tells whether each passed, and which rules it met."""

    def __init__(self, rig: Rig, rules: Callable[[Packet, Send], tuple[bool, list[Met]]]) -> None:
        self._rig = rig
        self._rules = rules
        self._number = 0

    def first(self, passage: Passage) -> tuple[bool, list[Met]]:
        self._number += 1
        self._rig.namespace.forget_connections()
        packet = self._packet(passage)
        return self._send(passage, packet, handshake(packet)[0] if packet.proto == TCP else packet)

    def reply(self, passage: Passage) -> tuple[bool, list[Met]]:
        """Behind `first` of the same passage."""
        packet = self._packet(passage)
        return self._send(passage, reply(packet), handshake(packet)[1] if packet.proto == TCP else reply(packet))

    def _packet(self, passage: Passage) -> Packet:
        return replace(passage.packet, sport=2000 + self._number)

    def _send(self, passage: Passage, packet: Packet, whole: Sendable) -> tuple[bool, list[Met]]:
        exchange = {
            Path.FORWARD: self._rig.exchange,
            Path.INPUT: self._rig.exchange_in,
            Path.OUTPUT: self._rig.exchange_out,
        }[passage.path]
        return self._rules(packet, lambda: exchange([whole])[0])


@contextmanager
def watching(rig: Rig, flavour: str) -> Iterator[Watch]:
    rig.namespace.run("nft", "-f", "-", stdin=_QUIET)
    if flavour != "nftables":
        yield Watch(rig, lambda packet, send: counted(rig, flavour.removeprefix("iptables-"), packet, send))
        return
    rig.namespace.run("nft", "-f", "-", stdin=_TRACING)
    with rig.namespace:
        monitor = subprocess.Popen(("timeout", "300", "nft", "monitor", "trace"), stdout=subprocess.PIPE, text=True)
    try:
        assert monitor.stdout is not None
        lines = monitor.stdout
        started(rig, lines)
        yield Watch(rig, lambda packet, send: traced(rig, lines, packet, send))
    finally:
        monitor.terminate()
        monitor.communicate()


def counted(rig: Rig, variant: str, packet: Packet, send: Send) -> tuple[bool, list[Met]]:
    tool = "iptables" if packet.version == 4 else "ip6tables"
    save = (f"{tool}-{variant}-save", "-c", "-t", "filter")
    before = rig.namespace.run(*save)
    passed = send()
    more = counts(rig.namespace.run(*save)) - counts(before)
    return passed, sorted((rule.split()[1], rule) for rule in more.elements())


def counts(text: str) -> Counter[str]:
    return Counter({rule: int(number) for number, rule in _COUNTED.findall(text)})


def traced(rig: Rig, lines: IO[str], packet: Packet, send: Send) -> tuple[bool, list[Met]]:
    """The kernel's own packets may come between; each has another number."""
    passed = send()
    mine = f"saddr {packet.src} ip{'' if packet.version == 4 else '6'} daddr {packet.dst} "
    found = until_marked(rig, lines)
    numbers = {line.split()[2] for line in found if mine in line}
    met = [_TRACED.match(line) for line in found]
    return passed, [(m[2], plain(m[3]), m[4]) for m in met if m is not None and m[1] in numbers]


def until_marked(rig: Rig, lines: IO[str]) -> list[str]:
    """What was traced before a packet of nobody's, which is sent now."""
    sign = re.compile(mark(rig))
    found: list[str] = []
    while not sign.search(line := next(lines)):
        found.append(line.rstrip())
    return found


def mark(rig: Rig) -> str:
    """Sends a packet of nobody's; returns how it is known in the trace."""
    number = next(_MARKERS)
    rig.exchange([Packet("192.0.2.250", "192.0.2.251", UDP, number, 9)])
    return f"saddr 192.0.2.250 ip daddr 192.0.2.251 .* udp sport {number} "


def started(rig: Rig, lines: IO[str]) -> None:
    """Waits until the monitor sees packets: they are sent until one is read."""
    stop = Event()

    def send() -> None:
        while not stop.wait(0.05):
            mark(rig)

    thread = Thread(target=send)
    thread.start()
    try:
        next(lines)
    finally:
        stop.set()
        thread.join()
    until_marked(rig, lines)

"""The rules that `explain --rules` names are those that the kernel applies: every one of them, and no other.

nftables tells by itself which rules a packet met and with which verdict (`nft monitor trace`); iptables counts what
each rule matched. The rules that are explained are what the tools print of the loaded ones, as with `--live`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, product
from pathlib import Path
from threading import Event, Thread
from typing import IO

import pytest

from compiler.analysis.ends import Directory
from compiler.analysis.explain import explain
from compiler.analysis.explain_rules import Passage, Rules
from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.semantics.packet import TCP, UDP, Packet
from compiler.semantics.space import Path as Way
from compiler.semantics.trace import Step
from compiler.snapshot import build
from compiler.sources.manifests import load
from tests.kernel.namespace import CommandFailed
from tests.kernel.packets import Sendable, handshake, reply
from tests.kernel.rig import BACKEND, Rig
from tests.kernel.traced import shown

pytestmark = pytest.mark.kernel

SHOP = Path(__file__).resolve().parents[2] / "fixtures/examples/shop"
FOUND = load((path.name, path.read_bytes()) for path in sorted(SHOP.glob("*.yaml")))
POLICIES = [one.value for one in FOUND.policies]
SNAPSHOT = build((*FOUND.pods, *FOUND.templates), FOUND.namespaces, FOUND.nodes)
NODE = "node-a"
OWN = SNAPSHOT.nodes[NODE].ips

#: Pods of the node and of the other, nodes, and the world inside and outside of blocks; by family.
ENDS = {
    4: ("10.244.1.11", "10.244.1.12", "10.244.1.13", "10.244.1.2", "10.244.2.12", "10.244.2.21", "172.18.0.11"),
    6: ("fd00:10:244:1::11", "fd00:10:244:1::12", "fd00:10:244:2::13", "fd00:10:244:2::21", "fd00:172:18::11"),
}
WORLD = {4: ("203.0.113.7", "203.0.113.200", "169.254.1.1"), 6: ("2001:db8::7", "fd00:ec2::254")}
PORTS = (":8080", ":5432", ":443", ":9113", ":53/UDP", ":9/SCTP", "")

#: In front of all chains; the counted packets of the rig's tables do not matter.
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


@pytest.fixture(scope="module")
def node_rig() -> Iterator[Rig]:
    with Rig(OWN) as rig:
        yield rig


def test_the_rules_that_are_named_are_those_that_apply(node_rig: Rig, flavour: str) -> None:
    load_rules(node_rig, flavour)
    passages = list(connections(live(node_rig, flavour)))
    with watching(node_rig, flavour) as watch:
        for passage in passages:
            passed, met = watch.first(passage)
            assert passage.agrees
            assert passed is passage.ways.passed, passage.packet
            assert met == said(passage, flavour), passage.packet
            if passage.replies is not None and passage.path is Way.FORWARD:
                assert watch.reply(passage) == (True, said(passage.replies, flavour)), passage.packet
    verdicts = Counter((passage.path, passage.ways.passed) for passage in passages)
    assert len(verdicts) == 5, "all but the node's own packets are denied somewhere"
    assert sum(verdicts.values()) > 500


def test_a_rule_of_somebody_else_is_named(node_rig: Rig, flavour: str) -> None:
    """One that lets through what no policy allows; it is on top of the chain that denies."""
    load_rules(node_rig, flavour)
    if flavour == "nftables":
        node_rig.namespace.run("nft", "insert", "rule", "inet", "netpolc", "deny", "tcp", "dport", "5432", "accept")
    else:
        node_rig.namespace.run(flavour, "-I", "NETPOLC-deny", "-p", "tcp", "--dport", "5432", "-j", "ACCEPT")
    passage = asked(live(node_rig, flavour), "10.244.1.11", "10.244.1.13:5432")
    assert (passage.agrees, passage.ways.passed) == (False, True)
    with watching(node_rig, flavour) as watch:
        passed, met = watch.first(passage)
    assert passed
    assert met == said(passage, flavour)
    assert "5432" in met[-1][1]


def test_the_rules_of_this_machine(node_rig: Rig, flavour: str) -> None:
    """The whole command. Which node it is follows from the connection, or else from the host name."""
    load_rules(node_rig, flavour)
    run = node_rig.namespace.run
    netpolc = (sys.executable, "-m", "compiler.cli.main", "explain", str(SHOP), "--live")
    found = run(*netpolc, "--from", "10.244.1.11", "--to", "10.244.1.12:8080")
    assert "\nrules of node-a let it pass (forwarded)\n" in found
    of_nft = r"10.244.1.11 . 10.244.1.12 . tcp . 8080 +nft list table inet netpolc:\d+"
    of_ipset = r" 10.244.1.11,tcp:8080,10.244.1.12 +ipset save:\d+"
    assert re.search(of_nft if flavour == "nftables" else of_ipset, found)
    between = (*netpolc, "--from", "10.244.1.11", "--to", "10.244.2.12:8080")
    with pytest.raises(CommandFailed, match="say whose rules these are, with --node"):
        run(*between)
    named = run("unshare", "--uts", "sh", "-c", 'hostname node-a && exec "$@"', "sh", *between)
    assert "\nrules of node-a let it pass (forwarded)\n" in named
    assert "rules of node-b" not in named


def load_rules(rig: Rig, flavour: str) -> None:
    rig.reset()
    rig.load(Compiler(FOUND.policies, SNAPSHOT).compile(Target(Backend(BACKEND[flavour]), NODE)).files, flavour)


def connections(text: dict[str, str]) -> Iterator[Passage]:
    """What is said of every connection that comes by the node."""
    for family in (4, 6):
        ends, world = ENDS[family], WORLD[family]
        for source, destination in (*product(ends, ends), *product(ends, world), *product(world, ends)):
            if source == destination in OWN or (source in world and destination in OWN):
                continue  # over loopback; and of no pod's concern
            for port in PORTS:
                found = ask(text, source, f"[{destination}]{port}")
                if found is not None:
                    yield found


def live(rig: Rig, flavour: str) -> dict[str, str]:
    """What `--live` reads; the rig's own table mutes the node."""
    if flavour == "nftables":
        return {"netpolc.nft": rig.namespace.run("nft", "list", "table", "inet", "netpolc")}
    return {name: text for name, text in shown(rig, flavour).items() if name != "rig.nft"}


def asked(text: dict[str, str], source: str, destination: str) -> Passage:
    found = ask(text, source, destination)
    assert found is not None
    return found


def ask(text: dict[str, str], source: str, destination: str) -> Passage | None:
    """What is said of the node; None when it is not on the way."""
    directory = Directory(SNAPSHOT)
    there, wanted = directory.destination(destination)
    answer = explain(POLICIES, SNAPSHOT, directory.source(source), there, wanted)
    ((_, journey),) = Rules(POLICIES, SNAPSHOT, answer, lambda _: text.items(), NODE).journeys()
    return None if journey is None else journey.passages[0]


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
            Way.FORWARD: self._rig.exchange,
            Way.INPUT: self._rig.exchange_in,
            Way.OUTPUT: self._rig.exchange_out,
        }[passage.path]
        return self._rules(packet, lambda: exchange([whole])[0])


@contextmanager
def watching(rig: Rig, flavour: str) -> Iterator[Watch]:
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

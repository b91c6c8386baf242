"""All four tables loaded over what is there: the same again, beside rules of others, and another version in traffic."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType

import pytest

from compiler.ir.effects import Log, NoTrack, SetDscp, SetMark, Step, Ttl
from compiler.ir.match import HasMark, IsProtocol, Replies, ToPorts
from compiler.ir.nat import Dnat, Masquerade, Redirect, Snat
from compiler.ir.ruleset import Accept, Chain, Continue, Drop, Hook, Reject, Rule, Table
from compiler.net import TCP, UDP, Family, parse_address
from compiler.semantics.packet import Packet
from compiler.semantics.rules.netfilter import Unmodelled
from tests.kernel.nflog import Listener
from tests.kernel.packets import encode
from tests.kernel.rig import Rig
from tests.kernel.sniff import header
from tests.kernel.test_reload import BOTH_TOOLS, ours
from tests.kernel.texts import base, texts
from tests.kernel.traced import shown, tables

pytestmark = pytest.mark.kernel

RELOADS = 30
VIRTUAL = {4: "198.18.9.9", 6: "2001:db8:9::9"}
REAL = {4: "198.18.1.1", 6: "2001:db8:1::1"}
BORROWED = {4: "198.18.7.7", 6: "2001:db8:7::7"}
CLIENTS = {4: "198.18.0.1", 6: "2001:db8::1"}


def number(address: str) -> int:
    return parse_address(address)[1]


def version(others: int) -> list[Chain]:
    """What holds for the packets of the test in every version, among so many rules for other ports."""
    crowd = range(10_000, 10_000 + others)
    return [
        base(
            Table.RAW, Hook.PREROUTING, *(Rule((ToPorts(UDP, n, n),), Continue(), effects=(NoTrack(),)) for n in crowd)
        ),
        base(
            Table.MANGLE,
            Hook.PREROUTING,
            *(Rule((ToPorts(TCP, n, n),), Continue(), effects=(SetMark(n),)) for n in crowd),
            Rule((ToPorts(TCP, 8443, 8443), HasMark(0)), Continue(), effects=(SetDscp(46), SetMark(7))),
        ),
        base(Table.MANGLE, Hook.POSTROUTING, Rule((HasMark(7),), Continue(), effects=(Ttl(Step.SET, 33),))),
        base(
            Table.NAT,
            Hook.PREROUTING,
            *(Rule((ToPorts(TCP, n, n),), Redirect(n)) for n in crowd),
            *(Rule((ToPorts(TCP, 8443, 8443),), Dnat(number(REAL[family.value]), 443), family) for family in Family),
        ),
        base(
            Table.NAT,
            Hook.POSTROUTING,
            *(Rule((ToPorts(TCP, n, n),), Masquerade()) for n in crowd),
            *(Rule((ToPorts(TCP, 443, 443),), Snat(number(BORROWED[family.value])), family) for family in Family),
        ),
        base(
            Table.FILTER,
            Hook.FORWARD,
            Rule((Replies(),), Accept()),
            *(Rule((ToPorts(UDP, n, n),), Reject(), effects=(Log("no", 3),)) for n in crowd),
            Rule((IsProtocol(TCP), HasMark(0)), Drop()),
        ),
    ]


class Openings:
    """A background thread that opens one connection after the other to the virtual address, from `with` to the end of
    the block, and counts those that fared otherwise than they should: by what became of them."""

    def __init__(self, rig: Rig) -> None:
        self.sent = 0
        self.wrong: Counter[str] = Counter()
        self._rig = rig
        self._packets = [
            (
                encode(Packet(CLIENTS[v], VIRTUAL[v], TCP, 1024 + n, 8443), n),
                (BORROWED[v], REAL[v], 1024 + n, 443, 46, 33),
            )
            for n in range(4000)
            for v in (4, 6)
        ]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Openings:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._rig.namespace.forget_connections()  # every packet is the first of its connection
            for raw, expected in self._packets:
                if self._stop.is_set():
                    return
                out = self._rig.changed(raw)
                found = header(out) if out is not None else None
                self.sent += 1
                if found is None:
                    self.wrong["lost"] += 1
                elif (found.source, found.destination, *found.ports, found.dscp, found.hops) != expected:
                    self.wrong[str(found)] += 1


def test_hitless(rig: Rig, flavour: str) -> None:
    """New connections are translated and marked all the time, whichever version is just coming."""
    versions = [texts(flavour, *version(others)) for others in (20, 60)]
    rig.load(versions[0], flavour)
    with Openings(rig) as running:
        for n in range(RELOADS):
            rig.load(without_jumps(versions[(n + 1) % 2]), flavour)
    print(f"{flavour}: {running.sent} connections during {RELOADS} reloads")
    assert dict(running.wrong) == {}
    assert running.sent > 50 * RELOADS, "too few packets to tell"


def test_the_stream_sees_a_gap(rig: Rig) -> None:
    """The test above can fail."""
    compiled = texts("nftables", *version(20))
    rig.load(compiled, "nftables")
    with Openings(rig) as running:
        for _ in range(10):
            rig.namespace.run("nft", "flush", "chain", "inet", "netpolc", "nat-prerouting")
            rig.load(compiled, "nftables")
    assert running.wrong


def without_jumps(files: Mapping[str, str]) -> dict[str, str]:
    """What the head of iptables' files says about loading again: grep -v ^-I."""
    return {name: re.sub(r"^-I .*\n", "", text, flags=re.MULTILINE) for name, text in files.items()}


def test_loading_again_changes_nothing(rig: Rig, flavour: str) -> None:
    """But for one more jump in every hook; and without the lines of -I nothing at all."""
    files = texts(flavour, *version(3))
    rig.load(files, flavour)
    once = ours(rig, flavour)
    rig.load(without_jumps(files), flavour)
    assert ours(rig, flavour) == once
    rig.load(files, flavour)
    again = ours(rig, flavour)
    jumps = r"^(-A (?:PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) .*\n)\1"
    if flavour != "nftables":
        assert len(re.findall(jumps, again, flags=re.MULTILINE)) == 2 * 6, "of two families, in six hooks of tables"
    assert re.sub(jumps, r"\1", again, flags=re.MULTILINE) == once


def test_a_packet_is_logged_and_counted_once(rig: Rig, flavour: str) -> None:
    """When the second load is that of the file's head."""
    rules = Rule((), Continue(), effects=(Log("all", 5), Ttl(Step.DECREASE, 10)))
    files = texts(flavour, base(Table.MANGLE, Hook.FORWARD, rules))
    rig.load(files, flavour)
    rig.load(without_jumps(files), flavour)
    with Listener(rig.namespace, 5) as log:
        out = rig.changed(encode(Packet(CLIENTS[4], REAL[4], UDP, 1, 2), 1))
        assert out is not None
        assert header(out).hops == 53
        assert len(log.messages()) == 1


#: Somebody else's rules in every table, as both tools would show them again.
THEIRS = """
*raw
:THEIRS - [0:0]
-A PREROUTING -j THEIRS
-A THEIRS -p udp -m udp --dport 7 -j CT --notrack
COMMIT
*mangle
:THEIRS - [0:0]
-A FORWARD -j THEIRS
-A THEIRS -p udp -m udp --dport 7 -j MARK --set-xmark 0x1/0xffffffff
COMMIT
*nat
:THEIRS - [0:0]
-A POSTROUTING -j THEIRS
-A THEIRS -p udp -m udp --dport 7 -j MASQUERADE
COMMIT
*filter
:THEIRS - [0:0]
-A FORWARD -j THEIRS
-A THEIRS -p udp -m udp --dport 7 -j DROP
COMMIT
"""


def theirs(rig: Rig, flavour: str) -> list[str]:
    variant = flavour.removeprefix("iptables-")
    saved = [rig.namespace.run(f"{tool}-{variant}-save", "-t", table.value) for tool in BOTH_TOOLS for table in Table]
    return [line for line in "\n".join(saved).splitlines() if "THEIRS" in line or line.startswith("*")]


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_rules_of_others_stay_where_they_are(rig: Rig, variant: str) -> None:
    flavour = f"iptables-{variant}"
    for tool in BOTH_TOOLS:
        rig.namespace.run(f"{tool}-{variant}-restore", "--noflush", "-w", "60", stdin=THEIRS)
    before = theirs(rig, flavour)
    assert len(before) == 2 * 4 * 4
    for others in (3, 5):
        rig.load(texts(flavour, *version(others)), flavour)
        assert theirs(rig, flavour) == before
    probe = [Packet(CLIENTS[4], REAL[4], UDP, 1, port) for port in (7, 8)]
    assert rig.forwarded(probe) == [False, True], "what we let pass meets them"


def test_what_the_kernel_shows_is_understood(rig: Rig, flavour: str) -> None:
    rig.load(texts(flavour, *version(2)), flavour)
    for numeric in (False, True):
        for table in tables(shown(rig, flavour, numeric)):
            for chain in table.chains.values():
                for rule in chain.rules:
                    assert not [part for part in rule.parts if isinstance(part, Unmodelled)], rule.place.text

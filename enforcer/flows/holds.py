"""Keeps connections that were cut from going on by the packets that nobody denies.

Where conntrack has forgotten a connection, the next packet in the middle of it begins a new one, in the direction of
that packet (nf_conntrack_tcp_loose; UDP anyway). A policy that denies a client its server says nothing of packets from
the server to the client: the first acknowledgement or answer would make a connection of them, whose replies are the
client's packets. So for as long as a connection takes to die such packets are dropped, of exactly these ends and ports,
and for TCP only those that begin nothing: whatever begins is judged by the policies.

Only packets of no known connection are asked, TCP's SYN not at all. This has a table (nftables) or chain and sets
(iptables) of its own, made when the first connection is cut, whose names are not those of rules.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from compiler.net import TCP, UDP, Family, address_text
from enforcer.flows.flows import Flow
from enforcer.nftables.libnftables import Context, NotTaken

TABLE, CHAIN, SET = "inet netpolc-cut", "CUT-NETPOLC", "cut-netpolc-"
#: Seconds. TCP gives up after 924 (tcp_retries2 of 15); conntrack forgets a stream of UDP after 120.
_LASTS = {TCP: 1000, UDP: 120}
_NAMES = {TCP: "tcp", UDP: "udp"}
_TOOLS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_MOST = 65536
_AT_ONCE = 4096
_LOCK = 10  # seconds


class Hold(NamedTuple):
    """Packets from the server of a connection to its client."""

    family: Family
    protocol: int
    server: int
    server_port: int
    client: int
    client_port: int


def held(flows: Iterable[Flow]) -> Iterator[Hold]:
    """What must not go on of these. Not UDP between equal ports, where either end may begin, any time."""
    for flow in flows:
        first = flow.first
        if first.protocol == TCP or (first.protocol == UDP and first.port != first.source_port):
            ends = (first.destination, first.port, first.source, first.source_port)
            yield Hold(first.family, first.protocol, *ends)


class Holds(Protocol):
    """For the network namespace of the thread that makes it."""

    def hold(self, holds: Sequence[Hold]) -> None:
        """Returns when they are in force. OSError when that cannot be."""

    def remove(self) -> None:
        """Nothing of it is left."""

    def close(self) -> None:
        """What is in force stays."""


def nft_rules() -> str:
    """The table; running it again changes nothing."""
    lines = [f"add table {TABLE}"]
    for family, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        key = f"type {kind} . inet_proto . inet_service . {kind} . inet_service"
        lines.append(f"add set {TABLE} held{family} {{ {key} ; flags timeout ; size {_MOST} ; }}")
    for hook in ("forward", "output"):
        lines.append(f"add chain {TABLE} {hook} {{ type filter hook {hook} priority filter - 2 ; policy accept ; }}")
        lines.append(f"flush chain {TABLE} {hook}")
        for ask in ("meta l4proto udp", "tcp flags & (fin | syn | rst | ack) != syn"):
            for family, word in ((4, "ip"), (6, "ip6")):
                key = f"{word} saddr . meta l4proto . th sport . {word} daddr . th dport"
                lines.append(f"add rule {TABLE} {hook} ct state new,invalid {ask} {key} @held{family} drop")
    return "\n".join(lines) + "\n"


def nft_elements(holds: Sequence[Hold]) -> str:
    lines = []
    for one in holds:
        server, client = (address_text(one.family, end) for end in (one.server, one.client))
        key = f"{server} . {_NAMES[one.protocol]} . {one.server_port} . {client} . {one.client_port}"
        lines.append(f"add element {TABLE} held{one.family.value} {{ {key} timeout {_LASTS[one.protocol]}s }}\n")
    return "".join(lines)


class NftHolds:
    """By a table of their own."""

    def __init__(self) -> None:
        self._context = Context()
        self._ready = False

    def hold(self, holds: Sequence[Hold]) -> None:
        try:
            if not self._ready:
                self._context.run(nft_rules())
                self._ready = True
            for at in range(0, len(holds), _AT_ONCE):
                self._context.run(nft_elements(holds[at : at + _AT_ONCE]))
        except NotTaken as error:
            self._ready = False
            raise OSError(str(error)) from None

    def remove(self) -> None:
        """Nothing of it is left."""
        self._context.run(f"add table {TABLE}\ndelete table {TABLE}\n")
        self._ready = False

    def close(self) -> None:
        self._context.close()


def ipset_text(holds: Sequence[Hold]) -> str:
    """For `ipset restore -exist`: both sets, and entries (server, client's port, client)."""
    made = [
        f"create {SET}{family.value} hash:ip,port,ip family {word} timeout {_LASTS[TCP]} maxelem {_MOST}"
        for family, word in ((Family.IPV4, "inet"), (Family.IPV6, "inet6"))
    ]
    entries = [
        f"add {SET}{one.family.value} {address_text(one.family, one.server)},{_NAMES[one.protocol]}:{one.client_port},"
        f"{address_text(one.family, one.client)} timeout {_LASTS[one.protocol]}"
        for one in holds
    ]
    return "\n".join((*made, *entries)) + "\n"


class IptablesHolds:
    """By a chain in mangle, so that nobody's order in filter changes, and sets. `variant`: legacy or nft. The sets do
    not know the server's port: any packet between these addresses to the client's port is meant."""

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._ready = False

    def hold(self, holds: Sequence[Hold]) -> None:
        _run("ipset", "restore", "-exist", stdin=ipset_text(holds))
        if not self._ready:
            for family in Family:
                self._lead(family)
            self._ready = True

    def _lead(self, family: Family) -> None:
        tool = f"{_TOOLS[family]}-{self._variant}"
        state = "-m conntrack --ctstate NEW,INVALID"
        member = f"-m set --match-set {SET}{family.value} src,dst,dst"
        rules = [f"-A {CHAIN} -p {ask} {state} {member} -j DROP" for ask in ("udp", "tcp ! --syn")]
        text = "\n".join(("*mangle", f":{CHAIN} - [0:0]", *rules, "COMMIT")) + "\n"
        _run(f"{tool}-restore", "--noflush", "-w", f"{_LOCK}", stdin=text)
        for hook in ("FORWARD", "OUTPUT"):
            there = ("-t", "mangle", "-w", f"{_LOCK}", "-C", hook, "-j", CHAIN)
            if not _holds(tool, *there):
                _run(tool, "-t", "mangle", "-w", f"{_LOCK}", "-I", hook, "-j", CHAIN)

    def remove(self) -> None:
        """Nothing of it is left."""
        for family in Family:
            tool = f"{_TOOLS[family]}-{self._variant}"
            if not _holds(tool, "-t", "mangle", "-w", f"{_LOCK}", "-S", CHAIN):
                continue
            for hook in ("FORWARD", "OUTPUT"):
                while _holds(tool, "-t", "mangle", "-w", f"{_LOCK}", "-D", hook, "-j", CHAIN):
                    pass
            for what in ("-F", "-X"):
                _run(tool, "-t", "mangle", "-w", f"{_LOCK}", what, CHAIN)
        for family in Family:
            _holds("ipset", "destroy", f"{SET}{family.value}")
        self._ready = False

    def close(self) -> None:
        """Nothing is open."""


def holds_of(backend: str) -> Holds:
    """By the back end's name on the command line. Raises libnftables' Missing."""
    return NftHolds() if backend == "nftables" else IptablesHolds(backend.removeprefix("iptables-"))


def _run(*command: str, stdin: str = "") -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise OSError(f"{command[0]} exits {done.returncode}: {done.stderr.strip()}")


def _holds(*command: str) -> bool:
    """Whether the command succeeds."""
    return not subprocess.run(command, capture_output=True, timeout=60, check=False).returncode

"""Random statements of nat, mangle and raw as values, and packets that they ask about; `travelling` judges them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from hypothesis import strategies as st

from compiler.net import Family
from compiler.resources.language import (
    Addresses,
    Dnat,
    DropFlow,
    DropFrom,
    Dscp,
    End,
    Flow,
    KeepSource,
    MangleStatement,
    Mark,
    Masquerade,
    Mss,
    NatItem,
    NatWithin,
    Notrack,
    PortRange,
    PortSpec,
    Program,
    RawStatement,
    Redirect,
    Snat,
    ThisNode,
    Ttl,
)
from compiler.semantics.packet import PORTED
from compiler.semantics.rules.netfilter import State
from compiler.snapshot import Snapshot
from grammar.source import Span
from tests.compiler.programs import NAMES, ends, named, packets, pods, port_specs, some_ends
from tests.compiler.travelling import Travelling
from tests.compiler.worlds import UNIVERSE

_STATES = [State.NEW] * 4 + [State.ESTABLISHED, State.RELATED, State.INVALID, State.UNTRACKED]
_ports = st.none() | st.none() | st.lists(port_specs, min_size=1, max_size=3).map(tuple)
_ranges: st.SearchStrategy[PortSpec] = st.builds(
    lambda protocol, low, more: PortRange(protocol=protocol, first=low, last=low + more),
    st.sampled_from((6, 17)),
    st.integers(0, 4),
    st.integers(0, 2),
)
_ended = st.none() | some_ends | named | st.just(ThisNode())


def single(family: Family, at: int) -> Addresses:
    address = ip_address(UNIVERSE[family][at])
    return Addresses(first=address, last=address)


class _Numbered:
    """Every statement has a text and a place of its own."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw, self._number = draw, 0

    def head(self, word: str) -> dict[str, object]:
        self._number += 1
        return {"text": f"{word} {self._number}", "span": Span("t.np", self._number, 1, self._number, 2)}

    def flow(self, ports: st.SearchStrategy[tuple[PortSpec, ...] | None] = _ports) -> Flow:
        draw = self._draw
        return Flow(source=draw(_ended), target=draw(_ended), ports=draw(ports), both_ways=draw(st.booleans()))

    def raw(self) -> RawStatement:
        kind = self._draw(st.sampled_from(("notrack", "drop", "from", "spoofed")))
        if kind == "notrack":
            return Notrack(flow=self.flow(), **self.head(kind))  # type: ignore[arg-type]
        if kind == "drop":
            return DropFlow(flow=self.flow(), **self.head(kind))  # type: ignore[arg-type]
        return DropFrom(source=self._draw(some_ends), spoofed=kind == "spoofed", **self.head(kind))  # type: ignore[arg-type]

    def mangle(self) -> MangleStatement:
        draw = self._draw
        kind = draw(st.sampled_from(("mark", "mark", "dscp", "ttl", "mss")))
        if kind == "mark":
            mask = draw(st.sampled_from((0xF0FFFFFF, 0xF, 0x6, 0xF0)))
            value = draw(st.integers(0, 0xFFFFFFFF)) & mask
            return Mark(flow=self.flow(), value=value, mask=mask, **self.head(kind))  # type: ignore[arg-type]
        if kind == "dscp":
            return Dscp(flow=self.flow(), value=draw(st.integers(0, 63)), **self.head(kind))  # type: ignore[arg-type]
        if kind == "ttl":
            change, amount = draw(st.sampled_from(("dec", "inc", "set"))), draw(st.sampled_from((1, 3, 64, 255)))
            return Ttl(flow=self.flow(), change=change, amount=amount, **self.head(kind))  # type: ignore[arg-type]
        ports = st.none() | st.just((PortRange(protocol=6, first=1, last=3),))
        size = draw(st.none() | st.sampled_from((1000, 1200)))
        return Mss(flow=self.flow(ports), size=size, **self.head(kind))  # type: ignore[arg-type]

    def nat(self, nested: bool) -> NatItem:
        draw = self._draw
        kind = draw(st.sampled_from(("dnat", "dnat", "redirect", "snat", "masquerade", "keep", "within")))
        if kind == "dnat":
            targets: st.SearchStrategy[End] = pods | st.sampled_from([single(f, n) for f in Family for n in (0, 7)])
            return Dnat(
                source=draw(some_ends),
                to=draw(st.none() | ends),
                ports=tuple(draw(st.lists(_ranges, min_size=1, max_size=2))),
                target=draw(targets),
                port=draw(st.none() | st.integers(0, 9)),
                **self.head(kind),  # type: ignore[arg-type]
            )
        if kind == "redirect":
            flow = self.flow(st.lists(_ranges, min_size=1, max_size=2).map(tuple))
            return Redirect(flow=flow, port=draw(st.integers(0, 9)), **self.head(kind))  # type: ignore[arg-type]
        if kind == "snat":
            address = ip_address(UNIVERSE[draw(st.sampled_from(list(Family)))][draw(st.integers(0, 9))])
            return Snat(flow=self.flow(), address=address, **self.head(kind))  # type: ignore[arg-type]
        if kind == "within" and nested:
            return NatWithin(
                source=draw(some_ends),
                target=draw(some_ends),
                ports=draw(_ports),
                items=tuple(self.nat(False) for _ in range(draw(st.integers(1, 3)))),
                **self.head(kind),  # type: ignore[arg-type]
            )
        made = Masquerade if kind == "masquerade" else KeepSource
        return made(flow=self.flow(), **self.head(kind))  # type: ignore[arg-type]


@st.composite
def table_programs(draw: st.DrawFn, nested: bool = True) -> Program:
    """Some of each; `nested`: nat has lists in lists."""
    numbered, many = _Numbered(draw), st.integers(0, 3)
    return Program(
        nat=tuple(numbered.nat(nested) for _ in range(draw(st.integers(0, 4)))),
        mangle=tuple(numbered.mangle() for _ in range(draw(many))),
        raw=tuple(numbered.raw() for _ in range(draw(many))),
    )


@st.composite
def travellers(draw: st.DrawFn, cluster: Snapshot, own: Sequence[str], family: Family) -> Travelling:
    """A packet of the family as it arrives or is sent; `own`: addresses of the node."""
    mine = [one for one in own if (":" in one) == (family is Family.IPV6)]
    everyone = [
        *UNIVERSE[family],
        *(a for pod in cluster.pods for a in pod.ips if (":" in a) == (family is Family.IPV6)),
    ]
    packet = draw(packets(family, [*everyone, *mine * 9], [*everyone, *mine * 9]))
    packet = replace(packet, hop_limit=draw(st.sampled_from((64, 64, 255, 2))))
    if packet.proto in PORTED:
        packet = replace(packet, sport=draw(st.integers(0, 5)))
    return Travelling(
        packet,
        draw(st.sampled_from(("", *NAMES, "lo"))),
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(_STATES)),
        draw(st.sampled_from((0, 5, 0x10, 0x1000000))),
        frozenset(own),
        draw(st.booleans()),
        draw(st.booleans()),
    )

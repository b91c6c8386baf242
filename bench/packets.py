"""What a packet costs on its way through the emitted rules, as a ratio to conntrack alone.

    python -m bench.packets [--quick] [--pods 10,100,1000,10000] [--flavour nftables,...] [--rounds N]

Needs root and a netfilter kernel. A packet leaves a raw socket in one namespace, passes the FORWARD hook of the node
in a second and is read from a UDP socket in a third, all of it kernel work on one CPU, timed around the system calls,
of which one sends or reads 250 packets. The
baseline *ct-only* is one rule that accepts replies, in the same back end; *none* is no firewall at all. Every pod of
the node is isolated and has 16 peers.

Most of the cost is waiting for memory, so it matters whether what a packet needs is still in the cache. Two kinds of
first packets show both ends: connections again and again between 500 pairs of a peer and a pod, drawn at random among
all; and connections each between another pair.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bench.layouts import LAYOUTS, Files, Flavour, ct_only, netpolc
from bench.node_cluster import Case, NodeCluster, node_cluster
from bench.rounds import Contender, Figure, Kind, Traffic, race
from bench.wire import Flow, Node, run

#: By back end and layout or case, in order of printing.
Contenders = Mapping[tuple[str, str], Contender]

SIZES = (10, 100, 1000, 10_000)
PACKETS = 8_000  # of a kind in a visit
PAIRS = 500  # of pods that connect again and again
CASES_PODS = 1000
VISIT = 60e6  # nanoseconds that the first packets of a visit may take; slow layouts send fewer

_HEAD = f"{'ns':>7} {'best':>7} {'ratio':>7}  {'quartiles':<15}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    options = _options(arguments)
    print(f"# {_versions()}")
    print("# ns: median of the rounds; ratio: to ct-only of the same back end, median over the rounds")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.disable()
    started = time.monotonic()
    for pods in options.pods:
        _layouts(node_cluster(pods), options)
    _cases(node_cluster(min(CASES_PODS, options.pods[-1]), [case for case in Case if case is not Case.DENIED]), options)
    print(f"\n# {time.monotonic() - started:.0f} s")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.packets", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes, rounds and packets")
    parser.add_argument("--pods", type=_numbers, help="sizes, separated by commas")
    parser.add_argument("--flavour", type=_flavours, default=tuple(Flavour), help="back ends, separated by commas")
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args(arguments)
    options.pods = options.pods or ((10, 1000) if options.quick else SIZES)
    options.rounds = options.rounds or (5 if options.quick else 25)
    options.packets = PACKETS // 2 if options.quick else PACKETS
    return options


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _flavours(text: str) -> tuple[Flavour, ...]:
    return tuple(map(Flavour, text.split(",")))


def _versions() -> str:
    tools = (("nft", "--version"), ("iptables", "--version"), ("ipset", "--version"))
    found = [run(*tool).split("\n")[0].strip() for tool in tools]
    return ", ".join([f"Linux {platform.release()}", *found, f"{os.cpu_count()} CPUs"])


def _layouts(cluster: NodeCluster, options: argparse.Namespace) -> None:
    """The layouts beside each other."""
    traffic = Traffic.of(*_flows(cluster, Case.EXACT, options))
    found = {("", "none"): Contender("none", Node(), traffic)}
    for flavour in options.flavour:
        for layout in LAYOUTS:
            if layout.name in flavour.layouts:
                found[flavour.value, layout.name] = Contender(
                    f"{flavour.value} {layout.name}", _loaded(flavour, layout.files, cluster), traffic
                )
    _race(tuple(found.values()), options)
    print(f"\n## {len(cluster.pods)} pods on the node, 16 peers each, {options.rounds} rounds\n")
    _table("layout", found, {key: found[key[0], "ct-only"] if key[0] else found[key] for key in found})


def _cases(cluster: NodeCluster, options: argparse.Namespace) -> None:
    """What netpolc's rules cost packets that are judged in other ways."""
    found: dict[tuple[str, str], Contender] = {}
    baselines: dict[tuple[str, str], Contender] = {}
    for flavour in options.flavour:
        judging, free = (_loaded(flavour, files, cluster) for files in (netpolc, ct_only))
        for case in Case:
            traffic = Traffic.of(*_flows(cluster, case, options))
            expected = replace(traffic, passes=case is not Case.DENIED)
            key = (flavour.value, case.value)
            found[key] = Contender(f"{flavour.value}, {case.value}", judging, expected)
            baselines[key] = Contender(f"{flavour.value} ct-only, {case.value}", free, traffic)
    _race((*found.values(), *baselines.values()), options)
    print(f"\n## {len(cluster.pods)} pods on the node, other packets, {options.rounds} rounds\n")
    _table("packets", found, baselines)


def _flows(cluster: NodeCluster, case: Case, options: argparse.Namespace) -> Iterator[tuple[Flow, ...]]:
    for pairs in (PAIRS, options.packets):
        yield cluster.flows(case, options.packets, pairs)


def _loaded(flavour: Flavour, files: Files, cluster: NodeCluster) -> Node:
    node = Node()
    flavour.load(node, files(cluster, flavour.backend))
    return node


def _race(contenders: Sequence[Contender], options: argparse.Namespace) -> None:
    for contender in contenders:
        contender.calibrate(VISIT, options.packets)
    race(contenders, options.rounds)
    for node in {id(contender.node): contender.node for contender in contenders}.values():
        node.close()


def _table(what: str, found: Contenders, baselines: Contenders) -> None:
    width = max(len(name) for _, name in found)
    print("".join([f"{'':<16} {'':<{width}}", *(f" {kind.value:<{len(_HEAD)}}" for kind in Kind)]).rstrip())
    print(f"{'back end':<16} {what:<{width}} {' '.join([_HEAD] * len(Kind))}".rstrip())
    for key, one in found.items():
        cells = (_cells(one.nanoseconds[kind], baselines[key].nanoseconds[kind]) for kind in Kind)
        print(f"{key[0]:<16} {key[1]:<{width}} {' '.join(cells)}".rstrip())


def _cells(values: Sequence[float], baseline: Sequence[float]) -> str:
    if not values:
        return " " * len(_HEAD)
    figure = Figure.of(values, baseline)
    spread = f"{figure.low:.3f}-{figure.high:.3f}"
    return f"{figure.median:>7.0f} {figure.best:>7.0f} {figure.ratio:>7.3f}  {spread:<15}"


if __name__ == "__main__":
    main()

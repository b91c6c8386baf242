"""What updates of a node's rules cost with iptables: a load, one element, one chain, and whether it is all there.

`python -m bench.iptables_updates`, as root. A node of 110 pods, each of a class with a chain of its own, and 100,000
allowed pairs; everything in a network namespace of its own. Ratios are to the same change by a process that is started
for it (`ipset add`, `iptables-restore`), medians of so many turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from compiler.backends.iptables_live import Live
from compiler.backends.steps import Step, Tool
from compiler.ir.change import Change
from compiler.ir.match import Field, InPrefix, InSet, Replies
from compiler.ir.ruleset import Accept, Chain, Drop, Goto, Hook, Jump, Return, Rule, Ruleset, Set
from compiler.net import Family, Prefix
from enforcer.iptables.iptables import Iptables, Variant
from enforcer.iptables.legacy import LegacyReader
from enforcer.iptables.nft_variant import NftReader
from enforcer.iptables.sight import Sight
from tests.kernel.namespace import Namespace

_PODS, _PAIRS, _TURNS = 110, 100_000, 200
_POD, _PEER = 0x0A000001, 0x0A800000
_KEY = (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT)
_DENY = Chain("deny", (Rule((), Drop()),))


def ruleset(pods: int, pairs: int) -> Ruleset:
    each = pairs // pods
    elements = tuple((_PEER + peer, _POD + pod, 6, 80) for peer in range(each) for pod in range(pods))
    classes = [_class(number) for number in range(pods)]
    lines = [Rule((InPrefix(Field.DESTINATION, _host(n)),), Jump(f"class-{n}"), Family.IPV4) for n in range(pods)]
    front = [Rule((Replies(),), Accept()), Rule((InSet(_KEY, "pairs4"),), Accept(), Family.IPV4)]
    forward = Chain("forward", (*front, *lines), Hook.FORWARD)
    sets = [Set("pairs4", Family.IPV4, _KEY, elements)]
    sets += [Set(f"class-{n}-ok", Family.IPV4, (Field.SOURCE,), ((_PEER + n,),)) for n in range(pods)]
    return Ruleset((forward, *classes, _DENY), tuple(sets), families=(Family.IPV4,))


def _host(number: int) -> Prefix:
    return Prefix(Family.IPV4.value, _POD + number, 32)


def _class(number: int) -> Chain:
    asked = Rule((InSet((Field.SOURCE,), f"class-{number}-ok"),), Return())
    blocks = [Rule((InPrefix(Field.SOURCE, Prefix(4, 0xC0A80000 + (n << 8), 24)),), Return()) for n in range(4)]
    return Chain(f"class-{number}", (asked, *blocks, Rule((), Goto("deny"))), family=Family.IPV4)


def measured(action: Callable[[int], object], turns: int) -> list[float]:
    """Seconds of each turn, sorted."""
    found = []
    for turn in range(turns):
        began = time.perf_counter()
        action(turn)
        found.append(time.perf_counter() - began)
    return sorted(found)


def row(what: str, seconds: list[float], beside: float | None = None) -> str:
    median, late = statistics.median(seconds), seconds[int(len(seconds) * 0.99) - 1] if len(seconds) > 1 else seconds[0]
    ratio = f"{beside / median:8.1f}x" if beside is not None else " " * 9
    return f"  {what:<48}{median * 1e3:10.3f} ms{late * 1e3:10.3f} ms{ratio}"


def rows(variant: Variant, pods: int, pairs: int, turns: int) -> Iterator[str]:
    namespace = Namespace()
    with namespace:
        found = ruleset(pods, pairs)
        dataplane, live = Iptables(variant, found.families), Live()
        steps = live.load(found)
        yield row(f"load: {pairs} pairs, {pods} chains", measured(lambda _: dataplane.apply(steps), 1))

        element = "netpolc-pairs4-v1 10.200.{}.1,tcp:80,10.0.0.1"
        alone = measured(lambda n: namespace.run("ipset", "add", *element.format(n % 250).split(), "-exist"), turns)
        yield row("one element, by a process", alone)
        beside = statistics.median(alone)

        def add(turn: int) -> None:
            key = (0x0AC90000 + turn, _POD, 6, 80)
            dataplane.apply(live.update(Change(added={"pairs4": frozenset({key})}), found))

        yield row("one element: its text and its way in", measured(add, turns), beside)

        def put(turn: int) -> None:
            new = replace(_class(0), name=f"more-{turn}")
            dataplane.apply(live.update(Change(chains=(new,)), found))

        def restore(turn: int) -> None:
            text = f"*filter\n:NETPOLC-more-{turn} - [0:0]\n-A NETPOLC-more-{turn} -j RETURN\nCOMMIT\n"
            namespace.run(f"iptables-{variant.value}-restore", "--noflush", "-w", stdin=text)

        alone = measured(restore, turns // 10)
        yield row("a new chain, by a process alone", alone)
        yield row("a new chain: its text and its way in", measured(put, turns // 10), statistics.median(alone))
        again = [Step(step.tool, step.text) for step in steps if step.tool is Tool.IPTABLES]
        yield row("all chains anew", measured(lambda _: dataplane.apply(again), turns // 10))
        sight = Sight(found.families, LegacyReader if variant is Variant.LEGACY else NftReader)
        sight.look()
        yield row("looking whether anything changed", measured(lambda _: sight.look(), turns // 4))
        stirred = measured(lambda _: _stirred(namespace, variant, sight), 10)
        yield row("the same, after others changed their rules", stirred)
        sight.close()

        def whole(turn: int) -> None:
            dataplane.read()
            add(turn + turns)
            dataplane.sweep(dataplane.read())

        yield row("one element, looking before and behind", measured(whole, turns), beside)
        yield row("a fingerprint of every element", measured(lambda _: dataplane.read(deep=True), 5))
        yield row("counters, their words known", measured(lambda _: dataplane.counters(0), 10))
        dataplane.close()
    namespace.close()


def _stirred(namespace: Namespace, variant: Variant, sight: Sight) -> None:
    namespace.run(f"iptables-{variant.value}", "-A", "INPUT")
    sight.look()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    part = 10 if parser.parse_args().quick else 1
    for variant in Variant:
        print(f"iptables-{variant.value}{'median':>44}{'p99':>13}{'to a process':>13}")
        for line in rows(variant, _PODS // part, _PAIRS // part, _TURNS // part):
            print(line)


if __name__ == "__main__":
    main()

"""What updates of a node's rules cost with nftables: a load, elements, a pod of the node, and whether it is all there.

`python -m bench.nftables_updates`, as root. A node of 110 pods, each of a class with a chain and a map of its own, and
100,000 allowed pairs; everything in a network namespace of its own. Changes come one at a time, 20 ms apart, and are
timed until they are in force. Ratios are to the same change by a process that is started for it (`nft`).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from bench.iptables_updates import measured, row
from compiler.backends.nftables_live import Live
from compiler.ir.change import Change
from compiler.ir.match import Field, InSet, Replies
from compiler.ir.ruleset import Accept, Chain, Drop, Goto, Hook, Jump, Lookup, PrefixMap, Return, Rule, Ruleset, Set
from compiler.net import Family, Prefix
from enforcer.grace import settle
from enforcer.nftables.nft import Nft
from enforcer.nftables.tables import Tables
from tests.kernel.namespace import Namespace

_PODS, _PAIRS, _TURNS = 110, 100_000, 200
_POD, _PEER = 0x0A000001, 0x0A800000
_KEY = (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT)
_DENY = Chain("deny", (Rule((), Drop()),))
_APART = 0.02  # seconds


def ruleset(pods: int, pairs: int) -> Ruleset:
    each = pairs // pods
    elements = tuple((_PEER + peer, _POD + pod, 6, 80) for peer in range(each) for pod in range(pods))
    leads = PrefixMap("ingress4", Family.IPV4, tuple((_host(_POD + n), Jump(f"class-{n}")) for n in range(pods)))
    known = Rule((InSet(_KEY, "pairs4"),), Accept(), Family.IPV4)
    rules = (Rule((Replies(),), Accept()), known, Lookup(Field.DESTINATION, "ingress4", Family.IPV4))
    classes = [_class(n) for n in range(pods)]
    chains = (Chain("forward", rules, Hook.FORWARD), _DENY, *(chain for chain, _ in classes))
    pairs4 = Set("pairs4", Family.IPV4, _KEY, elements)
    return Ruleset(chains, (pairs4,), (leads, *(found for _, found in classes)), families=(Family.IPV4,))


def _host(address: int) -> Prefix:
    return Prefix(Family.IPV4.value, address, 32)


def _class(number: int) -> tuple[Chain, PrefixMap]:
    rules = (Lookup(Field.SOURCE, f"class-{number}-a", Family.IPV4), Rule((), Goto("deny")))
    found = PrefixMap(f"class-{number}-a", Family.IPV4, tuple((_host(_PEER + n), Return()) for n in range(16)))
    return Chain(f"class-{number}", rules, family=Family.IPV4), found


def apart(action: Callable[[int], object], turns: int) -> list[float]:
    """Seconds of each turn, sorted; so far apart that none waits for another."""
    found = []
    for turn in range(turns):
        time.sleep(_APART)
        found += measured(lambda _, turn=turn: action(turn), 1)  # type: ignore[misc]
    return sorted(found)


class Node:
    """A dataplane, and what it was told."""

    def __init__(self, pods: int, pairs: int) -> None:
        self.nft, self.live, self.now = Nft(), Live(), ruleset(pods, pairs)

    def load(self) -> None:
        self.nft.apply(self.live.load(self.now))

    def change(self, change: Change) -> None:
        self.nft.apply(self.live.update(change, self.now))

    def pair(self, turn: int) -> None:
        """A pair that comes."""
        self.change(Change(added={"pairs4": frozenset({(0x0AC90000 + turn, _POD, 6, 80)})}))

    def ten(self, turn: int) -> None:
        for n in range(10):
            self.pair(1000 + 10 * turn + n)

    def known(self, turn: int) -> None:
        """A pod of another node that comes, or (every second time) goes: its pairs, and how ten classes find it."""
        pairs = frozenset((0x0ACA0001, _POD + n, 6, 80) for n in range(10))
        address = _host(0x0ACA0001)
        if turn % 2:
            gone = {f"class-{n}-a": frozenset({address}) for n in range(10)}
            self.change(Change(removed={"pairs4": pairs}, unmapped=gone))
        else:
            self.change(
                Change(added={"pairs4": pairs}, mapped={f"class-{n}-a": {address: Return()} for n in range(10)})
            )

    def class_of_its_own(self, turn: int) -> float:
        """A pod of this node that comes, with a class that nobody had: its chain, its map, its lead. Seconds until it
        is in force; what is not asked any more goes behind that."""
        time.sleep(_APART)
        chain, found = _class(1000 + turn)
        address = _host(0x0A640001 + turn)
        self.now = replace(self.now, chains=(*self.now.chains, chain), maps=(*self.now.maps, found))
        leads = replace(self.now.maps[0], elements=(*self.now.maps[0].elements, (address, Jump(chain.name))))
        self.now = replace(self.now, maps=(leads, *self.now.maps[1:]))
        change = Change(maps=(found,), chains=(chain,), mapped={"ingress4": {address: Jump(chain.name)}})
        began = time.perf_counter()
        first, last = self.live.update(change, self.now)
        self.nft.apply([first])
        seconds = time.perf_counter() - began
        self.nft.apply([last])
        return seconds


def rows(pods: int, pairs: int, turns: int) -> Iterator[str]:
    namespace = Namespace()
    with namespace:
        node = Node(pods, pairs)
        yield row(f"load: {pairs} pairs, {pods} chains", measured(lambda _: node.load(), 1))
        yield row("all of it read, nobody having listened", measured(lambda _: _fresh(), 3))
        yield row("a grace period: packets of before are through", measured(lambda _: settle(), 50))
        element = "add element inet netpolc pairs4-v1 {{ 10.200.{}.1 . 10.0.0.1 . tcp . 80 }}"
        alone = measured(lambda n: namespace.run("nft", element.format(n % 250)), turns // 4)
        yield row("one element, by a process", alone)
        yield row("one pair: its text and its way in", apart(node.pair, turns), statistics.median(alone))
        yield row("a pod elsewhere: ten pairs, ten classes", apart(node.known, turns))
        yield row("a pod here, of a class of its own", sorted(map(node.class_of_its_own, range(turns // 4))))
        yield row("ten pairs, one right behind the other", measured(node.ten, 10))
        yield row("whether anything changed, after one pair", _looks(node, turns))
        yield row("the same, after nothing", measured(lambda _: node.nft.read(), turns))
        yield row("counters", measured(lambda _: node.nft.counters(0), 10))
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        yield f"  resident memory, at most {most:>23} MiB"
        node.nft.close()
    namespace.close()


def _fresh() -> None:
    tables = Tables()
    tables.now()
    tables.close()


def _looks(node: Node, turns: int) -> list[float]:
    found = []
    for turn in range(turns):
        node.pair(5000 + turn)
        found += measured(lambda _: node.nft.read(), 1)
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    part = 10 if parser.parse_args().quick else 1
    print(f"nftables{'median':>50}{'p99':>13}{'to a process':>13}")
    for line in rows(_PODS // part, _PAIRS // part, _TURNS // part):
        print(line)


if __name__ == "__main__":
    main()

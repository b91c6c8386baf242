"""Rules of nft that were optimised, in the kernel: packets fare as before, and counters have counted as much."""

from __future__ import annotations

import subprocess
from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from compiler.analysis.same import differences
from compiler.optimizing.chains import Listing
from compiler.optimizing.passes.simplify import Change, Pass, simplify
from compiler.optimizing.readers.nftables_rules import listing
from compiler.optimizing.reorder import reorder
from compiler.optimizing.whole import optimize
from compiler.semantics.packet import Packet
from grammar.nftables_tree import Verdict
from grammar.source import Source
from tests.kernel.namespace import CommandFailed
from tests.kernel.pools import Pools
from tests.kernel.random_nft import RandomNft
from tests.kernel.random_runs import RandomRuns
from tests.kernel.rig import NODE, Rig

pytestmark = pytest.mark.kernel
_EACH = 300
_NODE = {4: NODE[0], 6: NODE[1]}
#: The node tells of every packet that nobody takes, and not of as many a second as it likes: rules count these, too.
_ANSWERS = {"net.ipv4.icmp_ratemask": 0, "net.ipv6.icmp.ratelimit": 0}
#: Of these seeds some rulesets change their order, and some drop packets.
SEEDS = range(40, 56)
RUNS = range(24)


def read(text: str) -> Listing:
    return listing(Source("dice.nft", text))


def counting(text: str) -> str:
    """The script, with a counter behind the matches of every rule that has none."""
    places = []
    for rule in (rule for chain in read(text).chains for rule in chain.rules):
        assert rule.said is not None
        assert not hasattr(rule.said, "options")
        last = rule.said.parts[-1]
        if not rule.counted:
            places.append(last.start if isinstance(last, Verdict) else last.place.start)
    for place in sorted(places, reverse=True):
        text = f"{text[:place]}counter {text[place:]}"
    return text


def counted(text: str) -> Counter[tuple[str, str]]:
    """Packets by chain and words of rules."""
    found: Counter[tuple[str, str]] = Counter()
    for chain in read(text).chains:
        for rule in chain.rules:
            words = " ".join(word for word in rule.text.partition(" # ")[0].split() if not word.isdecimal())
            found[chain.name, words] += rule.packets
    return found


def total(text: str) -> int:
    """Packets that all rules have counted."""
    return sum(counted(text).values())


def merged(rules: Listing, counters: bool) -> tuple[Listing, tuple[Change, ...]]:
    found = simplify(rules, (Pass.SETS,), counters)
    return found.listing, found.changes


class Kernel:
    """Packets of one seed, and what becomes of them."""

    def __init__(self, rig: Rig, pools: Pools) -> None:
        self._rig = rig
        rig.namespace.sysctl(_ANSWERS)
        self._batches: dict[str, list[Packet]] = {
            "forwarded": list(pools.packets(_EACH)),
            "delivered": list(pools.packets(_EACH // 5, to=_NODE)),
            "sent": list(pools.packets(_EACH // 5)),
        }

    def answers(self, text: str) -> dict[str, list[bool]]:
        """What becomes of the packets under these rules."""
        self._text = text.removeprefix("add ")
        self._rig.reset()
        self._rig.load({"netpolc.nft": text}, "nftables")
        return {way: getattr(self._rig, way)(packets) for way, packets in self._batches.items()}

    def shown(self, *options: str) -> str:
        family = self._text.split()[1]
        return self._rig.namespace.run("nft", *options, "list", "table", family, "dice")


def is_taken(text: str) -> None:
    """By the kernel of a namespace without rules: as a check and in fact."""
    for options in (["-c"], []):
        done = subprocess.run(
            ["unshare", "--net", "nft", *options, "-f", "-"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{text}"


@pytest.mark.parametrize("seed", SEEDS)
def test_packets_fare_as_before_and_rules_count_what_they_counted(rig: Rig, seed: int) -> None:
    pools = Pools(Random(seed))
    text = counting(RandomNft(pools).text)
    kernel = Kernel(rig, pools)
    before = kernel.answers(text)
    old = kernel.shown(*(["-a"] if seed % 2 else []))
    found = reorder(read(old), Fraction(0))
    is_taken(found.text)
    assert not differences([("old", old)], [("new", found.text)], (4, 6), ("old", "new"))
    assert sorted(found.text.splitlines()) == sorted(old.splitlines())
    assert kernel.answers(found.text) == before
    assert counted(kernel.shown()) == Counter({key: 2 * packets for key, packets in counted(old).items()})
    assert reorder(read(found.text), Fraction(0)).text == found.text


def test_some_of_these_change_their_order(rig: Rig) -> None:
    moved = dropped = 0
    for seed in SEEDS:
        pools = Pools(Random(seed))
        text = counting(RandomNft(pools).text)
        kernel = Kernel(rig, pools)
        answers = kernel.answers(text)
        old = kernel.shown()
        moved += reorder(read(old), Fraction(0)).text != old
        dropped += sum(one.count(False) for one in answers.values())
    assert moved > len(SEEDS) // 4
    assert dropped > 100


@pytest.mark.parametrize("seed", RUNS)
def test_sets_and_maps_are_taken_and_packets_fare_as_before(rig: Rig, seed: int) -> None:
    """Also with rules that count, of which the one that comes of them counts as much as all."""
    pools = Pools(Random(seed))
    text = RandomRuns(pools).text
    kernel = Kernel(rig, pools)
    before = kernel.answers(text)
    old = kernel.shown()
    counters = seed % 2 == 1
    new = merged(read(old), counters)[0].written()
    is_taken(new)
    assert not differences([("old", old)], [("new", new)], (4, 6), ("old", "new"))
    assert total(new) == total(old)
    assert kernel.answers(new) == before
    assert total(kernel.shown()) - total(new) == total(old) - total(text)
    assert merged(read(new), counters)[0].written() == new


@pytest.mark.parametrize("seed", RUNS)
def test_rules_go_that_make_no_difference(rig: Rig, seed: int) -> None:
    """Totals stay where all rules count."""
    pools = Pools(Random(seed))
    text = (RandomNft if seed % 3 else RandomRuns)(pools).text
    text = counting(text) if seed % 2 else text
    kernel = Kernel(rig, pools)
    before = kernel.answers(text)
    old = kernel.shown()
    new = simplify(read(old)).listing.written()
    is_taken(new)
    assert not differences([("old", old)], [("new", new)], (4, 6), ("old", "new"))
    assert total(new) == total(old)
    assert kernel.answers(new) == before
    if seed % 2:
        assert total(kernel.shown()) - total(new) == total(old) - total(text)
    assert simplify(read(new)).listing.written() == new


@pytest.mark.parametrize("seed", RUNS)
def test_all_passes_together(rig: Rig, seed: int) -> None:
    """By what real packets counted."""
    pools = Pools(Random(seed))
    text = counting((RandomRuns if seed % 3 else RandomNft)(pools).text)
    kernel = Kernel(rig, pools)
    before = kernel.answers(text)
    old = kernel.shown("-a")
    new = optimize(read(old), tuple(Pass), Fraction(0), counters=True).listing.written()
    is_taken(new)
    assert not differences([("old", old)], [("new", new)], (4, 6), ("old", "new"))
    assert total(new) == total(old)
    assert kernel.answers(new) == before
    assert total(kernel.shown()) - total(new) == total(old) - total(text)
    assert optimize(read(new), tuple(Pass), Fraction(0), counters=True).listing.written() == new


def test_some_of_these_lose_rules() -> None:
    gone = []
    for seed in RUNS:
        text = (RandomNft if seed % 3 else RandomRuns)(Pools(Random(seed))).text
        gone.append(simplify(read(text)).gone)
    assert sum(1 for count in gone if count) > len(RUNS) // 3


def test_what_nft_cannot_merge_is_merged(rig: Rig) -> None:
    """`nft -o` of 1.0.6 makes a map of these that it cannot load."""
    rules = ["tcp dport 1-5 drop", "tcp dport 3 accept", "tcp dport 9 accept", "tcp dport 11 drop"]
    lines = "".join(f"\t\t{rule}\n" for rule in rules)
    text = f"table inet dice {{\n\tchain c {{\n\t\ttype filter hook forward priority 0;\n{lines}\t}}\n}}\n"
    with pytest.raises(CommandFailed, match="conflicting intervals"):
        rig.namespace.run("nft", "-c", "-o", "-f", "-", stdin=text)
    new = merged(read(text), False)[0].written()
    is_taken(new)
    assert new == text.replace("tcp dport 3 accept", "tcp dport { 3, 9 } accept").replace(
        "\t\ttcp dport 9 accept\n", ""
    )
    assert not differences([("old", text)], [("new", new)], (4, 6), ("old", "new"))


def test_some_of_these_become_sets_and_maps() -> None:
    found = [one.text for seed in RUNS for one in merged(read(RandomRuns(Pools(Random(seed))).text), seed % 2 == 1)[1]]
    assert len(found) > 100
    assert sum("vmap" in text for text in found) > 10
    assert sum(" . " in text for text in found) > 3
    assert sum("-" in text for text in found) > 5
    assert sum("counter packets" in text for text in found) > 20

"""Whatever rules do beside ending ways, the proof takes what becomes of them: none is refused, none is different."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from random import Random

import pytest

from compiler.optimizing.passes.simplify import Pass
from compiler.optimizing.readers.iptables_rules import listing
from compiler.optimizing.whole import optimize
from compiler.ordering.prices import Tool
from compiler.semantics.proof.equivalence import Equal, equivalent
from compiler.semantics.rules import rulesets
from grammar.source import Source

BLOCKS = ("10.0.0.0/8", "10.0.0.0/9", "10.1.0.0/16", "10.1.2.3/32", "192.0.2.0/24", "198.51.100.7/32")
#: Matches that keep lists or counts, and targets that do more than end ways.
REMEMBERS = (
    "-m recent --set --name a --mask 255.255.255.255 --rsource",
    "-m recent --update --seconds 60 --hitcount 4 --name a --mask 255.255.255.255 --rsource",
    "-m recent --rcheck --seconds 30 --name b --mask 255.255.255.255 --rsource",
    "-m limit --limit 5/min",
    "-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name h",
    "-m statistic --mode random --probability 0.5",
)
DOES = (
    "MARK --set-xmark 0x1/0xffffffff",
    "CONNMARK --save-mark",
    "CONNMARK --restore-mark",
    "NFQUEUE --queue-num 0",
    "SET --add-set seen src",
    "DSCP --set-dscp 0x0a",
    "CLASSIFY --set-class 0001:0002",
    "LOG --log-prefix x",
)


def rules(chosen: Random, own: str) -> Iterator[str]:
    for _ in range(chosen.randint(2, 9)):
        asks = [f"{side} {chosen.choice(BLOCKS)}" for side in ("-s", "-d") if chosen.random() < 0.5]
        if chosen.random() < 0.6:
            protocol = chosen.choice(("tcp", "udp"))
            asks.append(f"-p {protocol} -m {protocol} --dport {chosen.choice(('22', '80', '443', '1024:65535'))}")
        asks += [chosen.choice(REMEMBERS)] * (chosen.random() < 0.25)
        kind = chosen.random()
        does = chosen.choice(("ACCEPT", "DROP")) if kind < 0.7 else chosen.choice(DOES)
        if own not in "AB" and kind > 0.9:
            does = chosen.choice("AB")
        packets = chosen.randrange(2000)
        yield f"[{packets}:{60 * packets}] -A {own} {' '.join(asks)} -j {does}"


def text(seed: int) -> str:
    chosen = Random(seed)
    lines = [line for own in ("PREROUTING", "FORWARD", "A", "B") for line in rules(chosen, own)]
    heads = ["*mangle", ":PREROUTING ACCEPT [1:2]", ":FORWARD ACCEPT [3:4]", ":A - [0:0]", ":B - [0:0]"]
    return "\n".join([*heads, *lines, "COMMIT", ""])


@pytest.mark.parametrize("relax", [False, True])
def test_rules_that_remember_and_change(relax: bool) -> None:
    changed = 0
    for seed in range(30):
        old = text(seed)
        parsed = listing(Source("rules", old), Tool.IPTABLES_LEGACY)
        new = optimize(parsed, tuple(Pass), Fraction(1, 100), relax=relax).listing.written()
        one, two = (rulesets.read([("rules", each)]) for each in (old, new))
        assert equivalent(one, two, (4,)) == Equal((4,)), seed
        changed += new != old
    assert changed > 20

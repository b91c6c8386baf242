"""Random rulesets through the kernel and the tracer, side by side: `python -m tests.kernel.random_rulesets` for many.

Each ruleset is judged as it was written and as the kernel shows it.
"""

from __future__ import annotations

import argparse
import time
from random import Random

from grammar.ruletext import Refused
from tests.kernel.namespace import CommandFailed
from tests.kernel.pools import Pools
from tests.kernel.random_iptables import KINDS, RandomIptables
from tests.kernel.random_nft import RandomNft
from tests.kernel.rig import FLAVOURS, NODE, Rig
from tests.kernel.traced import Traced, beside, explained, shown

_NODE = {4: NODE[0], 6: NODE[1]}


class Disagreement(AssertionError):
    """The message has the packet, both answers and the tracer's way, or what was not read."""


class Rulesets:
    """`trial` loads one ruleset and compares; `packets` counts what was compared, `dropped` how many of those the
    kernel did not let through."""

    def __init__(self, rig: Rig) -> None:
        self.packets = 0
        self.dropped = 0
        self._rig = rig
        self._kinds = [kind for kind in KINDS if self._has(kind)]

    def _has(self, kind: str) -> bool:
        """Kernels are built with fewer or more types of sets."""
        options = {"bitmap:port": ("range", "0-65535")}.get(kind, ())
        try:
            self._rig.namespace.run("ipset", "create", "probe", kind, *options)
        except CommandFailed as refused:
            if "not supported" not in refused.stderr:
                raise
            return False
        self._rig.namespace.run("ipset", "destroy", "probe")
        return True

    def trial(self, seed: int, flavour: str, count: int) -> None:
        """Raises Disagreement, which names the seed."""
        pools = Pools(Random(seed))
        if flavour == "nftables":
            files = {"netpolc.nft": RandomNft(pools).text}
        else:
            files = RandomIptables(pools, self._kinds).files
        self._rig.reset()
        self._rig.load(files, flavour)
        batches = {
            "forwarded": pools.packets(count * 8 // 10),
            "delivered": pools.packets(count // 10, to=_NODE),
            "sent": pools.packets(count // 10),
        }
        answers = {way: getattr(self._rig, way)(packets) for way, packets in batches.items()}
        texts = {"written": files | beside(self._rig), "shown": shown(self._rig, flavour)}
        if flavour == "nftables":
            texts["shown in numbers"] = shown(self._rig, flavour, numeric=True)
        for name, text in texts.items():
            try:
                traced = Traced(text)
            except Refused as refused:
                excerpt = "\n".join(refused.flaw.excerpt)
                raise Disagreement(f"seed {seed}, {flavour} as {name}: {refused}\n{excerpt}") from refused
            for way, packets in batches.items():
                for packet, passed in zip(packets, answers[way], strict=True):
                    trace = traced.trace(way, packet)
                    if trace.passed is not passed:
                        where = f"seed {seed}, {flavour} as {name}, {way}: {packet!r}"
                        raise Disagreement(f"{where}: the kernel says {passed}\n{explained(trace)}")
        self.packets += sum(map(len, batches.values()))
        self.dropped += sum(answer.count(False) for answer in answers.values())


def main() -> None:
    parser = argparse.ArgumentParser(description="random rulesets: the tracer against the kernel")
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--each", type=int, default=1_000, help="packets for each ruleset")
    parser.add_argument("--seed", type=int, default=1, help="of the first ruleset; each has one more than the last")
    arguments = parser.parse_args()
    began = time.monotonic()
    with Rig() as rig:
        rulesets = Rulesets(rig)
        seed = arguments.seed
        while rulesets.packets < arguments.packets:
            rulesets.trial(seed, FLAVOURS[seed % len(FLAVOURS)], arguments.each)
            seed += 1
    took = time.monotonic() - began
    print(
        f"{rulesets.packets} packets, {rulesets.dropped} of them dropped, in {seed - arguments.seed} rulesets: "
        f"no disagreement, {took:.0f} s"
    )


if __name__ == "__main__":
    main()

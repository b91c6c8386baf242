"""Changes of every kind under traffic, an enforcer that is killed in between: what stays allowed is never lost, what
stays denied never gets through.

    python -m tests.cluster.hitless [--changes 1000] [--flavour nftables ...] [--seed 1] [--option=...]

Before a change the oracle says which flows keep their verdict in every state that it goes through: these are sent and
judged, packet by packet, while the change comes into force. The others are sent until they have changed sides; from
then on they are judged, too. Half of the allowed ones are packets in the middle of open connections, which have to go
on or, when they are revoked, to be cut.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import TCP, UDP, Packet, connection
from compiler.snapshot import build
from compiler.sources.manifests import load
from tests.cluster.churn import ADDRESSES, NODES, OUTSIDE, PORTS, Churn, states
from tests.cluster.generator import Generator, Sent, Tally
from tests.cluster.store import Folder, Key, Object, Store
from tests.enforcer.process import Enforcer
from tests.kernel.packets import encode, handshake
from tests.kernel.rig import FLAVOURS, Rig

NODE = "node1"
FLOWS = 240
#: Of so many changes one comes with an end of the enforcer, mostly by SIGKILL, at a moment around it.
ENDS_EVERY = 20
#: Seconds until a change has to be in force, the start of an enforcer included, on a machine with other things to do.
WITHIN = 60.0
_NUMBERS = {"TCP": TCP, "UDP": UDP}


@dataclass(slots=True)
class Result:
    """`lost`, `leaked`: packets, by flow in words. `latency`: seconds from a change to the last flow that changed
    sides, of changes without an end of the enforcer; `ends`: how often it was ended; `starting`: nobody knows whether
    it is there again."""

    changes: Counter[str] = field(default_factory=Counter)
    ends: int = 0
    sent: int = 0
    seconds: float = 0.0
    lost: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    flips: int = 0
    latency: list[float] = field(default_factory=list)
    starting: bool = False

    @property
    def pace(self) -> float:
        """Packets a second."""
        return self.sent / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        slow = sorted(self.latency) or [0.0]
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.changes.most_common())
        return (
            f"{self.changes.total()} changes ({kinds}), enforcer ended {self.ends} times;"
            f" {self.sent} packets, {self.pace / 1000:.0f} kpps; {self.flips} flows changed sides,"
            f" half of the changes within {slow[len(slow) // 2] * 1000:.0f} ms, all within {slow[-1]:.2f} s;"
            f" lost {self.lost.total()}, leaked {self.leaked.total()}"
        )


class NotInForce(AssertionError):
    """A change that did not come into force in time: what should have changed sides."""


class Flow:
    """A packet that is sent again and again: the first of a connection, or one in the middle of it."""

    def __init__(self, packet: Packet, serial: int, later: bool) -> None:
        self.packet, self.later = packet, later
        if later:
            opened = handshake(packet)
            self._before = tuple(encode(segment, 0) for segment in opened[:2])
            self._raw = encode(opened[2], serial)
        else:
            self._before, self._raw = (), encode(packet, serial)

    def sent(self, allowed: bool) -> Sent:
        return Sent(self._raw, allowed, self._before)

    def __str__(self) -> str:
        return f"{self.packet}{', open connection' * self.later}"


def flows(random: Random, count: int) -> list[Flow]:
    """Serials are their places in the list."""
    found = []
    for number in range(count):
        family = random.randint(0, 1)
        source, destination = random.sample((*ADDRESSES, *OUTSIDE), 2)
        if source in OUTSIDE and destination in OUTSIDE:
            source = random.choice(ADDRESSES)
        protocol, port = random.choice(PORTS)
        packet = connection(source[family], destination[family], _NUMBERS[protocol], port, number)
        found.append(Flow(packet, number, later=protocol == "TCP" and random.random() < 0.5))
    return found


def verdicts(objects: Mapping[Key, Object], sent: Sequence[Flow]) -> list[bool]:
    """What the node has to do with each."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects.values())})
    found = load([("churn.json", text.encode())])
    oracle = Oracle([policy.value for policy in found.policies], build(found.pods, found.namespaces, found.nodes))
    oracle.meeting = cache(oracle.meeting)  # type: ignore[method-assign]
    oracle.isolating = cache(oracle.isolating)  # type: ignore[method-assign]
    return [oracle.at_node(flow.packet, NODE).allowed for flow in sent]


def run(
    flavour: str,
    changes: int,
    seed: int,
    folder: Path,
    store: Store,
    told: int = 0,
    ends_every: int = ENDS_EVERY,
    more: Sequence[str] = (),
) -> Result:
    """`told`: a line on standard error every so many changes; `more`: options of `netpolc enforce`. Stops at the first
    change that loses or leaks something. Raises NotInForce."""
    random = Random(seed)
    churn, sent, result = Churn(random), flows(random, FLOWS), Result()
    for item in churn.objects.values():
        store.put(item)
    with Rig(NODES[NODE]) as rig, ExitStack() as ending:
        options = (*store.arguments(rig.namespace), "--node", NODE, "--backend", flavour, *more)
        enforcer = ending.enter_context(Enforcer(rig.namespace, folder, *options))
        rig.namespace.sysctl({"net.netfilter.nf_conntrack_tcp_be_liberal": 1})
        with Generator(rig.ends) as generator:
            now = verdicts(churn.objects, sent)
            generator.judge([])
            _turned(generator, sent, [(n, allowed) for n, allowed in enumerate(now)], result, enforcer)
            for number in range(1, changes + 1):
                ends = random.random() < 1 / ends_every
                now = _change(churn, store, generator, enforcer, sent, now, result, random, ends)
                if told and number % told == 0:
                    print(f"{flavour}: {result}", file=sys.stderr, flush=True)
                if result.lost or result.leaked:
                    break
            _count(generator.judge([]), sent, result)
    return result


def _change(
    churn: Churn,
    store: Store,
    generator: Generator,
    enforcer: Enforcer,
    sent: Sequence[Flow],
    now: Sequence[bool],
    result: Result,
    random: Random,
    ends: bool,
) -> list[bool]:
    """One change from before it is made until it is in force; the verdicts behind it."""
    before = churn.objects
    change = churn.next()
    seen = [verdicts(state, sent) for state in states(before, change.steps)]
    stable = [n for n, allowed in enumerate(now) if all(state[n] is allowed for state in seen)]
    _count(generator.judge([sent[n].sent(now[n]) for n in stable]), sent, result)
    moment = random.uniform(-0.05, 0.15) if ends else 0.0
    if ends and moment < 0:
        _end(enforcer, random)
        time.sleep(-moment)
    begun = time.monotonic()
    for step in change.steps:
        if isinstance(step, dict):
            store.put(step)
        else:
            store.delete(step)
    if ends and moment >= 0:
        time.sleep(moment)
        _end(enforcer, random)
    if ends:
        enforcer.start()
    after = seen[-1]
    flipped = [(n, after[n]) for n in range(len(sent)) if n not in set(stable)]
    _turned(generator, sent, flipped, result, enforcer)
    if flipped and not ends and not result.starting:
        result.latency.append(time.monotonic() - begun)
    result.starting = not flipped and (ends or result.starting)
    result.changes[change.kind] += 1
    result.ends += ends
    result.flips += len(flipped)
    return after


def _end(enforcer: Enforcer, random: Random) -> None:
    enforcer.end(signal.SIGTERM if random.random() < 0.2 else signal.SIGKILL)


def _turned(
    generator: Generator, sent: Sequence[Flow], flipped: Sequence[tuple[int, bool]], result: Result, enforcer: Enforcer
) -> None:
    tally = generator.turn([sent[n].sent(allowed) for n, allowed in flipped], WITHIN)
    _count(tally, sent, result)
    if tally.settled is None:
        wanted = dict(flipped)
        wrong = [f"{sent[n]}: not {'allowed' if wanted[n] else 'denied'}" for n in tally.wrong]
        raise NotInForce("\n".join([f"not within {WITHIN} s:", *wrong, enforcer.log[-4000:]]))


def _count(tally: Tally, sent: Sequence[Flow], result: Result) -> None:
    result.sent += tally.sent
    result.seconds += tally.seconds
    for counts, found in ((result.lost, tally.lost), (result.leaked, tally.leaked)):
        counts.update({str(sent[n]): count for n, count in found.items()})


def _flavours(given: Sequence[str]) -> Iterator[str]:
    yield from given or FLAVOURS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.hitless")
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--flavour", action="append", choices=FLAVOURS, default=[])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--option", action="append", default=[], help="of netpolc enforce, as --option=--incremental")
    given = parser.parse_args()
    failed = False
    for flavour in _flavours(given.flavour):
        with tempfile.TemporaryDirectory() as folder:
            store = Folder(Path(folder) / "cluster")
            result = run(flavour, given.changes, given.seed, Path(folder) / "run", store, 100, more=given.option)
        print(f"{flavour}: {result}", flush=True)
        for words, counts in (("lost", result.lost), ("leaked", result.leaked)):
            for flow, count in counts.most_common(20):
                print(f"  {words} {count}: {flow}")
        failed |= bool(result.lost or result.leaked)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""No packet meets a verdict that neither the ruleset before a change nor the one behind it has, at full speed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from random import Random

import pytest

from compiler.backends.nftables_live import Live, next_version
from compiler.backends.nftables_print import elements, key_text, mapped_text
from compiler.backends.steps import Step, Tool
from compiler.ir.change import Change, canonical, difference
from compiler.ir.match import Field, InSet
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Drop,
    Goto,
    Hook,
    Jump,
    Lookup,
    PrefixMap,
    Return,
    Rule,
    Ruleset,
    Set,
    Verdict,
)
from compiler.lower import fastpath
from compiler.net import UDP, Family, parse_address, parse_prefix
from compiler.resolve import reach
from compiler.semantics.packet import Packet
from enforcer.dataplane import Actual
from enforcer.nftables.nft import Nft
from tests.kernel.flood import DENIED, PASSES, Flood
from tests.kernel.moving import Turn, history, meanwhile, packets, slowed, verdicts
from tests.kernel.rig import Rig

pytestmark = pytest.mark.kernel

LENGTH = 12


@pytest.fixture(scope="module")
def twin() -> Iterator[Rig]:
    with Rig() as found:
        yield found


@pytest.fixture(params=[(1024, 1 << 18), (2, 1 << 18), (3, 12), (1024, 0)], ids=str)
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where on selectors become sets, and how many pairs there are."""
    monkeypatch.setattr(reach, "SHARED_MINIMUM", request.param[0])
    monkeypatch.setattr(fastpath, "PAIR_BUDGET", request.param[1])


def wrong(rig: Rig, twin: Rig, turns: Sequence[Turn], seed: int) -> tuple[int, list[str]]:
    """How many packets were judged while rules changed, and what became of those that met a third verdict."""
    sent = packets(turns, Random(seed))
    with twin.namespace:
        still = Nft()
    with rig.namespace:
        nft = Nft()
    try:
        known = list(verdicts(twin, still, turns, sent))
        live = Live()
        nft.apply(live.load(turns[0].after))
        with Flood(rig, sent) as flood:
            for turn, before, behind in zip(turns[1:], known, known[1:], strict=False):
                flood.expect(meanwhile(before, behind))
                nft.apply(live.update(turn.change, turn.after))
            flood.expect(meanwhile(known[-1], known[-1]))
            count = flood.sent
        found = [f"lost {times} of {sent[n]}" for n, times in flood.lost.items()]
        found += [f"leaked {times} of {sent[n]}" for n, times in flood.leaked.items()]
        return count, found
    finally:
        still.close()
        nft.close()


#: A pod of the node and another one, and two elsewhere.
S, D, X, Y = (f"10.9.0.{n}" for n in (1, 2, 3, 4))
_KEY = (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT)
_DENY, _ALLOW = Goto("deny"), Return()
Ends = Mapping[str, Verdict]
NOBODY: Ends = {}


def laid_out(
    pairs: Iterable[tuple[str, str]] = (),
    egress: Ends = NOBODY,
    ingress: Ends = NOBODY,
    shared: Iterable[str] = (),
    **classes: Ends,
) -> Ruleset:
    """As lowering lays rules out, with idle rules in front of each. `classes`: chains `eg_...` and `in_...` with what
    they make of the other end, behind which they ask the set of shared addresses, and deny. Everything leads somewhere
    for an address of nobody's."""
    maps = [_map("egress4", egress), _map("ingress4", ingress)]
    leads = (Lookup(Field.SOURCE, "egress4", Family.IPV4), Lookup(Field.DESTINATION, "ingress4", Family.IPV4))
    known = Rule((InSet(_KEY, "pairs4"),), Accept(), Family.IPV4)
    chains = [Chain("forward", (known, *leads), Hook.FORWARD), Chain("deny", (Rule((), Drop()),))]
    for name, ends in classes.items():
        other = Field.DESTINATION if name.startswith("eg") else Field.SOURCE
        maps.append(_map(f"{name}-a", ends))
        asked = Rule((InSet((other,), "s4"),), _ALLOW, Family.IPV4)
        rules = (Lookup(other, f"{name}-a", Family.IPV4), asked, Rule((), _DENY))
        chains.append(Chain(name, rules, family=Family.IPV4))
    elements = sorted((*(ends_of(*one) for one in pairs), ends_of("192.0.2.8", "192.0.2.9")))
    addresses = sorted((parse_address(one)[1],) for one in (*shared, "192.0.2.9"))
    sets = (
        Set("pairs4", Family.IPV4, _KEY, tuple(elements)),
        Set("s4", Family.IPV4, (Field.SOURCE,), tuple(addresses)),
    )
    return slowed(canonical(Ruleset(tuple(chains), sets, tuple(maps))), 60)


def ends_of(source: str, destination: str) -> tuple[int, int, int, int]:
    return parse_address(source)[1], parse_address(destination)[1], UDP, 80


def _map(name: str, ends: Ends) -> PrefixMap:
    prefixes = {parse_prefix(f"{end}/32"): verdict for end, verdict in ends.items()}
    prefixes[parse_prefix("192.0.2.9/32")] = Jump("deny")
    return PrefixMap(name, Family.IPV4, tuple(sorted(prefixes.items(), key=lambda one: one[0])))


#: Two rulesets that do the same with a packet, and whether it passes: by different elements.
EXCHANGES: dict[str, tuple[Ruleset, Ruleset, Packet, bool]] = {
    "isolated, and answered": (
        laid_out(),
        laid_out(pairs=[(S, X)], egress={S: Jump("deny")}),
        Packet(S, X, UDP, 9, 80),
        True,
    ),
    "one end opens, the other one closes": (
        laid_out(egress={S: Jump("eg_s")}, ingress={D: Jump("in_d")}, eg_s={D: _ALLOW}, in_d={}),
        laid_out(egress={S: Jump("eg_s")}, ingress={D: Jump("in_d")}, eg_s={}, in_d={S: _ALLOW}),
        Packet(S, D, UDP, 9, 80),
        False,
    ),
    "known at last, and excepted": (
        laid_out(egress={S: Jump("eg_s")}, eg_s={}),
        laid_out(egress={S: Jump("eg_s")}, eg_s={X: _DENY}, shared=[X]),
        Packet(S, X, UDP, 9, 80),
        False,
    ),
    "from the set to the map": (
        laid_out(egress={S: Jump("eg_s")}, eg_s={}, shared=[X]),
        laid_out(egress={S: Jump("eg_s")}, eg_s={X: _ALLOW}),
        Packet(S, X, UDP, 9, 80),
        True,
    ),
    "another class, found in another way": (
        laid_out(egress={S: Jump("eg_s")}, ingress={D: Jump("in_d")}, eg_s={}, eg_t={D: _ALLOW}, in_d={S: _ALLOW}),
        laid_out(egress={S: Jump("eg_t")}, ingress={D: Jump("in_d")}, eg_s={}, eg_t={D: _ALLOW}, in_d={}),
        Packet(S, D, UDP, 9, 80),
        False,
    ),
}


def at_once(change: Change, names: Callable[[str], str]) -> Step:
    """What somebody would write who does not know how packets ask: all elements in one transaction."""
    lines: list[str] = []
    for verb, keys, prefixes in (("delete", change.removed, change.unmapped), ("add", change.added, change.mapped)):
        for name, found in keys.items():
            fields = _KEY if name == "pairs4" else (Field.SOURCE,)
            lines += elements(verb, names(name), [key_text(fields, Family.IPV4, key) for key in found])
        for name, ends in prefixes.items():
            whole = {**change.mapped.get(name, {})}
            texts = [mapped_text(one, whole[one]) if verb == "add" else str(one).split("/")[0] for one in ends]
            lines += elements(verb, names(name), texts)
    return Step(Tool.NFT, "\n".join(lines) + "\n")


def _as_loaded(name: str) -> str:
    return f"{name}-v1" if name in ("pairs4", "s4") else f"{name}-32-v1"


@pytest.mark.parametrize("careful", [True, False], ids=["careful", "at once"])
@pytest.mark.parametrize("what", EXCHANGES)
def test_exchanged_elements(rig: Rig, what: str, careful: bool) -> None:
    one, two, packet, passes = EXCHANGES[what]
    live, done = Live(), 0
    with rig.namespace:
        nft = Nft()
    nft.apply(live.load(one))
    changes = (difference(one, two), two), (difference(two, one), one)
    with Flood(rig, [replace(packet, sport=1000 + n) for n in range(128)]) as flood:
        flood.expect([PASSES if passes else DENIED] * 128)
        began = time.monotonic()
        while done < 60 or (not careful and not flood.lost and not flood.leaked and time.monotonic() < began + 60):
            change, after = changes[done % 2]
            if careful:
                nft.apply(live.update(change, after))
            else:
                nft.apply([at_once(change, _as_loaded)])
            done += 1
        sent = flood.sent
    nft.close()
    print(f"{sent} packets, {done} changes, {len(flood.lost)} lost, {len(flood.leaked)} leaked")
    assert bool(flood.lost or flood.leaked) != careful
    assert sent > 1000


@pytest.mark.parametrize("slow", [0, 60])
def test_no_packet_meets_a_third_verdict(rig: Rig, twin: Rig, limits: None, slow: int) -> None:
    judged = 0
    for seed in range(2 if slow else 3):
        count, found = wrong(rig, twin, history(seed, LENGTH, slow), seed)
        assert found == []
        judged += count
        rig.reset()
    print(f"{judged} packets")
    assert judged > 1000


def _begun_again(turns: Sequence[Turn], number: int) -> None:
    """What a daemon does that starts: loads beside what is there, takes away what was left, goes on with changes."""
    nft = Nft()
    live = Live(next_version(nft.read().sets))
    nft.apply(live.load(turns[number % 2].after))
    nft.apply(nft.sweep(Actual(live.chains, live.sets)))
    one, two = turns[number % 2].after, turns[(number + 1) % 2].after
    nft.apply(live.update(difference(one, two), two))
    nft.apply(live.update(difference(two, one), one))
    nft.close()


def test_killed_at_any_moment_and_begun_again(rig: Rig, twin: Rig) -> None:
    """What it was about to do is done or not; the next one needs to know nothing of it."""
    random, turns = Random(7), history(0, LENGTH)[1:3]
    sent = packets(turns, random)
    with twin.namespace:
        still = Nft()
    one, two = verdicts(twin, still, turns, sent)
    still.close()
    with rig.namespace, Flood(rig, sent) as flood:
        _begun_again(turns, 0)
        flood.expect(meanwhile(one, two))
        for _ in range(40):
            child = os.fork()
            if not child:
                with suppress(BaseException):
                    for number in count():
                        _begun_again(turns, number)
                os._exit(1)
            time.sleep(random.uniform(0.01, 0.12))
            os.kill(child, signal.SIGKILL)
            assert os.waitpid(child, 0)[1] == signal.SIGKILL, "it died by itself"
        _begun_again(turns, 0)
        assert (flood.lost, flood.leaked) == ({}, {})
        assert flood.sent > 1000
    with rig.namespace:
        nft = Nft()
    assert rig.forwarded(sent) == one
    assert {name.rpartition("-v")[0] for name in nft.read().sets} <= {
        *(found.name for found in turns[0].after.sets),
        *(f"{found.name}-{p.length}" for found in turns[0].after.maps for p, _ in found.elements),
    }
    nft.close()

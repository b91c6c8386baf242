"""Rulesets that move under packets: what each does with many packets, judged at rest, and what must hold in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from compiler.backends.nftables_live import Live
from compiler.backends.target import Backend, Target
from compiler.ir.change import Change
from compiler.ir.match import IsProtocol
from compiler.ir.ruleset import Chain, Drop, Rule, Ruleset, Set
from compiler.live.compiler import LiveCompiler
from compiler.net import Family, address_text
from compiler.semantics.packet import SCTP, TCP, UDP, Packet
from enforcer.nftables.nft import Nft
from tests.compiler.live.clusters import NODE, World
from tests.kernel.flood import DENIED, EITHER, PASSES
from tests.kernel.rig import Rig
from tests.property.scenarios import PORTS

#: A protocol that nobody uses.
_NOBODYS = 250
_PACKETS = 900


@dataclass(frozen=True, slots=True)
class Turn:
    """One change, and the ruleset that it makes."""

    change: Change
    after: Ruleset


def history(seed: int, length: int, slow: int = 0) -> list[Turn]:
    """Of a random cluster, every second one closed to pods that nobody knows; the first turn is the first ruleset.
    `slow`: so many rules that match nothing come in front of every rule, and packets stay among rules for so much
    longer."""
    compiler = LiveCompiler(Target(Backend.NFTABLES, NODE), closed=seed % 2 == 1)
    turns: list[Turn] = []
    for batch in World(Random(seed)).history(length):
        change = compiler.take(batch)
        if change or not turns:
            chains = tuple(_slowed(chain, slow) for chain in change.chains)
            turns.append(Turn(replace(change, chains=chains), slowed(compiler.ruleset(), slow)))
    return turns


def slowed(ruleset: Ruleset, slow: int) -> Ruleset:
    return replace(ruleset, chains=tuple(_slowed(chain, slow) for chain in ruleset.chains))


def _slowed(chain: Chain, slow: int) -> Chain:
    idle = [Rule((IsProtocol(_NOBODYS),), Drop())] * slow
    return replace(chain, rules=tuple(one for rule in chain.rules for one in (*idle, rule)))


def packets(turns: Iterable[Turn], random: Random) -> list[Packet]:
    """First packets between addresses that the rulesets name, on ports that they may name."""
    known: dict[Family, set[int]] = {family: set() for family in Family}
    pairs: set[tuple[Family, int, int, int, int]] = set()
    for turn in turns:
        for found in turn.after.maps:
            known[found.family].update(
                prefix.base for prefix, _ in found.elements if prefix.length == found.family.bits
            )
        for one in turn.after.sets:
            if isinstance(one, Set) and one.family is not None and len(one.key) == 4:
                pairs.update((one.family, a, b, protocol, port) for a, b, protocol, port in one.elements)
    chosen = random.sample(sorted(pairs, key=str), min(len(pairs), _PACKETS // 3))
    addresses = {family: sorted(filter(_is_usable(family), found)) for family, found in known.items()}
    families = [family for family in Family if len(addresses[family]) > 1]
    while families and len(chosen) < _PACKETS:
        family = random.choice(families)
        source, destination = random.sample(addresses[family], 2)
        chosen.append((family, source, destination, random.choice((TCP, UDP, SCTP)), random.choice(PORTS)))
    made = {
        (source, destination, protocol, port): Packet(
            address_text(family, source), address_text(family, destination), protocol, 20_000 + n, port
        )
        for n, (family, source, destination, protocol, port) in enumerate(chosen)
        if _is_usable(family)(source) and _is_usable(family)(destination) and protocol in (TCP, UDP, SCTP)
    }
    return list(made.values())


def _is_usable(family: Family):  # type: ignore[no-untyped-def]
    """Whether the rig forwards packets from and to the address."""
    if family is Family.IPV6:
        return lambda address: address >> 120 == 0xFD
    return lambda address: address >> 24 in (10, 172, 192) and address >> 8 != 0xC00002


def verdicts(rig: Rig, nft: Nft, turns: Sequence[Turn], sent: Sequence[Packet]) -> Iterator[list[bool]]:
    """What each ruleset does with the packets, loaded alone and at rest."""
    for turn in turns:
        nft.remove()
        nft.apply(Live().load(turn.after))
        yield rig.forwarded(sent)


def meanwhile(before: Sequence[bool], behind: Sequence[bool]) -> list[int]:
    """What holds while one ruleset becomes another."""
    return [(PASSES if one else DENIED) if one == two else EITHER for one, two in zip(before, behind, strict=True)]

"""Which back end a node gets when nobody says so (`--backend auto`). Pure.

nftables: a table of our own, and the cheapest rules. What others do with iptables goes on beside it, each packet passes
both. But

- where all others use iptables-legacy and nobody nf_tables, ours are there, too: a packet that passes both costs more,
  and its administrators look in one place;
- where the kernel has no nf_tables or libnftables is not installed, ours go where iptables is.

Never into two of them. A node whose rules are elsewhere, because it was decided otherwise before, gets the new ones
first; the old ones go when those are in force (`leave`): meanwhile a packet has to be let pass by both, which say the
same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NFTABLES, LEGACY, NFT_VARIANT = _ALL = "nftables", "iptables-legacy", "iptables-nft"


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody uses one of them: who, as well as can be told, and by what it is known."""

    backend: str
    who: str
    sign: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was seen on the node. `missing`: back end -> what it lacks; those that are not named can be used. `uses`: of
    others. `ours`: back ends that hold something of ours."""

    missing: Mapping[str, str] = field(default_factory=dict)
    uses: tuple[Use, ...] = ()
    ours: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """`why` and `warnings` are for people. `leave`: where ours are, and shall be no more once the new ones are in
    force."""

    backend: str
    why: str
    warnings: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()


class Impossible(Exception):
    """No back end can be used; the message has what each of them lacks."""


def choose(found: Findings) -> Choice:
    """Raises Impossible."""
    used = {backend: [use for use in found.uses if use.backend == backend] for backend in _ALL}
    order = [NFTABLES, NFT_VARIANT, LEGACY]
    if used[LEGACY] and not used[NFT_VARIANT]:
        order = [NFTABLES, LEGACY, NFT_VARIANT] if used[NFTABLES] else [LEGACY, NFTABLES, NFT_VARIANT]
    backend = next((one for one in order if one not in found.missing), None)
    if backend is None:
        raise Impossible("; ".join(f"{one}: {found.missing[one]}" for one in order))
    passed_over = [f"{one} cannot be used: {found.missing[one]}" for one in order[: order.index(backend)]]
    if not passed_over and backend == LEGACY:
        passed_over = [f"{_told(used[LEGACY])}, and nobody uses nf_tables"]
    warnings = []
    if used[LEGACY] and used[NFT_VARIANT]:
        # Packets pass both; that works, and mostly nobody meant it.
        warnings.append(f"both variants of iptables are in use: {_told(used[LEGACY])}; {_told(used[NFT_VARIANT])}")
    why = "; ".join(passed_over) or "nothing speaks against it"
    return Choice(backend, why, tuple(warnings), tuple(sorted(found.ours - {backend})))


def _told(uses: list[Use]) -> str:
    named: dict[str, str] = {}
    for use in uses:
        named.setdefault(use.who, use.sign)
    return f"{uses[0].backend} is used by " + ", ".join(f"{who} ({sign})" for who, sign in named.items())

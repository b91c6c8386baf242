"""`--profile`: what rules counted, from other files than the rules themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import click

from compiler import weighing
from compiler.backends.target import Backend
from compiler.cli import rules
from compiler.errors import Collector, NetpolcError
from compiler.optimizing import weights
from compiler.optimizing.chains import Listing
from compiler.optimizing.estimate import estimated
from compiler.ordering.ordered import comparisons, moved
from compiler.passes.order import ChainOrder
from compiler.pipeline import Artifacts, Counted
from compiler.profiles.profiles import OutOfOrder, Profile
from grammar.source import Source


def profile_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--profile and --half-life."""
    life = click.option(
        "--half-life",
        metavar="HOURS",
        type=click.IntRange(1, 10_000),
        default=24,
        show_default=True,
        help="What was counted so long before the last profile counts half.",
    )
    files = click.option(
        "--profile",
        "profiles_",
        metavar="FILE",
        multiple=True,
        help="What the same rules counted: a dump of them with counters, or a profile. The oldest first.",
    )
    return files(life(command))


def read(files: Sequence[str]) -> list[Profile]:
    """Raises Unreadable, InvalidInput: for all files together."""
    problems = Collector()
    found = [one for text in rules.texts(files, live=False) for one in weights.read(Source(*text), problems.add)]
    problems.check()
    return found


def weighed(listing: Listing, profiles: Sequence[Profile], half_life: int) -> tuple[Listing, bool]:
    """The listing with weights, and whether they are an estimate: by profiles if there are any, else by its own
    counters; estimated where nothing is counted. Its notes tell. `half_life` in hours. Raises NetpolcError for
    profiles in another order."""
    notes = list(listing.notes)
    if profiles:
        try:
            found = weights.profiled(listing, profiles, half_life * 3600)
        except OutOfOrder as error:
            raise NetpolcError(str(error)) from None
        listing = found.listing
        notes += _found(found.found, found.found + found.uncounted, found.strange, found.lost)
    every = [rule for chain in listing.chains for rule in chain.rules]
    silent = 0 if profiles else sum(not rule.counted for rule in every)
    guessed = bool(every) and not any(rule.matched for rule in every)
    if guessed:
        listing = estimated(listing)
        notes.append("weights are an estimate: no packets are counted")
    elif silent:
        notes.append(f"{silent} of {len(every)} rules have no counter and weigh nothing")
    return replace(listing, notes=tuple(notes)), guessed


def counted(files: Sequence[str], backend: Backend, half_life: int, threshold: int) -> Counted | None:
    """What profiles say of rules of a back end; None without any file. `half_life` in hours, `threshold` in percent.
    Raises NetpolcError where they say nothing of these."""
    if not files:
        return None
    found, tools = read(files), weighing.TOOLS[backend]
    if not any(profile.tool in tools for profile in found):
        raise NetpolcError(f"--profile: rules of {' or '.join(tools)} are expected, for --backend {backend.value}")
    return Counted(tuple(found), half_life * 3600, Fraction(threshold, 100))


def told(made: Artifacts) -> Iterator[str]:
    """What became of compiled rules by their profiles."""
    if made.counted is None:
        return
    found = made.counted
    yield from _found(found.found, found.rules, found.strange, found.lost)
    packets = sum((weight for chain in made.orders for weight in chain.weights), Fraction(0))
    if not packets:
        yield "no packet is counted where rules could stand in another order"
        return
    yield from _gained(made.orders, packets)


def _gained(orders: Sequence[ChainOrder], packets: Fraction) -> Iterator[str]:
    """`packets`: those that end in these chains."""
    rules_, moved_ = sum(len(chain.weights) for chain in orders), sum(moved(chain.ordering.row) for chain in orders)
    loaded = sum((comparisons(chain.weights, range(len(chain.weights))) for chain in orders), Fraction(0))
    now = sum((comparisons(chain.weights, chain.ordering.row) for chain in orders), Fraction(0))
    written = sum((chain.ordering.written for chain in orders), Fraction(0))
    cost = sum((chain.ordering.cost for chain in orders), Fraction(0))
    least = sum((chain.ordering.bound for chain in orders), Fraction(0))
    gap = (
        "proved to be the best order"
        if cost == least
        else f"at most {float(cost / least - 1):.2%} above the best order"
    )
    asked = f"{float(now / packets):.1f} rules instead of {float(loaded / packets):.1f}"
    yield f"{moved_} of {rules_} rules that could stand in another order moved, {gap}"
    yield f"packets that end there are compared with {asked}; comparing costs {float(1 - cost / written):.1%} less"


def _found(found: int, every: int, strange: int, lost: Fraction) -> Iterator[str]:
    """How much of the profiles is about these rules."""
    yield f"profiles count {found} of {every} rules" + "; the others weigh nothing" * (found < every)
    if strange:
        many = "1 rule" if strange == 1 else f"{strange} rules"
        yield f"profiles count {many} ({round(lost)} packets) that are not among these"

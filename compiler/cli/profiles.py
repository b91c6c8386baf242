"""`--profile`: what rules counted, from other files than the rules themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from compiler.cli import rules
from compiler.errors import Collector, NetpolcError
from compiler.optimizing import weights
from compiler.optimizing.chains import Listing
from compiler.optimizing.estimate import estimated
from compiler.optimizing.profiles import Profile
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


def weighed(listing: Listing, profiles: Sequence[Profile], half_life: int) -> Listing:
    """The listing with weights: by profiles if there are any, else by its own counters; by an estimate where nothing is
    counted. Its notes tell. `half_life` in hours. Raises NetpolcError for profiles in another order."""
    notes = list(listing.notes)
    if profiles:
        try:
            found = weights.profiled(listing, profiles, half_life * 3600)
        except ValueError as error:
            raise NetpolcError(str(error)) from None
        listing = found.listing
        notes += _told(found)
    every = [rule for chain in listing.chains for rule in chain.rules]
    silent = 0 if profiles else sum(not rule.counted for rule in every)
    if every and not any(rule.matched for rule in every):
        listing = estimated(listing)
        notes.append("weights are an estimate: no packets are counted")
    elif silent:
        notes.append(f"{silent} of {len(every)} rules have no counter and weigh nothing")
    return replace(listing, notes=tuple(notes))


def _told(found: weights.Weighed) -> list[str]:
    """How much of the profiles is about these rules."""
    every = found.found + found.uncounted
    told = [f"profiles count {found.found} of {every} rules" + "; the others weigh nothing" * bool(found.uncounted)]
    if found.strange:
        many = "1 rule" if found.strange == 1 else f"{found.strange} rules"
        told.append(f"profiles count {many} ({round(found.lost)} packets) that are not among these")
    return told

"""Selectors that mean nobody, rules that can never count."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.analysis.lint.findings import Finding, Level, World
from compiler.policy import PodSelector, Tier


def selects_nothing(world: World) -> Iterator[Finding]:
    """A policy that selects no pod and no workload of the input. Silent when the input has none at all."""
    for entry in world.entries if world.pods else ():
        if not world.members(entry.model.subject):
            path = ("spec", "podSelector" if entry.model.tier is Tier.APPLICATION else "subject")
            text = f"{entry.title} selects no pod and no workload of the input: {entry.model.subject}"
            yield entry.finding(Level.WARNING, "selects-nothing", text, path)


def peer_selects_nobody(world: World) -> Iterator[Finding]:
    """A peer that selects no pod and no workload of the input."""
    for entry in world.entries if world.pods else ():
        for direction, index, _ in entry.rules():
            for peer, path in entry.peers(direction, index):
                if isinstance(peer, PodSelector) and not world.members(peer):
                    text = f"this peer selects no pod and no workload of the input: {peer}"
                    yield entry.finding(Level.WARNING, "peer-selects-nobody", text, path)


def unused_direction(world: World) -> Iterator[Finding]:
    """Rules of a direction that policyTypes does not list: they allow nothing and isolate nothing."""
    for entry in world.entries:
        if entry.model.tier is Tier.APPLICATION:
            for direction in {d for d, _, _ in entry.rules()} - entry.model.isolates:
                name = direction.value.capitalize()
                text = f"the {direction.value} rules of {entry.title} never count: policyTypes does not list {name}"
                yield entry.finding(Level.ERROR, "unused-direction", text, ("spec", direction.value), on_key=True)

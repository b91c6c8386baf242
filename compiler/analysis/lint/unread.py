"""Rules that cannot mean all that they say, in a compile from this input."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.analysis.lint.findings import Finding, Level, World
from compiler.policy import Domains, NodeSelector
from compiler.translate import closed


def fails_closed(world: World) -> Iterator[Finding]:
    """A rule of a cluster-wide policy of which not all can be read."""
    for entry in world.entries:
        for origin in closed([entry.located]):
            field, _, rest = origin.place.partition("[")
            text = "not all of this can be read: an Accept rule matches nothing, any other denies all"
            yield entry.finding(Level.ERROR, "fails-closed", text, ("spec", field, int(rest.rstrip("]"))))


def no_answers(world: World) -> Iterator[Finding]:
    """domainNames in a compile from files, and nodes where the input has no Node."""
    for entry in world.entries:
        for direction, index, _ in entry.rules():
            for peer, path in entry.peers(direction, index):
                if isinstance(peer, Domains):
                    text = "domainNames match nothing: files hold no DNS answers"
                    yield entry.finding(Level.WARNING, "domains-unknown", text, path)
                elif isinstance(peer, NodeSelector) and not world.snapshot.nodes:
                    text = "this peer matches no node: the input holds no Node objects"
                    yield entry.finding(Level.WARNING, "nodes-unknown", text, path)

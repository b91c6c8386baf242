"""How deep definitions are nested in each other: everything behind asks ends of ends of ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from grammar import dsl_tree as t

#: Names in names, and braces between them, at most.
DEEPEST = 64


def too_deep(definitions: Mapping[str, t.Definition]) -> list[str]:
    """The names whose definitions are nested deeper than that while none that they are made of is. What is defined by
    itself has no depth here."""
    heights: dict[str, int] = {}
    found: list[str] = []
    begun: set[str] = set()
    left = [*definitions][::-1]
    while left:
        name = left[-1]
        parts = [(part, depth) for part, depth in _parts(definitions[name]) if part in definitions]
        waiting = [part for part, _ in parts if part not in begun]
        if name not in begun and waiting:
            begun.add(name)
            left += waiting
            continue
        begun.add(name)
        left.pop()
        if name not in heights:
            heights[name] = max((heights.get(part, 0) + depth for part, depth in parts), default=1)
            if heights[name] > DEEPEST:
                found.append(name)
                heights[name] = 0  # told, and nothing to whoever is made of it
    return found


def _parts(node: t.Definition) -> Iterator[tuple[str, int]]:
    """(name, how deep it stands) of the names that a definition is made of."""
    match node:
        case t.SetDefinition(entries=entries):
            yield from ((one.text, 1) for one in entries if isinstance(one, t.Name))
        case t.ServiceDefinition(ports=ports):
            yield from ((one.text, 1) for one in ports.sets if isinstance(one, t.Name))
        case t.ZoneDefinition(meaning=meaning):
            yield from _of_terms((*meaning.terms, meaning.without), 1)


def _of_terms(terms: Iterable[t.Term | None], depth: int) -> Iterator[tuple[str, int]]:
    for term in terms:
        if isinstance(term, t.Name):
            yield term.text, depth
        elif isinstance(term, t.Group):
            for end in term.ends:
                yield from _of_terms((*end.terms, end.without), depth + 1)

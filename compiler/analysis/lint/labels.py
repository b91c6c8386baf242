"""Labels that nobody has, and that look like others: slips of the pen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.analysis.lint.findings import Finding, Level, Path, World
from compiler.policy import NodeSelector, PodSelector, Requirement, Selector

_WELL_KNOWN = frozenset(
    {
        "kubernetes.io/metadata.name",
        *(
            f"app.kubernetes.io/{name}"
            for name in ("name", "instance", "version", "component", "part-of", "managed-by")
        ),
        *("kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "k8s-app"),
    }
)
#: Shorter texts are close to each other by chance.
_SHORTEST = 4


def label_typo(world: World) -> Iterator[Finding]:
    """A key that no object of the input has and that is one or two letters away from one that they have or that
    everybody knows; or a value like that, of a key that is there."""
    pods = _labels(pod.labels for pod in world.pods)
    spaces = _labels(one.labels for one in world.snapshot.namespaces.values())
    nodes = _labels(one.labels for one in world.snapshot.nodes.values())
    for entry in world.entries:
        places: list[tuple[PodSelector | NodeSelector, Path]] = [
            (entry.model.subject, ("spec", "podSelector" if entry.model.origin.kind == "NetworkPolicy" else "subject"))
        ]
        for direction, index, _ in entry.rules():
            for peer, path in entry.peers(direction, index):
                if isinstance(peer, PodSelector | NodeSelector):
                    places.append((peer, path))
        for chosen, path in places:
            parts: list[tuple[Selector, Mapping[str, set[str]]]] = []
            if isinstance(chosen, NodeSelector):
                parts.append((chosen.nodes, nodes))
            else:
                parts.append((chosen.pods, pods))
                if isinstance(chosen.namespaces, Selector):
                    parts.append((chosen.namespaces, spaces))
            for selector, known in parts:
                for wanted in selector.requirements:
                    for said, meant in _slips(wanted, known):
                        text = f"nothing in the input has {said}: did you mean {meant}?"
                        yield entry.finding(Level.WARNING, "label-typo", text, path)


def _labels(objects: Iterator[Mapping[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for labels in objects:
        for key, value in labels.items():
            found.setdefault(key, set()).add(value)
    return found


def _slips(wanted: Requirement, known: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """(what is written, what is likely meant). Only of what asks for a label to be there."""
    if wanted.operator not in ("In", "Exists") or wanted.key in _WELL_KNOWN - known.keys():
        return
    if wanted.key not in known:
        close = _closest(wanted.key, known.keys() | _WELL_KNOWN)
        if close is not None:
            yield f"the label {wanted.key}", close
        return
    for value in wanted.values:
        if value not in known[wanted.key]:
            close = _closest(value, known[wanted.key])
            if close is not None:
                yield f"{wanted.key}={value}", f"{wanted.key}={close}"


def _closest(text: str, known: set[str]) -> str | None:
    if len(text) < _SHORTEST:
        return None
    near = [(distance(text, one), one) for one in known if abs(len(one) - len(text)) <= 2 and len(one) >= _SHORTEST]
    # Names that differ in their digits alone (web-1, web-2) are different on purpose.
    near = [(far, one) for far, one in near if far <= (1 if len(text) < 8 else 2) and _letters(one) != _letters(text)]
    return min(near)[1] if near else None


def _letters(text: str) -> str:
    return "".join(c for c in text if not c.isdigit())


def distance(one: str, two: str) -> int:
    """Levenshtein's: insertions, deletions and changes of single characters."""
    row = list(range(len(two) + 1))
    for n, a in enumerate(one, 1):
        before, row[0] = row[0], n
        for m, b in enumerate(two, 1):
            before, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, before + (a != b))
    return row[-1]

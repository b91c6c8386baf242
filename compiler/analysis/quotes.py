"""Policies as people wrote them: where a part stands, and its lines."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.semantics.verdict import AnyPolicy
from compiler.sources.manifests import Located
from grammar.source import printable

#: Lines of one part that are shown at most, and columns of a line.
_LINES, _WIDTH = 12, 110


class Quotes:
    """The places and lines of policies. Policies are known by identity: two may be equal."""

    def __init__(self, policies: Iterable[Located]) -> None:
        self._located = {id(one.value): one for one in policies}
        self._lines: dict[int, list[str]] = {}

    def place(self, policy: AnyPolicy, *path: str | int) -> str:
        """`FILE:LINE` of the policy, or of a part of it."""
        return self._located[id(policy)].at(*path).file_line

    def lines(self, policy: AnyPolicy, *path: str | int) -> tuple[str, ...]:
        """The lines of a part, numbered; long parts and long lines are cut."""
        tree = self._located[id(policy)].tree
        span, source = tree.span(*path), tree.source
        if source.first_column > 1:
            return tree.flaw(path, "", "").excerpt
        lines = self._lines.setdefault(id(source), [])
        if not lines:
            lines += source.text.split("\n")
        shown = lines[span.line - source.first_line : span.end_line - source.first_line + 1]
        if len(shown) == 1 and len(shown[0]) > _WIDTH:
            return tree.flaw(path, "", "").excerpt
        cut = len(shown) - _LINES
        if cut > 1:
            shown = shown[:_LINES]
        found = [f"{number:>5} | {printable(line.rstrip())[:_WIDTH]}" for number, line in enumerate(shown, span.line)]
        return (*found, f"      | ... {cut} more lines") if cut > 1 else tuple(found)


def title(policy: AnyPolicy) -> str:
    """`NAMESPACE/NAME` of a NetworkPolicy, `KIND NAME` of the others."""
    name = policy.metadata.name or f"{policy.metadata.generate_name}..."
    if policy.kind == "NetworkPolicy":
        return f"{policy.metadata.namespace or 'default'}/{name}"
    return f"{policy.kind} {name}"

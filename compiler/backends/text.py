"""What every script has in common: comments that cannot end early, and its head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.errors import Unsupported


def comment(text: str) -> str:
    """A `#` line. File names and the like may hold anything: what could end the line or continue it is replaced."""
    return "# " + "".join(c if c.isprintable() and c != "\\" else "?" for c in text)


def comments(lines: Iterable[str]) -> Iterator[str]:
    """`comment` for each line."""
    return map(comment, lines)


def refuse(feature: str, backend: str) -> Unsupported:
    """The error for what a back end cannot express; nothing is ever approximated."""
    return Unsupported(f"{backend} cannot express {feature}")

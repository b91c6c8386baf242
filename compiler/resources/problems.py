"""Problem: what is wrong with one place of an object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

#: API field names and list indexes, from the object's top.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` names the value that is wrong, or its key when `on_key`; a missing field's path does not exist, its
    parent does. `message` says what is wrong and what was expected, `code` is the rule's stable short name."""

    path: Path
    message: str
    code: str
    on_key: bool = False
    severity: Literal["error", "warning"] = "error"

    def as_warning(self) -> Problem:
        """The same, for an object that is taken all the same."""
        return replace(self, severity="warning")


def path_text(path: Path) -> str:
    """`spec.ingress[0].from[1]`, as the API server writes paths; keys with dots or slashes in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{printable(step)}]"
    return text


def printable(text: str) -> str:
    """The text on one line, with escapes for what no terminal shows."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)

"""What every script has in common: comments that cannot end early, and the error for what cannot be said."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from compiler.errors import Unsupported
from compiler.ir.ruleset import Lookup, Rule

#: Characters a comment line. `ipset restore` reads 1,023 bytes at a time and iptables-restore 10,239: they would take
#: the rest of a longer line for a command. A character is four bytes at most.
_WIDTH = 200


def comments(*texts: str) -> Iterator[str]:
    """`#` lines. File names and the like may hold anything: what could end a line or continue it is replaced, and
    what is long goes on in the next line."""
    for text in texts:
        clean = "".join(c if c.isprintable() and c != "\\" else "?" for c in text)
        indent = " " * min(len(clean) - len(clean.lstrip()), 8)
        lines = textwrap.wrap(indent + clean.lstrip(), _WIDTH, subsequent_indent=f"{indent}    ", drop_whitespace=False)
        yield from (f"# {line.rstrip()}" for line in lines)


def noted(rules: Iterable[Rule | Lookup]) -> Iterator[tuple[str, Rule | Lookup]]:
    """Every rule with the note to print above it: empty when the rule before has the same one."""
    before = ""
    for rule in rules:
        note = rule.note if isinstance(rule, Rule) else ""
        yield "" if note == before else note, rule
        before = note


def refuse(feature: str, backend: str) -> Unsupported:
    """The error for what a back end cannot express; nothing is ever approximated."""
    return Unsupported(f"{backend} cannot express {feature}")

"""Jumps from the hooks of iptables into our chains: first in their hooks, and each of them once. Pure.

A text of the back end inserts its jumps each time it is loaded. What is in force already is taken out of the text, and
what stands elsewhere is deleted by it: one restore is one step for the kernel, so no packet meets a hook without a
jump. Rules are deleted by their words and not by their numbers, which others change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compiler.backends.iptables_rules import PREFIX
from enforcer.iptables.xtables import HOOKS

_LINE = re.compile(
    rf"^(?:\*(?P<table>\w+)$|:{PREFIX}(?P<base>{'|'.join(HOOKS)}) |-I (?P<hook>\w+) 1(?P<words> .*)|-X (?P<gone>\S+)$)",
    re.MULTILINE,
)
#: To a chain of ours, in a rule as iptables prints it.
_LEADS = re.compile(rf" -[jg] ({PREFIX}\S+)$")


class Place(NamedTuple):
    """A hook of a table."""

    table: str
    hook: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a text says of jumps. `jumps`: the words of the jump at each place whose base chain it declares, "" when
    there shall be none. `gone`: chains that it deletes, by table."""

    jumps: Mapping[Place, str]
    gone: Mapping[str, frozenset[str]]


def wanted(text: str) -> Wanted:
    """Read from a text for iptables-restore."""
    jumps: dict[Place, str] = {}
    gone: dict[str, set[str]] = {}
    table = ""
    for found in _LINE.finditer(text):
        if found["table"]:
            table = found["table"]
        elif found["base"]:
            jumps.setdefault(Place(table, found["base"]), "")
        elif found["hook"]:
            jumps[Place(table, found["hook"])] = found["words"].strip()
        else:
            gone.setdefault(table, set()).add(found["gone"])
    return Wanted(jumps, {table: frozenset(names) for table, names in gone.items()})


def leading(listed: Iterable[str], targets: Collection[str]) -> Iterator[str]:
    """Of rules as iptables-save prints them (`-A CHAIN ...`), those of others that lead to one of these chains."""
    for line in listed:
        found = _LEADS.search(line)
        if found and found[1] in targets and not line.startswith(f"-A {PREFIX}"):
            yield line


def placed(text: str, there: Collection[Place], stale: Mapping[str, Sequence[str]]) -> str:
    """The text without the jumps that are `there`, with commands that delete the `stale` rules of each table, as
    iptables-save printed them, before anything else happens."""
    lines: list[str] = []
    left = dict(stale)
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-I ") and Place(table, line.split(" ", 2)[1]) in there:
            line = "# It is there."  # lines keep their numbers in what the tool says of them
        elif (line.startswith("-") or line == "COMMIT") and table in left:
            lines += (f"-D{rule[2:]}" for rule in left.pop(table))
        lines.append(line)
    return "\n".join([*lines, ""])


def removing(table: str, chains: Sequence[str]) -> str:
    """A section that deletes these chains, whatever is in them."""
    declared = [f":{name} - [0:0]" for name in chains]
    return "\n".join([f"*{table}", *declared, *(f"-X {name}" for name in chains), "COMMIT", ""])

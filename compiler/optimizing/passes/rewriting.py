"""Rules of iptables with other words in some places."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from compiler.optimizing.chains import Rule
from compiler.optimizing.readers import iptables_rules
from grammar.iptables import Command, Option, tables
from grammar.source import Source

#: From, up to, and what stands there now.
Edit = tuple[int, int, str]


def cut(command: Command, option: Option) -> Edit:
    """The option goes, with the blank in front of it."""
    whole = command.place.source.text
    start = option.place.start
    while start > command.place.start and whole[start - 1].isspace():
        start -= 1
    return start, option.place.end, ""


def rewritten(rule: Rule, command: Command, edits: Iterable[Edit], own: Collection[str]) -> Rule:
    """`command` is what the rule says; `own`: chains of its table that rules may lead to. Counters are kept."""
    whole = command.place.source.text
    pieces, at = list[str](), command.place.start
    for start, end, words in sorted(edits):
        pieces += [whole[at:start], words]
        at = end
    body = "".join([*pieces, whole[at : command.place.end]])
    if body.startswith("["):
        body = body.partition("]")[2].lstrip()
    if rule.text.startswith("["):
        body = f"{rule.text.partition(']')[0]}] {body}"
    (table,) = tables(Source(rule.place.source.name, f"*table\n{body}\nCOMMIT\n"))
    new = iptables_rules.rule(table.commands[0], own)
    return replace(new, place=rule.place, packets=rule.packets, bytes=rule.bytes)

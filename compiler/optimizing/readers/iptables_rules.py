"""iptables-save text -> its chains."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import takewhile

from compiler.optimizing.chains import Chain, Listing, Policy, Rule
from compiler.optimizing.readers.asked import asked
from compiler.ordering.prices import Tool
from grammar.iptables import Command, Table, tables
from grammar.source import Source

_TARGETS = ("-j", "-g", "--jump", "--goto")
_MATCHES = ("-m", "--match")


def listing(source: Source, tool: Tool) -> Listing:
    """Raises Refused for what is no iptables-save."""
    return Listing(source, tool, tuple(chain for n, table in enumerate(tables(source)) for chain in _chains(n, table)))


def _chains(block: int, table: Table) -> Iterator[Chain]:
    """In the order of their first rules, those without any last."""
    found: dict[str, list[Command]] = {}
    policies: dict[str, list[Command]] = {}
    for command in table.commands:
        if command.verb in ("-A", "-I"):
            found.setdefault(command.chain.text, []).append(command)
        elif command.verb == "-P":
            policies.setdefault(command.chain.text, []).append(command)
    own = {command.chain.text for command in table.commands if command.verb == "-N"}
    for command in table.commands:
        found.setdefault(command.chain.text, [])
    for name, commands in found.items():
        inserted = any(command.verb == "-I" for command in commands)
        rules = tuple(rule(command, own) for command in commands)
        slots = tuple(command.place for command in commands)
        fixed = "rules are inserted there" * inserted
        policy = _policy(*policies.get(name, ()))
        yield Chain(block, table.name.text, name, name in own, rules, slots, fixed, policy)


def _policy(*commands: Command) -> Policy | None:
    """Of a line like `:FORWARD DROP [0:0]` that is the only one for its chain."""
    if len(commands) != 1 or not commands[0].place.text.startswith(":"):
        return None
    (command,) = commands
    return Policy(command.place, command.place.text, f"-j {command.policy}", command.packets, command.bytes)


def rule(command: Command, own: Collection[str]) -> Rule:
    """A rule that is appended or inserted; `own`: the chains of its table that rules may lead to."""
    does = " ".join(_does(command))
    return Rule(
        command.place,
        command.place.text,
        command,
        asked(command, own),
        command.place.text.startswith("["),
        command.packets,
        command.bytes,
        does,
        _comment(command),
        does == "-j RETURN",
    )


def _does(command: Command) -> Iterator[str]:
    """The target with its options, up to the next match."""
    at = next((n for n, option in enumerate(command.options) if option.name in _TARGETS), len(command.options))
    for option in takewhile(lambda option: option.name not in _MATCHES, command.options[at:]):
        name = {"--jump": "-j", "--goto": "-g"}.get(option.name, option.name)
        yield from ["!"] * option.negated
        yield from (name, *(word.text for word in option.values))


def _comment(command: Command) -> str:
    found = [option.values[0].text for option in command.options if option.name == "--comment" and option.values]
    return found[0] if found else ""

"""Texts of iptables-save and iptables-restore -> tables of the ruleset model.

The text is read as if it were loaded into a kernel without rules, for one family. What a rule asks beyond the model is
kept as an opaque match or a barrier (`iptables_matches`), targets beyond it as Unmodelled (`iptables_targets`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from compiler.semantics.rules.iptables_matches import RuleMatches
from compiler.semantics.rules.iptables_targets import target
from compiler.semantics.rules.netfilter import (
    Base,
    Chain,
    Condition,
    Field,
    Goto,
    Hook,
    In,
    InSet,
    Jump,
    Rule,
    Statement,
    Table,
)
from compiler.semantics.rules.reads_ipset import IpSet
from grammar import iptables
from grammar.iptables import Command, Option, Word
from grammar.source import Source

_EVERY = tuple(Hook)
#: Table -> its base chains and their priority (include/uapi/linux/netfilter_ipv4.h); of nat see `_base`.
_TABLES: Mapping[str, tuple[int, tuple[Hook, ...]]] = {
    "raw": (-300, (Hook.PREROUTING, Hook.OUTPUT)),
    "mangle": (-150, _EVERY),
    "nat": (-100, (Hook.PREROUTING, Hook.INPUT, Hook.OUTPUT, Hook.POSTROUTING)),
    "filter": (0, (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT)),
    "security": (50, (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT)),
}
_SOURCE_NAT = 100
_OF_FAMILY = (Field.SOURCE, Field.DESTINATION, Field.HOPS)
_FOR_THE_OTHER = {4: ("-6", "--ipv6"), 6: ("-4", "--ipv4")}
_TARGET = {"-j", "--jump", "-g", "--goto"}


def read(source: Source, family: int, sets: Mapping[str, IpSet]) -> tuple[Table, ...]:
    """Every table of the text; `family` is 4 or 6. `sets` are those that its rules may ask. Raises Refused."""
    return tuple(_Table(text, family, sets).read() for text in iptables.tables(source))


@dataclass(slots=True)
class _Growing:
    """A chain while its text is read."""

    base: Base | None
    rules: list[list[Rule]] = field(default_factory=list)


class _Table:
    def __init__(self, text: iptables.Table, family: int, sets: Mapping[str, IpSet]) -> None:
        if text.name.text not in _TABLES:
            raise text.name.place.refused(f"there is no table {text.name.text}")
        self._text = text
        self._family = family
        self._own_family = In(Field.FAMILY, ((family, family),))
        self._sets = sets
        self._chains: dict[str, _Growing] = {}

    def read(self) -> Table:
        name = self._text.name.text
        for command in self._text.commands:
            if command.verb == "-N":
                self._declare(command)
        for command in self._text.commands:
            match command.verb:
                case "-P":
                    self._set_policy(command)
                case "-A":
                    self._chain(command.chain).rules.append(list(self._rules(command)))
                case "-I":
                    found = self._chain(command.chain).rules
                    if command.number > len(found) + 1:
                        raise command.place.refused(f"the chain has only {len(found)} rules")
                    found.insert(command.number - 1, list(self._rules(command)))
        chains = {
            name: Chain(name, tuple(rule for rules in found.rules for rule in rules), found.base)
            for name, found in self._chains.items()
        }
        sets = {name: found.content for name, found in self._sets.items()}
        return Table(name, frozenset({self._family}), chains, sets)

    def _declare(self, command: Command) -> None:
        name = command.chain.text
        if _base(self._text.name.text, name) is not None:
            raise command.chain.place.refused(f"{name} is a chain of the hook and has a policy")
        if name in self._chains:
            raise command.chain.place.refused(f"the chain {name} is declared twice")
        self._chains[name] = _Growing(None)

    def _set_policy(self, command: Command) -> None:
        chain = self._chain(command.chain)
        if chain.base is None or command.policy not in ("ACCEPT", "DROP"):
            raise command.place.refused("a policy is ACCEPT or DROP, and only chains of hooks have one")
        chain.base = replace(chain.base, accepts=command.policy == "ACCEPT")

    def _chain(self, name: Word) -> _Growing:
        """A chain that was declared, or one of a hook, which is always there."""
        found = self._chains.get(name.text)
        if found is None:
            base = _base(self._text.name.text, name.text)
            if base is None:
                raise name.place.refused(f"the chain {name.text} is not declared")
            found = self._chains[name.text] = _Growing(base)
        return found

    def _rules(self, command: Command) -> Iterator[Rule]:
        """Mostly one; none when the rule is only for the other family; two for one that asks either port."""
        if any(option.name in _FOR_THE_OTHER[self._family] for option in command.options):
            return
        at = next((n for n, option in enumerate(command.options) if option.name in _TARGET), len(command.options))
        targets = command.options[at:]
        matches = RuleMatches(self._family, self._sets)
        for option in command.options[:at]:
            matches.take(option)
        own = []
        for option in targets[1:]:
            # Matches may follow the target, which has no options of such names itself.
            if option.name in _TARGET:
                raise option.place.refused("a second target")
            if matches.expects(option):
                matches.take(option)
            else:
                own.append(option)
        end = self._target(targets[0], tuple(own)) if targets else ()
        for conditions in matches.alternatives(command.place):
            yield Rule((*self._family_first(conditions), *end), command.place)

    def _family_first(self, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        """What a rule asks of addresses or hops is meant for the text's family."""
        asks = any(isinstance(c, InSet) or (isinstance(c, In) and c.field in _OF_FAMILY) for c in conditions)
        return (self._own_family, *conditions) if asks else conditions

    def _target(self, option: Option, own: tuple[Option, ...]) -> tuple[Statement, ...]:
        if len(option.values) != 1 or option.negated:
            raise option.place.refused("one target is expected")
        name = option.values[0].text
        if name in self._chains:
            if own:
                raise own[0].place.refused(f"{own[0].name} is not understood here", "unsupported")
            if self._chains[name].base is not None:
                raise option.place.refused(f"{name} is a chain of the hook, which nothing jumps to")
            return (Goto(name) if option.name in ("-g", "--goto") else Jump(name),)
        if option.name in ("-g", "--goto"):
            raise option.place.refused(f"the chain {name} is not declared")
        return target(option, name, own, self._family)


def _base(table: str, chain: str) -> Base | None:
    priority, hooks = _TABLES[table]
    hook = next((hook for hook in hooks if hook.value.upper() == chain), None)
    if hook is None:
        return None
    if table == "nat" and hook in (Hook.INPUT, Hook.POSTROUTING):
        priority = _SOURCE_NAT
    return Base(hook, priority, nat=table == "nat")

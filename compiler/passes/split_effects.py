"""Effects that need a rule of their own get one.

iptables has one target a rule. In nft, an effect that asks something of its own (a limit, the SYN flag) would end the
rule and take the verdict with it, and what is written into a header of IP is written for one family. Such a rule now
leads to a chain of its effects and its verdict: its matches are asked once, before any effect, and a packet that they
do not mean passes one rule as before.

Precondition: none. Preserved: the verdict of every packet, and what is done to it, in the same order. Rules with the
same effects, verdict and origins share a chain, and the limits in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compiler.backends.target import Capabilities
from compiler.ir.effects import ClampMss, Effect, Log, SetDscp, SetMss, Step, Ttl
from compiler.ir.match import InSet, IsProtocol
from compiler.ir.names import Namer
from compiler.ir.nat import Dnat, Redirect
from compiler.ir.places import naming
from compiler.ir.ruleset import (
    Accept,
    Answer,
    Chain,
    Continue,
    Goto,
    Jump,
    Lookup,
    PrefixSet,
    Reject,
    Return,
    Rule,
    Ruleset,
)
from compiler.net import Family


def split_effects(ruleset: Ruleset, capabilities: Capabilities) -> Ruleset:
    """The ruleset with rules that the target can print; unchanged when there is nothing to split."""
    return _Split(ruleset, capabilities).result()


class _Split:
    def __init__(self, ruleset: Ruleset, capabilities: Capabilities) -> None:
        self._ruleset = ruleset
        self._capabilities = capabilities
        self._added: dict[str, Chain] = {}
        #: By the identity of what rules for one statement share, and so the answer.
        self._known: dict[tuple[object, ...], Jump | Goto] = {}
        self._ones: dict[tuple[int, ...], bool] = {}
        self._namer = Namer()
        self._prefix_sets = {found.name for found in ruleset.sets if isinstance(found, PrefixSet)}

    def result(self) -> Ruleset:
        chains = [self._chain(chain) for chain in self._ruleset.chains]
        if all(new is old for new, old in zip(chains, self._ruleset.chains, strict=True)):
            return self._ruleset
        return replace(self._ruleset, chains=(*chains, *self._added.values()))

    def _chain(self, chain: Chain) -> Chain:
        if not any(isinstance(rule, Rule) and rule.effects for rule in chain.rules):
            return chain
        rules: list[Rule | Lookup] = []
        for rule in chain.rules:
            rules.extend(self._rules(rule, chain) if isinstance(rule, Rule) and rule.effects else (rule,))
        return replace(chain, rules=tuple(rules))

    def _rules(self, rule: Rule, chain: Chain) -> Iterator[Rule]:
        family = rule.family or chain.family
        if not rule.matches or (self._is_one(rule, family) and not self._counts_apart(rule)):
            yield from self._parts(rule, family)
        else:
            named = naming(rule.matches)
            key = (*map(id, (rule.effects, rule.verdict, rule.origins, rule.note, chain.table, family)), named)
            there = self._known.get(key)
            if there is None:
                there = self._known[key] = self._aside(rule, chain, family, named)
            yield Rule(rule.matches, there, rule.family, rule.origins, rule.weight, rule.note)

    def _is_one(self, rule: Rule, family: Family | None) -> bool:
        """Whether it can be printed as one rule, or as one for each family: then the matches may be asked twice, as
        every packet is of one family."""
        key = id(rule.effects), id(rule.verdict), id(rule.family), id(family)
        found = self._ones.get(key)
        if found is None:
            alone = len(rule.effects) == 1 and rule.verdict == Continue()
            found = self._ones[key] = alone or len(list(self._parts(rule, family))) == 1
        return found

    def _aside(self, rule: Rule, chain: Chain, family: Family | None, protocol: IsProtocol | None) -> Jump | Goto:
        """The way to a chain of its effects and its verdict."""
        # In a base chain, Accept is what comes of returning to it. Jump comes back here, and so does Continue.
        verdict = Return() if rule.verdict == Accept() else rule.verdict
        # The rule has asked for its protocol; some statements want that in their own rule.
        asked = () if protocol is None else (protocol,)
        inner = replace(rule, matches=asked, verdict=verdict, note="", weight=None)
        rules = tuple(_without_need(part) for part in self._parts(inner, family))
        stem = "-".join(type(effect).__name__ for effect in rule.effects)
        said = [(part.matches, part.effects, part.verdict, part.family) for part in rules]
        name = self._namer.name("do", stem, f"{chain.table} {family} {said} {[*map(str, rule.origins)]}")
        self._added.setdefault(name, Chain(name, rules, table=chain.table, family=family, notes=(_about(rule),)))
        return Jump(name) if isinstance(rule.verdict, Continue | Jump) else Goto(name)

    def _counts_apart(self, rule: Rule) -> bool:
        """Whether a limit would be one for each of several rules that this one is going to be."""
        asked = [match.set for match in rule.matches if isinstance(match, InSet)]
        many = not self._capabilities.prefix_sets and any(name in self._prefix_sets for name in asked)
        return many and any(isinstance(effect, Log) and effect.limit for effect in rule.effects)

    def _parts(self, rule: Rule, family: Family | None) -> Iterator[Rule]:
        """The rule as rules that can be printed, each with the same matches."""
        group: list[Effect] = []
        for effect in rule.effects:
            if not self._is_alone(effect, family):
                group.append(effect)
                continue
            if group:
                yield replace(rule, effects=tuple(group), verdict=Continue())
                group = []
            families = (
                self._ruleset.families if family is None and isinstance(effect, SetDscp | Ttl) else (rule.family,)
            )
            for one in families:
                yield replace(rule, effects=(effect,), verdict=Continue(), family=one)
        if group or rule.verdict != Continue():
            yield replace(rule, effects=tuple(group))

    def _is_alone(self, effect: Effect, family: Family | None) -> bool:
        match effect:
            case Log(_, _, limit):
                alone = limit is not None
            case ClampMss() | SetMss():
                alone = True
            case Ttl(step):
                alone = family is None or (step is not Step.SET and not self._capabilities.hop_arithmetic)
            case SetDscp():
                alone = family is None
            case _:
                alone = False
        return alone or not self._capabilities.statements


def _without_need(rule: Rule) -> Rule:
    """The rule without its protocol when nothing in it needs that."""
    needs = any(isinstance(effect, ClampMss | SetMss) for effect in rule.effects)
    match rule.verdict:
        case Reject(Answer.TCP_RESET) | Dnat(_, int()) | Redirect():
            needs = True
        case _:
            pass
    return rule if needs else replace(rule, matches=())


def _about(rule: Rule) -> str:
    """For the reader of the script."""
    return "; ".join(dict.fromkeys(str(origin) for origin in rule.origins)) or rule.note or "effects of a rule"

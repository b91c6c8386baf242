"""Policy and node blocks of a program -> chains in front of Kubernetes' stages, and the node's own list.

    FORWARD  replies | blocks -> policies
    INPUT    replies | of this node's pods: blocks -> policies -> node list
    OUTPUT   replies | not of the node itself: blocks -> policies -> node list

Blocks are one list, the first match decides. All of these chains are reached by goto, so that Return ends our part of
the hook; what stood in a base chain behind replies moves into a chain of its own, `policies`, where blocks lead that
decide nothing. A block denies by a jump: what no policy may deny comes back, and to the end of the blocks; the node's
list spares nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from compiler.backends.target import Target
from compiler.ir import effects
from compiler.ir.match import Per, Rate
from compiler.ir.ruleset import Accept, Answer, Chain, Drop, Goto, Hook, Jump, Lookup, Return, Ruleset, Table, Verdict
from compiler.ir.ruleset import Rule as Line
from compiler.lower.asking import Asking, Question
from compiler.lower.deny import DENY, NONE_BESIDES, Denials, answering, rejecting
from compiler.lower.segments import Segments
from compiler.net import Family, union
from compiler.policy import Origin
from compiler.resolve.ends import Ends, Here, Side, is_node
from compiler.resources.language import Log, Program, Rule, every_rule

#: Who is met at the two ends of each hook.
SIDES: Mapping[Hook, tuple[Side, Side]] = {
    Hook.FORWARD: (Side(Here.ASKED), Side(Here.ASKED)),
    Hook.INPUT: (Side(Here.ASKED), Side(Here.ALWAYS, interfaces=False)),
    Hook.OUTPUT: (Side(Here.ALWAYS, interfaces=False), Side(Here.ASKED)),
}
_NODE_LISTS = {Hook.INPUT: "node-in", Hook.OUTPUT: "node-out"}
_ABOUT = {Hook.INPUT: "to this node itself", Hook.OUTPUT: "from this node itself"}


@dataclass(frozen=True, slots=True)
class Written:
    """A rule, and where it stands."""

    rule: Rule
    origin: Origin


def of_blocks(program: Program, tier: Literal["admin", "baseline"] = "admin") -> Iterator[Written]:
    """The rules of all policy blocks of a tier in the order in which they are asked."""
    blocks = (block for block in program.policies if block.tier == tier)
    for block in sorted(blocks, key=lambda block: (block.priority, block.name)):
        for n, rule in enumerate(every_rule(block.rules)):
            yield Written(rule, Origin("policy", "", block.name, f"rule[{n}]", rule.span))


def of_node(rules: Iterable[Rule], name: str = "block") -> Iterator[Written]:
    """The rules of the node's list, in their order."""
    for n, rule in enumerate(rules):
        yield Written(rule, Origin("node", "", name, f"rule[{n}]", rule.span))


def denials(program: Program, ends: Ends, target: Target) -> Denials:
    """What the program needs of the end of denied packets."""
    rules = [one.rule for one in of_blocks(program)]
    answers = [_answer(rule) for rule in rules if rule.verb == "reject"]
    own = {family: ends.selves(family) for family in target.families}
    return Denials(tuple(dict.fromkeys(answers)), own) if rules else NONE_BESIDES


class ProgramFront:
    """What a program puts in front of a ruleset. `failsafe`: rules in front of the node's list."""

    def __init__(self, program: Program, ends: Ends, target: Target, failsafe: Iterable[Rule] = ()) -> None:
        self._target = target
        self._ends = ends
        self._asking = Asking(ends, target.capabilities)
        self._blocks = tuple(of_blocks(program))
        self._node = (*of_node(failsafe, "failsafe"), *of_node(every_rule(program.node)))

    def before(self, ruleset: Ruleset) -> Ruleset:
        """The ruleset with the program in front of its base chains."""
        chains: list[Chain] = []
        for chain in ruleset.chains:
            chains.extend((chain,) if chain.hook is None else self._hooked(chain, chain.hook))
        answers = dict.fromkeys(_answer(one.rule) for one in self._node if one.rule.verb == "reject")
        chains += (Chain(_plainly(one), tuple(rejecting(one)), notes=("what the node rejects",)) for one in answers)
        return replace(ruleset, chains=tuple(chains), sets=(*ruleset.sets, *self._asking.sets))

    def _hooked(self, chain: Chain, hook: Hook) -> Iterator[Chain]:
        """The base chain of a hook, and the chains of its own that it leads to."""
        assert chain.table is Table.FILTER
        fixed = 2 if hook is Hook.OUTPUT else 1  # replies, and of OUTPUT the node's own packets
        first, rest = chain.rules[:fixed], chain.rules[fixed:]
        own_list = self._node_list(hook)
        done: Verdict = Goto(own_list[0].name) if own_list else Return()
        last = () if done == Return() else (Line((), done),)
        policies = (*(_ending(rule, done) for rule in rest), *last)
        label = f"policies-{hook.value}"
        behind: Verdict = Goto(label) if rest else done
        blocks = self._block_list(hook, done, behind)
        if own_list:
            first = tuple(_ending(rule, done) if n else rule for n, rule in enumerate(first))
        if not blocks:
            yield replace(chain, rules=(*first, *(policies if done != Return() else rest)))
        else:
            yield replace(chain, rules=(*first, *self._ways_in(hook, blocks[0].name, behind)))
            yield from blocks
            if rest:
                yield Chain(label, policies, notes=("what no block of a program decided",))
        yield from own_list

    def _ways_in(self, hook: Hook, blocks: str, behind: Verdict) -> Iterator[Line]:
        """From the base chain to the blocks, and past them where they are not asked."""
        if hook is not Hook.INPUT:
            yield Line((), Goto(blocks))
            return
        for family in self._target.families:
            own = union(tuple((address, address) for address in self._ends.own_pods(family)))
            for matches in self._asking.sources(own, family) if own else ():
                yield Line(matches, Goto(blocks), family, note="from pods of this node")
        if behind != Return():
            yield Line((), behind)

    def _block_list(self, hook: Hook, allow: Verdict, behind: Verdict) -> tuple[Chain, ...]:
        if hook is Hook.INPUT and not any(map(self._ends.own_pods, self._target.families)):
            return ()
        found = Segments(
            f"blocks-{hook.value}", ["the policy blocks of a program, the first rule that matches decides"]
        )
        for one in self._blocks:
            ends = {"allow": allow, "deny": Jump(DENY), "reject": Jump(answering(_answer(one.rule))), "pass": behind}
            self._add(found, one, hook, ends[one.rule.verb])
        return found.chains(behind)

    def _node_list(self, hook: Hook) -> tuple[Chain, ...]:
        if hook not in _NODE_LISTS:
            return ()
        found = Segments(_NODE_LISTS[hook], [f"{_ABOUT[hook]}: the first rule that matches decides"])
        for one in self._node:
            if is_node(one.rule.target if hook is Hook.INPUT else one.rule.source):
                ends: dict[str, Verdict] = {"deny": Drop(), "reject": Goto(_plainly(_answer(one.rule)))}
                self._add(found, one, hook, ends.get(one.rule.verb, Return()))
        return found.chains(Return())

    def _add(self, to: Segments, one: Written, hook: Hook, verdict: Verdict) -> None:
        made = {family: self._asking.questions(one.rule, family, *SIDES[hook]) for family in self._target.families}
        # What is asked of each family in the same words is asked once.
        first, *others = made.values()
        shared = [question for question in first if others and all(question in other for other in others)]
        asked: list[tuple[Family | None, Question]] = [(None, question) for question in shared]
        asked += ((family, one) for family, questions in made.items() for one in questions if one not in shared)
        logs = (_log(one.rule.log),) if one.rule.log is not None else ()
        to.add(Line((), verdict, origins=(one.origin,), note=one.rule.text, effects=logs), asked)


def _ending(rule: Line | Lookup, done: Verdict) -> Line | Lookup:
    """A rule of a base chain, in a chain that this one leads to: what it accepts is `done`."""
    return replace(rule, verdict=done) if isinstance(rule, Line) and rule.verdict == Accept() else rule


def _plainly(answer: Answer) -> str:
    """The name of the chain that answers so whoever it is."""
    return f"re-{answer.value.removeprefix('icmp-')}"


def _answer(rule: Rule) -> Answer:
    return Answer.PORT_UNREACHABLE if rule.answer is None else Answer(rule.answer)


def _log(log: Log) -> effects.Log:
    limit = None
    if log.limit is not None:
        rate = Rate(log.limit.count, Per(log.limit.unit))
        limit = rate if log.limit.burst is None else replace(rate, burst=log.limit.burst)
    return effects.Log(log.prefix, limit=limit)

"""Blocks of a program -> chains in front of Kubernetes' stages, and the lists of the machine itself behind them.

    FORWARD  packets | replies | blocks -> policies -> forward list
    INPUT    packets | replies | of this node's pods: blocks -> policies -> node list
    OUTPUT   packets | replies | not of the node itself: blocks -> policies -> node list

Blocks are one list, the first match decides. All of these chains are reached by goto, so that Return ends our part of
the hook; what stood in a base chain behind replies moves into a chain of its own, `policies`, where blocks lead that
decide nothing. A block denies by a jump: what no policy may deny comes back, and to the end of the blocks; the lists
behind spare nobody. Lists of every packet are jumped to, and come back with what they do not end.

Where blocks mean the same in FORWARD and OUTPUT, both hooks jump to the same chains, and go on to their own lists with
what comes back: half the rules, and half the kernel's memory. There a packet that is sent meets rules that ask for the
interface it came in by, which it has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from compiler.backends.target import Backend, Target
from compiler.ir.effects import Native
from compiler.ir.ruleset import (
    Accept,
    Answer,
    Chain,
    Continue,
    Drop,
    Goto,
    Hook,
    Jump,
    Lookup,
    Return,
    Ruleset,
    Table,
    Verdict,
)
from compiler.ir.ruleset import Rule as Line
from compiler.lower.asking import Asking
from compiler.lower.deny import DENY, NONE_BESIDES, Denials, answering, rejecting
from compiler.lower.items import ItemChains, Placed, at, blocks, of_blocks, placed
from compiler.net import union
from compiler.resolve.ends import Ends, is_alike
from compiler.resources.language import Matching, Opaque, Program, Rule, every_item

#: Of lists that the machine has of itself at each hook: the name of the first chain, and what others begin with.
_OWN = {Hook.FORWARD: ("forwarded", "fwd"), Hook.INPUT: ("node-in", "node-in"), Hook.OUTPUT: ("node-out", "node-out")}
_PACKETS = {
    Hook.FORWARD: ("packets-forward", "pkt-fwd"),
    Hook.INPUT: ("packets-in", "pkt-in"),
    Hook.OUTPUT: ("packets-out", "pkt-out"),
}
#: The same of what these hooks share.
_SHARING, _SHARED, _POLICIES = (Hook.FORWARD, Hook.OUTPUT), ("blocks", "blk"), "policies"
_BLOCKS = {
    Hook.FORWARD: ("blocks-forward", "blk-fwd"),
    Hook.INPUT: ("blocks-input", "blk-in"),
    Hook.OUTPUT: ("blocks-output", "blk-out"),
}
_ABOUT = {
    Hook.FORWARD: "what is forwarded",
    Hook.INPUT: "to this node itself",
    Hook.OUTPUT: "from this node itself",
}


def denials(program: Program, ends: Ends, target: Target) -> Denials:
    """What the program needs of the end of denied packets."""
    items = (one for block in blocks(program) for one in every_item(block.rules))
    rules = [one for one in items if isinstance(one, Rule)]
    answers = [_answer(rule) for rule in rules if rule.verb == "reject"]
    own = {family: ends.selves(family) for family in target.families}
    return Denials(tuple(dict.fromkeys(answers)), own) if rules else NONE_BESIDES


class ProgramFront:
    """What a program puts in front of a ruleset. `failsafe`: rules in front of the lists of the node itself."""

    def __init__(self, program: Program, asking: Asking, target: Target, failsafe: Iterable[Rule] = ()) -> None:
        self._target = target
        self._asking, self._ends = asking, asking.ends
        self._blocks = tuple(of_blocks(program))
        saved = placed(failsafe, "node", "failsafe")
        self._forward, self._node = placed(program.forward, "forward"), (*saved, *placed(program.node, "node"))
        self._forward_packets = placed(program.forward_packets, "forward", "packets")
        packets = placed(program.node_packets, "node", "packets")
        self._node_packets = (*saved, *packets) if packets else ()
        #: The chains of blocks that FORWARD and OUTPUT share.
        self._common: tuple[Chain, ...] = ()

    def before(self, ruleset: Ruleset) -> Ruleset:
        """The ruleset with the program in front of its base chains."""
        one, other = (_rest(chain) for chain in ruleset.chains if chain.hook in _SHARING)
        if one == other and _are_alike(self._blocks):
            self._common = self._block_list(Hook.FORWARD, _SHARED, Return(), Goto(_POLICIES) if one else Return())
        chains: list[Chain] = []
        for chain in ruleset.chains:
            chains.extend((chain,) if chain.hook is None else self._hooked(chain, chain.hook))
        own = (*self._node, *self._forward, *self._node_packets, *self._forward_packets)
        answers = dict.fromkeys(_answer(rule) for rule in _rules(own) if rule.verb == "reject")
        chains += (Chain(_plainly(one), tuple(rejecting(one)), notes=("what the node rejects",)) for one in answers)
        return replace(ruleset, chains=tuple(chains), sets=(*ruleset.sets, *self._asking.sets))

    def _hooked(self, chain: Chain, hook: Hook) -> Iterator[Chain]:
        """The base chain of a hook, and the chains of its own that it leads to."""
        assert chain.table is Table.FILTER
        rest = _rest(chain)
        first = chain.rules[: len(chain.rules) - len(rest)]
        own_list = self._own_list(hook)
        done: Verdict = Goto(own_list[0].name) if own_list else Return()
        last = (Line((), done),) if own_list else ()
        common = self._common if hook in _SHARING else ()
        decided = Return() if common else done
        policies = (*(_ending(rule, decided) for rule in rest), *(() if common else last))
        label = _POLICIES if common else f"policies-{hook.value}"
        behind: Verdict = Goto(label) if rest else decided
        blocks = common or self._block_list(hook, _BLOCKS[hook], done, behind)
        packets = self._packets(hook, last=not (own_list or blocks or rest))
        if own_list:
            first = tuple(_ending(rule, done) if n else rule for n, rule in enumerate(first))
        if packets:
            first = (Line((), Jump(packets[0].name), note="every packet"), *first)
        if common:
            yield replace(chain, rules=(*first, Line((), Jump(common[0].name)), *last))
        elif blocks:
            yield replace(chain, rules=(*first, *self._ways_in(hook, blocks[0].name, behind)))
        else:
            yield replace(chain, rules=(*first, *(policies if own_list else rest)))
        if blocks and not (common and hook is Hook.OUTPUT):
            yield from blocks
            if rest:
                yield Chain(label, policies, notes=("what no block of a program decided",))
        yield from (*packets, *own_list)

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

    def _block_list(self, hook: Hook, names: tuple[str, str], allow: Verdict, behind: Verdict) -> tuple[Chain, ...]:
        if hook is Hook.INPUT and not any(map(self._ends.own_pods, self._target.families)):
            return ()

        ends = {"allow": allow, "deny": Jump(DENY), "pass": behind}

        def verdict(rule: Rule) -> Verdict:
            return ends[rule.verb] if rule.verb != "reject" else Jump(answering(_answer(rule)))

        note = "the policy blocks of a program, the first rule that matches decides"
        found = ItemChains(names, note, self._asking, hook, self._target.families, verdict, behind)
        found.add(self._blocks)
        return found.chains(behind)

    def _own_list(self, hook: Hook) -> tuple[Chain, ...]:
        items = self._forward if hook is Hook.FORWARD else at(self._node, hook)
        return self._plain(_OWN[hook], f"{_ABOUT[hook]}: the first rule that matches decides", hook, items, last=True)

    def _packets(self, hook: Hook, last: bool) -> tuple[Chain, ...]:
        items = self._forward_packets if hook is Hook.FORWARD else at(self._node_packets, hook)
        return self._plain(_PACKETS[hook], f"every packet, {_ABOUT[hook]}, replies too", hook, items, last)

    def _plain(
        self, names: tuple[str, str], note: str, hook: Hook, items: Iterable[Placed], last: bool
    ) -> tuple[Chain, ...]:
        """The chains of a list that spares nobody, and that allows by ending itself. `last`: nothing of ours in the
        hook is behind it, so that nftables' accept is the same; iptables' would pass by rules of others."""

        ends: dict[str, Verdict] = {"deny": Drop()}

        def verdict(rule: Rule) -> Verdict:
            return ends.get(rule.verb, Return()) if rule.verb != "reject" else Goto(_plainly(_answer(rule)))

        name = f"{names[1]}-allow"
        accepts = last and self._target.backend is Backend.NFTABLES
        allow = Goto(name) if accepts else None
        families = self._target.families
        found = ItemChains(names, note, self._asking, hook, families, verdict, Return(), jumps=True, allow=allow)
        found.add(items)
        chains = found.chains(Return())
        used = any(isinstance(rule, Line) and rule.verdict == allow for chain in chains for rule in chain.rules)
        if allow is None or not used:
            return chains
        accept = Line((), Continue(), effects=(Native("nft", "accept", "allow"),))
        return (*chains, Chain(name, (accept,), notes=("what lists in lists allow",)))


def _rules(items: Iterable[Placed]) -> Iterator[Rule]:
    """Every rule of a list, those of lists in it in their places."""
    yield from (one.item for whole in items for one in whole.every() if isinstance(one.item, Rule))


def _are_alike(blocks: Iterable[Placed]) -> bool:
    """Whether items are about the same packets in OUTPUT, where no source is this node's, as in FORWARD."""
    items = [one.item for whole in blocks for one in whole.every()]
    asked = [end for item in items if isinstance(item, Matching) for end in (item.source, item.unless) if end]
    # Those of names are ends of many rules.
    return not any(isinstance(item, Opaque) for item in items) and all(
        map(is_alike, {id(e): e for e in asked}.values())
    )


def _rest(chain: Chain) -> tuple[Line | Lookup, ...]:
    """What stands in a base chain behind replies, and in OUTPUT behind the node's own packets."""
    return chain.rules[2 if chain.hook is Hook.OUTPUT else 1 :]


def _ending(rule: Line | Lookup, done: Verdict) -> Line | Lookup:
    """A rule of a base chain, in a chain that this one leads to: what it accepts is `done`."""
    return replace(rule, verdict=done) if isinstance(rule, Line) and rule.verdict == Accept() else rule


def _plainly(answer: Answer) -> str:
    """The name of the chain that answers so whoever it is."""
    return f"re-{answer.value.removeprefix('icmp-')}"


def _answer(rule: Rule) -> Answer:
    return Answer.PORT_UNREACHABLE if rule.answer is None else Answer(rule.answer)

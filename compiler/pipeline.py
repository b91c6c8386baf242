"""The one place that joins the stages: policies, a program and a snapshot in, scripts out.

translate -> resolve -> lower -> passes -> back end. Each stage is a function of its input alone, so the same input
gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from compiler.backends import iptables, nftables
from compiler.backends.target import Backend, Target
from compiler.backends.text import comments
from compiler.ir.check import check
from compiler.ir.ruleset import Ruleset
from compiler.lower import holding
from compiler.lower.asking import Asking
from compiler.lower.closing import closing
from compiler.lower.deny import NONE_BESIDES, Denials
from compiler.lower.items import of_blocks, placed
from compiler.lower.lists import lower_lists
from compiler.lower.pods import lower
from compiler.lower.program import ProgramFront, denials
from compiler.lower.tables import beside
from compiler.net import Family
from compiler.ordering.prices import Tool
from compiler.passes.carry_inbound import asked_behind_routing, carry_inbound, room
from compiler.passes.count_hops import count_hops
from compiler.passes.expand_maps import expand_maps
from compiler.passes.order import ChainOrder, in_order
from compiler.passes.split_effects import split_effects
from compiler.passes.split_families import split_families
from compiler.passes.split_prefix_sets import split_prefix_sets
from compiler.policy import Domains, NodeSelector, Origin, Policy
from compiler.profiles.profiles import Profile
from compiler.resolve import unknown
from compiler.resolve.baseline import with_blocks
from compiler.resolve.classes import classes
from compiler.resolve.ends import Ends, Here, Side
from compiler.resolve.exempt import exempt
from compiler.resolve.failsafe import Session, failsafe
from compiler.resolve.inventory import Inventory
from compiler.resolve.narrowed import narrowed
from compiler.resolve.reach import Reacher
from compiler.resources.language import NO_PROGRAM, Item, Matching, Opaque, Program, every_item
from compiler.resources.language import Rule as ProgramRule
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located
from compiler.translate import closed, translate
from compiler.translate.carried import check_carried
from compiler.translate.program import check_node, check_program, check_tool
from compiler.weighing import Weighed, weighed

_EMIT: Mapping[Backend, Callable[[Ruleset], dict[str, str]]] = {
    Backend.NFTABLES: nftables.emit,
    Backend.IPTABLES: iptables.emit,
}
#: Whose prices count: those of both variants of iptables relate alike.
_ASKED_BY = {Backend.NFTABLES: Tool.NFTABLES, Backend.IPTABLES: Tool.IPTABLES_LEGACY}
#: As the language calls them.
_TOOLS = {Backend.NFTABLES: "nft", Backend.IPTABLES: "iptables"}
#: In this order; each takes the ruleset and the target's capabilities, and keeps every verdict.
PASSES = (expand_maps, carry_inbound, split_effects, split_prefix_sets, count_hops)


@dataclass(frozen=True, slots=True)
class Counted:
    """What an earlier compile of the same input counted: profiles, the oldest first, each half as much as one that is
    `half_life` seconds younger. An order that saves no more than the `threshold`, a part of the cost, is none."""

    profiles: tuple[Profile, ...]
    half_life: int
    threshold: Fraction


@dataclass(frozen=True, slots=True)
class Artifacts:
    """`files` by name, in the order of loading; `ruleset` is what was printed; `symbolic` when the input names no
    pod with an address; `failsafe`: rules that were put in front of the program's list for the node, `exempt`: in
    front of what it drops in raw. `counted`: what a profile says of the rules, and `orders` what became of chains by
    that."""

    target: Target
    files: Mapping[str, str]
    ruleset: Ruleset
    symbolic: bool
    failsafe: tuple[ProgramRule, ...] = ()
    exempt: tuple[ProgramRule, ...] = ()
    counted: Weighed | None = None
    orders: tuple[ChainOrder, ...] = ()

    def headed(self, note: str) -> Artifacts:
        """The same with one more comment in the head of every file."""
        lines = "\n".join(comments(note))
        files = {name: text.replace("\n", f"\n{lines}\n", 1) for name, text in self.files.items()}
        return replace(self, files=files)


class Compiler:
    """Policies, a program and a snapshot, prepared once for any number of nodes. `ssh`: sessions that the failsafe
    keeps open; None: no failsafe. Raises InvalidInput for a program that cannot be compiled with them."""

    def __init__(
        self,
        policies: Sequence[Located],
        snapshot: Snapshot,
        program: Program = NO_PROGRAM,
        ssh: Collection[Session] | None = (),
    ) -> None:
        self.policies: tuple[Policy, ...] = translate(policies)
        self.program = program
        self.snapshot = snapshot
        self.closed = closed(policies)
        self._ssh = ssh
        self._inventory = Inventory(snapshot)
        self._symbolic = self._inventory.symbolic and not snapshot.complete
        #: For rules of every pod.
        self._ends = Ends(self._inventory, None)
        check_program(program, self.policies, not self._symbolic)
        #: With the blocks of the program that are among them.
        self._deciding = with_blocks(self.policies, program, self._ends)

    def remarks(self) -> Iterator[str]:
        """What somebody who reads the result must know: rules that cannot mean all that they say. What cannot be
        read is closed; what names nodes or domains that the input does not know matches nothing, a Deny rule too."""
        for origin in self.closed:
            yield f"{origin}: not all of it can be read; an Accept rule matches nothing, any other denies all"
        for address, pods in self._inventory.contested.items() if self.policies else ():
            names = " and ".join(f"{pod.namespace}/{pod.name}" for pod in pods)
            yield f"{address}: held by {names}, so it is nobody's; nothing may connect from or to it"
        for policy in self.policies:
            for rule in () if self._symbolic else (*policy.ingress, *policy.egress):
                if any(isinstance(peer, Domains) for peer in rule.peers):
                    yield f"{rule.origin}: domainNames match nothing: files hold no DNS answers"
                if not self.snapshot.nodes and any(isinstance(peer, NodeSelector) for peer in rule.peers):
                    yield f"{rule.origin}: matches no node: the input holds no Node objects"
        ends, side = self._ends, Side(Here.ASKED)
        for item, origin in self._items:
            for what, end in (("source", item.source), ("target", item.target)) if isinstance(item, Matching) else ():
                if not any(ends.meet((end,), family, side) for family in Family):
                    yield f"{origin}: matches nothing: nobody in the input is its {what}"
        yield from holding.remarks(self.program, ends)
        if unverified := self.unverified():
            yield unverified

    def unverified(self) -> str:
        """Which rules of one tool are in the program, as they are; nothing without any."""
        tables = (*every_item(self.program.nat), *self.program.mangle, *self.program.raw)
        every = (*(item for item, _ in self._items), *tables)
        found = [item.name for item in every if isinstance(item, Opaque)]
        many = "1 rule" if len(found) == 1 else f"{len(found)} rules"
        return f"unverified: {many} of one tool, as written ({', '.join(found)})" if found else ""

    @cached_property
    def _items(self) -> tuple[tuple[Item, Origin], ...]:
        """Everything in lists of the program, and where it stands."""
        program = self.program
        listed = (
            *of_blocks(program),
            *of_blocks(program, "baseline"),
            *placed(program.node_packets, "node", "packets"),
            *placed(program.node, "node"),
            *placed(program.forward_packets, "forward", "packets"),
            *placed(program.forward, "forward"),
        )
        return tuple((one.item, one.origin) for whole in listed for one in whole.every())

    def compile(self, target: Target, counted: Counted | None = None) -> Artifacts:
        """The scripts for one node. Raises OutOfOrder for profiles that do not come one after the other."""
        check_node(self.program, target.node, not self._symbolic)
        check_tool(self.program, _TOOLS[target.backend])
        lines, exempted = self.failsafe(target), self.exempt(target)
        if self.program == NO_PROGRAM:
            ruleset = self._lower(target)
        else:
            ends = self._ends_of(target)
            ruleset = self._lower(target, denials(self.program, ends, target))
            asking = Asking(ends, target.capabilities)
            ruleset = ProgramFront(self.program, asking, target, lines).before(ruleset)
            ruleset = beside(ruleset, self.program, asking, target, exempted)
            mask, asked = target.capabilities.inbound_mask, asked_behind_routing(ruleset)
            if mask is not None and asked:
                check_carried(self.program, mask, len(asked), room(mask))
        ruleset = replace(prepared(ruleset, target), notes=self._head(target), counted=target.counters)
        made = Artifacts(target, emit(ruleset, target), ruleset, self._symbolic, lines, exempted)
        return made if counted is None else _reordered(made, counted)

    def failsafe(self, target: Target) -> tuple[ProgramRule, ...]:
        """What stands in front of the program's lists for the node."""
        rules, packets = (tuple(narrowed(one)) for one in (self.program.node, self.program.node_packets))
        if self._ssh is None or not (rules or packets):
            return ()
        return failsafe(rules, self._ends_of(target), target.families, self._ssh, packets)

    def exempt(self, target: Target) -> tuple[ProgramRule, ...]:
        """What the program's raw statements never drop."""
        if self._ssh is None or not self.program.raw:
            return ()
        return exempt(self.program, self._ends_of(target), target.families, self._ssh)

    def _ends_of(self, target: Target) -> Ends:
        return self._ends if target.node is None else Ends(self._inventory, target.node)

    def _lower(self, target: Target, denials: Denials = NONE_BESIDES) -> Ruleset:
        if self._symbolic and (self.policies or self.program == NO_PROGRAM):
            return lower_lists(self.policies, self._inventory, target, denials)
        found = classes(self._inventory, self._deciding, target.node)
        made = lower(found, Reacher(self._inventory), target, denials)
        return closing(made, unknown.ranges(self.snapshot, target.node, target.families))

    def _head(self, target: Target) -> tuple[str, ...]:
        where = f"node {target.node}" if target.node else "every pod of the input"
        policies = "1 policy" if len(self.policies) == 1 else f"{len(self.policies)} policies"
        program = "" if self.program == NO_PROGRAM else " and a program"
        unverified = self.unverified()
        return (f"netpolc: {where}, {policies}{program}, {target.backend.value}", *([unverified] if unverified else ()))


def _reordered(made: Artifacts, counted: Counted) -> Artifacts:
    """The artifacts, of which it is known that they can be printed, with rules in the order that costs least."""
    backend = made.target.backend
    apart = split_families(made.ruleset) if backend is Backend.IPTABLES else made.ruleset
    found = weighed(apart, backend, counted.profiles, counted.half_life)
    ruleset, orders = in_order(found.ruleset, _ASKED_BY[backend], counted.threshold, found.loaded)
    check(ruleset)
    return replace(made, files=emit(ruleset, made.target), ruleset=ruleset, counted=found, orders=orders)


def prepared(ruleset: Ruleset, target: Target) -> Ruleset:
    """The ruleset as the target's back end prints it: after all passes, checked before and after each."""
    check(ruleset)
    for step in PASSES:
        before, ruleset = ruleset, step(ruleset, target.capabilities)
        if ruleset is not before:
            check(ruleset, before)
    return ruleset


def emit(ruleset: Ruleset, target: Target) -> dict[str, str]:
    """A ruleset that is `prepared` as files, by name, in the order of loading."""
    return _EMIT[target.backend](ruleset)


def compile_node(policies: Sequence[Located], snapshot: Snapshot, target: Target) -> Artifacts:
    """The scripts for one node, from scratch."""
    return Compiler(policies, snapshot).compile(target)

"""What a text of rules does to every packet, as one diagram for each path through the machine and family.

A test that is not modelled but pure is one Boolean for each text; one that depends on more than the packet (limit,
recent, statistic) may answer either way each time. So if the verdict depends on it, no policy is equal to it.

Translation: diagrams ask for the packet as it comes to the first hook of the path (its hop limit apart, which is that
of the FORWARD hook), and rules behind DNAT see the translated one. Policies are about the packet at the FORWARD hook,
after DNAT and before SNAT: `before` says what they say of it in terms of the packet that comes to the first hook.
Packets of known connections are taken as if nobody translated them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial

from compiler.semantics.diagrams.chain_diagram import ChainDiagrams, Left
from compiler.semantics.diagrams.diagram import IN, NOTHING
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import ACCEPT, Level, Path, Space
from compiler.semantics.diagrams.spots import Spot, refuse_moving_sets, targets
from compiler.semantics.diagrams.variables import Variables
from compiler.semantics.rules.effects import Change
from compiler.semantics.rules.netfilter import (
    CONNTRACK,
    TRANSLATES,
    Chain,
    End,
    Field,
    Hook,
    Ruleset,
    State,
    Table,
    Translate,
)

#: The hooks on each path, and the interface that a packet there does not have.
_HOOKS = {
    Path.FORWARD: (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
    Path.INPUT: (Hook.PREROUTING, Hook.INPUT),
    Path.OUTPUT: (Hook.OUTPUT, Hook.POSTROUTING),
}
_NO_INTERFACE = {
    (Path.FORWARD, Hook.PREROUTING): Level.OUTPUT,
    (Path.INPUT, Hook.PREROUTING): Level.OUTPUT,
    (Path.INPUT, Hook.INPUT): Level.OUTPUT,
    (Path.OUTPUT, Hook.OUTPUT): Level.INPUT,
    (Path.OUTPUT, Hook.POSTROUTING): Level.INPUT,
}
_DESTINATION = (Hook.PREROUTING, Hook.OUTPUT)


class TextDiagrams:
    """The rules of a text for the packets of one space. `region`: the packets that count, by their addresses at the
    FORWARD hook, or that of the path; of others the diagrams may say anything. `translates`: the caller takes `before`
    into account; else texts that translate are refused. `answers`: a reject is no drop. `narrows`: as in
    `ChainDiagrams`, and so is `known`; `matches`: those that the other side asks, too. Raises `Unprovable`."""

    def __init__(
        self,
        ruleset: Ruleset,
        over: Space,
        region: int = IN,
        translates: bool = False,
        answers: bool = False,
        narrows: bool = True,
        matches: Matches | None = None,
        known: Mapping[Spot, str] | None = None,
    ) -> None:
        refuse_moving_sets(ruleset)
        self._ruleset, self._made, self._version = ruleset, over.made, over.version
        self.matches = Matches(over) if matches is None else matches
        variables = Variables(over, self.matches)
        self._chains = ChainDiagrams(over, self.matches, variables, region, None, narrows, answers, known)
        #: For hooks where packets may have other addresses than at that of the path.
        self._others = self._chains
        nat = next((found for hook in Hook for found in self._translating(hook)), None)
        if nat is not None:
            if not translates:
                raise Unprovable(f"table {nat[0].name}, chain {nat[1].name}: translates addresses")
            self._others = ChainDiagrams(over, self.matches, variables, answers=answers, known=known)
        self._found: dict[Path, list[tuple[Hook, Chain, int]]] = {}

    def at(self, path: Path) -> int:
        """The diagram of a path: `ACCEPT`, `DROP`, "reject KIND" (with `answers`), or the text of a statement that is
        not known."""
        whole = self._in_order(self._bases(path), NOTHING)
        ends = self._chains.mapped(whole, lambda left: self._made.outcome(ACCEPT if left.how == "next" else left.how))
        return self._made.relabel(ends, {NOTHING: self._made.outcome(ACCEPT)})

    def before(self, path: Path, diagram: int) -> int:
        """What it says of packets behind DNAT, in terms of the packets in front; those that are dropped there count as
        if they were not."""
        return self._others.before(self._dnat(path), diagram)

    def translated(self, path: Path, packet: Mapping[int, int]) -> dict[Field, int]:
        """Which numbers DNAT has given a packet, by the numbers of its levels; without those that the text leaves
        open."""
        left = self._made.says(self._dnat(path), packet)
        given = left.effect.change.given if isinstance(left, Left) else ()
        return {field: value for field, value in given if isinstance(value, int)}

    def coins(self, path: Path) -> dict[int, Fraction]:
        """Matches by chance, by their fields, but for those that DNAT hangs on."""
        asked = self._made.asked(self._dnat(path))
        return {level: share for level, share in self.matches.coins.items() if level not in asked}

    def _dnat(self, path: Path) -> int:
        """What the first hook makes of packets, up to DNAT, dropping none."""
        if self._others is self._chains:
            return NOTHING
        first = [one for one in self._bases(path) if one[0] in _DESTINATION and _turn(one) <= TRANSLATES[one[0]]]
        ways = [(hook, chain, self._others.going_on(found)) for hook, chain, found in first]
        return self._in_order(ways, NOTHING)

    def _bases(self, path: Path) -> list[tuple[Hook, Chain, int]]:
        if path not in self._found:
            self._found[path] = [
                (hook, chain, self._base(path, hook, table, chain))
                for hook in _HOOKS[path]
                for table, chain in self._ruleset.at(hook, self._version)
            ]
        return self._found[path]

    def _in_order(self, bases: Sequence[tuple[Hook, Chain, int]], rest: int) -> int:
        """One after the other; of nat chains of a hook, one that translates is the last one."""
        at = len(bases)
        while at:
            hook, chain, found = bases[at - 1]
            if not _is_nat(chain):
                rest, at = self._chains.then(found, rest), at - 1
                continue
            whole, end = NOTHING, End.DESTINATION if hook in _DESTINATION else End.SOURCE
            while at and bases[at - 1][0] is hook and _is_nat(bases[at - 1][1]):
                whole = self._chains.then_by(bases[at - 1][2], partial(_unless_translated, end, whole))
                at -= 1
            rest = self._chains.then(whole, rest)
        return rest

    def _base(self, path: Path, hook: Hook, table: Table, chain: Chain) -> int:
        """How a packet leaves a base chain: "next", or it is gone."""
        made, base = self._made, chain.base
        assert base is not None, "a base chain"
        over = "next" if base.accepts else "drop"
        ways = {"accept": "next", "return": over}
        policed = hook not in (Hook.PREROUTING, Hook.POSTROUTING) and base.place[0] > TRANSLATES[Hook.OUTPUT]
        chains = self._chains if policed else self._others
        diagram = chains.renamed(chains.chain(table, chain.name), ways)
        fixed = {int(_NO_INTERFACE[path, hook]): 0} if (path, hook) in _NO_INTERFACE else {}
        if base.priority <= CONNTRACK and hook in (Hook.PREROUTING, Hook.OUTPUT):
            fixed[Level.STATE] = State.INVALID
        diagram = made.restrict(diagram, fixed)
        if path is Path.FORWARD and hook is Hook.PREROUTING:  # ip_forward takes one off on the way to the next hook
            diagram = made.shift(diagram, Level.HOPS)
        return (
            made.where(made.inside(Level.STATE, [(state, state) for state in (State.NEW, State.RELATED)]), diagram)
            if base.nat
            else diagram
        )

    def _translating(self, hook: Hook) -> Iterator[tuple[Table, Chain]]:
        """Base chains of the hook that translate some packet."""
        for table, chain in self._ruleset.at(hook, self._version):
            if _is_nat(chain) and any(self._translations(table, chain, set())):
                yield table, chain

    def _translations(self, table: Table, chain: Chain, seen: set[str]) -> Iterator[bool]:
        if chain.name in seen:
            return
        seen.add(chain.name)
        for part in (part for rule in chain.rules for part in rule.parts):
            yield isinstance(part, Translate)
            for target in targets(table, part):
                yield from self._translations(table, table.chains[target], seen)


def _is_nat(chain: Chain) -> bool:
    return chain.base is not None and chain.base.nat


def _turn(one: tuple[Hook, Chain, int]) -> int:
    assert one[1].base is not None, "a base chain"
    return one[1].base.place[0]


def _unless_translated(end: End, rest: int, change: Change) -> int:
    return NOTHING if end in change.translated else rest

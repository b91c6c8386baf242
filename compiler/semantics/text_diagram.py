"""What a text of rules does to every packet, as one diagram for each path through the machine and family.

A test that is not modelled but pure is one Boolean for each text; one that depends on more than the packet (limit,
recent, statistic) may answer either way each time. So if the verdict depends on it, no policy is equal to it.

Translation: policies are about the packet at the FORWARD hook, after DNAT and before SNAT, so what nat chains do to
it in front or behind does not matter, as long as nothing else there decides on the addresses; texts where something
does are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.semantics.chain_diagram import ChainDiagrams, targets
from compiler.semantics.diagram import IN, NOTHING
from compiler.semantics.match_diagram import Matches, Unprovable
from compiler.semantics.netfilter import CONNTRACK, Chain, End, Hook, Ruleset, State, Table, Translate
from compiler.semantics.space import ACCEPT, Level, Path, Space
from compiler.semantics.variables import Variables

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


class TextDiagrams:
    """The rules of a text for the packets of one space. `region`: the packets that count, by their addresses; of
    others the diagrams may say anything. Raises `Unprovable`."""

    def __init__(self, ruleset: Ruleset, over: Space, region: int = IN) -> None:
        self._ruleset, self._made, self._version = ruleset, over.made, over.version
        self.matches = Matches(over)
        self._chains = ChainDiagrams(over, self.matches, Variables(over, self.matches), region)

    def at(self, path: Path) -> int:
        """The diagram of a path: `ACCEPT`, `DROP`, or the text of a statement whose effect is not known."""
        found = [
            (hook, table, chain, self._base(path, hook, table, chain))
            for hook in _HOOKS[path]
            for table, chain in self._ruleset.at(hook, self._version)
        ]
        self._refuse_decisions_beyond_nat(found)
        whole = NOTHING
        for *_, diagram in reversed(found):
            whole = self._chains.then(diagram, whole)
        ends = self._chains.mapped(whole, lambda left: self._made.outcome(ACCEPT if left.how == "next" else left.how))
        return self._made.relabel(ends, {NOTHING: self._made.outcome(ACCEPT)})

    def _base(self, path: Path, hook: Hook, table: Table, chain: Chain) -> int:
        """How a packet leaves a base chain: "next", or it is gone."""
        made, base = self._made, chain.base
        assert base is not None, "a base chain"
        over = "next" if base.accepts else "drop"
        ways = {"accept": "next", "return": over}
        diagram = self._chains.renamed(self._chains.chain(table, chain.name), ways)
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

    def _refuse_decisions_beyond_nat(self, found: Sequence[tuple[Hook, Table, Chain, int]]) -> None:
        """Filters that see another packet than the FORWARD hook does."""
        ends = [set(self._translations(table, chain, set())) for _, table, chain, _ in found]
        decides = [any(left.how != "next" for left in self._chains.ways(diagram)) for *_, diagram in found]
        for place, (hook, table, chain, _) in enumerate(found):
            if decides[place] and (
                any(End.DESTINATION in translated for translated in ends[place + 1 :])
                or any(End.SOURCE in translated for translated in ends[:place])
            ):
                raise Unprovable(
                    f"table {table.name}, chain {chain.name} ({hook.value}): drops packets on the other side of an"
                    " address translation"
                )

    def _translations(self, table: Table, chain: Chain, seen: set[str]) -> Iterator[End]:
        if chain.name in seen:
            return
        seen.add(chain.name)
        for part in (part for rule in chain.rules for part in rule.parts):
            if isinstance(part, Translate):
                yield part.end
            for target in targets(table, part):
                yield from self._translations(table, table.chains[target], seen)

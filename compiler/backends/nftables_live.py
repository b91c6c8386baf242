"""Rulesets that move -> steps for nft, each a transaction, so that no packet meets a verdict that neither the ruleset
before nor the one behind gives it.

What the kernel does: a packet goes on among the rules of the moment it came into the hook, in all chains, until the
second commit behind it; each lookup sees the elements of its own moment. So rules change at once for a packet, and
elements do not: a packet that straddles a commit has asked some sets before it and asks others behind it.

Sets and maps are named `NAME-vN`. N goes up when one is made anew, with all that is in it, for rules that are made
anew, too: rules of before ask the old ones, which stay as they are until no packet is left that may ask them
(`Step.settle`). A `load` makes everything anew; an `update` as little as it can, in one of these ways:

1. *Moves*: elements come and go in one transaction where no packet's verdict hangs on two of them, else in a few turns
   (`nftables_moves`).
2. *One address leads elsewhere*: a pod of this node came, went or has other policies. Its way in the maps that base
   chains ask (*leads*) and what others may do with it decide together, so first both ways hold for it, the old and the
   new one; then elements move; then the new way holds alone.
3. *Anew*: all that changes, but for answers.

*Answers* are sets of connections, both ends, in front of everything else, and each is one that every policy allows: so
elements come with the first step and go with the last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.backends.nftables import refuse_deep
from compiler.backends.nftables_moves import Moves
from compiler.backends.nftables_print import TABLE
from compiler.backends.nftables_told import Found, Lines, Told, next_version
from compiler.backends.steps import Step, Tool
from compiler.ir.change import Change
from compiler.ir.ruleset import Chain, Goto, Jump, PrefixMap, Rule, Ruleset, Verdict
from compiler.net import Prefix

__all__ = ["Live", "next_version"]

#: Where addresses lead, by map; a Return leads nowhere.
Leads = Mapping[str, Mapping[Prefix, Verdict]]


class Live:
    """What the kernel was told so far: nothing, then a `load`, then what each `update` makes of it. `version`: of
    `next_version`. When a step was refused, another `load` is the only way on."""

    def __init__(self, version: int = 1) -> None:
        self._told = Told(version)

    @property
    def chains(self) -> frozenset[str]:
        """Chains that are in force."""
        return frozenset(self._told.layout.chains)

    @property
    def sets(self) -> frozenset[str]:
        """Sets and maps that are asked, as the kernel calls them."""
        return self._told.names

    def load(self, ruleset: Ruleset) -> tuple[Step, ...]:
        """Steps that bring in a whole ruleset beside whatever is there, the last of them in its stead; what was there
        stays, and is not asked any more. Raises InvalidInput for statements that nft cannot say, Unsupported for
        chains too deep."""
        refuse_deep(ruleset)
        self._told = Told(self._told.version, ruleset)
        found = (*ruleset.sets, *ruleset.maps)
        done = self._told.brought(found, ruleset.chains, ruleset.counted, [f"flush table {TABLE}"])
        self._told.version += 1
        last = len(done) - 1
        return tuple(_step(lines, n == last) for n, lines in enumerate(done))

    def update(self, change: Change, after: Ruleset) -> tuple[Step, ...]:
        """Steps that make a change of what is there; `after` is what it makes. Raises as `load` does."""
        if change.chains or change.maps:
            refuse_deep(after)
        done = _Update(self._told, change, after).transactions()
        self._told.version += 1
        return tuple(_step(lines, wait) for lines, wait in done)


def _step(lines: Iterable[str], wait: bool) -> Step:
    return Step(Tool.NFT, "\n".join(lines) + "\n", wait)


class _Update:
    """The steps of one change."""

    def __init__(self, told: Told, change: Change, after: Ruleset) -> None:
        self._told, self._change, self._counted = told, change, after.counted
        self._moves = Moves(change, after, told.layout)
        #: What is new, until it is brought in.
        self._new: tuple[Found, ...] = (*change.sets, *change.maps)
        self._new_chains = change.chains
        #: What comes with the first step that matters to packets.
        self._first = list(self._lines(self._moves.gains, self._moves.answers))
        #: What goes in the end.
        self._last: Lines = []
        self._done: list[tuple[Lines, bool]] = []

    def transactions(self) -> Sequence[tuple[Lines, bool]]:
        """Each with whether packets that began before it must be through when the next comes."""
        told, moves, change = self._told, self._moves, self._change
        before = told.led(moves.leads)  # and nothing of sets that are asked in front
        behind = {name: moves.leading(name, leads) for name, leads in before.items()}
        is_new = told.layout.chains.keys().isdisjoint(chain.name for chain in change.chains)
        is_known = len(before) == len(moves.leads)
        is_known = is_known and all(told.known(name) for name in (*moves.answers, *moves.within))
        local = told.local(behind) if moves.within else {}
        turns = moves.turns(local) if is_new and is_known and moves.is_alone else None
        for chain in change.chains:
            told.layout.put(chain)
        if turns is None:
            self._anew()
        elif before:
            self._led(before, behind, turns)
        else:
            self._moved(turns)
        self._last += told.forget(sorted(change.gone))
        if self._last:
            self._done.append((self._last, True))
        return self._done

    # Ways

    def _anew(self) -> None:
        """Rules are made anew with all that they ask and that changes."""
        again = [*self._moves.within, *self._moves.leads]
        chains = {chain.name: chain for name in again for chain in self._told.layout.askers(name)}
        self._remake([self._moves.found[name] for name in again], chains.values())
        self._last += self._lines(self._moves.losses, self._moves.answers)

    def _led(self, before: Leads, behind: Leads, turns: Sequence[Sequence[str]]) -> None:
        """One address leads elsewhere, and how others find it changes with that. While elements move, packets go both
        its ways: only what both let pass does."""
        meeting: dict[str, Chain] = {}
        if turns:
            both = {name: self._both(name, before[name], behind[name], meeting) for name in behind}
            if both != before:
                self._lead(both, meeting.values())
            self._turn(turns)
        if self._told.led(before) != behind:
            self._lead(behind)
        self._last += self._lines(self._moves.losses, self._moves.answers)
        for name in meeting:
            self._last += (f"flush chain {TABLE} {name}", f"delete chain {TABLE} {name}")

    def _moved(self, turns: Sequence[Sequence[str]]) -> None:
        """Elements come and go, those of answers with them."""
        self._turn(turns, self._moves.answers)

    # Their parts

    def _both(
        self, name: str, before: Mapping[Prefix, Verdict], behind: Mapping[Prefix, Verdict], meeting: dict[str, Chain]
    ) -> dict[Prefix, Verdict]:
        """What lets pass only what both do, for each address; chains for that are put into `meeting`."""
        found = dict(before)
        for prefix in {*before, *behind}:
            old, new = before.get(prefix), behind.get(prefix)
            if old == new:
                continue
            if None in (old, new) and self._told.layout.is_closed(name, prefix):
                found.pop(prefix, None)
            elif isinstance(old, Jump | Goto) and isinstance(new, Jump | Goto):
                chain = f"both-{hashlib.sha256(f'{old.chain} {new.chain}'.encode()).hexdigest()[:10]}"
                rules = (Rule((), Jump(old.chain)), Rule((), Jump(new.chain)))
                meeting[chain] = Chain(chain, rules, family=prefix.family)
                found[prefix] = replace(new, chain=chain)
            elif isinstance(new, Jump | Goto):
                found[prefix] = new
        return found

    def _lead(self, leads: Leads, chains: Iterable[Chain] = ()) -> None:
        """Base chains ask these."""
        self._told.version += 1
        maps = [self._leading(name, found) for name, found in leads.items()]
        bases = {chain.name: chain for name in leads for chain in self._told.layout.askers(name)}
        self._remake(maps, (*chains, *bases.values()))

    def _leading(self, name: str, leads: Mapping[Prefix, Verdict]) -> PrefixMap:
        found = self._moves.found[name]
        assert isinstance(found, PrefixMap), f"{name} leads nowhere"
        return replace(found, elements=tuple(sorted(leads.items(), key=lambda element: element[0])))

    def _remake(self, found: Sequence[Found], chains: Iterable[Chain]) -> None:
        """Sets and maps anew, for rules that are anew. What they were goes in the end."""
        self._last += self._told.deleted(one.name for one in found)
        self._bring(found, chains)

    def _bring(self, found: Sequence[Found], chains: Iterable[Chain]) -> None:
        """These, and all that is new."""
        every = {chain.name: chain for chain in (*self._new_chains, *chains)}
        *before, last = self._told.brought((*self._new, *found), [*every.values()], self._counted)
        self._done += [(lines, False) for lines in before]
        self._done.append((last + self._first, True))
        self._new, self._new_chains, self._first = (), (), []

    def _turn(self, turns: Sequence[Sequence[str]], answers: Sequence[str] = ()) -> None:
        """Elements that come, turn by turn, and then those that go; all at once where one turn does."""
        if self._new or self._new_chains:
            self._bring((), ())
        gains = [list(self._lines(self._moves.gains, turn)) for turn in turns] or [[]]
        losses = list(self._lines(self._moves.losses, (*(name for turn in turns for name in turn), *answers)))
        gains[0] = self._first + gains[0]
        self._first = []
        done = [losses + gains[0]] if len(gains) == 1 else [*gains, losses]
        self._done += [(lines, True) for lines in done if lines]

    def _lines(self, made: Callable[[str, str], Iterable[str]], names: Iterable[str]) -> Iterator[str]:
        for name in names:
            known = self._told.known(name)
            assert known is not None, f"{name} is not in the kernel"
            yield from made(name, known)

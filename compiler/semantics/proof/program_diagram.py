"""What a program in the policy language and the policies say of every packet, as one diagram for each hook and family.

`program` answers for one packet, and its table tells what is asked where; this says the same of all packets at once.
Lists of rules become diagrams of which rule decides (`deciding`) or of what it says (`at`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from compiler.resources.language import Opaque, PolicyBlock, Rule
from compiler.semantics.diagrams.clauses import Block
from compiler.semantics.diagrams.diagram import NOTHING
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.policy_diagram import LOCAL, REPLIES, PolicyDiagrams, neighbour_discovery
from compiler.semantics.diagrams.space import ACCEPT, DROP, Level, Path, Space
from compiler.semantics.proof.as_written import met
from compiler.semantics.proof.items import Label, Lists, Placed
from compiler.semantics.proof.program import VERDICTS, rules_of, verdict
from compiler.semantics.proof.program_ends import ProgramEnds
from compiler.semantics.proof.rule_diagram import RuleDiagrams
from compiler.semantics.rules.netfilter import AddressType

#: What a rule of a list says: a diagram.
Says = Callable[[Placed], int]
_PASS = "pass"
_WORDS = {"allow": ACCEPT, "deny": DROP, "leave": _PASS}


class ProgramDiagrams:
    """Of a node (None: of any, of all pods), for the packets of one space. `behind`: Kubernetes' policies, of the same
    node and space; `matches`: those that the text asks, too."""

    def __init__(
        self,
        lists: Lists,
        ends: ProgramEnds,
        node: str | None,
        behind: PolicyDiagrams,
        over: Space,
        matches: Matches | None = None,
    ) -> None:
        self.over, self._made, self._behind = over, over.made, behind
        self.matches = Matches(over) if matches is None else matches
        self.about = RuleDiagrams(ends, over, self.matches)
        self.lists = lists
        holders = ends.ends.holders
        self._own = tuple((a, a) for a in sorted(holders) if node in (None, holders[a].node))
        claimed = [(a, pods) for a, pods in ends.ends.contested.items() if any(node in (None, p.node) for p in pods)]
        self._pairs = [((a, a), (a, a)) for a, _ in claimed]
        pods: dict[int, list[int]] = {}
        for address, _ in self._own:
            pods.setdefault(id(holders[address]), []).append(address)
        self._pairs += [((a, a), (b, b)) for own in pods.values() for a in own for b in own]

    def impossible(self, path: Path) -> int:
        """Packets that are never on this path; IPv6 has no broadcast."""
        kinds = [(int(AddressType.BROADCAST),) * 2] if self.over.version == 6 else []
        types = [self._made.inside(level, kinds) for level in (Level.SOURCE_TYPE, Level.DESTINATION_TYPE)]
        return self._made.first([self._behind.impossible(path), *types])

    def at(self, path: Path) -> int:
        """The diagram of a hook: `ACCEPT`, `DROP` or "reject KIND" for every packet."""
        made, accept = self._made, self._made.outcome(ACCEPT)
        replies = made.inside(Level.STATE, [(state, state) for state in REPLIES], accept)
        ends = made.relabel(self.before_list(path), {accept: NOTHING})
        # Nothing is behind the last list for pass to lead to, and the first one only takes away.
        own = made.relabel(self.of_list(path, self.verdict), {made.outcome(_PASS): accept})
        taken = made.relabel(self.of_packets(path, self.verdict), dict.fromkeys([accept, made.outcome(_PASS)], NOTHING))
        return made.first([taken, replies, ends, own, accept])

    def before_list(self, path: Path, blocks: int | None = None, turned: Label | None = None) -> int:
        """What policy blocks and Kubernetes' policies say, where the node's list is yet to be asked. `blocks`: what the
        verdicts of the blocks are, where that is known; `turned`: as in `PolicyDiagrams`."""
        made = self._made
        found = self.of_blocks(path, self.verdict) if blocks is None else blocks
        return made.first([made.relabel(found, {made.outcome(_PASS): NOTHING}), self._behind.at(path, turned)])

    def of_blocks(self, path: Path, says: Says) -> int:
        """What the policy blocks say of the packets that they are asked about; all their rules count as one list."""
        made = self._made
        asked = made.outside(made.first([self.exempt(), made.inside(Level.STATE, [(s, s) for s in REPLIES])]))
        if path is Path.INPUT:
            asked = made.where(asked, made.inside(self.over.source, self._own))
        if path is Path.OUTPUT:
            asked = made.where(asked, made.outside(made.inside(Level.SOURCE_TYPE, [(LOCAL, LOCAL)])))
        if asked == NOTHING:
            return NOTHING
        return made.where(asked, self._first(self.lists.blocks, path, says))

    def of_packets(self, path: Path, says: Says) -> int:
        """What the list in front of everything says."""
        return self._first(self.lists.first(path), path, says)

    def of_list(self, path: Path, says: Says) -> int:
        """What the last list says of the packets that come to it."""
        made = self._made
        asked = made.outside(made.inside(Level.STATE, [(state, state) for state in REPLIES]))
        return made.where(asked, self._first(self.lists.last(path), path, says))

    def exempt(self) -> int:
        """Packets that no block and no policy can stop: a pod's to itself, and neighbour discovery."""
        made = self._made
        itself = made.rows((self.over.source, self.over.destination), self._pairs) if self._pairs else NOTHING
        return made.first([neighbour_discovery(self.over), itself])

    def _first(self, items: Sequence[Placed], path: Path, says: Says) -> int:
        """What the first rule says that decides, or leaves the list."""
        end = self._made.outcome("the end")
        return self._made.relabel(self._items(items, path, says, end), {end: NOTHING})

    def _items(self, items: Sequence[Placed], path: Path, says: Says, rest: int, nested: bool = False) -> int:
        """What the items say, and of packets that none decides, `rest`; that says something of every packet, and the
        packets that leave a `nested` list have it, too."""
        made, behind, plain = self._made, rest, list[int]()
        for one in reversed(items):
            word = verdict(one.item, self.over.version)
            if path not in one.paths or (word == "nothing" and not one.inner):
                continue
            if one.inner:
                rest, plain = made.first([*reversed(plain), rest]), []
                plain.append(made.where(self._met(one, path), self._items(one.inner, path, says, rest, True)))
            elif word == "leave" and nested:
                plain.append(made.where(self._met(one, path), behind))
            elif isinstance(one.item, Rule):
                plain.append(self.about.of(one.item, path, says(one)))
            else:
                plain.append(made.where(self._met(one, path), says(one)))
        return made.first([*reversed(plain), rest])

    def _met(self, placed: Placed, path: Path) -> int:
        item = placed.item
        return met(item, path, self.over, self.matches) if isinstance(item, Opaque) else self.about.of(item, path)

    def verdict(self, placed: Placed) -> int:
        """What the rule says: `ACCEPT`, `DROP`, "reject KIND", "pass", or "unknown: TEXT"."""
        said = verdict(placed.item, self.over.version)
        return self._made.outcome(_WORDS.get(said, said))


def baseline_blocks(blocks: Sequence[PolicyBlock], ends: ProgramEnds) -> Iterator[Block]:
    """The blocks of the baseline tier, for `Clauses`; their rules are told apart by all their places in these."""
    number = 0
    for block in blocks:
        rules = {("baseline", number + n): rule for n, rule in enumerate(rules_of(block))}

        def at(over: Space, rules: Mapping[Label, Rule] = rules) -> int:
            about = RuleDiagrams(ends, over, Matches(over))
            return over.made.first([about.of(rule, Path.FORWARD, over.made.outcome(n)) for n, rule in rules.items()])

        yield Block(block.priority, at, {n: VERDICTS[rule.verb] for n, rule in rules.items()})
        number += len(rules)

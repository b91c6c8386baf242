"""Rules of one tool, and notes in the log, that stand in nat, mangle or raw: as that tool's reader has them.

Each becomes a base chain of its own at its hook, in the order of the program, so that its stateful matches have places
as those of a text have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from compiler.resources.language import Log, Opaque, Rule, Statement
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.spots import Spot
from compiler.semantics.diagrams.way_diagram import Places
from compiler.semantics.proof.as_written import CHAIN, read_alone
from compiler.semantics.proof.flows import Turn, Turns
from compiler.semantics.rules.effects import Asked
from compiler.semantics.rules.netfilter import Base, Chain, Hook, Ruleset, Table
from compiler.semantics.rules.netfilter import Rule as Line
from grammar.ruletext import Refused

_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100}


class RulesInTables:
    """Of one family. `turns`: all statements of a program. Raises Unprovable."""

    def __init__(self, turns: Mapping[Hook, Turns], version: int, places: Places) -> None:
        self._found: dict[tuple[int, Hook], Table] = {}
        tables = []
        for hook, found in turns.items():
            for name, items in (("raw", found.raw), ("mangle", found.mangle), ("nat", found.nat)):
                for turn in (one for item in items for one in item.every() if _is_text(one.statement)):
                    base = Base(hook, _PRIORITIES[name], nat=name == "nat")
                    table = _read(turn.statement, name, version, base)
                    self._found[id(turn), hook] = table
                    tables.append(table)
        #: Of chains of one priority the one that was loaded last comes first.
        self.stateful: dict[Spot, Asked] = places.of(Ruleset(tuple(reversed(tables))), version) if tables else {}

    def lines(self, turn: Turn, hook: Hook) -> tuple[Table, Iterable[Line]]:
        """The table, and the one rule or those that say together what the one does."""
        table = self._found[id(turn), hook]
        return table, table.chains[CHAIN].rules


def _is_text(statement: Statement) -> bool:
    return isinstance(statement, Opaque) or (isinstance(statement, Rule) and statement.log is not None)


def _read(statement: Statement, name: str, version: int, base: Base) -> Table:
    where = f"{statement.span}, {base.hook.value}"
    try:
        if isinstance(statement, Opaque) and statement.version not in (None, version):
            table = Table(name, frozenset({version}), {}, {})
            chain = Chain(CHAIN, ())
        else:
            table = read_alone(*_text(statement), name, version, where)
            chain = table.chains[CHAIN]
    except Refused as error:
        raise Unprovable(f"{statement.span.file_line}: {error.flaw.message}") from None
    return replace(table, chains={CHAIN: replace(chain, base=base)})


def _text(statement: Statement) -> tuple[str, str]:
    if isinstance(statement, Opaque):
        return statement.tool, statement.rule
    assert isinstance(statement, Rule), "a note in the log"
    assert statement.log is not None, "a note in the log"
    return "nft", _noted(statement.log)


def _noted(log: Log) -> str:
    """In nft's words."""
    words = []
    if log.limit is not None:
        burst = 5 if log.limit.burst is None else log.limit.burst
        words.append(f"limit rate {log.limit.count}/{log.limit.unit} burst {burst} packets")
    words.append("log")
    words += [f'prefix "{log.prefix}"'] * bool(log.prefix) + ["group 0"] * (not log.kernel)
    return " ".join(words)

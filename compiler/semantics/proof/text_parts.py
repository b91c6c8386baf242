"""A ruleset in parts: what its filter chains decide, and what else becomes of packets, hook by hook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from compiler.semantics.rules.netfilter import CONNTRACK, TRANSLATES, Base, Hook, Ruleset

_TRACKS = (Hook.PREROUTING, Hook.OUTPUT)
_FILTERED = (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT)


def of_filter(ruleset: Ruleset) -> Ruleset:
    """Base chains of INPUT, FORWARD and OUTPUT that come behind all that changes packets there."""
    return _with(ruleset, _is_filter)


def others(ruleset: Ruleset) -> Ruleset:
    """All but those."""
    return _with(ruleset, lambda base: not _is_filter(base))


def behind_conntrack(ruleset: Ruleset) -> Ruleset:
    """The base chains that packets come to when conntrack has looked at them."""
    return _with(ruleset, lambda base: base.hook not in _TRACKS or base.place[0] > CONNTRACK)


def at_hook(ruleset: Ruleset, hook: Hook, nat: bool) -> Ruleset:
    """The base chains of a hook alone: those of nat, or all others."""
    return _with(ruleset, lambda base: base.hook is hook and base.nat is nat)


def _is_filter(base: Base) -> bool:
    return not base.nat and base.hook in _FILTERED and base.priority > TRANSLATES[Hook.OUTPUT]


def _with(ruleset: Ruleset, wanted: Callable[[Base], bool]) -> Ruleset:
    """Those base chains, and all that rules jump to."""
    tables = []
    for table in ruleset.tables:
        chains = {name: chain for name, chain in table.chains.items() if chain.base is None or wanted(chain.base)}
        tables.append(replace(table, chains=chains))
    return Ruleset(tuple(tables))

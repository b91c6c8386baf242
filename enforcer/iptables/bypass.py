"""Rules of others in the hooks of iptables that matter to ours: what is accepted in front of our jump never meets it.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from compiler.backends.iptables_rules import PREFIX
from enforcer.dataplane import Foreign
from enforcer.iptables.xtables import HOOKS, Chains

_ACCEPTS = "it can accept packets before our rules see them"
_IN_FRONT = "it stands in front of our jump"
_GONE = "our jump is not there"


def bypasses(table: str, chains: Chains, listed: Callable[[str], Sequence[str]]) -> Iterator[Foreign]:
    """`table`: with its tool. `listed`: the rules of a chain as the tool prints them. Where our base chain is there,
    its jump should be the first rule of the hook."""
    for hook in HOOKS:
        rules, own = chains.get(hook, ()), PREFIX + hook
        if own not in chains:
            continue
        place = f"{table} {hook}"
        jump = next((n for n, rule in enumerate(rules) if rule.target == own), None)
        if jump is None:
            if chains[own]:
                yield Foreign(place, "", _GONE)
            continue
        for rule, text in zip(rules[:jump], listed(hook) if jump else (), strict=False):
            yield Foreign(place, text, _ACCEPTS if _accepts(rule.target, chains, frozenset()) else _IN_FRONT)


def _accepts(target: str, chains: Chains, above: frozenset[str]) -> bool:
    """Whether a packet that is led there can be accepted."""
    if target == "ACCEPT":
        return True
    if target not in chains or target in above:
        return False
    return any(_accepts(rule.target, chains, above | {target}) for rule in chains[target])

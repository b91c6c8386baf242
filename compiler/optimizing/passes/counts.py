"""Counters in the text of rules and policies."""

from __future__ import annotations

import re
from dataclasses import replace

from compiler.optimizing.chains import Policy, Rule

_MOST = (1 << 64) - 1
_COUNTERS = re.compile(r"(\[)(\d+):(\d+)\]")
#: Of nft, in scripts without numbers; strings and counters with a name, which are elsewhere, are passed by.
_COUNTER = re.compile(r'"[^"]*"|\bcounter name\b|(\bcounter\b)(?: packets (\d+) bytes (\d+))?')


def counts(thing: Rule | Policy) -> tuple[int, int] | None:
    """Packets and bytes as its text has them; None without counters."""
    found = _found(thing)
    return (int(found[2] or 0), int(found[3] or 0)) if found else None


def heir(rule: Rule, other: Rule) -> Rule:
    """The rule with the packets and bytes of the other, too: in its text, where that has counters, and as weight."""
    packets, octets = counts(other) or (0, 0)
    weight = None if rule.weight is None and other.weight is None else rule.matched + other.matched
    text = _more(rule, packets, octets)
    return replace(rule, text=text, packets=rule.packets + packets, bytes=rule.bytes + octets, weight=weight)


def policy_heir(policy: Policy, other: Rule) -> Policy:
    """The policy with the packets and bytes of the rule."""
    packets, octets = counts(other) or (0, 0)
    text = _more(policy, packets, octets)
    return replace(policy, text=text, packets=policy.packets + packets, bytes=policy.bytes + octets)


def _more(thing: Rule | Policy, packets: int, bytes_: int) -> str:
    found = _found(thing)
    if found is None:
        return thing.text
    text = thing.text
    if found[2] is None:
        return f"{text[: found.end()]} packets {packets} bytes {bytes_}{text[found.end() :]}"
    for group, more in ((3, bytes_), (2, packets)):
        text = text[: found.start(group)] + str(min(int(found[group]) + more, _MOST)) + text[found.end(group) :]
    return text


def _found(thing: Rule | Policy) -> re.Match[str] | None:
    if isinstance(thing, Policy):
        return next((one for one in _COUNTERS.finditer(thing.text) if one.end() == len(thing.text)), None)
    if thing.text.startswith("["):
        return _COUNTERS.match(thing.text)
    return next((one for one in _COUNTER.finditer(thing.text) if one[1]), None)

"""A difference for people and programs: plain text and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from compiler.analysis.diff import Change, Diff, Witness
from compiler.analysis.outside import title, union
from compiler.analysis.reach_text import FAMILY_NAMES, party_value, ports_value
from compiler.analysis.reasons import Answer, Reason
from compiler.analysis.survey import Kind, Member, party
from compiler.analysis.workloads import Workload
from compiler.net import Family
from compiler.semantics.packet import Packet
from compiler.semantics.verdict import Because

_WIDTH = 110
#: Witnesses of one change, and policies of one reason, that the text shows; the JSON has all.
_SHOWN, _POLICIES = 2, 4
_SIDES = ("before", "after")


class Names:
    """How to name members together, by workload as far as all of its pods are among them."""

    def __init__(self, members: Sequence[Member], loads: Sequence[Workload]) -> None:
        self._loads = [(load.title, {f"{load.namespace}/{pod.name}" for pod in load.pods}) for load in loads]
        self._all = {kind: sum(one.kind is kind for one in members) for kind in Kind}

    def lines(self, members: Sequence[Member], families: Sequence[Family]) -> Iterator[str]:
        pods = {one.title for one in members if one.kind is Kind.PODS}
        if len(pods) > 3 and len(pods) == self._all[Kind.PODS]:
            yield "all pods"
        elif pods:
            yield ", ".join(self._pods(pods))
        nodes = [one.name for one in members if one.kind is Kind.NODES]
        if len(nodes) > 1 and len(nodes) == self._all[Kind.NODES]:
            yield "all nodes"
        elif nodes:
            yield f"{'node' if len(nodes) == 1 else 'nodes'} {', '.join(nodes)}"
        ranges = [span for one in members for span in one.ranges if span[0] in families]
        if ranges:
            yield f"outside {title(union(ranges))}"

    def _pods(self, pods: set[str]) -> Iterator[str]:
        for name, own in self._loads:
            some = sorted(pods & own)
            if len(some) == len(own):
                yield name
            elif some:
                yield f"{name} ({len(some)} of {len(own)} pods: {', '.join(one.partition('/')[2] for one in some)})"


def text(found: Diff, loads: Sequence[Workload]) -> str:
    """What opened, then what closed, each change with single connections and the rules behind them."""
    names = Names(found.members, loads)
    if not found.opened and not found.closed:
        return "no difference: everyone reaches whom they reached before\n"
    lines: list[str] = []
    for head, changes in (("opened", found.opened), ("closed", found.closed)):
        for change in changes:
            lines += [*_change(head, change, names), ""]
    return "".join(f"{line}\n" for line in lines[:-1])


def _change(head: str, change: Change, names: Names) -> Iterator[str]:
    only = "" if len(change.families) == len(Family) else ", " + " ".join(FAMILY_NAMES[f] for f in change.families)
    yield f"{head}: {change.ports}{only}"
    for label, members in (("from", change.sources), ("to", change.targets)):
        yield from _wrapped(f"  {label:<6} ", names.lines(members, change.families))
    for witness in change.witnesses[:_SHOWN]:
        yield from _witness(witness)
    if (more := len(change.witnesses) - _SHOWN) > 0:
        yield f"  {more} more with other rules behind them: --format json"


def _witness(witness: Witness) -> Iterator[str]:
    packets = list(dict.fromkeys(str(side[0]) for side in (witness.old, witness.new) if side is not None))
    yield f"  e.g.   {' / '.join(packets)}"
    for label, side in zip(_SIDES, (witness.old, witness.new), strict=True):
        if side is None:
            yield f"    {label:<6} one of them was not there"
            continue
        said = [f"{'allowed' if side[1].allowed else 'denied'}", *map(reason_text, side[1].reasons)]
        yield from _wrapped(
            f"    {label:<6} ", [": ".join(said[:2]), *(f"{' ' * len(said[0])}  {s}" for s in said[2:])]
        )


def reason_text(reason: Reason) -> str:
    """E.g. `egress by shop/frontend egress[0] (policies.yaml:61)`."""
    side = reason.direction.value.lower()
    rules = ", ".join(map(str, reason.rules[:_POLICIES]))
    rules += f" and {len(reason.rules) - _POLICIES} more" if len(reason.rules) > _POLICIES else ""
    match reason.because:
        case Because.RULE:
            return f"{side} by {rules}"
        case Because.ISOLATED:
            return f"{side}, no rule allows it in {rules}"
        case _:
            return f"{side}, {reason.because.value}"


def _wrapped(head: str, lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    for said in lines:
        indent = " " * (len(said) - len(said.lstrip()))
        room = max(40, _WIDTH - len(head))
        for line in wrap(said, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False):
            yield head + line
            head = " " * len(head)


def json_text(found: Diff, loads: Sequence[Workload]) -> str:
    """`ends` are referred to by their places; `names` are as in the text."""
    names = Names(found.members, loads)
    places = {member: n for n, member in enumerate(found.members)}

    def value(change: Change) -> dict[str, Any]:
        return {
            "from": [places[one] for one in change.sources],
            "to": [places[one] for one in change.targets],
            "names": {
                "from": list(names.lines(change.sources, change.families)),
                "to": list(names.lines(change.targets, change.families)),
            },
            "families": [FAMILY_NAMES[family] for family in change.families],
            "ports": ports_value(change.ports),
            "witnesses": [_witness_value(one) for one in change.witnesses],
            "all_rules": change.whole,
        }

    made = {
        "opened": list(map(value, found.opened)),
        "closed": list(map(value, found.closed)),
        "ends": [party_value(party(one.title or title(one.ranges), [one])) for one in found.members],
    }
    return json.dumps(made, indent=1) + "\n"


def _witness_value(witness: Witness) -> dict[str, Any]:
    sides = zip(_SIDES, (witness.old, witness.new), strict=True)
    return {label: None if side is None else _side_value(*side) for label, side in sides}


def _side_value(packet: Packet, answer: Answer) -> dict[str, Any]:
    return {
        "packet": str(packet),
        "allowed": answer.allowed,
        "reasons": [
            {
                "direction": one.direction.value.lower(),
                "because": one.because.value,
                "rules": [
                    {"kind": at.kind, "namespace": at.namespace, "name": at.name, "rule": at.place}
                    | {"place": at.span.file_line}
                    for at in one.rules
                ],
            }
            for one in answer.reasons
        ],
    }

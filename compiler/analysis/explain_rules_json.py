"""The ways of connections through rules as values for JSON: the same facts as in the text."""

from __future__ import annotations

from compiler.analysis.explain_rules import Journey, Passage
from compiler.analysis.explain_rules_text import key_text, ruling_text, verdict_text
from compiler.semantics.rules.journey import Stop
from compiler.semantics.verdict import Because


def as_json(journey: Journey | None) -> dict[str, object] | None:
    """The same for JSON; None when the connection does not come by the node."""
    if journey is None:
        return None
    return {
        "source": journey.source.address,
        "destination": journey.destination.address,
        "nodes": [_passage_json(passage) for passage in journey.passages],
    }


def _passage_json(passage: Passage) -> dict[str, object]:
    ways, stuck = passage.ways, passage.ways.stuck
    return {
        "node": passage.node,
        "hook": passage.path.value,
        "arrives": passage.arrives,
        "verdict": None if ways.passed is None else "accept" if ways.passed else "drop",
        "policies": "accept" if passage.said.allowed else "drop",
        "because": [
            f"{direction.value.lower()} {ruling_text(direction, ruling)}"
            for direction, ruling in passage.said.rulings.items()
            if ruling.because is not Because.NO_SUBJECT
        ],
        "agrees": passage.agrees,
        "chains": [_stop_json(stop) for stop in (ways.trace.stops if ways.trace is not None else ())],
        "missed": [{"set": miss.name, "key": key_text(miss, passage.packet.version)} for miss in ways.missed],
        "assumed": [{"test": test, "place": rule.place.span.file_line} for test, rule in ways.assumed.items()],
        "stuck": None if stuck is None else {"at": stuck[0], "place": stuck[1].place.span.file_line},
        "replies": None if passage.replies is None else _passage_json(passage.replies),
    }


def _stop_json(stop: Stop) -> dict[str, object]:
    return {
        "hook": stop.hook.value,
        "chain": stop.chain.name,
        "verdict": "accept" if stop.passed else "drop",
        "by-policy": stop.by_policy,
        "steps": [
            {
                "table": step.table.name,
                "chain": step.chain.name,
                "rule": " ".join(step.rule.place.text.split()),
                "place": step.rule.place.span.file_line,
                "verdict": None if step.verdict is None else verdict_text(step.verdict),
                "element": None
                if step.element is None
                else {"text": " ".join(step.element.place.text.split()), "place": step.element.place.span.file_line},
            }
            for step in stop.steps
        ],
    }

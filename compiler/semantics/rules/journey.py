"""What is asked of the tracer, and what it tells: a packet in its situation, and its way through the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from compiler.semantics.packet import Packet
from compiler.semantics.rules.effects import (
    AS_IT_CAME,
    Change,
    Event,
)
from compiler.semantics.rules.netfilter import (
    Accept,
    Chain,
    Drop,
    Element,
    Field,
    Hook,
    Rule,
    State,
    Table,
    Verdict,
)


class Route(Enum):
    """Where a packet comes from; whether it is delivered or forwarded follows from its destination."""

    ARRIVES = "arrives from another machine"
    SENT = "is sent by the node itself"


@dataclass(frozen=True, slots=True)
class Situation:
    """A packet as it arrives or is sent, and what rules can ask beside its header. `state` None: what conntrack says
    of a packet that belongs to no connection it knows. `local`: the node's own addresses. Interfaces by name. `open`:
    numbers for what texts leave open, by the name of each `Unknown`."""

    packet: Packet
    route: Route = Route.ARRIVES
    local: frozenset[str] = frozenset()
    input: str = ""
    output: str = ""
    state: State | None = None
    mark: int = 0
    open: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that the packet met and that did something: `element` is the set element that said what."""

    table: Table
    chain: Chain
    rule: Rule
    verdict: Verdict | None
    element: Element | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """A base chain's answer. `steps` are those that led to it, the last one deciding; when that is not the verdict,
    the chain's policy decided."""

    hook: Hook
    chain: Chain
    passed: bool
    steps: tuple[Step, ...]

    @property
    def by_policy(self) -> bool:
        """Whether no rule decided."""
        return not self.steps or not isinstance(self.steps[-1].verdict, Accept | Drop)


@dataclass(frozen=True, slots=True)
class Trace:
    """The whole way; only the last stop can be one where the packet did not pass. `change`: what became of the packet
    on the way; `notices`: who was told of it; `numbers`: what rules would be told of it at the end."""

    stops: tuple[Stop, ...]
    change: Change = AS_IT_CAME
    notices: tuple[Event, ...] = ()
    numbers: Mapping[Field, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(stop.passed for stop in self.stops)

    @property
    def how(self) -> str:
        """The end, as `Outcome` has it."""
        if self.passed:
            return "accept"
        steps = self.stops[-1].steps
        last = steps[-1].verdict if steps else None
        return f"reject {last.kind}" if isinstance(last, Drop) and last.rejected else "drop"


class Unanswerable(Exception):
    """The packet met something that is not modelled: the rule or statement, as text, and where it stands."""

    def __init__(self, what: str, rule: Rule) -> None:
        self.what = what
        self.rule = rule
        super().__init__(f"{rule.place.span}: {what}")

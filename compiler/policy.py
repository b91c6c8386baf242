"""The policy model: one form for every kind of policy, before any cluster is known.

Glossary: a policy has a *tier* and, in the admin and baseline tiers, a *priority*; its *subject* names the pods it
is about; each *rule* has an action, *peers* (the other end) and *ports* (of the destination). `translate` makes
the model from API objects and decides every default there; the policy language makes the same model.
"""

from __future__ import annotations

import string
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from operator import itemgetter

from compiler.net import PROTOCOL_NAMES, Family, Intervals, Prefix
from grammar.source import Span

_PLAIN = frozenset(string.ascii_letters + string.digits + "-._/")


def plain(text: str) -> str:
    """A key, value or name as selectors print it. Custom resources may have any text there: what labels cannot have
    is percent-encoded, so that no two selectors print alike, and somebody who fills a set by hand, or proves it, can
    read what is meant."""
    return "".join(c if c in _PLAIN else "".join(f"%{byte:02X}" for byte in c.encode()) for c in text)


class Tier(IntEnum):
    """Order of evaluation. The value sorts: admin first."""

    ADMIN = 0
    APPLICATION = 1
    BASELINE = 2


class Direction(Enum):
    """As seen from the subject; the value is the API's field name."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Action(Enum):
    """What a matching rule does to a packet in its direction; the values print in explanations."""

    ALLOW = "allow"  #: ends the evaluation of this direction
    DENY = "deny"  #: ends the evaluation of this direction
    PASS = "pass"  #: goes on at the next tier


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule or policy was written. `place` is its path in the object, e.g. `ingress[0]`, or empty."""

    kind: str
    namespace: str
    name: str
    place: str
    span: Span

    def __str__(self) -> str:
        owner = f"{self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
        return " ".join(filter(None, [owner, self.place, f"({self.span.file_line})"]))


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on labels; `operator` is In, NotIn, Exists or DoesNotExist (metav1.LabelSelectorRequirement)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":  # objects without the key match as well
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels

    def __str__(self) -> str:
        key, values = plain(self.key) or "''", [plain(value) for value in self.values]
        match self.operator:
            case "In" if len(values) == 1:
                return f"{key}={values[0]}"
            case "In":
                return f"{key} in ({', '.join(values)})"
            case "NotIn":
                return f"{key} notin ({', '.join(values)})"
            case "Exists":
                return key
            case _:
                return f"!{key}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector: all requirements hold. Empty selects everything. Requirements are sorted and distinct."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(r.matches(labels) for r in self.requirements)

    def __str__(self) -> str:
        text = ",".join(map(str, self.requirements))
        return "%61ll" if text == "all" else text or "all"  # a label may be called so


@dataclass(frozen=True, slots=True)
class PodSelector:
    """Pods whose labels match `pods`, in the namespace of that name or in all namespaces that a selector matches."""

    namespaces: str | Selector
    pods: Selector

    def __str__(self) -> str:
        place = self.namespaces if isinstance(self.namespaces, str) else f"namespaces({self.namespaces})"
        return f"pods({self.pods}) in {place}"


@dataclass(frozen=True, slots=True)
class Block:
    """An ipBlock: the addresses of `prefix` without those of `excepts`, whoever holds them."""

    prefix: Prefix
    excepts: tuple[Prefix, ...] = ()

    def __str__(self) -> str:
        cut = f" except {', '.join(map(str, self.excepts))}" if self.excepts else ""
        return f"{self.prefix}{cut}"


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """The addresses of the nodes whose labels match; not the pods on them."""

    nodes: Selector

    def __str__(self) -> str:
        return f"nodes({self.nodes})"


@dataclass(frozen=True, slots=True)
class Resolved:
    """An end of a program as the addresses that it is in one cluster, whoever holds them; `text` says which end."""

    text: str
    addresses: Mapping[Family, Intervals]

    def holds(self, family: Family, address: int) -> bool:
        spans = self.addresses.get(family, ())
        n = bisect_right(spans, address, key=itemgetter(0))
        return n > 0 and address <= spans[n - 1][1]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Domains:
    """Addresses learnt from DNS answers for these names; a compile from files knows none."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"domains({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Anyone:
    """Every address, pod or not."""

    def __str__(self) -> str:
        return "anyone"


Peer = PodSelector | Block | NodeSelector | Resolved | Domains | Anyone


@dataclass(frozen=True, slots=True)
class NamedPort:
    """A container port's name on the destination pod; `protocol` None matches whichever the container declares."""

    name: str
    protocol: int | None = None

    def __str__(self) -> str:
        protocol = "" if self.protocol is None else f"{PROTOCOL_NAMES[self.protocol]} "
        return f"{protocol}port named {plain(self.name)}"


@dataclass(frozen=True, slots=True)
class Ports:
    """What a rule says of ports. `spans` are (protocol, first, last), inclusive, of ICMP types; `everything` overrides
    both."""

    everything: bool = False
    spans: tuple[tuple[int, int, int], ...] = ()
    named: tuple[NamedPort, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """No peer at all matches nothing. `weight` is the expected share of packets it decides, None when unknown."""

    action: Action
    peers: tuple[Peer, ...]
    ports: Ports
    origin: Origin
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy. `isolates` lists the directions in which selecting a pod makes what no rule allows denied;
    only the application tier uses it. Rules keep their order: first match wins inside a tier. `only`: of the subject's
    pods, those with such addresses, and in these connections alone; a block of a program has it."""

    tier: Tier
    priority: int
    subject: PodSelector
    isolates: frozenset[Direction]
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]
    origin: Origin
    only: Resolved | None = None

    @property
    def is_of_program(self) -> bool:
        """Whether a block of a program says it, and no object."""
        return self.origin.kind == "policy"

    def rules(self, direction: Direction) -> tuple[Rule, ...]:
        return self.ingress if direction is Direction.INGRESS else self.egress

    @property
    def order(self) -> tuple[int, int, str, str, str]:
        """Sort key of evaluation: tier, priority, then name (a tie is undefined by the API; netpolc's decision)."""
        return (self.tier, self.priority, self.origin.name, self.origin.namespace, self.origin.kind)

"""What lint finds, and what it looks at: policies with their places, as models, beside the pods of the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from compiler.policy import Direction, Peer, PodSelector, Policy, Rule
from compiler.resources import clusterpolicy
from compiler.resources.cluster import TERMINAL_PHASES, Namespace, Pod
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located
from compiler.translate import translate
from grammar.source import Flaw, Span, printable
from grammar.tree import Packed

Path = tuple[str | int, ...]


class Level(IntEnum):
    """How grave a finding is; the name in small letters is the word in the message."""

    INFO = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """A remark at a place. `about`: the policy or the namespace, whose annotation may suppress it."""

    level: Level
    flaw: Flaw
    about: AnyPolicy | Namespace

    def render(self) -> str:
        """As every diagnostic: `FILE:LINE:COLUMN: LEVEL: MESSAGE [CODE]`, then the lines."""
        head = f"{self.flaw.span}: {self.level.name.lower()}: {self.flaw.message} [{self.flaw.code}]"
        return "\n".join([printable(head), *self.flaw.excerpt])


@dataclass(frozen=True, slots=True)
class Entry:
    """A policy: where it stands and what it means."""

    located: Located
    model: Policy

    @property
    def title(self) -> str:
        origin = self.model.origin
        return f"{origin.namespace}/{origin.name}" if origin.namespace else f"{origin.kind} {origin.name}"

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.located.value.metadata.annotations or {}

    def finding(self, level: Level, code: str, message: str, path: Path, *, on_key: bool = False) -> Finding:
        return Finding(level, self.located.tree.flaw(path, message, code, on_key=on_key), self.located.value)

    def rules(self) -> Iterator[tuple[Direction, int, Rule]]:
        """Every rule, with its direction and index."""
        for direction in Direction:
            for index, rule in enumerate(self.model.rules(direction)):
                yield direction, index, rule

    def peers(self, direction: Direction, index: int) -> Iterator[tuple[Peer, Path]]:
        """The peers of a rule as models, each with its path; the blocks of one `networks` share theirs."""
        rule = self.model.rules(direction)[index]
        field = "from" if direction is Direction.INGRESS else "to"
        base: Path = ("spec", direction.value, index, field)
        written = (self.located.value.spec.ingress if field == "from" else self.located.value.spec.egress) or ()
        wanted = (
            getattr(written[index], "from_", None) if field == "from" else getattr(written[index], "to", None)
        ) or ()
        paths: list[Path] = []
        for n, one in enumerate(wanted):
            count = 1
            if isinstance(one, clusterpolicy.EgressPeer) and one.networks is not None:
                count = len(one.networks)
            paths += [(*base, n)] * count
        if len(paths) != len(rule.peers):  # anyone, or a rule that fails closed: it stands for no single peer
            paths = [("spec", direction.value, index)] * len(rule.peers)
        yield from zip(rule.peers, paths, strict=True)

    def rule_title(self, direction: Direction, index: int) -> str:
        path = ("spec", direction.value, index)
        return f"{direction.value}[{index}] of {self.title} ({self.located.at(*path).file_line})"


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace, and where it stands; without an object of its own in the input, it stands under its name."""

    value: Namespace
    written: Packed | None

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.value.annotations

    def finding(self, level: Level, code: str, message: str, path: Path, *, on_key: bool = False) -> Finding:
        if self.written is None:
            flaw = Flaw(Span(f"namespace {self.value.name}", 0, 0, 0, 0), message, code)
        else:
            flaw = self.written.tree().flaw(path, message, code, on_key=on_key)
        return Finding(level, flaw, self.value)


class World:
    """All that a check may look at. `pods` are those that policies can mean: neither finished nor on the host
    network; templates of workloads stand for theirs."""

    def __init__(self, policies: Sequence[Located], snapshot: Snapshot, written: Mapping[str, Packed]) -> None:
        self.entries = tuple(Entry(one, translate([one])[0]) for one in policies)
        self.spaces = {name: Space(one, written.get(name)) for name, one in snapshot.namespaces.items()}
        self.snapshot = snapshot
        self.pods = tuple(p for p in snapshot.pods if not p.host_network and p.phase not in TERMINAL_PHASES)
        self._members: dict[PodSelector, tuple[Pod, ...]] = {}

    @cached_property
    def kinds(self) -> tuple[Pod, ...]:
        """One pod of each namespace, labels and ports."""
        found: dict[object, Pod] = {}
        for pod in self.pods:
            found.setdefault((pod.namespace, frozenset(pod.labels.items()), pod.ports), pod)
        return tuple(found.values())

    def members(self, chosen: PodSelector) -> tuple[Pod, ...]:
        """The kinds of pods that a selector means."""
        found = self._members.get(chosen)
        if found is None:
            spaces = chosen.namespaces
            if isinstance(spaces, str):
                names = {spaces}
            else:
                names = {name for name, one in self.snapshot.namespaces.items() if spaces.matches(one.labels)}
            found = tuple(p for p in self.kinds if p.namespace in names and chosen.pods.matches(p.labels))
            self._members[chosen] = found
        return found


def listed(names: Sequence[str], most: int = 3) -> str:
    """Some of the names, and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")

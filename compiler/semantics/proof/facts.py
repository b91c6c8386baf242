"""What can be true of the ends of a connection where no pod is known: fields of diagrams beside the packet's own.

A *fact* is a question about an end: is it a pod, a node or neither; which value has a label of the pod, of its
namespace, of the node; is it an address of a domain. Of labels, the values that anybody names are told apart, and one
more stands for all others. So every packet with these fields is one that some cluster may see, and all clusters
together are all of them, but for what `impossible` names. About both ends together there is one more, whether they
are the same pod; about a destination and its port, under which names the pod serves it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from compiler.resources.labels import LabelSelector
from compiler.semantics.diagrams.diagram import IN, NOTHING, Range
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.space import ROOM, Level, Space
from compiler.semantics.packet import PORTED
from compiler.semantics.proof.meant import NAME_LABEL, Domains, Itself, Meant, Nodes, Pods, Serving
from compiler.semantics.reading import selects
from compiler.semantics.rules.netfilter import Field

#: What an end is, which is the answer to `KIND`.
KIND = "kind"
NEITHER, POD, NODE = 0, 1, 2
ENDS = (Field.DESTINATION, Field.SOURCE)
_PORTS = (Field.DESTINATION_PORT, Field.SOURCE_PORT)


@dataclass(frozen=True, slots=True)
class Label:
    """`of`: "namespace", "pod" or "node"."""

    of: str
    key: str


class Facts:
    """The facts that these descriptions need, in a space that has no diagrams yet. Raises `Unprovable` when they are
    too many."""

    def __init__(self, over: Space, descriptions: Iterable[Meant]) -> None:
        self._over, self._made = over, over.made
        known = tuple(descriptions)
        labels: dict[Label, set[str]] = {}
        for label, values in (pair for one in known for pair in _labels_of(one)):
            labels.setdefault(label, set()).update(values)
        #: The values of each label that are told apart; None: the label is absent.
        self.choices: dict[Label, tuple[str | None, ...]] = {
            label: _choices(label, labels[label]) for label in sorted(labels, key=_is_no_name)
        }
        self.domains = tuple(sorted({name for one in known if isinstance(one, Domains) for name in one.names}))
        self._levels: dict[tuple[Field, Hashable], int] = {}
        # The same question is asked of both ends in a row: rules compare namespaces and labels of the two.
        for question, size in (
            (KIND, 3),
            *((label, len(values)) for label, values in self.choices.items()),
            *((name, 2) for name in self.domains),
        ):
            for end in ENDS:
                level = Level.ENDS + len(self._levels)
                if len(self._levels) == ROOM:
                    raise Unprovable(f"selectors ask for more than {ROOM // 2} labels and values of the ends")
                self._levels[end, question] = level
                self._made.sizes[level] = size
        self._serving: dict[tuple[str, Field, Field], int] = {}
        self._ones: dict[tuple[Field, int], tuple[int, Meant]] = {}  # by id: whoever is meant is kept beside

    @cached_property
    def same(self) -> int:
        """The level that tells whether both ends are the same pod."""
        return self._made.add_field(2)

    @property
    def serving(self) -> Mapping[tuple[str, Field, Field], int]:
        """The levels that tell whether an end serves a port under a name."""
        return self._serving

    def level(self, end: Field, question: Hashable) -> int:
        """Of a question: `KIND`, a label, or the name of a domain."""
        return self._levels[end, question]

    # Sets of packets

    def kind(self, end: Field, kind: int) -> int:
        return self._made.inside(self.level(end, KIND), [(kind, kind)])

    def is_one(self, end: Field, who: Meant) -> int:
        """Where the address at this end belongs to those who are meant."""
        key = end, id(who)
        if key not in self._ones:
            self._ones[key] = self._is_one(end, who), who
        return self._ones[key][0]

    def _is_one(self, end: Field, who: Meant) -> int:
        match who:
            case Pods(namespaces, pods):
                asked = {**self._asked(end, "namespace", namespaces), **self._asked(end, "pod", pods)}
                return self._all({self.level(end, KIND): [(POD, POD)], **asked})
            case Nodes(nodes):
                return self._all({self.level(end, KIND): [(NODE, NODE)], **self._asked(end, "node", nodes)})
            case Domains(names):
                return self._made.first(self._made.inside(self.level(end, name), [(1, 1)]) for name in names)
            case Serving() | Itself():
                raise AssertionError("about more than an address")

    def serves(self, name: str, protocol: int | None, end: Field, port: Field) -> int:
        """Where a pod at this end has a container port of that name, which is the packet's protocol and `port`. "Each
        named port in a pod must have a unique name": an empty one is none."""
        if not name:
            return NOTHING
        level = self._serving.get((name, end, port))
        if level is None:
            level = self._serving[name, end, port] = self._made.add_field(2)
        protocols = sorted(PORTED) if protocol is None else [protocol]
        held = self._made.inside(Level.PROTOCOL, [(p, p) for p in protocols], self._made.inside(level, [(1, 1)]))
        return self._made.where(self.kind(end, POD), held)

    def one_pod(self, one: Field, two: Field) -> int:
        """Where both are addresses of one pod."""
        pods = self._made.where(self.kind(one, POD), self.kind(two, POD))
        return pods if one is two else self._made.where(pods, self._made.inside(self.same, [(1, 1)]))

    def members(self, who: Meant, fields: Sequence[Field]) -> int:
        """Where these fields of the packet are in a set of those who are meant."""
        match who, tuple(fields):
            case Serving(name, protocol), (end, Field.PROTOCOL, port) if end in ENDS and port in _PORTS:
                return self.serves(name, protocol, end, port)
            case Itself(), (one, two) if one in ENDS and two in ENDS:
                return self.one_pod(one, two)
            case Pods() | Nodes() | Domains(), (end,) if end in ENDS:
                return self.is_one(end, who)
        asked = ", ".join(field.value for field in fields)
        raise Unprovable(f"a set that is to be filled with {who} is asked for {asked}")

    def _asked(self, end: Field, of: str, selector: LabelSelector) -> dict[int, list[Range]]:
        """Level of each label that the selector names -> the values that it takes."""
        found = {}
        for key in _values_of(selector):
            own = LabelSelector.model_construct(
                match_labels={k: v for k, v in (selector.match_labels or {}).items() if k == key},
                match_expressions=tuple(one for one in selector.match_expressions or () if one.key == key),
            )
            label = Label(of, key)
            found[self.level(end, label)] = [
                (n, n)
                for n, value in enumerate(self.choices[label])
                if selects(own, {} if value is None else {key: value})
            ]
        return found

    def _all(self, asked: Mapping[int, Sequence[Range]]) -> int:
        then = IN
        for level in sorted(asked, reverse=True):
            then = self._made.inside(level, asked[level], then)
        return then

    # What no cluster has

    def impossible(self, pieces: Sequence[Range], nodes: Iterable[int], differ: int, agree: int) -> int:
        """Packets that no cluster sees. `pieces`: ranges of addresses, all together all, that nobody tells apart;
        `nodes`: addresses of nodes, which no pod holds; `differ`, `agree`: packets that are known to have two
        different addresses, or one.

        - Both ends are the same pod, and something differs that is the pod's, or the addresses do.
        - They are not, and have the same address.
        - Two pods of one namespace see other labels of it.
        """
        made, over = self._made, self._over
        pods = made.where(self.kind(Field.DESTINATION, POD), self.kind(Field.SOURCE, POD))
        same = made.inside(self.same, [(1, 1)])
        own = [label for label in self.choices if label.of != "node"]
        alike, equal = (
            made.rows((over.source, over.destination), [(span, span) for span in spans])
            for spans in (pieces, [(low, high) for low, high in pieces if low == high])
        )
        others = made.first([differ, made.outside(alike), *(made.outside(self._alike(label)) for label in own)])
        one = made.first([equal, agree])
        name = Label("namespace", NAME_LABEL)
        spaces = NOTHING
        if name in self.choices:
            theirs = (self._alike(label) for label in own if label.of == "namespace" and label != name)
            named = self._alike(name, len(self.choices[name]) - 1)
            spaces = made.where(named, made.first([made.outside(label) for label in theirs]))
        held = [(address, address) for address in nodes]
        return made.first(
            [
                made.where(pods, made.where(same, others)),
                made.where(made.outside(pods), same),
                made.where(made.first([self.kind(end, POD) for end in ENDS]), made.where(one, made.outside(same))),
                made.where(pods, spaces),
                *(made.where(self.kind(end, POD), made.inside(over.level(end), held)) for end in ENDS),
            ]
        )

    def _alike(self, label: Label, count: int | None = None) -> int:
        """Where both ends have the same value of a label; `count`: one of the first so many."""
        levels = [self.level(end, label) for end in ENDS]
        values = range(len(self.choices[label]) if count is None else count)
        return self._made.rows(levels, [((n, n), (n, n)) for n in values])


def _labels_of(one: Meant) -> Iterator[tuple[Label, set[str]]]:
    match one:
        case Pods(namespaces, pods):
            yield from ((Label("namespace", key), values) for key, values in _values_of(namespaces).items())
            yield from ((Label("pod", key), values) for key, values in _values_of(pods).items())
        case Nodes(nodes):
            yield from ((Label("node", key), values) for key, values in _values_of(nodes).items())


def _values_of(selector: LabelSelector) -> dict[str, set[str]]:
    """The labels that a selector names, each with the values."""
    found: dict[str, set[str]] = {}
    for key, value in (selector.match_labels or {}).items():
        found.setdefault(key, set()).add(value)
    for wanted in selector.match_expressions or ():
        found.setdefault(wanted.key, set()).update(wanted.values or ())
    return found


def _choices(label: Label, values: set[str]) -> tuple[str | None, ...]:
    """Absent, which the name of a namespace never is; the values; and another."""
    other = "other"
    while other in values:
        other += "-one"
    absent = () if label == Label("namespace", NAME_LABEL) else (None,)
    return (*absent, *sorted(values), other)


def _is_no_name(label: Label) -> bool:
    """The names of namespaces come first, which tell most apart. The others stay in the order in which policies name
    them: what a rule asks of its subject and of its peer stands together, so that a diagram need not remember the
    answers to all questions about the one end while it asks those about the other."""
    return label != Label("namespace", NAME_LABEL)

"""What names mean: the sets, services and zones of all files, and the ends and ports that are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address

from compiler.errors import Collector
from compiler.resources.labels import LabelSelector, LabelSelectorRequirement
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    Nodes,
    Pods,
    PortSpec,
    Routed,
    ThisNode,
    parts,
)
from compiler.sources.language import ports
from compiler.sources.language.addresses import bogons, known, versions
from compiler.sources.language.files import Text
from compiler.sources.language.heights import DEEPEST, too_deep
from grammar import dsl_literals as literal
from grammar import dsl_tree as t

_KINDS: Mapping[type, str] = {t.SetDefinition: "set", t.ServiceDefinition: "service", t.ZoneDefinition: "zone"}
_ENDS, _SERVICES = ("set", "zone"), ("service",)
_OPERATORS = {
    t.Relation.EXISTS: "Exists",
    t.Relation.ABSENT: "DoesNotExist",
    t.Relation.EQUAL: "In",
    t.Relation.UNEQUAL: "NotIn",
    t.Relation.AMONG: "In",
    t.Relation.NOT_AMONG: "NotIn",
}
NOBODY = Either(ends=())
#: Built in: by what routing says of an address.
ROUTED: Mapping[str, End] = {
    "local": Routed(kind="local"),
    "broadcast": Routed(kind="broadcast"),
    "multicast": Routed(kind="multicast"),
}


@dataclass(frozen=True, slots=True)
class Defined:
    """A definition and the file it stands in."""

    text: Text
    node: t.Definition

    @property
    def kind(self) -> str:
        return _KINDS[type(self.node)]

    @property
    def place(self) -> str:
        return self.text.source.span(self.node.begin, self.node.end).file_line


class Names:
    """The names of a program. An end or ports that cannot be made of them are None, and what is wrong is reported:
    once, where it stands."""

    def __init__(self, files: Sequence[Text], problems: Collector) -> None:
        self._problems = problems
        self._defined: dict[str, Defined] = {}
        self._ends: dict[str, End | None] = {"bogons": bogons(), **ROUTED}
        #: By id: of ends that have names, which live as long as we do.
        self._versions: dict[int, frozenset[int]] = {}
        self._kinds: dict[int, frozenset[type]] = {}
        self._services: dict[str, tuple[PortSpec, ...] | None] = {}
        self._open: list[str] = []
        for text in files:
            for item in text.tree.items:
                if isinstance(item, t.SetDefinition | t.ServiceDefinition | t.ZoneDefinition):
                    self._define(Defined(text, item))
        for name in too_deep({name: one.node for name, one in self._defined.items()}):
            self._leave_out(self._defined[name])
        for name, one in self._defined.items():
            self._service(name) if one.kind == "service" else self._end(name)

    def _define(self, new: Defined) -> None:
        name = new.node.name
        old = self._defined.setdefault(name.text, new)
        if old is not new:
            self._flaw(new.text, name, f"{name.text} is already the {old.kind} at {old.place}", "duplicate-name")

    def _leave_out(self, one: Defined) -> None:
        """What is nested too deep is told at its name, and means nothing."""
        name = one.node.name
        message = f"{name.text} is made of names and braces that are nested more than {DEEPEST} deep"
        self._flaw(one.text, name, message, "too-deep")
        if one.kind == "service":
            self._services[name.text] = None
        else:
            self._ends[name.text] = None

    def is_ports(self, name: t.Name) -> bool:
        """Whether it is the name of a service, or of a protocol, which no end can have."""
        defined = self._defined.get(name.text)
        return defined.kind == "service" if defined is not None else name.text in ports.NUMBERS

    # ---- Ends

    def versions(self, end: End) -> frozenset[int]:
        """The IP versions that the addresses of an end can have. A large set is looked through once."""
        return self._versions[id(end)] if id(end) in self._versions else versions(end)

    def kinds(self, end: End) -> frozenset[type]:
        """Of which kinds the parts of an end are, not counting what is taken away. Likewise."""
        return self._kinds[id(end)] if id(end) in self._kinds else _kinds(end)

    def end(self, text: Text, node: t.End) -> End | None:
        """The end that an expression of this file means; a family mismatch inside of it, or nobody where an
        expression other than a name is that, is an error."""
        found = self._expression(text, node)
        plain = len(node.terms) == 1 and node.without is None and isinstance(node.terms[0], t.Name)
        if found is not None and not plain and not self._somebody(text, node, found):
            return None
        return found

    def _somebody(self, text: Text, at: t.Node, found: End) -> bool:
        if versions(found):
            return True
        if known(found) is None:
            self._flaw(text, at, "IPv4 and IPv6 at once: nothing is both", "family-mismatch")
        else:
            self._flaw(text, at, "no address is left of this", "empty")
        return False

    def _expression(self, text: Text, node: t.End) -> End | None:
        made = [self._term(text, term) for term in node.terms]
        without = self._term(text, node.without) if node.without is not None else None
        ends = tuple(one for one in made if one is not None)
        if len(ends) < len(made) or (node.without is not None and without is None):
            return None
        whole: End = ends[0] if len(ends) == 1 else Both(ends=ends)
        return whole if without is None else Less(end=whole, without=without)

    def _term(self, text: Text, node: t.Term) -> End | None:
        match node:
            case t.Name():
                return self._end(node.text) if self._is(text, node, _ENDS) else None
            case t.Group(ends=ends):
                return self._either([self._expression(text, one) for one in ends])
            case t.Interfaces(names=names):
                return Interfaces(names=tuple(dict.fromkeys(name.value for name in names)))
            case t.Pods(selector=selector):
                return _pods(selector)
            case t.Nodes(selector=selector):
                labels = [part for part in (selector.parts if selector else ()) if isinstance(part, t.Label)]
                return Nodes(labels=_labels(labels))
            case t.Anyone():
                return Anyone()
            case t.ThisNode():
                return ThisNode()
            case t.Address() | t.Prefix() | t.Range():
                return _addresses(node)

    def _either(self, ends: Sequence[End | None]) -> End | None:
        made = tuple(one for one in ends if one is not None)
        return Either(ends=made) if len(made) == len(ends) else None

    def _end(self, name: str) -> End | None:
        """What the name of a set or zone means."""
        if name not in self._ends:
            self._ends[name] = None
            self._open.append(name)
            found = self._ends[name] = self._defined_end(self._defined[name])
            if found is not None:
                self._versions[id(found)], self._kinds[id(found)] = versions(found), _kinds(found)
            self._open.pop()
            return found
        return self._ends[name]

    def _defined_end(self, one: Defined) -> End | None:
        node = one.node
        assert not isinstance(node, t.ServiceDefinition), "a service is no end"
        if isinstance(node, t.SetDefinition):
            found = self._either([self._entry(one.text, entry) for entry in node.entries])
        else:
            found = self._expression(one.text, node.meaning)
        if found is None or node.may_be_empty or self._somebody(one.text, node, found):
            return found
        return None

    def _entry(self, text: Text, node: t.Entry) -> End | None:
        if isinstance(node, t.Name):
            return self._end(node.text) if self._is(text, node, ("set",)) else None
        if isinstance(node, t.Without):
            return Less(end=_addresses(node.prefix), without=Either(ends=tuple(map(_addresses, node.cuts))))
        return _addresses(node)

    # ---- Ports

    def ports(self, text: Text, node: t.Ports) -> tuple[PortSpec, ...] | None:
        """The ports that an expression of this file means."""
        found: list[PortSpec] = []
        complete = True
        for part in node.sets:
            if isinstance(part, t.PortSet):
                found += ports.of_set(part)
            elif part.text in literal.PROTOCOLS:
                found.append(ports.of_protocol(part))
            elif self._is(text, part, _SERVICES) and (meant := self._service(part.text)) is not None:
                found += meant
            else:
                complete = False
        return tuple(dict.fromkeys(found)) if complete else None

    def _service(self, name: str) -> tuple[PortSpec, ...] | None:
        if name not in self._services:
            self._services[name] = None
            one = self._defined[name]
            assert isinstance(one.node, t.ServiceDefinition), "asked"
            self._open.append(name)
            found = self._services[name] = self.ports(one.text, one.node.ports)
            self._open.pop()
            return found
        return self._services[name]

    # ---- Names

    def _is(self, text: Text, name: t.Name, kinds: Sequence[str]) -> bool:
        """Whether a name is defined, as one of these kinds and not by itself."""
        if name.text in self._open:
            way = " -> ".join([*self._open[self._open.index(name.text) :], name.text])
            self._flaw(text, name, f"{name.text} is defined by itself: {way}", "cycle")
            return False
        if (name.text == "bogons" and "set" in kinds) or (name.text in literal.ROUTED and "zone" in kinds):
            return True
        found = self._defined.get(name.text)
        wanted = " or ".join(kinds)
        if found is None:
            self._flaw(text, name, f"there is no {wanted} {name.text}{self._hint(name.text, kinds)}", "unknown-name")
            return False
        if found.kind not in kinds:
            self._flaw(text, name, f"{name.text} is a {found.kind} ({found.place}), and not a {wanted}", "wrong-kind")
            return False
        return True

    def _hint(self, name: str, kinds: Sequence[str]) -> str:
        """What was meant, or what there is."""
        there = [*(known for known, one in self._defined.items() if one.kind in kinds)]
        there += ["bogons"] if "set" in kinds else []
        near = get_close_matches(name, literal.ROUTED, 1, 0.8) if "zone" in kinds else []
        near = get_close_matches(name, there, 1, 0.6) or near
        if near:
            return f": did you mean {near[0]}?"
        return f": defined are {', '.join(sorted(there)[:8])}" + (", ..." if len(there) > 8 else "") if there else ""

    def _flaw(self, text: Text, at: t.Node, message: str, code: str) -> None:
        self._problems.add(text.flaw(at, message, code))


def _kinds(end: End) -> frozenset[type]:
    return frozenset(map(type, parts(end)))


def _addresses(node: t.Address | t.Prefix | t.Range) -> Addresses:
    low, high = (node.low.text, node.high.text) if isinstance(node, t.Range) else (node.text, node.text)
    kind = ip_address(low.partition("/")[0])
    first, last = literal.bounds(low)[1], literal.bounds(high)[2]
    return Addresses(first=type(kind)(first), last=type(kind)(last))


def _pods(selector: t.Selector | None) -> Pods:
    parts = selector.parts if selector else ()
    namespaces: str | LabelSelector | None = None
    for part in parts:
        if isinstance(part, t.InNamespace):
            namespaces = part.name.value
        elif isinstance(part, t.InNamespaces):
            namespaces = _labels(part.labels)
    return Pods(namespaces=namespaces, labels=_labels([part for part in parts if isinstance(part, t.Label)]))


def _labels(labels: Sequence[t.Label]) -> LabelSelector:
    return LabelSelector(matchExpressions=list(_requirements(labels))) if labels else LabelSelector()


def _requirements(labels: Sequence[t.Label]) -> Iterator[LabelSelectorRequirement]:
    for label in labels:
        values = tuple(value.value for value in label.values)
        operator = _OPERATORS[label.relation]
        yield LabelSelectorRequirement(key=label.key.value, operator=operator, values=values or None)

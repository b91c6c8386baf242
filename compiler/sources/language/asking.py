"""What every kind of statement asks of its parts: ends and ports that are right, and that fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.errors import Collector
from compiler.resources.language import (
    End,
    Flow,
    Marked,
    MessageType,
    NamedPort,
    Pods,
    PortRange,
    Ports,
    PortSpec,
    WholeProtocol,
)
from compiler.sources.language.addresses import VERSIONS
from compiler.sources.language.files import Text
from compiler.sources.language.names import Names
from compiler.sources.language.ports import ICMP, ICMPV6, WITH_PORTS
from grammar import dsl_tree as t

_BOTH = frozenset(VERSIONS)
_VERSION_OF = {ICMP: frozenset({4}), ICMPV6: frozenset({6})}


class Asking:
    """The statements of one file. Methods give None for what is wrong, once it is reported."""

    def __init__(self, text: Text, names: Names, problems: Collector) -> None:
        self._text, self._names, self._problems = text, names, problems

    def flaw(self, at: t.Node, message: str, code: str) -> None:
        self._problems.add(self._text.flaw(at, message, code))

    def head(self, node: t.Node) -> dict[str, Any]:
        """The fields that every statement has."""
        span = self._text.source.span(node.begin, node.end)
        return {"text": self._text.line(node), "span": span}

    def end(self, node: t.End) -> End | None:
        return self._names.end(self._text, node)

    def ports(self, node: t.Ports, target: End | None, towards: t.Node | None) -> tuple[PortSpec, ...] | None:
        """The ports; names of them need a target that is pods."""
        found = self._names.ports(self._text, node)
        if found is None:
            return None
        named = next((one.name for one in found if isinstance(one, NamedPort)), None)
        if named is not None and (target is None or Pods not in self._names.kinds(target)):
            where = towards or node
            self.flaw(where, f"{named} is the name of a container's port, and no pod is the target here", "named-port")
            return None
        return found

    def conditions(self, options: Sequence[t.Node], ports: Ports, at: t.Node | None) -> dict[str, Any] | None:
        """The fields of a `Conditional` that these options are; others are passed over. `ports`: of the same statement,
        which stand at `at`."""
        found: dict[str, Any] = {}
        for option in options:
            match option:
                case t.State(names=names):
                    found["states"] = tuple(name.text for name in names)
                case t.Marked(mark=mark, mask=mask):
                    found["marked"] = Marked(value=mark.number, mask=mask.number if mask is not None else 0xFFFFFFFF)
                case t.Chance(of=of):
                    found["chance"] = of.number
                case t.SourcePorts(ports=numbers):
                    if not ports or not all(one.protocol in WITH_PORTS for one in ports):
                        text = 'only some protocols have source ports: name them in front, as in ": udp source port 53"'
                        self.flaw(at if ports and at is not None else option, text, "no-ports")
                        return None
                    found["source_ports"] = tuple(map(_numbers, numbers))
        return found

    def agree(self, at: t.Node, *parts: End | Ports) -> bool:
        """Whether a packet of one IP version can have all of these."""
        left = _BOTH
        for part in parts:
            if part is not None:
                left &= _of_ports(part) if isinstance(part, tuple) else self._names.versions(part) or _BOTH
        if not left:
            self.flaw(at, "no packet is like that: IPv4 at one place, IPv6 at another", "family-mismatch")
        return bool(left)

    def flow(self, node: t.Flow) -> Flow | None:
        """What a statement of nat, mangle or raw is about. A name alone may be a service or a protocol."""
        source, target, ports = node.source, node.target, node.ports
        if source is not None and target is None and ports is None:
            name = source.terms[0]
            if isinstance(name, t.Name) and len(source.terms) == 1 and self._names.is_ports(name):
                source, ports = None, t.Ports(name.begin, name.end, (name,))
        begin = self.end(source) if source is not None else None
        end = self.end(target) if target is not None else None
        found = self.ports(ports, end, target) if ports is not None else None
        if any(made is None and given is not None for made, given in ((begin, source), (end, target), (found, ports))):
            return None
        if not self.agree(node, begin, end, found):
            return None
        return Flow(source=begin, target=end, ports=found, both_ways=node.arrow == "<->")

    def only_ports(self, at: t.Node, ports: Ports, what: str) -> bool:
        """Whether these are ports of protocols that have some, as what nat changes must be."""
        if all(isinstance(one, PortRange) or one.protocol in WITH_PORTS for one in ports or ()):
            return True
        self.flaw(at, f"{what} changes ports: name a protocol that has some, such as tcp", "no-ports")
        return False


def _numbers(port: t.Port) -> tuple[int, int]:
    assert isinstance(port.low, t.Number), "the grammar has nothing else"
    return port.low.number, port.high.number if port.high is not None else port.low.number


def _of_ports(ports: tuple[PortSpec, ...]) -> frozenset[int]:
    """The IP versions in which these protocols are met."""
    kinds = [
        _VERSION_OF.get(one.protocol, _BOTH) if isinstance(one, MessageType | WholeProtocol) else _BOTH for one in ports
    ]
    return frozenset[int]().union(*kinds) if kinds else _BOTH

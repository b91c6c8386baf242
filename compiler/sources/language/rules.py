"""Rules of policy and node blocks, and expectations."""

from __future__ import annotations

from typing import Any, Literal, cast

from compiler.resources.language import Expectation, Log, Rate, Reaches, Rule, ThisNode, Translates
from compiler.sources.language.asking import Asking, any_part
from compiler.sources.language.ports import TCP
from grammar import dsl_tree as t

_UNITS = {"sec": "second", "second": "second", "min": "minute", "minute": "minute", "hour": "hour", "day": "day"}


class Rules(Asking):
    """Rules and expectations of one file."""

    def of_policy(self, node: t.Rule) -> Rule | None:
        """A rule about connections that pass the node, or of its pods."""
        found = self._rule(node)
        if found is not None:
            for end, at in ((found.source, node.source), (found.target, node.target)):
                if any_part(end, ThisNode):
                    self.flaw(at, "self is this node: rules about its own connections belong in node { ... }", "self")
                    return None
        return found

    def of_node(self, node: t.Rule) -> Rule | None:
        """A rule about connections of the node itself."""
        found = self._rule(node)
        if found is not None:
            ours = [any_part(end, ThisNode) for end in (found.source, found.target)]
            if sum(ours) != 1:
                text = "both ends are self" if all(ours) else "neither end is self, and a node block is about this node"
                self.flaw(node, f"{text}: one of them has to be", "self")
                return None
        return found

    def _rule(self, node: t.Rule) -> Rule | None:
        source, target = self.end(node.source), self.end(node.target)
        ports = self.ports(node.ports, target, node.target) if node.ports is not None and target is not None else None
        options = self._options(node)
        if source is None or target is None or options is None or (node.ports is not None and ports is None):
            return None
        if not self.agree(node, source, target, ports):
            return None
        if options.get("answer") == "tcp-reset" and not (ports and all(one.protocol == TCP for one in ports)):
            self.flaw(node, "tcp-reset answers TCP alone: name tcp ports", "bad-answer")
            return None
        verb = cast(Literal["allow", "deny", "reject", "pass"], node.verb.text)
        return Rule(verb=verb, source=source, target=target, ports=ports, **options, **self.head(node))

    def _options(self, node: t.Rule) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        log, limit = False, None
        prefix = ""
        for option in node.options:
            match option:
                case t.Reason(text=text):
                    found["reason"] = text.value
                case t.With(answer=answer):
                    found["answer"] = answer.text
                case t.Log(prefix=given):
                    log, prefix = True, given.value if given is not None else ""
                case t.Limit(rate=rate):
                    burst = rate.burst.number if rate.burst is not None else None
                    limit = Rate(count=rate.count.number, unit=_unit(rate), burst=burst)
                case t.Unless(source=source):
                    if (unless := self.end(source)) is None:
                        return None
                    found["unless"] = unless
        return found | ({"log": Log(prefix=prefix, limit=limit)} if log else {})

    def expectation(self, node: t.Reach | t.Translates) -> Expectation | None:
        """What is to be proved."""
        source, target = self.end(node.source), self.end(node.target)
        if source is None or target is None:
            return None
        ports = self.ports(node.ports, target, node.target) if node.ports is not None else None
        if (node.ports is not None and ports is None) or not self.agree(node, source, target, ports):
            return None
        head = self.head(node)
        if isinstance(node, t.Reach):
            return Reaches(source=source, target=target, ports=ports, can=node.can, only=node.only, **head)
        assert ports is not None, "the grammar asks for them"
        if not self.only_ports(node.ports, ports, "translation"):
            return None
        return Translates(source=source, ports=ports, target=target, port=node.port.number, **head)


def _unit(rate: t.Rate) -> Literal["second", "minute", "hour", "day"]:
    return cast(Literal["second", "minute", "hour", "day"], _UNITS[rate.unit.text])

"""Rules of policy and node blocks, and expectations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from compiler.resources.language import (
    Expectation,
    Item,
    Log,
    Matching,
    Rate,
    Reaches,
    Rule,
    ThisNode,
    Translates,
    Within,
)
from compiler.sources.language.opaque import Opaques
from compiler.sources.language.ports import TCP
from grammar import dsl_tree as t

_UNITS = {"sec": "second", "second": "second", "min": "minute", "minute": "minute", "hour": "hour", "day": "day"}

#: Characters that the kernel's own log takes as a prefix (xt_LOG).
_KERNEL_PREFIX = 29


class Rules(Opaques):
    """Rules and expectations of one file."""

    def of_policy(self, node: t.ListItem) -> Item | None:
        """An item of a list about connections that pass the node, or of its pods."""
        return self._item(node, self._without_self)

    def of_forward(self, node: t.ListItem) -> Item | None:
        """An item of a list about what the node forwards."""
        return self._item(node, self._without_self)

    def of_node(self, node: t.ListItem) -> Item | None:
        """An item of a list about what the node itself sends and receives. Inside of a list in it, whose head says
        which of these, the ends need not say it again."""
        return self._item(node, self._with_self)

    def of_nat(self, node: t.Rule) -> Rule | None:
        """A rule of a nat block: log or leave."""
        return self._rule(node)

    def matching(self, node: t.Rule | t.Within) -> dict[str, Any] | None:
        """The fields of a `Matching`."""
        source, target = self.end(node.source), self.end(node.target)
        ports = self.ports(node.ports, target, node.target) if node.ports is not None and target is not None else None
        unless = next((option.source for option in node.options if isinstance(option, t.Unless)), None)
        besides = self.end(unless) if unless is not None else None
        conditions = self.conditions(node.options, ports, node.ports)
        if source is None or target is None or conditions is None or (node.ports is not None and ports is None):
            return None
        if (unless is not None and besides is None) or not self.agree(node, source, target, ports):
            return None
        return {"source": source, "target": target, "ports": ports, "unless": besides, **conditions}

    def _item(self, node: t.ListItem, fits: Callable[[t.Rule | t.Within, Matching], bool] | None) -> Item | None:
        """`fits`: what is asked of the ends of an item that is in no other list; says what is wrong."""
        if isinstance(node, t.Opaque):
            return self.opaque(node)
        found = self._rule(node) if isinstance(node, t.Rule) else self._within(node, fits)
        return found if found is None or fits is None or fits(node, found) else None

    def _within(self, node: t.Within, fits: Callable[[t.Rule | t.Within, Matching], bool] | None) -> Within | None:
        head = self.matching(node)
        inner = None if fits == self._with_self else fits
        items = [self._item(one, inner) for one in node.statements]  # type: ignore[arg-type]
        if head is None or None in items:
            return None
        made = tuple(one for one in items if one is not None)
        return Within(items=made, **head, **self.head(t.Node(node.begin, node.brace)))

    def _without_self(self, node: t.Rule | t.Within, found: Matching) -> bool:
        for end, at in ((found.source, node.source), (found.target, node.target)):
            if ThisNode in self._names.kinds(end):
                self.flaw(at, "self is this node: rules about its own connections belong in node { ... }", "self")
                return False
        return True

    def _with_self(self, node: t.Rule | t.Within, found: Matching) -> bool:
        ours = [ThisNode in self._names.kinds(end) for end in (found.source, found.target)]
        if sum(ours) != 1:
            text = "both ends are self" if all(ours) else "neither end is self, and a node block is about this node"
            at = t.Node(node.begin, node.brace) if isinstance(node, t.Within) else node
            self.flaw(at, f"{text}: one of them has to be", "self")
        return sum(ours) == 1

    def _rule(self, node: t.Rule) -> Rule | None:
        found, options = self.matching(node), self._options(node)
        if found is None:
            return None
        ports = found["ports"]
        log = options.get("log")
        if log is not None and log.kernel and len(log.prefix) > _KERNEL_PREFIX:
            text = f"the kernel's log has room for {_KERNEL_PREFIX} characters in front, and this has {len(log.prefix)}"
            self.flaw(node, text, "too-long")
            return None
        if options.get("answer") == "tcp-reset" and not (ports and all(one.protocol == TCP for one in ports)):
            self.flaw(node, "tcp-reset answers TCP alone: name tcp ports", "bad-answer")
            return None
        verb = cast(Literal["allow", "deny", "reject", "pass", "log", "leave"], node.verb.text)
        return Rule(verb=verb, **found, **options, **self.head(node))

    def _options(self, node: t.Rule) -> dict[str, Any]:
        found: dict[str, Any] = {}
        log, limit, kernel = node.verb.text == "log", None, False
        prefix = ""
        for option in node.options:
            match option:
                case t.Reason(text=text) if node.verb.text == "log":
                    prefix = text.value
                case t.Reason(text=text):
                    found["reason"] = text.value
                case t.ToKernel():
                    kernel = True
                case t.With(answer=answer):
                    found["answer"] = answer.text
                case t.Log(prefix=given):
                    log, prefix = True, given.value if given is not None else ""
                case t.Limit(rate=rate):
                    burst = rate.burst.number if rate.burst is not None else None
                    limit = Rate(count=rate.count.number, unit=_unit(rate), burst=burst)
                case _:
                    pass  # conditions
        return found | ({"log": Log(prefix=prefix, limit=limit, kernel=kernel)} if log else {})

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

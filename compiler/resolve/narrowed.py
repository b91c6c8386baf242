"""Lists in lists as the rules that they come to, each with what the heads around it ask: for questions that may be
answered with too much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.resources.language import Anyone, Both, Item, Opaque, Rule, ThisNode, Within


def narrowed(items: Iterable[Item]) -> Iterator[Rule]:
    """The rules of a list that may be about first packets: denials about no less than they are, allowances that hold
    without conditions. What a rule of one tool does is not known: it may deny everything."""
    for item in items:
        match item:
            case Rule():
                denies = item.verb in ("deny", "reject") and item.states != ("invalid",)
                if denies or not (item.conditional or item.verb in ("log", "leave")):
                    yield item
            case Within():
                for rule in narrowed(item.items):
                    if item.conditional and rule.verb not in ("deny", "reject"):
                        continue
                    ends = {
                        "source": Both(ends=(item.source, rule.source)),
                        "target": Both(ends=(item.target, rule.target)),
                        "ports": item.ports if rule.ports is None else rule.ports,
                    }
                    yield rule.model_copy(update=ends)
            case Opaque(hook=hook):
                source, target = (ThisNode() if hook == one else Anyone() for one in ("output", "input"))
                yield Rule(verb="deny", source=source, target=target, text=item.text, span=item.span)

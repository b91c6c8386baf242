"""What is wrong with rules, their options and conditions, and with lists in lists: each flaw at its own column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from grammar import dsl_literals as literal
from grammar import dsl_tree as t

Found = Iterator[tuple[t.Node, str, str]]

#: How deep lists stand in lists, at most.
DEEPEST = 16
#: The longest text of an opaque rule.
RULE_TEXT = 4096
#: Of chance: what both tools can say.
_RAREST = 65535
_HOOKS: Mapping[type[t.Node], tuple[str, ...]] = {
    t.NodeBlock: ("input", "output"),
    t.NatBlock: ("prerouting", "input", "output", "postrouting"),
    t.MangleBlock: ("prerouting", "input", "forward", "output", "postrouting"),
    t.RawBlock: ("prerouting", "output"),
}


def problem(at: t.Node, found: literal.Problem) -> Found:
    """What is wrong with a literal, where it stands."""
    if found is not None:
        yield (at, *found)


# ---- Lists


def block(node: t.Block) -> Found:
    """What depends on the block that something stands in, however deep."""
    stack: list[tuple[t.Node, int]] = [(one, 0) for one in node.statements]  # type: ignore[attr-defined]
    while stack:
        one, depth = stack.pop()
        if isinstance(one, t.Within):
            if depth == DEEPEST:
                yield one, f"lists stand in lists at most {DEEPEST} deep", "too-deep"
            else:
                stack += [(inner, depth + 1) for inner in one.statements]
        if isinstance(one, t.Opaque):
            # Inside of a list in a node block, the list's head says it.
            yield from _hook(one, () if depth and isinstance(node, t.NodeBlock) else _HOOKS.get(type(node), ()))
        if isinstance(one, t.Rule | t.Within):
            yield from _states(one, node)


def _hook(node: t.Opaque, hooks: Sequence[str]) -> Found:
    if node.hook is None:
        if hooks:
            text = f"say at which hook, behind {node.tool.text}: {' or '.join(hooks)}"
            yield node.tool, text, "no-hook"
    elif not hooks:
        yield node.hook, "rules of this block stand where the block is asked: no hook is said here", "bad-hook"
    elif node.hook.text not in hooks:
        yield node.hook, f"here the hook is {' or '.join(hooks)}", "bad-hook"


def _states(node: t.Rule | t.Within, block: t.Block) -> Found:
    """Lists that are asked behind replies never see one."""
    if isinstance(block, t.NodeBlock | t.ForwardBlock) and block.packets:
        if isinstance(node, t.Rule) and node.verb.text == "pass":
            yield (
                node.verb,
                "behind a list of packets everything else is asked anyway: write allow or leave",
                "bad-verb",
            )
        return
    for option in node.options:
        for name in option.names if isinstance(option, t.State) else ():
            if name.text in ("established", "related"):
                text = f"{name.text} packets pass before this list is asked"
                kind = {t.NodeBlock: "node", t.ForwardBlock: "forward"}.get(type(block))
                hint = f": lists that see them are written {kind} packets {{ ... }}" if kind else ""
                more = "" if kind or isinstance(block, t.NatBlock) else ": use node packets or forward packets"
                yield name, text + hint + more, "bad-state"


# ---- Rules


def _rule(node: t.Rule) -> Found:
    yield from _options(node.options)
    verb = node.verb.text
    logs = verb == "log" or any(isinstance(option, t.Log) for option in node.options)
    for option in node.options:
        match option:
            case t.With() if verb != "reject":
                yield option, f"{verb} gives no answer: with belongs to reject", "bad-option"
            case t.Limit() if not logs:
                yield option, "limit bounds what log notes, and this rule has no log", "bad-option"
            case t.ToKernel() if not logs:
                yield option, "to kernel says where log notes, and this rule has no log", "bad-option"
            case t.Log() if verb == "log":
                yield option, "log is what this statement does already", "bad-option"


def _options(options: Sequence[t.Option]) -> Found:
    seen: set[type[t.Node]] = set()
    for option in options:
        kind = type(option)
        if kind in seen:
            yield option, f"{_OPTIONS[kind]} is said twice", "twice"
        seen.add(kind)


def conditions(node: t.Within | t.NatStatement) -> Found:
    """Of what has conditions alone."""
    return _options(node.options)


_OPTIONS: dict[type[t.Node], str] = {
    t.Reason: "the reason",
    t.Log: "log",
    t.ToKernel: "to kernel",
    t.Limit: "limit",
    t.Unless: "unless from",
    t.With: "with",
    t.State: "state",
    t.Marked: "marked",
    t.SourcePorts: "source port",
    t.Chance: "chance",
}


def _with(node: t.With) -> Found:
    return problem(node.answer, literal.known(node.answer.text, literal.ANSWERS, "answer", "unknown-answer"))


def _rate(node: t.Rate) -> Found:
    yield from problem(node.count, literal.number(node.count.text, 1, 10_000, "a rate"))
    if node.burst is not None:
        yield from problem(node.burst, literal.number(node.burst.text, 1, 10_000, "a burst"))


def _opaque(node: t.Opaque) -> Found:
    if not node.rule.value.strip():
        yield node.rule, "the rule is empty", "empty"
    if len(node.name.text) > 63:
        yield node.name, f"a name has at most 63 characters, not {len(node.name.text)}", "too-long"
    if len(node.rule.value) > RULE_TEXT:
        yield node.rule, f"a rule has at most {RULE_TEXT} characters, not {len(node.rule.value)}", "too-long"


# ---- Conditions


def _state(node: t.State) -> Found:
    seen: set[str] = set()
    for name in node.names:
        yield from problem(name, literal.known(name.text, literal.STATES, "state", "unknown-state"))
        if name.text in seen:
            yield name, f"{name.text} is said twice", "twice"
        seen.add(name.text)


def _mark(node: t.Mark | t.Marked) -> Found:
    parts = [(node.mark, "a mark"), *([(node.mask, "a mask")] if node.mask else [])]
    found = [(at, literal.number(at.text, 0, 0xFFFFFFFF, what, hexadecimal=True)) for at, what in parts]
    for at, wrong in found:
        yield from problem(at, wrong)
    if node.mask is None or any(wrong for _, wrong in found):
        return
    if not node.mask.number:
        yield node.mask, "a mask of no bits marks nothing", "bad-mark"
    elif node.mark.number & ~node.mask.number:
        yield node.mark, f"{node.mark.text} has bits that its mask {node.mask.text} has not", "bad-mark"


def _chance(node: t.Chance) -> Found:
    if node.one.text != "1":
        yield node.one, f"a chance is one packet of several: write 1/{node.of.text}", "bad-chance"
    yield from problem(node.of, literal.number(node.of.text, 1, _RAREST, "a chance's second part"))


CHECKS: Mapping[type[t.Node], Callable[..., Found]] = {
    t.Rule: _rule,
    t.Within: conditions,
    t.With: _with,
    t.Rate: _rate,
    t.Opaque: _opaque,
    t.State: _state,
    t.Mark: _mark,
    t.Marked: _mark,
    t.Chance: _chance,
}

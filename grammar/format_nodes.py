"""Nodes of the policy language -> their text, on one line that may be broken.

A statement is a row of cells, so that statements below each other can be lined up; `format_lines` tells of the marks
where a line may end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from grammar import dsl_tree as t
from grammar.format_lines import NOTHING, SPACE, Row, flat


def text(node: t.Node) -> str:
    """An end, ports, a literal or anything else below a statement."""
    return _TEXTS[type(node)](node)


def row(node: t.Node) -> Row:
    """A statement or definition. The rows of one kind of statement have cells of one meaning; some may be empty."""
    return _ROWS[type(node)](node)


def head(node: t.Block) -> str:
    """What stands before the brace of a block."""
    if isinstance(node, t.Within):
        return flat(_within(node))
    if isinstance(node, t.NodeBlock | t.ForwardBlock):
        return _HEADS[type(node)] + (" packets" if node.packets else "")
    if not isinstance(node, t.PolicyBlock):
        return _HEADS[type(node)]
    tier = f" tier {node.tier.text}" if node.tier else ""
    priority = f" priority {node.priority.text}" if node.priority else ""
    return f"policy {node.name.text}{tier}{priority}"


_HEADS: dict[type[t.Node], str] = {
    t.NodeBlock: "node",
    t.ForwardBlock: "forward",
    t.NatBlock: "nat",
    t.MangleBlock: "mangle",
    t.RawBlock: "raw",
    t.ExpectBlock: "expect",
}


def _listed(parts: Iterable[t.Node]) -> str:
    return f",{SPACE}".join(map(text, parts))


# ---- Ends


def _end(node: t.End) -> str:
    without = f"{SPACE}except {text(node.without)}" if node.without else ""
    return f"{SPACE}and ".join(map(text, node.terms)) + without


def _interfaces(node: t.Interfaces) -> str:
    return f"iface {text(node.names[0])}" if len(node.names) == 1 else f"iface ({_listed(node.names)})"


def _label(node: t.Label) -> str:
    key = node.key.text
    match node.relation:
        case t.Relation.EXISTS:
            return key
        case t.Relation.ABSENT:
            return f"!{key}"
        case t.Relation.EQUAL | t.Relation.UNEQUAL:
            return f"{key}{node.relation.value}{node.values[0].text}"
        case _:
            return f"{key} {node.relation.value} ({_listed(node.values)})"


def _selected(kind: str) -> Callable[[Any], str]:
    return lambda node: f"{kind}({_listed(node.selector.parts)})" if node.selector else kind


# ---- Ports


def _port(node: t.Port) -> str:
    return node.low.text + (f"-{node.high.text}" if node.high else "")


def _port_set(node: t.PortSet) -> str:
    protocol = f"{node.protocol.text}/" if node.protocol else ""
    return protocol + f",{NOTHING}".join(map(_port, node.ports))


def _behind(ports: t.Node | None) -> str:
    """Ports, or a port, behind an end."""
    return f"{SPACE}: {text(ports)}" if ports else ""


def _flow(node: t.Flow) -> str:
    if node.source is None:
        return text(node.ports) if node.ports else ""
    target = f"{SPACE}{node.arrow} {text(node.target)}" if node.target else ""
    return text(node.source) + target + _behind(node.ports)


def _cut(node: t.Without) -> str:
    cuts = text(node.cuts[0]) if len(node.cuts) == 1 else f"{{ {_listed(node.cuts)} }}"
    return f"{text(node.prefix)}{SPACE}except {cuts}"


_TEXTS: dict[type[t.Node], Callable[[Any], str]] = {
    **dict.fromkeys((t.Word, t.Name, t.Text, t.Number, t.Address, t.Prefix), lambda node: node.text),
    t.Range: lambda node: f"{node.low.text}-{node.high.text}",
    t.Without: _cut,
    t.End: _end,
    t.Group: lambda node: f"{{ {_listed(node.ends)} }}",
    t.Interfaces: _interfaces,
    t.Pods: _selected("pods"),
    t.Nodes: _selected("nodes"),
    t.Anyone: lambda node: "any",
    t.ThisNode: lambda node: "self",
    t.Label: _label,
    t.InNamespace: lambda node: f"namespace: {text(node.name)}",
    t.InNamespaces: lambda node: f"namespace: ({_listed(node.labels)})",
    t.PortSet: _port_set,
    t.Ports: lambda node: f"{SPACE}+ ".join(map(text, node.sets)),
    t.Flow: _flow,
}

# ---- Rules


def _option(node: t.Option) -> str:
    match node:
        case t.Reason():
            return node.text.text
        case t.Log():
            return f"log {node.prefix.text}" if node.prefix else "log"
        case t.Limit():
            burst = f" burst {node.rate.burst.text}" if node.rate.burst else ""
            return f"limit {node.rate.count.text}/{node.rate.unit.text}{burst}"
        case t.Unless():
            return f"unless from {text(node.source)}"
        case t.With():
            return f"with {node.answer.text}"
        case t.ToKernel():
            return "to kernel"
        case t.State():
            return "state " + f",{NOTHING}".join(name.text for name in node.names)
        case t.Marked():
            return f"marked {_masked(node)}"
        case t.SourcePorts():
            return "source port " + f",{NOTHING}".join(map(_port, node.ports))
        case t.Chance():
            return f"chance {node.one.text}/{node.of.text}"


def _masked(node: t.Marked | t.Mark) -> str:
    return node.mark.text + (f"/{node.mask.text}" if node.mask else "")


def _options(node: t.Rule | t.Within | t.NatStatement) -> str:
    return SPACE.join(map(_option, node.options))


def _more(node: t.NatStatement) -> str:
    return f"{SPACE}{_options(node)}" if node.options else ""


def _within(node: t.Within) -> Row:
    ports = f": {text(node.ports)}" if node.ports else ""
    return "within", text(node.source), f"-> {text(node.target)}", ports, _options(node)


def _opaque(node: t.Opaque) -> Row:
    words = (word.text for word in (node.tool, node.version, node.hook) if word is not None)
    return f"opaque {node.name.text}", " ".join(words), node.rule.text


def _rule(node: t.Rule) -> Row:
    ports = f": {text(node.ports)}" if node.ports else ""
    return node.verb.text, text(node.source), f"-> {text(node.target)}", ports, _options(node)


# ---- Definitions


def _empty(node: t.SetDefinition | t.ZoneDefinition) -> str:
    return f"{SPACE}may be empty" if node.may_be_empty else ""


def _set(node: t.SetDefinition) -> Row:
    entries = f"{{ {_listed(node.entries)} }}" if node.entries else "{}"
    return f"set {node.name.text}", f"= {entries}{_empty(node)}"


# ---- Statements of the other tables


def _dnat(node: t.Dnat) -> Row:
    to = f"{SPACE}to {text(node.to)}" if node.to else ""
    target = f"{SPACE}-> {text(node.target)}{_behind(node.port)}"
    return "dnat", f"{text(node.source)}{to}{_behind(node.ports)}{target}{_more(node)}"


def _mark(node: t.Mark) -> Row:
    return "mark", f"{text(node.flow)}{SPACE}{_masked(node)}"


def _mss(node: t.Mss) -> Row:
    change = f"set {node.size.text}" if node.size else "clamp pmtu"
    return "mss", f"{change}{SPACE}for {text(node.flow)}"


def _notrack(node: t.Notrack) -> Row:
    return "notrack", text(node.flow) + (f"{SPACE}between {text(node.between)}" if node.between else "")


def _reach(node: t.Reach) -> Row:
    only, can = "only " if node.only else "", "can" if node.can else "cannot"
    ports = f": {text(node.ports)}" if node.ports else ""
    return only + text(node.source), f"{can} reach {text(node.target)}", ports


def _translates(node: t.Translates) -> Row:
    return f"{text(node.source)}{_behind(node.ports)}", f"translates to {text(node.target)}{_behind(node.port)}"


_ROWS: dict[type[t.Node], Callable[[Any], Row]] = {
    t.Include: lambda node: (f"include {node.path.text}",),
    t.SetDefinition: _set,
    t.ServiceDefinition: lambda node: (f"service {node.name.text}", f"= {text(node.ports)}"),
    t.ZoneDefinition: lambda node: (f"zone {node.name.text}", f"= {text(node.meaning)}{_empty(node)}"),
    t.Rule: _rule,
    t.Opaque: _opaque,
    t.Dnat: _dnat,
    t.Snat: lambda node: ("snat", f"{text(node.flow)}{SPACE}as {text(node.address)}{_more(node)}"),
    t.Masquerade: lambda node: ("masquerade", text(node.flow) + _more(node)),
    t.Redirect: lambda node: ("redirect", f"{text(node.flow)}{SPACE}to {node.port.text}{_more(node)}"),
    t.KeepSource: lambda node: ("keep source for", text(node.flow) + _more(node)),
    t.Mark: _mark,
    t.Dscp: lambda node: ("dscp", f"{text(node.flow)}{SPACE}{node.to.text}"),
    t.Ttl: lambda node: ("ttl", f"{node.change.text} {node.amount.text}{SPACE}for {text(node.flow)}"),
    t.Mss: _mss,
    t.Notrack: _notrack,
    t.DropFrom: lambda node: ("drop", f"{'spoofed ' if node.spoofed else ''}from {text(node.source)}"),
    t.Drop: lambda node: ("drop", text(node.flow)),
    t.Reach: _reach,
    t.Translates: _translates,
}

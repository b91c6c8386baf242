"""Trees of the policy language as texts: `words(tree)` word by word, written down once more and without the formatter's
help; `texts(tree)` are layouts of it, with comments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from grammar import dsl_tree as t


def words(node: Any) -> Iterator[str]:
    """The words and signs of a tree, in their order."""
    for part in _written(node):
        if isinstance(part, str):
            yield part
        else:
            yield from words(part)


def _written(node: Any) -> Iterator[Any]:
    match node:
        case t.Word():
            yield node.text
        case t.Range():
            yield from (node.low, "-", node.high)
        case t.Without():
            yield from (node.prefix, "except", *_group("{", node.cuts, "}", alone=True))
        case t.Label():
            yield from _label(node)
        case t.InNamespace():
            yield from ("namespace", ":", node.name)
        case t.InNamespaces():
            yield from ("namespace", ":", *_group("(", node.labels, ")"))
        case t.Pods() | t.Nodes():
            yield "pods" if isinstance(node, t.Pods) else "nodes"
            yield from _group("(", node.selector.parts, ")") if node.selector else ()
        case t.Anyone():
            yield "any"
        case t.ThisNode():
            yield "self"
        case t.Interfaces():
            yield from ("iface", *_group("(", node.names, ")", alone=True))
        case t.Group():
            yield from _group("{", node.ends, "}")
        case t.End():
            yield from _between(node.terms, "and")
            yield from ("except", node.without) if node.without else ()
        case t.Port():
            yield from (node.low, *(("-", node.high) if node.high else ()))
        case t.PortSet():
            yield from (*((node.protocol, "/") if node.protocol else ()), *_between(node.ports, ","))
        case t.Ports():
            yield from _between(node.sets, "+")
        case t.Flow():
            yield from (node.source,) if node.source else ()
            yield from (node.arrow, node.target) if node.arrow else ()
            yield from _ports(node.ports, node.source)
        case t.File():
            yield from node.items
        case t.Block():
            yield from _block(node)
        case t.Include() | t.Braced() | t.ServiceDefinition() | t.ZoneDefinition():
            yield from _definition(node)
        case _:
            yield from _statement(node)


def _between(parts: tuple[Any, ...], sign: str) -> Iterator[Any]:
    for n, part in enumerate(parts):
        yield from (sign, part) if n else (part,)


def _group(opening: str, parts: tuple[Any, ...], closing: str, alone: bool = False) -> Iterator[Any]:
    """`alone`: one part needs no brackets."""
    if alone and len(parts) == 1:
        yield parts[0]
    else:
        yield from (opening, *_between(parts, ","), closing)


def _ports(found: t.Ports | t.Number | None, end: object = True) -> Iterator[Any]:
    if found is not None:
        yield from (":", found) if end else (found,)


def _label(node: t.Label) -> Iterator[Any]:
    match node.relation:
        case t.Relation.EXISTS:
            yield node.key
        case t.Relation.ABSENT:
            yield from ("!", node.key)
        case t.Relation.EQUAL | t.Relation.UNEQUAL:
            yield from (node.key, node.relation.value, node.values[0])
        case _:
            yield from (node.key, node.relation.value, *_group("(", node.values, ")"))


def _definition(node: Any) -> Iterator[Any]:
    match node:
        case t.Include():
            yield from ("include", node.path)
        case t.SetDefinition():
            yield from ("set", node.name, "=", *_group("{", node.entries, "}"))
        case t.ServiceDefinition():
            yield from ("service", node.name, "=", node.ports)
        case t.ZoneDefinition():
            yield from ("zone", node.name, "=", node.meaning)
    yield from ("may", "be", "empty") if getattr(node, "may_be_empty", False) else ()


def _block(node: Any) -> Iterator[Any]:
    if isinstance(node, t.PolicyBlock):
        yield from ("policy", node.name)
        yield from ("tier", node.tier) if node.tier else ()
        yield from ("priority", node.priority) if node.priority else ()
    elif isinstance(node, t.Within):
        yield from ("within", node.source, "->", node.target, *_ports(node.ports), *node.options)
    else:
        yield type(node).__name__.removesuffix("Block").lower()
        yield from ("packets",) if getattr(node, "packets", False) else ()
    yield from ("{", *node.statements, "}")


def _statement(node: Any) -> Iterator[Any]:
    match node:
        case t.Rule():
            yield from (node.verb, node.source, "->", node.target, *_ports(node.ports), *node.options)
        case t.Reason():
            yield node.text
        case t.Log():
            yield from ("log", *((node.prefix,) if node.prefix else ()))
        case t.Limit():
            burst = ("burst", node.rate.burst) if node.rate.burst else ()
            yield from ("limit", node.rate.count, "/", node.rate.unit, *burst)
        case t.Unless():
            yield from ("unless", "from", node.source)
        case t.With():
            yield from ("with", node.answer)
        case t.ToKernel():
            yield from ("to", "kernel")
        case t.State():
            yield from ("state", *_between(node.names, ","))
        case t.Marked():
            yield from ("marked", node.mark, *(("/", node.mask) if node.mask else ()))
        case t.SourcePorts():
            yield from ("source", "port", *_between(node.ports, ","))
        case t.Chance():
            yield from ("chance", node.one, "/", node.of)
        case t.Opaque():
            yield from ("opaque", node.name, node.tool, *((node.version,) if node.version else ()))
            yield from (*((node.hook,) if node.hook else ()), node.rule)
        case t.Dnat():
            to = ("to", node.to) if node.to else ()
            yield from ("dnat", node.source, *to, ":", node.ports, "->", node.target, *_ports(node.port))
            yield from node.options
        case t.Snat():
            yield from ("snat", node.flow, "as", node.address, *node.options)
        case t.Masquerade():
            yield from ("masquerade", node.flow, *node.options)
        case t.Redirect():
            yield from ("redirect", node.flow, "to", node.port, *node.options)
        case t.KeepSource():
            yield from ("keep", "source", "for", node.flow, *node.options)
        case t.Mark():
            yield from ("mark", node.flow, node.mark, *(("/", node.mask) if node.mask else ()))
        case t.Dscp():
            yield from ("dscp", node.flow, node.to)
        case t.Ttl():
            yield from ("ttl", node.change, node.amount, "for", node.flow)
        case t.Mss():
            yield from ("mss", *(("set", node.size) if node.size else ("clamp", "pmtu")), "for", node.flow)
        case t.Notrack():
            yield from ("notrack", node.flow, *(("between", node.between) if node.between else ()))
        case t.DropFrom():
            yield from ("drop", *(("spoofed",) if node.spoofed else ()), "from", node.source)
        case t.Drop():
            yield from ("drop", node.flow)
        case t.Reach():
            yield from (*(("only",) if node.only else ()), node.source, "can" if node.can else "cannot", "reach")
            yield from (node.target, *_ports(node.ports))
        case t.Translates():
            yield from (node.source, ":", node.ports, "translates", "to", node.target, ":", node.port)
        case _:
            raise AssertionError(node)


_BLANKS = st.sampled_from(
    [" ", " ", " ", "\n", "  ", "\t", "\r\n", "\n\n", "\n \n\n", " # c{}\n", "\n# c{} -> {{\n", ' #" {}\n\n']
)
#: Signs that need no blank beside them. Not the colon, which may be read as a part of an address.
_TIGHT = frozenset({"{", "}", "(", ")", ",", "=", "!=", "!"})


@st.composite
def texts(draw: st.DrawFn, tree: t.File) -> str:
    """A layout of a tree, with comments that differ from each other."""
    found: list[str] = []
    before = "{"
    blanks = iter(draw(st.lists(_BLANKS, max_size=60)))
    for count, one in enumerate(words(tree)):
        tight = before in _TIGHT or one in _TIGHT
        blank = next(blanks, " " if count % 9 else "\n").format(count)
        found += ("" if tight and blank == " " else blank, one)
        before = one
    end = draw(st.sampled_from(["", "\n", " # end", "\n\n# end\n"]))
    return "".join(found) + end

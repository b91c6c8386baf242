"""What the parser reduces -> nodes. Each method is called with everything that its rule of dsl.lark matched, in order:
tokens, keywords and punctuation among them, nodes, and None for each symbol of an optional part that is not there.

Nothing is checked here and nothing is kept: the same children always make the same node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from grammar import dsl_tree as t

if TYPE_CHECKING:
    from lark import Token

Children = Sequence[Any]
_Word = TypeVar("_Word", bound=t.Word)
_Block = TypeVar("_Block", bound=t.Block)


def begin(child: Token | t.Node) -> int:
    """The offset where a child begins."""
    found = child.begin if isinstance(child, t.Node) else child.start_pos
    assert found is not None
    return found


def end(child: Token | t.Node) -> int:
    """The offset behind a child's last character."""
    found = child.end if isinstance(child, t.Node) else child.end_pos
    assert found is not None
    return found


def _extent(children: Children) -> tuple[int, int]:
    """Of the whole rule."""
    last = len(children) - 1
    while children[last] is None:
        last -= 1
    return begin(children[0]), end(children[last])


def _nodes(children: Children) -> tuple[Any, ...]:
    return tuple([child for child in children if isinstance(child, t.Node)])


def _word(kind: type[_Word], children: Children) -> _Word:
    (token,) = children
    return kind(token.start_pos, token.end_pos, str(token))


def _keyword(token: Token) -> t.Word:
    return t.Word(begin(token), end(token), str(token))


class Builder:
    """A method for each rule of the grammar whose name does not begin with `_`."""

    def file(self, c: Children) -> t.File:
        return t.File(*(_extent(c) if c else (0, 0)), tuple(c))

    # ---- Words

    def name(self, c: Children) -> t.Name:
        token = c[0]
        return t.Name(token.start_pos, token.end_pos, str(token))

    def address(self, c: Children) -> t.Address:
        return _word(t.Address, c)

    def prefix(self, c: Children) -> t.Prefix:
        return _word(t.Prefix, c)

    def number(self, c: Children) -> t.Number:
        return _word(t.Number, c)

    def text(self, c: Children) -> t.Text:
        return _word(t.Text, c)

    def key(self, c: Children) -> t.Word:
        return _word(t.Word, c)

    value = interface = key

    def range(self, c: Children) -> t.Range:
        return t.Range(c[0].begin, c[2].end, c[0], c[2])

    # ---- Definitions

    def include(self, c: Children) -> t.Include:
        keyword, path = c
        return t.Include(begin(keyword), end(path), t.Text(begin(path), end(path), str(path)))

    def set(self, c: Children) -> t.SetDefinition:
        _, name, _, brace, entries, close, empty = c
        return t.SetDefinition(*_extent(c), begin(brace), begin(close), name, entries or (), empty is not None)

    def entries(self, c: Children) -> tuple[t.Entry, ...]:
        return _nodes(c)

    def without(self, c: Children) -> t.Without:
        prefix, *cuts = _nodes(c)
        return t.Without(*_extent(c), prefix, tuple(cuts))

    def service(self, c: Children) -> t.ServiceDefinition:
        return t.ServiceDefinition(*_extent(c), c[1], c[3])

    def zone(self, c: Children) -> t.ZoneDefinition:
        _, name, _, meaning, empty = c
        return t.ZoneDefinition(*_extent(c), name, meaning, empty is not None)

    def may_be_empty(self, c: Children) -> t.Node:
        return t.Node(*_extent(c))

    # ---- Ends

    def end(self, c: Children) -> t.End:
        terms = _nodes(c)
        without = c[-1]
        return t.End(begin(c[0]), terms[-1].end, terms[:-1] if without else terms, without)

    def group(self, c: Children) -> t.Group:
        return t.Group(*_extent(c), _nodes(c))

    def iface(self, c: Children) -> t.Interfaces:
        return t.Interfaces(*_extent(c), _nodes(c))

    def pods(self, c: Children) -> t.Pods:
        return t.Pods(*_extent(c), c[2])

    def nodes(self, c: Children) -> t.Nodes:
        return t.Nodes(*_extent(c), c[2])

    def any(self, c: Children) -> t.Anyone:
        return t.Anyone(*_extent(c))

    def self(self, c: Children) -> t.ThisNode:
        return t.ThisNode(*_extent(c))

    def selector(self, c: Children) -> t.Selector:
        return t.Selector(*_extent(c), _nodes(c))

    def in_namespace(self, c: Children) -> t.InNamespace:
        return t.InNamespace(*_extent(c), c[2])

    def in_namespaces(self, c: Children) -> t.InNamespaces:
        return t.InNamespaces(*_extent(c), _nodes(c))

    def exists(self, c: Children) -> t.Label:
        return t.Label(*_extent(c), c[0], t.Relation.EXISTS, ())

    def absent(self, c: Children) -> t.Label:
        return t.Label(*_extent(c), c[1], t.Relation.ABSENT, ())

    def equal(self, c: Children) -> t.Label:
        return t.Label(*_extent(c), c[0], t.Relation.EQUAL, (c[2],))

    def unequal(self, c: Children) -> t.Label:
        return t.Label(*_extent(c), c[0], t.Relation.UNEQUAL, (c[2],))

    def among(self, c: Children) -> t.Label:
        return t.Label(*_extent(c), c[0], t.Relation.AMONG, _nodes(c)[1:])

    def not_among(self, c: Children) -> t.Label:
        return t.Label(*_extent(c), c[0], t.Relation.NOT_AMONG, _nodes(c)[1:])

    # ---- Ports and flows

    def ports(self, c: Children) -> t.Ports:
        return t.Ports(*_extent(c), _nodes(c))

    def protocol_ports(self, c: Children) -> t.PortSet:
        protocol, *ports = _nodes(c)
        return t.PortSet(*_extent(c), protocol, tuple(ports))

    def bare_ports(self, c: Children) -> t.PortSet:
        return t.PortSet(*_extent(c), None, _nodes(c))

    def port(self, c: Children) -> t.Port:
        return t.Port(*_extent(c), c[0], c[2] if len(c) > 1 else None)

    def flow(self, c: Children) -> t.Flow:
        source, arrow, target, _, ports = c
        return t.Flow(*_extent(c), source, arrow and str(arrow), target, ports)

    def port_flow(self, c: Children) -> t.Flow:
        return t.Flow(*_extent(c), None, None, None, self.ports(c))

    # ---- Rules

    def policy(self, c: Children) -> t.PolicyBlock:
        _, name, tier, priority, brace, *rules, close = c
        return t.PolicyBlock(*_extent(c), begin(brace), begin(close), self.name([name]), tier, priority, tuple(rules))

    def tier(self, c: Children) -> t.Word:
        return _keyword(c[1])

    def priority(self, c: Children) -> t.Number:
        number: t.Number = c[1]
        return number

    def node(self, c: Children) -> t.NodeBlock:
        return t.NodeBlock(*_extent(c), begin(c[2]), begin(c[-1]), c[1] is not None, tuple(c[3:-1]))

    def forward(self, c: Children) -> t.ForwardBlock:
        return t.ForwardBlock(*_extent(c), begin(c[2]), begin(c[-1]), c[1] is not None, tuple(c[3:-1]))

    def packets(self, c: Children) -> t.Node:
        return t.Node(*_extent(c))

    def rule(self, c: Children) -> t.Rule:
        verb, source, _, target, _, ports, *written = c
        options: list[t.Option] = []
        for option in written:
            last = options[-1] if options else None
            if isinstance(option, t.Reason) and isinstance(last, t.Log) and last.prefix is None:
                options[-1] = t.Log(last.begin, option.end, option.text)
            else:
                options.append(option)
        return t.Rule(*_extent(c), _keyword(verb), source, target, ports, tuple(options))

    def within(self, c: Children) -> t.Within:
        _, source, _, target, _, ports, *rest, close = c
        brace = next(n for n, one in enumerate(rest) if not isinstance(one, t.Node))
        options, statements = tuple(rest[:brace]), tuple(rest[brace + 1 :])
        return t.Within(*_extent(c), begin(rest[brace]), begin(close), source, target, ports, options, statements)

    def opaque(self, c: Children) -> t.Opaque:
        _, name, tool, version, hook, rule = c
        return t.Opaque(*_extent(c), name, _keyword(tool), version, hook, t.Word(rule.begin, rule.end, rule.text))

    def version(self, c: Children) -> t.Word:
        return _keyword(c[0])

    hook = version

    def reason(self, c: Children) -> t.Reason:
        return t.Reason(c[0].begin, c[0].end, c[0])

    def log(self, c: Children) -> t.Log:
        return t.Log(*_extent(c), None)

    def to_kernel(self, c: Children) -> t.ToKernel:
        return t.ToKernel(*_extent(c))

    def state(self, c: Children) -> t.State:
        return t.State(*_extent(c), _nodes(c))

    def marked(self, c: Children) -> t.Marked:
        return t.Marked(*_extent(c), c[1], c[3])

    def source_ports(self, c: Children) -> t.SourcePorts:
        return t.SourcePorts(*_extent(c), _nodes(c))

    def chance(self, c: Children) -> t.Chance:
        return t.Chance(*_extent(c), c[1], c[3])

    def limit(self, c: Children) -> t.Limit:
        return t.Limit(*_extent(c), c[1])

    def unless(self, c: Children) -> t.Unless:
        return t.Unless(*_extent(c), c[2])

    def answer(self, c: Children) -> t.With:
        return t.With(*_extent(c), c[1])

    def rate(self, c: Children) -> t.Rate:
        count, _, unit, _, burst = c
        return t.Rate(*_extent(c), count, _keyword(unit), burst)

    # ---- nat

    def nat(self, c: Children) -> t.NatBlock:
        return _block(t.NatBlock, c)

    def dnat(self, c: Children) -> t.Dnat:
        _, source, _, to, _, ports, _, target, _, port, *options = c
        return t.Dnat(*_extent(c), source, to, ports, target, port, tuple(options))

    def snat(self, c: Children) -> t.Snat:
        return t.Snat(*_extent(c), c[1], c[3], tuple(c[4:]))

    def masquerade(self, c: Children) -> t.Masquerade:
        return t.Masquerade(*_extent(c), c[1], tuple(c[2:]))

    def redirect(self, c: Children) -> t.Redirect:
        return t.Redirect(*_extent(c), c[1], c[3], tuple(c[4:]))

    def keep_source(self, c: Children) -> t.KeepSource:
        return t.KeepSource(*_extent(c), c[3], tuple(c[4:]))

    # ---- mangle

    def mangle(self, c: Children) -> t.MangleBlock:
        return _block(t.MangleBlock, c)

    def mark(self, c: Children) -> t.Mark:
        _, flow, mark, _, mask = c
        return t.Mark(*_extent(c), flow, mark, mask)

    def dscp(self, c: Children) -> t.Dscp:
        return t.Dscp(*_extent(c), c[1], c[2])

    def ttl(self, c: Children) -> t.Ttl:
        _, change, amount, _, flow = c
        return t.Ttl(*_extent(c), _keyword(change), amount, flow)

    def mss(self, c: Children) -> t.Mss:
        size, flow = c[2], c[4]
        return t.Mss(*_extent(c), size if isinstance(size, t.Number) else None, flow)

    # ---- raw

    def raw(self, c: Children) -> t.RawBlock:
        return _block(t.RawBlock, c)

    def notrack(self, c: Children) -> t.Notrack:
        return t.Notrack(*_extent(c), c[1], c[3])

    def drop_from(self, c: Children) -> t.DropFrom:
        return t.DropFrom(*_extent(c), c[1] is not None, c[3])

    def drop(self, c: Children) -> t.Drop:
        return t.Drop(*_extent(c), c[1])

    # ---- expect

    def expect(self, c: Children) -> t.ExpectBlock:
        return _block(t.ExpectBlock, c)

    def reach(self, c: Children) -> t.Reach:
        only, source, can, _, target, _, ports = c
        first = source if only is None else only
        return t.Reach(begin(first), end(ports or target), only is not None, source, can == "can", target, ports)

    def translates(self, c: Children) -> t.Translates:
        source, _, ports, _, _, target, _, port = c
        return t.Translates(*_extent(c), source, ports, target, port)


def _block(kind: Callable[..., _Block], c: Children) -> _Block:
    return kind(*_extent(c), begin(c[1]), begin(c[-1]), tuple(c[2:-1]))

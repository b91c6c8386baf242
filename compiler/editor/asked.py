"""Where statements are asked: their table, and the places on a packet's way. docs/DSL.md has the whole of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from compiler.resources.language import End, ThisNode, parts
from grammar import dsl_tree as t

#: An end of a statement as a value; None when that is not known.
Meaning = Callable[[t.End], End | None]

_POLICY = (
    "filter: new connections in FORWARD; in INPUT those from pods of this node; in OUTPUT those whose source is not "
    "the node's own. In front of Kubernetes' policies; blocks in the order of their priorities, the first rule that "
    "matches decides."
)
_LIST = "One list of all files, the first rule that matches decides."
_NODE = f"filter: INPUT with the target self, OUTPUT with the source self. {_LIST}"
_PACKETS = (
    "Every packet, replies too, before all else; it can only take away: what it allows or does not decide goes on to "
    "everything else."
)
_WITHIN = "Its statements are asked about what its head is about; what none of them decides goes on behind it."
_NESTED = "Only about what the head of the list around it is about."
_BLOCKS: Mapping[str, str] = {
    "PolicyBlock": _POLICY,
    "NodeBlock": _NODE,
    "ForwardBlock": "filter: FORWARD, behind policy blocks and Kubernetes' policies. " + _LIST,
    "NatBlock": "nat: connections; the first statement that fits decides.",
    "MangleBlock": "mangle: packets; every statement that fits is done, in their order.",
    "RawBlock": "raw: packets, before connections are tracked; in their order.",
    "ExpectBlock": "no rule: proved when the program is compiled, for all packets that it speaks of.",
}
_STATEMENTS: Mapping[str, str] = {
    "Include": "the definitions and blocks of another file, each file once",
    "Dnat": "nat: PREROUTING; also OUTPUT where the source may be this node",
    "Redirect": "nat: PREROUTING; also OUTPUT where the source may be this node",
    "Snat": "nat: POSTROUTING",
    "Masquerade": "nat: POSTROUTING",
    "KeepSource": "nat: POSTROUTING; exempt from snat and masquerade",
    "Mark": "mangle: PREROUTING (before routing) and OUTPUT; FORWARD and OUTPUT where the target names interfaces",
    "Dscp": "mangle: FORWARD; INPUT where the target may be this node, OUTPUT where the source may be",
    "Ttl": "mangle: FORWARD; INPUT where the target may be this node, OUTPUT where the source may be",
    "Mss": "mangle: FORWARD and OUTPUT, TCP packets that open a connection; a fixed size in INPUT, too",
    "Notrack": "raw: PREROUTING and OUTPUT",
    "Drop": "raw: PREROUTING and OUTPUT",
    "DropFrom": "raw: PREROUTING, what arrives",
    "Opaque": "a rule of one tool as it is: compiled for that tool alone, and not proved",
}


def asked(way: Sequence[t.Node], meaning: Meaning | None) -> str | None:
    """Of the innermost statement of a way from its block down; None where there is nothing to say."""
    block, node = way[0], way[-1]
    name = type(node).__name__
    if isinstance(block, t.NatBlock) and isinstance(node, t.Mark):
        return "nat: the mark of the first packet of a connection; goes on with the next statement"
    if name in _STATEMENTS:
        return _STATEMENTS[name]
    if isinstance(block, t.NodeBlock) and isinstance(node, t.Rule) and len(way) == 2 and meaning is not None:
        found: str | None = _of_node(node, meaning)
    else:
        found = _BLOCKS.get(type(block).__name__)
    more = [found, _PACKETS if getattr(block, "packets", False) else None, _NESTED if len(way) > 2 else None]
    more.append(_WITHIN if isinstance(node, t.Within) else None)
    return " ".join(one for one in more if one) or None


def _of_node(rule: t.Rule, meaning: Meaning) -> str:
    """A rule of the node's list: at which side of it this node is."""
    source, target = (_is_node(meaning(end)) for end in (rule.source, rule.target))
    if source == target:
        return _NODE
    return f"filter: {'OUTPUT, what this node sends' if source else 'INPUT, what comes to this node'}. {_LIST}"


def _is_node(end: End | None) -> bool:
    return end is not None and any(isinstance(one, ThisNode) for one in parts(end))

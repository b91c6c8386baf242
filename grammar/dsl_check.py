"""What a tree of the policy language cannot say by its shape: literals, bounds, options; each flaw at its own column.

What names mean, and whether a statement makes sense with what they mean, is not asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

from grammar import dsl_check_rules as of_rules
from grammar import dsl_literals as literal
from grammar import dsl_tree as t
from grammar.dsl_check_rules import Found
from grammar.dsl_check_rules import problem as _problem
from grammar.dsl_parts import Finding

#: The longest name of a set, service, zone or policy; the longest text.
NAME, TEXT = 63, 255


def findings(tree: t.Node) -> Iterator[Finding]:
    """Everything that is wrong with a node and all below it, in no order."""
    stack: list[t.Node] = [tree]
    while stack:
        node = stack.pop()
        kind = type(node)
        check = _CHECKS.get(kind)
        if check is not None:
            for at, message, code in check(node):
                yield Finding(at.begin, at.end, message, code)
        for slot in _PARTS[kind]:
            part = getattr(node, slot)
            if isinstance(part, tuple):
                stack += [one for one in part if isinstance(one, t.Node)]
            elif isinstance(part, t.Node):
                stack.append(part)


def _parts(kind: type[t.Node]) -> tuple[str, ...]:
    """The fields that hold nodes; none of what is only looked at from above."""
    leaves = "begin end brace close text arrow only can spoofed may_be_empty relation packets"
    return tuple(one.name for one in fields(kind) if one.name not in leaves.split())


# ---- Words


def _address(node: t.Address) -> Found:
    return _problem(node, literal.address(node.text))


def _prefix(node: t.Prefix) -> Found:
    return _problem(node, literal.prefix(node.text))


def _range(node: t.Range) -> Found:
    low, high = literal.packed(node.low.text), literal.packed(node.high.text)
    if low is None or high is None:
        return
    if len(low) != len(high):
        yield node, "a range from one family of addresses into the other", "bad-range"
    elif low > high:
        yield node, f"a range begins with its lower address: write {node.high.text}-{node.low.text}", "bad-range"


def _text(node: t.Text) -> Found:
    if len(node.value) > TEXT:
        yield node, f"a text has at most {TEXT} characters, not {len(node.value)}", "too-long"


# ---- Definitions


def _defined(name: t.Name, what: str) -> Found:
    if len(name.text) > NAME:
        yield name, f"a name has at most {NAME} characters, not {len(name.text)}", "too-long"
    elif what != "a policy" and name.text in literal.PROTOCOLS | {literal.BY_NUMBER}:
        yield name, f'"{name.text}" is a protocol and cannot name {what}', "reserved"
    elif what != "a policy" and name.text in literal.BUILT_IN:
        yield name, f'"{name.text}" is built in and cannot be defined again', "reserved"


def _set(node: t.SetDefinition) -> Found:
    yield from _defined(node.name, "a set")
    if not node.entries and not node.may_be_empty:
        yield node, f'set {node.name.text} is empty: write "may be empty" behind it if that is meant', "empty"


def _service(node: t.ServiceDefinition) -> Found:
    return _defined(node.name, "a service")


def _zone(node: t.ZoneDefinition) -> Found:
    return _defined(node.name, "a zone")


def _include(node: t.Include) -> Found:
    if not node.path.value:
        yield node.path, "the name of a file is empty", "empty"


def _without(node: t.Without) -> Found:
    if literal.prefix(node.prefix.text) is not None:
        return
    bits, first, last = literal.bounds(node.prefix.text)
    for cut in node.cuts:
        low, high = (cut.low, cut.high) if isinstance(cut, t.Range) else (cut, cut)
        if any((literal.prefix if isinstance(one, t.Prefix) else literal.address)(one.text) for one in (low, high)):
            continue
        ends = (literal.bounds(low.text), literal.bounds(high.text))
        if any(family != bits for family, _, _ in ends) or ends[0][1] < first or ends[1][2] > last:
            yield cut, f"this does not lie in {node.prefix.text}, so there is nothing to except", "outside"


# ---- Ends


def _interface(node: t.Interfaces) -> Found:
    for name in node.names:
        yield from _problem(name, literal.interface(name.value))


def _label(node: t.Label) -> Found:
    yield from _problem(node.key, literal.label_key(node.key.value))
    for value in node.values:
        yield from _problem(value, literal.label_value(value.value))


def _namespace(node: t.InNamespace) -> Found:
    return _problem(node.name, literal.namespace(node.name.value))


def _selector(node: t.Selector) -> Found:
    named = [part for part in node.parts if not isinstance(part, t.Label)]
    for part in named[1:]:
        yield part, "the namespace is said twice", "twice"


def _nodes(node: t.Nodes) -> Found:
    for part in node.selector.parts if node.selector else ():
        if not isinstance(part, t.Label):
            yield part, "nodes are in no namespace", "bad-selector"


# ---- Ports


def _port_set(node: t.PortSet) -> Found:
    protocol = "tcp" if node.protocol is None else node.protocol.text
    if node.protocol is not None and protocol not in literal.PROTOCOLS and protocol != literal.BY_NUMBER:
        names = literal.PROTOCOLS | {literal.BY_NUMBER}
        yield from _problem(node.protocol, literal.known(protocol, names, "protocol", "unknown-protocol"))
    elif protocol in literal.WITHOUT:
        yield node, f"{protocol} has no ports: write {protocol} alone", "bad-port"
    else:
        check = _TYPES.get(protocol, _port)
        for port in node.ports:
            yield from check(port, protocol)


def _port(node: t.Port, protocol: str) -> Found:
    if isinstance(node.low, t.Name):
        return
    ends = [node.low, *([node.high] if node.high else [])]
    found = [(one, literal.number(one.text, 0, 65535, "a port")) for one in ends]
    for one, wrong in found:
        yield from _problem(one, wrong)
    if node.high is not None and not any(wrong for _, wrong in found) and node.low.number > node.high.number:
        text = f"a range begins with its lower port: write {node.high.text}-{node.low.text}"
        yield node, text, "bad-range"


def _source_ports(node: t.SourcePorts) -> Found:
    for port in node.ports:
        yield from _port(port, "")


def _type(node: t.Port, protocol: str) -> Found:
    """A type of ICMP."""
    if node.high is not None:
        yield node, f"{protocol} has types, and no ranges of them", "bad-port"
    elif isinstance(node.low, t.Number):
        yield from _problem(node.low, literal.number(node.low.text, 0, 255, f"a type of {protocol}"))
    else:
        names = literal.ICMP_TYPES if protocol == "icmp" else literal.ICMPV6_TYPES
        yield from _problem(node.low, literal.known(node.low.text, names, f"type of {protocol}", "unknown-type"))


def _protocol(node: t.Port, protocol: str) -> Found:
    """A protocol's number."""
    if node.high is not None or isinstance(node.low, t.Name):
        yield node, "behind proto/ stands the number of a protocol", "bad-port"
    else:
        yield from _problem(node.low, literal.number(node.low.text, 0, 255, "a protocol"))


_TYPES: dict[str, Callable[[t.Port, str], Found]] = {"icmp": _type, "icmpv6": _type, literal.BY_NUMBER: _protocol}


# ---- Rules


def _policy(node: t.PolicyBlock) -> Found:
    yield from _defined(node.name, "a policy")
    if node.priority is not None:
        yield from _problem(node.priority, literal.number(node.priority.text, 0, 1000, "a priority"))
    yield from of_rules.block(node)


# ---- The other tables


def _target_port(node: t.Dnat | t.Redirect | t.Translates) -> Found:
    if node.port is not None:
        yield from _problem(node.port, literal.number(node.port.text, 1, 65535, "a port to go to"))
    if not isinstance(node, t.Translates):
        yield from of_rules.conditions(node)


def _dscp(node: t.Dscp) -> Found:
    if isinstance(node.to, t.Number):
        yield from _problem(node.to, literal.number(node.to.text, 0, 63, "a DSCP value", hexadecimal=True))
    else:
        yield from _problem(node.to, literal.known(node.to.text, literal.DSCP_CLASSES, "DSCP class", "unknown-class"))


def _ttl(node: t.Ttl) -> Found:
    return _problem(node.amount, literal.number(node.amount.text, 1, 255, "a TTL"))


def _mss(node: t.Mss) -> Found:
    if node.size is not None:
        yield from _problem(node.size, literal.number(node.size.text, 1, 65535, "an MSS"))


def _notrack(node: t.Notrack) -> Found:
    if node.between is not None and node.flow.source is not None and node.flow.target is not None:
        yield node.between, "between says both ends, and they are said already", "twice"


_CHECKS: dict[type[t.Node], Callable[..., Found]] = {
    t.Address: _address,
    t.Prefix: _prefix,
    t.Range: _range,
    t.Text: _text,
    t.SetDefinition: _set,
    t.ServiceDefinition: _service,
    t.ZoneDefinition: _zone,
    t.Include: _include,
    t.Without: _without,
    t.Interfaces: _interface,
    t.Label: _label,
    t.InNamespace: _namespace,
    t.Selector: _selector,
    t.Nodes: _nodes,
    t.PortSet: _port_set,
    t.SourcePorts: _source_ports,
    t.PolicyBlock: _policy,
    **of_rules.CHECKS,
    **dict.fromkeys((t.NodeBlock, t.ForwardBlock, t.NatBlock, t.MangleBlock, t.RawBlock), of_rules.block),
    t.Dnat: _target_port,
    t.Redirect: _target_port,
    **dict.fromkeys((t.Snat, t.Masquerade, t.KeepSource), of_rules.conditions),
    t.Translates: _target_port,
    t.Dscp: _dscp,
    t.Ttl: _ttl,
    t.Mss: _mss,
    t.Notrack: _notrack,
}
_PARTS = {kind: _parts(kind) for kind in vars(t).values() if isinstance(kind, type) and issubclass(kind, t.Node)}

"""Statements of nat, mangle and raw blocks."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal, assert_never, cast

from compiler.resources.language import (
    Both,
    Dnat,
    DropFlow,
    DropFrom,
    Dscp,
    End,
    Flow,
    KeepSource,
    MangleStatement,
    Mark,
    Masquerade,
    Mss,
    NatItem,
    NatStatement,
    NatWithin,
    Notrack,
    Pods,
    RawStatement,
    Redirect,
    Snat,
    Ttl,
)
from compiler.sources.language.addresses import known, single
from compiler.sources.language.ports import DSCP, TCP
from compiler.sources.language.rules import Rules
from grammar import dsl_tree as t

_EVERY_BIT = 0xFFFFFFFF


class Tables(Rules):
    """These statements of one file."""

    def nat(self, node: t.NatItem) -> NatItem | None:
        match node:
            case t.Opaque():
                return self.opaque(node)
            case t.Rule():
                return self.of_nat(node)
            case t.Mark():
                return self._mark(node)
            case t.Within():
                head, items = self.matching(node), [self.nat(one) for one in node.statements]  # type: ignore[arg-type]
                if head is None or None in items:
                    return None
                made = tuple(one for one in items if one is not None)
                return NatWithin(items=made, **head, **self.head(t.Node(node.begin, node.brace)))
            case t.Dnat():
                return self._dnat(node)
            case _:
                return self._translation(node)

    def _translation(self, node: t.Snat | t.Masquerade | t.Redirect | t.KeepSource) -> NatStatement | None:
        flow = self.flow(node.flow)
        conditions = self.conditions(node.options, flow.ports, node.flow) if flow is not None else None
        if flow is None or conditions is None:
            return None
        head = self.head(node) | conditions
        match node:
            case t.Snat(address=address):
                new = ip_address(address.text)
                found = [self._names.versions(one) for one in (flow.source, flow.target) if one is not None]
                if any(new.version not in versions for versions in found if versions):
                    text = f"{address.text} is an IPv{new.version} address, and these connections are not"
                    self.flaw(address, text, "family-mismatch")
                    return None
                return Snat(flow=flow, address=new, **head)
            case t.Masquerade():
                return Masquerade(flow=flow, **head)
            case t.KeepSource():
                return KeepSource(flow=flow, **head)
            case t.Redirect(port=port):
                if flow.ports is None:
                    self.flaw(node, "redirect needs the ports that it is about, such as tcp/80", "no-ports")
                    return None
                if not self.only_ports(node.flow, flow.ports, "redirect"):
                    return None
                return Redirect(flow=flow, port=port.number, **head)
            case _:
                assert_never(node)

    def _dnat(self, node: t.Dnat) -> Dnat | None:
        source, target = self.end(node.source), self.end(node.target)
        to = self.end(node.to) if node.to is not None else None
        ports = self.ports(node.ports, target, node.target)
        conditions = self.conditions(node.options, ports, node.ports)
        if source is None or target is None or ports is None or (node.to is not None and to is None):
            return None
        if conditions is None:
            return None
        if not self.only_ports(node.ports, ports, "dnat") or not self.agree(node, source, to, target):
            return None
        if Pods not in self._names.kinds(target) and single(target) is None:
            addresses = known(target)
            what = "it is several" if addresses is not None else "which address it has is not known"
            self.flaw(node.target, f"dnat goes to one address of a family, or to pods: {what}", "many-targets")
            return None
        port = node.port.number if node.port is not None else None
        return Dnat(source=source, to=to, ports=ports, target=target, port=port, **conditions, **self.head(node))

    def _mark(self, node: t.Mark) -> Mark | None:
        flow = self.flow(node.flow)
        if flow is None:
            return None
        mask = node.mask.number if node.mask is not None else _EVERY_BIT
        return Mark(flow=flow, value=node.mark.number, mask=mask, **self.head(node))

    def mangle(self, node: t.Mark | t.Dscp | t.Ttl | t.Mss | t.Opaque) -> MangleStatement | None:
        if isinstance(node, t.Opaque):
            return self.opaque(node)
        if isinstance(node, t.Mark):
            return self._mark(node)
        flow = self.flow(node.flow)
        if flow is None:
            return None
        head = self.head(node)
        match node:
            case t.Dscp(to=to):
                return Dscp(flow=flow, value=to.number if isinstance(to, t.Number) else DSCP[to.text], **head)
            case t.Ttl(change=change, amount=amount):
                kind = cast(Literal["dec", "inc", "set"], change.text)
                return Ttl(flow=flow, change=kind, amount=amount.number, **head)
            case t.Mss(size=size):
                if any(one.protocol != TCP for one in flow.ports or ()):
                    self.flaw(node.flow, "segments are TCP's: name tcp ports, or none", "no-ports")
                    return None
                return Mss(flow=flow, size=size.number if size is not None else None, **head)
            case _:
                assert_never(node)

    def raw(self, node: t.Notrack | t.DropFrom | t.Drop | t.Opaque) -> RawStatement | None:
        match node:
            case t.Opaque():
                return self.opaque(node)
            case t.DropFrom(source=source, spoofed=spoofed):
                end = self.end(source)
                return None if end is None else DropFrom(source=end, spoofed=spoofed, **self.head(node))
            case t.Drop(flow=flow):
                found = self.flow(flow)
                return None if found is None else DropFlow(flow=found, **self.head(node))
            case t.Notrack(flow=flow, between=between):
                found = self.flow(flow)
                ends = self.end(between) if between is not None else None
                if found is None or (between is not None and ends is None):
                    return None
                return Notrack(flow=_between(found, ends) if ends is not None else found, **self.head(node))
            case _:
                assert_never(node)


def _between(flow: Flow, ends: End) -> Flow:
    """The flow among these ends alone, both ways; narrower where it says an end itself."""
    source = ends if flow.source is None else Both(ends=(flow.source, ends))
    return Flow(source=source, target=ends, ports=flow.ports, both_ways=True)

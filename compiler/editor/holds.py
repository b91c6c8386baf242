"""Who an end is at this moment: interfaces, addresses, and the pods and nodes of a cluster that have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from compiler.net import Family, Intervals, address_text, intersect, parse_address, union
from compiler.resolve.ends import Alternative, Ends, Here, Side, everything
from compiler.resolve.inventory import Inventory
from compiler.resources.language import End
from compiler.snapshot import Snapshot

#: Lines and items of one kind that are shown at most.
SHOWN = 12
_ANYWHERE = Side(Here.ASKED)


class Holdings:
    """Ends in one cluster. `here`: the name of the node that `self` is, if that is known."""

    def __init__(self, snapshot: Snapshot, here: str | None = None) -> None:
        self.snapshot = snapshot
        self._inventory = Inventory(snapshot)
        self._ends = Ends(self._inventory, here)

    def of(self, end: End) -> list[str]:
        """Lines of Markdown: what an end holds."""
        lines: list[str] = []
        spans: dict[Family, Intervals] = {}
        for family in Family:
            for one in self._ends.alternatives(end, family, _ANYWHERE):
                lines += [text for text in _alternative(one, family) if text not in lines]
                if one.addresses != everything(family):
                    spans[family] = union(spans.get(family, ()), one.addresses)
        if not lines and not spans:
            return ["nobody"]
        for kind, members in (("pod", self._pods(spans)), ("node", self._nodes(spans))):
            if members:
                lines += [
                    f"{len(members)} {kind}{'s' if len(members) > 1 else ''}:",
                    *_few(f"- {one}" for one in members),
                ]
        found = [text for family, part in spans.items() for text in addresses(part, family)]
        if found:
            lines.append("addresses: " + ", ".join(_few(found, 3 * SHOWN)))
        return lines

    def _pods(self, spans: dict[Family, Intervals]) -> list[str]:
        pods = (pod for group in self._inventory.groups for pod in group.pods)
        return sorted(f"{pod.namespace}/{pod.name} ({', '.join(pod.ips)})" for pod in pods if _any_in(pod.ips, spans))

    def _nodes(self, spans: dict[Family, Intervals]) -> list[str]:
        nodes = self.snapshot.nodes.values()
        return sorted(f"{node.name} ({', '.join(node.own_ips)})" for node in nodes if _any_in(node.own_ips, spans))


def _alternative(one: Alternative, family: Family) -> Iterator[str]:
    """What addresses do not say of an alternative."""
    conditions = [f"by {one.interface}"] if one.interface is not None else []
    conditions += [f"not by {', '.join(one.outside)}"] if one.outside else []
    conditions += [f"addresses that routing calls {one.routed}"] if one.routed is not None else []
    conditions += [f"none that routing calls {' or '.join(one.unrouted)}"] if one.unrouted else []
    if one.local is not None:
        conditions.append("this node, whichever of its addresses" if one.local else "not this node")
    if one.addresses == everything(family):
        yield ", ".join(conditions) or "everyone"
    elif conditions:
        yield f"{', '.join(conditions)}: {', '.join(_few(addresses(one.addresses, family)))}"


def addresses(spans: Intervals, family: Family) -> list[str]:
    """Intervals as text: an address, a prefix, or a range that is none."""
    found = []
    for low, high in spans:
        size = high - low + 1
        if size & (size - 1) == 0 and low % size == 0:
            length = family.bits - size.bit_length() + 1
            found.append(address_text(family, low) + (f"/{length}" if size > 1 else ""))
        else:
            found.append(f"{address_text(family, low)}-{address_text(family, high)}")
    return found


def _any_in(texts: Sequence[str], spans: dict[Family, Intervals]) -> bool:
    values = map(parse_address, texts)
    return any(intersect(spans.get(family, ()), ((value, value),)) for family, value in values)


def _few(texts: Iterable[str], most: int = SHOWN) -> list[str]:
    found = list(texts)
    return found if len(found) <= most else [*found[:most], f"... and {len(found) - most} more"]

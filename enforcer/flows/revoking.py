"""After a change of rules: open connections that it revoked are cut, and no others."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.net import parse_address
from enforcer.flows.addresses import local_addresses
from enforcer.flows.conntrack import Conntrack
from enforcer.flows.walk import Walk
from enforcer.reconcile import View


class Revoking:
    """For one node; called when other rules are in force (`Reconciler`)."""

    def __init__(self, node: str, conntrack: Conntrack) -> None:
        self._node, self._conntrack = node, conntrack

    def __call__(self, before: View | None, now: View) -> None:
        """Of pods that the node has or had. After a start nobody knows what was before: what is denied now is cut.
        OSError when conntrack cannot be asked."""
        pods = frozenset(self._pods(filter(None, (before, now))))
        local = local_addresses()
        own = frozenset(int.from_bytes(address, "big") for address in local)
        passed = Walk(before.ruleset, own).passes if before is not None else None
        self._conntrack.cut(pods, local, Walk(now.ruleset, own).passes, passed)

    def _pods(self, views: Iterable[View]) -> Iterable[bytes]:
        for view in views:
            for pod in view.local(self._node):
                if pod.holds_addresses:
                    for family, value in map(parse_address, pod.ips):
                        yield value.to_bytes(family.bits // 8, "big")

"""The addresses that the machine itself has, by rtnetlink: what `fib saddr type local` and `addrtype --src-type LOCAL`
hold for a node's own."""

from __future__ import annotations

from enforcer.node.rtnetlink import attributes, dump

_GET_ADDRESS, _HEADER = 22, 8  # RTM_GETADDR; struct ifaddrmsg
_ADDRESS, _LOCAL = 1, 2  # IFA_ADDRESS is the other end's on a point-to-point link; IFA_LOCAL is ours then


def local_addresses() -> frozenset[bytes]:
    """Packed, both families, of all interfaces in the network namespace of the calling thread."""
    found = (attributes(body[_HEADER:]) for body in dump(_GET_ADDRESS, _HEADER))
    return frozenset(parts.get(_LOCAL) or parts[_ADDRESS] for parts in found)

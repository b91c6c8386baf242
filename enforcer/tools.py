"""The dataplanes by the names that the command line has for them."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.backends.target import Backend
from compiler.net import Family
from enforcer.dataplane import Dataplane
from enforcer.nftables.libnftables import Missing

#: Name -> whose rules it takes.
BACKENDS = {
    "nftables": Backend.NFTABLES,
    "iptables-legacy": Backend.IPTABLES,
    "iptables-nft": Backend.IPTABLES,
}
FAMILIES = {"ipv4": (Family.IPV4,), "ipv6": (Family.IPV6,), "dual": (Family.IPV4, Family.IPV6)}


def dataplane(name: str, families: tuple[Family, ...]) -> Dataplane:
    """That of the network namespace of this thread. Raises OSError and Missing where its tools are not."""
    if name == "nftables":
        from enforcer.nftables.nft import Nft

        return Nft()
    from enforcer.iptables.iptables import Iptables, Variant

    return Iptables(Variant(name.removeprefix("iptables-")), families)


def every() -> Iterator[Dataplane]:
    """One after the other, each closed when the next is asked for; those whose tools are not here are passed over."""
    for name in BACKENDS:
        try:
            found = dataplane(name, FAMILIES["dual"])
        except (OSError, Missing):
            continue
        try:
            yield found
        finally:
            found.close()

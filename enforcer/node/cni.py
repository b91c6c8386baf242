"""CNI configurations (0.3 to 1.1) and flannel's subnet.env: which network pods of a node get, and of which addresses.

The runtime takes the first file of /etc/cni/net.d by name that it can read; so does `chosen`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.net import Prefix, parse_prefix

SUFFIXES = (".conf", ".conflist", ".json")


@dataclass(frozen=True, slots=True)
class NotRead:
    """A file, with line and column where that is known, and what is wrong."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Network:
    """`where`: its file. `plugins` by type, in their order, with those that they delegate to."""

    name: str = ""
    where: str = "/etc/cni/net.d"
    plugins: tuple[str, ...] = ()
    ranges: tuple[Prefix, ...] = ()
    masquerades: bool = False


def chosen(files: Mapping[str, str]) -> tuple[Network, tuple[NotRead, ...]]:
    """The network that pods get, and what could not be read on the way to it; an empty one when there is none."""
    unread: list[NotRead] = []
    for name in sorted(files):
        if not name.endswith(SUFFIXES):
            continue
        try:
            return _network(name, json.loads(files[name])), tuple(unread)
        except json.JSONDecodeError as error:
            unread.append(NotRead(f"{name}:{error.lineno}:{error.colno}", f"no JSON: {error.msg}"))
        except ValueError as error:
            unread.append(NotRead(name, str(error)))
    return Network(), tuple(unread)


def _network(name: str, found: object) -> Network:
    """Raises ValueError for what is no network configuration."""
    if not isinstance(found, dict):
        raise ValueError("expected an object")
    plugins = found.get("plugins", [found])
    if not isinstance(plugins, list) or not all(isinstance(one, dict) for one in plugins):
        raise ValueError("plugins: expected a list of objects")
    every = [one for plugin in plugins for one in _with_delegates(plugin)]
    types = [one.get("type") for one in every]
    if not types or not all(isinstance(kind, str) and kind for kind in types):
        raise ValueError("type: every plugin has to name one")
    ranges = tuple(dict.fromkeys(prefix for one in every for prefix in _ranges(one.get("ipam"))))
    masquerades = any(one.get("ipMasq") is True for one in every)
    return Network(str(found.get("name", "")), name, tuple(map(str, types)), ranges, masquerades)


def _with_delegates(plugin: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """flannel and multus have plugins inside; of flannel's the type may be left out and is `bridge` then."""
    yield plugin
    inside = plugin.get("delegate")
    if isinstance(inside, dict):
        yield from _with_delegates({"type": "bridge", **inside})
    elif plugin.get("type") == "flannel":
        yield {"type": "bridge"}
    delegates = plugin.get("delegates")
    for one in delegates if isinstance(delegates, list) else ():
        if isinstance(one, dict):
            yield from _with_delegates(one)


def _ranges(ipam: object) -> Iterator[Prefix]:
    """Of host-local: `subnet`, or `ranges`, a list of lists of them. `usePodCidr` (calico) is the Node object's."""
    if not isinstance(ipam, dict):
        return
    sets = ipam.get("ranges", [])
    every = (
        [ipam, *(one for many in sets if isinstance(many, list) for one in many)] if isinstance(sets, list) else [ipam]
    )
    for one in every:
        subnet = one.get("subnet") if isinstance(one, dict) else None
        if isinstance(subnet, str) and not subnet.startswith("usePodCidr"):
            try:
                yield parse_prefix(subnet)
            except ValueError:
                raise ValueError(f"ipam: subnet: {subnet!r} is not a CIDR block") from None


@dataclass(frozen=True, slots=True)
class Flannel:
    """What flanneld wrote for its plugin: `ranges` are this node's."""

    ranges: tuple[Prefix, ...] = ()
    masquerades: bool = False


def flannel(text: str) -> Flannel:
    """Of /run/flannel/subnet.env; nothing of an empty text. The subnet is the gateway's address with its length."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    found = []
    for name in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"):
        if name in values:
            found.append(parse_prefix(values[name]))
    return Flannel(tuple(found), values.get("FLANNEL_IPMASQ") == "true")

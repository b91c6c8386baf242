"""Reads how this node is wired. Changes nothing, but what `enable_bridge_netfilter` is asked to."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from enforcer.node.choose import Use
from enforcer.node.cni import SUFFIXES
from enforcer.node.links import links
from enforcer.node.wiring import Read

_SETTINGS = (
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
)
_BRIDGED = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")


def read(root: Path = Path("/"), pod_cidrs: Iterable[str] = (), uses: Iterable[Use] = ()) -> Read:
    """Files below `root`, devices of the network namespace of the calling thread."""
    return Read(
        {path.name: _text(path) for path in sorted((root / "etc/cni/net.d").glob("*")) if path.suffix in SUFFIXES},
        _text(root / "run/flannel/subnet.env"),
        {name: text for name in _SETTINGS if (text := _text(_path(root, name)).strip())},
        links(),
        dict(_containers(root / "var/lib/docker/containers")),
        tuple(uses),
        tuple(pod_cidrs),
    )


def enable_bridge_netfilter(root: Path = Path("/")) -> None:
    """Shows bridged packets to netfilter from now on. OSError when the kernel cannot, or this process may not."""
    if not _path(root, _BRIDGED[0]).exists() and shutil.which("modprobe"):
        subprocess.run(("modprobe", "br_netfilter"), capture_output=True, timeout=30, check=False)
    for name in _BRIDGED:
        _path(root, name).write_text("1\n")


def _path(root: Path, name: str) -> Path:
    """The files of a thread's own namespace are those that /proc shows it."""
    return root.joinpath("proc/sys", *name.split("."))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _containers(folder: Path) -> Iterable[tuple[str, str]]:
    for path in sorted(folder.glob("*/hostconfig.json")):
        try:
            found = json.loads(_text(path))
        except ValueError:
            continue  # one that is being made or removed
        if isinstance(found, dict) and isinstance(mode := found.get("NetworkMode"), str):
            yield path.parent.name[:12], mode

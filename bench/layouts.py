"""Rulesets to compare: what netpolc emits, and other ways to say the same, for each back end's own tools.

All of them begin with "replies pass", and all let the same packets through; `ct-only` is that one rule alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.node_cluster import NODE, PEERS, PORT, NodeCluster
from bench.wire import Node
from compiler.backends import iptables, nftables
from compiler.backends.target import Backend, Target
from compiler.lower.pods import lower
from compiler.net import Family, address_text
from compiler.passes.expand_maps import expand_maps
from compiler.resolve.classes import classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reacher

_PREFIX_LENGTH = 32 - (PEERS - 1).bit_length()


class Flavour(Enum):
    """A back end and the tools that load it; the value prints."""

    NFT = "nftables"
    LEGACY = "iptables-legacy"
    IPTABLES_NFT = "iptables-nft"

    @property
    def backend(self) -> Backend:
        return Backend.NFTABLES if self is Flavour.NFT else Backend.IPTABLES

    @property
    def layouts(self) -> tuple[str, ...]:
        """The layouts to compare. The nft variant of iptables takes minutes to load the slow ones."""
        every = tuple(layout.name for layout in LAYOUTS)
        return every[:2] if self is Flavour.IPTABLES_NFT else every

    def load(self, node: Node, files: Mapping[str, str]) -> None:
        """Loads the texts in their order."""
        for name, text in files.items():
            match name:
                case nftables.FILE:
                    node.run("nft", "-f", "-", text=text)
                case "ipset.save":
                    node.run("ipset", "restore", text=text)
                case "iptables.save":
                    node.run(f"{self.value}-restore", "--noflush", text=text)


#: Makes the texts of a layout, by file name.
Files = Callable[[NodeCluster, Backend], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Layout:
    name: str
    files: Files


def netpolc(cluster: NodeCluster, backend: Backend) -> Mapping[str, str]:
    """What the compiler emits."""
    target = Target(backend, NODE, (Family.IPV4,))
    inventory = Inventory(cluster.snapshot)
    ruleset = lower(classes(inventory, cluster.policies, NODE), Reacher(inventory), target)
    ruleset = expand_maps(ruleset, target.capabilities)
    return {Backend.NFTABLES: nftables.emit, Backend.IPTABLES: iptables.emit}[backend](ruleset)


def ct_only(_: NodeCluster, backend: Backend) -> Mapping[str, str]:
    """Conntrack and one rule."""
    return _WRITE[backend]({}, [Line(replies=True, verdict="accept")])


def linear(cluster: NodeCluster, backend: Backend) -> Mapping[str, str]:
    """Two rules a pod in one chain. A pod's peers are written as one prefix, which favours this layout: a rule for
    each peer would make it eight times as long."""
    hook = [Line(replies=True, verdict="accept")]
    for pod, app in zip(cluster.pods, cluster.apps, strict=True):
        hook += [Line(app, _PREFIX_LENGTH, pod, PORT, "accept"), Line(destination=pod, verdict="drop")]
    return _WRITE[backend]({}, hook)


def chain_per_pod(cluster: NodeCluster, backend: Backend) -> Mapping[str, str]:
    """After kube-router: two rules a pod lead from the hook to the pod's chain, that to a chain of its policy, which
    marks what it allows; the hook's last rule accepts what is marked."""
    chains: dict[str, list[Line]] = {"sends": [Line(verdict="return")]}
    hook = [Line(replies=True, verdict="accept")]
    for n, (pod, app) in enumerate(zip(cluster.pods, cluster.apps, strict=True)):
        chains[f"policy-{n}"] = [Line(app + i, 32, pod, PORT, "mark") for i in range(PEERS)]
        chains[f"pod-{n}"] = [
            Line(verdict=f"jump policy-{n}"),
            Line(marked=True, verdict="return"),
            Line(verdict="drop"),
        ]
        hook += [Line(destination=pod, verdict=f"jump pod-{n}"), Line(pod, verdict="jump sends")]
    return _WRITE[backend](chains, [*hook, Line(marked=True, verdict="accept")])


LAYOUTS = (
    Layout("ct-only", ct_only),
    Layout("netpolc", netpolc),
    Layout("linear", linear),
    Layout("chain per pod", chain_per_pod),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A rule of a layout under comparison: what it asks, None for nothing, and what it does."""

    source: int | None = None
    length: int = 32
    destination: int | None = None
    port: int | None = None
    verdict: str = "accept"
    replies: bool = False
    marked: bool = False


def _nft(chains: Mapping[str, Sequence[Line]], hook: Sequence[Line]) -> Mapping[str, str]:
    body = ["table ip compared {"]
    for name, lines in chains.items():
        body += [f"chain {name} {{", *map(_nft_rule, lines), "}"]
    body += ["chain forward {", "type filter hook forward priority filter - 1", *map(_nft_rule, hook), "}", "}"]
    names = "".join(f"add chain ip compared {name}\n" for name in chains)
    return {nftables.FILE: f"add table ip compared\n{names}" + "\n".join(body) + "\n"}


def _nft_rule(line: Line) -> str:
    parts = ["ct state established,related"] * line.replies + ["mark 0x10000"] * line.marked
    if line.source is not None:
        parts.append(f"ip saddr {_text(line.source)}/{line.length}")
    if line.destination is not None:
        parts.append(f"ip daddr {_text(line.destination)}")
    if line.port is not None:
        parts.append(f"udp dport {line.port}")
    return " ".join([*parts, "mark set 0x10000" if line.verdict == "mark" else line.verdict])


def _iptables(chains: Mapping[str, Sequence[Line]], hook: Sequence[Line]) -> Mapping[str, str]:
    lines = ["*filter", *(f":{name} - [0:0]" for name in chains)]
    for name, rules in {**chains, "FORWARD": hook}.items():
        lines += [f"-A {name}{_iptables_rule(rule)}" for rule in rules]
    return {"iptables.save": "\n".join([*lines, "COMMIT", ""])}


def _iptables_rule(line: Line) -> str:
    parts = [" -m conntrack --ctstate ESTABLISHED,RELATED"] * line.replies + [" -m mark --mark 0x10000"] * line.marked
    if line.source is not None:
        parts.append(f" -s {_text(line.source)}/{line.length}")
    if line.destination is not None:
        parts.append(f" -d {_text(line.destination)}")
    if line.port is not None:
        parts.append(f" -p udp -m udp --dport {line.port}")
    verb, _, chain = line.verdict.partition(" ")
    return "".join(parts) + (" -j MARK --set-xmark 0x10000" if verb == "mark" else f" -j {chain or verb.upper()}")


def _text(address: int) -> str:
    return address_text(Family.IPV4, address)


_WRITE = {Backend.NFTABLES: _nft, Backend.IPTABLES: _iptables}

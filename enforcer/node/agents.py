"""What is in the kernel of this node, and who put it there: the findings by which a back end is chosen.

Nothing is changed by looking: tables of iptables-legacy come by being asked for, so only those that are there are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from compiler.backends.ipset import PREFIX as SET_PREFIX
from compiler.backends.iptables_rules import PREFIX
from compiler.net import Family
from enforcer.flows import holds
from enforcer.iptables import ipset_list
from enforcer.iptables.legacy import SEE, LegacyReader
from enforcer.iptables.nft_variant import NftReader
from enforcer.iptables.xtables import HOOKS, TABLES, TOOLS, Reader
from enforcer.netlink import Netlink, attributes, text
from enforcer.nftables.libnftables import Context, Missing
from enforcer.node.choose import LEGACY, NFT_VARIANT, NFTABLES, Findings, Use

_US, _NOBODY_KNOWN = "netpolc", "somebody"
#: Whose chains of iptables begin so; the first that fits.
_CHAINS = {
    "KUBE-ROUTER-": "kube-router",
    "KUBE-POD-FW-": "kube-router",
    "KUBE-NWPLCY-": "kube-router",
    "KUBE-IPTABLES-HINT": "the kubelet",
    "KUBE-KUBELET-CANARY": "the kubelet",
    "KUBE-FIREWALL": "the kubelet",
    "KUBE-": "kube-proxy",
    "cali-": "Calico",
    "CILIUM_": "Cilium",
    "OLD_CILIUM_": "Cilium",
    "FLANNEL-": "flannel",
    "WEAVE-": "Weave Net",
    "ANTREA-": "Antrea",
    "CNI-": "CNI plugins",
    "DOCKER": "Docker",
    "NETAVARK": "Podman",
    "ufw": "ufw",
    "LIBVIRT_": "libvirt",
    "f2b-": "fail2ban",
    "ts-": "Tailscale",
}
#: Whose tables of nf_tables these are.
_TABLES = {
    "kube-proxy": "kube-proxy",
    "firewalld": "firewalld",
    "calico": "Calico",
    "cni_hostport": "CNI plugins",
    "cni_plugins_masquerade": "CNI plugins",
    "docker-bridges": "Docker",
    "netavark": "Podman",
    "kube-router-filter-ipv4": "kube-router",
    "kube-router-filter-ipv6": "kube-router",
    "libvirt_network": "libvirt",
    "flannel-ipv4": "flannel",
    "flannel-ipv6": "flannel",
}
_OURS = ("inet", "netpolc")
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_...
_GET_TABLE = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
_NAME = 1  # NFTA_TABLE_NAME
#: Tables that the nft variants of iptables, ebtables and arptables make.
_OF_VARIANT = {("ip", "ip6"): TABLES, ("bridge",): ("filter", "nat", "broute"), ("arp",): ("filter",)}


def findings() -> Findings:
    """Of the network namespace of this thread."""
    missing = dict(_missing())
    found: list[tuple[str, str, str]] = []
    with closing(LegacyReader(str)) as legacy:
        if any(legacy.tables(family) for family in Family):
            try:
                found += _chains(LEGACY, legacy)
            except (ImportError, OSError) as error:
                missing.setdefault(LEGACY, f"its tables cannot be read: {error}")
                found.append((LEGACY, _NOBODY_KNOWN, "tables that cannot be read"))
    if _kernel_has_nf_tables():
        with closing(NftReader(str)) as variant:
            found += _chains(NFT_VARIANT, variant)
        found += _tables()
    ours = frozenset(backend for backend, who, _ in found if who == _US)
    uses = dict.fromkeys(Use(*one) for one in found if one[1] != _US)
    return Findings(missing, tuple(uses), ours)


def _missing() -> Iterator[tuple[str, str]]:
    """What each back end lacks."""
    kernel = "" if _kernel_has_nf_tables() else "the kernel has no nf_tables"
    if kernel:
        yield NFTABLES, kernel
    else:
        try:
            Context().close()
        except Missing as error:
            yield NFTABLES, str(error)
    ipset = _ipset()
    for backend, lacking in ((LEGACY, _legacy()), (NFT_VARIANT, kernel)):
        tools = (f"{tool}-{backend.removeprefix('iptables-')}-restore" for tool in TOOLS.values())
        absent = [f"{tool} is not installed" for tool in tools if shutil.which(tool) is None]
        if said := "; ".join(filter(None, [lacking, *absent, ipset])):
            yield backend, said


def _kernel_has_nf_tables() -> bool:
    with closing(Netlink()) as netlink:
        try:
            netlink.dump(_GET_TABLE, 0)
        except OSError:
            return False
    return True


def _ipset() -> str:
    with closing(Netlink()) as netlink:
        try:
            ipset_list.headers(netlink, SET_PREFIX)
        except OSError:
            return "the kernel has no ipset"
    return "" if shutil.which("ipset") else "ipset is not installed"


def _legacy() -> str:
    """Whether ip_tables is loaded or can be."""
    if (SEE / "ip_tables_names").exists():
        return ""
    lists = (Path("/lib/modules", os.uname().release, name) for name in ("modules.dep", "modules.builtin"))
    there = any("/ip_tables.ko" in one.read_text(errors="replace") for one in lists if one.exists())
    return "" if there else "the kernel has no ip_tables"


def _chains(backend: str, reader: Reader) -> Iterator[tuple[str, str, str]]:
    """Back end, who and by what sign; of tables that are empty, nobody."""
    for family in Family:
        for table in reader.tables(family):
            place = f"{TOOLS[family]} {table}"
            names = reader.chains(family, table)
            for chain, rules in names.items():
                if chain.startswith(PREFIX):
                    yield backend, _US, chain
                elif chain == holds.CHAIN:
                    continue  # of connections that were cut: it goes by itself
                elif chain not in HOOKS:
                    yield backend, _owner(chain), f"{chain} in {place}"
                elif any(_owner(rule.target) == _NOBODY_KNOWN and rule.target not in names for rule in rules):
                    yield backend, _NOBODY_KNOWN, f"rules in {chain} of {place}"


def _owner(chain: str) -> str:
    return next((who for prefix, who in _CHAINS.items() if chain.startswith(prefix)), _NOBODY_KNOWN)


def _tables() -> Iterator[tuple[str, str, str]]:
    """Tables of nf_tables that are nobody's iptables."""
    with closing(Netlink()) as netlink:
        found = netlink.dump(_GET_TABLE, 0)
    for message in found:
        family, name = _FAMILIES.get(message.family, "?"), text(attributes(message.payload)[_NAME])
        if (family, name) == _OURS:
            yield NFTABLES, _US, name
        elif f"{family} {name}" == holds.TABLE:
            continue
        elif not any(family in families and name in names for families, names in _OF_VARIANT.items()):
            yield NFTABLES, _TABLES.get(name, _NOBODY_KNOWN), f"table {family} {name}"

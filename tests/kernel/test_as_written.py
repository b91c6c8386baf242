"""Rules of one tool that netpolc refuses for their place are those that the kernel refuses there, and no others."""

from __future__ import annotations

import pytest

from compiler.errors import InvalidInput
from compiler.sources.language import load
from compiler.translate.as_written import misplaced
from tests.kernel.namespace import CommandFailed, Namespace
from tests.kernel.rig import Rig, clear

pytestmark = pytest.mark.kernel

#: Block and hook.
PLACES = [
    ("node", "input"),
    ("node", "output"),
    ("forward", "forward"),
    *(("nat", hook) for hook in ("prerouting", "input", "output", "postrouting")),
    *(("mangle", hook) for hook in ("prerouting", "input", "forward", "output", "postrouting")),
    *(("raw", hook) for hook in ("prerouting", "output")),
]
IPTABLES = [
    "-j MASQUERADE",
    "-j SNAT --to-source 10.0.0.1",
    "-j DNAT --to-destination 10.0.0.1",
    "-p tcp -j REDIRECT --to-ports 80",
    "-j NETMAP --to 10.0.0.0/24",
    "-j REJECT",
    "-j DROP",
    "-j CT --notrack",
    "-j TRACE",
    "-j TTL --ttl-set 5",
    "-j DSCP --set-dscp 5",
    "-j TOS --set-tos 5",
    "-j CHECKSUM --checksum-fill",
    "-j CLASSIFY --set-class 1:1",
    "-j MARK --set-mark 1",
    "-j CONNMARK --save-mark",
    "-p tcp -j TCPOPTSTRIP --strip-options timestamp",
    "-p tcp -j TPROXY --on-port 80",
    "-p tcp -j SYNPROXY --mss 1400",
    "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1200",
    "-m rpfilter --invert -j RETURN",
    "-m owner --uid-owner 0 -j RETURN",
    "-m mac --mac-source 00:11:22:33:44:55 -j RETURN",
    "-m realm --realm 1 -j RETURN",
    "-m socket -j RETURN",
    "-m devgroup --src-group 1 -j RETURN",
    "-m devgroup --dst-group 1 -j RETURN",
    "-m addrtype --limit-iface-in --dst-type LOCAL -j RETURN",
    "-m addrtype --limit-iface-out --dst-type LOCAL -j RETURN",
    "-m policy --dir in --pol ipsec -j RETURN",
    "-m policy --dir out --pol ipsec -j RETURN",
    "-m physdev --physdev-in eth0 -j RETURN",
    "-m physdev --physdev-out eth0 -j RETURN",
    "-i eth0 -j RETURN",
    "-o eth0 -j RETURN",
    "-m conntrack --ctstate NEW -j ACCEPT",
]
NFT = [
    "masquerade",
    "snat ip to 10.0.0.1",
    "dnat ip to 10.0.0.1",
    "redirect",
    "reject",
    "drop",
    "ct status dnat accept",
    "notrack",
    "meta mark set 1",
    "meta pkttype set host",
    "meta pkttype host drop",
    "fib saddr . iif oif missing drop",
    "fib daddr type local drop",
    "fib daddr . iif type local drop",
    "fib daddr . oif type local drop",
    "tcp flags syn tcp option maxseg size set rt mtu",
    "tcp flags syn tcp option maxseg size set 1200",
    "socket transparent 1 drop",
    'osf name "Linux" drop',
    "synproxy mss 1400",
    "ipsec in reqid 1 drop",
    "ipsec out reqid 1 drop",
    'iifname "eth0" drop',
    'oifname "eth0" drop',
    "ip ttl set 5",
    "ct mark set 1",
    "log group 1",
]


def refused(block: str, hook: str, tool: str, rule: str) -> bool:
    said = rule.replace('"', '\\"')
    text = f'{block} {{ opaque x {tool} ipv4 {"" if block == "forward" else hook} "{said}" }}'
    return bool(list(misplaced(load([("edge.np", text.encode())], lambda *_: "nothing is there"))))


def takes(namespace: Namespace, flavour: str, block: str, hook: str, rule: str) -> bool:
    """Whether the tool loads the rule, where a program's rules stand: of iptables in a chain of its own."""
    table = block if block in ("nat", "mangle", "raw") else "filter"
    try:
        if flavour == "nftables":
            kind = f"type {'nat' if table == 'nat' else 'filter'} hook {hook} priority -5;"
            chain = f"add chain inet t c {{ {kind} }}\nadd rule inet t c meta nfproto ipv4 {rule}\n"
            anew = "add table inet t\ndelete table inet t\nadd table inet t\n"
            namespace.run("nft", "-f", "-", stdin=f"{anew}{chain}")  # --check does not ask for places
            return True
        text = f"*{table}\n:{hook.upper()} ACCEPT\n:OWN -\n-A {hook.upper()} -j OWN\n-A OWN {rule}\nCOMMIT\n"
        namespace.run(f"iptables-{flavour.removeprefix('iptables-')}-restore", "-w", "60", stdin=text)
    except CommandFailed:
        return False
    return True


@pytest.mark.parametrize("flavour", ["nftables"])
@pytest.mark.parametrize(
    ("rule", "right"),
    [
        *((rule, False) for rule in ("drop accept", "return counter", "accept ip saddr 10.0.0.1", "drop drop")),
        *((rule, True) for rule in ('drop comment "accept"', 'log prefix "drop " accept', 'iifname "drop" return')),
        ("continue accept", True),
    ],
)
def test_what_stands_behind_a_verdict(rig: Rig, flavour: str, rule: str, right: bool) -> None:
    quoted = rule.replace('"', '\\"')
    text = f'forward {{ opaque x nft "{quoted}" }}'
    try:
        load([("edge.np", text.encode())], lambda *_: "nothing is there")
        said = True
    except InvalidInput:
        said = False
    assert said is right
    assert takes(rig.namespace, flavour, "forward", "forward", rule) is right
    clear(rig.namespace)


def test_what_is_refused_is_what_no_tool_takes(rig: Rig, flavour: str) -> None:
    known = 0
    for rule in NFT if flavour == "nftables" else IPTABLES:
        taken = {place: takes(rig.namespace, flavour, *place, rule) for place in PLACES}
        if not any(taken.values()):
            continue  # this kernel has no such module
        known += 1
        for place, loads in taken.items():
            said = refused(*place, "nft" if flavour == "nftables" else "iptables", rule)
            # iptables-nft does not ask where chains are jumped to from.
            assert said is not loads or (flavour == "iptables-nft" and said), (place, rule)
        clear(rig.namespace)
    assert known > 20

"""What lists in lists, conditions, lists of packets and rules of one tool mean for one packet, case by case."""

from __future__ import annotations

import pytest

from compiler.semantics.proof.case import Case
from compiler.semantics.rules.netfilter import AddressType, State
from tests.compiler.semantics.test_program import CLOSED, DB, HOST, INPUT, OUTPUT, WEB, WORLD, says, tcp

MULTICAST, BROADCAST = AddressType.MULTICAST, AddressType.BROADCAST
ESTABLISHED, INVALID = State.ESTABLISHED, State.INVALID


@pytest.mark.parametrize(
    ("text", "case", "wanted"),
    [
        # What is forwarded, behind blocks and policies; nothing is exempt.
        ("forward { deny any -> any : tcp/80 }", tcp(WORLD, WEB), "deny forward[0]"),
        ("forward { deny any -> any : tcp/80 }", tcp(WORLD, HOST, path=INPUT), "allow"),
        ("forward { deny any -> any }", tcp(WEB, WEB), "deny forward[0]"),
        ("policy a { allow any -> any } forward { deny any -> web }", tcp(WORLD, WEB), "deny forward[0]"),
        ("policy a { allow any -> any } forward { pass any -> web }", tcp(WORLD, WEB), "allow policy a[0] forward[0]"),
        ("forward { allow any -> any }", tcp(WORLD, DB), "deny"),
        ("forward { deny any -> any }", tcp(WORLD, WEB, state=ESTABLISHED), "allow"),
        # Lists in lists: what none decides goes on behind; what is decided is decided for the whole list.
        (
            "forward { within 10.0.1.0/24 -> any { deny any -> any : tcp/25 } reject any -> any }",
            tcp(WEB, WORLD, 25),
            "deny forward rule[0][0]",
        ),
        (
            "forward { within 10.0.1.0/24 -> any { deny any -> any : tcp/25 } reject any -> any }",
            tcp(WEB, WORLD, 80),
            "reject port unreachable forward[1]",
        ),
        (
            "forward { within 10.0.1.0/24 -> any { deny any -> any : tcp/25 } reject any -> any }",
            tcp(WORLD, WEB, 25),
            "reject port unreachable forward[1]",
        ),
        (
            "forward { within any -> any { allow any -> any } deny any -> any }",
            tcp(WEB, WORLD),
            "allow forward rule[0][0]",
        ),
        (
            "forward { within any -> any { pass any -> any } deny any -> any }",
            tcp(WEB, WORLD),
            "allow forward rule[0][0]",
        ),
        # leave ends the innermost list; at the top it is pass.
        (
            "forward { within any -> any { leave any -> any  deny any -> any } reject any -> any }",
            tcp(WEB, WORLD),
            "reject port unreachable forward[1]",
        ),
        (
            "forward { within any -> any { within any -> any { leave any -> any } deny any -> any } allow any -> any }",
            tcp(WEB, WORLD),
            "deny forward rule[0][1]",
        ),
        ("forward { leave web -> any  deny any -> any }", tcp(WEB, WORLD), "allow forward[0]"),
        (
            "policy a { leave any -> db  allow any -> any } policy b { allow any -> any }",
            tcp(WEB, DB),
            "deny policy a[0]",
        ),
        # In a list of the node, a head says for all inside of it which end is the node.
        (
            "node { within any -> self { deny 198.51.100.0/24 -> any } }",
            tcp(WORLD, HOST, path=INPUT),
            "deny node rule[0][0]",
        ),
        ("node { within any -> self { deny 198.51.100.0/24 -> any } }", tcp(WORLD, WEB, path=OUTPUT), "allow"),
        (
            "node { within any -> self { deny self -> any } }",
            tcp(HOST, HOST, path=OUTPUT, source_type=AddressType.LOCAL, destination_type=AddressType.LOCAL),
            "allow",
        ),
        # Every packet, before replies: it can only be taken away.
        (
            "node packets { deny any -> self state established }",
            tcp(WORLD, HOST, path=INPUT, state=ESTABLISHED),
            "deny node packets[0]",
        ),
        ("node packets { deny any -> self state established }", tcp(WORLD, HOST, path=INPUT), "allow"),
        ("node packets { allow any -> self } node { deny any -> self }", tcp(WORLD, HOST, path=INPUT), "deny node[0]"),
        (
            "forward packets { reject any -> web }",
            tcp(WORLD, WEB, state=ESTABLISHED),
            "reject port unreachable forward packets[0]",
        ),
        ("forward packets { allow any -> any } policy a { deny any -> any }", tcp(WORLD, WEB), "deny policy a[0]"),
        ("forward packets { leave any -> any  deny any -> any }", tcp(WORLD, WEB), "allow"),
        ("forward packets { deny any -> any }", tcp(WEB, WEB), "deny forward packets[0]"),
        ("node packets { deny self -> any }", tcp(WORLD, HOST, path=INPUT), "allow"),
        # Conditions.
        ("policy a { deny any -> any state invalid,untracked }", tcp(WORLD, WEB, state=INVALID), "deny policy a[0]"),
        ("policy a { deny any -> any state invalid,untracked }", tcp(WORLD, WEB), "allow"),
        ("policy a { deny any -> any marked 0x10/0xf0 }", tcp(WORLD, WEB, mark=0x1F), "deny policy a[0]"),
        ("policy a { deny any -> any marked 0x10/0xf0 }", tcp(WORLD, WEB, mark=0x3F), "allow"),
        ("policy a { deny any -> any marked 5 }", tcp(WORLD, WEB, mark=5), "deny policy a[0]"),
        ("policy a { deny any -> any marked 5 }", tcp(WORLD, WEB, mark=0x105), "allow"),
        ("policy a { deny any -> any : tcp source port 40000-40009 }", tcp(WORLD, WEB), "deny policy a[0]"),
        ("policy a { deny any -> any : tcp source port 1-39999,40001 }", tcp(WORLD, WEB), "allow"),
        ("policy a { deny any -> any : udp source port 40000 }", tcp(WORLD, WEB), "allow"),
        ("policy a { within any -> any state invalid { deny any -> any } }", tcp(WORLD, WEB), "allow"),
        (
            "policy a { within any -> any state invalid { deny any -> any } }",
            tcp(WORLD, WEB, state=INVALID),
            "deny policy a rule[0][0]",
        ),
        # What routing says of the address.
        ("forward { deny any -> multicast }", tcp(WORLD, "224.0.0.5", destination_type=MULTICAST), "deny forward[0]"),
        ("forward { deny any -> any except multicast }", tcp(WORLD, "224.0.0.5", destination_type=MULTICAST), "allow"),
        (
            "node { deny any -> self and broadcast }",
            tcp(WORLD, "198.51.100.255", path=INPUT, destination_type=BROADCAST),
            "deny node[0]",
        ),
        ("node { deny any -> self and broadcast }", tcp(WORLD, HOST, path=INPUT), "allow"),
        (
            "node { deny any -> self and local }",
            tcp(WORLD, "198.51.100.255", path=INPUT, destination_type=BROADCAST),
            "allow",
        ),
        (
            "node { deny self and local -> any }",
            tcp(HOST, WORLD, path=OUTPUT, source_type=AddressType.LOCAL),
            "deny node[0]",
        ),
        # log decides nothing.
        ('forward { log any -> any "seen"  deny any -> web }', tcp(WORLD, WEB), "deny forward[1]"),
        # Rules of one tool.
        (
            'node { opaque x iptables input "-p tcp --dport 22 -j DROP"  allow any -> self }',
            tcp(WORLD, HOST, 22, INPUT),
            "deny node[0]",
        ),
        (
            'node { opaque x iptables input "-p tcp --dport 22 -j DROP"  allow any -> self }',
            tcp(WORLD, HOST, 23, INPUT),
            "allow node[1]",
        ),
        ('node { opaque x iptables output "-p tcp --dport 22 -j DROP" }', tcp(WORLD, HOST, 22, INPUT), "allow"),
        ('node { opaque x iptables ipv6 input "-j DROP" }', tcp(WORLD, HOST, 22, INPUT), "allow"),
        (
            'forward { opaque x iptables "-p tcp -j REJECT --reject-with tcp-reset" }',
            tcp(WORLD, WEB),
            "reject tcp reset forward[0]",
        ),
        (
            'forward { opaque x iptables "-m ttl --ttl-lt 65 -j RETURN"  deny any -> any }',
            tcp(WORLD, WEB),
            "allow forward[0]",
        ),
        ('forward { opaque x nft "tcp dport { 80, 81 } mark 3 drop" }', tcp(WORLD, WEB, mark=3), "deny forward[0]"),
        ('forward { opaque x nft "tcp dport { 80, 81 } mark 3 drop" }', tcp(WORLD, WEB, 82, mark=3), "allow"),
        (
            'forward { opaque x iptables "-m recent --name n --rcheck -j DROP"  deny any -> any : udp }',
            tcp(WORLD, WEB),
            "allow",
        ),
        (
            'forward { opaque x iptables "-p tcp -j NFQUEUE --queue-num 1"  deny any -> any }',
            tcp(WORLD, WEB),
            "deny forward[0]",
        ),
        ('forward { opaque x iptables "-j LOG"  deny any -> any }', tcp(WORLD, WEB), "deny forward[1]"),
    ],
)
def test_lists_and_conditions(text: str, case: Case, wanted: str) -> None:
    assert says(text, case, CLOSED) == wanted

"""What others do in nf_tables that matters to our rules is told of, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from enforcer.netlink import Message, attribute, word
from enforcer.nftables.foreign import found as foreign
from enforcer.nftables.mirror import GET_RULE
from enforcer.nftables.nft import Nft
from tests.enforcer.test_nft import whole
from tests.kernel.namespace import Namespace
from tests.kernel.test_reload import BEFORE

pytestmark = pytest.mark.kernel

EARLY = "chain early { type filter hook prerouting priority -300 ; policy accept ; %s ; }"
FORWARD = "chain middle { type filter hook forward priority %s ; policy accept ; %s ; }"
#: Table of others, and the rule in it that is told of: with a word of why.
MATTERS = {
    "notrack": (f"table ip raw {{ {EARLY % 'ip saddr 192.0.2.1 notrack'} }}", "ip raw early", "notrack", "tracks"),
    "tproxy": (
        f"table ip divert {{ {EARLY % 'meta l4proto tcp tproxy to 127.0.0.1:9'} }}",
        "ip divert early",
        "tproxy",
        "process",
    ),
    "another source": (
        f"table inet mangle {{ {EARLY % 'ip saddr set 192.0.2.9'} }}",
        "inet mangle early",
        "saddr set",
        "another address",
    ),
    "another destination": (
        f"table ip6 mangle {{ {EARLY % 'ip6 daddr set 2001:db8::9'} }}",
        "ip6 mangle early",
        "daddr set",
        "another address",
    ),
    "in a chain that is jumped to": (
        f"table ip raw {{ chain more {{ notrack ; }}\n{EARLY % 'jump more'} }}",
        "ip raw more",
        "notrack",
        "tracks",
    ),
    "before ours in the same hook": (
        f"table ip mangle {{ {FORWARD % ('-5', 'ip daddr set 192.0.2.9')} }}",
        "ip mangle middle",
        "daddr set",
        "another address",
    ),
    "sent on at the device": (
        'table netdev dev { chain in { type filter hook ingress device "lo" priority 0 ; fwd to "lo" ; } }',
        "netdev dev in",
        "fwd to",
        "another way",
    ),
}
#: What lets packets pass, marks them, denies more, translates.
HARMLESS = [
    f"table inet open {{ {FORWARD % ('-200', 'accept')} }}",
    f"table inet open {{ {FORWARD % ('-200', 'ip saddr 192.0.2.1 drop')} }}",
    f"table inet open {{ {EARLY % 'meta mark set 7'} }}",
    f"table inet open {{ {EARLY % 'ip dscp set 7'} }}",
    f"table ip late {{ {FORWARD % ('100', 'ip daddr set 192.0.2.9')} }}",
    "table ip nat { chain pre { type nat hook prerouting priority dstnat ; dnat to 192.0.2.9 ; } }",
    "table ip loose { chain nobody { notrack ; } }",
]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    space = Namespace()
    yield space
    space.close()


@pytest.fixture
def nft(namespace: Namespace) -> Iterator[Nft]:
    with namespace:
        found = Nft()
    found.apply([whole(BEFORE)])
    yield found
    found.close()


def add(namespace: Namespace, text: str) -> None:
    """nft wants a line of its own for what ends a block."""
    namespace.run("nft", "-f", "-", stdin=text.replace(" }", "\n}") + "\n")


@pytest.mark.parametrize("what", MATTERS)
def test_what_matters(nft: Nft, namespace: Namespace, what: str) -> None:
    text, place, rule, why = MATTERS[what]
    assert nft.foreign() == []
    add(namespace, text)
    (found,) = nft.foreign()
    assert found.place == place
    assert rule in found.rule
    assert why in found.why
    namespace.run("nft", "delete", "table", *place.split()[:2])
    assert nft.foreign() == []


@pytest.mark.parametrize("text", HARMLESS)
def test_what_does_not(nft: Nft, namespace: Namespace, text: str) -> None:
    add(namespace, text)
    assert nft.foreign() == []


def test_rules_of_iptables(nft: Nft, namespace: Namespace) -> None:
    namespace.run("iptables-nft", "-t", "raw", "-A", "PREROUTING", "-p", "udp", "-j", "CT", "--notrack")
    namespace.run("iptables-nft", "-t", "raw", "-A", "PREROUTING", "-p", "tcp", "-j", "CT", "--zone", "7")
    namespace.run("iptables-nft", "-A", "FORWARD", "-j", "ACCEPT")
    (found,) = nft.foreign()
    assert (found.place, "tracks" in found.why) == ("ip raw PREROUTING", True)
    assert "notrack" in found.rule


def test_offloaded_connections() -> None:
    """Not every kernel has flowtables, this one may be without: so this is what it would tell of `flow add @f`."""
    expression = attribute(1, word("flow_offload")) + attribute(2, attribute(1, word("f")))
    rule = attribute(1, word("fast")) + attribute(2, word("middle")) + attribute(3, (7).to_bytes(8, "big"))
    rule += attribute(4, attribute(1, expression))
    message = Message(GET_RULE, 1, rule, 0)
    (one,) = foreign([], [message])
    assert (one.table, one.chain, one.handle) == ("inet fast", "middle", 7)
    assert "pass by" in one.why
    assert not list(foreign([], [message._replace(payload=rule.replace(b"fast", b"slow").replace(b"flow_", b"show_"))]))

"""The tracer says of random rulesets what the kernel does: a share of `make trace-soak` on every run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from compiler.semantics.packet import TCP, Packet
from compiler.semantics.rules import nftables_rules
from compiler.semantics.rules.netfilter import Accept
from tests.kernel.random_rulesets import Disagreement, Rulesets
from tests.kernel.rig import FLAVOURS, Rig
from tests.kernel.traced import Traced, beside, shown

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def own_rig() -> Iterator[Rig]:
    """These rules leave tables of all kinds behind."""
    with Rig() as rig:
        yield rig


@pytest.fixture(scope="module")
def rulesets(own_rig: Rig) -> Rulesets:
    return Rulesets(own_rig)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("seed", range(7_000, 7_005))
def test_kernel_and_tracer_agree(rulesets: Rulesets, flavour: str, seed: int) -> None:
    before = rulesets.packets, rulesets.dropped
    rulesets.trial(seed, flavour, 400)
    assert rulesets.packets == before[0] + 400


def test_both_answers_occur(rulesets: Rulesets) -> None:
    """Rulesets that drop all, or nothing, would show little."""
    for seed in range(8_000, 8_009):
        rulesets.trial(seed, FLAVOURS[seed % 3], 100)
    assert rulesets.packets // 10 < rulesets.dropped < rulesets.packets * 9 // 10


def test_disagreements_are_found(rulesets: Rulesets, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself: a tracer that takes every drop for an accept is caught."""
    monkeypatch.setitem(nftables_rules._VERDICTS, "drop", Accept())

    def many() -> None:
        for seed in range(7_000, 7_010):
            rulesets.trial(seed, "nftables", 100)

    with pytest.raises(Disagreement, match="the kernel says False"):
        many()


#: 198.18.0.1:80 is 198.18.1.1:8080, port 81 of anybody is the node's 8081; what 198.18.5.0/24 sends has another source.
NAT_NFT = """
table ip nat {
    chain pre {
        type nat hook prerouting priority dstnat
        ip daddr 198.18.0.1 tcp dport 80 dnat to 198.18.1.1:8080
        tcp dport 81 redirect to :8081
        ip daddr 198.18.0.2 dnat to 198.18.1.2
        ip daddr 198.18.0.2 dnat to 198.18.1.3
    }
    chain post {
        type nat hook postrouting priority srcnat
        ip saddr 198.18.5.0/24 snat to 198.18.9.9
    }
    chain forward {
        type filter hook forward priority filter
        ip daddr 198.18.1.1 tcp dport 8080 ip saddr 198.18.4.1 drop
        ip daddr 198.18.0.1 tcp dport 80 drop
        ip daddr { 198.18.0.2, 198.18.1.3 } drop
        ip saddr 198.18.9.9 drop
    }
    chain input {
        type filter hook input priority filter
        tcp dport 8081 ip saddr 198.18.4.1 drop
    }
    chain last {
        type filter hook postrouting priority srcnat + 10
        ip saddr 198.18.9.9 tcp dport 99 drop
        ip saddr 198.18.5.1 drop
    }
}
"""
NAT_IPTABLES = """
*nat
-A PREROUTING -d 198.18.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 198.18.1.1:8080
-A PREROUTING -p tcp -m tcp --dport 81 -j REDIRECT --to-ports 8081
-A PREROUTING -d 198.18.0.2/32 -j DNAT --to-destination 198.18.1.2
-A PREROUTING -d 198.18.0.2/32 -j DNAT --to-destination 198.18.1.3
-A POSTROUTING -s 198.18.5.0/24 -j SNAT --to-source 198.18.9.9
COMMIT
*filter
-A FORWARD -d 198.18.1.1 -p tcp --dport 8080 -s 198.18.4.1 -j DROP
-A FORWARD -d 198.18.0.1 -p tcp --dport 80 -j DROP
-A FORWARD -d 198.18.0.2,198.18.1.3 -j DROP
-A FORWARD -s 198.18.9.9 -j DROP
-A INPUT -p tcp --dport 8081 -s 198.18.4.1 -j DROP
COMMIT
"""


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_translated_packets(own_rig: Rig, flavour: str) -> None:
    """The filter sees the new destination and the old source, the last chains of POSTROUTING the new source."""
    files = {"netpolc.nft": NAT_NFT} if flavour == "nftables" else {"iptables.save": NAT_IPTABLES}
    own_rig.reset()
    own_rig.load(files, flavour)
    probes = [
        Packet(f"198.18.{source}", f"198.18.{to}", TCP, 2000 + n, port)
        for n, (source, to, port) in enumerate(
            product(("4.1", "4.2", "5.1", "9.9"), ("0.1", "0.2", "0.3", "1.1", "1.3"), (80, 99, 8080))
        )
    ]
    kernel = own_rig.forwarded(probes)
    assert 10 < kernel.count(False) < len(probes) - 10
    for text in (files | beside(own_rig), shown(own_rig, flavour)):
        assert Traced(text).verdicts("forwarded", probes) == kernel


#: Two chains of one priority, in one table or two; a nat chain whose own priority is behind a filter's, and two of
#: equal priority.
_TIES = (
    """table ip a {{
    chain one {{ type filter hook forward priority 5; {0}; }}
    chain two {{ type filter hook forward priority 5; {1}; }}
}}
""",
    """table ip a {{
    chain one {{ type filter hook forward priority 5; {0}; }}
}}
table ip b {{
    chain two {{ type filter hook forward priority 5; {1}; }}
}}
""",
)
_LATE_NAT = """table ip a {{
    chain filters {{ type filter hook prerouting priority -50; ip daddr 198.18.1.{0} drop; }}
    chain one {{ type nat hook prerouting priority 0; ip daddr 198.18.0.1 dnat to 198.18.1.1; }}
    chain two {{ type nat hook prerouting priority 0; ip daddr 198.18.0.1 dnat to 198.18.1.2; }}
}}
"""


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        *((tie.format("meta mark set 1", "meta mark 1 drop"), True) for tie in _TIES),
        *((tie.format("meta mark 1 drop", "meta mark set 1"), False) for tie in _TIES),
        (_LATE_NAT.format(1), True),
        (_LATE_NAT.format(2), False),
    ],
)
def test_ties_and_chains_of_type_nat(own_rig: Rig, text: str, passes: bool) -> None:
    """Of equal priorities the chain that came last is first; nat chains run where conntrack translates."""
    own_rig.reset()
    own_rig.load({"netpolc.nft": text}, "nftables")
    probe = [Packet("198.18.4.1", "198.18.0.1", TCP, 1000, 80)]
    assert own_rig.forwarded(probe) == [passes]
    for texts in ({"netpolc.nft": text}, shown(own_rig, "nftables")):
        assert Traced(texts).verdicts("forwarded", probe) == [passes]

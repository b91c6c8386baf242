"""What iptables and nftables say in different words is one statement for the proof."""

from __future__ import annotations

import pytest

from compiler.semantics.proof.equivalence import Different, Equal, equivalent
from compiler.semantics.rules.rulesets import read

PAIRS = [
    ("-m limit --limit 5/min -j DROP", "limit rate 5/minute drop"),
    ("-m limit --limit 5/minute --limit-burst 5 -j DROP", "limit rate 5/minute burst 5 packets drop"),
    ("-m limit --limit 3/hour --limit-burst 10 -j DROP", "limit rate 3/hour burst 10 packets drop"),
    ("-m limit -j DROP", "limit rate 3/hour drop"),
    ('-j LOG --log-prefix "x: "', 'log prefix "x: "'),
    ("-j LOG --log-level 4", "log level warn"),
    ('-j LOG --log-prefix "x" --log-level info --log-uid', 'log prefix "x" level info flags skuid'),
    ("-j LOG --log-tcp-options --log-ip-options", "log flags ip options flags tcp options"),
    ("-j NFLOG --nflog-prefix x", 'log prefix "x" group 0'),
    ("-j NFLOG --nflog-group 3", "log group 3"),
    ("-m statistic --mode random --probability 0.33333333349 -j DROP", "numgen random mod 3 0 drop"),
    ("-m statistic --mode random --probability 0.50000000000 -j DROP", "numgen random mod 2 < 1 drop"),
    (
        "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
        "tcp flags syn / syn,rst tcp option maxseg size set rt mtu",
    ),
    (
        "-p tcp -m tcp --syn -j TCPMSS --set-mss 1400",
        "tcp flags syn / fin,syn,rst,ack tcp option maxseg size set 1400",
    ),
    ("-m rpfilter --invert -j DROP", "fib saddr . iif oif missing drop"),
    ("-p tcp -m tcp ! --syn -j DROP", "tcp flags != syn / fin,syn,rst,ack drop"),
]
OTHERS = [
    ("-m limit --limit 5/min -j DROP", "limit rate 5/hour drop"),
    ("-m limit --limit 5/min -j DROP", "limit rate over 5/minute drop"),
    ("-m limit --limit 5/min --limit-burst 6 -j DROP", "limit rate 5/minute drop"),
    ('-j LOG --log-prefix "x"', 'log prefix "x" group 0'),
    ("-j LOG", "log level info"),
    ("-j NFLOG --nflog-group 1", "log group 2"),
    ("-m statistic --mode random --probability 0.4 -j DROP", "numgen random mod 3 0 drop"),
    ("-m statistic --mode nth --every 3 --packet 0 -j DROP", "numgen random mod 3 0 drop"),
    ("-p tcp -m tcp --syn -j DROP", "tcp flags syn / syn,rst drop"),
    ("-m rpfilter --loose --invert -j DROP", "fib saddr . iif oif missing drop"),
    ("-p tcp -j TCPMSS --set-mss 1400", "meta l4proto tcp tcp option maxseg size set 1300"),
]


def compared(iptables: str, nft: str) -> Equal | Different:
    """Of one rule in FORWARD, IPv4 alone: what else the tools do differently there is not the matter."""
    one = read([("r.save", f"*filter\n-A FORWARD {iptables}\nCOMMIT\n")])
    chain = "chain forward { type filter hook forward priority 0 ;"
    two = read([("r.nft", f"table ip filter {{\n {chain}\n {nft}\n }}\n}}\n")])
    return equivalent(one, two, (4,))


@pytest.mark.parametrize(("iptables", "nft"), PAIRS)
def test_words_of_both_tools_are_one(iptables: str, nft: str) -> None:
    assert isinstance(compared(iptables, nft), Equal)


@pytest.mark.parametrize(("iptables", "nft"), OTHERS)
def test_words_that_mean_something_else_are_not(iptables: str, nft: str) -> None:
    assert isinstance(compared(iptables, nft), Different)


def test_limits_and_throws_at_several_places() -> None:
    """One bucket for two ways is not two; a throw is a throw wherever it stands."""
    chains = ":a - [0:0]\n-A FORWARD -s 10.0.0.1/32 -j a\n-A FORWARD -d 10.0.0.2/32 -j a\n"
    for match, equal in (("-m limit --limit 1/s", False), ("-m statistic --mode random --probability 0.5", True)):
        one = read([("r.save", f"*filter\n{chains}-A a {match} -j DROP\nCOMMIT\n")])
        ways = "".join(f"-A FORWARD {way}/32 {match} -j DROP\n" for way in ("-s 10.0.0.1", "-d 10.0.0.2"))
        two = read([("s.save", f"*filter\n{ways}COMMIT\n")])
        assert isinstance(equivalent(one, two, (4,)), Equal) is equal
        assert isinstance(equivalent(one, two, (4,), apart=True), Equal)
        once = read([("s.save", f"*filter\n-A FORWARD -s 10.0.0.1/32 {match} -j DROP\nCOMMIT\n")])
        assert isinstance(equivalent(one, once, (4,), apart=True), Different)

"""Texts by hand, in both syntaxes, that mean what statements of nat, mangle and raw say; and those that nearly do."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from compiler.analysis.proof import NotProved
from tests.compiler.semantics.table_texts import nft, proved, saved

#: What rules say often, in short.
SHORT = {
    "<clamp>": "tcp flags syn / syn,rst tcp option maxseg size set rt mtu",
    "<CLAMP>": "-m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    "<size>": "tcp flags syn / syn,rst tcp option maxseg size set 1200",
    "<SIZE>": "-m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1200",
    "<own>": "fib daddr type local ip daddr != 127.0.0.0/8",
    "<own6>": "fib daddr type local ip6 daddr != ::1",
    "<OWN>": "-m addrtype --dst-type LOCAL ! -d 127.0.0.0/8",
    "<OWN6>": "-m addrtype --dst-type LOCAL ! -d ::1",
    "<chance>": "-m statistic --mode random --probability",
}


def spelled(text: str) -> str:
    for short, long in SHORT.items():
        text = text.replace(short, long)
    return text


class Golden(NamedTuple):
    """`others`: what is to be replaced in both texts, and what by, so that they say something else."""

    program: str
    nft: str
    iptables: str
    others: tuple[tuple[str, str], ...]


_GOLDEN = [
    Golden(
        "raw { notrack udp/4789 }",
        """raw PREROUTING iifname != "lo" udp dport 4789 notrack
           raw OUTPUT udp dport 4789 notrack""",
        """raw PREROUTING ! -i lo -p udp -m udp --dport 4789 -j CT --notrack
           raw OUTPUT -p udp -m udp --dport 4789 -j CT --notrack""",
        (("4789", "4788"), ("lo", "l0"), ("OUTPUT", "PREROUTING")),
    ),
    Golden(
        "raw { notrack udp/53 between 10.0.0.0/8 }",
        """raw PREROUTING iifname != "lo" ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 udp dport 53 notrack
           raw PREROUTING iifname != "lo" ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 udp sport 53 notrack
           raw OUTPUT ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 udp dport 53 notrack
           raw OUTPUT ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 udp sport 53 notrack""",
        """4 raw PREROUTING ! -i lo -s 10.0.0.0/8 -d 10.0.0.0/8 -p udp -m udp --dport 53 -j CT --notrack
           4 raw PREROUTING ! -i lo -s 10.0.0.0/8 -d 10.0.0.0/8 -p udp -m udp --sport 53 -j CT --notrack
           4 raw OUTPUT -s 10.0.0.0/8 -d 10.0.0.0/8 -p udp -m udp --dport 53 -j CT --notrack
           4 raw OUTPUT -s 10.0.0.0/8 -d 10.0.0.0/8 -p udp -m udp --sport 53 -j CT --notrack""",
        (("sport", "dport"), ("10.0.0.0/8", "10.0.0.0/9")),
    ),
    Golden(
        "raw { drop from 192.0.2.0/24  drop spoofed from 10.0.0.0/8  drop world -> any : tcp/25 }",
        """raw PREROUTING iifname != "lo" ip saddr 192.0.2.0/24 drop
           raw PREROUTING iifname != "lo" ip saddr 10.0.0.0/8 fib saddr . iif oif missing drop
           raw PREROUTING iifname "eth0" tcp dport 25 drop""",
        """4 raw PREROUTING ! -i lo -s 192.0.2.0/24 -j DROP
           4 raw PREROUTING ! -i lo -s 10.0.0.0/8 -m rpfilter --invert -j DROP
           raw PREROUTING -i eth0 -p tcp -m tcp --dport 25 -j DROP""",
        (("192.0.2.0/24", "192.0.2.0/25"), ("eth0", "eth1"), ("10.0.0.0/8", "10.0.0.1"), ("25", "26")),
    ),
    Golden(
        """mangle { mark 10.0.0.0/8 0x10/0xff  mark self -> world 3  mark world 0x100/0x100
                    mark 10.1.0.0/16 -> world 7 }""",
        """mangle PREROUTING iifname != "lo" ip saddr 10.0.0.0/8 meta mark set meta mark & 0xffffff00 | 0x10
           mangle PREROUTING iifname "eth0" meta mark set meta mark & 0xfffffeff | 0x100
           mangle FORWARD ip saddr 10.1.0.0/16 oifname "eth0" meta mark set 7
           mangle OUTPUT ip saddr 10.0.0.0/8 meta mark set meta mark & 0xffffff00 | 0x10
           mangle OUTPUT oifname "eth0" meta mark set 0x3
           mangle OUTPUT ip saddr 10.1.0.0/16 oifname "eth0" meta mark set 7""",
        """4 mangle PREROUTING ! -i lo -s 10.0.0.0/8 -j MARK --set-xmark 0x10/0xff
           mangle PREROUTING -i eth0 -j MARK --set-xmark 0x100/0x100
           4 mangle FORWARD -s 10.1.0.0/16 -o eth0 -j MARK --set-xmark 7/0xffffffff
           4 mangle OUTPUT -s 10.0.0.0/8 -j MARK --set-xmark 0x10/0xff
           mangle OUTPUT -o eth0 -j MARK --set-xmark 0x3/0xffffffff
           4 mangle OUTPUT -s 10.1.0.0/16 -o eth0 -j MARK --set-xmark 7/0xffffffff""",
        (("0x10", "0x11"), ("0x3", "0x4"), ("FORWARD", "PREROUTING"), ("eth0", "eth+"), ("0.0.0/8", "0.0.0/7")),
    ),
    Golden(
        """mangle { dscp tcp/80 af41  mss clamp pmtu for any <-> world : tcp/80  ttl set 9 for 10.0.0.9 -> self
                    mss set 1200 for self -> 10.0.0.8 }""",
        """mangle FORWARD meta nfproto ipv4 tcp dport 80 ip dscp set 34
           mangle FORWARD meta nfproto ipv6 tcp dport 80 ip6 dscp set 34
           mangle FORWARD oifname "eth0" tcp dport 80 <clamp>
           mangle FORWARD oifname != "eth0" iifname "eth0" tcp sport 80 <clamp>
           mangle FORWARD oifname "eth0" iifname "eth0" tcp sport 80 tcp dport != 80 <clamp>
           mangle INPUT meta nfproto ipv4 tcp dport 80 ip dscp set 34
           mangle INPUT meta nfproto ipv6 tcp dport 80 ip6 dscp set 34
           mangle INPUT ip saddr 10.0.0.9 ip ttl set 9
           mangle INPUT fib saddr type local ip daddr 10.0.0.8 <size>
           mangle OUTPUT meta nfproto ipv4 tcp dport 80 ip dscp set 34
           mangle OUTPUT meta nfproto ipv6 tcp dport 80 ip6 dscp set 34
           mangle OUTPUT oifname "eth0" tcp dport 80 <clamp>
           mangle OUTPUT ip saddr 10.0.0.9 fib daddr type local ip ttl set 9
           mangle OUTPUT ip daddr 10.0.0.8 <size>""",
        """mangle FORWARD -p tcp -m tcp --dport 80 -j DSCP --set-dscp 34
           mangle FORWARD -o eth0 -p tcp --dport 80 <CLAMP>
           mangle FORWARD ! -o eth0 -i eth0 -p tcp --sport 80 <CLAMP>
           mangle FORWARD -o eth0 -i eth0 -p tcp --sport 80 ! --dport 80 <CLAMP>
           mangle INPUT -p tcp -m tcp --dport 80 -j DSCP --set-dscp 34
           4 mangle INPUT -s 10.0.0.9 -j TTL --ttl-set 9
           4 mangle INPUT -m addrtype --src-type LOCAL -d 10.0.0.8 -p tcp <SIZE>
           mangle OUTPUT -p tcp -m tcp --dport 80 -j DSCP --set-dscp 34
           mangle OUTPUT -o eth0 -p tcp --dport 80 <CLAMP>
           4 mangle OUTPUT -s 10.0.0.9 -m addrtype --dst-type LOCAL -j TTL --ttl-set 9
           4 mangle OUTPUT -d 10.0.0.8 -p tcp <SIZE>""",
        (
            ("set 34", "set 35"),
            ("ttl set 9", "ttl set 8"),
            ("ttl-set", "ttl-inc"),
            ("set-dscp 34", "set-dscp 8"),
            ("SYN,RST SYN", "SYN SYN"),
            ("syn / syn,rst", "syn / syn"),
            ("! -o", "-o"),
            ("rt mtu", "1300"),
            ("1200", "1201"),
            ("INPUT", "FORWARD"),
        ),
    ),
    Golden(
        "mangle { ttl dec 1 for world -> 10.0.0.0/8  ttl inc 2 for self -> 10.0.0.0/8 }",
        "\n".join(
            f'mangle {hook} iifname "eth0" ip daddr 10.0.0.0/8 ip ttl {n} ip ttl set {n - 1}'
            for hook in ("FORWARD", "INPUT")
            for n in range(1, 256)
        )
        + "".join(
            f"\nmangle {hook} ip daddr 10.0.0.0/8 ip ttl {n} ip ttl set {min(255, n + 2)}"
            for hook in ("OUTPUT", "INPUT")
            for n in range(255, -1, -1)
        ).replace("mangle INPUT ip", "mangle INPUT fib saddr type local ip"),
        """4 mangle FORWARD -i eth0 -d 10.0.0.0/8 -j TTL --ttl-dec 1
           4 mangle INPUT -i eth0 -d 10.0.0.0/8 -j TTL --ttl-dec 1
           4 mangle INPUT -m addrtype --src-type LOCAL -d 10.0.0.0/8 -j TTL --ttl-inc 2
           4 mangle OUTPUT -d 10.0.0.0/8 -j TTL --ttl-inc 2""",
        (("ttl-dec 1", "ttl-dec 2"), ("ttl set 63", "ttl set 62"), ("OUTPUT", "POSTROUTING"), ("ttl 9 ", "ttl 11 ")),
    ),
    Golden(
        """nat { dnat world : tcp/8443 -> shop : 443  dnat any to 192.0.2.1 : udp/53 -> 10.9.0.53
                 redirect self -> any : tcp/80 to 8080 }""",
        """nat PREROUTING meta nfproto ipv4 iifname "eth0" <own> tcp dport 8443 jump three
           nat PREROUTING iifname "eth0" <own6> tcp dport 8443 dnat ip6 to [fd00::1]:443
           nat PREROUTING iifname != "lo" ip daddr 192.0.2.1 udp dport 53 dnat ip to 10.9.0.53
           nat OUTPUT ip daddr 192.0.2.1 udp dport 53 dnat ip to 10.9.0.53
           nat OUTPUT tcp dport 80 redirect to :8080
           nat three numgen random mod 3 0 dnat ip to 10.0.0.2:443
           nat three numgen random mod 2 0 dnat ip to 10.0.0.1:443
           nat three dnat ip to 10.0.0.3:443""",
        """4 nat PREROUTING -i eth0 <OWN> -p tcp --dport 8443 -j three
           6 nat PREROUTING -i eth0 <OWN6> -p tcp --dport 8443 -j DNAT --to-destination [fd00::1]:443
           4 nat PREROUTING ! -i lo -d 192.0.2.1 -p udp --dport 53 -j DNAT --to-destination 10.9.0.53
           4 nat OUTPUT -d 192.0.2.1 -p udp --dport 53 -j DNAT --to-destination 10.9.0.53
           nat OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 8080
           4 nat three <chance> 0.3333333333 -p tcp -j DNAT --to-destination 10.0.0.1:443
           4 nat three <chance> 0.5 -p tcp -j DNAT --to-destination 10.0.0.3:443
           4 nat three -p tcp -j DNAT --to-destination 10.0.0.2:443""",
        (
            ("mod 3", "mod 4"),
            ("mod 2 0 dnat ip to 10.0.0.1", "mod 2 0 dnat ip to 10.0.0.2"),
            ("0.3333333333", "0.3"),
            ("probability 0.5", "probability 0.3333333333"),
            ("10.0.0.3:443", "10.0.0.4:443"),
            ("8080", "8081"),
            (":443", ":444"),
            ("10.9.0.53", "10.9.0.54"),
            ("fd00::1", "fd00::2"),
            ("daddr != 127.0.0.0/8", "daddr != 127.0.0.0/9"),
            ("eth0", "eth1"),
        ),
    ),
    Golden(
        """nat { keep source for 10.0.0.0/8 -> 10.0.0.0/8  snat 10.1.0.0/16 -> world as 192.0.2.9
                 masquerade pods <-> world  masquerade self -> 10.9.0.0/16 }""",
        """nat POSTROUTING ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 accept
           nat POSTROUTING ip saddr 10.1.0.0/16 oifname "eth0" snat ip to 192.0.2.9
           nat POSTROUTING ip saddr 10.0.0.1-10.0.0.3 oifname "eth0" masquerade
           nat POSTROUTING ip6 saddr fd00::1 oifname "eth0" masquerade
           nat POSTROUTING ip daddr 10.0.0.1-10.0.0.3 iifname "eth0" masquerade
           nat POSTROUTING ip6 daddr fd00::1 iifname "eth0" masquerade
           nat POSTROUTING fib saddr type local ip daddr 10.9.0.0/16 masquerade""",
        """4 mangle FORWARD -j MARK --set-xmark 0x0/0x1000000
           4 mangle FORWARD -i eth0 -j MARK --set-xmark 0x1000000/0x1000000
           4 mangle OUTPUT -j MARK --set-xmark 0x0/0x1000000
           6 mangle FORWARD -j MARK --set-xmark 0x0/0xf000000
           6 mangle FORWARD -i eth0 -j MARK --set-xmark 0x3000000/0xf000000
           6 mangle OUTPUT -j MARK --set-xmark 0x0/0xf000000
           4 nat POSTROUTING -s 10.0.0.0/8 -d 10.0.0.0/8 -j ACCEPT
           4 nat POSTROUTING -s 10.1.0.0/16 -o eth0 -j SNAT --to-source 192.0.2.9
           4 nat POSTROUTING -m iprange --src-range 10.0.0.1-10.0.0.3 -o eth0 -j MASQUERADE
           6 nat POSTROUTING -s fd00::1 -o eth0 -j MASQUERADE
           4 nat POSTROUTING -m iprange --dst-range 10.0.0.1-10.0.0.3 -m mark --mark 0x1000000/0x1000000 -j MASQUERADE
           6 nat POSTROUTING -d fd00::1 -m mark --mark 0x3000000/0xf000000 -j MASQUERADE
           4 nat POSTROUTING -m addrtype --src-type LOCAL -d 10.9.0.0/16 -j MASQUERADE""",
        (
            ("192.0.2.9", "192.0.2.8"),
            ("10.0.0.3", "10.0.0.4"),
            ("10.9", "10.8"),
            ("fd00::1", "fd00::2"),
            ("0x1000000/", "0x5000000/"),
            ("OUTPUT -j MARK --set-xmark 0x0/0x1000000", "OUTPUT -j MARK --set-xmark 0x0/0"),
            ("FORWARD -j MARK --set-xmark 0x0/0xf000000", "FORWARD -j MARK --set-xmark 0x0/0"),
            ("FORWARD -i eth0", "FORWARD -o eth0"),
        ),
    ),
]

GOLDEN = [one._replace(nft=spelled(one.nft), iptables=spelled(one.iptables)) for one in _GOLDEN]


def texts(golden: Golden, tool: str) -> list[str]:
    return [nft(golden.nft)] if tool == "nft" else [saved(golden.iptables, version) for version in (4, 6)]


@pytest.mark.parametrize("tool", ["nft", "iptables"])
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.program.split("  ")[0])
def test_what_means_the_same(golden: Golden, tool: str) -> None:
    found = proved(golden.program, texts(golden, tool))
    assert found.witnesses == ()
    carried = "the mark's bits 0xf000000 being netpolc's own"
    assert found.given == (carried if tool == "iptables" and "0x1000000" in golden.iptables else "")


@pytest.mark.parametrize("tool", ["nft", "iptables"])
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.program.split("  ")[0])
def test_what_means_something_else(golden: Golden, tool: str) -> None:
    """Each with a packet as it comes to a hook, and what program and rules say."""
    whole = golden.nft if tool == "nft" else golden.iptables
    mistakes = [whole.replace(old, new) for old, new in golden.others if old in whole]
    mistakes += [
        "\n".join(lines[:n] + lines[n + 1 :]) for lines in [whole.splitlines()[:12]] for n in range(len(lines))
    ]
    assert len(mistakes) > 2
    for mistake in mistakes:
        found = proved(golden.program, texts(golden._replace(nft=mistake, iptables=mistake), tool))
        assert not found.equal, mistake
        for witness in found.witnesses:
            assert "\n  program: " in witness
            assert "\n  rules: " in witness


@pytest.mark.parametrize("table", ["nft", "iptables"])
def test_notrack_behind_conntrack_is_refused(table: str) -> None:
    mistake = GOLDEN[0]._replace(**{table: getattr(GOLDEN[0], table).replace("raw OUTPUT", "mangle OUTPUT")})
    with pytest.raises(NotProved, match="notrack comes behind conntrack"):
        proved(mistake.program, texts(mistake, table))


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ("meta mark set 5", "accepted; mark 0x5"),
        ("ip ttl set 9", "accepted; hop limit 9"),
        ("ip dscp set 9", "accepted; DSCP: 9"),
    ],
)
def test_filter_chains_change_nothing(rule: str, what: str) -> None:
    golden = GOLDEN[0]
    chain = f"chain forward {{ type filter hook forward priority filter; ip saddr 1.2.3.4 {rule}; }}"
    found = proved(golden.program, [*texts(golden, "nft"), f"table ip t {{ {chain} }}"])
    head, program, rules, *_ = found.witnesses[0].splitlines()
    assert head.startswith("1.2.3.4 -> ")
    assert "(forward, filter chains" in head
    assert (program, rules) == ("  program: accepted", f"  rules: {what}")


def test_blocks_are_asked_about_what_statements_leave() -> None:
    """Marked, untracked, and with its destination translated; in the words of the hook."""
    statements = "mangle { mark world 7 } raw { notrack udp/53 } nat { dnat world : tcp/8443 -> 10.9.0.2 : 443 }"
    block = "policy edge { deny world -> 10.9.0.2 : tcp/443 }"
    golden = Golden(
        f"{statements} {block}",
        """raw PREROUTING iifname != "lo" udp dport 53 notrack
           raw OUTPUT udp dport 53 notrack
           mangle PREROUTING iifname "eth0" meta mark set 7
           nat PREROUTING meta nfproto ipv4 iifname "eth0" <own> tcp dport 8443 dnat ip to 10.9.0.2:443
           filter FORWARD ct state established,related accept
           filter FORWARD iifname "eth0" ip daddr 10.9.0.2 tcp dport 443 drop
           filter INPUT ct state established,related accept
           filter INPUT iifname "eth0" ip saddr 10.0.0.1-10.0.0.3 ip daddr 10.9.0.2 tcp dport 443 drop""",
        "",
        (),
    )
    golden = golden._replace(nft=spelled(golden.nft))
    assert proved(golden.program, texts(golden, "nft")).equal
    before = golden._replace(
        nft=golden.nft.replace("ip daddr 10.9.0.2 tcp dport 443", "ip daddr 10.9.0.2 tcp dport 8443")
    )
    found = proved(before.program, texts(before, "nft"))
    assert any("policies: denied" in witness for witness in found.witnesses)


def test_a_statement_that_nobody_knows_is_a_difference() -> None:
    golden = GOLDEN[0]
    more = "*nat\n-A POSTROUTING -p tcp --dport 9 -j NETMAP --to 10.0.0.0/8\nCOMMIT\n"
    found = proved(golden.program, [*texts(golden, "nft"), more])
    assert any("unknown: -j NETMAP" in witness for witness in found.witnesses)

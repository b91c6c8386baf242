"""Chains as lists in lists, replies and first packets apart, families together, what has no effect."""

from __future__ import annotations

import pytest

from compiler.errors import Unsupported
from compiler.importing import lists
from tests.compiler.importing.ruletexts import iptables, read, statements


def test_jumps_become_lists() -> None:
    found = read(
        iptables(
            "-A FORWARD -i eth0 -j web",
            "-A FORWARD -j plain",
            "-A web -s 10.0.0.1 -j RETURN",
            "-A web -p tcp --dport 80 -j deep",
            "-A web -j DROP",
            "-A deep -d 10.0.0.2 -j REJECT",
            "-A deep -d 10.0.0.3 -j RETURN",
            "-A deep -d 10.0.0.4 -j DROP",
            "-A plain -p udp -j DROP",
        )
    )
    assert statements(found) == [
        "within eth0 -> any {",
        "leave 10.0.0.1 -> any",
        "within any -> any : tcp/80 {",
        "reject any -> 10.0.0.2",
        "leave any -> 10.0.0.3",
        "deny any -> 10.0.0.4",
        "deny any -> any",
        "deny any -> any : udp",
    ]


def test_goto_does_not_come_back() -> None:
    found = read(iptables("-A FORWARD -j all", "-A all -i eth0 -g one", "-A all -j DROP", "-A one -p tcp -j REJECT"))
    assert statements(found) == [
        "within any -> any {",
        "reject eth0 -> any : tcp",
        "leave eth0 -> any",
        "deny any -> any",
    ]
    ended = read(iptables("-A FORWARD -j all", "-A all -i eth0 -g one", "-A all -p udp -j DROP", "-A one -j REJECT"))
    assert statements(ended) == ["reject eth0 -> any", "deny any -> any : udp"]


def test_returning_from_a_base_chain_is_its_policy() -> None:
    rules = ("-A FORWARD -s 10.0.0.1 -j RETURN", "-A FORWARD -j LOG")
    assert statements(read(iptables(*rules, policies=":FORWARD DROP"))) == [
        "deny 10.0.0.1 -> any",
        "deny any -> any log to kernel",
    ]
    assert statements(read(iptables(*rules))) == ["allow 10.0.0.1 -> any", "log any -> any to kernel"]


REPLIES = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


@pytest.mark.parametrize(
    ("rules", "packets", "first"),
    [
        # What accepts before the replies, and invalid ones, do not matter to them.
        (
            ("-A INPUT -i lo -j ACCEPT", "-A INPUT -m state --state INVALID -j DROP", REPLIES, "-A INPUT -j DROP"),
            [],
            ["allow loopback -> self", "deny any -> self state invalid", "deny any -> self"],
        ),
        # What is dropped before them is, of replies, too; and what is accepted before that is not.
        (
            ("-A INPUT -i lo -j ACCEPT", "-A INPUT -s 10.0.0.1 -j DROP", REPLIES, "-A INPUT -p tcp -j DROP"),
            ["allow loopback -> self", "deny 10.0.0.1 -> self"],
            ["allow loopback -> self", "deny any -> self : tcp"],
        ),
        # Nobody lets replies pass.
        (
            ("-A INPUT -p tcp --sport 80 -j ACCEPT", "-A INPUT -j DROP"),
            ["allow any -> self : tcp source port 80", "deny any -> self"],
            [],
        ),
        # States of replies mean nothing where there are none.
        (
            (REPLIES, "-A INPUT -p tcp -m state --state NEW,ESTABLISHED -j DROP"),
            [],
            ["deny any -> self : tcp state new"],
        ),
        ((REPLIES, "-A INPUT -m state --state ESTABLISHED -j DROP"), [], []),
        (
            ("-A INPUT -m state --state NEW,INVALID,UNTRACKED -j DROP",),
            ["deny any -> self state new,invalid,untracked"],
            [],
        ),
        ((REPLIES, "-A INPUT -m state ! --state RELATED,ESTABLISHED -j DROP"), [], ["deny any -> self"]),
        # A rule that nobody can read may let them pass.
        (
            ("-A INPUT -m owner --uid-owner 1 -j ACCEPT", "-A INPUT -s 10.0.0.1 -j DROP", REPLIES, "-A INPUT -j DROP"),
            [
                'opaque r-2 iptables ipv4 input "-m owner --uid-owner 1 -j ACCEPT"',
                "deny 10.0.0.1 -> self",
                "allow any -> self state established,related",
                "deny any -> self",
            ],
            [],
        ),
    ],
)
def test_replies(rules: tuple[str, ...], packets: list[str], first: list[str]) -> None:
    found = read(iptables(*rules))
    head, _, tail = found.text.partition("\nnode {")
    assert ("node packets {" in head) is bool(packets)
    assert [line for line in statements(found) if line] == packets + first
    assert bool(tail) is bool(first)


def test_matches_without_words_go_along_with_the_rules_of_their_chain() -> None:
    flags = "-p tcp -m tcp --tcp-flags SYN,FIN SYN,FIN"
    found = read(
        iptables(
            f"-A FORWARD -i eth0 {flags} -j flood",
            "-A flood -m limit --limit 1/s -j RETURN",
            "-A flood -p tcp -m tcp --dport 80 -j DROP",
            "-A flood -s 10.0.0.1 -j DROP",
        )
    )
    assert statements(found) == [
        "within eth0 -> any : tcp {",
        f'opaque r-3 iptables ipv4 "{flags} -m limit --limit 1/s -j RETURN"',
        f'opaque r-3-2 iptables ipv4 "-p tcp {flags.removeprefix("-p tcp ")} -m tcp --dport 80 -j DROP"',
        f'opaque r-3-3 iptables ipv4 "{flags} -s 10.0.0.1 -j DROP"',
    ]
    lost = read(iptables("-A FORWARD -m recent --rcheck -j a", "-A a -s 10.0.0.1 -j DROP", "-A a -j REJECT"))
    assert [why for _, why in lost.lost] == ["-m recent, and it leads to the chain a"]


def test_what_has_no_effect() -> None:
    found = read(
        iptables(
            "-A FORWARD -s 10.0.0.1",
            "-A FORWARD -j empty",
            "-A FORWARD -j some",
            "-A some -p udp -j DROP",
            "-A some -j RETURN",
            "-A FORWARD -j REJECT",
            "-A FORWARD -j DROP",
            "-A nowhere -j DROP",
        ).replace("*filter", "*filter\n:empty - [0:0]")
    )
    assert statements(found) == ["deny any -> any : udp", "reject any -> any"]
    assert [why for _, why in found.dropped] == [
        "it only counts",
        "the chain empty does nothing",
        "the chain ends here anyway",
        "no packet comes to it",
        "no hook leads to its chain",
    ]
    assert found.rules == 8


def test_many_sources_are_a_set() -> None:
    ends = [f"-A bad -s 10.0.{n}.1/32 -j DROP" for n in range(6)]
    found = read(iptables("-A FORWARD -p tcp --dport 22 -j bad", *ends))
    assert statements(found) == ["deny bad -> any : tcp/22"]
    assert "set bad = { 10.0.0.1, 10.0.1.1, 10.0.2.1, 10.0.3.1, 10.0.4.1, 10.0.5.1 }" in found.text
    assert "# r:3-9 FORWARD, bad" in found.text


def test_both_families_say_it_once() -> None:
    four = iptables(
        "-A FORWARD -i eth0 -p tcp --dport 22 -j DROP", "-A FORWARD -p icmp -j DROP", "-A FORWARD -s 10.0.0.1 -j DROP"
    )
    six = iptables("-A FORWARD -p ipv6-icmp -j DROP", "-A FORWARD -i eth0 -p tcp --dport 22 -j DROP", six=True)
    found = read(four, six)
    assert statements(found) == [
        "deny every-ipv6 -> any : icmpv6",
        "deny eth0 -> any : tcp/22",
        "deny every-ipv4 -> any : icmp",
        "deny 10.0.0.1 -> any",
    ]
    assert found.versions == (4, 6)
    assert "# r:2, r1:4 FORWARD" in found.text


def test_prerouting_and_output_say_it_once() -> None:
    found = read(
        iptables(
            "-A PREROUTING -j a",
            "-A OUTPUT -j a",
            "-A a -d 1.2.3.4 -p tcp -j DNAT --to-destination 10.0.0.9",
            table="nat",
        )
    )
    assert statements(found) == ["dnat anyone to 1.2.3.4 : tcp -> 10.0.0.9"]


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = [f"-A c{n} -i eth{n} -j c{n + 1}" for n in range(20)]
    with pytest.raises(Unsupported, match="16 deep"):
        read(iptables("-A FORWARD -j c0", *deep, "-A c20 -p udp -j DROP", "-A c20 -p tcp -j REJECT"))
    monkeypatch.setattr(lists, "MOST", 10)
    doubled = [f"-A c{n} -i eth{n}{way} -j c{n + 1}" for n in range(4) for way in ("", " -p tcp")]
    with pytest.raises(Unsupported, match="more than 10 statements"):
        read(iptables("-A FORWARD -j c0", *doubled, "-A c4 -j DROP"))


def test_marks_that_must_not_be() -> None:
    """Leaving is of the list that the rule stands in, so it is said bit by bit."""
    rules = ("-A FORWARD -i eth0 -j a", "-A a -m mark ! --mark 0x2/0x3 -j RETURN", "-A a -m mark ! --mark 1 -j DROP")
    assert statements(read(iptables(*rules))) == [
        "within eth0 -> any {",
        "leave any -> any marked 0x1/0x1",
        "leave any -> any marked 0x0/0x2",
        "within any -> any {",
        "leave any -> any marked 0x1",
        "deny any -> any",
    ]
    never = read(
        iptables("-A FORWARD -m mark --mark 0x4/0x3 -j DROP", "-A FORWARD -m mark ! --mark 0x4/0x3 -p udp -j DROP")
    )
    assert statements(never) == ["deny any -> any : udp"]
    assert [why for _, why in never.dropped] == ["it matches nothing: the mark 0x4/0x3"]

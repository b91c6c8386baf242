"""What ipset texts mean: boxes, longest nets first, and what is refused."""

from __future__ import annotations

import pytest

from compiler.semantics.rules.netfilter import Set
from compiler.semantics.rules.reads_ipset import IpSet, read
from grammar.ruletext import Refused
from grammar.source import Source

NET, HOST = 0x0A000000, 0x0A000001


def one(kind: str, *members: str) -> IpSet:
    text = f"create x {kind}\n" + "".join(f"add x {member}\n" for member in members)
    return read(Source("sets", text))["x"]


def boxes(content: Set) -> list[tuple[tuple[int, int], ...]]:
    return [element.box for element in content.elements]


@pytest.mark.parametrize(
    ("kind", "member", "expected"),
    [
        ("hash:ip", "10.0.0.1", ((HOST, HOST),)),
        ("hash:ip", "10.0.0.1-10.0.0.3", ((HOST, HOST + 2),)),
        ("hash:ip netmask 24", "10.0.0.1", ((NET, NET + 255),)),
        ("hash:ip family inet6", "::1", ((1, 1),)),
        ("hash:net", "10.0.0.1/8", ((NET, NET + (1 << 24) - 1),)),
        ("hash:ip,port", "10.0.0.1,udp:53", ((HOST, HOST), (17, 17), (53, 53))),
        ("hash:ip,port", "10.0.0.1,80-90", ((HOST, HOST), (6, 6), (80, 90))),
        ("hash:ip,port,ip", "10.0.0.1,sctp:5,10.0.0.0", ((HOST, HOST), (132, 132), (5, 5), (NET, NET))),
        ("hash:ip,port,net", "10.0.0.1,tcp:5,10.0.0.0/31", ((HOST, HOST), (6, 6), (5, 5), (NET, NET + 1))),
        ("hash:net,net", "10.0.0.0/31,10.0.0.1", ((NET, NET + 1), (HOST, HOST))),
    ],
)
def test_elements(kind: str, member: str, expected: tuple[tuple[int, int], ...]) -> None:
    assert boxes(one(kind, member).content) == [expected]


def test_ranges_of_nets_are_the_blocks_that_the_kernel_stores() -> None:
    assert boxes(one("hash:net", "10.0.0.1-10.0.0.4").content) == [
        ((HOST, HOST),),
        ((HOST + 3, HOST + 3),),
        ((HOST + 1, HOST + 2),),
    ]


def test_longest_nets_come_first_and_nomatch_is_no_member() -> None:
    found = one("hash:net", "10.0.0.0/8", "10.0.0.0/16 nomatch", "10.0.0.0/24").content
    assert [(element.place.text.split()[2], element.member) for element in found.elements] == [
        ("10.0.0.0/24", True),
        ("10.0.0.0/16", False),
        ("10.0.0.0/8", True),
    ]


def test_bitmap_of_ports_looks_at_tcp_and_udp() -> None:
    found = one("bitmap:port range 0-100", "5-6")
    assert (boxes(found.content), found.family) == ([((6, 6), (5, 6)), ((17, 17), (5, 6))], None)


def test_lists_have_what_their_sets_have() -> None:
    sets = "create all list:set\ncreate a hash:ip\ncreate b hash:ip\n"
    text = sets + "add a 10.0.0.1\nadd b 10.0.0.0\nadd all a\nadd all b\n"
    found = read(Source("sets", text))
    assert list(found) == ["all", "a", "b"]
    assert boxes(found["all"].content) == [((HOST, HOST),), ((NET, NET),)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("create x hash:mac", "1:1: sets of type hash:mac are not understood"),
        ("create x hash:ip timeout 5", "1:1: the option timeout of a set is not understood"),
        ("create x hash:ip family inet5", "1:1: no such family: inet5"),
        ("create x hash:ip\nadd x 10.0.0.1 timeout 5", "2:1: the option timeout of a set is not understood"),
        ("create x hash:ip\nadd x ::1", "2:1: ::1 is not of the set's family"),
        ("create x hash:ip\nadd x 10.0.0.1,5", "2:1: 10.0.0.1,5 has not 1 parts"),
        ("create x hash:ip,port\nadd x 10.0.0.1,icmp:8/0", "2:1: icmp:8/0: elements of protocols without ports"),
        ("create x hash:ip\nadd x 10.0.0.9-10.0.0.1", "2:1: 10.0.0.9-10.0.0.1 is no range"),
        ("create x list:set\nadd x y", "2:1: y in a list of sets is not understood"),
        ("create x list:set\ncreate y hash:ip\nadd x y before z", "3:1: y in a list of sets is not understood"),
        (
            "create x list:set\ncreate y hash:net\nadd y 10.0.0.0/8 nomatch\nadd x y",
            "1:1: a list of sets of several kinds, or with nomatch",
        ),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(Refused) as found:
        read(Source("sets", text))
    assert str(found.value).startswith(f"sets:{message}"), found.value

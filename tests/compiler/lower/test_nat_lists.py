"""Lists in lists of nat, marks, conditions and rules of one tool: compiled, and read back as the program says."""

from __future__ import annotations

import pytest

from compiler.analysis.proof import Prover
from compiler.backends.target import Backend, Target
from compiler.errors import InvalidInput
from compiler.lower.nat_lists import hooks
from compiler.pipeline import Compiler
from compiler.resources.cluster import Pod
from compiler.resources.language import Program
from compiler.snapshot import build
from compiler.sources import language

EMPTY = build((), (), ())
PROGRAMS = {
    "leave": """within iface eth0 -> 192.0.2.9 { leave 10.0.0.1 -> any   dnat any to any : tcp/80 -> 10.0.0.9 : 8080 }
        dnat any to 192.0.2.9 : tcp/80 -> 10.0.0.8""",
    "chance": """within any -> 192.0.2.9 : tcp/80 {
          within any -> any chance 1/3 { dnat any to any : tcp -> 10.0.0.1 : 81 }
          within any -> any chance 1/2 { dnat any to any : tcp -> 10.0.0.2 : 82 }
          dnat any to any : tcp -> 10.0.0.3 : 83
        }""",
    "marks": """within any -> any : tcp/80 { mark any except 10.0.0.0/8 -> any 0x4000/0x4000
          dnat any to any : tcp/80 -> 10.0.0.1 }
        within any -> any { leave any -> any marked 0x0/0x4000   masquerade any -> any }
        keep source for 10.0.0.0/8 -> 10.0.0.0/8   masquerade 10.0.0.0/8 -> any""",
    "keep source in a list": """
        within 10.0.0.0/8 -> any { keep source for any -> 10.0.0.0/8   masquerade any -> iface eth0 }
        snat 10.0.0.0/8 -> any as 192.0.2.1""",
    "conditions": """dnat any to 192.0.2.9 : tcp/80 -> 10.0.0.1 marked 0x1/0x1 source port 1024-65535
        redirect any -> any : udp/53 to 5353 source port 53
        masquerade any -> any : tcp marked 0x2/0x3   snat any -> any as 192.0.2.1 marked 0x1/0x3""",
    "one of several connections": """redirect tcp/80,81 + udp/53 to 8080 chance 1/2
        dnat any except 192.0.2.0/24 to any : tcp/80 -> 10.0.0.1 : 81 chance 1/3
        snat { 10.0.0.0/8, iface eth0 } -> any as 192.0.2.1 chance 1/4""",
    "one throw for both ways": """masquerade self <-> { 10.0.0.0/8, 192.0.2.1 } : udp/5 chance 1/2
        keep source for 10.0.0.0/8 <-> 10.1.0.0/16 : tcp/80 chance 1/3
        redirect 10.0.0.0/8 <-> any except 192.0.2.0/24 : tcp/80 to 8080 chance 1/4""",
    "ends that leave something out": """within any except 10.0.0.0/8 -> local except 127.0.0.0/8 : tcp/80,81 + udp/53 {
          leave iface eth0 except 10.1.0.0/16 -> any   dnat any except 192.0.2.0/24 to any : tcp/80 -> 10.0.0.1
        }""",
}


def program(text: str) -> Program:
    return language.load([("edge.np", f"nat {{ {text} }}".encode())], lambda *_: "nothing is there")


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("name", PROGRAMS)
def test_lists_mean_what_they_say(backend: Backend, name: str) -> None:
    said = program(PROGRAMS[name])
    made = Compiler((), EMPTY, said, None).compile(Target(backend, None))
    proof = Prover((), EMPTY, said).prove(None, made.files.items(), (4, 6))
    assert proof.equal, proof.witnesses[0]


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize(
    "statements",
    [
        "raw { drop from broadcast  notrack broadcast }",
        "mangle { mark broadcast 1  ttl set 1 for any -> broadcast }",
        # Its targets are left to chance, and one in front of it gives addresses.
        "nat { dnat bogons : udp/53 -> 2001:db8::9  dnat broadcast : udp/53 -> pods : 8080 }",
    ],
)
def test_ipv6_has_no_broadcast(backend: Backend, statements: str) -> None:
    pods = [Pod("default", f"p{n}", {}, (f"10.0.0.{n}", f"fd00::{n}"), node="a") for n in (1, 2)]
    shop, said = build(pods, (), ()), language.load([("edge.np", statements.encode())], lambda *_: "nothing is there")
    made = Compiler((), shop, said, None).compile(Target(backend, "a"))
    proof = Prover((), shop, said).prove("a", made.files.items(), (4, 6))
    assert proof.equal, proof.witnesses[0]


def test_marks_go_with_rules_of_one_tool_and_to_both_ways_in() -> None:
    """A rule at PREROUTING does not take them from what the node itself sends."""
    said = program('opaque odd nft prerouting "meta length 5 drop"  mark any 1/1  within any -> any { mark any 2/2 }')
    made = Compiler((), EMPTY, said, None).compile(Target(Backend.NFTABLES, None))
    proof = Prover((), EMPTY, said).prove(None, made.files.items(), (4, 6))
    assert proof.equal, proof.witnesses[0]
    assert "nat-output" in "".join(made.files.values())


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("end", ["{ self }", "self and self", "{ { self }, self }"])
def test_self_in_braces_is_self(backend: Backend, end: str) -> None:
    text = f"mangle {{ dscp {end} -> any cs1  ttl set 5 for any <-> {end} }}"
    said = language.load([("edge.np", text.encode())], lambda *_: "nothing is there")
    made = Compiler((), EMPTY, said, None).compile(Target(backend, None))
    proof = Prover((), EMPTY, said).prove(None, made.files.items(), (4, 6))
    assert proof.equal, proof.witnesses[0]


def test_a_rule_of_one_tool_meets_what_is_written_twice() -> None:
    """A packet between the ends gets the class from both directions, before the tool's own rule notes it."""
    text = """mangle { dscp 10.0.0.0/8 <-> any : udp/53 af41
        opaque few iptables input "-m limit --limit 5/min -j ACCEPT" }"""
    said = language.load([("edge.np", text.encode())], lambda *_: "nothing is there")
    made = Compiler((), EMPTY, said, None).compile(Target(Backend.IPTABLES, None))
    proof = Prover((), EMPTY, said).prove(None, made.files.items(), (4, 6))
    assert proof.equal, proof.witnesses[0]


def test_proof_tells_lists_apart() -> None:
    """The comparison itself: without leave it is another program."""
    said = program(PROGRAMS["leave"])
    other = program(PROGRAMS["leave"].replace("leave 10.0.0.1 -> any", ""))
    made = Compiler((), EMPTY, other, None).compile(Target(Backend.NFTABLES, None))
    assert not Prover((), EMPTY, said).prove(None, made.files.items(), (4, 6)).equal


def test_where_lists_are_asked() -> None:
    def at(text: str) -> set[str]:
        return {hook.value for hook in hooks(program(text).nat)}

    assert at("within any -> any { mark any -> any 1 }") == {"prerouting", "output"}
    assert at("within any -> any { mark any -> any 1  masquerade any -> any }") == {"postrouting"}
    assert at("within any -> any { leave any -> any }") == set()
    assert at('within any -> any { opaque x iptables input "-j SNAT --to-source 192.0.2.1" }') == {"input"}


def test_leaving_no_list_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        Compiler((), EMPTY, program("leave any -> any  masquerade any -> any"), None)
    assert "leave stands in a list in braces" in refused.value.render()


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("raw", "-A NETPOLC-PREROUTING -p tcp --dport 21 -j CT --helper ftp"),
        ("mangle", "-A NETPOLC-POSTROUTING -p tcp --dport 21 -j CLASSIFY --set-class 1:1"),
        ("nat", "-A NETPOLC-nat-post -p tcp --dport 21 -m owner --uid-owner 0 -j RETURN"),
    ],
)
def test_rules_of_one_tool_stand_at_their_hook(block: str, line: str) -> None:
    hook = "prerouting" if block == "raw" else "postrouting"
    rule = line.split(maxsplit=2)[2]
    text = f'{block} {{ opaque x iptables ipv4 {hook} "{rule}" }}'
    said = language.load([("edge.np", text.encode())], lambda *_: "nothing is there")
    files = Compiler((), EMPTY, said, None).compile(Target(Backend.IPTABLES, None)).files
    assert line in files["iptables.save"]
    assert rule not in files["ip6tables.save"].replace(text, "")

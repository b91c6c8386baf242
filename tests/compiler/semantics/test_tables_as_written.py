"""Rules of one tool as they are, in nat, mangle and raw: the proof wants each where it is written."""

from __future__ import annotations

import pytest

from compiler.analysis.proof import Proof, Prover
from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.snapshot import build
from compiler.sources import language
from tests.compiler.semantics.table_texts import proved, saved

AS_WRITTEN = """
mangle {
  mark 10.0.0.0/8 1
  opaque often iptables prerouting "-p tcp --dport 9 -m limit --limit 5/min -j RETURN"
  mark 10.0.0.0/8 2
}
raw { opaque ftp iptables prerouting "-p tcp --dport 21 -j CT --helper ftp" }
nat {
  within world -> any { opaque ports iptables ipv4 postrouting "-s 10.9.0.0/16 -j MASQUERADE --to-ports 1024-2048" }
  masquerade any -> world
}
"""
WRITTEN = """
    raw PREROUTING -p tcp --dport 21 -j CT --helper ftp
    4 mangle PREROUTING ! -i lo -s 10.0.0.0/8 -j MARK --set-mark 1
    mangle PREROUTING -p tcp --dport 9 -m limit --limit 5/min -j RETURN
    4 mangle PREROUTING ! -i lo -s 10.0.0.0/8 -j MARK --set-mark 2
    4 mangle OUTPUT -s 10.0.0.0/8 -j MARK --set-mark 1
    4 mangle OUTPUT -s 10.0.0.0/8 -j MARK --set-mark 2
    4 nat POSTROUTING -i eth0 -s 10.9.0.0/16 -j MASQUERADE --to-ports 1024-2048
    nat POSTROUTING -o eth0 -j MASQUERADE
"""
MISTAKES = [
    ("--helper ftp", "--helper tftp"),
    ("--limit 5/min", "--limit 6/min"),
    ("dport 9", "dport 8"),
    ("1024-2048", "1024-2049"),
    ("-i eth0", "-i eth1"),
    ("RETURN", "DROP"),
]


def test_rules_of_one_tool_stand_where_they_are_written() -> None:
    def found(text: str) -> Proof:
        # As no kernel would load it: a rule of POSTROUTING that asks where a packet came in.
        return proved(AS_WRITTEN, [saved(text, version) for version in (4, 6)])

    said = found(WRITTEN)
    assert said.witnesses == ()
    names = "often (edge.np:5), ftp (edge.np:8), ports (edge.np:10)"
    assert said.given == f"with 3 rules of one tool, unverified: {names}"
    for old, new in MISTAKES:
        assert not found(WRITTEN.replace(old, new)).equal, old


#: Statements around rules of one tool that remember packets, or that nobody knows; and what is no longer the same.
SEEN_ON_THE_WAY = [
    (
        """mangle { ttl inc 1 for self  opaque few nft output "limit rate 5/minute return"
             opaque told nft output "limit rate 5/minute log group 1"  opaque last nft output "queue num 1"  dscp self 5
             ttl inc 3 for self }""",
        "ip ttl 63 ip ttl set 64 return",
        "ip ttl 63 ip ttl set 65 return",
    ),
    *(
        (
            f"""nat {{ masquerade iface eth1 -> any  snat iface eth* -> any as 10.0.0.1 }}
                mangle {{ opaque o iptables forward "{rule}"  dscp any 5 }}""",
            "-i eth1 -j MARK",
            "-i eth2 -j MARK",
        )
        for rule in ("-m limit --limit 5/minute -j DROP", "-i eth3 -j DROP", "-p tcp -j NFQUEUE", "-i eth3 -j NFQUEUE")
    ),
]


@pytest.mark.parametrize(("text", "old", "new"), SEEN_ON_THE_WAY)
def test_what_has_become_of_packets_that_such_a_rule_sees(text: str, old: str, new: str) -> None:
    """Hop limits that are counted by constants, and bits that carry an interface, are what they are in the end."""
    backend = Backend.IPTABLES if "iptables" in text else Backend.NFTABLES
    empty, said = build((), (), ()), language.load([("edge.np", text.encode())], lambda *_: "nothing is there")
    made = Compiler((), empty, said, None).compile(Target(backend, None))
    assert any(old in rules for rules in made.files.values())
    for change, equal in (("", True), (new, False)):
        files = {name: rules.replace(old, change or old, 1) for name, rules in made.files.items()}
        proof = Prover((), empty, said).prove(None, files.items(), (4,) if "ttl" in text else (4, 6))
        assert proof.equal is equal, proof.witnesses[:1]


@pytest.mark.parametrize(
    ("tool", "rule"),
    [("nft", "queue num 1"), ("nft", "ct mark set 1"), ("iptables", "-j NFQUEUE"), ("nft", "log group 1")],
)
@pytest.mark.parametrize(
    ("block", "hook"),
    [("nat", "prerouting"), ("nat", "postrouting"), ("mangle", "input"), ("mangle", "forward"), ("raw", "output")],
)
def test_a_statement_that_nobody_knows_is_itself(tool: str, rule: str, block: str, hook: str) -> None:
    text = f'{block} {{ opaque x {tool} {hook} "{rule}" }}'
    backend = Backend.IPTABLES if tool == "iptables" else Backend.NFTABLES
    empty, said = build((), (), ()), language.load([("edge.np", text.encode())], lambda *_: "nothing is there")
    made = Compiler((), empty, said, None).compile(Target(backend, None))
    assert Prover((), empty, said).prove(None, made.files.items(), (4, 6)).equal


def test_interfaces_are_carried_past_statements_that_nobody_knows() -> None:
    text = """nat { opaque x iptables postrouting "-p udp -j NFQUEUE"  snat iface eth0 -> any as 10.0.0.1
                    opaque y iptables postrouting "-j NFQUEUE"  masquerade iface eth* -> any }"""
    empty, said = build((), (), ()), language.load([("edge.np", text.encode())], lambda *_: "nothing is there")
    made = Compiler((), empty, said, None).compile(Target(Backend.IPTABLES, None))
    assert Prover((), empty, said).prove(None, made.files.items(), (4, 6)).equal
    files = {name: rules.replace("-i eth0", "-i eth1") for name, rules in made.files.items()}
    assert not Prover((), empty, said).prove(None, files.items(), (4, 6)).equal


@pytest.mark.parametrize(
    "rule", ["meta mark 0x1 return", "limit rate 5/minute drop", "udp dport 53 accept", "queue num 1"]
)
def test_a_rule_of_raw_stands_behind_what_is_dropped_in_front_of_it(rule: str) -> None:
    """And sees what the failsafe keeps."""
    text = f"""raw {{ notrack udp/6  drop from 10.0.0.0/8  opaque a nft prerouting "{rule}"  drop any : tcp/22
        notrack udp/5  opaque b nft prerouting "{rule}"  opaque c nft output "{rule}" }}"""
    empty, said = build((), (), ()), language.load([("edge.np", text.encode())], lambda *_: "nothing is there")
    made = Compiler((), empty, said).compile(Target(Backend.NFTABLES, None))
    assert made.exempt
    assert Prover((), empty, said).prove(None, made.files.items(), (4, 6), exempt=made.exempt).equal


def test_what_equal_rules_remember_is_told_apart_in_each_family() -> None:
    """One of the other family is no rule here."""
    rule = "limit rate 5/minute drop"
    text = f"""mangle {{ opaque a nft ipv4 prerouting "{rule}"  opaque b nft prerouting "{rule}"
        opaque c nft ipv6 output "{rule}"  opaque d nft output "{rule}" }}"""
    empty, said = build((), (), ()), language.load([("edge.np", text.encode())], lambda *_: "nothing is there")
    made = Compiler((), empty, said, None).compile(Target(Backend.NFTABLES, None))
    assert Prover((), empty, said).prove(None, made.files.items(), (4, 6)).equal

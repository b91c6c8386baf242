"""Rules of one tool as they are, in nat, mangle and raw: the proof wants each where it is written."""

from __future__ import annotations

from compiler.analysis.proof import Proof
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

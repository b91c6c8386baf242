"""`netpolc compile` with lists of programs beside policy and node blocks: what is told, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run

Netpolc = Callable[..., Run]

OPAQUE = """\
forward {
  opaque odd-bytes iptables ipv4 "-m u32 --u32 \\"0>>22&0x3C@0=1\\" -j DROP"
  within any -> 10.0.0.0/8 { opaque "-" iptables "-j DROP" }
}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: a}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}]}
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], None]:
    def write(text: str) -> None:
        (tmp_path / "a.np").write_text(text)

    return write


def test_rules_of_one_tool_are_told_as_unverified(netpolc: Netpolc, program: Callable[[str], None]) -> None:
    """On standard error, in the head of every file, at the rule, and in what is said of the proof."""
    program(OPAQUE.replace('"-"', "plain"))
    done = netpolc("compile", "a.np", "--backend", "iptables")
    assert done.status == 0, done.stderr
    assert "note: unverified: 2 rules of one tool, as written (odd-bytes, plain)" in done.stderr
    assert done.stdout.count("\n# unverified: 2 rules of one tool, as written (odd-bytes, plain)\n") == 3
    four, six = done.stdout.split("### ip6tables.save ###")
    assert '-j DROP"  # unverified\n-A NETPOLC-forwarded -m u32 --u32 "0>>22&0x3C@0=1" -j DROP\n' in four
    assert "-m u32" not in six
    assert "Proved" in four
    assert "unverified: odd-bytes (a.np:2), plain (a.np:3)" in four
    program("forward { deny any -> any : tcp/23 }")
    done = netpolc("compile", "a.np", "--backend", "iptables")
    assert "unverified" not in done.stdout + done.stderr


def test_rules_of_the_other_tool_are_refused_by_name(netpolc: Netpolc, program: Callable[[str], None]) -> None:
    program(OPAQUE.replace('"-"', "plain"))
    done = netpolc("compile", "a.np")
    assert done.status == 2
    assert done.stdout == ""
    said = "is a rule of iptables as it is, and cannot be compiled for nft [other-tool]"
    assert [line for line in done.stderr.splitlines() if "error" in line] == [
        f"a.np:2:3: error: odd-bytes {said}",
        f"a.np:3:30: error: plain {said}",
    ]


def test_lists_about_the_node_need_to_know_which_one_it_is(
    netpolc: Netpolc, program: Callable[[str], None], tmp_path: Path
) -> None:
    """What is forwarded is the same for every node."""
    (tmp_path / "pods.yaml").write_text(POD)
    program("node packets { deny any -> self state invalid }")
    done = netpolc("compile", "pods.yaml", "a.np")
    assert done.status == 2
    assert "a.np:1:16: error: a node packets block is about one machine" in done.stderr
    assert netpolc("compile", "pods.yaml", "a.np", "--node", "n1").status == 0
    program("forward packets { deny any -> any state invalid } forward { deny pods -> 169.254.169.254 }")
    assert netpolc("compile", "pods.yaml", "a.np").status == 0


def test_nobody_inside_of_a_list_is_told(netpolc: Netpolc, program: Callable[[str], None], tmp_path: Path) -> None:
    (tmp_path / "pods.yaml").write_text(POD)
    program("forward { within pods(app=x) -> any { deny any -> pods(app=y) } }")
    told = netpolc("compile", "pods.yaml", "a.np").stderr
    assert "matches nothing: nobody in the input is its source" in told
    assert "matches nothing: nobody in the input is its target" in told


def test_rules_of_one_tool_that_are_not_understood_are_told_where_they_stand(
    netpolc: Netpolc, program: Callable[[str], None]
) -> None:
    """All of them, in the program and not in the text that was made of it."""
    program(
        'node { opaque o nft input "iifgroup 1 drop" }\n'
        'forward { within any -> pods { opaque p nft "meta day 5 drop" } }\n'
        'mangle { opaque q nft ipv4 forward "snatt" }\n'
    )
    done = netpolc("compile", "a.np")
    assert done.status == 2
    assert [line for line in done.stderr.splitlines() if "error" in line] == [
        "a.np:1:8: error: o: iifgroup is not understood here [unsupported]",
        "a.np:2:32: error: p: meta day is not understood here [unsupported]",
        "a.np:3:10: error: q: snatt is not understood here [unsupported]",
        "error: rules that cannot be proved are not written; --no-prove writes them",
    ]
    program(
        'forward { opaque o iptables "-s 10.0.0.300 -j DROP" }\nraw { opaque p iptables prerouting "-s ::1 -j DROP" }'
    )
    done = netpolc("compile", "a.np", "--backend", "iptables")
    assert [line for line in done.stderr.splitlines() if ": error" in line] == [
        "a.np:1:11: error: o: 10.0.0.300 is no address [syntax]",
        "a.np:2:7: error: p: ::1 is not of the table's family [syntax]",
    ]


def test_what_one_stage_refuses_hides_nothing(netpolc: Netpolc, program: Callable[[str], None]) -> None:
    """Statements that mean nothing, those of another tool, marks that are taken, and what the tool cannot say."""
    program(
        'policy p { within any -> any { leave any -> any : tcp/5  reject any -> any log "a$b" } }\n'
        "nat { leave any -> any  masquerade iface eth0 -> any  mark any 0x1000000/0xf000000 }\n"
        'node { opaque o nft input "masquerade"  opaque q nft input "drop"  deny iface "a+b" -> self }\n'
    )
    found = {}
    for backend in ("nftables", "iptables"):
        done = netpolc("compile", "a.np", "--backend", backend)
        assert done.status == 2
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        found[backend] = [(line.split(" ")[0].removesuffix(":"), line.split(" ")[-1]) for line in lines]
    ours = [("a.np:1:58", "[unsupported]"), ("a.np:2:7", "[leave]"), ("a.np:3:8", "[misplaced]")]
    assert found["nftables"] == [*ours, ("a.np:3:68", "[unsupported]")]
    marked, other = ("a.np:2:55", "[mark-mask]"), ("a.np:3:41", "[other-tool]")
    assert found["iptables"] == [*ours[:2], marked, ours[2], other, ("a.np:3:68", "[unsupported]")]


def test_what_is_wrong_with_a_whole_list_is_told_once(
    netpolc: Netpolc, program: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "pod.yaml").write_text(POD)
    program('node { deny any -> self : tcp/5  deny any -> self : tcp/6 }\nforward { deny iface "a+b" -> any }\n')
    done = netpolc("compile", "a.np", "pod.yaml")
    assert [line.split(" ")[-1] for line in done.stderr.splitlines() if "error" in line] == [
        "[no-node]",
        "[unsupported]",
    ]


def test_segments_that_are_too_large_for_iptables(netpolc: Netpolc, program: Callable[[str], None]) -> None:
    """Its module leaves room for the header, of IPv6 more; nft takes every number."""
    program(
        "mangle { mss set 65515 for 10.0.0.0/8  mss set 65495 for any  mss set 65496 for any"
        "  mss set 65516 for 10.0.0.1 }"
    )
    assert netpolc("compile", "a.np").status == 0
    done = netpolc("compile", "a.np", "--backend", "iptables")
    assert [line for line in done.stderr.splitlines() if "error" in line] == [
        "a.np:1:63: error: iptables cannot express segments of 65496: at most 65495 beside the header [unsupported]",
        "a.np:1:86: error: iptables cannot express segments of 65516: at most 65515 beside the header [unsupported]",
    ]


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        ("-j MARK --set-mark 5", "0xf000000"),
        ("-j MARK --set-xmark 0x1000000/0x1000000", "0x1000000"),
        ("-j MARK --or-mark 0x2000010", "0x2000000"),
        ("-m mark --mark 0x0/0x8000001 -j RETURN", "0x8000000"),
        ("-j CONNMARK --restore-mark", "0xf000000"),
        ("-j MARK --set-mark 010", "0xf000000"),
        ("-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff", ""),
        ("-j CONNMARK --set-mark 5", ""),
        ("-j MARK --set-xmark 0x5/0xff", ""),
        ("-m mark --mark 5/0xff -j MARK --xor-mark 0x3", ""),
        ("-m connmark --mark 5 -j RETURN", ""),
    ],
)
def test_bits_of_marks_that_rules_of_iptables_take(
    netpolc: Netpolc, program: Callable[[str], None], rule: str, taken: str
) -> None:
    """Those that tell POSTROUTING where a packet came in are not theirs."""
    program(f'nat {{ masquerade iface eth1 -> any }}\nmangle {{ opaque m iptables forward "{rule}" }}\n')
    done = netpolc("compile", "a.np", "--backend", "iptables")
    assert done.status == (2 if taken else 0), done.stderr
    assert not taken or f"a.np:2:10: error: the bits {taken} of the mark are netpolc's own here" in done.stderr

"""`netpolc compile` with programs of the policy language: files, includes, refusals, the failsafe."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run

Netpolc = Callable[..., Run]

CLUSTER = """\
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: a, labels: {app: a}}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}]}
"""
ADMIN = """\
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: tenants}
spec: {priority: 7, subject: {namespaces: {}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    (tmp_path / "admin.yaml").write_text(ADMIN)
    return tmp_path


def write(folder: Path, **texts: str) -> None:
    """`name_np` is the file name.np."""
    for name, text in texts.items():
        place = folder / name.replace("_", ".")
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)


def test_files_folders_and_includes(netpolc: Netpolc, folder: Path) -> None:
    """An included file is found beside the one that names it, and comes once, whatever it is called on the way."""
    (folder / "np/common").mkdir(parents=True)
    (folder / "np/edge.np").write_text(
        'include "common/names.np"\ninclude "../np/common/names.np"\npolicy p { deny world -> pods : web }'
    )
    (folder / "np/common/names.np").write_text("zone world = iface eth0\nservice web = tcp/80")
    alone = netpolc("compile", "cluster.yaml", "np/edge.np", "--no-prove")
    assert alone.status == 0, alone.stderr
    assert 'iifname "eth0" ip daddr 10.0.0.2/32 tcp dport 80 jump deny' in alone.stdout
    assert netpolc("compile", "cluster.yaml", "np", "--no-prove").stdout == alone.stdout
    assert netpolc("compile", "cluster.yaml", "np/common/names.np", "np/edge.np", "--no-prove").stdout == alone.stdout
    assert netpolc("compile", "cluster.yaml", "--no-prove").stdout != alone.stdout


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere.np", "No such file or directory"),
        (".", "Is a directory"),
        ("a.np", ""),
    ],
)
def test_an_include_that_cannot_be_read(netpolc: Netpolc, folder: Path, path: str, reason: str) -> None:
    """One that includes itself is read once."""
    write(folder, a_np=f'include "{path}"\npolicy p {{ deny any -> 10.0.0.9 }}')
    done = netpolc("compile", "a.np", "--no-prove")
    if reason:
        assert (done.status, done.stdout) == (2, "")
        assert f"a.np:1:9: error: {reason} [unreadable-include]" in done.stderr
    else:
        assert done.status == 0


def test_what_is_wrong_in_both_languages_is_told_at_once(netpolc: Netpolc, folder: Path) -> None:
    write(folder, bad_yaml="kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nspec: 7\n", bad_np="alow x")
    done = netpolc("compile", "bad.yaml", "bad.np")
    assert (done.status, done.stdout) == (2, "")
    assert "bad.yaml:" in done.stderr
    assert "bad.np:1:1: error:" in done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("policy late { deny any -> any }", "policy late has priority 1000 and would come behind AdminNetworkPolicy"),
        ("policy p priority 7 { deny any -> any }", "tenants (admin.yaml:1), which has 7: blocks come first"),
        (
            "policy p tier baseline { reject any -> pods }",
            "edge.np:1:26: error: reject: a block of the tier baseline is",
        ),
        (
            "policy p tier baseline { deny any -> any log }",
            "edge.np:1:26: error: log: a block of the tier baseline is no",
        ),
        ("policy p tier baseline { deny any -> any unless from iface e }", "error: iface in unless: a block of"),
        ("policy p tier baseline { deny iface w* except iface lo -> any }", "error: iface in its source: a block of"),
        (
            "nat { dnat any to iface eth0 : tcp/80 -> 10.0.0.1 }",
            "1:7: error: dnat cannot ask for a target by interface",
        ),
        ("nat { redirect any -> any except iface e : tcp/80 to 8 }", "1:7: error: redirect cannot ask for a target by"),
        ("nat { redirect iface e <-> 10.0.0.1 : tcp/80 to 8 }", "1:7: error: redirect cannot ask for a target by"),
        ("nat { dnat any : tcp/80 -> { pods, 10.0.0.0/30 } }", "1:7: error: dnat goes to pods, nodes and single addr"),
        ("nat { redirect udplite/80 to 8 }", "1:7: error: the kernel translates no ports of udplite"),
        ("mangle { dscp proto/0 ef }", "edge.np:1:10: error: protocol 0 is not compiled"),
        ("mangle { ttl set 9 for any -> any : icmp/255 }", "edge.np:1:10: error: type 255 is not compiled"),
        (
            "raw { notrack any -> iface eth0 }",
            "edge.np:1:7: error: a raw statement cannot ask for a target by interface",
        ),
        ("raw { drop any <-> iface eth0 }", "edge.np:1:7: error: a raw statement cannot ask for a target by interface"),
        ("policy p priority 1 { deny any -> any : proto/0 }", "edge.np:1:23: error: protocol 0 is not compiled"),
        ("node { deny any -> self }", "edge.np:1:8: error: a node block is about one machine"),
        ("nat { masquerade any -> iface e }", "edge.np:1:7: error: a nat block is about one machine"),
        ("mangle { dscp tcp/80 ef }", "edge.np:1:10: error: a mangle block is about one machine"),
        ("raw { notrack udp/53 }", "edge.np:1:7: error: a raw block is about one machine"),
    ],
)
def test_refusals(netpolc: Netpolc, folder: Path, text: str, told: str) -> None:
    write(folder, edge_np=text)
    done = netpolc("compile", "cluster.yaml", "admin.yaml", "edge.np", "--no-prove", "-o", "out")
    assert (done.status, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.startswith("edge.np:1:")
    assert re.search(r"\n    1 \| \w.*\n      \| \^+\n", done.stderr), "the statement, and carets below it"
    assert not (folder / "out").exists()


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_what_a_tool_cannot_say_is_refused_at_its_place(netpolc: Netpolc, folder: Path, backend: str) -> None:
    """Every statement once, whatever families, chains and rules it became."""
    text = """\
policy p priority 1 {
  deny iface "wg+" -> 10.0.0.0/8  # the beginning is meant as wg*
  deny any except iface "e$1" -> pods : tcp/1
}
node {
  deny any -> self : udp log "costs $5"
}
"""
    write(folder, edge_np=text)
    done = netpolc("compile", "cluster.yaml", "edge.np", "--node", "n1", "--backend", backend, "-o", "out")
    assert (done.status, done.stdout) == (2, "")
    names = f"{backend} cannot express the interface name"
    assert [line for line in done.stderr.splitlines() if line.startswith("edge.np")] == [
        f"edge.np:2:3: error: {names} 'wg+': 1 to 15 of letters, digits and _.@- [unsupported]",
        f"edge.np:3:3: error: {names} 'e$1': 1 to 15 of letters, digits and _.@- [unsupported]",
        f"edge.np:6:3: error: {backend} cannot express the log prefix 'costs $5': printable ASCII but for \\, \" and $"
        " [unsupported]",
    ]
    assert '\n    2 | deny iface "wg+" -> 10.0.0.0/8\n      | ^^^^' in done.stderr
    assert not (folder / "out").exists()


def test_blocks_of_the_baseline_tier_need_pods(netpolc: Netpolc, folder: Path) -> None:
    """Whose directions they are about is known of a cluster alone; with one, they are policies beside the objects."""
    write(folder, edge_np="policy p tier baseline priority 9 { deny any -> pods : tcp/80 pass any -> nodes }")
    done = netpolc("compile", "admin.yaml", "edge.np")
    assert (done.status, done.stdout) == (2, "")
    assert "edge.np:1:1: error: policy p: a block of the tier baseline is about pods, and the input has none" in (
        done.stderr
    )
    done = netpolc("compile", "cluster.yaml", "admin.yaml", "edge.np", "--node", "n1")
    assert done.status == 0, done.stderr
    assert "# baseline policy p rule[0] (edge.np:1)\n" in done.stdout
    assert "note: policy p rule[1] (edge.np:1): matches nothing: nobody in the input is its target\n" in done.stderr


def test_a_smaller_priority_is_taken(netpolc: Netpolc, folder: Path) -> None:
    write(folder, edge_np="policy p priority 6 { deny any -> any }\nnode { deny any -> self }")
    assert netpolc("compile", "cluster.yaml", "admin.yaml", "edge.np", "--node", "n1", "--no-prove").status == 0


def test_the_failsafe_is_told_and_can_be_left_out(
    netpolc: Netpolc, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50022 192.0.2.1 2222")
    write(folder, edge_np="node { deny iface eth0 -> self : tcp/1-3000 }")
    done = netpolc("compile", "edge.np", "--no-prove")
    lines = ["any -> self : tcp/22", "any -> self : tcp/2222", "nodes -> self : tcp/2379-2380"]
    assert [line for line in done.stderr.splitlines() if "failsafe" in line] == [
        f"note: failsafe, in front of the node's rules: allow {line} (--no-failsafe leaves it out)"
        for line in lines[:2]
    ], "nobody is a node here"
    assert done.stdout.index("tcp dport 2222 return") < done.stdout.index("tcp dport 1-3000 counter drop")
    done = netpolc("compile", "edge.np", "--no-prove", "--no-failsafe")
    assert (done.status, done.stderr) == (0, "")
    assert "dport 22" not in done.stdout


@pytest.mark.parametrize(
    ("connection", "line"),
    [
        ("192.0.2.7 50022 192.0.2.1 2222", "192.0.2.7 -> self : tcp/2222"),
        ("fe80::7%eth0 50022 fe80::1%eth0 22", "fe80::7 -> self : tcp/22"),
        ("UNKNOWN 65535 UNKNOWN 65535", None),
        ("192.0.2.7 50022 192.0.2.1 0", None),
        ("192.0.2.7", None),
        ("", None),
    ],
)
def test_who_may_is_the_authors_to_say_but_for_this_session(
    netpolc: Netpolc, folder: Path, monkeypatch: pytest.MonkeyPatch, connection: str, line: str | None
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", connection)
    write(folder, edge_np="node { allow 10.0.0.4 -> self : tcp/22,2222 deny any except iface lo -> self : tcp/1-3000 }")
    done = netpolc("compile", "edge.np")
    assert done.status == 0, done.stderr
    told = [f"note: failsafe, in front of the node's rules: allow {line} (--no-failsafe leaves it out)"] if line else []
    assert [text for text in done.stderr.splitlines() if "failsafe" in text] == told
    assert "failsafe" not in netpolc("compile", "edge.np", "--no-failsafe").stdout


@pytest.mark.parametrize("value", ["", "x", "1 2 3 0", "1 2 3 70000", "192.0.2.7 50022 192.0.2.1 22"])
def test_no_other_port(netpolc: Netpolc, folder: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SSH_CONNECTION", value)
    write(folder, edge_np="node { deny any -> self : tcp/1-3000 }")
    assert netpolc("compile", "edge.np", "--no-prove").stderr.count("tcp/22 ") == 1
    assert netpolc("compile", "edge.np", "--no-prove").stderr.count("any -> self : tcp") == 1


def test_who_is_nobody_is_told(netpolc: Netpolc, folder: Path) -> None:
    write(folder, edge_np="policy p priority 1 {\n  deny pods(app=b) -> any\n  deny pods -> nodes\n}")
    done = netpolc("compile", "cluster.yaml", "edge.np", "--no-prove")
    assert done.stderr.splitlines() == [
        "note: policy p rule[0] (edge.np:2): matches nothing: nobody in the input is its source",
        "note: policy p rule[1] (edge.np:3): matches nothing: nobody in the input is its target",
    ]


def test_the_head_tells(netpolc: Netpolc, folder: Path) -> None:
    write(folder, edge_np="policy p priority 1 { deny any -> any }")
    done = netpolc("compile", "cluster.yaml", "edge.np", "--no-prove")
    head = ["# netpolc: every pod of the input, 0 policies and a program, nftables", "# Not proved: --no-prove."]
    assert done.stdout.splitlines()[:2] == head
    assert done.stderr == ""


def test_where_statements_are(netpolc: Netpolc, folder: Path) -> None:
    """--explain-layout shows the table, hook and chains of each, in the order of the file."""
    text = """nat { dnat iface e to 192.0.2.1 : tcp/80 -> 10.0.0.1 masquerade any -> iface e }
mangle { dscp any -> iface e : tcp/80 ef mark tcp/81 1 ttl dec 1 for { iface e, iface f } -> self }
raw { notrack udp/53 drop from { iface lo, 10.0.0.9 } }
policy p { deny iface e -> any }
node { deny any -> self : tcp/9 }
"""
    write(folder, edge_np=text)
    done = netpolc("compile", "edge.np", "--explain-layout", "--no-failsafe")
    assert done.status == 0, done.stderr
    shown = done.stdout.partition("\nstatement ")[2].splitlines()[1:]
    found: dict[str, list[str]] = {}
    for line in shown[: shown.index("")]:
        if line.startswith("edge.np:"):
            statement = line.partition(": ")[2]
        else:
            found.setdefault(statement, []).append(line.partition(":")[0].strip())
    assert found == {
        "dnat iface e to 192.0.2.1 : tcp/80 -> 10.0.0.1": ["nat, prerouting"],
        "masquerade any -> iface e": ["nat, postrouting"],
        "dscp any -> iface e : tcp/80 ef": ["mangle, forward", "mangle, output"],
        "mark tcp/81 1": ["mangle, prerouting", "mangle, output"],
        "ttl dec 1 for { iface e, iface f } -> self": ["mangle, input"],
        "notrack udp/53": ["raw, prerouting", "raw, output"],
        "drop from { iface lo, 10.0.0.9 }": ["raw, prerouting"],
        "deny iface e -> any": ["filter, forward", "filter, output"],
        "deny any -> self : tcp/9": ["filter, input"],
    }


CARRYING = "nat { masquerade iface e -> iface f }\n"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("mangle { mark tcp/80 0x1/0x0100000f }", "edge.np:2:10: error: the bits 0x1000000 of the mark are netpolc's"),
        ("forward { deny any -> any marked 0x8000000/0x8000000 }", "edge.np:2:11: error: the bits 0x8000000 of"),
        ("nat { masquerade iface (a, b, c, d) -> any }", ""),
        ("nat { masquerade iface (" + ", ".join(f"a{n}" for n in range(15)) + ") -> any }", "nat asks for 16 names"),
    ],
)
def test_bits_of_marks_that_are_taken(netpolc: Netpolc, folder: Path, more: str, told: str) -> None:
    """By iptables alone, and where another mask is given, not there."""
    write(folder, edge_np=CARRYING + more)
    done = netpolc("compile", "edge.np", "--backend", "iptables", "-o", "out")
    assert (done.status, told in done.stderr) == (2 if told else 0, True), done.stderr
    assert (folder / "out").exists() is not bool(told)
    assert netpolc("compile", "edge.np").status == 0
    done = netpolc("compile", "edge.np", "--backend", "iptables", "--mark-mask", "0x3f00000", "-o", "other")
    assert done.status == (2 if "0x0100000f" in more else 0), done.stderr


@pytest.mark.parametrize("mask", ["0", "5", "0x1ffffffff", "many", "-1"])
def test_masks_that_are_none(netpolc: Netpolc, folder: Path, mask: str) -> None:
    write(folder, edge_np=CARRYING)
    done = netpolc("compile", "edge.np", "--mark-mask", mask)
    assert (done.status, done.stdout) == (2, "")
    assert "expected bits side by side in 32" in done.stderr


def test_verify_takes_the_mask(netpolc: Netpolc, folder: Path) -> None:
    write(folder, edge_np=CARRYING)
    assert netpolc("compile", "edge.np", "--backend", "iptables", "--mark-mask", "0x30", "-o", "out").status == 0
    assert netpolc("verify", "edge.np", "--rules", "out", "--mark-mask", "0x30").status == 0
    assert netpolc("verify", "edge.np", "--rules", "out").status == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nat { snat any -> iface e as 192.0.2.1 }", "for IPv4 alone: its new source has no IPv6 address"),
        ("nat { dnat any : tcp/80 -> pods(app=four) }", "for IPv4 alone: its new target has no IPv6 address"),
        (
            "nat { dnat any to fd00::1 : tcp/80 -> pods(app=four) }",
            "matches nothing: its ends have no addresses of one",
        ),
        ("nat { dnat any : tcp/80 -> pods(app=none) }", "matches nothing: nobody in the input is its new target"),
        ("nat { masquerade 10.0.0.0/8 -> iface e }", "for IPv4 alone: its source has no IPv6 address"),
        ("mangle { dscp pods(app=none) -> any ef }", "matches nothing: nobody in the input is its source"),
        ("raw { drop from pods(app=none) }", "matches nothing: nobody in the input is its source"),
        ("nat { masquerade any -> iface e }", ""),
        ("mangle { dscp 10.0.0.0/8 -> any ef }", ""),
        ("raw { drop from fd00::/8 }", ""),
    ],
)
def test_for_whom_statements_hold(netpolc: Netpolc, folder: Path, text: str, told: str) -> None:
    write(folder, edge_np=text)
    (folder / "pod.yaml").write_text(
        "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: four}}, spec: {nodeName: one, containers: []},"
        " status: {phase: Running, podIP: 10.0.0.7, podIPs: [{ip: 10.0.0.7}]}}"
    )
    done = netpolc("compile", "pod.yaml", "edge.np", "--node", "one", "--no-failsafe", "--no-prove")
    assert done.status == 0, done.stderr
    found = [line for line in done.stderr.splitlines() if "statement[0] (edge.np:1)" in line]
    assert [told in line for line in found] == [True] * bool(told), done.stderr

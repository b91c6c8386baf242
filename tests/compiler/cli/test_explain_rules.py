"""`netpolc explain --rules`: the way of a connection through the rules of its nodes, as a user reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[3]
SHOP = str(ROOT / "fixtures/examples/shop")
FRONTEND, BACKEND = "shop/frontend-6d8f7c9b5-4kqzx", "shop/backend-5c7d9f6b8d-m2x9p"
ISOLATED = "since NetworkPolicies select the pod and none of their rules allows it"
#: In names of sets, then of chains.
DIGEST = re.compile(r"-[0-9a-f]{10}\b(?!-)|(?<=-tcp443)-\w{7}\b|(?<=-askdns)-\w{7}\b")
Netpolc = Callable[..., Run]
Ask = Callable[..., Run]


@pytest.fixture
def ask(netpolc: Netpolc) -> Ask:
    """explain of the example; digests in names are cut off, since they change with every policy."""

    def run(source: str, destination: str, *more: str) -> Run:
        done = netpolc("explain", SHOP, "--from", source, "--to", destination, *more)
        return Run(done.status, DIGEST.sub("-#", done.stdout), done.stderr)

    return run


def about_rules(done: Run) -> str:
    """What is said of rules, without the numbers of lines and the columns."""
    found = done.stdout[done.stdout.index("\nrules of ") + 1 :]
    return re.sub(r" +(\S+):\d+$", r"  \1", found, flags=re.MULTILINE)


def test_a_denied_connection_ends_at_the_rule_that_drops_it(ask: Ask) -> None:
    done = ask(FRONTEND, "shop/database-1:5432", "--rules")
    assert (done.status, done.stderr) == (1, "")
    assert about_rules(done) == (
        f"""\
rules of node-a drop it (forwarded)
  forward, chain forward of table netpolc
    ip saddr vmap @egress4-32-#  node-a/netpolc.nft
      10.244.1.11 : jump deny  node-a/netpolc.nft
  chain deny
    counter drop  node-a/netpolc.nft
  not in pairs4-#: 10.244.1.11 . 10.244.2.13 . tcp . 5432
  not in self4-#: 10.244.1.11 . 10.244.2.13
  egress is denied, {ISOLATED}: shop/default-deny, shop/ask-dns, shop/frontend

rules of node-b would drop it (forwarded), but it does not get there
  forward, chain forward of table netpolc
    ip daddr vmap @ingress4-32-#  node-b/netpolc.nft
      10.244.2.13 : jump deny  node-b/netpolc.nft
  chain deny
    counter drop  node-b/netpolc.nft
  not in pairs4-#: 10.244.1.11 . 10.244.2.13 . tcp . 5432
  not in egress4-32-#: 10.244.1.11
  not in self4-#: 10.244.1.11 . 10.244.2.13
  ingress is denied, {ISOLATED}: shop/default-deny, shop/scrape-metrics, shop/database
"""
    )


def test_an_allowed_connection_shows_the_member_and_its_replies(ask: Ask) -> None:
    done = ask(FRONTEND, f"{BACKEND}:http", "--rules")
    assert (done.status, done.stderr) == (0, "")
    assert about_rules(done) == (
        """\
rules of node-a let it pass (forwarded)
  forward, chain forward of table netpolc
    ip saddr . ip daddr . meta l4proto . th dport @pairs4-# accept  node-a/netpolc.nft
      10.244.1.11 . 10.244.1.12 . tcp . 8080  node-a/netpolc.nft
"""
        + "  replies pass: ct state established,related accept (node-a/netpolc.nft:35)\n"
    )


def test_iptables_with_sets(ask: Ask) -> None:
    done = ask(BACKEND, "203.0.113.7:443", "--rules", "--backend", "iptables")
    assert (done.status, done.stderr) == (0, "")
    assert about_rules(done) == (
        """\
rules of node-a let it pass (forwarded)
  forward, chain FORWARD of table filter
    -I FORWARD 1 -m conntrack ! --ctstate ESTABLISHED,RELATED -j NETPOLC-FORWARD  node-a/iptables.save
  chain NETPOLC-FORWARD
    -A NETPOLC-FORWARD -s 10.244.1.12/32 -j NETPOLC-eg4-askdns-#  node-a/iptables.save
  chain NETPOLC-eg4-askdns-#
    -A NETPOLC-eg4-askdns-# -d 203.0.113.0/24 -g NETPOLC-p-tcp443-#  node-a/iptables.save
  chain NETPOLC-p-tcp443-#
    -A NETPOLC-p-tcp443-# -p tcp -m tcp --dport 443 -j RETURN  node-a/iptables.save
  end of forward, chain FORWARD: accept, its policy
  replies pass: no rule is against packets of known connections
"""
    )
    member = ask(FRONTEND, f"{BACKEND}:8080", "--rules", "--backend", "iptables").stdout
    assert re.search(r"add netpolc-pairs4-# 10.244.1.11,tcp:8080,10.244.1.12 -exist +node-a/ipset.save:\d+\n", member)


def test_lines_are_those_of_the_files_that_compile_writes(netpolc: Netpolc, tmp_path: Path) -> None:
    """Every place in the output leads to the text beside it, for both back ends and families."""
    seen = 0
    for backend in ("nftables", "iptables"):
        assert netpolc("compile", SHOP, "--node", "all", "--backend", backend, "-o", backend).status == 0
        for source, destination in ((FRONTEND, "shop/database:5432"), ("fd00:10:244:1::11", f"{BACKEND}:8080")):
            ends = ("--from", source, "--to", destination)
            done = netpolc("explain", SHOP, *ends, "--rules", "--backend", backend)
            for said, name, line in re.findall(r"^ {4,6}(\S.*?) +(node-\S+):(\d+)$", done.stdout, re.MULTILINE):
                text = (tmp_path / backend / name).read_text().splitlines()[int(line) - 1]
                assert said.split(" : ")[0] in text
                seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    ("source", "destination", "status", "first", "told"),
    [
        # Ends that are nodes: the node itself sends, or is reached.
        ("172.18.0.11", f"{BACKEND}:8080", 0, "rules of node-a let it pass (from the node itself)", "fib saddr type"),
        (BACKEND, "172.18.0.11:443", 1, "rules of node-a drop it (to the node itself)", "input, chain input"),
        (BACKEND, "172.18.0.12:443", 1, "rules of node-a drop it (forwarded)", "rules of node-b would let it pass (to"),
        ("172.18.0.12", f"{BACKEND}:8080", 1, "rules of node-b let it pass (from", "\nrules of node-a drop it (forw"),
        # A host-network pod is its node.
        ("monitoring/node-exporter-5hr8j", f"{BACKEND}:8080", 0, "rules of node-a let it pass (from the node", "fib"),
        # A pod and itself, over a way that leaves the pod.
        (BACKEND, f"{BACKEND}:9/SCTP", 0, "rules of node-a let it pass (forwarded)", "@self4-# return"),
        # Protocols.
        (FRONTEND, f"{BACKEND}:icmp", 1, "rules of node-a drop it (forwarded)", "egress is denied"),
        (FRONTEND, f"{BACKEND}:8080/SCTP", 1, "rules of node-a drop it (forwarded)", "egress is denied"),
        ("fd00:10:244:1::11", f"{BACKEND}:http", 0, "rules of node-a let it pass (forwarded)", "@pairs6-# accept"),
        # A Deny rule is named.
        (FRONTEND, "169.254.169.254:80", 1, "rules of node-a drop it", "denied by egress[0] of ClusterNetworkPolicy t"),
        # Nobody's rules.
        ("192.0.2.1", "192.0.2.2:1", 0, "rules: no node of the input is on the way", ""),
        ("kube-system/coredns-76f75df574-8xv2h", "192.0.2.2:1", 0, "rules of node-a let it pass", "no rule says anyth"),
    ],
)
def test_ends_and_protocols(ask: Ask, source: str, destination: str, status: int, first: str, told: str) -> None:
    done = ask(source, destination, "--rules")
    assert (done.status, done.stderr) == (status, "")
    assert "DISAGREEMENT" not in done.stdout
    found = done.stdout[done.stdout.index("\nrules") + 1 :]
    assert found.startswith(first)
    assert told in found


def test_every_pod_as_on_one_machine(ask: Ask) -> None:
    done = ask(FRONTEND, "shop/database-1:5432", "--rules", "--node", "all")
    assert done.status == 1
    assert "\nrules of every pod drop it (forwarded)\n" in done.stdout
    assert "jump deny             netpolc.nft:" in done.stdout
    assert "egress is denied" in done.stdout
    assert "ingress is denied" in done.stdout
    assert "node-b" not in about_rules(done)


def test_the_connection_shown_is_one_that_comes_by_the_node(ask: Ask) -> None:
    done = ask("shop/frontend", "shop/backend:http", "--rules", "--node", "node-b")
    pair = "10.244.1.11 (shop/frontend-6d8f7c9b5-4kqzx) -> 10.244.2.12 (shop/backend-5c7d9f6b8d-z5h8k)"
    assert f"\none of these connections, {pair}:\nrules of node-b let it pass (forwarded)\n" in done.stdout
    assert "rules of node-a" not in done.stdout
    assert (
        "none of these connections comes by this node" in ask(FRONTEND, BACKEND, "--rules", "--node", "node-b").stdout
    )


# Rules that are given


@pytest.fixture
def written(netpolc: Netpolc, tmp_path: Path) -> Path:
    """`nftables` and `iptables`, the files of node-a."""
    for backend in ("nftables", "iptables"):
        assert netpolc("compile", SHOP, "--node", "node-a", "--backend", backend, "-o", backend).status == 0
    return tmp_path


def test_files_of_both_tools(ask: Ask, written: Path) -> None:
    for folder in ("nftables", "iptables"):
        files = [str(path.relative_to(written)) for path in sorted((written / folder).iterdir()) if path.name[0] != "."]
        done = ask(FRONTEND, f"{BACKEND}:8080", "--rules", *files)
        assert (done.status, done.stderr) == (0, "")
        assert "\nrules of node-a let it pass (forwarded)\n" in done.stdout
        assert f"{folder}/" in about_rules(done)


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_folders_of_nodes(netpolc: Netpolc, ask: Ask, backend: str) -> None:
    """As `compile --node all` writes them; a folder without folders of nodes is one node's."""
    assert netpolc("compile", SHOP, "--node", "all", "--backend", backend, "-o", "out").status == 0
    done = ask(FRONTEND, "shop/backend-5c7d9f6b8d-z5h8k:8080", "--rules", "out")
    assert (done.status, done.stderr) == (0, "")
    for node in ("node-a", "node-b"):
        assert f"\nrules of {node} let it pass (forwarded)\n" in done.stdout
        assert f"  out/{node}/" in done.stdout
    one = ask(FRONTEND, "shop/backend-5c7d9f6b8d-z5h8k:8080", "--rules", "out/node-a", "--node", "node-a")
    assert one.status == 0
    assert "  out/node-a/" in one.stdout
    assert "node-b" not in about_rules(one)
    assert netpolc("verify", SHOP, "--node", "node-b", "--rules", "out/node-b").status == 0


def test_rules_that_lack_one_family(ask: Ask, written: Path) -> None:
    ends = ("fd00:10:244:1::11", "[fd00:10:244:1::13]:5432")
    done = ask(*ends, "--rules", "iptables/ipset.save", "iptables/iptables.save")
    assert done.status == 3
    assert "  no rule says anything of it: no chain of them is on its way\n  NOT AS THE POLICIES SAY" in done.stdout


def test_rules_that_do_something_else_are_shouted_about(ask: Ask, written: Path) -> None:
    text = (written / "nftables/netpolc.nft").read_text()
    (written / "bad.nft").write_text(text.replace("10.244.1.11 . 10.244.1.12 . tcp . 8080,\n", ""))
    done = ask(FRONTEND, f"{BACKEND}:8080", "--rules", "bad.nft")
    assert done.status == 3
    packet = "10.244.1.11 -> 10.244.1.12 tcp/8080"
    assert done.stdout.startswith(
        f"DISAGREEMENT: the rules at node-a drop {packet}, which the policies allow\nallowed:"
    )
    assert (
        "  NOT AS THE POLICIES SAY: they allow it here\n  egress is allowed by egress[0] of shop/frontend\n"
        in done.stdout
    )
    (written / "bad.nft").write_text(text.replace("counter drop", "counter accept"))
    done = ask(FRONTEND, "shop/database-0:5432", "--rules", "bad.nft")
    assert done.status == 3
    assert "\nDISAGREEMENT" not in done.stdout.split("\n", 1)[1]
    assert "NOT AS THE POLICIES SAY: they deny it here\n  egress is denied" in done.stdout


def test_what_an_ipset_lacks_is_told_as_ipset_takes_it(ask: Ask, written: Path) -> None:
    (written / "none.save").write_text("create netpolc-x hash:ip,port,ip\ncreate netpolc-y hash:ip\n")
    (written / "iptables.save").write_text(
        "*filter\n:FORWARD DROP\n-A FORWARD -m set --match-set netpolc-x src,dst,dst -j ACCEPT\n"
        "-A FORWARD -m set ! --match-set netpolc-y dst -j RETURN\n-A FORWARD -j ACCEPT\nCOMMIT\n"
    )
    done = ask(FRONTEND, f"{BACKEND}:8080", "--rules", "none.save", "iptables.save")
    assert done.status == 3
    assert "  not in netpolc-x: 10.244.1.11,tcp:8080,10.244.1.12\n  not in netpolc-y: 10.244.1.12\n" in done.stdout


def test_dropped_replies_are_shouted_about(ask: Ask, written: Path) -> None:
    text = (written / "iptables/iptables.save").read_text()
    (written / "iptables.save").write_text(
        text.replace("\nCOMMIT", "\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j REJECT\nCOMMIT")
    )
    done = ask(FRONTEND, f"{BACKEND}:8080", "--rules", "iptables.save", "iptables/ipset.save")
    assert done.status == 3
    assert "DISAGREEMENT: the rules at node-a drop replies of 10.244.1.11 -> 10.244.1.12 tcp/8080" in done.stdout
    assert re.search(
        r"REPLIES ARE DROPPED.*:\n.*\n +-A FORWARD -m conntrack --ctstate ESTABLISHED -j REJECT", done.stdout
    )


OTHERS = """\
*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:KUBE-FORWARD -
:CNI-FORWARD -
:EMPTY -
-A EMPTY -j RETURN
-A FORWARD -j EMPTY
-A FORWARD -j KUBE-FORWARD
-A FORWARD -j CNI-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CNI-FORWARD -p udp -m limit --limit 3/sec -j REJECT --reject-with icmp-port-unreachable
%s
COMMIT
"""


@pytest.mark.parametrize(
    ("rule", "status", "told"),
    [
        ("-A CNI-FORWARD -s 10.244.0.0/16 -j ACCEPT", 0, "let it pass (forwarded)\n  forward, chain FORWARD of"),
        ("", 3, "  end of forward, chain FORWARD: drop, its policy\n  NOT AS THE POLICIES SAY"),
        ("-A CNI-FORWARD -j REJECT", 3, "rules of node-a reject it with "),
        (
            "-A CNI-FORWARD -i cali+ -j ACCEPT",
            0,
            "and the verdict depends on it: input interface cali* (iptables.save:15), shown as if it did n",
        ),
        (
            "-A CNI-FORWARD ! -o eth0 -j ACCEPT\n-A CNI-FORWARD -o eth0 -j ACCEPT",
            0,
            "not known here, and of no consequence: output interface eth0 (iptables.save:15)\n",
        ),
        (
            "-A CNI-FORWARD -m recent --name x --rcheck -j ACCEPT",
            0,
            "rules of node-a give no answer that is known here (forwarded)",
        ),
        ("-A CNI-FORWARD -j NFQUEUE --queue-num 1", 0, "(iptables.save:15)"),
    ],
)
def test_rules_of_others(ask: Ask, tmp_path: Path, rule: str, status: int, told: str) -> None:
    """What stands beside ours on a real node: chains of kube-proxy and of the CNI plugin, interfaces, limits."""
    (tmp_path / "iptables.save").write_text(OTHERS % rule)
    done = ask(FRONTEND, f"{BACKEND}:8080", "--rules", "iptables.save")
    assert (done.status, done.stderr) == (status, "")
    assert told in done.stdout
    assert "EMPTY" not in done.stdout


def test_another_destination_is_another_connection(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "nat.nft").write_text(
        "table ip t { chain a { type nat hook prerouting priority -100; tcp dport 8080 dnat to 192.0.2.1; }\n"
        "chain b { type filter hook forward priority 0; ip daddr 192.0.2.1 drop; } }\n"
    )
    done = ask(FRONTEND, f"{BACKEND}:8080", "--rules", "nat.nft")
    assert done.status == 0
    assert "rules of node-a drop it" in done.stdout
    assert "it gets another destination on the way" in done.stdout


def test_another_source_is_what_the_next_node_sees(ask: Ask, tmp_path: Path) -> None:
    """A masquerade that takes in pods: the policies of the other node deny what comes from a node."""
    (tmp_path / "nat.nft").write_text(
        "table ip t { chain a { type nat hook postrouting priority 100; ip saddr 10.244.0.0/16 masquerade; } }\n"
    )
    done = ask(FRONTEND, "shop/backend-5c7d9f6b8d-z5h8k:8080", "--rules", "nat.nft", "--node", "node-a")
    assert done.status == 0
    assert "postrouting, chain a of table t\n    ip saddr 10.244.0.0/16 masquerade" in done.stdout
    assert done.stdout.endswith("policies behind that see the new address\n")
    done = ask(BACKEND, "203.0.113.7:443", "--rules", "nat.nft")
    assert "masquerade" in done.stdout
    assert "new address" not in done.stdout


def test_alarms_are_heard_beside_json(ask: Ask, written: Path) -> None:
    (written / "none.nft").write_text("table inet netpolc { }\n")
    done = ask(FRONTEND, "shop/database-0:5432", "--rules", "none.nft", "--format", "json")
    assert done.status == 3
    assert done.stderr.startswith("DISAGREEMENT: the rules at node-a pass 10.244.1.11 -> 10.244.1.13 tcp/5432, which")
    assert json.loads(done.stdout)["answers"][0]["rules"]["nodes"][0]["agrees"] is False


def test_json_says_the_same(netpolc: Netpolc) -> None:
    ends = ("--from", FRONTEND, "--to", "shop/database-1:5432")
    done = netpolc("explain", SHOP, *ends, "--rules", "--format", "json")
    assert (done.status, done.stderr) == (1, "")
    rules = json.loads(done.stdout)["answers"][0]["rules"]
    assert (rules["source"], rules["destination"]) == ("10.244.1.11", "10.244.2.13")
    first, second = rules["nodes"]
    assert (first["node"], first["hook"], first["verdict"], first["policies"]) == ("node-a", "forward", "drop", "drop")
    assert (first["agrees"], first["arrives"], second["arrives"]) == (True, True, False)
    (chain,) = first["chains"]
    assert (chain["chain"], chain["verdict"], chain["by-policy"]) == ("forward", "drop", False)
    jump, drop = chain["steps"]
    key = "10.244.1.11 . 10.244.2.13 . tcp . 5432"
    assert (first["missed"][0]["set"][:6], first["missed"][0]["key"]) == ("pairs4", key)
    assert (jump["verdict"], jump["element"]["text"]) == ("jump deny", "10.244.1.11")
    assert (drop["chain"], drop["rule"], drop["verdict"], drop["element"]) == ("deny", "counter drop", "drop", None)
    assert "rules" not in json.loads(netpolc("explain", SHOP, *ends, "--format", "json").stdout)["answers"][0]

"""`netpolc optimize` of rules of nft: found by places in any text, made fewer, and loaded again."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.compiler.cli.optimizing import ROOT, SMALL, Netpolc, optimized
from tests.compiler.optimizing.test_passes import totals

NFT = """table inet filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ip saddr 10.0.0.1 counter packets 1 bytes 60 drop # handle 2
		ip saddr 10.0.0.2 counter packets 9 bytes 540 drop # handle 3
		ip saddr 10.0.0.0/24 counter packets 5000 bytes 300000 accept comment "many"
	}
}
"""


@pytest.mark.parametrize("options", [(), ("--format", "nft")])
def test_rules_of_nft_too(netpolc: Netpolc, options: tuple[str, ...]) -> None:
    done = optimized(netpolc, NFT, "--threshold", "0", *options, name="ruleset.nft")
    assert done.status == 0, done.stderr
    lines = NFT.splitlines(keepends=True)
    assert done.stdout == "".join([*lines[:3], lines[4], lines[3], *lines[5:]])
    assert "\ninet filter forward      3      1     5010" in done.stderr
    assert "proved: " in done.stderr
    assert "no counter" not in done.stderr


def test_rules_of_nft_without_a_counter_are_counted(netpolc: Netpolc) -> None:
    done = optimized(
        netpolc, NFT.replace("counter packets 1 bytes 60 drop", "drop"), "--threshold", "0", name="ruleset.nft"
    )
    assert "note: ruleset.nft: 1 of 3 rules have no counter and weigh nothing\n" in done.stderr
    assert done.stdout.index("10.0.0.2") < done.stdout.index("10.0.0.1")
    plain = re.sub(r"counter packets \d+ bytes \d+ ", "", NFT)
    done = optimized(netpolc, plain, name="ruleset.nft")
    assert done.status == 0
    assert "note: ruleset.nft: weights are an estimate: no packets are counted\n" in done.stderr
    assert "weigh nothing" not in done.stderr


def test_a_text_is_what_it_is_said_to_be(netpolc: Netpolc) -> None:
    for text, format_, place in ((NFT, "iptables", "1:1"), (SMALL, "nft", "1:1")):
        done = optimized(netpolc, text, "--format", format_, "-o", "new")
        assert done.status == 2
        assert f"rules.save:{place}: error: " in done.stderr
        assert not Path("new").exists()
    assert optimized(netpolc, NFT, "--tool", "nft").status == 2


SHOP = (ROOT / "fixtures" / "optimize" / "shop.nft").read_text()


def test_sets_and_verdict_maps_of_nft(netpolc: Netpolc) -> None:
    done = optimized(netpolc, SHOP, name="shop.nft")
    assert done.status == 0, done.stderr
    assert "\t\ttcp dport { 80, 443, 8443 } accept\n" in done.stdout
    assert "\nshop.nft:16: one rule with lines 17 and 18: tcp dport { 80, 443, 8443 } accept\n" in done.stderr
    assert "tcp dport vmap { 53 : jump names, 80 : accept, 443 : accept, 25 : goto mail }\n" in done.stdout
    assert "\nproved: " in done.stderr
    assert totals(done.stdout) == totals(SHOP)
    assert optimized(netpolc, SHOP, "--passes", "normalize,shadow,merge", name="shop.nft").stdout == SHOP
    assert optimized(netpolc, done.stdout, "--check", name="shop.nft").status == 0


def test_rules_that_count_become_one_where_that_is_asked_for(netpolc: Netpolc) -> None:
    one = "\t\ttcp dport { 7, 9 } counter packets 8 bytes 480 drop\n"
    assert one not in optimized(netpolc, SHOP, "--no-prove", name="shop.nft").stdout
    done = optimized(netpolc, SHOP, "--merge-counters", name="shop.nft")
    assert one in done.stdout
    assert optimized(netpolc, done.stdout, "--check", "--merge-counters", name="shop.nft").status == 0


def test_long_sets_are_told_in_short(netpolc: Netpolc) -> None:
    rules = "".join(f"\t\tip saddr 10.0.{n // 256}.{n % 256} drop\n" for n in range(400))
    text = f"table ip t {{\n\tchain c {{\n\t\ttype filter hook input priority 0; policy accept;\n{rules}\t}}\n}}\n"
    done = optimized(netpolc, text, name="ruleset.nft")
    assert done.status == 0, done.stderr
    assert done.stdout.count("ip saddr") == 1
    (line,) = (line for line in done.stderr.splitlines() if "one rule with" in line)
    assert len(line) < 400
    assert " ... " in line
    assert line.endswith("10.0.1.143 } drop")


@pytest.mark.kernel
def test_scripts_of_our_own(netpolc: Netpolc) -> None:
    """Another order, which the kernel takes over the old one."""
    assert netpolc("compile", str(ROOT / "fixtures" / "examples" / "shop"), "--node", "node-a", "-o", "old").status == 0
    old = Path("old/netpolc.nft").read_text()
    done = netpolc("optimize", "old/netpolc.nft", "-o", "new.nft", "--passes", "order")
    assert done.status == 0, done.stderr
    assert "proved: " in done.stderr
    new = Path("new.nft").read_text()
    assert new != old
    assert sorted(new.splitlines()) == sorted(old.splitlines())
    subprocess.run(["unshare", "--net", "sh", "-ec", "nft -f old/netpolc.nft; nft -f new.nft"], check=True)


OBJECTS = """table inet filter {
	counter web {
		packets 5 bytes 300
	}

	flowtable fast {
		hook ingress priority filter
		devices = { lo }
	}

	set banned {
		type ipv4_addr
		flags dynamic,timeout
		elements = { 192.0.2.9 timeout 1d expires 20h }
	}

	chain forward {
		type filter hook forward priority filter; policy drop;
		ip protocol { tcp, udp } flow add @fast
		ip saddr @banned counter packets 2 bytes 120 drop
		tcp dport 80 counter name "web" accept
		ip saddr 10.0.0.1 counter packets 1 bytes 60 drop
		ip saddr 10.0.0.2 counter packets 900 bytes 54000 accept
		ct count over 20 counter packets 3 bytes 180 drop
	}
}
table bridge filter {
	chain forward {
		type filter hook forward priority filter; policy accept;
		vlan id 5 counter packets 5 bytes 300 drop
	}
}
"""


def test_objects_and_rules_of_nft_that_are_not_understood(netpolc: Netpolc) -> None:
    """They are in the new text, and in the proof each stands for itself."""
    done = optimized(netpolc, OBJECTS, name="ruleset.nft")
    assert done.status == 0, done.stderr
    assert "proved: " in done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(OBJECTS.splitlines())
    assert done.stdout.index("10.0.0.2") < done.stdout.index("10.0.0.1")
    assert done.stdout.index("10.0.0.1") < done.stdout.index("over 20")
    assert "ruleset.nft:19: nothing moves past this rule: ip protocol { tcp, udp } flow add @fast" in done.stderr


@pytest.mark.kernel
def test_the_kernel_has_rules_of_nft_in_their_new_order(netpolc: Netpolc) -> None:
    """With their counters; what it prints needs no other order."""
    assert optimized(netpolc, NFT, "-o", "new.nft", "--threshold", "0").status == 0
    script = "nft -c -f new.nft && nft -f new.nft && nft -a list ruleset"
    loaded = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, check=True
    ).stdout
    kept = [line.partition(" # ")[0] for line in Path("new.nft").read_text().splitlines() if "counter" in line]
    assert [line.partition(" # ")[0] for line in loaded.splitlines() if "counter" in line] == kept
    assert optimized(netpolc, loaded, "--check", "--threshold", "0", name="loaded.nft").status == 0

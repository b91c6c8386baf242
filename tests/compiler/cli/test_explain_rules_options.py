"""`netpolc explain --rules`: which rules the options mean, and what they cannot mean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.compiler.cli.test_explain_rules import BACKEND, FRONTEND, SHOP, Netpolc


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--node", "node-a"), "--node and --backend go with --rules or --live"),
        (("--backend", "iptables"), "--node and --backend go with --rules or --live"),
        (("--live", "--rules", "x.nft"), "give files behind --rules, or --live"),
        (("--rules", "x.nft", "--backend", "iptables"), "--backend is for rules that are compiled here"),
        (("--rules", "--node", "node-x"), "error: --node node-x: the input knows node-a, node-b"),
        (("--rules", "x.nft"), "come by node-a, node-b: say whose rules these are, with --node"),
        (("--rules", "x.nft", "y.nft", "--node", "node-a"), "y.nft: No such file or directory"),
        (("--rules", "x.nft", "--node", "node-a"), "x.nft:1:26: error: foo is not understood here [unsupported]"),
        (("--rules", "", "--node", "node-a"), "error: "),
        (("--rules", "folder"), "error: folder: no .nft or .save file in this folder, nor a folder node-b"),
        (("--rules", "empty", "--node", "node-a"), "error: empty: no .nft or .save file in this folder"),
    ],
)
def test_what_is_no_question_is_refused(
    netpolc: Netpolc, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "x.nft").write_text("table inet x { chain a { foo bar; } }\n")
    (tmp_path / "folder/node-a").mkdir(parents=True)
    (tmp_path / "folder/node-a/x.nft").write_text("table inet x { }\n")
    (tmp_path / "empty").mkdir()
    done = netpolc("explain", SHOP, "--from", FRONTEND, "--to", "shop/database-1:5432", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert message in done.stderr


def test_files_end_where_options_begin(netpolc: Netpolc) -> None:
    assert netpolc("compile", SHOP, "--node", "node-a", "-o", "nftables").status == 0
    ends = ("--from", FRONTEND, "--to", f"{BACKEND}:8080")
    for arguments in (
        ("--rules", "nftables/netpolc.nft", *ends, SHOP),
        (*ends, "--rules", "nftables/netpolc.nft", "--", SHOP),
        (*ends, "--rules", "--", SHOP),
        (*ends, "--rules", "--backend", "nftables", SHOP),
        (SHOP, *ends, "--rules=nftables/netpolc.nft"),
    ):
        assert "\nrules of node-a let it pass" in netpolc("explain", *arguments).stdout
    done = netpolc("explain", *ends, "--rules", SHOP)
    assert (done.status, done.stdout) == (2, "")
    assert "Missing argument 'INPUT...'" in done.stderr


def test_only_root_reads_the_rules_of_the_machine(netpolc: Netpolc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = netpolc("explain", SHOP, "--from", FRONTEND, "--to", f"{BACKEND}:8080", "--live")
    assert done.status == 2
    assert "only root can read the rules of this machine" in done.stderr

"""`netpolc verify --live` proves what a kernel has, whichever tool brought it there, and sees an intruder's rule."""

from __future__ import annotations

import sys

import pytest

from tests.compiler.cli.test_verify import CLUSTER
from tests.kernel.namespace import CommandFailed
from tests.kernel.rig import BACKEND, FLAVOURS, Rig

pytestmark = pytest.mark.kernel

#: A rule of somebody else's in our chains that lets everything through.
_INTRUDER = {
    "nftables": ("nft", "insert", "rule", "inet", "netpolc", "deny", "accept"),
    "iptables-legacy": ("iptables-legacy", "-I", "NETPOLC-deny", "-j", "ACCEPT"),
    "iptables-nft": ("iptables-nft", "-I", "NETPOLC-deny", "-j", "ACCEPT"),
}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_rules_of_this_machine(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("live")
    (folder / "in.yaml").write_text(CLUSTER)
    netpolc = (sys.executable, "-m", "compiler.cli.main")
    given = (str(folder / "in.yaml"), "--node", "n1")
    with Rig(("192.168.0.1",)) as rig:
        run = rig.namespace.run
        with pytest.raises(CommandFailed, match="neither the table inet netpolc nor chains NETPOLC"):
            run(*netpolc, "verify", *given, "--live")
        run(*netpolc, "compile", *given, "--backend", BACKEND[flavour], "-o", str(folder / "out"))
        rig.load({path.name: path.read_text() for path in (folder / "out").iterdir() if path.name[0] != "."}, flavour)
        assert "equal: every IPv4 and IPv6 packet" in run(*netpolc, "verify", *given, "--live")
        run(*_INTRUDER[flavour])
        with pytest.raises(CommandFailed, match=r"--live exits 1: $"):  # what differs goes to standard output
            run(*netpolc, "verify", *given, "--live")

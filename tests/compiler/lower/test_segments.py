"""Long lists of which now these and now those packets are excepted: they stay as deep as short ones, and are proved."""

from __future__ import annotations

import pytest

from compiler.analysis.proof import Prover
from compiler.backends.target import Backend, Target
from compiler.net import Family
from compiler.pipeline import Compiler
from compiler.snapshot import build
from compiler.sources import language
from tests.compiler.lower.test_heads import depth


def alternating(count: int, *, allowing: bool) -> str:
    """A list of the node itself; with `allowing` some rules allow what is not excepted."""
    rules = []
    for n in range(count):
        rules.append(f"deny any except iface eth0 -> self : tcp/{1000 + n}")
        rules.append(f"allow 10.0.0.{n} -> self : tcp/{1000 + n}")
        rules += [f"allow any except iface eth1 -> self : tcp/{2000 + n}"] * allowing
        rules.append(f"reject any except iface eth2 -> self : udp/{1000 + n}-{1020 + n}")
        rules.append(f'log any except iface eth2 -> self : udp/{3000 + n} "seen"')
    return "\n".join(["node {", *rules, "deny any -> self", "}", ""])


@pytest.mark.parametrize(
    ("backend", "allowing"), [(Backend.NFTABLES, True), (Backend.NFTABLES, False), (Backend.IPTABLES, False)]
)
def test_exceptions_that_alternate_do_not_go_deeper(backend: Backend, allowing: bool) -> None:
    """Of iptables, what allows has to end the list, which a chain that is come back from cannot."""
    deep = [depth(alternating(count, allowing=allowing), backend) for count in (4, 30)]
    assert deep[0] == deep[1] <= 10


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize("allowing", [False, True])
def test_they_mean_the_same(backend: Backend, allowing: bool) -> None:
    text = alternating(6, allowing=allowing)
    program = language.load([("list.np", text.encode())], lambda name, path: f"{name} includes {path}")
    compiler = Compiler((), build((), (), ()), program, None)
    target = Target(backend, None, (Family.IPV4, Family.IPV6))
    found = Prover((), build((), (), ()), program).prove(
        None, compiler.compile(target).files.items(), (4, 6), compiler.failsafe(target)
    )
    assert not found.witnesses

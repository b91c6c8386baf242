"""Programs of the policy language in the router of `tests.kernel.router`, proved before they are loaded."""

from __future__ import annotations

from compiler.analysis.proof import Prover
from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.snapshot import build
from compiler.sources import language
from tests.kernel.rig import BACKEND
from tests.kernel.router import CLIENT, INNER, OUTER, SECOND, SERVER, VIRTUAL, Routed

#: What the programs of the tests may name.
NAMES = """
zone inside = iface in0
zone outside = iface out0
""" + "".join(
    f"set {name} = {{ {ends[0]}, {ends[1]} }}\n"
    for name, ends in {
        "client": CLIENT,
        "server": SERVER,
        "inner": INNER,
        "outer": OUTER,
        "second": SECOND,
        "virtual": VIRTUAL,
    }.items()
)


def load(net: Routed, flavour: str, text: str, *, failsafe: bool = False, proving: bool = True) -> None:
    """Compiles the program for the router, without a cluster; proves the scripts; loads them."""
    program = language.load([("edge.np", (NAMES + text).encode())], lambda _, __: "nothing is there")
    compiler = Compiler((), build(), program, () if failsafe else None)
    made = compiler.compile(Target(Backend(BACKEND[flavour])))
    if proving:
        proof = Prover((), compiler.snapshot, program).prove(None, made.files.items(), (4, 6), (), made.exempt)
        assert proof.equal, proof.witnesses
    net.load(made.files, flavour)

"""`netpolc compile` proves: what is written was read back, a wrong text is never written, and every head tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compiler import pipeline
from compiler.backends import iptables, nftables
from compiler.backends.target import Backend
from compiler.cli import compile as compile_command
from compiler.ir.ruleset import Ruleset

ROOT = Path(__file__).resolve().parents[3]
SHOP = str(ROOT / "fixtures/examples/shop")
Emit = Callable[[Ruleset], dict[str, str]]


def compiled(*arguments: str) -> Result:
    return CliRunner().invoke(compile_command.command, list(arguments))


def heads(folder: Path) -> list[str]:
    """The second line of every file."""
    return [path.read_text().splitlines()[1] for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Backend, Callable[[str], str]], None]:
    """Makes a back end write something else."""
    ours: dict[Backend, Emit] = {Backend.NFTABLES: nftables.emit, Backend.IPTABLES: iptables.emit}

    def change(backend: Backend, how: Callable[[str], str]) -> None:
        def wrong(ruleset: Ruleset) -> dict[str, str]:
            return {name: how(text) for name, text in ours[backend](ruleset).items()}

        monkeypatch.setitem(pipeline._EMIT, backend, wrong)

    return change


@pytest.mark.parametrize("backend", [b.value for b in Backend])
@pytest.mark.parametrize("node", ["node-a", "all"])
def test_the_head_says_so(tmp_path: Path, backend: str, node: str) -> None:
    made = compiled(SHOP, "--node", node, "--backend", backend, "-o", str(tmp_path))
    assert made.exit_code == 0, made.output
    found = heads(tmp_path)
    assert len(found) == (3 if backend == "iptables" else 1) * (2 if node == "all" else 1)
    assert all(line.startswith("# Proved: read back") for line in found)


@pytest.mark.parametrize("backend", [b.value for b in Backend])
def test_without_it_the_head_says_that(tmp_path: Path, backend: str) -> None:
    made = compiled(SHOP, "--node", "node-a", "--backend", backend, "--no-prove", "-o", str(tmp_path))
    assert made.exit_code == 0, made.output
    assert set(heads(tmp_path)) == {"# Not proved: --no-prove."}


@pytest.mark.parametrize("backend", list(Backend))
def test_policies_alone_are_proved_for_whoever_is_in_their_sets(tmp_path: Path, backend: Backend) -> None:
    made = compiled(f"{SHOP}/policies.yaml", "--backend", backend.value, "-o", str(tmp_path))
    assert made.exit_code == 0, made.output
    given = "once every set holds what its comment says"
    claim = f"# Proved: read back, every packet fares as the policies say, {given} (netpolc verify repeats it)."
    assert set(heads(tmp_path)) == {claim}


@pytest.mark.parametrize(
    ("backend", "right", "wrong"),
    [
        (Backend.NFTABLES, "dport 8080 return", "dport 8081 return"),
        (Backend.IPTABLES, "--dport 8080 -j RETURN", "--dport 8081 -j RETURN"),
    ],
)
def test_a_wrong_text_is_shown_and_not_written(
    tmp_path: Path,
    emitted: Callable[[Backend, Callable[[str], str]], None],
    backend: Backend,
    right: str,
    wrong: str,
) -> None:
    emitted(backend, lambda text: text.replace(right, wrong))
    out = tmp_path / "out"
    arguments = (SHOP, "--node", "node-a", "--backend", backend.value, "-o", str(out))
    made = compiled(*arguments)
    assert made.exit_code == 70
    assert "do not mean what the policies say" in made.output
    assert "tcp/8080" in made.output or "tcp/8081" in made.output
    assert "p-tcp8080" in made.output
    assert not out.exists()
    assert compiled(*arguments, "--no-prove").exit_code == 0


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("ct state established,related", "meta l4proto { tcp, udp } fib bogus", "[unsupported]"),
        (
            "chain deny {",
            "chain deny {\n\t\tgoto deny",
            "error: the chain deny leads back to itself [circle]",
        ),
    ],
)
def test_what_cannot_be_proved_is_not_written(
    tmp_path: Path,
    emitted: Callable[[Backend, Callable[[str], str]], None],
    right: str,
    wrong: str,
    message: str,
) -> None:
    emitted(Backend.NFTABLES, lambda text: text.replace(right, wrong))
    out = tmp_path / "out"
    made = compiled(SHOP, "--node", "node-a", "-o", str(out))
    assert made.exit_code == 2
    assert message in made.output
    assert "error: rules that cannot be proved are not written; --no-prove writes them" in made.output
    assert not out.exists()


def test_a_layout_needs_no_proof(emitted: Callable[[Backend, Callable[[str], str]], None]) -> None:
    emitted(Backend.NFTABLES, lambda text: text.replace("dport 8080 return", "dport 8081 return"))
    assert compiled(SHOP, "--node", "node-a").exit_code == 70
    assert compiled(SHOP, "--node", "node-a", "--explain-layout").exit_code == 0


PROGRAM = """
zone world = iface eth0 except pods
policy guard priority 5 { deny world -> pods(namespace: shop) : tcp/22 }
node { deny world -> self : tcp/1-1024 }
"""


def program(folder: Path, text: str) -> str:
    path = folder / "edge.np"
    path.write_text(PROGRAM + text)
    return str(path)


@pytest.mark.parametrize("backend", [b.value for b in Backend])
def test_programs_are_proved(tmp_path: Path, backend: str) -> None:
    edge = program(tmp_path, "")
    made = compiled(SHOP, edge, "--node", "all", "--backend", backend, "-o", str(tmp_path / "rules"))
    assert made.exit_code == 0, made.output
    assert all(line.startswith("# Proved: read back") for line in heads(tmp_path / "rules"))


def test_a_wrong_text_of_a_program_is_not_written(
    tmp_path: Path, emitted: Callable[[Backend, Callable[[str], str]], None]
) -> None:
    emitted(Backend.NFTABLES, lambda text: text.replace("tcp dport 1-1024", "tcp dport 1-1023"))
    made = compiled(SHOP, program(tmp_path, ""), "--node", "node-a", "-o", str(tmp_path / "rules"))
    assert made.exit_code == 70
    assert f"node rule[0] ({tmp_path}/edge.np:4): deny world -> self : tcp/1-1024" in made.output
    assert not (tmp_path / "rules").exists()


def test_expectations_are_proved(tmp_path: Path) -> None:
    edge = program(tmp_path, "expect { world cannot reach pods(namespace: shop) : 22  world can reach self : 8080 }")
    made = compiled(SHOP, edge, "--node", "node-a", "-o", str(tmp_path / "rules"))
    assert made.exit_code == 0, made.output
    assert "note: no expectation constrains node rule[0]" in made.output
    assert "constrains policy" not in made.output


def test_an_expectation_that_fails_ends_the_run(tmp_path: Path) -> None:
    edge = program(tmp_path, "expect { world can reach self : 80 }")
    made = compiled(SHOP, edge, "--node", "node-a", "-o", str(tmp_path / "rules"))
    assert made.exit_code == 1
    assert f"{edge}:5:10: error: this does not hold: world can reach self : 80 [expectation]" in made.output
    assert "198.51.100.77 -> 198.51.100.77 tcp/80 (to the node, in by eth0)" in made.output
    assert "node rule[0]" in made.output
    assert not (tmp_path / "rules").exists()
    unproved = compiled(SHOP, edge, "--node", "node-a", "--no-prove")
    assert unproved.exit_code == 0
    assert "note: expectations are not proved: --no-prove" in unproved.output


def test_a_translation_that_nobody_does_is_missed(tmp_path: Path) -> None:
    edge = program(tmp_path, "expect { world : 80 translates to pods(namespace: shop) : 8080 }")
    made = compiled(SHOP, edge, "--node", "node-a")
    assert made.exit_code == 1
    assert "this does not hold: world : 80 translates to pods(namespace: shop) : 8080" in made.output

"""A long-lived ipset, in a real kernel: what it refuses, when it dies, and what is in force then."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

from enforcer.iptables import ipset
from enforcer.iptables.ipset import BULK, Failed, Ipset
from tests.kernel.namespace import Namespace

pytestmark = pytest.mark.kernel

CREATE = "create netpolc-a hash:ip family inet maxelem 4194304 -exist\n"


@pytest.fixture
def node() -> Iterator[Namespace]:
    fresh = Namespace()
    with fresh:
        yield fresh
    fresh.close()


@pytest.fixture
def pipe(node: Namespace) -> Iterator[Ipset]:
    made = Ipset()
    yield made
    made.close()


def members(node: Namespace, name: str = "netpolc-a") -> set[str]:
    lines = node.run("ipset", "save", name).splitlines()
    return {line.split()[2] for line in lines if line.startswith("add ")}


def children() -> set[int]:
    """Processes that this one started and that live."""
    found = subprocess.run(("ps", "-o", "pid=,comm=", "--ppid", f"{os.getpid()}"), capture_output=True, text=True)
    return {int(line.split()[0]) for line in found.stdout.splitlines() if "ipset" in line}


def test_one_process_takes_all_texts(node: Namespace, pipe: Ipset) -> None:
    pipe.run(CREATE)
    (first,) = children()
    for n in range(1, 200):
        pipe.run(f"# a remark\n\nadd netpolc-a 10.0.0.{n} -exist\n")
    pipe.run("del netpolc-a 10.0.0.7 -exist\ndel netpolc-a 10.0.0.7 -exist\n")
    assert children() == {first}
    assert members(node) == {f"10.0.0.{n}" for n in range(1, 200) if n != 7}


@pytest.mark.parametrize("many", [1, BULK], ids=["through the pipe", "in bulk"])
def test_what_is_refused_is_told_with_its_line(node: Namespace, pipe: Ipset, many: int) -> None:
    pipe.run(CREATE)
    lines = [f"add netpolc-a 10.0.{n >> 8}.{n & 255} -exist\n" for n in range(many)]
    with pytest.raises(Failed, match="The set with the given name does not exist") as error:
        pipe.run("".join(["# a remark\n", "\n", *lines, "add netpolc-b 10.0.0.1 -exist\n", *lines]))
    assert (error.value.line, error.value.passing) == (many + 3, False)
    assert "10.0.0.0" in members(node), "what stands before it is in force"
    pipe.run("add netpolc-a 10.9.9.9 -exist\n")
    assert "10.9.9.9" in members(node)


def test_several_refusals_tell_the_first(node: Namespace, pipe: Ipset) -> None:
    pipe.run(CREATE)
    with pytest.raises(Failed, match="line 2: Syntax error: Elem separator") as error:
        pipe.run("add netpolc-a 10.0.0.1 -exist\nadd netpolc-a nonsense,1 -exist\nadd netpolc-b 10.0.0.1\n")
    assert error.value.line == 2


def test_a_full_set_is_told(node: Namespace, pipe: Ipset) -> None:
    pipe.run("create netpolc-a hash:ip family inet maxelem 2 -exist\n")
    with pytest.raises(Failed, match=r"line 3: Hash is full, cannot add more elements"):
        pipe.run("".join(f"add netpolc-a 10.0.0.{n} -exist\n" for n in range(1, 5)))
    assert members(node) == {"10.0.0.1", "10.0.0.2"}


def test_another_set_of_the_name_is_refused(node: Namespace, pipe: Ipset) -> None:
    node.run("ipset", "create", "netpolc-a", "hash:net")
    with pytest.raises(Failed, match="set with the same name already exists"):
        pipe.run(CREATE)


def test_what_is_gone_need_not_be_destroyed(node: Namespace, pipe: Ipset) -> None:
    pipe.run(CREATE)
    pipe.run("destroy netpolc-b\ndestroy netpolc-a\n")
    assert node.run("ipset", "list", "-n") == ""


def test_a_set_in_use_is_waited_for_and_told(node: Namespace, pipe: Ipset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipset, "_RELEASE", 0.2)
    pipe.run(CREATE)
    node.run("iptables-legacy", "-A", "INPUT", "-m", "set", "--match-set", "netpolc-a", "src")
    began = time.monotonic()
    with pytest.raises(Failed, match="it is in use by a kernel component") as error:
        pipe.run("destroy netpolc-a\n")
    assert error.value.passing
    assert 0.2 <= time.monotonic() - began < 1


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_when_it_is_killed_another_one_goes_on(node: Namespace, pipe: Ipset, stop: signal.Signals) -> None:
    """At any moment: what it had taken of a text is taken again."""
    expected = set()
    for n in range(30):
        pipe.run(CREATE)
        (child,) = children()
        killer = Timer(n % 5 / 2000, os.kill, (child, stop))
        killer.start()
        fresh = {f"10.0.{n}.{m}" for m in range(200)}
        pipe.run("".join(f"add netpolc-a {address} -exist\n" for address in sorted(fresh)))
        killer.join()
        expected |= fresh
        assert members(node) == expected


def test_one_that_cannot_be_started_is_told(node: Namespace, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be started: No such file"):
        Ipset((os.fspath(tmp_path / "ipset"),)).run(CREATE)
    with pytest.raises(Failed, match="cannot be started: No such file"):
        Ipset((os.fspath(tmp_path / "ipset"),)).run(CREATE * BULK)


def test_one_that_dies_again_and_again_is_told(node: Namespace) -> None:
    with pytest.raises(Failed, match="it ends at once") as error:
        Ipset(("false",)).run(CREATE)
    assert error.value.passing


def test_one_that_says_nothing_is_given_up(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipset, "_PATIENCE", 0.1)
    silent = Ipset(("sh", "-c", "while read -r line; do :; done"))
    with pytest.raises(Failed, match="no answer in 0 s") as error:
        silent.run(CREATE)
    assert error.value.passing
    assert not children()


def test_a_flood_of_refusals_does_not_block(node: Namespace, pipe: Ipset) -> None:
    """Standard error holds 64 KiB."""
    with pytest.raises(Failed, match="line 1: The set with the given name"):
        pipe.run("add netpolc-none 10.0.0.1 -exist\n" * (BULK - 1))

"""What a program of the policy language costs: CPU seconds for `netpolc compile --no-prove` of 10,000 lines.

    python -m bench.language [--quick] [--write FILE]

200 sets with some 2,000 entries of both families, 100 services, 100 zones, 100 policy blocks, node, nat, mangle and
raw blocks, for a machine by itself. Parsing, checking, compiling and printing, and the start of the command line:
every number is that of a process of its own, the best of the repetitions. One more in front of them leaves Python's
bytecode, as an installation does. `--write` leaves the program in a file.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from compiler.backends.target import Backend

LINES, SETS = 10_000, 200
SECONDS = 5.0
_RULES, _FLOWS = 0.8, 0.15  # of the lines: rules of policy and node blocks; statements of the other tables


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.language", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the program, one repetition instead of three")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the program there and measure nothing")
    options = parser.parse_args(arguments)
    text = program(LINES // 10, SETS // 10) if options.quick else program()
    if options.write:
        options.write.write_text(text, encoding="utf-8")
        return
    print(f"# Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"{'':<52} {'measured':>10} {'target':>10} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "program.np"
        place.write_text(text, encoding="utf-8")
        for backend in Backend:
            options_ = ["compile", str(place), "--no-prove", "--no-failsafe", "--backend", backend.value]
            what = f"{text.count(chr(10)):,} lines, {backend.value}"
            _measure(what, options_, 1 if options.quick else 3)


def _measure(what: str, arguments: Sequence[str], times: int) -> None:
    netpolc = str(Path(sys.executable).with_name("netpolc"))
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    spent = []
    for _ in range(times + 1):
        before = _cpu()
        subprocess.run(
            [netpolc, *arguments], check=True, env=compiled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        spent.append(_cpu() - before)
    print(f"{what:<52} {min(spent[1:]):>10.2f} {SECONDS:>10.0f} {min(spent[1:]) / SECONDS:>7.2f}  s CPU", flush=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def program(lines: int = LINES, sets: int = SETS) -> str:
    """A program of so many lines; always the same."""
    random = Random(11)
    head = list(_definitions(random, sets))
    made = _Statements(random, sets)
    rules = int(lines * _RULES) // 120
    body: list[str] = []
    for n in range(100):
        body += [f"policy block-{n} priority {n} {{", *(f"  {made.rule()}" for _ in range(rules)), "}"]
    body += ["node {", *(f"  {made.own_rule()}" for _ in range(rules * 20)), "}"]
    flows = int(lines * _FLOWS) // 3
    for name, statement in (("nat", made.nat), ("mangle", made.mangle), ("raw", made.raw)):
        listed = sorted((statement() for _ in range(flows)), key=_kind)
        body += [f"{name} {{", *(f"  {one}" for one in listed), "}"]
    found = [*head, *body]
    found += ["# as long as was asked for"] * (lines - len(found))
    return "\n".join(found) + "\n"


def _kind(statement: str) -> tuple[str, bool]:
    """Statements stand in groups, as people write them: each change of what is excepted (loopback, of what is for the
    node itself) is one more chain in the last one, and nft follows 15."""
    return statement.split()[0], " to " in statement


def _definitions(random: Random, sets: int) -> Iterator[str]:
    for n in range(sets):
        entries = [_entry(random) for _ in range(random.choice((1, 2, 5, 10, 30)))]
        entries += [f"10.200.0.{n}", f"2001:db8:200::{n:x}"]  # somebody in both families
        yield f"set set-{n} = {{ {', '.join(entries)} }}"
    for n in range(sets // 2):
        ports = sorted({random.randint(1, 65535) for _ in range(random.choice((1, 2, 5)))})
        yield f"service service-{n} = tcp/{','.join(map(str, ports))} + udp/{random.randint(1, 65535)}"
    for n in range(sets // 2):
        one, other, port = random.randrange(sets), random.randrange(sets), f"iface eth{n % 8}.{n}"
        ends = (port, f"{port} and set-{one}", f"{{ set-{one}, set-{other} }}", f"set-{one} except 10.{n}.0.0/16")
        yield f"zone zone-{n} = {random.choice(ends)}"


def _entry(random: Random) -> str:
    a, b, c, d = (random.randint(1, 250) for _ in range(4))
    return random.choice(
        (
            f"10.{a}.{b}.{c}",
            f"172.16.{a}.0/24",
            f"172.17.{a}.0/24 except 172.17.{a}.{b}",
            f"192.0.{a}.{min(b, c)}-192.0.{a}.{max(b, c)}",
            f"2001:db8:{a:x}::{b:x}",
            f"2001:db8:{a:x}:{b:x}::/64",
            f"fd00:{d:x}::/48",
        )
    )


class _Statements:
    """Statements of every kind, over the names of `_definitions`."""

    def __init__(self, random: Random, sets: int) -> None:
        self._random = random
        self._sets = sets

    def rule(self) -> str:
        verb = self._one(("allow", "allow", "deny", "deny", "reject", "pass"))
        return f"{verb} {self._end()} -> {self._end()} : {self._ports()}{self._options()}"

    def own_rule(self) -> str:
        ends = f"{self._end()} -> self" if self._random.random() < 0.7 else f"self -> {self._target()}"
        return f"{self._one(('allow', 'deny', 'reject'))} {ends} : {self._ports()}{self._options()}"

    def nat(self) -> str:
        n = self._random.randint(1, 250)
        return self._one(
            (
                f"dnat {self._end()} : tcp/{self._port()} -> 10.0.0.{n} : {self._port()}",
                f"dnat {self._end()} to 192.0.2.{n} : udp/{self._port()} -> 10.0.0.{n}",
                f"masquerade {self._target()} -> iface eth0",
                f"snat 10.{n}.0.0/16 -> {self._target()} as 192.0.2.{n}",
                f"redirect {self._end()} : tcp/{self._port()} to {self._port()}",
                f"keep source for 10.{n}.0.0/16 -> {self._target()}",
            )
        )

    def mangle(self) -> str:
        flow = f"{self._target()} -> {self._target()} : {self._ports()}"
        mark = self._random.randint(1, 255)
        return self._one((f"mark {flow} {mark}/0xff", f"dscp {flow} af41", f"ttl set 9 for {flow}"))

    def raw(self) -> str:
        return self._one(
            (f"notrack {self._target()} -> {self._target()} : {self._ports()}", f"drop from {self._end()}")
        )

    def _end(self) -> str:
        zone = f"zone-{self._random.randrange(self._sets // 2)}"
        return self._one(("any", zone, zone, self._target(), self._target()))

    def _target(self) -> str:
        """An end that has addresses and no interfaces."""
        n = self._random.randint(1, 250)
        known = f"set-{self._random.randrange(self._sets)}"
        return self._one((known, known, f"{{ 10.{n}.0.0/16, 2001:db8:{n:x}::/48 }}"))

    def _ports(self) -> str:
        named = f"service-{self._random.randrange(self._sets // 2)}"
        one, other = self._port(), self._port()
        return self._one((named, named, f"tcp/{one}", f"udp/{one}", f"tcp/{one},{other}"))

    def _port(self) -> int:
        return self._random.randint(1, 65535)

    def _options(self) -> str:
        unless = f" unless from set-{self._random.randrange(self._sets)}"
        return self._one(("", "", "", ' log "seen" limit 5/min', f' "ticket {self._port()}"', unless))

    def _one(self, choices: Sequence[str]) -> str:
        return self._random.choice(choices)


if __name__ == "__main__":
    main()

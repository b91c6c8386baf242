"""What `netpolc optimize` of a large file costs: read, made fewer and better ordered, written, as the command does it.

    python -m bench.optimize [--rules N]

Files as `iptables-save -c` prints them, with hits by Zipf's law dealt to the rules at random, of Kubernetes' and of
ClassBench's shape, in one chain. CPU seconds and peak memory of the whole command: with every pass, with order alone,
and of both with the proof as well.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.rule_lists import ListedRule, classbench, kubernetes, zipf

SECONDS, MEGABYTES = 60, 2_048
_RULES = 100_000
_SHAPES: dict[str, Callable[[random.Random, int], Iterator[ListedRule]]] = {
    "Kubernetes": kubernetes,
    "ClassBench": classbench,
}
_WAYS = (
    ("order alone", ("--passes", "order", "--no-prove")),
    ("order alone, proved", ("--passes", "order")),
    ("every pass", ("--no-prove",)),
    ("every pass, proved", ()),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.optimize", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rules", type=int, default=_RULES, help=f"of each file (default {_RULES:,})")
    options = parser.parse_args(arguments)
    print(f"# Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"{'':<44} {'s CPU':>7} {'target':>7} {'ratio':>6} {'MiB':>7} {'target':>7} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for shape, make in _SHAPES.items():
            place = Path(folder, f"{shape}.save")
            place.write_text(text(make, options.rules), encoding="utf-8")
            for way, words in _WAYS:
                _measure(f"{shape} {options.rules:,}, {way}", place, words)


def text(make: Callable[[random.Random, int], Iterator[ListedRule]], count: int) -> str:
    """The same file for the same number."""
    draw = random.Random(count)
    rules = list(make(draw, count))
    hits = zipf(draw, len(rules))
    lines = [f"[{hit}:{60 * hit}] -A FORWARD {rule}" for hit, rule in zip(hits, rules, strict=True)]
    return "\n".join(["*filter", ":FORWARD ACCEPT [0:0]", *lines, "COMMIT", ""])


def _measure(name: str, place: Path, words: Sequence[str]) -> None:
    netpolc = str(Path(sys.executable).with_name("netpolc"))
    with subprocess.Popen(
        [netpolc, "optimize", str(place), "-o", str(place.with_suffix(".better")), *words], stderr=subprocess.DEVNULL
    ) as running:
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{name}: exit status {running.returncode}")
    seconds, megabytes = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    row = f"{name:<44} {seconds:>7.1f} {SECONDS:>7} {seconds / SECONDS:>6.2f}"
    print(f"{row} {megabytes:>7,.0f} {MEGABYTES:>7,} {megabytes / MEGABYTES:>6.2f}", flush=True)


if __name__ == "__main__":
    main()

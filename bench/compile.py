"""What a compile costs: CPU seconds and memory, the YAML reader's speed, and the start of the command line.

    python -m bench.compile [--quick]

Each part runs in a process of its own, so that none pays for the memory of another. Times are CPU seconds of that
process (user and system), the best of the repetitions; targets are the baselines of the ratios.

- *compile*: the rules of one node with 110 pods, out of 150,000 pods, 500 namespaces and 10,000 policies. It starts
  from parsed objects, as a daemon that just listed everything would: validated policies, pods, nothing else remembered.
- *yaml*: bytes to values with the position of every part; and further on to validated resources. Plain block style is
  read by our own reader, anything else by libyaml: an anchor makes the difference.
- *help*: `netpolc --help`.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pydantic
import yaml

from bench.big_cluster import NAMESPACES, PODS, POLICIES, big_cluster, pod_object, yaml_text
from compiler.backends.target import Backend, Target
from compiler.net import Family
from compiler.pipeline import Compiler
from compiler.snapshot import build
from compiler.sources.manifests import load
from grammar.manifest import documents

COMPILE_SECONDS, COMPILE_MEBIBYTES = 5.0, 400.0
YAML_MEGABYTES_A_SECOND = 6.0
HELP_SECONDS = 0.150


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    options = _options(arguments)
    if options.part:
        PARTS[options.part](options.quick)
        return
    print(f"# Linux {platform.release()}, Python {platform.python_version()}, pydantic {pydantic.VERSION}, ", end="")
    print(f"PyYAML {yaml.__version__}, {os.cpu_count()} CPUs")
    print(f"{'':<68} {'measured':>10} {'target':>10} {'ratio':>7}")
    for part in PARTS:
        again = ["--quick"] if options.quick else []
        subprocess.run([sys.executable, "-m", "bench.compile", "--part", part, *again], check=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compile", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a cluster of a tenth of the size, fewer repetitions")
    parser.add_argument("--part", choices=list(PARTS), help="this part alone, in this process")
    return parser.parse_args(arguments)


def _compile(backend: Backend, quick: bool) -> None:
    share = 10 if quick else 1
    gc.disable()  # as the command line does
    cluster = big_cluster(NAMESPACES // share, PODS // share, POLICIES // share)
    policies = load([("policies.yaml", yaml_text(cluster.policies).encode())]).policies
    pods, namespaces, nodes = cluster.pods, cluster.namespaces, cluster.nodes
    what = f"{backend.value}, {len(pods):,} pods, {len(policies):,} policies"
    del cluster
    before = _forget_peak()
    start = _cpu()
    compiler = Compiler(policies, build(pods, namespaces, nodes))
    del policies  # all that counts is in the compiler
    made = compiler.compile(Target(backend, "node-1", (Family.IPV4,)))
    spent, peak = _cpu() - start, _memory("VmHWM")
    size = sum(map(len, made.files.values())) / 1e6
    _row(f"compile, {what}", spent, COMPILE_SECONDS, "s CPU")
    _row(f"  peak memory ({before:.0f} MiB before, {size:.1f} MB of rules)", peak, COMPILE_MEBIBYTES, "MiB")


def _yaml(quick: bool) -> None:
    gc.disable()  # as the command line does
    share = 10 if quick else 1
    cluster = big_cluster(NAMESPACES // share, 10_000 // share, POLICIES // share)
    policies = yaml_text(cluster.policies)
    texts = {
        "policies": policies,
        "policies, each with an anchor": policies.replace("metadata:\n", "metadata: &it\n"),
        "pods": yaml_text(tuple(map(pod_object, cluster.pods))),
    }
    for what, text in texts.items():
        data = text.encode()
        size = len(data) / 1e6
        works: dict[str, Callable[[], object]] = {
            "read": lambda: list(documents("f.yaml", data, print)),  # noqa: B023 - called before the next turn
            "read and validated": lambda: load([("f.yaml", data)]),  # noqa: B023
        }
        for how, work in works.items():
            rate = size / _best(3, work)
            _row(f"yaml, {size:.1f} MB of {what}: {how}", rate, YAML_MEGABYTES_A_SECOND, "MB/s")


def _help(quick: bool) -> None:
    netpolc = str(Path(sys.executable).with_name("netpolc"))

    def run() -> None:
        subprocess.run([netpolc, "--help"], check=True, stdout=subprocess.DEVNULL)

    _row("netpolc --help", _best(3 if quick else 20, run, resource.RUSAGE_CHILDREN) * 1e3, HELP_SECONDS * 1e3, "ms CPU")


PARTS: dict[str, Callable[[bool], None]] = {
    **{backend.value: partial(_compile, backend) for backend in Backend},
    "yaml": _yaml,
    "help": _help,
}


def _row(what: str, measured: float, target: float, unit: str) -> None:
    print(f"{what:<68} {measured:>10.2f} {target:>10.0f} {measured / target:>7.2f}  {unit}", flush=True)


def _best(times: int, work: Callable[[], object], who: int = resource.RUSAGE_SELF) -> float:
    """The least CPU seconds of several repetitions."""
    spent = []
    for _ in range(times):
        start = _cpu(who)
        work()
        spent.append(_cpu(who) - start)
        gc.collect()
    return min(spent)


def _cpu(who: int = resource.RUSAGE_SELF) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _forget_peak() -> float:
    """Sets the peak of memory back to what is in use (proc(5), clear_refs), and returns that in MiB."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _memory("VmRSS")


def _memory(what: str) -> float:
    """A line of /proc/self/status in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024
    raise AssertionError(what)


if __name__ == "__main__":
    main()

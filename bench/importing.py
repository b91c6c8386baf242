"""What an import of large rulesets costs, the proof included.

    python -m bench.importing [--rules N] [--part NAME]

Each part runs in a process of its own and prints CPU seconds; the target is the baseline of the ratio.

- *server*: 5,000 rules in chains of filter, one chain for each of many services, with sources, ports, logs and answers;
- *kube*: 5,000 rules of kube-proxy in iptables mode: services, endpoints by chance, marks, masquerading.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.kube_proxy import rules
from compiler.cli.importing import command

SECONDS = 20.0
_RULES = 5_000
_REPLIES = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.importing", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rules", type=int, default=_RULES, help="how many in each part, about")
    parser.add_argument("--part", choices=list(PARTS), help="this part alone, in this process")
    options = parser.parse_args(arguments)
    if options.part:
        _measure(options.part, PARTS[options.part](options.rules))
        return
    print(f"# Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"{'':<52} {'measured':>10} {'target':>10} {'ratio':>7}")
    for part in PARTS:
        rules = ["--rules", str(options.rules)]
        subprocess.run([sys.executable, "-m", "bench.importing", "--part", part, *rules], check=True)


def server(count: int) -> str:
    """About so many rules of filter; the same text for the same number."""
    dice = random.Random(count)
    services = count // 10
    lines = ["*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines += [f":svc-{n} - [0:0]" for n in range(services)]
    lines += [f"-A INPUT {_REPLIES}", "-A INPUT -i lo -j ACCEPT", f"-A FORWARD {_REPLIES}"]
    for n in range(services):
        target = f"10.{1 + n // 250}.{n % 250}.0/24"
        lines.append(f"-A FORWARD -d {target} -p tcp -m tcp --dport {1000 + n} -j svc-{n}")
        for _ in range(7):
            source = f"172.{dice.randrange(16, 32)}.{dice.randrange(256)}.0/24"
            verdict = dice.choice(("ACCEPT", "ACCEPT", "DROP", "RETURN", "REJECT --reject-with tcp-reset"))
            lines.append(f"-A svc-{n} -s {source} -i eth{dice.randrange(4)} -p tcp -j {verdict}")
        lines.append(f'-A svc-{n} -j LOG --log-prefix "svc-{n} "')
        lines.append(f"-A svc-{n} -j DROP")
    return "\n".join([*lines, "COMMIT", ""])


def _kube(count: int) -> str:
    return rules(count * 11 // 125)


PARTS = {"server": server, "kube": _kube}


def _measure(part: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "rules.save")
        place.write_text(text)
        told = io.StringIO()
        begin = time.process_time()
        quiet = contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO())
        with quiet[0], quiet[1], contextlib.suppress(SystemExit):
            command.main([str(place)], standalone_mode=False)
        spent = time.process_time() - begin
    gc.collect()
    proved = "proved" if "\nproved: " in told.getvalue() else "not proved"
    count = text.count("\n-A")
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    name = f"{part}: {count} rules, {proved}, {megabytes:.0f} MB"
    print(f"{name:<52} {spent:>8.1f} s {SECONDS:>8.1f} s {spent / SECONDS:>7.2f}")


if __name__ == "__main__":
    main()

"""Texts of both tools by hand, as short lines, and the proof that they mean what a program says."""

from __future__ import annotations

from compiler.analysis.proof import Proof, Prover
from compiler.resources.cluster import Pod
from compiler.snapshot import build
from compiler.sources.language import load

_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_NAT = {"PREROUTING": "dstnat", "OUTPUT": "dstnat", "POSTROUTING": "srcnat"}


def pod(name: str, *ips: str) -> Pod:
    return Pod("default", name, {"app": "shop"}, ips, node="n1")


SHOP = build([pod("a", "10.0.0.1", "fd00::1"), pod("b", "10.0.0.2"), pod("c", "10.0.0.3")], [], [])


def nft(text: str) -> str:
    """Lines of "TABLE HOOK rule" as a script."""
    chains: dict[tuple[str, str], list[str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        table, hook, rule = line.split(maxsplit=2)
        chains.setdefault((table, hook), []).append(rule)
    parts = []
    for (table, hook), rules in chains.items():
        if hook not in _HOOKS:
            parts.append("\n".join([f"chain {hook} {{", *rules, "}"]))
            continue
        kind = "nat" if table == "nat" else "route" if (table, hook) == ("mangle", "OUTPUT") else "filter"
        base = f"type {kind} hook {hook.lower()} priority {_NAT[hook] if table == 'nat' else table};"
        parts.append("\n".join([f"chain {table}-{hook} {{ {base}", *rules, "}"]))
    return "\n".join(["table inet t {", *parts, "}", ""])


def saved(text: str, version: int) -> str:
    """Lines of "TABLE HOOK rule" as of iptables-save; those that begin with a family are for that alone."""
    tables: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        family, rest = line.split(maxsplit=1) if line[0] in "46" else (str(version), line)
        table, rule = rest.split(maxsplit=1)
        if family == str(version):
            tables.setdefault(table, []).append(f"-A {rule}")
    lines = [f"# ip{'6' * (version == 6)}tables"]
    for table, rules in tables.items():
        chains = dict.fromkeys(rule.split()[1] for rule in rules)
        lines += [f"*{table}", *(f":{name} - [0:0]" for name in chains if name not in _HOOKS), *rules, "COMMIT"]
    return "\n".join([*lines, ""])


def proved(program: str, texts: list[str]) -> Proof:
    source = f"zone world = iface eth0 zone shop = pods(app=shop)\n{program}".encode()
    read = load([("edge.np", source)], lambda name, _: name)
    return Prover([], SHOP, read).prove(None, [(f"{n}.txt", text) for n, text in enumerate(texts)])

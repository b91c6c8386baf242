"""Planted mistakes: small changes of emitted texts and of rulesets in front of passes and back ends, each judged by the
proof and, on many packets, by the tracer.

    python -m tests.property.mutants [--clusters 60] [--seed 1]

A mutant that changes the verdict of any packet must be caught by the proof alone; what the proof lets through is
listed, and the tracer must find no packet on which it differs from the original.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from compiler.backends import iptables, nftables
from compiler.backends.target import Backend, Target
from compiler.errors import NetpolcError
from compiler.ir import ruleset as ir
from compiler.pipeline import PASSES, Compiler
from compiler.semantics.boundaries import boundaries
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.packet import ICMPV6, packets
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.journey import Route, Situation
from compiler.semantics.rules.netfilter import Ruleset, State
from compiler.semantics.rules.trace import Tracer
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import load
from grammar.ruletext import Refused
from tests.property.scenarios import scenario

#: What a mutant of each kind does to one line; None: nothing to do there.
Operator = Callable[[str, Random], str | None]
_PACKETS = 400


def _swap(old: str, new: str) -> Operator:
    def mutate(line: str, chosen: Random) -> str | None:
        found = re.sub(old, new, line, count=1)
        return None if found == line else found

    return mutate


def _number(line: str, chosen: Random) -> str | None:
    """A port, or an end of a range of ports, one off."""
    found = list(re.finditer(r"(?<=dport )\d+|(?<=dports )\d+|(?<=[:,-])\d+(?=[ ,]|$)", line))
    if not found:
        return None
    at = chosen.choice(found)
    return line[: at.start()] + str((int(at[0]) + chosen.choice((-1, 1))) % 65536) + line[at.end() :]


def _address(line: str, chosen: Random) -> str | None:
    """Another last byte in an address."""
    found = list(re.finditer(r"(?<=\d\.)\d{1,3}(?=[/ ,:;]|$)", line))
    if not found:
        return None
    at = chosen.choice(found)
    return line[: at.start()] + str((int(at[0]) + chosen.choice((1, 16, 255))) % 256) + line[at.end() :]


def _length(line: str, chosen: Random) -> str | None:
    """A block of twice or half the size."""
    found = re.search(r"(?<=/)\d+(?= )", line)
    if found is None:
        return None
    return line[: found.start()] + str(max(0, int(found[0]) - 1)) + line[found.end() :]


OPERATORS: Mapping[str, Operator] = {
    "line gone": lambda line, chosen: "",
    "line twice": lambda line, chosen: f"{line}\n{line}",
    "drop -> return": _swap(r"\bcounter drop|\bdrop\b|(?<=-j )DROP", "return"),
    "return -> drop": _swap(r"\breturn\b", "drop"),
    "RETURN -> DROP": _swap(r"-j RETURN", "-j DROP"),
    "accept -> drop": _swap(r"\baccept$", "drop"),
    "goto -> jump": _swap(r"\bgoto\b", "jump"),
    "-g -> -j": _swap(r" -g ", " -j "),
    "jump -> goto": _swap(r"\bjump\b", "goto"),
    "tcp -> udp": _swap(r"\btcp\b", "udp"),
    "udp -> sctp": _swap(r"\budp\b", "sctp"),
    "source -> destination": _swap(r"\bsaddr\b", "daddr"),
    "-s -> -d": _swap(r" -s ", " -d "),
    "src -> dst": _swap(r" src ", " dst "),
    "destination -> source": _swap(r"\bdaddr\b", "saddr"),
    "established -> new": _swap(r"\bestablished\b", "new"),
    "ESTABLISHED -> NEW": _swap(r"\bESTABLISHED\b", "NEW"),
    "related gone": _swap(r",related|,RELATED", ""),
    "hop limit": _swap(r"\b255\b", "254"),
    "ICMP type": _swap(r"\b13[356]\b", "134"),
    "type local -> unicast": _swap(r"type local|LOCAL", "type unicast"),
    "a port off": _number,
    "an address off": _address,
    "a block wider": _length,
}


@dataclass(slots=True)
class Tally:
    """`caught`, and `refused` by the readers or as unprovable, by operator. `equal`: mutants that mean the same, as
    the proof says and the tracer does not deny. `missed`: those where the tracer does."""

    caught: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    equal: list[tuple[str, str]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """Mutants that loaded, of which the text is another."""
        return self.caught.total() + len(self.equal) + len(self.missed)


def run(tally: Tally, seed: int, each: int) -> None:
    """Mutants for the node with most pods of one random cluster: `each` for every file of rules, and as many for every
    back end's ruleset."""
    chosen = Random(seed)
    found = load([("scenario.json", scenario(Random(seed)).text)])
    referred = {p.value.metadata.namespace or "default" for p in found.policies if p.value.kind == "NetworkPolicy"}
    snapshot = build(found.pods, found.namespaces, found.nodes, referred)
    policies = [located.value for located in found.policies]
    nodes = Counter(pod.node for pod in snapshot.pods if pod.holds_addresses)
    if not nodes:
        return
    node = nodes.most_common(1)[0][0]
    asked = list(situations(policies, snapshot, node, seed))
    compiler = Compiler(found.policies, snapshot)
    for backend in Backend:
        target = Target(backend, node)
        files = compiler.compile(target).files
        before = rulesets.read(files.items())
        assert isinstance(verify(policies, snapshot, node, before), Equal), "the original"
        changed = [
            (operator, f"{name}: {line.strip()}", {**files, name: mutant})
            for name, text in files.items()
            for operator, line, mutant in mutants_of(text, chosen, each)
        ]
        changed += ((operator, what, texts) for operator, what, texts in _deeper(compiler, target, chosen, each))
        for operator, what, texts in changed:
            if texts == files:
                continue
            try:
                after = rulesets.read(texts.items())
                said = verify(policies, snapshot, node, after)
            except (Refused, Unprovable):
                tally.refused[operator] += 1
                continue
            if not isinstance(said, Equal):
                tally.caught[operator] += 1
            elif (case := differs(before, after, asked)) is not None:
                tally.missed.append(f"seed {seed}, {operator}: {what}: {case}")
            else:
                tally.equal.append((operator, what))


def mutants_of(text: str, chosen: Random, count: int) -> Iterator[tuple[str, str, str]]:
    """(operator, line, whole text), with one line changed."""
    lines = text.split("\n")
    silent = ("#", "*", ":", "COMMIT")
    places = [n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(silent)]
    for _ in range(count if places else 0):
        name = chosen.choice(list(OPERATORS))
        for n in chosen.sample(places, min(len(places), 60)):
            changed = OPERATORS[name](lines[n], chosen)
            if changed is not None:
                yield name, lines[n], "\n".join([*lines[:n], changed, *lines[n + 1 :]])
                break


def _deeper(
    compiler: Compiler, target: Target, chosen: Random, count: int
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(operator, what was changed, files): mistakes of lowering, which passes and back end carry on."""
    whole = compiler._lower(target)
    emit = {Backend.NFTABLES: nftables.emit, Backend.IPTABLES: iptables.emit}[target.backend]
    for _ in range(count):
        operator, what, mutant = _changed(whole, chosen)
        try:
            for step in PASSES:
                mutant = step(mutant, target.capabilities)
            yield operator, what, emit(mutant)
        except (NetpolcError, AssertionError, LookupError):
            continue  # the compiler itself does not let it through


def _changed(whole: ir.Ruleset, chosen: Random) -> tuple[str, str, ir.Ruleset]:
    if chosen.random() < 0.3 and any(found.elements for found in whole.maps):
        at = chosen.choice([n for n, found in enumerate(whole.maps) if found.elements])
        found = whole.maps[at]
        gone = chosen.randrange(len(found.elements))
        new = replace(found, elements=found.elements[:gone] + found.elements[gone + 1 :])
        return "map element gone", found.name, replace(whole, maps=(*whole.maps[:at], new, *whole.maps[at + 1 :]))
    chains = [n for n, chain in enumerate(whole.chains) if chain.rules]
    at = chosen.choice(chains)
    chain, rules = whole.chains[at], list(whole.chains[at].rules)
    n = chosen.randrange(len(rules))
    rule, operator = rules[n], chosen.choice(("rule gone", "rules swapped", "verdict", "match gone"))
    if operator == "rules swapped" and n:
        rules[n - 1], rules[n] = rules[n], rules[n - 1]
    elif operator == "verdict" and isinstance(rule, ir.Rule):
        rules[n] = replace(rule, verdict=ir.Return() if isinstance(rule.verdict, ir.Drop | ir.Goto) else ir.Drop())
    elif operator == "match gone" and isinstance(rule, ir.Rule) and rule.matches:
        rules[n] = replace(rule, matches=rule.matches[1:])
    else:
        operator = "rule gone"
        del rules[n]
    new_chain = replace(chain, rules=tuple(rules))
    return (
        operator,
        f"{chain.name}, rule {n}",
        replace(whole, chains=(*whole.chains[:at], new_chain, *whole.chains[at + 1 :])),
    )


def situations(policies: list[AnyPolicy], snapshot: Snapshot, node: str, seed: int) -> Iterator[Situation]:
    """First packets at every edge on every path, and some replies and neighbour discovery."""
    own = {address for pod in snapshot.pods if pod.holds_addresses for address in pod.ips}
    nodes = {address for found in snapshot.nodes.values() for address in found.ips}
    local = frozenset(snapshot.nodes[node].ips if node in snapshot.nodes else ())
    for packet in packets(boundaries(policies, snapshot), _PACKETS, seed, sorted(own)):
        if packet.src in local:
            yield Situation(packet, Route.SENT, local, "", "out", State.NEW)
        elif packet.dst in local or packet.src not in nodes:
            for state in (State.NEW, State.NEW, State.ESTABLISHED, State.RELATED)[packet.sport % 2 :: 2]:
                yield Situation(packet, Route.ARRIVES, local, "in", "out", state)
            if packet.version == 6:
                for kind in range(133, 138):
                    asking = replace(packet, proto=ICMPV6, icmp_type=kind, hop_limit=255 + (packet.dst not in local))
                    yield Situation(asking, Route.ARRIVES, local, "in", "out", State.NEW)


def differs(one: Ruleset, two: Ruleset, asked: list[Situation]) -> Situation | None:
    """A packet that the tracer sees fare otherwise."""
    before, after = Tracer(one), Tracer(two)
    for situation in asked:
        if before.trace(situation).passed != after.trace(situation).passed:
            return situation
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.property.mutants", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--clusters", type=int, default=60)
    parser.add_argument("--each", type=int, default=12, help="mutants of each text")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally = Tally()
    for seed in range(options.seed, options.seed + options.clusters):
        run(tally, seed, options.each)
    print(f"{tally.changed} mutants, {tally.caught.total()} caught by the proof, {len(tally.equal)} mean the same")
    print(f"{tally.refused.total()} more are refused by the readers")
    alike = Counter((operator, re.sub(r"[\w.:/-]*\d[\w.:/-]*", "#", what)) for operator, what in tally.equal)
    for (operator, what), count in alike.most_common():
        print(f"  the same: {operator}: {what[:110]}" + (f" ({count} times)" if count > 1 else ""))
    for line in tally.missed:
        print(f"  MISSED: {line}")


if __name__ == "__main__":
    main()

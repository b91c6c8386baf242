"""Policies alone: what they say of every cluster is what the oracle says of each, what the compiler emits is proved
equal to it, and a planted mistake is shown in a cluster that has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.semantics.boundaries import boundaries
from compiler.semantics.diagrams.diagram import NOTHING
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.space import ACCEPT, DROP, Path, space
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet, packets
from compiler.semantics.proof.case import said
from compiler.semantics.proof.facts import ENDS, KIND, NEITHER, NODE, POD, Facts
from compiler.semantics.proof.policies_alone import Clauses, PoliciesAlone
from compiler.semantics.proof.verify import Different, Equal, Witness
from compiler.semantics.proof.verify_alone import AloneVerifier
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.netfilter import Field
from compiler.semantics.verdict import Because
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import Located, load
from grammar.ruletext import Refused
from tests.compiler.semantics.test_policy_diagram import cases, values
from tests.property.filling import filled
from tests.property.mutants import differs, mutants_of, situations
from tests.property.scenarios import Scenario, scenario, scenarios

SET = re.compile(r"\b(netpolc-)?s[46]-[a-z0-9]+-[a-z0-9-]+")
WORDS = re.compile(r"\bpods\([^)]*")
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def loaded(made: Scenario) -> tuple[tuple[Located, ...], Snapshot]:
    found = load([("scenario.json", made.text)])
    referred = {p.value.metadata.namespace or "default" for p in found.policies if p.value.kind == "NetworkPolicy"}
    return tuple(found.policies), build(found.pods, found.namespaces, found.nodes, referred)


def alone(snapshot: Snapshot, with_nodes: bool) -> Snapshot:
    """What is left of a cluster without its pods."""
    return build((), snapshot.namespaces.values(), snapshot.nodes.values() if with_nodes else ())


def facts_of(facts: Facts, snapshot: Snapshot, packet: Packet) -> dict[int, int]:
    """What is true of the packet's ends in this cluster."""
    oracle = Oracle((), snapshot)
    point: dict[int, int] = {}
    for end in ENDS:
        address = packet.src if end is Field.SOURCE else packet.dst
        pod = oracle.holder(address)
        node = next((node for node in snapshot.nodes.values() if address in node.ips), None)
        point[facts.level(end, KIND)] = POD if pod is not None else NODE if node is not None else NEITHER
        spaces = oracle.namespace_labels(pod.namespace) if pod is not None else {}
        labels = {
            "pod": pod.labels if pod is not None else {},
            "namespace": spaces,
            "node": node.labels if node is not None else {},
        }
        for label, choices in facts.choices.items():
            value = labels[label.of].get(label.key)
            point[facts.level(end, label)] = choices.index(value) if value in choices else len(choices) - 1
    server = oracle.holder(packet.dst)
    for (name, _, _), level in facts.serving.items():
        ports = server.ports if server is not None else ()
        number = {"TCP": 6, "UDP": 17, "SCTP": 132}
        point[level] = any((p.name, number[p.protocol], p.port) == (name, packet.proto, packet.dport) for p in ports)
    point[facts.same] = server is not None and server is oracle.holder(packet.src)
    return point


@SLOW
@given(scenarios)
def test_it_says_what_the_oracle_says_of_any_cluster(made: Scenario) -> None:
    """Here of one that the policies were not told of."""
    policies, snapshot = loaded(made)
    known = [located.value for located in policies]
    oracle = Oracle(known, snapshot)
    asked = list(packets(boundaries(known, snapshot), 150, 0))
    for with_nodes in (False, True):
        for version in (4, 6):
            clauses, over = Clauses(known, alone(snapshot, with_nodes), version), space(version)
            facts = Facts(over, [who for clause in clauses.all() for who in clause.meant()])
            side = PoliciesAlone(clauses, facts, over)
            whole = {path: side.at(path) for path in Path}
            gone = facts.impossible([(0, over.made.sizes[over.source] - 1)], (), NOTHING, NOTHING)
            for n, packet in enumerate(asked):
                if packet.version != version:
                    continue
                point = facts_of(facts, snapshot, packet)
                for case in cases(packet, n):
                    at, judged = {**values(case), **point}, said(oracle, None, case)
                    assert over.made.says(gone, at) == "nothing", "this cluster is one"
                    if case.path is Path.INPUT and oracle.holder(packet.dst) is not None:
                        continue  # to a pod, not to the machine
                    if any(ruling.because is Because.OWN_NODE for ruling in judged.rulings.values()):
                        continue  # a node's own packets to its pods leave through OUTPUT with a local source
                    verdict = over.made.says(whole[case.path], at)
                    assert verdict == (ACCEPT if judged.allowed else DROP), (case, with_nodes)


@SLOW
@given(scenarios)
def test_emitted_texts_are_equal(made: Scenario) -> None:
    policies, snapshot = loaded(made)
    for with_nodes in (False, True):
        given_alone = alone(snapshot, with_nodes)
        compiler = Compiler(policies, given_alone)
        verifier = AloneVerifier([located.value for located in policies], given_alone)
        for backend in Backend:
            found = verifier.verify(None, rulesets.read(compiler.compile(Target(backend)).files.items()))
            assert isinstance(found, Equal), (backend, with_nodes, found.witnesses[0])


@pytest.mark.parametrize("backend", list(Backend))
def test_planted_mistakes_are_shown_where_they_are_made(backend: Backend) -> None:
    """Each witness is one: in its cluster the oracle says what is claimed, and the text with its sets filled, packet by
    packet, does what is claimed. A mutant that is proved equal does the same as the original in a cluster of which the
    proof was not told."""
    caught = equal = 0
    for seed in range(60, 65):
        policies, snapshot = loaded(scenario(Random(seed)))
        known = [located.value for located in policies]
        given_alone = alone(snapshot, seed % 2 == 0)
        files = Compiler(policies, given_alone).compile(Target(backend)).files
        before = rulesets.read(files.items())
        verifier = AloneVerifier(known, given_alone)
        asked = list(situations(known, snapshot, "n0", seed))[:: len(Backend) * 8]
        for what, texts in planted(files, Random(seed)):
            try:
                after = rulesets.read(texts.items())
                found = verifier.verify(None, after)
            except (Refused, Unprovable):
                continue
            if isinstance(found, Different):
                caught += 1
                for witness in found.witnesses:
                    assert isinstance(witness, Witness)
                    assert is_genuine(witness), (seed, what, witness)
            else:
                equal += 1
                assert differs(filled(before, snapshot), filled(after, snapshot), asked) is None, (seed, what)
    assert caught > 25
    assert equal < 60


def planted(files: Mapping[str, str], chosen: Random) -> Iterator[tuple[str, dict[str, str]]]:
    """Mistakes in one line of one file each, as everywhere; and of those sets: a rule asks another one, or a set's
    words say something else."""
    for name, text in files.items():
        for operator, line, mutant in mutants_of(text, chosen, 18 // len(files)):
            yield f"{operator}: {line}", {**files, name: mutant}
        lines = text.split("\n")
        asking = [n for n, line in enumerate(lines) if SET.search(line) and not line.startswith(("#", "add", "create"))]
        names = sorted({found[0] for n in asking for found in SET.finditer(lines[n])})
        saying = [n for n, line in enumerate(lines) if WORDS.search(line)]
        for n in chosen.sample(asking, min(len(asking), 3)):
            other = chosen.choice(names)
            yield f"{other}: {lines[n]}", {**files, name: changed(lines, n, SET.sub(other, lines[n], count=1))}
        for n in chosen.sample(saying, min(len(saying), 3)):
            new = WORDS.sub("pods(other", lines[n])
            yield f"other words: {lines[n]}", {**files, name: changed(lines, n, new)}


def changed(lines: list[str], at: int, line: str) -> str:
    return "\n".join([*lines[:at], line, *lines[at + 1 :]])


def is_genuine(witness: Witness) -> bool:
    passed = witness.found == ACCEPT
    if witness.found not in (ACCEPT, DROP) or witness.case.others:
        return True  # a statement that nobody knows, or bits of one address, which diagrams take for anything
    assert witness.trace is not None
    # A router takes one off, so that no packet shows what rules do with the highest hop limit.
    shown = witness.case.path is Path.FORWARD and witness.case.packet.hop_limit == 255
    return witness.said.allowed is not passed and (shown or witness.trace.passed is passed)


def test_unlike_labels_at_both_ends_cost_no_more_than_they_are() -> None:
    """Each policy asks its own label of its own peer: with all questions about one end in front of those about the
    other, a diagram would have to remember the answers to all of them, and double with each policy."""
    one = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{0}, namespace: a}}\nspec:\n"
    one += "  podSelector: {{matchLabels: {{k{0}: v}}}}\n"
    one += "  ingress: [{{from: [{{podSelector: {{matchLabels: {{m{0}: v}}}}}}]}}]\n---\n"
    policies = load([("f.yaml", "".join(one.format(n) for n in range(60)).encode())]).policies
    clauses = Clauses((located.value for located in policies), build(), 4)
    over = space(4)
    wanted = PoliciesAlone(clauses, Facts(over, (who for clause in clauses.all() for who in clause.meant())), over)
    wanted.at(Path.FORWARD)
    assert len(over.made) < 10_000

"""Reading policies and the cluster they are about, for the commands that answer questions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

import click

from compiler.analysis.standins import with_stand_ins
from compiler.cli.inputs import LANGUAGE, SUFFIXES, including, texts
from compiler.errors import InvalidInput, Unreadable
from compiler.policy import Policy
from compiler.resolve.failsafe import Session
from compiler.resources.language import NO_PROGRAM, Program
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import Manifests, load


def read(inputs: Sequence[str], lenient: bool = False) -> Manifests:
    """What the inputs hold; warnings go to standard error."""
    return _read(texts(inputs), lenient)


def _read(content: Iterable[tuple[str, bytes]], lenient: bool) -> Manifests:
    found = load(content, lenient=lenient)
    for warning in found.warnings:
        click.echo(warning.render(), err=True)
    if found.skipped:
        passed = ", ".join(f"{count} {kind}" for kind, count in sorted(found.skipped.items()))
        click.echo(f"note: passed over: {passed}", err=True)
    return found


def read_objects(inputs: Sequence[str]) -> Manifests:
    """What the inputs hold of Kubernetes' objects; files of the policy language are passed over."""
    found = texts(inputs, (*SUFFIXES, LANGUAGE))
    return _read(((name, data) for name, data in found if not name.endswith(LANGUAGE)), lenient=True)


def read_all(inputs: Sequence[str], lenient: bool = False) -> tuple[Manifests, Program]:
    """What the inputs hold, files of the policy language among them. Raises InvalidInput for all that is wrong."""
    found = list(texts(inputs, (*SUFFIXES, LANGUAGE)))
    programs = [(name, data) for name, data in found if name.endswith(LANGUAGE)]
    objects = [(name, data) for name, data in found if not name.endswith(LANGUAGE)]
    if not programs:
        return _read(objects, lenient), NO_PROGRAM
    wrong: list[InvalidInput] = []
    try:
        manifests = _read(objects, lenient)
    except InvalidInput as error:
        wrong.append(error)
    try:
        from compiler.sources import language  # here, as the parser costs a tenth of a second

        program = language.load(programs, including(name for name, _ in programs))
    except InvalidInput as error:
        wrong.append(error)
    if wrong:
        problems = [one for error in wrong for one in error.diagnostics]
        raise InvalidInput(problems, sum(error.more for error in wrong), any(error.gave_up for error in wrong))
    return manifests, program


def ssh_sessions() -> tuple[Session, ...]:
    """The SSH session that this is run in (sshd(8): client's address and port, server's address and port): one with
    netpolc's machine, which may be the one that the rules are for."""
    client, _, port = os.environ.get("SSH_CONNECTION", "").partition(" ")
    port = port.rpartition(" ")[2]
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return ()
    return (Session(address, int(port)),) if port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16 else ()


def snapshot(found: Manifests, *policies: Manifests) -> Snapshot:
    """The cluster of these manifests; policies may be in namespaces that nothing else names."""
    own = {
        located.value.metadata.namespace or "default"
        for one in (found, *policies)
        for located in one.policies
        if located.value.kind == "NetworkPolicy"
    }
    return build((*found.pods, *found.templates), found.namespaces, found.nodes, own)


def peopled(policies: Sequence[Policy], cluster: Snapshot) -> Snapshot:
    """The cluster with pods for workloads that have none. Raises Unreadable when it has nobody at all."""
    found, count = with_stand_ins(policies, cluster)
    if count:
        some = "1 workload has" if count == 1 else f"{count} workloads have"
        click.echo(f"note: {some} no pod with an address: stand-ins that as few ipBlocks as possible hold", err=True)
    if not any(pod.holds_addresses for pod in found.pods):
        raise Unreadable(
            "no pod with an address and no workload in the input, so nobody to tell of; "
            "to name them: kubectl get pods,namespaces,nodes -A -o yaml"
        )
    return found

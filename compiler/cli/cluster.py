"""Reading policies and the cluster they are about, for the commands that answer questions."""

from __future__ import annotations

from collections.abc import Sequence

import click

from compiler.analysis.standins import with_stand_ins
from compiler.cli.inputs import texts
from compiler.errors import Unreadable
from compiler.policy import Policy
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import Manifests, load


def read(inputs: Sequence[str], lenient: bool = False) -> Manifests:
    """What the inputs hold; warnings go to standard error."""
    found = load(texts(inputs), lenient=lenient)
    for warning in found.warnings:
        click.echo(warning.render(), err=True)
    if found.skipped:
        passed = ", ".join(f"{count} {kind}" for kind, count in sorted(found.skipped.items()))
        click.echo(f"note: passed over: {passed}", err=True)
    return found


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

"""`netpolc diff`: what a change of policies opens and closes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

import click

from compiler.analysis import diff_text
from compiler.analysis.diff import Diff, Side, diff
from compiler.analysis.workloads import Workload, workloads
from compiler.cli.cluster import peopled, read, snapshot
from compiler.errors import NetpolcError
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Manifests
from compiler.translate import translate

FORMATS = {"text": diff_text.text, "json": diff_text.json_text}
FAIL_ON = ("opened", "closed", "any", "none")


@click.command("diff", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--cluster", metavar="INPUT", multiple=True, help="Pods, namespaces and nodes for both sides.")
@click.option(
    "--fail-on", type=click.Choice(FAIL_ON), default="opened", show_default=True, help="What ends with exit status 1."
)
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="Of the answer."
)
@click.option("--lenient", is_flag=True, help="Unknown fields outside spec and CIDRs with host bits only warn.")
def command(old: str, new: str, cluster: tuple[str, ...], fail_on: str, form: str, lenient: bool) -> None:
    """Tell what a change of policies opens and what it closes, and which rules do.

    OLD and NEW are YAML or JSON files, folders of them, or - for standard input. Policies are compared on one cluster
    where one can be had: that of --cluster, or the pods and workloads of the only side that has some. Where both
    have, each side is asked about its own, and pods are the same by their names.

    Exit status: 0 nothing of what --fail-on names, 1 something, 2 bad input.
    """
    gc.disable()  # a short run whose objects all live to its end
    try:
        sides = [read([name], lenient) for name in (old, new)]
        clusters = _clusters(sides, read(cluster, lenient) if cluster else None)
        found = diff(*(Side(side.policies, one) for side, one in zip(sides, clusters, strict=True)))
        sys.stdout.write(FORMATS[form](found, _workloads(clusters)))
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    sys.exit(1 if _fails(found, fail_on) else 0)


def _clusters(sides: Sequence[Manifests], given: Manifests | None) -> list[Snapshot]:
    """The cluster of each side. Workloads without pods get the same stand-ins on both."""
    policies = translate(located for side in sides for located in side.policies)
    if given is not None and given.policies:
        click.echo(f"note: --cluster: {len(given.policies)} policies are passed over", err=True)
    with_people = [side for side in sides if side.pods or side.templates]
    if given is None and len(with_people) == 2:
        return [peopled(policies, snapshot(side)) for side in sides]
    people = given if given is not None else (with_people or sides)[0]
    return [peopled(policies, snapshot(people, *sides))] * 2


def _workloads(clusters: Sequence[Snapshot]) -> tuple[Workload, ...]:
    """The pods of both sides by workload."""
    pods = {(pod.namespace, pod.name): pod for one in clusters for pod in one.pods if pod.holds_addresses}
    templates = {(pod.namespace, pod.name): pod for one in clusters for pod in one.pods if pod.template_of}
    return workloads(pods.values(), templates.values())


def _fails(found: Diff, fail_on: str) -> bool:
    wanted = {"opened": found.opened, "closed": found.closed, "any": found.opened + found.closed}
    return bool(wanted.get(fail_on, ()))

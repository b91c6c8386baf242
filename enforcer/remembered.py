"""What outlives the machine's restart: the pod ranges of this node, for the rules until the cluster is seen again."""

from __future__ import annotations

import json
from pathlib import Path

from compiler.cli.outputs import write
from compiler.errors import Unreadable
from compiler.net import parse_prefix
from enforcer.reconcile import View

FILE = "pod-ranges.json"


class Remembering:
    """Told of rules in force (`Reconciler`), keeps the node's ranges in a folder."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder, self._node = folder, node
        self._kept: tuple[str, ...] | None = None

    def __call__(self, before: View | None, now: View) -> None:
        """Raises Unwritable."""
        node = now.snapshot.nodes.get(self._node)
        ranges = node.pod_cidrs if node is not None else ()
        if ranges and ranges != self._kept:
            text = json.dumps({"node": self._node, "podCIDRs": list(ranges)}) + "\n"
            write(self._folder, {FILE: text})
            self._kept = ranges


def remembered(folder: Path, node: str) -> tuple[str, ...]:
    """The ranges; none when there is no file, or another node's. Raises Unreadable."""
    path = folder / FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        ranges = tuple(said["podCIDRs"]) if said["node"] == node else ()
        for one in ranges:
            parse_prefix(one)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise Unreadable(f"{path}: not what netpolc enforce has written") from None
    return ranges

"""Asks network-config-analyzer. Runs in the environment of that package alone, so it imports nothing of ours.

Each line of standard input is a JSON object: `objects`, what an API server would list, and `asks`, a list of
[source, destination, protocol number, destination port] whose ends are `namespace/pod` or an address. Each line of
standard output answers one of them: `verdicts`, in the order of `asks`, or `failed`, why there are none.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from nca.CoreDS.Peer import BasePeerSet, IpBlock, PeerSet
from nca.NetworkConfig.ResourcesHandler import ResourcesHandler

#: The dimensions of its boxes that NetworkPolicy has a word for. A box has those that it does not fill.
DIMENSIONS = ("src_peers", "dst_peers", "protocols", "dst_ports")
PORTED = (6, 17, 132)


def verdicts(asked: dict[str, Any]) -> list[bool]:
    """Reads the objects as the command does, and looks the connections up in the whole that it says is allowed."""
    BasePeerSet.reset()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cluster.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": asked["objects"]}))
        config = ResourcesHandler().get_network_config(None, None, None, [str(path)])
    allowed = config.allowed_connections().all_allowed_conns
    pods = {peer.full_name(): peer for peer in config.peer_container.get_all_peers_group()}
    boxes = list(allowed) if allowed else []
    dimensions = allowed.active_dimensions if allowed else []
    if not set(dimensions) <= set(DIMENSIONS):
        raise ValueError(f"dimensions that no NetworkPolicy has: {dimensions}")

    def number(end: str) -> int:
        peer = pods[end] if "/" in end else IpBlock(end)
        interval = BasePeerSet().get_peer_interval_of(PeerSet({peer})).interval_set[0]
        return int(interval.start)

    def passes(source: str, destination: str, protocol: int, port: int) -> bool:
        at = dict(zip(DIMENSIONS, (number(source), number(destination), protocol, port), strict=True))
        if protocol not in PORTED:
            del at["dst_ports"]
        return any(
            all(at[name] in span for name, span in zip(dimensions, box, strict=True) if name in at) for box in boxes
        )

    return [passes(*ask) for ask in asked["asks"]]


def main() -> None:
    for line in sys.stdin:
        said = io.StringIO()  # it warns on standard output
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                found: dict[str, Any] = {"verdicts": verdicts(json.loads(line))}
        except Exception:
            found = {"failed": traceback.format_exc() + said.getvalue()}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

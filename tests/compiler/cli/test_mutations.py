"""Valid manifests with something changed: netpolc compiles them or says what is wrong, and nothing else happens.

Changes are made to the value (what an editor of manifests gets wrong) and to the text (what a transfer gets wrong).
NETPOLC_EXAMPLES scales the number of examples; they are the same in every run, or with NETPOLC_RANDOM=1 new ones.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.cli.main import main

SHOP = Path(__file__).resolve().parents[3] / "fixtures" / "examples" / "shop"
#: Every object of the example, and one of each kind that it lacks.
OBJECTS: list[Any] = [
    value for path in sorted(SHOP.glob("*.yaml")) for value in yaml.safe_load_all(path.read_text()) if value
]
OBJECTS += [
    {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": "guard"},
        "spec": {
            "priority": 7,
            "subject": {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}},
            "ingress": [
                {"action": "Deny", "from": [{"namespaces": {}}], "ports": [{"portRange": {"start": 1, "end": 9}}]}
            ],
            "egress": [{"action": "Pass", "to": [{"networks": ["10.0.0.0/8"]}], "ports": [{"namedPort": "http"}]}],
        },
    },
    {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}},
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {"template": {}}},
        ],
    },
]

SCALARS = [None, True, 0, -1, 65536, 2**70, 1.5, "", "x", "X y", "a" * 300, "10.0.0.1/8", "::ffff:1.2.3.4/96"]
ESCAPES = ["\x1b[2J\n", "\ud800"]
COLLECTIONS: list[Any] = [[], {}, [None], [[]], [{}], {"": None}, {"a": []}, ["x", "x"], {"a": {"b": {"c": {}}}}]
JUNK = st.sampled_from([*SCALARS, *ESCAPES, *COLLECTIONS]).map(copy.deepcopy)


@st.composite
def mutated(draw: st.DrawFn) -> list[Any]:
    """A few objects, up to three places of which are changed."""
    objects = copy.deepcopy(draw(st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = objects
        step: Any = draw(st.integers(0, len(objects) - 1))
        while isinstance(place[step], dict | list) and place[step] and draw(st.integers(0, 5)):
            place = place[step]
            step = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        match draw(st.sampled_from(["junk", "drop", "rename", "repeat"])):
            case "drop" if place is not objects:
                del place[step]
            case "rename" if isinstance(place, dict):
                place[draw(st.sampled_from(["", "x", step.upper(), step + "s", "a b"]))] = place.pop(step)
            case "repeat" if isinstance(place, list):
                place.append(copy.deepcopy(place[step]))
            case _:
                place[step] = draw(JUNK)
    return objects


def judge(data: bytes, name: str, *options: str) -> None:
    """Runs netpolc in this process; a hang ends in a signal."""
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        argv = ["netpolc", "compile", str(path), *options]
        terminated = signal.getsignal(signal.SIGTERM)
        signal.alarm(20)
        try:
            with patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as done:
            status = done.code
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGTERM, terminated)
            gc.enable()
    said = err.getvalue()
    assert status in (0, 2), said
    assert ("error: " in said) == (status == 2), said
    assert not (out.getvalue() and status), "half an output"
    _places_are_inside(said, str(path), data)


def _places_are_inside(said: str, name: str, data: bytes) -> None:
    lines = data.decode("utf-8", "replace").split("\n")
    for line, column in re.findall(rf"^{re.escape(name)}:(\d+):(\d+): (?:error|warning): ", said, re.M):
        assert 1 <= int(line) <= len(lines), said
        assert 1 <= int(column) <= len(lines[int(line) - 1]) + 1, said


SETTINGS = settings(
    deadline=None,
    max_examples=max(1, round(150 * float(os.environ.get("NETPOLC_EXAMPLES", "1")))),
    derandomize=os.environ.get("NETPOLC_RANDOM") != "1",
    suppress_health_check=[HealthCheck.too_slow],
)
OPTIONS = st.sampled_from([(), ("--lenient",), ("--backend", "iptables"), ("--node", "node-1")])


@SETTINGS
@given(mutated(), OPTIONS)
def test_changed_values_in_json(objects: list[Any], options: tuple[str, ...]) -> None:
    judge("\n".join(json.dumps(value, indent=1) for value in objects).encode(), "f.json", *options)


@SETTINGS
@given(mutated(), OPTIONS, st.booleans())
def test_changed_values_in_yaml(objects: list[Any], options: tuple[str, ...], flow: bool) -> None:
    text = yaml.safe_dump_all(objects, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    judge(text.encode("utf-8", "surrogatepass"), "f.yaml", *options)


TEXT = "".join("---\n" + path.read_text() for path in sorted(SHOP.glob("*.yaml"))).encode()
PIECES = [
    b"\t",
    b": ",
    b"- ",
    b"{",
    b"]",
    b'"',
    b"'",
    b"#",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!int ",
    b"|\n",
    b"---\n",
    b"\0",
    b"\xff",
    b"? ",
]


@SETTINGS
@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 40), st.sampled_from([b"", *PIECES])), max_size=4))
def test_changed_text(changes: list[tuple[int, int, bytes]]) -> None:
    data = TEXT
    for at, cut, piece in changes:
        data = data[:at] + piece + data[at + cut :]
    judge(data, "f.yaml")

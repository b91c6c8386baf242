"""Definitions that are made of each other, as deep as anybody likes: an error, and never the end of Python's stack."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from compiler.errors import Diagnostic, InvalidInput
from compiler.sources.language import load
from compiler.sources.language.heights import DEEPEST

KINDS = {
    "zone": ("zone z{0} = z{1}", "zone z{0} = iface eth0"),
    "braces": ("zone z{0} = {{ z{1}, 10.0.0.1 }} and any except 10.0.0.2", "zone z{0} = any"),
    "set": ("set z{0} = {{ z{1} }}", "set z{0} = {{ 10.0.0.1 }}"),
    "service": ("service z{0} = z{1} + udp/53", "service z{0} = tcp/80"),
}


def wrong(text: str) -> Sequence[Diagnostic]:
    try:
        load([("f.np", text.encode())], lambda file, path: "no")
    except InvalidInput as error:
        return error.diagnostics
    return ()


def chain(kind: str, length: int) -> list[str]:
    inner, last = KINDS[kind]
    return [*(inner.format(n, n + 1) for n in range(length)), last.format(length)]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_chains_have_a_limit(kind: str, backwards: bool) -> None:
    """Whichever is written first; and each limit that is passed is told once, at the name that passes it."""
    most = DEEPEST // 2 if kind == "braces" else DEEPEST
    for length, count in ((most - 1, 0), (most + 1, 1), (1000, 1000 // (most + 1))):
        lines = chain(kind, length)
        found = wrong("\n".join(reversed(lines) if backwards else lines))
        assert {one.code for one in found} <= {"too-deep"}
        assert abs(len(found) - count) <= (1000 // most - count if length == 1000 else 0)


def test_what_is_told_is_the_name_that_is_too_deep() -> None:
    (one,) = wrong("\n".join(chain("zone", DEEPEST + 1)))
    assert (one.span.line, one.span.column) == (2, 6)
    assert one.message == f"z1 is made of names and braces that are nested more than {DEEPEST} deep"


@pytest.mark.parametrize(("length", "code"), [(DEEPEST - 2, "cycle"), (500, "too-deep")])
def test_what_is_defined_by_itself_is_wrong(length: int, code: str) -> None:
    lines = [*chain("zone", length)[:-1], f"zone z{length} = z0"]
    assert code in {one.code for one in wrong("\n".join(lines))}


def test_includes_may_be_as_many_as_there_are() -> None:
    texts = {f"{n}.np": f'include "{n + 1}.np"\n'.encode() for n in range(3000)}
    texts["3000.np"] = b"zone far = any\n"
    found = load([("0.np", texts["0.np"] + b"policy p { deny far -> any }\n")], lambda file, path: (path, texts[path]))
    assert len(found.policies) == 1

"""What of a program is refused before anything is made of it."""

from __future__ import annotations

import pytest

from compiler.errors import InvalidInput
from compiler.sources.language import load
from compiler.translate.program import check_program


def refusals(text: str) -> list[str]:
    program = load([("edge.np", text.encode())], lambda _, name: f"no file {name}")
    try:
        check_program(program, ())
    except InvalidInput as error:
        return [flaw.message for flaw in error.diagnostics]
    return []


ACCEPTS = 'opaque x iptables {} "-p tcp --dport 80 -j ACCEPT"'
DROPS = 'opaque x nft {} "tcp dport 80 drop"'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"policy a {{ {DROPS.format('')} }}", "x: a policy block never stops a pod's way to itself"),
        (f"policy a {{ within any -> any {{ {DROPS.format('')} }} }}", "x: a policy block never stops"),
        (f"forward {{ {DROPS.format('')} {ACCEPTS.format('')} }}", ""),
        (f"node packets {{ {ACCEPTS.format('input')} }}", ""),
        (f"node packets {{ {DROPS.format('input')} }} node {{ deny any -> self }}", ""),
        (
            f"node packets {{ {ACCEPTS.format('input')} }} node {{ deny any -> self }}",
            "x: a block of packets only takes away",
        ),
        (
            f"forward packets {{ {ACCEPTS.format('')} }} policy a {{ deny any -> any }}",
            "x: a block of packets only takes",
        ),
        ('forward packets { opaque x nft "tcp dport 80 return" } forward { deny any -> any }', ""),
    ],
)
def test_rules_of_one_tool_have_their_places(text: str, told: str) -> None:
    found = refusals(text)
    assert bool(found) is bool(told)
    assert all(message.startswith(told) for message in found)

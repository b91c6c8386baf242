"""The numbers from which the compiler does things another way, made so small that small clusters reach them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

from compiler.backends.target import CAPABILITIES
from compiler.lower import deny, fastpath
from compiler.passes import expand_maps
from compiler.resolve import reach

#: What a test is parametrised by. `low`: shared sets for two addresses, trees and maps for one entry. `spent`: the
#: pairs known in advance go beyond their budget at once.
LIMITS = ("usual", "low", "spent")


@contextmanager
def limits(which: str) -> Iterator[None]:
    """These limits, as long as it lasts."""
    with ExitStack() as stack:
        if which == "spent":
            stack.enter_context(patch.object(fastpath, "PAIR_BUDGET", 3))
        elif which == "low":
            for module, name, value in (
                (reach, "SHARED_MINIMUM", 2),
                (expand_maps, "_ROW", 1),
                (deny, "_ROW", 1),
            ):
                stack.enter_context(patch.object(module, name, value))
            low = {backend: replace(able, inline_prefixes=0, inline_ports=0) for backend, able in CAPABILITIES.items()}
            stack.enter_context(patch.dict(CAPABILITIES, low))
        yield

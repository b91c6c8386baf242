"""The option --mark-mask, of whatever compiles programs or proves them."""

from __future__ import annotations

from typing import Any

import click

from compiler.backends.target import INBOUND_MASK


class Mask(click.ParamType[int]):
    """Bits of a mark side by side, in any notation of Python's numbers."""

    name = "mask"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            mask = int(value, 0)
        except ValueError:
            mask = 0
        ones = mask // (mask & -mask) if 0 < mask < 1 << 32 else 0
        if not ones or ones & ones + 1:
            self.fail(f"{value}: expected bits side by side in 32, such as {INBOUND_MASK:#x}", param, ctx)
        return mask


mark_mask = click.option(
    "--mark-mask",
    metavar="MASK",
    type=Mask(),
    default=f"{INBOUND_MASK:#x}",
    show_default=True,
    help="Bits of marks that are netpolc's own: with iptables, nat needs them for sources by interface.",
)

"""From what should be in force and what is: the steps between. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from enforcer.dataplane import Actual, Step, Tool

#: Files of a compile, in the order of loading (`compiler.backends`).
_TOOLS = {
    "netpolc.nft": Tool.NFT,
    "ipset.save": Tool.IPSET,
    "iptables.save": Tool.IPTABLES,
    "ip6tables.save": Tool.IP6TABLES,
}
_CHAIN = re.compile(r"^(?:add chain inet netpolc |:(?=NETPOLC-)|\*)(\S+)", re.MULTILINE)
_SET = re.compile(r"^(?:add (?:set|map) inet netpolc |create (?=netpolc-))(\S+)", re.MULTILINE)


class Wanted(Protocol):
    """What should be in force."""

    @property
    def digest(self) -> str:
        """Equal for what is equal, as far as anybody can tell cheaply."""

    @property
    def names(self) -> Actual:
        """All of ours that is needed, once the steps that were asked for last are in force."""

    def steps(self, before: str | None) -> tuple[Step, ...]:
        """Those that make it of what has the digest `before` and is in force as it was brought in; None: of whatever
        is there."""


@dataclass(frozen=True, slots=True)
class Desired:
    """Rules that come whole (`Wanted`): `load` brings them in whatever is there."""

    load: tuple[Step, ...]

    def steps(self, before: str | None) -> tuple[Step, ...]:
        return () if before == self.digest else self.load

    @property
    def digest(self) -> str:
        """Equal for what is equal."""
        return hashlib.sha256("\0".join(f"{s.tool.value}\0{s.text}" for s in self.load).encode()).hexdigest()

    @property
    def names(self) -> Actual:
        """What the texts declare: all of ours that is needed."""
        chains = frozenset(name for step in self.load for name in _chains(step))
        return Actual(chains, frozenset(name for step in self.load for name in _SET.findall(step.text)))


@dataclass(frozen=True, slots=True)
class Applied:
    """What was brought in last, and the fingerprint of what was there then."""

    digest: str
    fingerprint: str


def _chains(step: Step) -> Iterator[str]:
    """The chains that a text declares, named as `Actual` has them."""
    table = ""
    for found in _CHAIN.finditer(step.text):
        if found[0].startswith("*"):
            table = f"{step.tool.value} {found[1]} "
        else:
            yield table + found[1]


def whole(files: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps that load the files of a compile, which are in their order."""
    return tuple(Step(_TOOLS[name], text) for name, text in files.items())


def plan(wanted: Wanted, actual: Actual, applied: Applied | None) -> tuple[Step, ...]:
    """The steps that make `actual` what it should be; none when it is. `applied`: by this process, None before the
    first time and when nobody knows what is there."""
    known = applied is not None and applied.fingerprint == actual.fingerprint
    return wanted.steps(applied.digest if applied is not None and known else None)


def covers(actual: Actual, wanted: Actual) -> bool:
    """Whether everything that is needed is there."""
    return wanted.chains <= actual.chains and wanted.sets <= actual.sets


def differences(before: Actual, now: Actual) -> Iterator[str]:
    """What somebody else has changed, in words."""
    for what, old, new in (("chain", before.chains, now.chains), ("set", before.sets, now.sets)):
        yield from (f"{what} {name} is gone" for name in sorted(old - new))
        yield from (f"{what} {name} is new" for name in sorted(new - old))


def count(steps: Iterable[Step]) -> Mapping[str, int]:
    """Bytes for each tool."""
    found: dict[str, int] = {}
    for step in steps:
        found[step.tool.value] = found.get(step.tool.value, 0) + len(step.text)
    return found


def told(names: Sequence[str], most: int = 5) -> str:
    """Some of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more

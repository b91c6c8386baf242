"""The firewall of a node that uses iptables: chains by iptables-restore, sets by ipset.

One restore replaces the chains that it declares in one step. Sets are changed element by element, in the order of the
steps. iptables-legacy tells nobody about changes and neither does ipset, so `wait` looks again twice a second: at
tables, and at how many elements sets have.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial

from compiler.backends.iptables_rules import PREFIX
from compiler.net import Family
from compiler.profiles.profiles import Profile
from enforcer.dataplane import Actual, Busy, Foreign, Refused, Step, Tool
from enforcer.flows.holds import CHAIN as HOLDS
from enforcer.grace import settle
from enforcer.iptables.bypass import bypasses
from enforcer.iptables.counts import Counters
from enforcer.iptables.ipset import Failed, Ipset
from enforcer.iptables.jumps import Place, leading, placed, removing, wanted
from enforcer.iptables.legacy import LegacyReader
from enforcer.iptables.nft_variant import NftReader
from enforcer.iptables.sight import Sight, digest
from enforcer.iptables.xtables import TOOLS, Chains

_TOOL = {Family.IPV4: Tool.IPTABLES, Family.IPV6: Tool.IP6TABLES}
_FAMILY = {tool: family for family, tool in _TOOL.items()}
#: Seconds: how long another may hold the lock of legacy tables before we say so; and until a tool must be done.
_LOCK, _PATIENCE = 1, 120
#: Seconds that rules of nftables may be freed later than they are gone.
_RELEASE = 0.1
#: Seconds between two looks at what tells nothing by itself.
LOOK = 0.5
#: What a tool says when the same may work in a moment: the lock, a table that changed meanwhile, a full buffer.
_PASSING = ("xtables lock", "Resource temporarily unavailable", "No buffer space available", "Message too long")
_LOCKED = 4  # exit status (RESOURCE_PROBLEM)


class Variant(Enum):
    """Which iptables; the value is in its tools' names."""

    LEGACY = "legacy"
    NFT = "nft"


class Iptables:
    """The dataplane (enforcer/dataplane.py) of the network namespace of the calling thread. Raises FileNotFoundError
    for a tool that is not installed."""

    def __init__(self, variant: Variant, families: Sequence[Family] = tuple(Family)) -> None:
        self.variant = variant
        self._families = tuple(families)
        for tool in (*(f"{TOOLS[family]}-{variant.value}-restore" for family in self._families), "ipset"):
            if shutil.which(tool) is None:
                raise FileNotFoundError(errno.ENOENT, f"{tool} is not installed")
        self._ipset = Ipset()
        self._sight = Sight(self._families, LegacyReader if variant is Variant.LEGACY else NftReader)
        self._reader = self._sight.reader
        self._counters = Counters(self._reader, self._listed)
        #: The jumps that we brought in: their words, and what the kernel made of them.
        self._jumps: dict[tuple[Family, Place], tuple[str, bytes]] = {}
        #: Digests of rules and of sets as they were after our last step; None: since then nobody has looked.
        self._rules: str | None = None
        self._sets: str | None = None
        self._looked_at = 0.0

    # What is there

    def read(self, deep: bool = False) -> Actual:
        """What others do is seen after LOOK seconds, or at once when it is `deep`. Raises Busy while rules change
        faster than they are read."""
        try:
            seen = self._sight.look(0.0 if deep else LOOK)
            self._rules, self._sets = self._rules or seen.rules, self._sets or seen.counted
            fingerprint = digest((seen.rules.encode(), seen.counted.encode()))
            if deep:
                members = (self._sight.members(name).encode() for name in sorted(seen.sets))
                fingerprint = "deep " + digest((fingerprint.encode(), *members))
        except OSError as error:
            raise _unread(error) from error
        if not (seen.chains or seen.sets):
            return Actual()
        return Actual(seen.chains, frozenset(seen.sets), fingerprint)

    # Changing it

    def apply(self, steps: Sequence[Step]) -> None:
        """Raises Refused, and Busy for what passes."""
        for number, step in enumerate(steps):
            if step.tool is Tool.IPSET:
                self._sets = None
                self._sight.touch(step.text)
                self._fill(step.text, number)
            elif step.tool in _FAMILY:
                self._rules = None
                self._sight.touch_rules()
                self._restore(_FAMILY[step.tool], step.text, number)
            else:
                raise Refused(f"iptables does not read texts of {step.tool.value}", number)
            # xt_replace_table waits by itself for packets in an old table.
            if step.settle and (step.tool is Tool.IPSET or self.variant is Variant.NFT):
                settle()

    def _fill(self, text: str, number: int) -> None:
        try:
            self._ipset.run(text)
        except Failed as error:
            raise (Busy if error.passing else Refused)(str(error), number) from error

    def _restore(self, family: Family, text: str, number: int) -> None:
        if family not in self._families:
            return
        try:
            for again in (True, False):
                there, stale = self._stale_jumps(family, text)
                try:
                    self._run(f"{TOOLS[family]}-{self.variant.value}-restore", "--noflush", "-w", f"{_LOCK}",
                              stdin=placed(text, there, stale), number=number)  # fmt: skip
                    break
                except Refused as error:
                    # Somebody else deleted what we were about to delete.
                    if not (again and stale) or isinstance(error, Busy):
                        raise
            self._remember_jumps(family, text, there)
        except OSError as error:
            raise _unread(error, number) from error

    def _stale_jumps(self, family: Family, text: str) -> tuple[list[Place], dict[str, list[str]]]:
        """Where the jumps that a text wants stand as they should, and the rules that lead to its base chains, or to
        chains that it deletes, and should not, by table."""
        said = wanted(text)
        tables = self._reader.tables(family)
        there: list[Place] = []
        leave: dict[str, list[str]] = {}
        for place, words in said.jumps.items():
            target = PREFIX + place.hook
            if place.table not in tables or target in said.gone.get(place.table, ()):
                continue
            rules = self._reader.chains(family, place.table, place.hook).get(place.hook, ())
            found = [n for n, rule in enumerate(rules) if rule.target == target]
            if words and found == [0] and self._jumps.get((family, place)) == (words, rules[0].content):
                there.append(place)
            elif found:
                listed = self._listed(family, place.table, place.hook)
                leave.setdefault(place.table, []).extend(leading(listed, {target}))
        for table, gone in said.gone.items():
            for chain in _leading_to(self._reader.chains(family, table), gone) if table in tables else ():
                listed = self._listed(family, table, chain)
                leave.setdefault(table, []).extend(leading(listed, gone))
        return there, leave

    def _remember_jumps(self, family: Family, text: str, there: Iterable[Place]) -> None:
        for place, words in wanted(text).jumps.items():
            if place not in there:
                rules = self._reader.chains(family, place.table, place.hook).get(place.hook, ()) if words else ()
                self._jumps.pop((family, place), None)
                if rules and rules[0].target == PREFIX + place.hook:
                    self._jumps[family, place] = words, rules[0].content

    def _listed(self, family: Family, table: str, chain: str = "") -> list[str]:
        """Rules of a chain, or a table, that is there, as the tool prints them (`-A CHAIN ...`). The nft variant prints
        no table in which somebody has rules that it does not understand, but chains without such."""
        tool = f"{TOOLS[family]}-{self.variant.value}"
        if chain:
            text = self._run(tool, "-w", f"{_LOCK}", "-t", table, "-S", chain)
        else:
            text = self._run(f"{tool}-save", "-t", table)
        return [line for line in text.splitlines() if line.startswith("-A ")]

    def _run(self, *command: str, stdin: str = "", number: int = 0) -> str:
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE,
                env={**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise Busy(f"{command[0]}: no answer in {_PATIENCE} s", number) from None
        except OSError as error:
            raise Refused(f"{command[0]} cannot be started: {error.strerror}", number) from None
        if done.returncode:
            said = done.stderr.strip() or f"{command[0]} ends with {done.returncode}"
            # The nft variant ends so, too, where a chain cannot go because others lead to it: that does not pass.
            locked = done.returncode == _LOCKED and self.variant is Variant.LEGACY
            passing = locked or any(words in said for words in _PASSING)
            raise (Busy if passing else Refused)(said, number)
        return done.stdout

    def sweep(self, keep: Actual) -> Sequence[Step]:
        """Chains and the jumps to them first, then sets; not sets that rules of others ask, as those of the other
        variant do while it is being left."""
        there = self.read()
        steps = []
        for family in self._families:
            tables: dict[str, list[str]] = {}
            for name in sorted(there.chains - keep.chains):
                tool, table, chain = name.split(" ")
                if tool == TOOLS[family]:
                    tables.setdefault(table, []).append(chain)
            text = "".join(removing(table, chains) for table, chains in tables.items())
            if text:
                steps.append(Step(_TOOL[family], text))
        unused = sorted(there.sets - keep.sets - self._asked_by_others(there.sets - keep.sets))
        if unused:
            steps.append(Step(Tool.IPSET, "".join(f"destroy {name}\n" for name in unused)))
        return steps

    def _asked_by_others(self, names: frozenset[str]) -> frozenset[str]:
        """Of these sets. The kernel lets go of a set some time after the last rule that asked it."""
        until = time.monotonic() + _RELEASE
        while names:
            found = self._sight.asked_by_others()
            if names.isdisjoint(found) or time.monotonic() > until:
                return names & found
            time.sleep(_RELEASE / 10)
        return names

    def remove(self) -> None:
        """Tables stay, even if they came by us: who else uses them is not known; and so do sets that rules of others
        ask."""
        self.apply(self.sweep(Actual()))

    # What is going on

    def counters(self, at: float) -> Sequence[Profile]:
        """Of rules in our chains."""
        try:
            self._sight.look(LOOK)
            self._sight.learn()
            return [self._counters.profile(family, at) for family in self._families]
        except OSError as error:
            raise _unread(error) from error

    def foreign(self) -> Iterable[Foreign]:
        """In tables where we have chains."""
        try:
            found: list[Foreign] = []
            for family in self._families:
                for table in self._reader.tables(family):
                    chains = self._reader.chains(family, table)
                    if any(chain.startswith(PREFIX) for chain in chains):
                        listed = partial(self._listed, family, table)
                        found += bypasses(f"{TOOLS[family]} {table}", chains, listed)
            return [one for one in found if not one.rule.endswith(f" {HOLDS}")]
        except OSError as error:
            raise _unread(error) from error

    def wait(self, seconds: float) -> bool:
        """Looks every LOOK seconds, however often it is called. What others do between our last step and the first
        look behind it, here or in `read`, is taken for ours."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if now >= self._looked_at + LOOK:
                self._looked_at = now
                with suppress(OSError):  # rules change faster than they are read: next time
                    if self._is_changed():
                        return True
            if now >= until:
                return False
            time.sleep(max(0.0, min(until, self._looked_at + LOOK) - now))

    def _is_changed(self) -> bool:
        """Whether what is there is not what we left; that is what is known from now on."""
        seen = self._sight.look()
        changed = (self._rules or seen.rules, self._sets or seen.counted) != (seen.rules, seen.counted)
        self._rules, self._sets = seen.rules, seen.counted
        return changed

    def close(self) -> None:
        self._sight.close()
        self._ipset.close()


def _unread(error: OSError, number: int = 0) -> Busy:
    """Rules that change faster than they are read, in most cases."""
    return Busy(f"rules and sets cannot be read: {error.strerror or error}", number)


def _leading_to(chains: Chains, gone: frozenset[str]) -> Iterator[str]:
    """Chains of others with rules that lead to one of these."""
    for name, rules in chains.items():
        if not name.startswith(PREFIX) and any(rule.target in gone for rule in rules):
            yield name

"""What of ours a kernel with iptables holds: chains with their rules, the jumps to them, and sets.

Looking at all of it takes milliseconds, most of them for sets of 100,000 elements. So what was seen a moment ago is
taken as it was, but for what we have touched ourselves since then.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from compiler.backends.ipset import PREFIX as SET_PREFIX
from compiler.backends.iptables_rules import PREFIX
from compiler.net import Family
from enforcer.iptables import ipset_list
from enforcer.iptables.xtables import TOOLS, Reader
from enforcer.netlink import Message, Netlink

#: A text of more characters says too much to know what it touches.
_LONG = 1 << 16
#: What the kernel says that has no ipset.
_NONE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT)


class Look(NamedTuple):
    """`chains` by tool, table and name, with a digest of their `rules` and of the jumps to them; sets by name.
    `counted`: a digest of how many elements each set has."""

    chains: frozenset[str]
    rules: str
    sets: dict[str, ipset_list.Header]
    counted: str


class Sight:
    """Of the network namespace of the calling thread. `reader` is given who knows sets by their numbers. All that looks
    raises OSError when the kernel refuses."""

    def __init__(self, families: Sequence[Family], reader: Callable[[Callable[[int], str]], Reader]) -> None:
        self._families = families
        self._netlink = Netlink()
        self.reader = reader(self._set_name)
        #: Numbers of sets, as rules have them.
        self._numbers: dict[int, str] = {}
        #: What the kernel said of sets last, and what that means.
        self._said: tuple[list[Message], Sequence[ipset_list.Header]] = [], ()
        #: How often rules ask a set.
        self._asked: Counter[str] = Counter()
        self._stamp: Hashable = None
        self._rules: tuple[frozenset[str], str] = (frozenset(), "")
        self._sets: dict[str, ipset_list.Header] = {}
        #: When all was looked at; and what was touched since then: None stands for everything.
        self._rules_at = self._sets_at = float("-inf")
        self._touched: set[str] | None = None

    def look(self, seconds: float = 0.0) -> Look:
        """Of now; what nobody of us has touched may be so many seconds old."""
        now = time.monotonic()
        if self._touched is None or now > self._sets_at + seconds:
            self._sets, self._sets_at = {header.name: header for header in self.headers()}, now
        else:
            for name in self._touched:
                header = ipset_list.header(self._netlink, name)
                self._sets.pop(name, None)
                if header is not None:
                    self._sets[name] = header
        self._touched = set()
        if now > self._rules_at + seconds:
            self._look_at_rules()
            self._rules_at = now
        counted = digest(f"{h.name} {h.declared} {h.elements}".encode() for _, h in sorted(self._sets.items()))
        return Look(*self._rules, self._sets, counted)

    def touch(self, text: str) -> None:
        """We have given this text to ipset."""
        if self._touched is None or len(text) > _LONG:
            self._touched = None
            return
        words = [line.split(" ", 2) for line in text.splitlines() if line and not line.startswith("#")]
        self._touched.update(line[1] for line in words if len(line) > 1)
        if any(line[0] == "destroy" for line in words):
            self._numbers = {}

    def touch_rules(self) -> None:
        """We have given something to iptables-restore."""
        self._rules_at = float("-inf")

    def members(self, name: str) -> str:
        """A digest of a set's elements."""
        return ipset_list.digest(self._netlink, name)

    def headers(self) -> Sequence[ipset_list.Header]:
        """Of our sets, now."""
        try:
            said = ipset_list.brief(self._netlink)
        except OSError as error:
            if error.errno in _NONE:
                return ()
            raise
        if said != self._said[0]:
            self._said = said, ipset_list.read(said, SET_PREFIX)
        return self._said[1]

    def asked_by_others(self) -> frozenset[str]:
        """Our sets that more rules ask than were seen by the last look: those of the other variant, or such as are gone
        and not freed yet."""
        return frozenset(header.name for header in self.headers() if header.references > self._asked[header.name])

    def learn(self) -> None:
        """The numbers of sets, before rules are read. A set keeps its number, and one that rules ask cannot go."""
        known = set(self._numbers.values())
        self._numbers = {number: name for number, name in self._numbers.items() if name in self._sets}
        for name in self._sets.keys() - known:
            with suppress(FileNotFoundError):
                self._numbers[ipset_list.index(self._netlink, name)] = name

    def close(self) -> None:
        self.reader.close()
        self._netlink.close()

    def _look_at_rules(self) -> None:
        stamp = self.reader.stamp(self._families)
        if stamp == self._stamp:
            return
        self.learn()
        names: list[str] = []
        parts: list[bytes] = []
        self._asked = Counter()
        for family in self._families:
            for table in self.reader.tables(family):
                for chain, rules in sorted(self.reader.chains(family, table).items()):
                    name = f"{TOOLS[family]} {table} {chain}"
                    self._asked.update(asked for rule in rules for asked in rule.asks)
                    if chain.startswith(PREFIX):
                        names.append(name)
                        parts += [name.encode(), *(rule.content for rule in rules)]
                    else:  # where our jumps stand; others may do behind them what they like
                        jumps = ((n, rule) for n, rule in enumerate(rules) if rule.target.startswith(PREFIX))
                        parts += (b"%s %d %s" % (name.encode(), n, rule.content) for n, rule in jumps)
        self._rules = frozenset(names), digest(parts)
        self._stamp = stamp  # a change meanwhile has another one

    def _set_name(self, number: int) -> str:
        return self._numbers.get(number, f"{number}")


def digest(parts: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(b"%d:" % len(part) + part)
    return whole.hexdigest()

"""netpolc's own profile: JSON that says what rules counted, of any tool and any number of chains.

    {
      "profile": 1,
      "time": "2026-11-25T12:00:00Z",
      "chains": [
        {"tool": "iptables", "table": "filter", "chain": "FORWARD", "rules": [
          {"rule": "-s 10.0.0.0/8 -j DROP", "packets": 12, "bytes": 720}
        ]}
      ]
    }

`profile` is the version of the format. `time` may be missing; it is when the counters were read, in UTC. `tool` is
iptables, ip6tables or nft; `table` of nft has its family in front (`inet filter`). Rules stand in the order in which
they were loaded, as iptables-save (behind the chain's name) or `nft list` print them; other spellings of iptables'
options are understood. Nothing else may be there.
"""

from __future__ import annotations

import calendar
import json
import re
from collections.abc import Callable, Sequence
from itertools import groupby

from compiler.profiles.profiles import Count, Key, Profile, numbered
from compiler.profiles.words import of_iptables_text, of_nftables
from grammar.jsontext import NotJSON, documents
from grammar.ruletext import Refused
from grammar.source import Flaw, Source
from grammar.tree import Path, Tree

VERSION = 1
TOOLS = ("iptables", "ip6tables", "nft")
_LARGEST = (1 << 64) - 1
_TIME = re.compile(r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)Z", re.ASCII)
#: What objects have: name -> whether it must be there.
_TOP = {"profile": True, "time": False, "chains": True}
_CHAIN = {"tool": True, "table": True, "chain": True, "rules": True}
_RULE = {"rule": True, "packets": True, "bytes": True}


def read(source: Source, flaws: Callable[[Flaw], None]) -> tuple[Profile, ...]:
    """One profile for each tool that is in it. All that is wrong goes to `flaws`; what is given then is of no use."""
    trees: list[Tree] = []
    try:
        trees += documents(source, flaws)
    except NotJSON as error:
        flaws(error.flaw)
        return ()
    if len(trees) != 1:
        at = trees[1].begin if trees else 0
        flaws(Flaw(source.span(at, at + 1), "one profile is expected", "profile", source.excerpt(at, at + 1)))
        return ()
    return _Reader(trees[0], flaws).profiles()


def written(profiles: Sequence[Profile], time: str | None = None) -> str:
    """Profiles of different tools as one text; `time` as the format has it."""
    chains = []
    for profile in profiles:
        for (table, chain), group in groupby(profile.counts.items(), key=lambda rule: rule[0][:2]):
            rules = [json.dumps({"rule": key.words, **count._asdict()}, ensure_ascii=False) for key, count in group]
            head = json.dumps({"tool": profile.tool, "table": table, "chain": chain}, ensure_ascii=False)
            chains.append(f'    {head[:-1]}, "rules": [\n      ' + ",\n      ".join(rules) + "\n    ]}")
    stamp = [f'  "time": "{time}",'] if time is not None else []
    return "\n".join(["{", f'  "profile": {VERSION},', *stamp, '  "chains": [', ",\n".join(chains), "  ]", "}", ""])


class _Reader:
    def __init__(self, tree: Tree, flaws: Callable[[Flaw], None]) -> None:
        self._tree = tree
        self._report = flaws

    def profiles(self) -> tuple[Profile, ...]:
        top = self._object(self._tree.value, (), _TOP)
        if "profile" in top and top["profile"] != VERSION:
            self._flaw(("profile",), f"version {VERSION} of the format is expected")
        time = self._time(top["time"]) if "time" in top else None
        rules: dict[str, list[tuple[tuple[str, str, str], Count]]] = {}
        for n, chain in enumerate(self._list(top.get("chains", []), ("chains",))):
            self._chain(chain, ("chains", n), rules)
        return tuple(self._profile(tool, found, time) for tool, found in rules.items())

    def _profile(self, tool: str, found: Sequence[tuple[tuple[str, str, str], Count]], time: int | None) -> Profile:
        keys: dict[Key, Count] = dict(
            zip(numbered(rule for rule, _ in found), (count for _, count in found), strict=True)
        )
        return Profile(self._tree.source.name, tool, keys, time)

    def _chain(self, value: object, path: Path, rules: dict[str, list[tuple[tuple[str, str, str], Count]]]) -> None:
        chain = self._object(value, path, _CHAIN)
        tool, table, name = (self._word(chain.get(key, ""), (*path, key)) for key in ("tool", "table", "chain"))
        if "tool" in chain and tool not in TOOLS:
            self._flaw((*path, "tool"), f"one of {', '.join(TOOLS)} is expected")
        for n, found in enumerate(self._list(chain.get("rules", []), (*path, "rules"))):
            at: Path = (*path, "rules", n)
            rule = self._object(found, at, _RULE)
            words = self._words(self._word(rule.get("rule", ""), (*at, "rule")), tool, (*at, "rule"))
            packets, many = (self._number(rule.get(key, 0), (*at, key)) for key in ("packets", "bytes"))
            rules.setdefault(tool, []).append(((table, name, words), Count(packets, many)))

    def _words(self, text: str, tool: str, path: Path) -> str:
        if tool == "nft":
            return of_nftables(text)
        try:
            return of_iptables_text(text)
        except Refused as error:
            self._flaw(path, f"no rule of {tool}: {error.flaw.message}")
            return ""

    def _time(self, value: object) -> int | None:
        found = _TIME.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            self._flaw(("time",), "a time like 2026-11-25T12:00:00Z is expected")
            return None
        return calendar.timegm(tuple(map(int, found.groups())))

    def _object(self, value: object, path: Path, keys: dict[str, bool]) -> dict[str, object]:
        """What of it is known."""
        if not isinstance(value, dict):
            self._flaw(path, f"an object with {', '.join(keys)} is expected")
            return {}
        for key in value:
            if key not in keys:
                self._report(self._tree.flaw((*path, key), f"{key} is not known here", "profile", on_key=True))
        for key, needed in keys.items():
            if needed and key not in value:
                self._flaw(path, f"{key} is missing")
        return {key: one for key, one in value.items() if key in keys}

    def _list(self, value: object, path: Path) -> list[object]:
        if isinstance(value, list):
            return value
        self._flaw(path, "a list is expected")
        return []

    def _word(self, value: object, path: Path) -> str:
        if isinstance(value, str):
            return value
        self._flaw(path, "a string is expected")
        return ""

    def _number(self, value: object, path: Path) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
            return value
        self._flaw(path, "a whole number from 0 to 2^64 - 1 is expected")
        return 0

    def _flaw(self, path: Path, message: str) -> None:
        self._report(self._tree.flaw(path, message, "profile"))

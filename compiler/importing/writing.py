"""Sections -> text of a program, with the place in the ruleset behind each statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from compiler.importing import wording
from compiler.importing.families import EITHER
from compiler.importing.sections import Section
from compiler.importing.values import (
    EVERYTHING,
    STATES,
    Asked,
    Dnat,
    Dscp,
    Item,
    Log,
    Mark,
    Masquerade,
    Mss,
    Notrack,
    Opaque,
    Origin,
    Redirect,
    Snat,
    Statement,
    Ttl,
    Verdict,
    Within,
)
from compiler.importing.wording import Names
from grammar.source import printable

#: Blocks in the order in which packets come to them.
_ORDER = ("raw", "mangle", "nat", "node packets", "node", "forward packets", "forward")
#: Hook and block -> what stands for anyone as the source, as the target.
_PINS = {
    ("node", "input"): ("", "self"),
    ("node", "output"): ("self", ""),
    ("mangle", "input"): ("", "self"),
    ("mangle", "forward"): ("*", "*"),
    ("mangle", "postrouting"): ("", "*"),
    **{(block, "prerouting"): ("*", "") for block in ("raw", "mangle", "nat")},
    **{(block, "output"): ("self", "") for block in ("raw", "mangle", "nat")},
    **{(block, EITHER): ("*self", "") for block in ("raw", "mangle", "nat")},
}
_LONGEST = 255


def program(sections: Iterable[Section], names: Names, head: Sequence[str]) -> str:
    """The whole text, not laid out."""
    return "\n".join(_Writer(names).program(sections, head)) + "\n"


def needs_everywhere(sections: Iterable[Section]) -> bool:
    """Whether some statement is about what came in, or goes out, by any interface."""
    pins = (
        pin for section in sections for pin in _PINS.get((section.block.removesuffix(" packets"), section.hook), ())
    )
    return any(pin[:1] == "*" for pin in pins)


class _Writer:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._opaque: Counter[str] = Counter()

    def program(self, sections: Iterable[Section], head: Sequence[str]) -> Iterator[str]:
        yield from (f"# {line}".rstrip() for line in head)
        yield ""
        yield from self._definitions()
        by_block: dict[str, list[Section]] = {}
        for section in sections:
            by_block.setdefault(section.block, []).append(section)
        for block in sorted(by_block, key=_ORDER.index):
            yield ""
            yield f"{block} {{"
            for number, section in enumerate(by_block[block]):
                yield from [""] if number else []
                yield from self._section(section)
            yield "}"

    def _definitions(self) -> Iterator[str]:
        names = self._names
        for version, name in names.families.items():
            yield f"set {name} = {{ {'0.0.0.0/0' if version == 4 else '::/0'} }}"
        for (version, intervals), name in names.sets.items():
            yield f"set {name} = {{ {', '.join(wording.interval_text(version, one) for one in intervals)} }}"
        for ports, name in names.services.items():
            yield f"service {name} = {wording.ports_text(ports)}"
        for interfaces, name in names.zones.items():
            yield f"zone {name} = {wording.interface_text(interfaces)}"
        if names.either:
            yield f"zone {names.either} = {{ {names.zones['*',]}, self }}"

    def _section(self, section: Section) -> Iterator[str]:
        pins = _PINS.get((section.block.removesuffix(" packets"), section.hook), ("", ""))
        words = {"*": self._names.zones.get(("*",), ""), "*self": self._names.either}
        source, target = (words.get(pin, pin) for pin in pins)
        lines = _Lines(self, section, source, target)
        if section.whole:
            yield f"within {source or 'any'} -> {target or 'any'} {{"
            yield from lines.items(section.items, True)
            yield "}"
        else:
            yield from lines.items(section.items, False)

    def opaque_name(self, origins: Sequence[Origin]) -> str:
        """`rules-v4-12`: a file's line."""
        where = origins[0] if origins else Origin("policy", 0, "")
        stem = "".join(c if c.isascii() and c.isalnum() else "-" for c in where.file).strip("-")
        name = f"{stem if stem[:1].isalpha() else f'f{stem}'}-{where.line}"[-60:].lstrip("-0123456789")
        self._opaque[name] += 1
        return name if self._opaque[name] == 1 else f"{name}-{self._opaque[name]}"


class _Lines:
    """Of one section. `inside`: of a list in a list, whose head says already at which hook its items are."""

    def __init__(self, writer: _Writer, section: Section, source: str, target: str) -> None:
        self._writer, self._names = writer, writer._names
        self._section, self._pins = section, (source, target)

    def items(self, items: Iterable[Item], inside: bool) -> Iterator[str]:
        for item in items:
            yield from self._item(item, inside)

    def _item(self, item: Item, inside: bool) -> Iterator[str]:
        asked = item.asked
        if asked.not_marks:
            yield from self._unless_marked(item, inside)
        elif isinstance(item, Within):
            head = self._ends(asked, inside) + wording.conditions(asked)
            yield f"within {head} {{{_where(item.origins)}"
            yield from self.items(item.items, True)
            yield "}"
        elif isinstance(item.action, Opaque) and self._section.hook == EITHER:
            for hook in ("prerouting", "output"):
                yield f"{self._opaque(item, item.action, hook)}{_where(item.origins)}"
        elif self._is_rule(item) or _plain(asked) == asked or self._takes_options(item):
            yield f"{self._statement(item, inside)}{_where(item.origins)}"
        else:
            kept = replace(asked, states=STATES, marks=(), source_ports=None, chance=0)
            around = replace(_plain(EVERYTHING), states=asked.states, marks=asked.marks, chance=asked.chance)
            if asked.source_ports is not None:
                around = replace(around, source_ports=asked.source_ports, ports=asked.ports)
            yield from self._item(Within(around, (replace(item, asked=kept),), item.origins), inside)

    def _unless_marked(self, item: Item, inside: bool) -> Iterator[str]:
        """One bit that is not so is the other way; more need a list that those leave which are so."""
        (value, mask), *more = item.asked.not_marks
        if mask & mask - 1 == 0:
            asked = replace(item.asked, not_marks=tuple(more), marks=(*item.asked.marks, (value ^ mask & mask, mask)))
            yield from self._item(replace(item, asked=asked), inside)
            return
        if isinstance(item, Statement) and item.action == Verdict("leave"):  # it may not end another list
            for bit in (1 << number for number in range(mask.bit_length()) if mask >> number & 1):
                asked = replace(item.asked, not_marks=((value & bit, bit), *more))
                yield from self._item(replace(item, asked=asked), inside)
            return
        leave = Statement(replace(EVERYTHING, marks=((value, mask),)), Verdict("leave"), item.origins)
        inner = replace(item, asked=replace(item.asked, not_marks=tuple(more)))
        yield from self._item(Within(EVERYTHING, (leave, inner), item.origins), inside)

    def _is_rule(self, item: Statement) -> bool:
        """A verb with options."""
        return isinstance(item.action, Log) or (
            isinstance(item.action, Verdict)
            and item.action.verb in ("allow", "deny", "reject", "leave")
            and (self._section.block != "raw" or item.action.verb == "leave")
        )

    def _takes_options(self, item: Statement) -> bool:
        """A statement of nat with its conditions."""
        return self._section.block == "nat" and not isinstance(item.action, Mark) and item.asked.states == STATES

    # ---- Words

    def _end(self, asked: Asked, of_source: bool, inside: bool) -> str:
        told = inside and self._section.block[:4] not in ("node", "forw")
        pin = "" if told else self._pins[0 if of_source else 1]
        side = asked.source if of_source else asked.target
        version = asked.version if of_source and not _says_family(asked) else 0
        return wording.end(side, self._names, version, pin)

    def _ends(self, asked: Asked, inside: bool) -> str:
        ends = f"{self._end(asked, True, inside)} -> {self._end(asked, False, inside)}"
        return ends if asked.ports is None else f"{ends} : {wording.ports(asked.ports, self._names)}"

    def _statement(self, one: Statement, inside: bool) -> str:
        asked, action = one.asked, one.action
        flow = self._ends(asked, inside)
        options = wording.conditions(asked)
        match action:
            case Verdict("keep"):
                return f"keep source for {flow}{options}"
            case Verdict("deny") if self._section.block == "raw":
                return f"drop {flow}"
            case Verdict(verb, answer, log):
                options += f" with {answer}" if answer else ""
                options += f" log{_log(log)}" if log is not None else ""
                comment = " ".join(dict.fromkeys(origin.comment for origin in one.origins if origin.comment))
                return f"{verb} {flow}{options}{_reason(comment) if verb != 'leave' else ''}"
            case Log():
                return f"log {flow}{options}{_log(action)}"
            case Dnat(version, address, port):
                target = self._end(asked, False, inside)
                ports = "" if asked.ports is None else f" : {wording.ports(asked.ports, self._names)}"
                there = str(IPv4Address(address) if version == 4 else IPv6Address(address))
                at = "" if port is None else f" : {port}"
                return f"dnat {self._end(asked, True, inside)} to {target}{ports} -> {there}{at}{options}"
            case Redirect(port):
                return f"redirect {flow} to {port}{options}"
            case Snat(version, address):
                return f"snat {flow} as {IPv4Address(address) if version == 4 else IPv6Address(address)}{options}"
            case Masquerade():
                return f"masquerade {flow}{options}"
            case Mark(value, mask):
                return f"mark {flow} {value:#x}" + ("" if mask == 0xFFFFFFFF else f"/{mask:#x}")
            case Dscp(value):
                return f"dscp {flow} {value}"
            case Ttl(change, amount):
                return f"ttl {change} {amount} for {flow}"
            case Mss(size):
                return f"mss {'clamp pmtu' if size is None else f'set {size}'} for {flow}"
            case Notrack():
                return f"notrack {flow}"
            case Opaque():
                block, hook = self._section.block, self._section.hook
                told = block[:7] == "forward" or (inside and block[:4] == "node")
                return self._opaque(one, action, "" if told else hook)
        raise AssertionError(f"{action} in a list")

    def _opaque(self, one: Statement, action: Opaque, hook: str) -> str:
        tool = "iptables" if action.tool == "iptables" else "nft"
        family = f" ipv{action.version}" if action.version and action.tool == "iptables" else ""
        name = self._writer.opaque_name(one.origins)
        return f"opaque {name} {tool}{family}{hook and ' '}{hook} {_quoted(one.words)}"


def _log(log: Log) -> str:
    """Prefix, rate and where it goes."""
    words = (f" {_quoted(log.prefix)}" if log.prefix else "") + (f" limit {log.limit}" if log.limit else "")
    return f"{words}{' to kernel' if log.kernel else ''}"


def _plain(asked: Asked) -> Asked:
    """Without what only rules and lists have options for."""
    return replace(asked, states=STATES, marks=(), not_marks=(), source_ports=None, chance=0)


def _says_family(asked: Asked) -> bool:
    """Whether addresses tell, so that nothing else must; what is taken away does not."""
    return any(side.addresses is not None and not side.addresses.without for side in (asked.source, asked.target))


def _where(origins: Sequence[Origin]) -> str:
    """The comment behind a statement: the places of its rules, and their chain."""
    if not origins:
        return ""
    files: dict[str, list[int]] = {}
    for origin in origins:
        files.setdefault(origin.file, []).append(origin.line)
    places = ", ".join(f"{file}:{_lines(lines)}" for file, lines in files.items())
    chains = ", ".join(dict.fromkeys(origin.chain for origin in origins))
    return f"  # {printable(f'{places} {chains}')}"


def _lines(lines: Sequence[int]) -> str:
    """`3`, `3,7-9`"""
    return ",".join(wording.spans(set(lines)))


def _reason(comment: str) -> str:
    return f" {_quoted(comment)}" if comment else ""


def _quoted(text: str) -> str:
    shown = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown[:_LONGEST]}"'

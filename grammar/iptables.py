"""What iptables-save prints and iptables-restore takes -> lines with positions. No match or target is known here:
every option is kept as it stands.

    # comment
    *filter
    :FORWARD DROP [0:0]
    [3:180] -A FORWARD -s 10.0.0.0/8 ! -p tcp -m comment --comment "two words" -j ACCEPT
    COMMIT

Words are split as iptables-restore splits them: at blanks, outside double quotes, where a backslash takes the next
character as it is. A word outside quotes that begins with `-` is an option. `!` stands before the option that it
negates or, as old versions have it, between the option and its values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from grammar.ruletext import Place
from grammar.source import Source

_WORD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+|"')
_PLAIN = re.compile(r"\S+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_NUMBER = re.compile(r"[0-9]{1,10}")
#: Of packets and bytes, 64 bits each.
_COUNTERS = re.compile(r"\[([0-9]{1,20}):([0-9]{1,20})\]")
#: Commands -> how they are spelled here. -I takes an optional number behind the chain, -P a policy.
_COMMANDS = {
    "-A": "-A",
    "--append": "-A",
    "-I": "-I",
    "--insert": "-I",
    "-N": "-N",
    "--new-chain": "-N",
    "-P": "-P",
    "--policy": "-P",
}


class Word(NamedTuple):
    """`text` is without quotes. `quoted` tells that they were there: such a word is no option."""

    text: str
    place: Place
    quoted: bool = False


class Option(NamedTuple):
    """`-s 10.0.0.1`, `! --dport 80`, `-m set`: `place` is all of it."""

    name: str
    values: tuple[Word, ...]
    negated: bool
    place: Place


class Command(NamedTuple):
    """A rule that is appended or inserted (`number`, from 1), a chain that is made (-N), a policy that is set (-P:
    `policy`). A line `:CHAIN POLICY` is -P for a policy, -N for `-`. `packets` and `bytes` are the
    counters of a rule or a policy, 0 without them."""

    verb: str
    chain: Word
    options: tuple[Option, ...]
    place: Place
    number: int = 1
    policy: str = ""
    packets: int = 0
    bytes: int = 0


class Table(NamedTuple):
    """From `*NAME` to COMMIT."""

    name: Word
    commands: tuple[Command, ...]


def tables(source: Source) -> Iterator[Table]:
    """Every table of the text. Raises Refused at the first line that is none of the above."""
    name: Word | None = None
    commands: list[Command] = []
    for place in _lines(source):
        text = place.text
        if name is None:
            if not text.startswith("*") or len(text) < 2 or " " in text:
                raise place.refused("a table begins with a line like *filter")
            name = Word(text[1:], place)
        elif text == "COMMIT":
            yield Table(name, tuple(commands))
            name, commands = None, []
        elif text.startswith(":"):
            commands.append(_declaration(place))
        else:
            commands.append(_command(place))
    if name is not None:
        raise name.place.refused("the table has no COMMIT")


def _lines(source: Source) -> Iterator[Place]:
    """The lines that say something, without blanks around them."""
    start = 0
    for line in source.text.split("\n"):
        text = line.strip()
        if text and not text.startswith("#"):
            begin = start + line.index(text[0])
            yield Place(source, begin, begin + len(text))
        start += len(line) + 1


def _declaration(place: Place) -> Command:
    words = _words(place)
    if not 2 <= len(words) <= 3 or len(words[0].text) < 2:
        raise place.refused("a chain is declared like :FORWARD DROP [0:0]")
    chain = Word(words[0].text[1:], Place(place.source, place.start + 1, words[0].place.end))
    policy = words[1].text
    counted = _COUNTERS.fullmatch(words[2].text) if len(words) == 3 else None
    packets, octets = map(int, counted.groups()) if counted else (0, 0)
    if policy == "-":
        return Command("-N", chain, (), place)
    return Command("-P", chain, (), place, policy=policy, packets=packets, bytes=octets)


def _command(place: Place) -> Command:
    words = _words(place)
    counted = _COUNTERS.fullmatch(words[0].text)
    if counted:
        del words[0]
    verb = _COMMANDS.get(words[0].text, "") if words else ""
    if not verb:
        named = words[0].text if words else place.text
        raise place.refused(f"{named} is not understood here: only -A, -I, -N and -P", "unsupported")
    if len(words) < 2:
        raise place.refused(f"{verb} needs a chain")
    chain, rest = words[1], words[2:]
    number, policy = 1, ""
    if verb == "-I" and rest and _NUMBER.fullmatch(rest[0].text):
        number = int(rest.pop(0).text)
    if verb == "-P" and rest:
        policy = rest.pop(0).text
    options = tuple(_options(rest))
    if (options and verb in ("-N", "-P")) or (verb == "-P" and not policy) or number < 1:
        raise place.refused(f"{verb} with what it does not take")
    packets, octets = map(int, counted.groups()) if counted else (0, 0)
    return Command(verb, chain, options, place, number, policy, packets, octets)


def _options(words: list[Word]) -> Iterator[Option]:
    names = [len(word.text) > 1 and word.text[0] == "-" and not word.quoted for word in words]
    marks = [word.text == "!" and not word.quoted for word in words]
    at, count = 0, len(words)
    while at < count:
        begin = words[at].place
        negated = marks[at]
        at += negated
        if at == count or not names[at]:
            raise begin.refused(f"an option is expected here, not {begin.text}")
        name, last = words[at], at
        at += 1
        if at + 1 < count and marks[at] and not negated and not names[at + 1]:
            negated = True
            at += 1
        first = at
        while at < count and not names[at] and not marks[at]:
            last = at
            at += 1
        yield Option(
            name.text, tuple(words[first:at]), negated, Place(begin.source, begin.start, words[last].place.end)
        )


def _words(place: Place) -> list[Word]:
    source, found = place.source, []
    if source.text.find('"', place.start, place.end) < 0:
        each = _PLAIN.finditer(source.text, place.start, place.end)
        return [Word(match.group(), Place(source, *match.span())) for match in each]
    for match in _WORD.finditer(source.text, place.start, place.end):
        text, at = match.group(), Place(source, *match.span())
        if text == '"':
            raise at.refused("the quote is not closed")
        if '"' in text:
            plain = _QUOTED.sub(lambda quoted: _ESCAPE.sub(r"\1", quoted.group(1)), text)
            found.append(Word(plain, at, text[0] == '"'))
        else:
            found.append(Word(text, at))
    return found

"""Texts of iptables-save -> tables of `values`, with everything that the language has no words for as opaque rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from compiler.importing.iptables_asks import asks
from compiler.importing.iptables_does import does, limit
from compiler.importing.values import (
    EVERYTHING,
    NOT_PROVED,
    Action,
    Asked,
    Chain,
    Inexpressible,
    Jump,
    Lines,
    Log,
    Lost,
    Mss,
    NeverMatches,
    Nothing,
    Opaque,
    Origin,
    Rule,
    Table,
)
from grammar import iptables
from grammar.iptables import Command, Option
from grammar.source import Source

_HOOKS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_JUMPS = {"-j": False, "--jump": False, "-g": True, "--goto": True}
_OTHER_FAMILY = {4: ("-6", "--ipv6"), 6: ("-4", "--ipv4")}
_COMMENT = ("--comment",)
#: Matches that count: what stands behind them in a rule is asked of fewer packets.
_LAST = ("limit", "statistic")
#: Matches that depend on the packet and its connection alone: asked twice, they answer the same.
_PURES = """
    addrtype ah conntrack connmark dccp dscp dst ecn esp frag helper hl icmp icmp6 icmpv6 iprange ipv6header length mac
    mark multiport owner physdev pkttype policy realm rpfilter rt sctp set socket state string tcp tcpmss tos ttl
    u32 udp
"""
_PURE = frozenset(_PURES.split())
_VERDICTS = {"": "", "ACCEPT": "allow", "DROP": "deny", "REJECT": "deny", "RETURN": "leave"}
#: Targets behind which a packet goes on with the next rule, whatever their options.
_CHANGES = """
    LOG NFLOG ULOG TRACE AUDIT TEE LED RATEEST IDLETIMER MARK CONNMARK CONNSECMARK SECMARK CLASSIFY DSCP TOS ECN TTL HL
    TCPMSS TCPOPTSTRIP CHECKSUM CT NOTRACK SET HMARK
"""
_GOES_ON = frozenset(_CHANGES.split())


def tables(source: Source, version: int, as_written: Lines = frozenset()) -> Iterator[Table]:
    """Every table of a text for one family; rules at these lines stay in iptables' words. Raises Refused where it is
    none."""
    for text in iptables.tables(source):
        if text.name.text not in _HOOKS:
            raise text.name.place.refused(f"there is no table {text.name.text}")
        yield _Reader(text, version, source.name.rpartition("/")[2], as_written).table()


class _Reader:
    """Of one table."""

    def __init__(self, text: iptables.Table, version: int, file: str, as_written: Lines) -> None:
        self._text, self._version, self._file, self._as_written = text, version, file, as_written
        self._hooks = _HOOKS[text.name.text]
        self._policies: dict[str, tuple[str, Origin]] = {}
        self._rules: dict[str, list[Rule]] = {name: [] for name in self._hooks}

    def table(self) -> Table:
        for command in self._text.commands:
            if command.verb == "-N":
                self._rules.setdefault(command.chain.text, [])
            elif command.verb == "-P":
                self._policy(command)
        for command in self._text.commands:
            if command.verb in ("-A", "-I"):
                self._take(command)
        chains = {}
        for name, rules in self._rules.items():
            policy, declared = self._policies.get(name, ("accept", None)) if name in self._hooks else ("", None)
            hook = name.lower() if name in self._hooks else ""
            chains[name] = Chain(name, tuple(rules), hook, policy, declared)
        return Table("iptables", self._text.name.text, self._version, chains)

    def _policy(self, command: Command) -> None:
        name = command.chain.text
        if name not in self._hooks or command.policy not in ("ACCEPT", "DROP"):
            raise command.place.refused("a policy is ACCEPT or DROP, and only chains of hooks have one")
        origin = Origin(self._file, command.place.span.line, f"{name}'s policy")
        self._policies[name] = command.policy.lower(), origin

    def _take(self, command: Command) -> None:
        if command.chain.text not in self._rules:
            raise command.chain.place.refused(f"the chain {command.chain.text} is not declared")
        rules = self._rules[command.chain.text]
        if any(option.name in _OTHER_FAMILY[self._version] for option in command.options):
            return
        at = len(rules) if command.verb == "-A" else command.number - 1
        rules.insert(at, self._rule(command))

    def _rule(self, command: Command) -> Rule:
        options = command.options
        at = next((n for n, option in enumerate(options) if option.name in _JUMPS), len(options))
        matches, target, own = options[:at], options[at : at + 1], options[at + 1 :]
        comment = " ".join(value.text for option in options if option.name == "--comment" for value in option.values)
        origin = Origin(self._file, command.place.span.line, command.chain.text, comment)
        name = ""
        if target:
            if len(target[0].values) != 1:
                raise target[0].place.refused("one target is expected")
            name = target[0].values[0].text
        jumps = name in self._rules
        if target and _JUMPS[target[0].name] and not jumps:
            raise target[0].place.refused(f"the chain {name} is not declared")
        words = _words(options)
        try:
            _counts_last(matches)
            if not jumps and (self._file, origin.line) in self._as_written:
                raise Inexpressible(NOT_PROVED)
            action: Action = Nothing()
            if jumps:
                action = Jump(name, _JUMPS[target[0].name])
            elif name:
                action = does(name, [option for option in own if option.name not in _COMMENT])
            if isinstance(action, Log):
                rest, limited = _limited(matches)
                matches = tuple(rest)
                action = replace(action, limit=limited)
            if isinstance(action, Mss):
                matches = _of_syns(matches)
            return Rule(asks(matches, self._version), action, origin, words)
        except NeverMatches as error:
            return Rule(EVERYTHING, Nothing(f"it matches nothing: {error}"), origin, words)
        except (Inexpressible, ValueError) as error:
            if jumps:
                try:
                    asked, besides = _apart(matches, self._version)
                except NeverMatches as never:
                    return Rule(EVERYTHING, Nothing(f"it matches nothing: {never}"), origin, words)
                return Rule(asked, Jump(name, _JUMPS[target[0].name]), origin, words, str(error), besides)
            if "--match-set" in words or name == "SET":
                return Rule(EVERYTHING, Lost(), origin, words, str(error))
            opaque = Opaque("iptables", self._version, _VERDICTS.get(name, "" if name in _GOES_ON else "allow"))
            return Rule(EVERYTHING, opaque, origin, words, str(error))


def _apart(matches: Sequence[Option], version: int) -> tuple[Asked, str]:
    """What the language can ask, and the words of the rest; none where some of it depends on earlier packets."""
    core: list[Option] = []
    groups: list[list[Option]] = []
    for option in matches:
        if option.name in ("-m", "--match"):
            groups.append([option])
        else:
            (groups[-1] if groups and option.name.startswith("--") else core).append(option)
    said: list[Option] = []
    besides: list[Option] = []
    for group in ([option] for option in core):
        (said if _can_ask(group, version) else besides).extend(group)
    for group in groups:
        (said if _can_ask([*said, *group], version) else besides).extend(group)
    protocol = [option for option in core if option.name in ("-p", "--protocol") and option not in besides]
    modules = {option.values[0].text for option in besides if option.name in ("-m", "--match") and option.values}
    try:
        return asks(said, version), _words([*protocol, *besides]) if modules <= _PURE else ""
    except (Inexpressible, ValueError):
        return EVERYTHING, ""


def _can_ask(options: Sequence[Option], version: int) -> bool:
    try:
        asks(options, version)
    except (Inexpressible, ValueError):
        return False
    return True


def _counts_last(matches: Sequence[Option]) -> None:
    """A match that counts must be the last one: the language asks it last."""
    modules = [one.values[0].text for one in matches if one.name in ("-m", "--match") and one.values]
    modules = [module for module in modules if module != "comment"]
    if any(module in _LAST for module in modules[:-1]):
        raise Inexpressible("a match that counts before others are asked")


def _limited(matches: Sequence[Option]) -> tuple[list[Option], str]:
    """The matches without a limit that is the last one, and this in the language's words."""
    at = next((n for n, one in enumerate(matches) if _is_module(one, "limit")), len(matches))
    own = [n for n in range(at + 1, len(matches)) if matches[n].name in ("--limit", "--limit-burst")]
    rest = [one for n, one in enumerate(matches) if n != at and n not in own]
    return rest, limit([matches[n] for n in own]) if at < len(matches) else ""


def _of_syns(matches: Sequence[Option]) -> tuple[Option, ...]:
    """The matches without the one for SYNs, which the language means anyway."""
    flags = [one for one in matches if one.name == "--tcp-flags"]
    if len(flags) != 1 or flags[0].negated or [value.text for value in flags[0].values] != ["SYN,RST", "SYN"]:
        raise Inexpressible("TCPMSS for other packets than SYNs")
    return tuple(one for one in matches if one is not flags[0])


def _is_module(option: Option, name: str) -> bool:
    return option.name in ("-m", "--match") and len(option.values) == 1 and option.values[0].text == name


def _words(options: Sequence[Option]) -> str:
    """The rule as it is written, without its comment."""
    return " ".join(
        " ".join(option.place.text.split())
        for option in options
        if option.name not in _COMMENT and not _is_module(option, "comment")
    )

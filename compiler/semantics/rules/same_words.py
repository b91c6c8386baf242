"""What both tools say, in words of nftables: how often, to whom it is told, flags and segments of TCP, chance.

Such statements are known by their text; two texts that mean the same must be one. Where a tool's statement has no
counterpart in the other one, or not in all of it, its own words stay.

| iptables | nftables | same in the kernel |
|---|---|---|
| `-m limit` | `limit rate` | buckets of `burst` packets, refilled at the rate; 5 where nothing is said |
| LOG | `log` without a group | nf_log_packet at a level, warn where nothing is said |
| NFLOG | `log group` | nf_log_packet to a group of nfnetlink_log |
| TCPMSS | `tcp option maxseg size set` | smaller, never larger; to a SYN without one, TCPMSS alone adds it |
| `-m tcp --tcp-flags`, `--syn` | `tcp flags a / b` | of those flags exactly these are set |
| `-m rpfilter --invert` | `fib saddr . iif oif missing` | no way back to the source by the interface it came by |
| statistic, random | `numgen random` | one of so many; xt_statistic's share is one of 2^31 parts |
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from compiler.semantics.rules.numbers import number
from grammar.iptables import Option

_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_BURST = "5"
#: LOG's levels by number and name, as nft prints them; it leaves out warn.
_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
_LEVEL_NAMES = {"panic": "emerg", "error": "err", "warning": "warn", **dict(zip(_LEVELS, _LEVELS, strict=True))}
_FLAGS = {
    "--log-tcp-sequence": "tcp sequence",
    "--log-tcp-options": "tcp options",
    "--log-ip-options": "ip options",
    "--log-uid": "skuid",
    "--log-macdecode": "ether",
}
_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
_NFLOG = {"--nflog-group": "group", "--nflog-prefix": "prefix", "--nflog-threshold": "queue-threshold"}
#: Parts of xt_statistic's share: 1/N is one of these, rounded.
_PARTS = 1 << 31


def limit(options: Sequence[Option]) -> str | None:
    """Of `-m limit`; None for what nft does not have."""
    given = _given(options)
    if given is None or not given.keys() <= {"--limit", "--limit-burst"}:
        return None
    count, _, unit = given.get("--limit", "3/hour").partition("/")
    name = _UNITS.get((unit or "second")[0].lower())
    if name is None or not count.isdecimal() or not f"{name}s".startswith((unit or "s").lower()):
        return None
    return f"limit rate {count}/{name} burst {given.get('--limit-burst', _BURST)} packets"


def no_way_back(options: Sequence[Option]) -> str | None:
    """Of `-m rpfilter`; None for what it asks beside that."""
    return "fib saddr . iif oif missing" if _given(options) == {"--invert": ""} else None


def chance(options: Sequence[Option]) -> str | None:
    """Of `-m statistic`; None for a share that is not one of a number, and for what counts packets."""
    given = _given(options)
    if given is None or given.keys() != {"--mode", "--probability"} or given["--mode"] != "random":
        return None
    try:
        share = float(given["--probability"])
    except ValueError:
        return None
    of = round(1 / share) if 0 < share <= 1 else 0
    return _one_of(str(of)) if of and abs(share - 1 / of) * _PARTS <= 1 else None


def tcp_flags(option: Option) -> str | None:
    """Of `-m tcp`, whether negated or not; None for another question."""
    if option.name == "--syn":
        return _flags(("SYN",), ("FIN", "SYN", "RST", "ACK"))
    if option.name != "--tcp-flags" or len(option.values) != 2:
        return None
    mask, flags = (value.text.upper().split(",") for value in option.values)
    return _flags(() if flags == ["NONE"] else flags, mask)


def notice(name: str, own: Sequence[Option]) -> str | None:
    """Of LOG and NFLOG."""
    given = _given(own)
    if given is None:
        return None
    words: dict[str, str] = {}
    flags = []
    for option, value in given.items():
        if name == "NFLOG" and option in _NFLOG:
            words[_NFLOG[option]] = value
        elif name == "LOG" and option == "--log-prefix":
            words["prefix"] = value
        elif name == "LOG" and option == "--log-level":
            words["level"] = _level(value)
        elif name == "LOG" and option in _FLAGS and not value:
            flags.append(_FLAGS[option])
        else:
            return None
    if name == "NFLOG":
        words.setdefault("group", "0")
    return _log(words, flags)


def segment_size(own: Sequence[Option]) -> str | None:
    """Of TCPMSS."""
    given = _given(own)
    if given == {"--clamp-mss-to-pmtu": ""}:
        return f"{_MSS} rt mtu"
    if given is None or given.keys() != {"--set-mss"}:
        return None
    return f"{_MSS} {number(given['--set-mss'], 65535)}"


def of_nftables(words: Sequence[str]) -> str:
    """A statement of nft, with what it leaves to be understood."""
    match list(words):
        case ["limit", "rate", rate] | ["limit", "rate", "over", rate] if "/" in rate:
            return f"{' '.join(words)} burst {_BURST} packets"
        case ["limit", "rate", count, "/", unit, *rest] if count != "over":
            return of_nftables(["limit", "rate", f"{count}/{unit}", *rest])
        case ["log", *rest]:
            return _nft_log(rest) or " ".join(words)
    return " ".join(words)


def of_test(text: str) -> str:
    """A test of nft that has no field, less its operator !=."""
    match text.split():
        case ["tcp", "flags", flags, "/", *masks]:
            return _flags(flags.upper().split(","), "".join(masks).upper().split(","))
        case ["tcp", "flags", "&", *rest] if "==" in rest:
            mask, _, flags = "".join(rest).upper().strip("(").partition("==")
            return _flags(flags.split("|"), mask.strip("()").split("|"))
    return text


def of_chance(text: str) -> str:
    """A test of `numgen`: one of its values is as good as another."""
    match text.split():
        case ["numgen", "random", "mod", of, value] | ["numgen", "random", "mod", of, "==", value] if value.isdecimal():
            return _one_of(of)
        case ["numgen", "random", "mod", of, "<", "1"]:
            return _one_of(of)
    return text


_MSS = "tcp option maxseg size set"


def _one_of(of: str) -> str:
    return f"numgen random mod {of} 0"


def _flags(flags: Collection[str], mask: Collection[str]) -> str:
    """`tcp flags syn / syn,rst`; some of `mask` alone must be there."""
    every = [flag for flag in _TCP_FLAGS if flag in mask or "ALL" in mask]
    return (
        f"tcp flags {','.join(flag for flag in every if flag in flags or 'ALL' in flags)} / {','.join(every)}".lower()
    )


def _nft_log(words: Sequence[str]) -> str | None:
    """`prefix "x" group 0`, `level info flags all`"""
    found: dict[str, str] = {}
    flags: list[str] = []
    rest = list(words)
    while rest:
        match rest:
            case ["prefix", text, *rest]:
                found["prefix"] = text.strip('"')
            case [("group" | "level" | "snaplen" | "queue-threshold") as name, value, *rest]:
                found[name] = value
            case ["flags", ("tcp" | "ip") as header, part, *rest]:
                flags.append(f"{header} {part}")
            case ["flags", ("skuid" | "ether") as part, *rest]:
                flags.append(part)
            case _:
                return None
    return _log(found, flags)


def _log(words: dict[str, str], flags: Sequence[str]) -> str:
    """In one order; a level that nothing needs to say is left out."""
    if "group" not in words and words.get("level") == "warn":
        del words["level"]
    parts = [f"{name} {value}" for name, value in sorted(words.items()) if name != "prefix"]
    said = [f'prefix "{words["prefix"]}"'] if words.get("prefix") else []
    return " ".join(["log", *said, *parts, *(f"flags {flag}" for flag in sorted(flags))])


def _level(word: str) -> str:
    if word.isdecimal() and int(word) < len(_LEVELS):
        return _LEVELS[int(word)]
    return _LEVEL_NAMES.get(word.lower(), word)


def _given(options: Sequence[Option]) -> dict[str, str] | None:
    """Options with their values; None where one is negated or stands twice."""
    found = {option.name: " ".join(value.text for value in option.values) for option in options}
    return None if len(found) < len(options) or any(option.negated for option in options) else found

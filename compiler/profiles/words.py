"""By which words a rule is found again in another dump: as the tool prints it, without counter and handle.

What a tool prints is not always what it was given: options come in another order, defaults disappear, numbers change
their base. So the words of iptables are its options, sorted and each in one spelling; names of sets of ours end in a
digest of what is in them, which does not count. A rule of nftables that netpolc compiled with counters carries a digest
of its words in a comment, of which nft keeps every letter; of others the words are what nft prints.
"""

from __future__ import annotations

import re

from compiler.net import Prefix, parse_address, parse_prefix
from compiler.ordering.dimensions import PROTOCOLS
from grammar.iptables import Command, Option, tables
from grammar.source import Source

#: Long and old names of options -> those that iptables-save prints.
OPTIONS = {
    "--source": "-s",
    "--src": "-s",
    "--destination": "-d",
    "--dst": "-d",
    "--protocol": "-p",
    "--proto": "-p",
    "--in-interface": "-i",
    "--out-interface": "-o",
    "--jump": "-j",
    "--goto": "-g",
    "--match": "-m",
    "--destination-port": "--dport",
    "--source-port": "--sport",
    "--destination-ports": "--dports",
    "--source-ports": "--sports",
}
#: Printed only where they are others.
_DEFAULTS = {("--nflog-group", "0"), ("--limit-burst", "5"), ("-p", "all"), ("-p", "0")}
#: As the tools know them (/etc/protocols), beside those of PROTOCOLS.
_PROTOCOLS = {**PROTOCOLS, "igmp": 2, "ipv4": 4, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "vrrp": 112}
#: What netpolc calls sets of iptables: behind is a digest of their content, or the tag of a generation. Of longer names
#: not all is in front of the digest.
_SET = re.compile(r"(netpolc-.{1,12}).*-(?:[0-9a-f]{10}|v[0-9]{1,2})")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_PLAIN = re.compile(r'[^\s"!-][^\s"]*')
_NFT_WORD = re.compile(r'"[^"\n]*"|#[^\n]*|[^\s"#]+')
_USUAL_ANSWER = re.compile(r"\breject with icmpx port-unreachable\b")
#: A comment by which netpolc knows a rule of its own: `backends/nftables.py`.
_MARK = re.compile(r"netpolc [0-9a-f]{12}")


def of_iptables(command: Command) -> str:
    """The words of a rule that is appended or inserted: themselves a rule with these words."""
    return " ".join(sorted({_option(option) for option in command.options} - {""}))


def of_iptables_text(text: str) -> str:
    """The same of what stands behind `-A CHAIN`. Raises Refused for what is no rule."""
    (table,) = tables(Source("", f"*filter\n-A CHAIN {' '.join(text.split())}\nCOMMIT\n"))
    return of_iptables(table.commands[0])


def of_nftables(text: str) -> str:
    """The words of a rule as `nft list` prints it."""
    words = [word for word in _NFT_WORD.findall(text) if word[0] != "#"]
    if len(words) > 1 and words[-2] == "comment" and _MARK.fullmatch(words[-1].strip('"')):
        return f"comment {words[-1]}"
    while "counter" in words:
        at = words.index("counter")
        counts = words[at + 1 : at + 2] == ["packets"]
        del words[at : at + (5 if counts else 1)]
    return _USUAL_ANSWER.sub("reject", " ".join(map(_nft_word, words)))


def _nft_word(word: str) -> str:
    """What JSON has of it: numbers are decimal there, and nothing is quoted but what has blanks."""
    if _HEX.fullmatch(word):
        return str(int(word, 16))
    plain = word.strip('"')
    return plain if _PLAIN.fullmatch(plain) else word


def _option(option: Option) -> str:
    name = OPTIONS.get(option.name, option.name)
    values = [_value(name, word.text) for word in option.values]
    if (name, values[0] if values else "") in _DEFAULTS:
        return ""
    return " ".join([*["!"] * option.negated, name, *map(_quoted, values)])


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _value(name: str, text: str) -> str:
    match name:
        case "-s" | "-d":
            return _block(text)
        case "-p":
            number = text if text.isdecimal() else _PROTOCOLS.get(text, text)
            return str(number)
        case "--ctstate" | "--state":
            return ",".join(sorted(text.split(",")))
        case "--limit":
            count, _, unit = text.partition("/")
            return f"{count}/{unit[:3]}"
        case "--probability" if text.replace(".", "", 1).isdecimal():
            return f"{float(text):.6f}"
        case "--match-set":
            found = _SET.fullmatch(text)
            return found[1].rstrip("-") if found else text
        case _:
            return _HEX.sub(lambda digits: hex(int(digits[0], 16)), text).removesuffix("/0xffffffff")


def _block(text: str) -> str:
    """An address is a block of one; a mask whose ones are in front is a length."""
    address, slash, mask = text.partition("/")
    try:
        family, base = parse_address(address)
        if not slash:
            return str(Prefix(family.value, base, family.bits))
        if mask.isdecimal():
            return str(parse_prefix(text))
        ones = parse_address(mask)[1]
    except ValueError:
        return text
    rest = ~ones & ((1 << family.bits) - 1)
    return text if rest & rest + 1 else str(Prefix(family.value, base, family.bits - rest.bit_length()))

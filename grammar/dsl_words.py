"""The words of the policy language, and how messages speak of what may stand at a place.

The parser knows which tokens could come next; a reader wants to hear of ends, ports and rules. GROUPS turns the one
into the other: the first entry whose tokens are all possible speaks for them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from difflib import get_close_matches

from grammar.dsl_literals import PROTOCOLS

#: First words of what stands outside of blocks, and of blocks.
DEFINITIONS = ("include", "set", "service", "zone")
BLOCKS = ("policy", "node", "forward", "nat", "mangle", "raw", "expect")
#: First words of statements, by the block that they stand in. An expectation begins with an end or with `only`.
_VERBS = ("allow", "deny", "reject", "pass", "log", "leave", "within", "opaque")
STATEMENTS: Mapping[str, tuple[str, ...]] = {
    "policy": _VERBS,
    "node": _VERBS,
    "forward": _VERBS,
    "nat": ("dnat", "snat", "masquerade", "redirect", "keep", "mark", "log", "leave", "within", "opaque"),
    "mangle": ("mark", "dscp", "ttl", "mss", "opaque"),
    "raw": ("notrack", "drop", "opaque"),
    "expect": ("only",),
}
ENDS = ("any", "self", "pods", "nodes", "iface")
#: Words that cannot name anything: what follows a forgotten word must not be taken for it.
RESERVED = frozenset(
    {
        *(*DEFINITIONS, *BLOCKS, *ENDS, *(word for words in STATEMENTS.values() for word in words)),
        *("and", "except", "unless", "with", "log", "limit", "from", "to", "for", "as", "between", "spoofed"),
        *("can", "cannot", "reach", "translates", "may", "burst", "state", "marked", "source", "chance"),
    }
)
#: "log" as the word that a statement begins with has an end behind it, as LOG_VERB of dsl.lark says.
LOG_VERB = re.compile(
    r"log(?![\w.-])(?=(?:\s|#[^\n]*\n)*(?!(?:limit|unless|with|to|state|marked|source|chance|allow|deny|reject|pass"
    r"|leave|log|within|opaque|dnat|snat|masquerade|redirect|keep|mark)(?![\w.-]))[A-Za-z0-9_:{])"
)


def _upper(*words: str) -> frozenset[str]:
    """Their tokens."""
    return frozenset(word.upper() for word in words)


def _beginning(block: str) -> frozenset[str]:
    """The tokens that statements of a block begin with."""
    return _upper(*STATEMENTS[block]) - {"LOG"} | ({"LOG_VERB"} if "log" in STATEMENTS[block] else set())


_END = frozenset({"NAME", "ADDRESS", "PREFIX", "LBRACE", "PODS", "NODES", "ANY", "SELF", "IFACE"})
_END_TEXT = "an end (a zone, pods, nodes, any, self, iface, an address, { ... })"
_CONDITIONS = ("MARKED", "SOURCE", "CHANCE")
_OPTIONS_TEXT = 'an option (a "reason", log, limit, unless from, with, state, marked, source port, chance)'
GROUPS: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (_upper(*DEFINITIONS, *BLOCKS), ("set", "service", "zone", "include", "a block such as policy")),
    (_END | {"NUMBER"}, ("ports such as tcp/443", _END_TEXT)),
    (_END | {"ONLY"}, ("an expectation such as web can reach db : tcp/5432",)),
    (_END, (_END_TEXT,)),
    (_upper("LOG", "LIMIT", "UNLESS", "WITH", "TO", "STATE", *_CONDITIONS) | {"STRING"}, (_OPTIONS_TEXT,)),
    (_upper("UNLESS", "STATE", *_CONDITIONS), ("a condition (unless from, state, marked, source port, chance)",)),
    (_upper(*_CONDITIONS), ("a condition (marked, source port, chance)",)),
    *((_beginning(block), STATEMENTS[block]) for block in ("policy", "nat", "mangle", "raw")),
    (_upper("SEC", "SECOND", "MIN", "MINUTE", "HOUR", "DAY"), ("sec", "min", "hour", "day")),
    (frozenset({"NAME", "ADDRESS", "PREFIX"}), ("an address", "a prefix", "the name of a set")),
    (frozenset({"ADDRESS", "PREFIX"}), ("an address", "a prefix")),
    (frozenset({"KEY", "STRING", "NAMESPACE"}), ("a label", "namespace:")),
    (frozenset({"KEY", "STRING"}), ("a label",)),
    (frozenset({"VALUE", "STRING"}), ("a value",)),
    (frozenset({"INTERFACE", "STRING"}), ("the name of an interface",)),
    (frozenset({"EQUAL", "DIFFERENT", "IN", "NOTIN"}), ("=", "!=", "in (...)", "notin (...)")),
    (_upper("IPTABLES", "NFT"), ("iptables", "nft")),
    (
        _upper("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING") | {"STRING"},
        ('the rule in "quotes"', "a hook such as input"),
    ),
    (_upper("DEC", "INC", "SET"), ("dec", "inc", "set")),
    (_upper("CLAMP", "SET"), ("clamp pmtu", "set")),
)
#: What one token is called where no group speaks for it.
_SINGLE = {
    "NAME": "a name",
    "NUMBER": "a number",
    "ADDRESS": "an address",
    "PREFIX": "a prefix",
    "STRING": 'a text in "quotes"',
    "KEY": "a label",
    "VALUE": "a value",
    "INTERFACE": "the name of an interface",
    "LOG_VERB": "log",
    "$END": "the end of the file",
}
#: What it is called behind a certain word or sign.
_BEHIND: Mapping[str, Mapping[frozenset[str], str]] = {
    "SLASH": {frozenset({"NAME", "NUMBER", "REDIRECT"}): "a port, a range of ports or a port's name"},
    "COMMA": {frozenset({"NAME", "NUMBER", "REDIRECT"}): "another port"},
    "COLON": {
        frozenset({"NAME", "NUMBER"}): "ports such as tcp/443, or the name of a service",
        frozenset({"NUMBER"}): "a port",
    },
    "PLUS": {frozenset({"NAME", "NUMBER"}): "ports such as tcp/443, or the name of a service"},
    "EQUAL": {frozenset({"NAME", "NUMBER"}): "ports such as tcp/443, or the name of a service"},
    "ARROW": {_END: "the other end"},
    "IN": {frozenset({"LPAR"}): "values in (...)"},
    "NOTIN": {frozenset({"LPAR"}): "values in (...)"},
    "INCLUDE": {frozenset({"STRING"}): 'the name of a file in "quotes"'},
    "WITH": {frozenset({"NAME"}): "an answer such as tcp-reset"},
    "LIMIT": {frozenset({"NUMBER"}): "a rate such as 5/min"},
    "STATE": {frozenset({"NAME"}): "a state such as new"},
    "MARKED": {frozenset({"NUMBER"}): "a mark such as 0x10/0xff"},
    "PORT": {frozenset({"NUMBER"}): "a port or a range of ports"},
    "CHANCE": {frozenset({"NUMBER"}): "a chance such as 1/2"},
}
#: Continuations that hardly anyone forgot: told only where nothing else is.
_MINOR = (
    "SAME",
    "AND",
    "EXCEPT",
    "PLUS",
    "MINUS",
    "COMMA",
    "BETWEEN",
    "SLASH",
    "MAY",
    "BURST",
    "LPAR",
    "TIER",
    "PRIORITY",
    "PACKETS",
    "IPV4",
    "IPV6",
    "COLON",
    "$END",
)
#: Words of other languages for what this one has.
_FOREIGN = {
    **dict.fromkeys(["accept", "permit", "ACCEPT"], "allow"),
    **dict.fromkeys(["drop", "block", "DROP"], "deny"),
    **dict.fromkeys(["interface", "iif", "oif", "iifname", "oifname", "dev", "in-interface"], "iface"),
    **dict.fromkeys(["all", "anywhere", "everyone", "anyone", "world"], "any"),
    **dict.fromkeys(["host", "localhost", "this"], "self"),
    **dict.fromkeys(["filter", "input", "chain", "table"], "policy"),
    **dict.fromkeys(["ipset", "alias", "define", "group"], "set"),
    **dict.fromkeys(["port", "ports"], "service"),
    **dict.fromkeys(["may", "allowed"], "can"),
    **dict.fromkeys(["import", "source"], "include"),
    **dict.fromkeys(["ct", "untrack"], "notrack"),
    **dict.fromkeys(["tos"], "dscp"),
    **dict.fromkeys(["hl", "hoplimit"], "ttl"),
    **dict.fromkeys(["tcpmss", "maxseg"], "mss"),
    **dict.fromkeys(["not", "but", "excluding", "without"], "except"),
    **dict.fromkeys(["assert", "test", "check"], "expect"),
    **dict.fromkeys(["return", "RETURN"], "leave"),
    **dict.fromkeys(["jump", "goto", "call"], "within"),
    **dict.fromkeys(["nftables"], "nft"),
    **dict.fromkeys(["ctstate", "conntrack"], "state"),
    **dict.fromkeys(["sport"], "source"),
    **dict.fromkeys(["probability"], "chance"),
    **dict.fromkeys(["LOG"], "log"),
}
#: Characters that look like what was meant, or stand for it in other places.
_LOOKALIKES = {
    **dict.fromkeys("“”„‟«»", '"'),
    **dict.fromkeys("‘’‚‛`´'", '"'),
    **dict.fromkeys("–—‐‑−", "-"),
    **dict.fromkeys("→⇒➔➜⟶", "->"),
    **dict.fromkeys("↔⇔⟷", "<->"),
    **dict.fromkeys("аАαΑ", "a"),
    **dict.fromkeys("еЕΕ", "e"),
    **dict.fromkeys("оОοΟ", "o"),
    **dict.fromkeys("рРρΡ", "p"),
    **dict.fromkeys("сС", "c"),
    **dict.fromkeys("хХχΧ", "x"),
    **dict.fromkeys("уУ", "y"),
    **dict.fromkeys("іІιΙ", "i"),
    **dict.fromkeys("∕⁄", "/"),
    **dict.fromkeys("∶ː", ":"),
    **dict.fromkeys("‚،", ","),
}


def expected(tokens: Collection[str], literals: Mapping[str, str], previous: str) -> str:
    """What may come: `-> or :`, `the other end`, ... `literals` has the text of tokens that have one; `previous` is
    the token before."""
    left = set(tokens)
    phrases: list[str] = []
    for wanted, text in _BEHIND.get(previous, {}).items():
        if wanted <= left:
            left -= wanted
            phrases.append(text)
    if "ARROW" in left:  # without it nothing is complete
        left -= {"COLON", "ARROW"}
        phrases.append('"->" and the other end' if "BOTH_WAYS" not in left else '"->" or "<->" and the other end')
        left.discard("BOTH_WAYS")
    for wanted, texts in GROUPS:
        if wanted <= left:
            left -= wanted
            phrases += texts
    major = sorted(left - set(_MINOR), key=lambda token: (token in _SINGLE, token))
    phrases += (_called(token, literals) for token in major if token != "RBRACE")
    if len(phrases) < 3:
        minor = [token for token in _MINOR if token in left and (token == "COLON" or not phrases)]
        if "RBRACE" in left or len(minor) > 2:
            minor = [token for token in minor if token not in ("AND", "EXCEPT", "MINUS")]
        phrases = [*(_called(token, literals) for token in minor), *phrases]
    if "RBRACE" in left:
        phrases.append('"}"')
    return _listed(phrases)


def _called(token: str, literals: Mapping[str, str]) -> str:
    if token in _SINGLE:
        return _SINGLE[token]
    text = literals.get(token, token.lower())
    return text if text.isalpha() else f'"{text}"'


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " or " + phrases[-1]


def meant(word: str, possible: Collection[str]) -> str | None:
    """The word out of `possible` that somebody who wrote `word` may have meant."""
    if (foreign := _FOREIGN.get(word)) is not None and foreign in possible:
        return foreign
    if len(word) < 2 or len(word) > 30:
        return None
    if word.lower() in possible:
        return word.lower()
    swapped = [one for one in possible if len(word) > 2 and sorted(one) == sorted(word)]
    close = get_close_matches(word, possible, 1, 0.72)
    longer = [one for one in possible if len(one) > 2 < len(word) and (word.startswith(one) or one.startswith(word))]
    return next(iter((*swapped, *close, *longer)), None)


def advice(word: str, accepted: Collection[str], previous: str) -> str | None:
    """How to write what somebody seems to mean who writes `word` behind a token of the kind `previous`, where the
    tokens `accepted` could stand; None where nothing comes to mind."""
    if word == ",":
        several = {"INTERFACE": "several interfaces stand in ( ... )"}
        return several.get(previous, "several ends stand in { ... }" if "ARROW" in accepted else None)
    if word == "/":
        if previous == "NUMBER":
            return "the protocol stands first, as in tcp/80"
        if "PLUS" in accepted:
            return 'ports of several protocols are joined by "+"'
        return 'ports stand behind both ends and ":"' if "ARROW" in accepted else None
    if word.partition("/")[0].lower() in PROTOCOLS | {"port", "ports", "dport"}:
        if "PLUS" in accepted:
            return 'ports of several protocols are joined by "+"'
        return 'ports stand behind ":"' if "COLON" in accepted else None
    if word in ("from", "to") and previous in _upper(*_VERBS):
        return 'a connection is written "a -> b"'
    return "a port stands behind a slash, as in tcp/80" if word.isdigit() and "SLASH" in accepted else None


def home(word: str) -> str | None:
    """Where a statement that begins with this word belongs: `a nat block`, `a policy or node block`."""
    blocks = [block for block, words in STATEMENTS.items() if word in words]
    return f"a {_listed(blocks)} block" if blocks else None


def stray(char: str) -> str:
    """What to say of a character that the language has no use for."""
    code = f"U+{ord(char):04X}"
    name = unicodedata.name(char, "")
    called = f"{code} {name}" if name else code
    if char == ";":
        return 'nothing ends with ";" here: a statement ends where the next one begins'
    if char == "\r":
        return "a carriage return without a line feed"
    if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0:
        return f"a control character ({code})"
    if char == "\ufeff":
        return "a byte order mark inside the text: were files put together?"
    if unicodedata.category(char) == "Zs":
        return f"a space that is none ({called}): write a plain one"
    if unicodedata.category(char) in ("Cf", "Cs", "Co", "Cn"):
        return f"an invisible character ({called})"
    plain = _LOOKALIKES.get(char) or unicodedata.normalize("NFKC", char)
    plain = plain.upper() if char.isupper() else plain
    if plain != char and plain.isascii():
        return f"{char} is {called}: write {plain}"
    if not char.isascii():
        return f'{char} ({called}) is not a character of the language, except in "texts" and comments'
    return f'"{char}" has no meaning here'

"""Plain YAML scalars as kubectl reads them.

kubectl turns YAML into JSON with sigs.k8s.io/yaml, whose parser resolves scalars by YAML 1.1 with these
particulars: `yes`, `on`, `y` and their like are booleans; a leading 0 means octal; 0x, 0o and 0b are numbers;
underscores separate digits; there are no base-60 numbers; a timestamp stays a string; a float without a fraction
becomes an integer, since JSON does not tell them apart.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
}
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
#: Longer digit strings are no number that any field takes; converting them would take quadratic time.
_DIGITS = 400


def plain(text: str) -> Scalar:
    """The value of a plain (unquoted, untagged) scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _DIGITS:
        return text
    digits = text if text[0] == "." else text.replace("_", "")
    if found := _INTEGER.fullmatch(digits):
        base = found.lastgroup or "dec"
        value = int(found[base], _BASES[base])
        return -value if found["sign"] == "-" else value
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        return text if number in (float("inf"), float("-inf")) else _number(number)
    return text


def tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with an explicit core tag (`!!str`, ...). Raises ValueError for any other tag, and for
    text that is not of that type; the message says which."""
    name = tag.removeprefix("tag:yaml.org,2002:")
    value = plain(text)
    match name:
        case "!" | "str":
            return text
        case "timestamp":
            return text
        case "null" if value is None:
            return None
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "float" if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        case "null" | "bool" | "int" | "float":
            raise ValueError(f'"{text}" is no !!{name}')
        case _:
            raise ValueError(f"the tag {tag if name == tag else '!!' + name} is not supported")


def key_text(value: Scalar) -> str | None:
    """A key as JSON writes it: numbers and booleans become strings. None for null, which is no key."""
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _number(value: float) -> int | float:
    # JSON's text of a float below 10^21 without a fraction is that of an integer.
    return int(value) if abs(value) < 1e21 and value == int(value) else value

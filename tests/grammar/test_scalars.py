"""Plain scalars: what sigs.k8s.io/yaml makes of them. The expectations are go-yaml's tables, read by hand."""

from __future__ import annotations

import math

import pytest

from grammar.scalars import key_text, plain, tagged


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, True) for word in ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")],
        *[(word, False) for word in ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")],
        *[(word, None) for word in ("", "~", "null", "Null", "NULL")],
        *[
            (word, word)
            for word in ("yEs", "oN", "tRue", "nULL", "none", "nil", "web", "a b", "=", "-", "+", ".", "<<")
        ],
        ("0", 0),
        ("80", 80),
        ("-1", -1),
        ("+12", 12),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0X1f", 31),
        ("-0x1F", -31),
        ("0b101", 5),
        ("-0b101", -5),
        ("0o17", 15),
        ("017", 15),
        ("00", 0),
        ("0777", 511),
        ("08", 8),  # no octal number, but a float
        ("089", 89),
        ("18446744073709551615", 2**64 - 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1),
        ("80.0", 80),
        ("8e1", 80),
        ("1e3", 1000),
        ("1E-2", 0.01),
        ("1e400", "1e400"),
        ("1e21", 1e21),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("12:30", "12:30"),  # no base 60
        ("190:20:30", "190:20:30"),
        ("2024-05-01", "2024-05-01"),
        ("2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("1.2.3", "1.2.3"),
        ("0x", "0x"),
        ("0b2", "0b2"),
        ("1e", "1e"),
        ("١", "١"),  # a digit, but not one of ASCII
        ("9" * 5000, "9" * 5000),  # longer than any number that is one
    ],
)
def test_plain(text: str, value: object) -> None:
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    found = plain(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [
        ("str", "80", "80"),
        ("str", "null", "null"),
        ("int", "0x10", 16),
        ("float", "1", 1),
        ("bool", "off", False),
        ("null", "~", None),
        ("timestamp", "2024-05-01", "2024-05-01"),
    ],
)
def test_tagged(tag: str, text: str, value: object) -> None:
    assert tagged(f"tag:yaml.org,2002:{tag}", text) == value


def test_the_non_specific_tag_means_text() -> None:
    assert tagged("!", "80") == "80"


@pytest.mark.parametrize(
    ("tag", "text", "message"),
    [
        ("tag:yaml.org,2002:int", "web", '"web" is no !!int'),
        ("tag:yaml.org,2002:bool", "1", '"1" is no !!bool'),
        ("tag:yaml.org,2002:null", "0", '"0" is no !!null'),
        ("tag:yaml.org,2002:float", "yes", '"yes" is no !!float'),
        ("tag:yaml.org,2002:binary", "aGk=", "the tag !!binary is not supported"),
        ("!Ref", "web", "the tag !Ref is not supported"),
    ],
)
def test_tags_that_are_refused(tag: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("!", r"\!")):
        tagged(tag, text)


def test_keys_are_text() -> None:
    assert [key_text(k) for k in ("a", 1, 1.5, True, False, None)] == ["a", "1", "1.5", "true", "false", None]

"""ipset save text: sets and members with their options."""

from __future__ import annotations

import pytest

from grammar.ipset import sets
from grammar.ruletext import Refused
from grammar.source import Source


def test_sets_and_members() -> None:
    text = (
        "# head\n"
        "create a hash:ip family inet maxelem 8 comment counters -exist\n"
        "add a 10.0.0.1 -exist\n"
        'add a 10.0.0.2 packets 1 bytes 2 comment "two words"\n'
        "-N b hash:net\n-A b 10.0.0.0/8 nomatch\n"
    )
    found = sets(Source("sets", text))
    a, b = found["a"], found["b"]
    assert (a.kind, a.options) == ("hash:ip", {"family": "inet", "maxelem": "8", "comment": "", "counters": ""})
    assert [member.text for member in a.members] == ["10.0.0.1", "10.0.0.2"]
    assert a.members[1].options == {"packets": "1", "bytes": "2", "comment": "two words"}
    assert b.members[0].options == {"nomatch": ""}
    assert str(b.members[0].place.span) == "sets:6:1"


def test_creating_again_changes_nothing() -> None:
    found = sets(Source("sets", "create a hash:ip\nadd a 10.0.0.1\ncreate a hash:ip -exist\n"))
    assert len(found["a"].members) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("add a 10.0.0.1", "1:1: the set a was not created"),
        ("create a hash:ip\ndel a 10.0.0.1", "2:1: del is not understood here"),
        ("create a hash:ip\nflush a", "2:1: flush is not understood here"),
        ("create a hash:ip\ncreate a hash:net", "2:1: the set a is there already, of another type"),
        ("create a hash:ip\nadd a 10.0.0.1 timeout", "2:1: timeout needs a value"),
        ("create a", "1:1: create needs a name and a type"),
        ('create a hash:ip\nadd a 10.0.0.1 comment "x', "2:1: the quote is not closed"),
        ("-exist", "1:1: a command is expected"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(Refused) as found:
        sets(Source("sets", text))
    assert str(found.value).startswith(f"sets:{message}")

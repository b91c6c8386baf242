"""Lists in lists as rules, for the failsafe: what denies is never missed, what allows holds."""

from __future__ import annotations

import pytest

from compiler.net import Family
from compiler.resolve.ends import Ends
from compiler.resolve.failsafe import failsafe
from compiler.resolve.inventory import Inventory
from compiler.resolve.narrowed import narrowed
from compiler.resources.language import Program
from compiler.snapshot import build
from compiler.sources.language import load

ENDS = Ends(Inventory(build()), None)
SSH, DNS = "any -> self : tcp/22", "self -> any : udp/53 + tcp/53"


def read(text: str) -> Program:
    return load([("f.np", text.encode())], lambda _, __: "nothing is there")


def kept(text: str) -> list[str]:
    said = read(text)
    found = failsafe(tuple(narrowed(said.node)), ENDS, list(Family), (), tuple(narrowed(said.node_packets)))
    return [line.text.removeprefix("allow ").partition("  #")[0] for line in found]


def verbs(text: str) -> list[str]:
    return [rule.verb for rule in narrowed(read(text).node)]


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("node { within any -> self : tcp { deny any -> any } }", True),
        ("node { within any -> self : tcp/80 { deny any -> any } }", False),
        ("node { within any -> self { within any -> any { reject any -> any : tcp/20-30 } } }", True),
        ("node { within any -> self { deny any -> any : udp } }", False),
        ("node { within self -> any { deny any -> any : tcp/22 } }", False),
        ("node { within any -> self marked 1 { deny any -> any chance 1/2 } }", True),
        ("node { within any -> self { log any -> any leave any -> any } }", False),
        ("node packets { deny any -> self }", True),
        ("node packets { deny any -> self state invalid }", False),
        ("node packets { deny any -> self state invalid,established }", True),
        ('node { opaque x nft input "tcp dport 22 drop" }', True),
        ('node { opaque x nft output "drop" }', False),
        ('node { within any -> self : tcp { opaque x nft "drop" } }', True),
        ("node { allow 10.0.0.1 -> self : tcp/22 deny any -> self }", False),
        ("node { allow 10.0.0.1 -> self : tcp/22 chance 1/2 deny any -> self }", True),
        ("node { within any -> self state new chance 1/2 { allow 10.0.0.1 -> any : tcp/22 } deny any -> self }", True),
        ("node { within any -> self { allow 10.0.0.1 -> any : tcp/22 deny any -> any } }", False),
        ("node packets { allow 10.0.0.1 -> self : tcp/22 } node { deny any -> self }", True),
        ("node packets { allow 10.0.0.1 -> self : tcp/22 deny any -> self : tcp/22 }", False),
        ("node packets { allow 10.0.0.1 -> self : tcp/22 chance 1/2 deny any -> self }", True),
        ("node packets { allow 10.0.0.1 -> self : tcp/22 deny any -> self } node { deny any -> self : tcp/80 }", False),
        ("node packets { deny any -> self : tcp/22 } node { allow 10.0.0.1 -> self deny any -> self : udp }", False),
        ("node packets { allow 10.0.0.1 -> self deny any -> self } node { deny any -> self }", True),
    ],
)
def test_whether_sshd_is_kept_open(text: str, needed: bool) -> None:
    assert (SSH in kept(text)) is needed


def test_what_the_node_sends() -> None:
    assert DNS in kept("node { within self -> any { deny any -> any : udp } }")
    assert DNS not in kept("node { within any -> self { deny any -> any : udp } }")


def test_what_decides_nothing_is_left_out() -> None:
    text = "node { log any -> self leave any -> self allow any -> self marked 1 deny any -> self }"
    assert verbs(text) == ["deny"]

"""What of a program is refused before anything is made of it."""

from __future__ import annotations

import pytest

from compiler.errors import InvalidInput
from compiler.sources.language import load
from compiler.translate.program import check_program


def refusals(text: str) -> list[str]:
    program = load([("edge.np", text.encode())], lambda _, name: f"no file {name}")
    try:
        check_program(program, ())
    except InvalidInput as error:
        return [flaw.message for flaw in error.diagnostics]
    return []


ACCEPTS = 'opaque x iptables {} "-p tcp --dport 80 -j ACCEPT"'
DROPS = 'opaque x nft {} "tcp dport 80 drop"'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"policy a {{ {DROPS.format('')} }}", "x: a policy block never stops a pod's way to itself"),
        (
            'nat { within any -> any { opaque x nft prerouting "masquerade" } }',
            "x: masquerade is for postrouting, and this is prerouting",
        ),
        ('mangle { opaque x nft input "ip saddr 1.2.3.4 snat to 1.2.3.5" }', "x: snat is for nat, and this is mangle"),
        (
            'node { within self -> any { opaque x nft "fib saddr . iif oif missing drop" } }',
            "x: fib saddr . iif oif is for prerouting, input, forward, and this is output",
        ),
        ('nat { opaque x nft output "ct status { snat, dnat } return" }', ""),
        (
            'raw { opaque x iptables prerouting "-p tcp -j REJECT --reject-with tcp-reset" }',
            "x: -j REJECT is for filter, and this is raw",
        ),
        ('mangle { opaque x iptables input "-m policy --dir out --pol none" }', "x: --dir out is for forward, output"),
        (
            'node { opaque x iptables input "-j REJECT --reject-with tcp-reset" }',
            "x: --reject-with tcp-reset needs -p tcp",
        ),
        ('node { opaque x iptables input "-p 6 -j REJECT --reject-with tcp-reset" }', ""),
        (
            'nat { opaque x iptables prerouting "-j REDIRECT --to-ports 80" }',
            "x: --to-ports needs -p dccp or sctp or tcp",
        ),
        ('mangle { opaque x iptables prerouting "-j TTL --ttl-set 5" }', "x: -j TTL is for IPv4 alone: say ipv4"),
        ('mangle { opaque x iptables ipv4 prerouting "-m ttl --ttl-eq 5 -j TTL --ttl-set 5" }', ""),
        (
            'forward { opaque x iptables ipv4 "-p icmpv6 --icmpv6-type 1 -j DROP" }',
            "x: --icmpv6-type is for IPv6 alone",
        ),
        ('forward { opaque x iptables "-j MASQUERADE" }', "x: -j MASQUERADE is for nat, and this is filter"),
        (f"policy a {{ within any -> any {{ {DROPS.format('')} }} }}", "x: a policy block never stops"),
        (f"forward {{ {DROPS.format('')} {ACCEPTS.format('')} }}", ""),
        (f"node packets {{ {ACCEPTS.format('input')} }}", ""),
        (f"node packets {{ {DROPS.format('input')} }} node {{ deny any -> self }}", ""),
        (
            f"node packets {{ {ACCEPTS.format('input')} }} node {{ deny any -> self }}",
            "x: a block of packets only takes away",
        ),
        (
            f"forward packets {{ {ACCEPTS.format('')} }} policy a {{ deny any -> any }}",
            "x: a block of packets only takes",
        ),
        ('forward packets { opaque x nft "tcp dport 80 return" } forward { deny any -> any }', ""),
    ],
)
def test_rules_of_one_tool_have_their_places(text: str, told: str) -> None:
    found = refusals(text)
    assert bool(found) is bool(told)
    assert all(message.startswith(told) for message in found)

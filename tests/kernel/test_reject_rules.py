"""Every answer to a rejected packet, by what its sender hears."""

from __future__ import annotations

import errno

import pytest

from compiler.ir.effects import Log
from compiler.ir.match import IsProtocol, Per, Rate, Replies, ToPorts
from compiler.ir.ruleset import Accept, Answer, Chain, Drop, Hook, Reject, Rule, Table
from compiler.net import TCP, UDP, Family
from tests.kernel.router import INNER, SERVER, Routed, outcome, told
from tests.kernel.texts import base, texts

pytestmark = pytest.mark.kernel

#: ICMP type and code, of IPv4 and IPv6 (RFC 792, RFC 1812, RFC 4443); None where the family has no such message.
MESSAGES = {
    Answer.PORT_UNREACHABLE: ((3, 3), (1, 4)),
    Answer.HOST_UNREACHABLE: ((3, 1), (1, 3)),
    Answer.NET_UNREACHABLE: ((3, 0), (1, 0)),
    Answer.ADMIN_PROHIBITED: ((3, 13), (1, 1)),
    Answer.PROTO_UNREACHABLE: ((3, 2), None),
    Answer.NET_PROHIBITED: ((3, 9), None),
    Answer.HOST_PROHIBITED: ((3, 10), None),
    Answer.POLICY_FAIL: (None, (1, 5)),
    Answer.REJECT_ROUTE: (None, (1, 6)),
}
REPLIES = Rule((Replies(),), Accept())


def forward(*rules: Rule) -> Chain:
    return base(Table.FILTER, Hook.FORWARD, REPLIES, *rules)


def port_of(answer: Answer) -> int:
    return 1000 + [*Answer].index(answer)


def test_every_message(net: Routed, flavour: str) -> None:
    """All at once, each on a port of its own; a port that no rule is about is answered by the server itself."""
    rules = tuple(
        Rule((ToPorts(UDP, port_of(answer), port_of(answer)),), Reject(answer), answer.family) for answer in MESSAGES
    )
    net.load(texts(flavour, forward(*rules)), flavour)
    for answer, expected in MESSAGES.items():
        for n, _ in enumerate(Family):
            heard = told(net.client, SERVER[n], port_of(answer))
            assert heard == (expected[n] or ((3, 3), (1, 4))[n]), answer


def test_tcp_reset(net: Routed, flavour: str) -> None:
    rules = (
        Rule((IsProtocol(TCP), ToPorts(TCP, 80, 80)), Reject(Answer.TCP_RESET)),
        Rule((ToPorts(TCP, 81, 81),), Drop()),
    )
    net.load(texts(flavour, forward(*rules)), flavour)
    for port in (80, 81, 82):
        net.server.listen(port)
    for address in SERVER:
        assert outcome(net.client, address, 80) == errno.ECONNREFUSED
        assert outcome(net.client, address, 81) is None
        assert outcome(net.client, address, 82) == 0


def test_effects_do_not_change_the_answer(net: Routed, flavour: str) -> None:
    """A reset needs to know that it is about TCP, wherever the effects moved it."""
    log = Log("no", 7, Rate(1, Per.SECOND))
    rules = tuple(
        Rule((ToPorts(proto, 80, 80),), Reject(answer), effects=(log,))
        for proto, answer in ((TCP, Answer.TCP_RESET), (UDP, Answer.ADMIN_PROHIBITED))
    )
    net.load(texts(flavour, forward(*rules)), flavour)
    for n, address in enumerate(SERVER):
        assert outcome(net.client, address, 80) == errno.ECONNREFUSED
        assert told(net.client, address, 80) == MESSAGES[Answer.ADMIN_PROHIBITED][n]


@pytest.mark.parametrize("hook", [Hook.INPUT, Hook.OUTPUT])
def test_to_and_from_the_router_itself(net: Routed, flavour: str, hook: Hook) -> None:
    reject = Rule((ToPorts(UDP, 80, 80),), Reject(Answer.ADMIN_PROHIBITED))
    net.load(texts(flavour, base(Table.FILTER, hook, REPLIES, reject)), flavour)
    for n, _ in enumerate(Family):
        ends = (net.client, INNER[n]) if hook is Hook.INPUT else (net.router, SERVER[n])
        assert told(*ends, 80) == MESSAGES[Answer.ADMIN_PROHIBITED][n]
        assert told(*ends, 81) == MESSAGES[Answer.PORT_UNREACHABLE][n], "the answer of who has the address"

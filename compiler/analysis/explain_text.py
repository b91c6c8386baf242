"""An explanation as text to read and as a value for JSON: the same facts in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from compiler.analysis.changes import Change, as_yaml, change
from compiler.analysis.explain import Answer, Explanation
from compiler.analysis.quotes import Quotes, title
from compiler.semantics.account import MATCHES, Account, Outcome, PolicyAccount, RuleAccount, TierAccount
from compiler.semantics.verdict import Because, Direction

_TITLES = {"admin": "admin tier", "application": "NetworkPolicies", "baseline": "baseline tier"}
_NEAR = MATCHES | {Outcome.PORT, Outcome.PEER, Outcome.CLOSED}


def text(found: Explanation, quotes: Quotes, beside: Callable[[Answer], Iterable[str]] = lambda _: ()) -> Iterator[str]:
    """The lines of an explanation; `beside`: those that follow each answer."""
    verdicts = {answer.allowed for answer in found.answers}
    verdict = "allowed" if found.allowed else "denied" if verdicts == {False} else "allowed in part"
    yield f"{verdict}: {found.source.name} -> {found.destination.name}, {found.wanted}"
    for answer in found.answers:
        yield ""
        yield from _answer(found, answer, quotes)
        for n, line in enumerate(beside(answer)):
            if not n:
                yield ""
            yield line


def _answer(found: Explanation, answer: Answer, quotes: Quotes) -> Iterator[str]:
    verdict = f"{_verdict(answer.allowed)}: " if len(found.answers) > 1 else ""
    yield f"{verdict}{answer.source} -> {answer.destination}"
    if answer.count > 1:
        more = "1 more address pair" if answer.count == 2 else f"{answer.count - 1} more address pairs"
        yield f"and {more} of these ends alike"
    for told in (answer.egress, answer.ingress):
        yield ""
        yield from _direction(told, answer, quotes)


def _direction(told: Account, answer: Answer, quotes: Quotes) -> Iterator[str]:
    place = answer.source if told.direction is Direction.EGRESS else answer.destination
    yield f"{_word(told)} of {place.title}: {_verdict(told.ruling.allowed)}, {_reason(told, answer, quotes)}"
    for tier in told.tiers:
        yield from _tier(tier, told, quotes)
    yield from (f"  {line}" for line in _change(told, change(told, answer.packet), quotes))


def _reason(told: Account, answer: Answer, quotes: Quotes) -> str:
    ruling = told.ruling
    match ruling.because:
        case Because.RULE:
            policy, index = ruling.policies[0], ruling.rule
            assert index is not None
            return f"by {_word(told)}[{index}] of {title(policy)} ({quotes.place(policy, *_path(told, index))})"
        case Because.NO_SUBJECT:
            place = answer.source if told.direction is Direction.EGRESS else answer.destination
            if place.pod is not None:
                return "since it is on the host network: to policies it is its node"
            return "since no pod has this address: policies say nothing of it"
        case Because.OWN_NODE:
            assert told.pod is not None
            return f"since {told.other} is its own node, {told.pod.node}: a node always reaches its pods"
        case _:
            return f"since {ruling.because.value}"


def _tier(tier: TierAccount, told: Account, quotes: Quotes) -> Iterator[str]:
    head = f"  {_TITLES[tier.name]}: "
    if not tier.asked:
        spoken = tier.name == "baseline" and any(t.asked for t in told.tiers if t.name == "application")
        why = "NetworkPolicies have the last word on pods that they isolate" if spoken else "it is decided before"
        yield f"{head}not asked: {why}"
        return
    if not tier.policies:
        what = "none isolates it for" if tier.name == "application" else "none is about its"
        yield f"{head}{what} {_word(told)}"
        return
    yield head + (f"isolated for {_word(told)} by" if tier.name == "application" else "about this pod")
    for one in tier.policies:
        yield from _policy(one, told, quotes)


def _policy(one: PolicyAccount, told: Account, quotes: Quotes) -> Iterator[str]:
    said = "" if one.rules else f": no {_word(told)} rule"
    yield f"    {title(one.policy)} ({quotes.place(one.policy)}){said}"
    for rule in one.rules:
        path = _path(told, rule.index)
        place = quotes.place(one.policy, *path)
        yield f"      {_word(told)}[{rule.index}] {rule.verdict.value}, {_outcome(rule)} ({place})"
        yield from (f"        {line}" for line in _details(rule))
        if rule.outcome in _NEAR:
            yield from (f"        {line}" for line in quotes.lines(one.policy, *path))


def _outcome(rule: RuleAccount) -> str:
    closed = "; not all of it can be read, so it is about everything" if rule.closed else ""
    return rule.outcome.value + closed


def _details(rule: RuleAccount) -> Iterator[str]:
    yield from (f"peer {n}: {why}" for n, why in enumerate(rule.peers))
    if rule.ports:
        yield f"ports: {', '.join(rule.ports)}"


def _change(told: Account, found: Change | None, quotes: Quotes) -> Iterator[str]:
    """What would turn the verdict round; empty where nothing does."""
    word, wish = _word(told), "deny" if told.ruling.allowed else "allow"
    if found is None:
        return
    also = f"To {wish} it: "
    if found.remove:
        rules = [f"{word}[{n}] of {title(p)} ({quotes.place(p, *_path(told, n))})" for p, n in found.remove]
        yield f"{also}remove or narrow {', and '.join(rules)}"
        also = "and then "
    for kept in found.keep:
        yield f"with policyTypes written out in {title(kept)}: without an egress rule it would not isolate any more"
    if found.isolate:
        assert told.pod is not None
        kind = told.direction.value
        yield f"{also}a NetworkPolicy in {told.pod.namespace} with policyTypes [{kind}] that selects the pod: none does"
    if found.add is not None:
        home, snippet = found.add
        yield f"{also}add to {word} of {title(home)} ({quotes.place(home)}); no policy allows it yet:"
        yield from (f"    {line}" for line in as_yaml(snippet))
    for other, index, outcome in found.widen:
        what = "port to the ports" if outcome is Outcome.PORT else "peer to the peers"
        yield f"  or the {what} of {word}[{index}] of {title(other)} ({quotes.place(other, *_path(told, index))})"


def as_json(
    found: Explanation, quotes: Quotes, beside: Callable[[Answer], Mapping[str, object]] = lambda _: {}
) -> dict[str, object]:
    """The same as plain values; `beside`: what each answer has besides."""
    return {
        "from": found.source.name,
        "to": found.destination.name,
        "wanted": str(found.wanted),
        "allowed": found.allowed,
        "answers": [
            {
                "allowed": answer.allowed,
                "source": {"address": answer.source.address, "name": answer.source.title},
                "destination": {"address": answer.destination.address, "name": answer.destination.title},
                "protocol": answer.packet.proto,
                "port": answer.packet.dport,
                "pairs": answer.count,
                "egress": _direction_json(answer.egress, answer, quotes),
                "ingress": _direction_json(answer.ingress, answer, quotes),
                **beside(answer),
            }
            for answer in found.answers
        ],
    }


def _direction_json(told: Account, answer: Answer, quotes: Quotes) -> dict[str, object]:
    ruling, turned = told.ruling, change(told, answer.packet)
    return {
        "allowed": ruling.allowed,
        "because": ruling.because.name.lower().replace("_", "-"),
        "reason": _reason(told, answer, quotes),
        "tiers": [
            {"tier": tier.name, "asked": tier.asked, "policies": [_policy_json(p, told, quotes) for p in tier.policies]}
            for tier in told.tiers
        ],
        "change": None if turned is None else _change_json(told, turned, quotes),
    }


def _policy_json(one: PolicyAccount, told: Account, quotes: Quotes) -> dict[str, object]:
    return {
        "policy": title(one.policy),
        "place": quotes.place(one.policy),
        "rules": [
            {
                "rule": f"{_word(told)}[{rule.index}]",
                "place": quotes.place(one.policy, *_path(told, rule.index)),
                "action": rule.verdict.value,
                "outcome": rule.outcome.name.lower(),
                "fails-closed": rule.closed or rule.outcome is Outcome.CLOSED,
                "peers": list(rule.peers),
                "ports": list(rule.ports),
                "lines": list(quotes.lines(one.policy, *_path(told, rule.index))),
            }
            for rule in one.rules
        ],
    }


def _change_json(told: Account, found: Change, quotes: Quotes) -> dict[str, object]:
    named = [
        {
            "policy": title(policy),
            "rule": f"{_word(told)}[{index}]",
            "place": quotes.place(policy, *_path(told, index)),
        }
        for policy, index in (*found.remove, *((p, n) for p, n, _ in found.widen))
    ]
    add = None
    if found.add is not None:
        policy, snippet = found.add
        add = {"policy": title(policy), "place": quotes.place(policy), "to": _word(told), "rule": snippet}
    return {
        "remove": named[: len(found.remove)],
        "write-out-policy-types": [title(policy) for policy in found.keep],
        "isolate": found.isolate,
        "add": add,
        "widen": [
            {**one, "by": o.name.lower()} for one, (*_, o) in zip(named[len(found.remove) :], found.widen, strict=True)
        ],
    }


def _path(told: Account, index: int) -> tuple[str | int, ...]:
    return ("spec", _word(told), index)


def _word(told: Account) -> str:
    return told.direction.value.lower()


def _verdict(allowed: bool) -> str:
    return "allowed" if allowed else "denied"

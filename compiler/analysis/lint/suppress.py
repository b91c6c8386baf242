"""Findings that somebody has looked at and accepted, with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.analysis.lint.findings import Entry, Finding, Level, Space

#: On a policy or a namespace: lines of `CODE REASON`.
ANNOTATION = "netpolc.io/lint-ignore"


def judged(holders: Iterable[Entry | Space], findings: Iterable[Finding], codes: Iterable[str]) -> Iterator[Finding]:
    """The findings that no annotation takes back; and what is wrong with the annotations: no reason, an unknown
    code, nothing to suppress."""
    left, known = list(findings), frozenset(codes)
    for holder in holders:
        said = holder.annotations.get(ANNOTATION, "")
        for line in filter(None, map(str.strip, said.splitlines())):
            code, _, reason = line.partition(" ")
            fault = ""
            if code not in known:
                fault = f"{ANNOTATION}: there is no check {code}"
            elif not reason.strip():
                fault = f"{ANNOTATION}: {code} is suppressed without a reason"
            elif not any(_is(one, holder, code) for one in left):
                fault = f"{ANNOTATION}: {code} is suppressed, and nothing is found"
            else:
                left = [one for one in left if not _is(one, holder, code)]
            if fault:
                level = Level.WARNING if fault.endswith("found") else Level.ERROR
                path = ("metadata", "annotations", ANNOTATION)
                yield holder.finding(level, "bad-suppression", fault, path, on_key=True)
    yield from left


def _is(found: Finding, holder: Entry | Space, code: str) -> bool:
    about = holder.value if isinstance(holder, Space) else holder.located.value
    return found.about is about and found.flaw.code == code

"""Findings that somebody has looked at and accepted, with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.analysis.lint.findings import Entry, Finding, Level

#: On a policy: lines of `CODE REASON`.
ANNOTATION = "netpolc.io/lint-ignore"


def judged(entries: Iterable[Entry], findings: Iterable[Finding], codes: Iterable[str]) -> Iterator[Finding]:
    """The findings that no annotation takes back; and what is wrong with the annotations: no reason, an unknown
    code, nothing to suppress."""
    left, known = list(findings), frozenset(codes)
    for entry in entries:
        said = (entry.located.value.metadata.annotations or {}).get(ANNOTATION, "")
        for line in filter(None, map(str.strip, said.splitlines())):
            code, _, reason = line.partition(" ")
            fault = ""
            if code not in known:
                fault = f"{ANNOTATION}: there is no check {code}"
            elif not reason.strip():
                fault = f"{ANNOTATION}: {code} is suppressed without a reason"
            elif not any(_is(one, entry, code) for one in left):
                fault = f"{ANNOTATION}: {code} is suppressed, and nothing is found"
            else:
                left = [one for one in left if not _is(one, entry, code)]
            if fault:
                level = Level.WARNING if fault.endswith("found") else Level.ERROR
                path = ("metadata", "annotations", ANNOTATION)
                yield entry.finding(level, "bad-suppression", fault, path, on_key=True)
    yield from left


def _is(found: Finding, entry: Entry, code: str) -> bool:
    return found.policy is entry.located.value and found.flaw.code == code

"""Findings as SARIF 2.1.0, which code hosts show beside the lines."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

from compiler.analysis.lint.findings import Finding, Level

#: What a path of a URI may have as it is (RFC 3986, 3.3), but for the colon, which would end a scheme, and %.
_PLAIN = frozenset(f"{string.ascii_letters}{string.digits}-._~/!$&'()*+,;=@".encode())
_LEVELS = {Level.INFO: "note", Level.WARNING: "warning", Level.ERROR: "error"}


def sarif(findings: Sequence[Finding], codes: Mapping[str, str]) -> dict[str, object]:
    """The log; `codes`: every code with what it means."""
    rules = [{"id": code, "shortDescription": {"text": text}} for code, text in codes.items()]
    driver = {"name": "netpolc", "rules": rules}
    index = {code: n for n, code in enumerate(codes)}
    results = [_result(one, index[one.flaw.code]) for one in findings]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(found: Finding, index: int) -> dict[str, object]:
    span = found.flaw.span
    result: dict[str, object] = {
        "ruleId": found.flaw.code,
        "ruleIndex": index,
        "level": _LEVELS[found.level],
        "message": {"text": found.flaw.message},
    }
    if not span.line:
        result["locations"] = [{"logicalLocations": [{"fullyQualifiedName": span.file}]}]
        return result
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    place = {"artifactLocation": {"uri": _uri(span.file)}, "region": region}
    result["locations"] = [{"physicalLocation": place}]
    return result


def _uri(file: str) -> str:
    """The name of a file, printable as it is in every span, as a reference."""
    return "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in file.encode())

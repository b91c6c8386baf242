"""Log lines as JSON, one object a line: `time` (UTC), `level`, `message`, and what the line is about beside them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """A record's `data`, a mapping, stands beside its message; an exception as text."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": utc(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "data", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str) -> None:
    """Everything that netpolc logs goes to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("netpolc")
    logger.handlers[:], logger.propagate = [handler], False
    logger.setLevel(level.upper())


def utc(seconds: float) -> str:
    """A time since 1970 as people and tools read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

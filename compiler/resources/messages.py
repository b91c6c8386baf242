"""pydantic's errors -> problems, worded as Kubernetes words them: PATH: what is wrong: what was expected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from compiler.resources.labels import KEY
from compiler.resources.problems import Path, Problem, path_text

#: Longest excerpt of a wrong value in a message, in characters.
EXCERPT = 80

#: Types of pydantic errors that say "this is of another JSON type", and what was wanted.
_TYPES = {
    "model_type": "an object",
    "dict_type": "an object",
    "tuple_type": "a list",
    "string_type": "a string",
    "string_unicode": "a string of valid Unicode",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "bool_type": "true or false",
}

#: What Kubernetes calls a problem where it is not an invalid value.
_WRONG = {"unsupported-value": "Unsupported value", "forbidden": "Forbidden", "duplicate": "Duplicate value"}


def problems_of(kind: type[BaseModel], value: Any, error: ValidationError) -> tuple[Problem, ...]:
    """Every problem that `error` lists, once."""
    entries = error.errors(include_url=False)
    found = dict.fromkeys(_problem(kind, value, entry) for entry in entries)
    unknown = {p.path for p in found if p.code == "unknown-field"}
    misspelt: set[Path] = {(*path[:-1], hint) for path in unknown if (hint := _hint(kind, path))}
    return tuple(p for p in found if not _follows(p, unknown, misspelt))


def _follows(problem: Problem, unknown: set[Path], misspelt: set[Path]) -> bool:
    """Whether the problem only follows from an unknown field: what stands inside one, and the absence of the field
    that was misspelt."""
    inside = any(problem.path[:n] in unknown for n in range(len(problem.path)))
    return inside or (problem.code == "required" and problem.path in misspelt)


def _problem(kind: type[BaseModel], value: Any, entry: ErrorDetails) -> Problem:
    path: Path = entry["loc"]
    context: Mapping[str, Any] = entry.get("ctx", {})
    match entry["type"]:
        case "rule":
            on_key = bool(path) and path[-1] == KEY
            path = path[:-1] if on_key else path
            shown = path[-1] if on_key else _at(value, path)
            return _worded(path, context["code"], context["expected"], shown, on_key)
        case "missing":
            return _worded(path, "required", "expected " + _wanted(kind, path), None)
        case "extra_forbidden":
            hint = _hint(kind, path)
            known = (
                f"did you mean {hint}?" if hint else f"expected one of {', '.join(_fields(_model(kind, path[:-1])))}"
            )
            return Problem(path, f'unknown field "{path_text(path)}": {known}', "unknown-field", on_key=True)
        case "literal_error":
            return _worded(path, "unsupported-value", f"expected {context['expected']}", entry["input"])
        case "greater_than_equal" | "greater_than":
            return _worded(path, "out-of-range", f"must be at least {context['ge']}", entry["input"])
        case "less_than_equal":
            return _worded(path, "out-of-range", f"must be at most {context['le']}", entry["input"])
        case "less_than":
            return _worded(path, "out-of-range", f"must be less than {context['lt']}", entry["input"])
        case "too_short":
            return _worded(path, "too-few", f"must have at least {context['min_length']} item", entry["input"])
        case "too_long":
            return _worded(path, "too-many", f"must have at most {context['max_length']} items", entry["input"])
        case "string_too_long":
            return _worded(path, "too-long", f"must be at most {context['max_length']} characters long", entry["input"])
        case other if other in _TYPES:
            if entry["input"] is None and path and isinstance(path[-1], str):
                return _worded(path, "required", f"expected {_TYPES[other]}", None)
            return _worded(path, "bad-type", f"must be {_TYPES[other]}", entry["input"])
        case other:
            return _worded(path, other.replace("_", "-"), entry["msg"], entry["input"])


def _worded(path: Path, code: str, expected: str, shown: Any, on_key: bool = False) -> Problem:
    """The problem, worded. `shown` is the value that is wrong, or the key when `on_key`."""
    if code == "unknown-field":
        return Problem(path, f'unknown field "{path_text(path)}": {expected}', code, on_key=True)
    where = path_text(path[:-1] if on_key else path) or "object"
    if code == "required":
        return Problem(path, f"{where}: Required value: {expected}", code)
    return Problem(path, f"{where}: {_WRONG.get(code, 'Invalid value')}: {_excerpt(shown)}: {expected}", code, on_key)


def _excerpt(value: Any) -> str:
    """The value as JSON, shortened; an object or a list by its type alone."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= EXCERPT else f'{text[: EXCERPT - 4]}..."'


def _at(value: Any, path: Path) -> Any:
    """What stands at `path`, None for nothing."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _model(kind: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model of the object at `path`."""
    found: type[BaseModel] | None = kind
    for step in path:
        if isinstance(step, int):
            continue
        fields = {field.alias or name: field for name, field in found.model_fields.items()} if found else {}
        found = next(_models(fields[step].annotation), None) if step in fields else None
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _fields(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _hint(kind: type[BaseModel], path: Path) -> str | None:
    """The known field that an unknown one most looks like."""
    known = {name.lower(): name for name in _fields(_model(kind, path[:-1]))}
    close = get_close_matches(str(path[-1]).lower(), known, n=1, cutoff=0.7)
    return known[close[0]] if close else None


def _wanted(kind: type[BaseModel], path: Path) -> str:
    model = _model(kind, path[:-1])
    fields = {field.alias or name: field for name, field in model.model_fields.items()} if model else {}
    annotation = fields[str(path[-1])].annotation if str(path[-1]) in fields else None
    if annotation is int:
        return "an integer"
    if annotation is str:
        return "a string"
    choices = [str(arg) for arg in get_args(annotation) if isinstance(arg, str)]
    if choices:
        return " or ".join(choices)
    return "a list" if getattr(annotation, "__origin__", None) is tuple else "an object"

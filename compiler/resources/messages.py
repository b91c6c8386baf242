"""pydantic's errors -> problems, worded as Kubernetes words them: `PATH: Invalid value: VALUE: what was expected`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from compiler.resources.problems import Path, Problem, path_text, printable

#: Longest excerpt of a wrong value in a message, in characters.
EXCERPT = 80

#: Types of pydantic errors that say "this is of another JSON type", and what was wanted.
_TYPES = {
    "model_type": "an object",
    "tuple_type": "a list",
    "string_type": "a string",
    "string_unicode": "a string of Unicode characters",
    "int_type": "an integer",
    "bool_type": "true or false",
}
#: Types of pydantic errors that say "this is beyond a bound": our code, what was wanted, the bound's name.
_BOUNDS = {
    "greater_than_equal": ("out-of-range", "must be at least {}", "ge"),
    "less_than_equal": ("out-of-range", "must be at most {}", "le"),
    "less_than": ("out-of-range", "must be less than {}", "lt"),
    "string_too_long": ("too-long", "must be at most {} characters long", "max_length"),
}
#: What Kubernetes calls a problem where it is not an invalid value.
_WRONG = {
    "duplicate": "Duplicate value",
    "forbidden": "Forbidden",
    "required": "Required value",
    "unsupported-value": "Unsupported value",
}


def problems_of(kind: type[BaseModel], value: Any, error: ValidationError) -> tuple[Problem, ...]:
    """The problems of `value`, an object of that kind: one for each thing that is wrong."""
    found: dict[tuple[Path, str], Problem] = {}
    for entry in error.errors(include_url=False):
        problem = _problem(kind, value, entry)
        found.setdefault((problem.path, problem.code), problem)
    unknown = {path for path, code in found if code == "unknown-field"}
    misspelt: set[Path] = {(*path[:-1], hint) for path in unknown if (hint := _hint(kind, path))}
    return tuple(problem for problem in found.values() if not _follows(problem, unknown, misspelt))


def _follows(problem: Problem, unknown: set[Path], misspelt: set[Path]) -> bool:
    """Whether the problem only follows from an unknown field: what stands inside one, and the absence of the field
    that was misspelt."""
    if problem.code == "unknown-field":
        return any(problem.path[:n] in unknown for n in range(len(problem.path)))
    inside = any(problem.path[:n] in unknown for n in range(len(problem.path) + 1))
    return inside or (problem.code == "required" and problem.path in misspelt)


def _problem(kind: type[BaseModel], value: Any, entry: ErrorDetails) -> Problem:
    path: Path = entry["loc"]
    context: Mapping[str, Any] = entry.get("ctx", {})
    shown = entry["input"]
    match entry["type"]:
        case "rule":
            on_key = context["on_key"]
            return _worded(path, context["code"], context["expected"], path[-1] if on_key else _at(value, path), on_key)
        case "missing":
            return _worded(path, "required", f"expected {_wanted(kind, path)}", None)
        case "extra_forbidden":
            hint, known = _hint(kind, path), ", ".join(_fields(kind, path[:-1]))
            expected = f"did you mean {hint}?" if hint else f"expected one of {known}"
            return _worded(path, "unknown-field", expected, None, on_key=True)
        case "literal_error" if isinstance(shown, str):
            return _worded(path, "unsupported-value", f"expected {_wanted(kind, path)}", shown)
        case "literal_error":
            return _mistyped(path, _wanted(kind, path), shown)
        case bound if bound in _BOUNDS:
            code, expected, name = _BOUNDS[bound]
            return _worded(path, code, expected.format(context[name]), shown)
        case other:
            return _mistyped(path, _TYPES[other], shown)


def _mistyped(path: Path, wanted: str, shown: Any) -> Problem:
    """A value of another JSON type. A field that is null is absent; an item that is null is wrong."""
    if shown is None and path and isinstance(path[-1], str):
        return _worded(path, "required", f"expected {wanted}", None)
    return _worded(path, "bad-type", f"must be {wanted}", shown)


def _worded(path: Path, code: str, expected: str, shown: Any, on_key: bool = False) -> Problem:
    """The problem, worded. `shown` is the value that is wrong, or the key when `on_key`."""
    if code == "unknown-field":
        return Problem(path, f'unknown field "{path_text(path)}": {expected}', code, on_key)
    where = path_text(path[:-1] if on_key else path) or "object"
    excerpt = "" if code == "required" else _excerpt(shown)
    expected += _container(shown) if code == "bad-type" else ""
    message = ": ".join(filter(None, [where, _WRONG.get(code, "Invalid value"), excerpt, expected]))
    return Problem(path, message, code, on_key)


def _container(value: Any) -> str:
    return ", is an object" if isinstance(value, dict) else ", is a list" if isinstance(value, list) else ""


def _excerpt(value: Any) -> str:
    """The value as JSON, shortened; nothing for an object or a list."""
    if _container(value):
        return ""
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= EXCERPT else f'{text[: EXCERPT - 4]}..."'


def _at(value: Any, path: Path) -> Any:
    """What stands at `path`, None for nothing."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _wanted(kind: type[BaseModel], path: Path) -> str:
    """What the field at `path` is, or the field whose item that is."""
    *parent, name = path[:-1] if isinstance(path[-1], int) else path
    annotation = _fields(kind, tuple(parent))[str(name)].annotation
    if choices := [choice for choice in _choices(annotation) if choice]:
        return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    origin = get_origin(annotation) or annotation
    return (
        "an integer" if origin is int else "a string" if origin is str else "a list" if origin is tuple else "an object"
    )


def _choices(annotation: Any) -> Iterator[str]:
    for inner in get_args(annotation):
        yield from [inner] if get_origin(annotation) is Literal else _choices(inner)


def _hint(kind: type[BaseModel], path: Path) -> str | None:
    """The known field that an unknown one most looks like."""
    known = {name.lower(): name for name in _fields(kind, path[:-1])}
    close = get_close_matches(str(path[-1]).lower(), known, n=1, cutoff=0.7)
    return known[close[0]] if close and known[close[0]] != path[-1] else None


def _fields(kind: type[BaseModel], path: Path) -> dict[str, FieldInfo]:
    """The fields of the object at `path`, by the API's names."""
    found: type[BaseModel] | None = kind
    for step in path:
        if isinstance(step, str):
            field = _named(found).get(step)
            found = next(_models(field.annotation), None) if field else None
    return _named(found)


def _named(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()} if model else {}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)

"""What all API objects share: the base of their pydantic models, and how rules across fields report.

The models are the validators: `Model.model_validate(value)` takes exactly what the API server takes, from decoded
YAML or JSON. Go's JSON rules hold throughout: a field that is null is absent, field names are case-sensitive, a
number is never a string.

pydantic checks field by field. A rule that looks at several fields, or that names a place inside a value, is a
generator of `Fault`s over the raw value, so that it reports even when a sibling is wrong (`Checked`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

T = TypeVar("T")
Raw = Mapping[str, Any]


class Fault(NamedTuple):
    """One broken rule: where (relative to the value that is checked), its code, and what was expected. `on_key`:
    not the value at `path` is wrong, but its key."""

    path: tuple[str | int, ...]
    code: str
    expected: str
    on_key: bool = False


class Model(BaseModel):
    """A part of an API object. Frozen; unknown fields are errors; attribute names are the API's in snake case."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", alias_generator=to_camel)


class Checked(Model):
    """A model with rules that look at several of its fields."""

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        """The broken rules of `raw`, whose fields may each have any type."""
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _across_fields(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        return beside(list(cls.faults(value)) if isinstance(value, dict) else [], value, handler)


def beside(faults: list[Fault], value: Any, handler: Callable[[Any], Any]) -> Any:
    """What pydantic makes of the value, unless it has faults; then they are raised together with pydantic's."""
    if not faults:
        return handler(value)
    details = [_details(fault, value) for fault in faults]
    try:
        handler(value)
    except ValidationError as error:
        details += [_again(entry) for entry in error.errors(include_url=False)]
    raise ValidationError.from_exception_data("value", details)


def broken(code: str, expected: str, on_key: bool = False) -> PydanticCustomError:
    """The error that a validator of one value raises; `code` is the stable short name of the rule."""
    return PydanticCustomError("rule", "{expected}", {"code": code, "expected": expected, "on_key": on_key})


def raise_faults(faults: list[Fault], value: Any) -> None:
    """Raises when a validator found faults at places inside its value."""
    if faults:
        raise ValidationError.from_exception_data("value", [_details(fault, value) for fault in faults])


def _details(fault: Fault, value: Any) -> InitErrorDetails:
    return InitErrorDetails(type=broken(fault.code, fault.expected, fault.on_key), loc=fault.path, input=value)


def _again(entry: Any) -> InitErrorDetails:
    """An error of pydantic's, to raise it once more beside others: any type may carry any context."""
    return InitErrorDetails(
        type=PydanticCustomError(entry["type"], "{text}", {**entry.get("ctx", {}), "text": entry["msg"]}),
        loc=entry["loc"],
        input=entry["input"],
    )


def text(reason: Callable[[str], str | None], code: str) -> BeforeValidator:
    """A rule for strings, by a function that says what is wrong with one."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and (expected := reason(value)) is not None:
            raise broken(code, expected)
        return value

    return BeforeValidator(check)


@dataclass(frozen=True, slots=True)
class ListRules:
    """How a list may be, apart from its items: its length, whether equal items may repeat, and what a null item
    stands for (custom resources refuse one). Reports beside wrong items."""

    least: int = 0
    most: int | None = None
    distinct: bool = False
    null: Callable[[], Any] | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._check, handler(source))

    def _check(self, value: Any, handler: Callable[[Any], Any]) -> Any:
        if not isinstance(value, list):
            return handler(value)
        items = value
        if self.null is not None and None in value:
            items = [self.null() if item is None else item for item in value]
        return beside(list(self._faults(value)), tuple(items), handler)

    def _faults(self, value: list[Any]) -> Iterator[Fault]:
        if len(value) < self.least:
            yield Fault((), "too-few", f"must have at least {self.least} item")
        if self.most is not None and len(value) > self.most:
            yield Fault((), "too-many", f"must have at most {self.most} items, has {len(value)}")
        if self.distinct:
            first: dict[str, int] = {}
            for n, item in enumerate(value):
                if isinstance(item, str) and first.setdefault(item, n) != n:
                    yield Fault((n,), "duplicate", f"stands at index {first[item]} already")


#: A list, kept as a tuple.
Items = Annotated[tuple[T, ...], ListRules()]
#: Lists of the API's own (not custom) kinds, where null is the zero value of the item's Go type.
Objects = Annotated[tuple[T, ...], ListRules(null=dict)]
Strings = Annotated[tuple[T, ...], ListRules(null=str)]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


INT32 = Field(ge=-(2**31), lt=2**31)
INT64 = Field(ge=-(2**63), lt=2**63)
#: Integers of Go types: JSON numbers without fraction and exponent.
Int32 = Annotated[int, INT32]
Int64 = Annotated[int, INT64]
#: An integer of a custom resource: 80.0 is 80.
Whole = Annotated[int, BeforeValidator(_whole)]


def _absent_is_empty(value: Any) -> Any:
    return {} if value is None else value


#: A struct of a Go type that is no pointer: null is its zero value, and so is its absence where it may be absent.
Given = Annotated[T, BeforeValidator(_absent_is_empty)]
Struct = Annotated[Given[T], Field(default=None, validate_default=True)]

"""What all requests share: strict models, exact amounts, both spellings of names, errors by field."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Self, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from app.core.errors import FieldError, Invalid, Malformed
from app.domain.countries import COUNTRIES
from app.domain.identifiers import is_visible
from app.domain.money import MAX_AMOUNT, MAX_SCALE, InvalidAmount, decimals, parse_decimal

DECIMAL_PATTERN = r"^-?[0-9]{1,20}(\.[0-9]{1,18})?$"
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MAX_ERRORS, MAX_SHOWN = 20, 100  # of one answer; characters of what was sent
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def _amount(value: Any) -> Decimal:
    try:
        number = parse_decimal(value)
    except InvalidAmount as error:
        raise PydanticCustomError("invalid_amount", str(error)) from error
    if abs(number) >= MAX_AMOUNT:
        raise PydanticCustomError("amount_out_of_range", "must be smaller than 1e20")
    if decimals(number) > MAX_SCALE:
        raise PydanticCustomError("precision", "must have at most 18 decimals")
    return number


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise PydanticCustomError("amount_out_of_range", "must be greater than zero")
    return value


def _clean(value: Any) -> Any:
    if isinstance(value, str) and _UNSAFE.search(value):
        raise PydanticCustomError("invalid_characters", "must not contain control or bidirectional characters")
    return value


Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": DECIMAL_PATTERN}, {"type": "number"}]}, mode="validation"),
    WithJsonSchema({"type": "string", "pattern": DECIMAL_PATTERN}, mode="serialization"),
]


def _positive_amount(value: Any) -> Decimal:
    return _positive(_amount(value))


PositiveAmount = Annotated[
    Decimal,
    BeforeValidator(_positive_amount),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": DECIMAL_PATTERN}, {"type": "number", "exclusiveMinimum": 0}]},
        mode="validation",
    ),
]
# what an answer carries: decimals as plain strings, times with Z
AmountOut = Annotated[str, WithJsonSchema({"type": "string", "pattern": DECIMAL_PATTERN, "examples": ["0.1"]})]
TimeOut = Annotated[
    str, WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-05T14:30:00.000000Z"]})
]
# in this order: a length is judged after the spaces around have gone
Text = Annotated[str, StringConstraints(strip_whitespace=True), BeforeValidator(_clean)]


def _visible(value: str) -> str:
    if not is_visible(value):
        raise PydanticCustomError("invisible", "must have a letter or a digit, and no character that cannot be seen")
    return value


# for what people are to recognize: somebody, a wallet
Named = Annotated[Text, AfterValidator(_visible)]


def _uuid(value: str) -> str:
    try:
        if str(UUID(value)) == value.lower():
            return value.lower()
    except ValueError:
        pass
    raise PydanticCustomError("invalid_id", "is no id")


Id = Annotated[Text, Field(max_length=36), AfterValidator(_uuid)]


def _percent(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("invalid_number", "must be a whole number")
    return value


Percent = Annotated[int, BeforeValidator(_percent)]


class Request(BaseModel):
    """A request body or query: unknown fields are refused, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def without_default(schema: dict[str, Any]) -> None:
    """For a field of a PATCH: left out means unchanged, so its document names no default."""
    schema.pop("default", None)


class Patch(Request):
    """A body that names what is to change: what is left out stays as it is."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("required", "at least one field is needed")
        return self


class Response(BaseModel):
    """Describes an answer for the OpenAPI document; answers themselves are built as plain dictionaries."""

    model_config = ConfigDict(extra="forbid")


# pydantic's kinds of error: our code, and a sentence that the values of its context fill
_KINDS: Final[dict[str, tuple[str, str]]] = {
    "missing": ("required", "is required"),
    "extra_forbidden": ("unknown_field", "is not known here"),
    "enum": ("invalid_choice", "must be one of {expected}"),
    "literal_error": ("invalid_choice", "must be one of {expected}"),
    "string_type": ("invalid_type", "must be a text"),
    "string_unicode": ("invalid_characters", "must be a text in UTF-8"),
    "bool_type": ("invalid_type", "must be true or false"),
    "bool_parsing": ("invalid_type", "must be true or false"),
    "list_type": ("invalid_type", "must be a list"),
    "dict_type": ("invalid_type", "must be an object"),
    "model_type": ("invalid_type", "must be an object"),
    "model_attributes_type": ("invalid_type", "must be an object"),
    "int_type": ("invalid_number", "must be a whole number"),
    "int_parsing": ("invalid_number", "must be a whole number"),
    "int_parsing_size": ("invalid_number", "must be a whole number of fewer digits"),
    "int_from_float": ("invalid_number", "must be a whole number"),
    "string_too_short": ("string_too_short", "must have at least {min_length} characters"),
    "string_too_long": ("string_too_long", "must have at most {max_length} characters"),
    "too_short": ("too_few", "must have at least {min_length} members"),
    "too_long": ("too_many", "must have at most {max_length} members"),
    "string_pattern_mismatch": ("invalid_characters", "has characters that are not allowed here"),
    "greater_than": ("out_of_range", "must be greater than {gt}"),
    "greater_than_equal": ("out_of_range", "must be at least {ge}"),
    "less_than": ("out_of_range", "must be less than {lt}"),
    "less_than_equal": ("out_of_range", "must be at most {le}"),
}
_SINGULAR = {"at least 1 characters": "at least 1 character", "at least 1 members": "at least 1 member"}
M = TypeVar("M", bound=Request)


def snake_keys(value: Any) -> Any:
    """Accept camelCase beside snake_case. Raises ``Malformed`` when both spell the same field."""
    if isinstance(value, dict):
        result = {_CAMEL.sub(r"_\1", key).lower(): snake_keys(item) for key, item in value.items()}
        if len(result) != len(value):
            raise Malformed("a field is named twice, in two spellings", code="duplicate_key")
        return result
    if isinstance(value, list):
        return [snake_keys(item) for item in value]
    return value


def validate(model: type[M], data: Any) -> M:
    """The model for plain data. Raises ``Invalid`` naming every field that is wrong."""
    if not isinstance(data, dict):
        raise Invalid("the body must be a JSON object", code="invalid_type")
    try:
        return model.model_validate(snake_keys(data))
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> Invalid:
    errors = []
    for item in error.errors(include_url=False)[:MAX_ERRORS]:
        field = ".".join(str(part)[:MAX_SHOWN] for part in item["loc"]) or "body"
        shown = item["input"] if isinstance(item["input"], str | int | bool | None) else None
        if isinstance(shown, str):
            shown = shown[:MAX_SHOWN]
        elif isinstance(shown, int) and abs(shown) > 2**53:
            shown = str(shown)[:MAX_SHOWN]
        code, message = _told(item)
        errors.append(FieldError(field, code, message, shown))
    detail = "; ".join(f"{e.field} {e.message}" for e in errors[:5])
    if error.error_count() > MAX_ERRORS:
        detail += f"; and more, {error.error_count()} in all"
    return Invalid(detail, code=errors[0].code if len({e.code for e in errors}) == 1 else None, errors=errors)


def _told(item: Any) -> tuple[str, str]:
    """Code and sentence of one of pydantic's errors; a validator's of ours stands as it is."""
    if item["type"] not in _KINDS:
        return item["type"], item["msg"]
    kind = item["type"]
    if kind in ("too_short", "too_long") and isinstance(item["input"], str):
        kind = f"string_{kind}"  # of a text behind a validator of ours
    code, sentence = _KINDS[kind]
    context = {name: str(value).replace("'", "").replace(" or ", ", ") for name, value in item.get("ctx", {}).items()}
    message = sentence.format_map(context)
    for plural, singular in _SINGULAR.items():
        message = message.replace(plural, singular)
    return code, message


def time_from(value: Any) -> Any:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise PydanticCustomError("invalid_time", "must be an ISO 8601 time") from error
        if moment.tzinfo is None:
            raise PydanticCustomError("invalid_time", "must carry a time zone, for example Z")
        if not 1970 <= moment.year < 2200:
            raise PydanticCustomError("invalid_time", "must lie between 1970 and 2200")
        return moment
    raise PydanticCustomError("invalid_time", "must be an ISO 8601 time")


Time = Annotated[datetime, BeforeValidator(time_from)]


def _day(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("invalid_date", "must be a date, as YYYY-MM-DD")


Day = Annotated[date, BeforeValidator(_day)]


def _country(value: str) -> str:
    if value.upper() not in COUNTRIES:
        raise PydanticCustomError("unknown_country", "must be a country's two letters, as ISO 3166 has them")
    return value.upper()


Country = Annotated[Text, Field(max_length=2), AfterValidator(_country)]


def check_range(earliest: datetime | None, latest: datetime | None) -> None:
    """For a model's validator. Raises the error of a range that ends before it begins."""
    if earliest is not None and latest is not None and latest < earliest:
        raise PydanticCustomError("reversed_range", "the range ends before it begins")


def _query_int(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,18}", value):
        raise PydanticCustomError("invalid_number", "must be a whole number")
    return value


QueryInt = Annotated[int, BeforeValidator(_query_int)]


def _query_bool(value: Any) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(value, value) if isinstance(value, str) else value


QueryBool = Annotated[bool, BeforeValidator(_query_bool)]

__all__ = [
    "Amount",
    "AmountOut",
    "Country",
    "Day",
    "Id",
    "Named",
    "Patch",
    "Percent",
    "PositiveAmount",
    "QueryBool",
    "QueryInt",
    "Request",
    "Response",
    "Text",
    "Time",
    "TimeOut",
    "check_range",
    "snake_keys",
    "validate",
    "without_default",
]

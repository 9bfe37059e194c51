"""JSON in and out, without a binary float in between."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from app.domain.money import text

from .clock import iso
from .errors import Malformed

MAX_DEPTH = 20
MAX_MEMBERS = 500  # of one object
MAX_VALUES = 20_000  # in all


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return text(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _walk_times(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return _default(value)


def dumps(value: Any) -> str:
    """Serialize: decimals as plain strings, times as ISO 8601 UTC with ``Z``."""
    return orjson.dumps(value, default=_walk_times, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def loads_stored(data: str) -> Any:
    """Parse what ``dumps`` wrote: no decimals in it, nothing to distrust, several times faster."""
    return orjson.loads(data)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise Malformed(f"an object has more than {MAX_MEMBERS} fields", code="too_many_fields")
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Malformed("the JSON names a field twice", code="duplicate_key")
    return result


def _refuse_constant(name: str) -> Any:
    # NaN and Infinity are no JSON; keep them as words so that the field they stand in is named later
    return name


def loads(data: bytes | str) -> Any:
    """Parse strictly: numbers with a point become Decimal; a repeated key, deep nesting and masses are refused.

    Raises ``Malformed``.
    """
    try:
        raw = data.decode("utf-8") if isinstance(data, bytes) else data
        depth = 0
        for char in raw if raw.count("[") + raw.count("{") > MAX_DEPTH else "":
            depth += (char in "[{") - (char in "]}")
            if depth > MAX_DEPTH * 4:  # brackets inside strings count too, hence the generous factor
                raise Malformed("the JSON is nested too deeply", code="too_deep")
        if raw.count(",") > MAX_VALUES * 10:  # texts have commas too, hence the generous factor
            raise Malformed("the JSON holds too many values", code="too_many_values")
        value = json.loads(raw, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except Malformed:
        raise
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise Malformed("the body is not valid JSON", code="malformed_json") from error
    _check_size(value)
    # only an escape can hide them: raw UTF-8 has no surrogates, and raw NUL is no JSON
    if "\\u" in raw and _holds_unstorable(value):
        raise Malformed("a text holds NUL or half a character", code="invalid_characters")
    return value


def _holds_unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, dict):
        return any(_holds_unstorable(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(_holds_unstorable(item) for item in value)


def _check_size(value: Any) -> None:
    """Raises ``Malformed`` for what is nested too deeply or holds too many values."""
    level = [value] if isinstance(value, dict | list) else []
    depth = count = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Malformed("the JSON is nested too deeply", code="too_deep")
        members = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        count += len(members)
        if count > MAX_VALUES:
            raise Malformed("the JSON holds too many values", code="too_many_values")
        level = [item for item in members if isinstance(item, dict | list)]

"""Which errors can happen at an operation: from its rights, its path, its query and its body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from app.core.permissions import ACTING_FOR_CLIENTS, WRITE
from app.routes.access import Endpoint
from app.routes.request import SAFE_METHODS
from app.schemas.problems import CATALOG

REF: Final = "#/components/schemas/"
MANY: Final = "invalid"  # the code of a problem whose fields have different ones
_BODY: Final = (
    "bad_request",
    "malformed_json",
    "duplicate_key",
    "too_deep",
    "too_many_fields",
    "too_many_values",
    "invalid_characters",
    "unsupported_media_type",
    "invalid_type",
    "unknown_field",
    MANY,
)
_FORM: Final = ("unsupported_media_type", "required", "unknown_field", "repeated", "bad_request", MANY)
_UNSAFE: Final = ("request_timeout", "length_required", "too_large", "bad_request", "csrf")
_ALWAYS: Final = ("unauthenticated", "https_required", "rate_limited", "internal_error", "unavailable")
_NAMES_SOMETHING: Final = frozenset({"client_id", "wallet_id"})


def errors_of(method: str, meta: Endpoint, arguments: list[str], schemas: dict[str, Any]) -> dict[int, list[str]]:
    """The codes by status, each status's in a stable order; ``schemas`` are those of the document."""
    codes = {*_ALWAYS, *meta.errors, *_of_rights(method, meta)}
    fields = {*(meta.query.model_fields if meta.query else ()), *(meta.body.model_fields if meta.body else ())}
    if arguments or fields & _NAMES_SOMETHING:
        codes |= {"not_found"}
    if "client_id" in fields:
        codes |= {"contradiction"}
    if method not in SAFE_METHODS:
        codes |= {*_UNSAFE, "outcome_unknown"}
    if meta.body is not None:
        codes |= {*(_FORM if meta.file else _BODY), *_of_schema(schemas[meta.body.__name__], schemas)}
    if meta.query is not None:
        codes |= {"repeated", "unknown_field", "invalid_characters", MANY}
        codes |= set(_of_schema(meta.query.model_json_schema(ref_template=REF + "{model}"), schemas))
    if method == "POST" and not meta.public:
        codes |= {"in_progress", "idempotency_key_reused", "invalid_key"}
    if meta.if_match:
        codes |= {"stale_version"}
    found: dict[int, list[str]] = {}
    for code in CATALOG:  # its order: what one meets most comes first
        if code in codes:
            for status in _statuses(code, meta):
                found.setdefault(status, []).append(code)
    return dict(sorted(found.items()))


def _statuses(code: str, meta: Endpoint) -> Iterator[int]:
    yield CATALOG[code].status
    if code == "invalid_characters" and meta.body is not None:
        yield 400  # hidden behind an escape of the JSON, before any field is looked at


def _of_rights(method: str, meta: Endpoint) -> Iterator[str]:
    if meta.needs:
        yield "forbidden"
    if any(right == WRITE and resource in ACTING_FOR_CLIENTS for resource, right in meta.needs):
        yield "may_not_act_for_clients"
    if meta.session_only:
        yield "session_required"
    if not meta.public:
        yield from ("password_change_required", "totp_required")


def _of_schema(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    """Codes of a model's fields, those of models in it too."""
    if schema.get("required"):
        yield "required"
    definitions = {**schemas, **schema.get("$defs", {})}
    for described in schema.get("properties", {}).values():
        yield from _of_field(described, definitions, set())


def _of_field(field: dict[str, Any], definitions: dict[str, Any], seen: set[str]) -> Iterator[str]:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if name not in seen:
            yield from _of_field(definitions[name], definitions, seen | {name})
        return
    for choice in field.get("anyOf", ()):
        yield from _of_field(choice, definitions, seen)
    if field.get("required"):
        yield "required"
    for inner in (*field.get("properties", {}).values(), *field.get("patternProperties", {}).values()):
        yield from _of_field(inner, definitions, seen)
    if isinstance(field.get("additionalProperties"), dict):
        yield from _of_field(field["additionalProperties"], definitions, seen)
    yield from _of_value(field)
    if "items" in field:
        yield from _of_field(field["items"], definitions, seen)


def _of_value(field: dict[str, Any]) -> Iterator[str]:
    kind = field.get("type")
    if "enum" in field or "const" in field:
        yield "invalid_choice"
    elif kind == "string" and field.get("pattern", "").startswith("^-?[0-9]"):
        yield from ("invalid_amount", "amount_out_of_range", "precision")
    elif kind == "string" and field.get("format") == "date-time":
        yield "invalid_time"
    elif kind == "string" and field.get("format") == "date":
        yield "invalid_date"
    elif kind == "string":
        yield from ("invalid_type", "invalid_characters")
        if "minLength" in field:
            yield "string_too_short"
        if "maxLength" in field:
            yield "string_too_long"
    elif kind == "boolean":
        yield "invalid_type"
    elif kind == "integer":
        yield from ("invalid_number", "out_of_range")
    elif kind == "array":
        yield from ("invalid_type", "too_few", "too_many")


__all__ = ["errors_of"]

"""What every part of the API document shares: the problem, the page, the security schemes."""

from __future__ import annotations

from typing import Any

from .base import Response


class FieldProblem(Response):
    field: str
    code: str
    message: str
    value: Any


PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Some problems carry further members, named in the operation.",
    "required": ["type", "title", "status", "detail", "code", "errors", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable; to be told apart by programs"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldProblem"}},
        "request_id": {"type": "string"},
    },
    "examples": [
        {
            "type": "/api/docs#problem-tick_size",
            "title": "The request is not valid",
            "status": 422,
            "detail": "price must be a multiple of the tick size 0.01",
            "code": "tick_size",
            "errors": [
                {
                    "field": "price",
                    "code": "tick_size",
                    "message": "must be a multiple of the tick size 0.01",
                    "value": "67000.005",
                }
            ],
            "request_id": "0197f3b2-7a10-7c11-9d1e-0c6c2ad3a001",
        }
    ],
}

SECURITY_SCHEMES: dict[str, Any] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "session",
        "description": "A browser that has signed in; unsafe methods need the header X-CSRFToken.",
    },
}

ERRORS: dict[int, tuple[str, tuple[str, ...]]] = {
    400: ("The request could not be read", ("malformed_json", "duplicate_key", "too_deep",
          "too_many_fields", "too_many_values", "bad_request")),
    401: ("Valid credentials are required", ("unauthenticated",)),
    403: ("Not allowed", ("forbidden", "csrf", "session_required", "may_not_act_for_clients")),
    404: ("Not found, or somebody else's", ("not_found",)),
    408: ("The body did not arrive in time; nothing was begun", ("request_timeout",)),
    409: ("Conflicts with the current state", ("conflict", "in_progress")),
    411: ("Send Content-Length; a body in chunks is not read", ("length_required",)),
    412: ("The object has changed since it was read", ("stale_version",)),
    413: ("The request is too large", ("too_large",)),
    415: ("Send JSON", ("unsupported_media_type",)),
    422: (
        "Understood and refused; errors names each field",
        ("invalid", "required", "unknown_field", "invalid_choice", "invalid_amount", "amount_out_of_range",
         "precision", "invalid_characters", "idempotency_key_reused", "invalid_key"),
    ),
    429: ("Too many requests; see Retry-After", ("rate_limited",)),
    500: ("Something went wrong on our side", ("internal_error",)),
    503: ("Nothing was stored; try again after Retry-After", ("unavailable",)),
}  # fmt: skip

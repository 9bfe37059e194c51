"""What every part of the API document shares: the problem, the page, the security schemes."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .base import Response
from .problems import problem_example


class FieldProblem(Response):
    field: str = Field(description="Dotted name of the field, as it was sent; body: the whole")
    code: str = Field(description="Stable; to be told apart by programs")
    message: str = Field(description="For people")
    value: Any = Field(description="What was sent, shortened; null where it is not shown")


PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Some problems carry further members, named in the operation.",
    "required": ["type", "title", "status", "detail", "code", "errors", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The page that explains the code"},
        "title": {"type": "string", "description": "The kind of problem, for people"},
        "status": {"type": "integer", "description": "The HTTP status"},
        "detail": {"type": "string", "description": "What is wrong this time, for people"},
        "code": {"type": "string", "description": "Stable; to be told apart by programs"},
        "errors": {
            "type": "array",
            "description": "Each field that is wrong, at most 20",
            "items": {"$ref": "#/components/schemas/FieldProblem"},
        },
        "request_id": {"type": "string", "description": "The same as X-Request-Id"},
    },
    "examples": [problem_example("tick_size")],
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

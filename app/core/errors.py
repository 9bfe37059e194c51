"""The errors that routes answer with. Each carries its HTTP status and a stable code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one input. ``field`` is the dotted name as the API documents it."""

    field: str
    code: str
    message: str
    value: Any = None

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "code": self.code, "message": self.message, "value": self.value}


class AppError(Exception):
    """Something the caller can be told. Subclasses fix the status, the code and the title."""

    status = 400
    code = "bad_request"
    title = "Bad request"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        errors: list[FieldError] | None = None,
        retry_after: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or type(self).code
        self.errors = errors or []
        self.retry_after = retry_after
        self.extra = extra or {}


class Malformed(AppError):
    status, code, title = 400, "malformed", "The request could not be read"


class Unauthenticated(AppError):
    """One wording for a bad, missing, expired or revoked identity: a stranger learns nothing."""

    status, code, title = 401, "unauthenticated", "Valid credentials are required"


class Forbidden(AppError):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(AppError):
    """Also the answer for what belongs to somebody else."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(AppError):
    status, code, title = 409, "conflict", "Conflicts with the current state"


class PreconditionFailed(AppError):
    status, code, title = 412, "stale_version", "The object has changed since it was read"


class RequestTimeout(AppError):
    """The request itself took too long to arrive; nothing was begun."""

    status, code, title = 408, "request_timeout", "The request did not arrive in time"


class LengthRequired(AppError):
    status, code, title = 411, "length_required", "Content-Length is required"


class UnknownHost(AppError):
    status, code, title = 421, "unknown_host", "Not a host of ours"


class TooLarge(AppError):
    status, code, title = 413, "too_large", "The request is too large"


class UnsupportedMediaType(AppError):
    status, code, title = 415, "unsupported_media_type", "Send JSON"


class UnsupportedDocument(AppError):
    """An uploaded file of a kind that is not taken."""

    status, code, title = 415, "unsupported_document", "Send JPEG, PNG or PDF"


class Invalid(AppError):
    """Understood and refused; ``errors`` names each field."""

    status, code, title = 422, "invalid", "The request is not valid"

    @classmethod
    def field(cls, field: str, code: str, message: str, value: Any = None) -> Invalid:
        return cls(f"{field} {message}", code=code, errors=[FieldError(field, code, message, value)])


class RateLimited(AppError):
    status, code, title = 429, "rate_limited", "Too many requests"


class Unavailable(AppError):
    """Nothing was stored; the same request may be sent again after ``retry_after`` seconds."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"


class Locked(Unavailable):
    """Others were at work on the same rows for longer than this could wait; nothing was stored."""


class OutcomeUnknown(Unavailable):
    """It may have been stored, or not. The same key or client_order_id, sent again, finds out."""

    code, title = "outcome_unknown", "It is not known whether this was done"

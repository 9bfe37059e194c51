"""``Idempotency-Key``: which requests carry one, the answer that is kept, and the answer to a repeat."""

from __future__ import annotations

from flask import Response, g, request
from sqlalchemy.orm import Session

from app.core.errors import Invalid
from app.core.permissions import Principal
from app.services import idempotency
from app.services.idempotency import KeyedRequest

from .request import now, whole_body


def keyed_request() -> KeyedRequest | None:
    """The request under its key; None where it has none, or is of a kind that takes none. Raises ``Invalid``."""
    if request.method != "POST" or request.blueprint != "api":
        return None
    key = request.headers.get("Idempotency-Key")
    caller: Principal | None = g.get("principal")
    if key is None or caller is None:
        return None
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Invalid.field("Idempotency-Key", "invalid_key", "must be 1 to 255 printable ASCII characters")
    said = request.full_path.encode() + b"\n" + (request.headers.get("X-Client-Id") or "").encode()
    return KeyedRequest.of(caller.actor, str(request.url_rule), key, said + b"\n" + whole_body())


def replayed(status: int, text: str) -> Response:
    """The stored answer, marked as one."""
    media_type = "application/json" if status < 400 else "application/problem+json"
    return Response(text, status, {"Idempotency-Replayed": "true"}, content_type=media_type)


def keep(session: Session, keyed: KeyedRequest, response: Response) -> None:
    """Store the answer for repeats; one that says "try again" is no answer."""
    if response.status_code not in (429, 503):
        text = g.get("answer_to_keep") or response.get_data(as_text=True)  # without what is shown once
        idempotency.store(session, keyed, response.status_code, text, now())

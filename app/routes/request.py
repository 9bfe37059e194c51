"""What a view asks of its request: the services, the session, the moment, the body, the query, the version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from flask import current_app, g, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.core import json
from app.core.errors import Invalid, PreconditionFailed, UnsupportedMediaType
from app.schemas.base import Request, validate
from app.services.container import Services

from .request_gate import BODY

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ENTITY_TAG = re.compile(r'(?:W/)?"v([0-9]{1,9})"')

M = TypeVar("M", bound=Request)


def services() -> Services:
    found: Services = current_app.extensions["services"]
    return found


def db() -> Session:
    """The request's one session; committed after the view has returned."""
    session: Session = g.db
    return session


def in_transaction() -> bool:
    """Whether the request has a session of its own."""
    return "db" in g


def now() -> datetime:
    """The moment of the request; the same for all it does."""
    moment: datetime | None = g.get("now")
    if moment is None:
        moment = g.now = services().clock.now()
    return moment


def whole_body() -> bytes:
    """The bytes of the body, all of them, read before anything else happened."""
    raw: bytes = request.environ[BODY]
    return raw


def body(model: type[M]) -> M:
    """The JSON body as ``model``; an absent one counts as empty.

    Raises ``UnsupportedMediaType``, ``Malformed`` or ``Invalid``.
    """
    if whole_body() and request.mimetype != "application/json":
        raise UnsupportedMediaType("send the body as application/json")
    return validate(model, payload())


def payload() -> Any:
    """The body read as JSON, once; an absent one is an empty object. Raises ``Malformed``."""
    if "payload" not in g:
        raw = whole_body()
        g.payload = json.loads(raw) if raw else {}
    return g.payload


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came: its name is what somebody says."""

    name: str
    data: bytes


def uploaded(model: type[M]) -> tuple[M, Upload]:
    """The form's fields as ``model``, and its one file, which is called file.

    Raises ``UnsupportedMediaType`` or ``Invalid``.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("send the file in a form, as multipart/form-data")
    values = {}
    for name, given in request.form.lists():
        if len(given) > 1:
            raise Invalid.field(name[:60], "repeated", "is given more than once")
        values[name] = given[0]
    fields = validate(model, values)
    files = list(request.files.items(multi=True))
    if not files:
        raise Invalid.field("file", "required", "is needed")
    if len(files) > 1 or files[0][0] != "file":
        raise Invalid.field(files[-1][0][:60], "unknown_field", "is not known here; one file, called file, is taken")
    file = files[0][1]
    return fields, Upload(file.filename or "", file.read())


def query(model: type[M]) -> M:
    """The query string as ``model``; a field named twice is refused."""
    values = {}
    for name, given in request.args.lists():
        if len(given) > 1:
            raise Invalid.field(name[:60], "repeated", "is given more than once")
        values[name] = given[0]
    return validate(model, values)


def named_client(given: str | None) -> str | None:
    """The client a request is for: the body's or query's ``client_id``, or the header ``X-Client-Id``."""
    header = request.headers.get("X-Client-Id")
    if header is not None and given is not None and header != given:
        raise Invalid.field("client_id", "contradiction", "differs from the header X-Client-Id", given[:64])
    return given if given is not None else header


def check_version(version: int) -> None:
    """Compare If-Match, where it is sent, with the row just locked. Raises ``PreconditionFailed``."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return
    versions = {int(found) for found in _ENTITY_TAG.findall(header)}
    if version not in versions:
        raise PreconditionFailed(extra={"current_version": version})


def tagged(shown: dict[str, Any], status: int = 200) -> ResponseReturnValue:
    """An object with its ETag."""
    return shown, status, {"ETag": f'"v{shown["version"]}"'}

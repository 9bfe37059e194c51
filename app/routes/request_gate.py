"""What every request passes before anything else looks at it, SocketIO's included.

Its body is read whole, under a limit of size and of time, so that no transaction or lock ever waits for
somebody's network. In production it must be meant for a host of ours, and secret things come over TLS.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from app.core import json
from app.core.api_keys import presented_key
from app.core.connections import Connections, wire_of
from app.core.errors import (
    AppError,
    Forbidden,
    LengthRequired,
    Malformed,
    RequestTimeout,
    TooLarge,
    UnknownHost,
)
from app.core.ids import new_id

BODY: Final = "cambista.body"  # in the environ: the whole body
REFUSAL: Final = "cambista.refusal"  # in the environ: the AppError that the application raises first thing
SOCKETS: Final = "/socket.io"
UPLOADS: Final = "/api/v1/"
INSIDE: Final = ("/health", "/ready", "/metrics")  # asked by balancers and monitors, by address and over plain HTTP
MAX_SOCKET_BYTES: Final = 64 * 1024
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_SAFE: Final = ("GET", "HEAD", "OPTIONS")

Environ = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """``hosts`` and TLS are asked for in production alone."""

    production: bool
    hosts: frozenset[str]
    max_body_bytes: int
    max_form_bytes: int  # of a form with a file in it, which the API takes
    body_timeout_seconds: int


class RequestGate:
    """WSGI middleware around everything but the trust in proxies."""

    def __init__(self, app: Callable[..., Iterable[bytes]], connections: Connections, rules: Rules) -> None:
        self._app, self._connections, self._rules = app, connections, rules

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        wire = wire_of(environ)
        try:
            body = self._read(environ, wire)
        except AppError as refusal:
            # what is left of the body would be taken for the next request
            answer = self._refuse(environ, start_response, refusal)
            if wire is None:
                return answer
            return _ClosingAnswer(answer, self._connections, wire, at_once="werkzeug.socket" in environ)
        _put(environ, body)
        try:
            self._check(environ)
        except AppError as refusal:
            return self._refuse(environ, start_response, refusal)
        return self._app(environ, start_response)

    def _refuse(self, environ: Environ, start_response: Any, refusal: AppError) -> Iterable[bytes]:
        """By the application, with everything an answer has; SocketIO's paths do not reach it."""
        if not _is_socket(environ):
            _put(environ, b"")
            environ[REFUSAL] = refusal
            return self._app(environ, start_response)
        text = json.dumps(
            {
                "type": f"/api/docs/errors/{refusal.code}",
                "title": refusal.title,
                "status": refusal.status,
                "detail": refusal.detail,
                "code": refusal.code,
                "errors": [],
                "request_id": new_id(),
            }
        ).encode()
        headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(text)))]
        start_response(f"{refusal.status} {refusal.title}", headers)
        return [text]

    # the body

    def _read(self, environ: Environ, wire: Any) -> bytes:
        """Raises ``LengthRequired``, ``Malformed``, ``TooLarge`` or ``RequestTimeout``."""
        if environ.get("HTTP_TRANSFER_ENCODING"):
            raise LengthRequired("send Content-Length; a body in chunks is not read")
        stated = environ.get("CONTENT_LENGTH") or "0"
        if not _LENGTH.fullmatch(stated):
            raise Malformed("Content-Length is no number", code="bad_request")
        length, most = int(stated), self._most(environ)
        if length > most:
            raise TooLarge(f"the body is larger than {most} bytes")
        if not length:
            return b""
        body = self._read_in_time(environ["wsgi.input"], length, wire)
        if len(body) != length:
            raise RequestTimeout(f"the body did not arrive within {self._rules.body_timeout_seconds} seconds")
        return body

    def _most(self, environ: Environ) -> int:
        if _is_socket(environ):
            return MAX_SOCKET_BYTES
        form = environ.get("CONTENT_TYPE", "").startswith("multipart/form-data")
        uploads = form and environ.get("PATH_INFO", "").startswith(UPLOADS)
        return self._rules.max_form_bytes if uploads else self._rules.max_body_bytes

    def _read_in_time(self, source: Any, length: int, wire: Any) -> bytes:
        try:
            if wire is None:
                return bytes(source.read(length))
            with self._connections.reading(wire, self._rules.body_timeout_seconds):
                return bytes(source.read(length))
        except OSError:  # the connection broke, or was ended
            return b""

    # where to and how

    def _check(self, environ: Environ) -> None:
        """Raises ``UnknownHost`` or ``Forbidden``; a page asked for over plain HTTP is redirected later."""
        path = environ.get("PATH_INFO", "")
        if not self._rules.production or (path in INSIDE and presented_key(environ) is None):
            return
        if path not in INSIDE and _host(environ) not in self._rules.hosts:
            raise UnknownHost("this server is not known by that name")
        if environ.get("wsgi.url_scheme") == "https" or (path in INSIDE and _is_loopback(environ)):
            return
        if presented_key(environ) is not None or _is_socket(environ) or environ["REQUEST_METHOD"] not in _SAFE:
            raise Forbidden("use https; a key that was sent over plain HTTP should be revoked", code="https_required")


def _put(environ: Environ, body: bytes) -> None:
    environ[BODY] = body
    environ["wsgi.input"] = io.BytesIO(body)
    environ["wsgi.input_terminated"] = True
    environ["CONTENT_LENGTH"] = str(len(body)) if body or environ.get("CONTENT_LENGTH") else ""
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def _is_socket(environ: Environ) -> bool:
    return bool(environ.get("PATH_INFO", "").startswith(SOCKETS))


def _host(environ: Environ) -> str:
    """Without its port; an IPv6 address keeps its brackets."""
    return re.sub(r":[0-9]*$", "", environ.get("HTTP_HOST", "")).lower()


def _is_loopback(environ: Environ) -> bool:
    try:
        return ip_address(environ.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


class _ClosingAnswer:
    """An answer after which the connection is closed.

    ``at_once``: the server has sent a part when it asks for the next, and reads on before it closes the answer.
    """

    def __init__(self, answer: Iterable[bytes], connections: Connections, wire: Any, *, at_once: bool) -> None:
        self._answer, self._connections, self._wire, self._at_once = answer, connections, wire, at_once

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer
        if self._at_once:
            self._connections.end(self._wire)

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()
        self._connections.end(self._wire)


__all__ = ["BODY", "INSIDE", "MAX_SOCKET_BYTES", "REFUSAL", "RequestGate"]

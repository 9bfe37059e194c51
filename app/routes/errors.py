"""Errors on their way out: problem+json (RFC 9457) for programs, a page for people."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, render_template, request
from flask_wtf.csrf import CSRFError
from jinja2 import TemplateNotFound
from werkzeug.exceptions import HTTPException

from app.core import json
from app.core.errors import AppError, Malformed, NotFound, RateLimited, TooLarge, Unauthenticated, UnsupportedMediaType
from app.schemas.problems import TYPE

log = logging.getLogger(__name__)
_FOR_PROGRAMS = ("/api/", "/health", "/ready", "/metrics")
_KNOWN: dict[int, type[AppError]] = {
    kind.status: kind for kind in (Malformed, NotFound, RateLimited, TooLarge, Unauthenticated, UnsupportedMediaType)
}


class CsrfFailed(AppError):
    status, code, title = 403, "csrf", "The form has expired or did not come from here"


class InternalError(AppError):
    status, code, title = 500, "internal_error", "Something went wrong on our side"


class MethodNotAllowed(AppError):
    status, code, title = 405, "method_not_allowed", "This address does not take that method"


def wants_json() -> bool:
    if request.path.startswith(_FOR_PROGRAMS):
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return best == "application/json"


def problem(error: AppError) -> dict[str, Any]:
    """The body of a problem; ``extra`` members stand beside the registered ones."""
    return {
        **error.extra,
        "type": TYPE + error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "errors": [item.to_json() for item in error.errors],
        "request_id": g.get("request_id", "-"),
    }


def answer(error: AppError) -> Response:
    response = _problem_response(error) if wants_json() else _page(error)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    elif error.status in (429, 503):
        response.headers["Retry-After"] = "1"
    if error.status == 401 and wants_json():
        response.headers["WWW-Authenticate"] = 'Bearer realm="cambista"'
    return response


def _problem_response(error: AppError) -> Response:
    return Response(json.dumps(problem(error)), error.status, content_type="application/problem+json")


def _page(error: AppError) -> Response:
    try:
        text = render_template("errors/error.html", error=error, request_id=g.get("request_id", "-"))
    except TemplateNotFound:
        text = f"{error.status} {error.title}\n{error.detail}\n"
        return Response(text, error.status, content_type="text/plain; charset=utf-8")
    return Response(text, error.status, content_type="text/html; charset=utf-8")


def answer_unexpected(error: Exception) -> Response:
    """500 with the request's id and not a word about the cause, which is in the log."""
    log.error("unexpected error", exc_info=error, extra={"request_id": g.get("request_id", "-")})
    return answer(InternalError())


def _of_http(error: HTTPException) -> Response:
    if error.response is not None or (error.code or 500) < 400:
        return Response.force_type(error.get_response())  # type: ignore[return-value]
    if isinstance(error, CSRFError):
        return answer(CsrfFailed())
    status = error.code or 500
    if status == 405:
        response = answer(MethodNotAllowed())
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return response
    kind = _KNOWN.get(status)
    if kind is not None:
        return answer(kind())
    shown = AppError(code="bad_request" if status == 400 else HTTPStatus(status).name.lower())
    shown.status, shown.title = status, HTTPStatus(status).phrase
    shown.detail = shown.title
    return answer(shown)


def install(app: Flask) -> None:
    app.register_error_handler(AppError, answer)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, answer_unexpected)

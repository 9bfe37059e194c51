"""The application: every view runs in one transaction, committed before its answer leaves.

A view may say otherwise: ``no_transaction`` opens its own or none, ``shared_commit`` commits together with others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from app.core import logs
from app.core.errors import AppError, Conflict, Invalid, NotFound
from app.core.ids import new_id
from app.extensions import RETRY_AFTER
from app.services import idempotency
from app.services.container import Services
from app.services.idempotency import KeyedRequest

from .errors import answer_unexpected
from .idempotency import keep, keyed_request, replayed
from .request import SAFE_METHODS, now
from .request_gate import REFUSAL

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

View = TypeVar("View", bound=Callable[..., Any])


def no_transaction(view: View) -> View:
    """The view opens its own transactions, or none: sign-in, health, streams."""
    view.no_transaction = True  # type: ignore[attr-defined]
    return view


def shared_commit(view: View) -> View:
    """The view's work is committed together with others'; under an Idempotency-Key it is on its own."""
    view.shared_commit = True  # type: ignore[attr-defined]
    return view


def shares_commit() -> bool:
    """Whether this request's work will be committed together with others'."""
    view = current_app.view_functions.get(request.endpoint or "")
    return getattr(view, "shared_commit", False) and "Idempotency-Key" not in request.headers


class Application(Flask):
    """Flask whose views run in one transaction each."""

    @property
    def services(self) -> Services:
        found: Services = self.extensions["services"]
        return found

    def full_dispatch_request(self) -> Response:
        response = super().full_dispatch_request()
        # a busy keep-alive connection never yields by itself and would starve the others
        self.extensions["socketio"].sleep(0)
        return response

    def dispatch_request(self) -> ResponseReturnValue:
        view = self._view()
        if view is None:
            return super().dispatch_request()
        keyed = keyed_request()
        if getattr(view, "no_transaction", False):
            return super().dispatch_request() if keyed is None else self._once(keyed)
        if keyed is None and getattr(view, "shared_commit", False):
            response = super().dispatch_request()
            self.services.wake()
            return response
        if keyed is None:
            return self._in_transaction(None)
        with idempotency.in_flight(keyed):
            return self._in_transaction(keyed)

    def _once(self, keyed: KeyedRequest) -> ResponseReturnValue:
        """A view that opens transactions of its own: its answer is kept in one more, after it."""
        database = self.services.database
        with idempotency.in_flight(keyed):
            stored = database.read(lambda session: idempotency.find(session, keyed))
            if stored is not None:
                return replayed(*stored)
            response = self.make_response(super().dispatch_request())
            database.run(lambda session: keep(session, keyed, response))
            return response

    def _view(self) -> Callable[..., Any] | None:
        """The view that will run; None for static files and for what Flask answers by itself."""
        rule = request.url_rule
        if rule is None or request.routing_exception is not None or rule.endpoint.endswith("static"):
            return None
        if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
            return None
        return self.view_functions[rule.endpoint]

    def _in_transaction(self, keyed: KeyedRequest | None) -> Response:
        began = False

        def work(session: Session) -> Response:
            nonlocal began
            g.db = session
            if keyed is not None:
                stored = idempotency.find(session, keyed)
                if stored is not None:
                    return replayed(*stored)
            began = True
            response = self.make_response(super(Application, self).dispatch_request())
            if keyed is not None:
                keep(session, keyed, response)
            return response

        writes = request.method not in SAFE_METHODS
        try:
            response = self.services.database.run(work, write=writes)
        except IntegrityError as error:
            if keyed is not None and idempotency.is_duplicate(error):  # another process was first
                raise Conflict(
                    "the first request with this key is still running", code="in_progress", retry_after=1
                ) from error
            return self._unexpected(error, keyed)
        except (AppError, HTTPException):
            raise
        except Exception as error:
            if not began:
                raise
            return self._unexpected(error, keyed)
        finally:
            g.pop("db", None)
        if writes:
            self.services.wake()
        return response

    def _unexpected(self, error: Exception, keyed: KeyedRequest | None) -> Response:
        """Answer 500; under a key the answer is kept, so that a repeat does not do the work again."""
        response = self.make_response(answer_unexpected(error))
        if keyed is not None:
            text = response.get_data(as_text=True)
            self.services.database.run(lambda session: idempotency.store(session, keyed, 500, text, now()))
        return response


def _open() -> None:
    """Before anything else: the request's id, and paths and queries no database would take."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
    logs.request_id.set(g.request_id)  # every line a service logs for this request carries it
    refusal: AppError | None = request.environ.get(REFUSAL)
    if refusal is not None:
        raise refusal
    if _UNSTORABLE.search(request.path):
        raise NotFound()
    if not request.query_string:
        return
    for name, value in request.args.items(multi=True):
        if _UNSTORABLE.search(name + value):
            raise Invalid.field(name[:60].replace("\x00", ""), "invalid_characters", "must not contain NUL")


def _close(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "-")
    if request.endpoint is None or not request.endpoint.endswith("static"):
        response.headers["Cache-Control"] = "no-store"
    response.headers.pop(RETRY_AFTER, None)
    return response


def install(app: Flask) -> None:
    app.before_request(_open)
    app.after_request(_close)

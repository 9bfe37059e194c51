"""The edge of every HTTP request: who is calling, how often, in which one transaction, with what answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, g, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from app.core import json, logs
from app.core.errors import (
    AppError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Unauthenticated,
    UnsupportedMediaType,
)
from app.core.ids import new_id
from app.core.permissions import Principal, Resource
from app.extensions import RETRY_AFTER, csrf
from app.schemas.base import Request, validate
from app.services import idempotency
from app.services.container import Services

from . import entrance, limits
from .errors import answer_of_unforeseen

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
API = "/api/v1"
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ENTITY_TAG = re.compile(r'(?:W/)?"v([0-9]{1,9})"')

View = TypeVar("View", bound=Callable[..., Any])
M = TypeVar("M", bound=Request)
Need = tuple[Resource, str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a JSON view says about itself: to the guard, and to whoever reads the OpenAPI document."""

    summary: str
    tag: str
    body: type[Request] | None = None
    query: type[Request] | None = None
    response: Any = None
    many: bool = False
    status: int = 200
    also: Mapping[int, Any] = field(default_factory=dict)  # other good statuses: what may come beside ``response``
    errors: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()  # any one of them
    public: bool = False
    session_only: bool = False
    order_entry: bool = False
    orders: Callable[[], int] = lambda: 1  # of an order entry: how many it is, for the limits
    media_type: str = "application/json"
    etag: bool = False
    if_match: bool = False
    description: str = ""


def endpoint(summary: str, *, needs: Need | tuple[Need, ...] = (), **metadata: Any) -> Callable[[View], View]:
    """Describe a JSON view. The caller must hold one of ``needs``; ``public`` views ask nobody."""
    alternatives: Any = (needs,) if needs and isinstance(needs[0], Resource) else needs
    described = Endpoint(summary=summary, needs=alternatives, **metadata)

    def mark(view: View) -> View:
        view.endpoint = described  # type: ignore[attr-defined]
        return view

    return mark


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


# -- what views ask for --------------------------------------------------------------------------------------


def services() -> Services:
    return services_of(current_app)


def services_of(app: Flask) -> Services:
    return cast(Services, app.extensions["services"])


def principal() -> Principal:
    """Who is calling. Raises ``Unauthenticated``."""
    caller: Principal | None = g.get("principal")
    if caller is None:
        raise Unauthenticated()
    return caller


def db() -> Session:
    """The request's one session; committed after the view has returned."""
    return cast(Session, g.db)


def in_transaction() -> bool:
    """Whether the request has a session of its own."""
    return "db" in g


def now() -> datetime:
    """The moment of the request; the same for all it does."""
    if "now" not in g:
        g.now = services().clock.now()
    return cast(datetime, g.now)


def whole_body() -> bytes:
    """The bytes of the body, all of them, read before anything else happened."""
    return cast(bytes, request.environ[entrance.BODY])


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


# -- the application -----------------------------------------------------------------------------------------


class EdgeFlask(Flask):
    """Flask whose views run in one transaction each, committed before the answer leaves."""

    def full_dispatch_request(self) -> Response:
        response = super().full_dispatch_request()
        # a busy keep-alive connection never yields by itself and would starve the others
        self.extensions["socketio"].sleep(0)
        return response

    def dispatch_request(self) -> ResponseReturnValue:
        view = self._view()
        if view is None:
            return super().dispatch_request()
        ticket = _idempotency_ticket()
        if getattr(view, "no_transaction", False):
            return super().dispatch_request() if ticket is None else self._once(ticket)
        if ticket is None and getattr(view, "shared_commit", False):
            response = super().dispatch_request()
            self._wake_engine()
            return response
        if ticket is None:
            return self._in_transaction(None)
        with idempotency.in_flight(ticket):
            return self._in_transaction(ticket)

    def _once(self, ticket: idempotency.Ticket) -> ResponseReturnValue:
        """A view that opens transactions of its own: its answer is kept in one more, after it."""
        database = services().database
        with idempotency.in_flight(ticket):
            stored = database.read(lambda session: idempotency.find(session, ticket))
            if stored is not None:
                return replayed(*stored)
            response = self.make_response(super().dispatch_request())
            database.run(lambda session: _keep(session, ticket, response))
            return response

    def _view(self) -> Any:
        rule = request.url_rule
        automatic = (
            request.method == "OPTIONS" and rule is not None and getattr(rule, "provide_automatic_options", False)
        )
        if request.routing_exception is not None or rule is None or rule.endpoint.endswith("static") or automatic:
            return None
        return self.view_functions[rule.endpoint]

    def _in_transaction(self, ticket: idempotency.Ticket | None) -> Response:
        began = False

        def work(session: Session) -> Response:
            nonlocal began
            g.db = session
            if ticket is not None:
                stored = idempotency.find(session, ticket)
                if stored is not None:
                    return replayed(*stored)
            began = True
            response = self.make_response(super(EdgeFlask, self).dispatch_request())
            if ticket is not None:
                _keep(session, ticket, response)
            return response

        database = services().database
        try:
            response = database.run(work, write=request.method not in SAFE_METHODS)
        except IntegrityError as error:
            if ticket is not None and idempotency.is_duplicate(error):  # another process was first
                raise Conflict(
                    "the first request with this key is still running", code="in_progress", retry_after=1
                ) from error
            return self._unforeseen(error, ticket)
        except Exception as error:
            if not began or _is_foreseen(error):
                raise
            return self._unforeseen(error, ticket)
        finally:
            g.pop("db", None)
        if request.method not in SAFE_METHODS:
            self._wake_engine()
        return response

    @staticmethod
    def _wake_engine() -> None:
        services().wake()

    def _unforeseen(self, error: Exception, ticket: idempotency.Ticket | None) -> Response:
        """Answer 500; under a key the answer is kept, so that a repeat does not do the work again."""
        response = self.make_response(answer_of_unforeseen(error))
        if ticket is not None:
            text = response.get_data(as_text=True)
            services().database.run(lambda session: idempotency.store(session, ticket, 500, text, now()))
        return response


def _keep(session: Session, ticket: idempotency.Ticket, response: Response) -> None:
    """Store the answer for repeats; one that says "try again" is no answer."""
    if response.status_code not in (429, 503):
        text = g.get("answer_to_keep") or response.get_data(as_text=True)  # without what is shown once
        idempotency.store(session, ticket, response.status_code, text, now())


def _is_foreseen(error: Exception) -> bool:
    return isinstance(error, AppError | HTTPException)


def _idempotency_ticket() -> idempotency.Ticket | None:
    key = request.headers.get("Idempotency-Key")
    caller: Principal | None = g.get("principal")
    if key is None or request.method != "POST" or not request.path.startswith(API + "/") or caller is None:
        return None
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Invalid.field("Idempotency-Key", "invalid_key", "must be 1 to 255 printable ASCII characters")
    said = request.full_path.encode() + b"\n" + (request.headers.get("X-Client-Id") or "").encode()
    return idempotency.Ticket.of(caller.actor, str(request.url_rule), key, said + b"\n" + whole_body())


def replayed(status: int, text: str) -> Response:
    media_type = "application/json" if status < 400 else "application/problem+json"
    return Response(text, status, {"Idempotency-Replayed": "true"}, content_type=media_type)


def _open() -> None:
    """Before anything else: the request's id, and paths and queries no database would take."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
    logs.request_id.set(g.request_id)  # every line a service logs for this request carries it
    refusal: AppError | None = request.environ.get(entrance.REFUSAL)
    if refusal is not None:
        raise refusal
    if _UNSTORABLE.search(request.path):
        raise NotFound()
    for name, value in request.args.items(multi=True):
        if _UNSTORABLE.search(name + value):
            raise Invalid.field(name[:60].replace("\x00", ""), "invalid_characters", "must not contain NUL")


def _guard() -> None:
    """Identity, rate, right and CSRF, in this order, before a transaction is opened."""
    if request.routing_exception is not None or request.endpoint is None or request.endpoint.endswith("static"):
        return
    view = current_app.view_functions[request.endpoint]
    described: Endpoint | None = getattr(view, "endpoint", None)
    caller: Principal | None = None
    if request.path not in ("/health", "/ready"):
        identify: Callable[[], Principal | None] = current_app.extensions["identify"]
        caller = g.principal = identify()
    if described is not None:
        limits.count(described.orders() if described.order_entry else 0)
        if not described.public:
            _require(described, caller)
    by_key = caller is not None and caller.kind == "key"
    if request.method not in SAFE_METHODS and not by_key and not getattr(view, "csrf_exempt", False):
        csrf.protect()


def _require(described: Endpoint, caller: Principal | None) -> None:
    if caller is None:
        raise Unauthenticated()
    if described.session_only and caller.kind != "user":
        raise Forbidden("this needs a person who has signed in", code="session_required")
    if described.needs and not any(caller.reach(*need) for need in described.needs):
        caller.require(*described.needs[0])


def _close(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "-")
    if request.endpoint is None or not request.endpoint.endswith("static"):
        response.headers["Cache-Control"] = "no-store"
    response.headers.pop(RETRY_AFTER, None)
    return response


def install(app: Flask) -> None:
    app.before_request(_open)
    app.after_request(_close)
    limits.install(app, services_of(app).settings.redis_url)  # begins before the guard, ends before what closes
    app.before_request(_guard)


__all__ = [
    "API",
    "EdgeFlask",
    "Endpoint",
    "body",
    "check_version",
    "db",
    "endpoint",
    "install",
    "named_client",
    "no_transaction",
    "now",
    "principal",
    "query",
    "services",
    "tagged",
]

"""Who may ask for what: each JSON view names the right it needs, and one guard asks for it before every view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from flask import Flask, current_app, g, redirect, request
from flask.typing import ResponseReturnValue

from app.core.errors import Forbidden, Unauthenticated
from app.core.permissions import Principal, Resource
from app.extensions import csrf
from app.schemas.base import Request
from app.services import step_up

from . import identity, limits
from .errors import wants_json
from .request import SAFE_METHODS, now, services

View = TypeVar("View", bound=Callable[..., Any])
Need = tuple[Resource, str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a JSON view says about itself: to the guard, and to whoever reads the OpenAPI document."""

    summary: str
    tag: str
    body: type[Request] | None = None
    file: str = ""  # what is uploaded: then ``body`` has the other fields of the form
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


def needs_fresh_proof(view: View) -> View:
    """For what is delicate: the person has signed in, or proved who they are again, a moment ago; no key can.

    A program is told ``proof_required``; a person is asked, on the page ``/account/prove`` or in a dialog.
    """
    view.fresh_proof = True  # type: ignore[attr-defined]
    return view


def principal() -> Principal:
    """Who is calling. Raises ``Unauthenticated``."""
    caller: Principal | None = g.get("principal")
    if caller is None:
        raise Unauthenticated()
    return caller


def identify() -> None:
    """Who calls, and how much of their allowance this request takes."""
    view = _view()
    if view is None:
        return
    if request.path not in ("/health", "/ready"):
        g.principal = identity.identify()
    described: Endpoint | None = getattr(view, "endpoint", None)
    if described is not None:
        limits.allow(described.orders() if described.order_entry else 0)


def guard() -> ResponseReturnValue | None:
    """Right, CSRF and proof, before a transaction is opened."""
    view = _view()
    if view is None:
        return None
    described: Endpoint | None = getattr(view, "endpoint", None)
    caller: Principal | None = g.get("principal")
    if described is not None and not described.public:
        _require(described, caller)
    by_browser = caller is None or caller.kind == "user"
    if request.method not in SAFE_METHODS and by_browser and not getattr(view, "csrf_exempt", False):
        csrf.protect()
    return _ask_for_proof() if getattr(view, "fresh_proof", False) and caller is not None else None


def _ask_for_proof() -> ResponseReturnValue | None:
    """Raises ``Forbidden`` for a program, and for a key in any case."""
    if step_up.is_fresh(identity.signed_in(), now(), services().settings):
        return None
    if wants_json():
        raise Forbidden("prove again who you are", code="proof_required")
    # a form is not sent again by itself: the person goes back to where it was
    page = urlsplit(request.referrer or "").path or "/account/security"
    here = request.full_path.rstrip("?") if request.method == "GET" else page
    return redirect(f"/account/prove?{urlencode({'next': here})}", 303)


def _view() -> Callable[..., Any] | None:
    """The view that is asked for; None for static files and for addresses that do not exist."""
    name = request.endpoint
    if request.routing_exception is not None or name is None or name.endswith("static"):
        return None
    return current_app.view_functions[name]


def _require(described: Endpoint, caller: Principal | None) -> None:
    if caller is None:
        raise Unauthenticated()
    if described.session_only and caller.kind != "user":
        raise Forbidden("this needs a person who has signed in", code="session_required")
    if described.needs and not any(caller.reach(*need) for need in described.needs):
        caller.require(*described.needs[0])


def install(app: Flask, redis_url: str | None) -> None:
    """Identity, rate, right and CSRF, in this order."""
    app.before_request(identify)
    limits.install(app, redis_url)
    app.before_request(guard)

"""Who is calling: Flask-Login's ``current_user``, by a key in the headers, else by the browser's session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, cast
from urllib.parse import urlencode

from flask import Request, Response, current_app, g, redirect, request
from flask_login import UserMixin, current_user, login_required
from sqlalchemy.orm import Session

from app.core.api_keys import presented_key
from app.core.errors import AppError, Forbidden, Unauthenticated
from app.core.permissions import Principal
from app.extensions import login_manager
from app.services import api_keys, user_sessions
from app.services.user_sessions import SessionLimits, SignedIn

from . import limits
from .application import shares_commit
from .request import now, services

log = logging.getLogger(__name__)
_MOST_REMEMBERED = 10_000


class Caller(UserMixin):  # type: ignore[misc]
    """Flask-Login's user: a person with a browser session, or a program with a key."""

    def __init__(self, principal: Principal, signed_in: SignedIn | None = None, token: str = "") -> None:
        self.principal, self.signed_in, self._token = principal, signed_in, token

    def get_id(self) -> str:
        """The session's secret token, which the signed cookie keeps: a user's id would outlive every sign-out."""
        return self._token


def remote_ip() -> str:
    """The caller's address, behind as many proxies as the settings trust."""
    return request.remote_addr or "0.0.0.0"


def session_limits() -> SessionLimits:
    return SessionLimits.of(services().settings)


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_session(token: str) -> Caller | None:
    """The person whose session it is, while it has not ended; a key that is presented goes first."""
    if presented_key(request.environ) is not None:
        return None
    moment, lasting = now(), session_limits()
    found: SignedIn | None = services().database.look_up(lambda db: user_sessions.find(db, token, moment, lasting))
    if found is None:
        return None
    if found.is_touch_due(moment):
        row = found.session_id
        _note_use(
            f"session:{row}", moment, user_sessions.SEEN_INTERVAL, lambda db: user_sessions.touch(db, row, moment)
        )
    return Caller(found.principal, found, token)


@login_manager.request_loader  # type: ignore[untyped-decorator]
def load_key(_request: Request) -> Caller | None:
    raw = presented_key(request.environ)
    if raw is None:
        return None
    moment, ip = now(), remote_ip()
    # what shares a commit is checked again in it: a look-up of a moment ago is good enough to get there
    recent = services().recent_keys if shares_commit() else None
    caller = recent.find(raw, ip) if recent is not None else None
    if caller is not None:
        return Caller(caller.principal)
    try:
        caller = services().database.look_up(lambda db: api_keys.identify(db, raw, ip, moment))
    except Unauthenticated:
        return None
    if recent is not None:
        recent.keep(raw, ip, caller)
    if caller.is_touch_due(moment):
        key_id = caller.principal.id
        _note_use(f"key:{key_id}", moment, api_keys.USED_INTERVAL, lambda db: api_keys.touch(db, key_id, moment))
    return Caller(caller.principal)


def identify() -> Principal | None:
    """Who calls; None where nobody is known. Asked once, by the guard, which keeps the answer in ``g.principal``.

    Raises ``Unauthenticated`` for a bad key, whatever session comes with it, ``RateLimitExceeded`` for the many.
    """
    caller = current_user._get_current_object()  # each use of the proxy looks the request up again
    if caller.is_authenticated:
        principal: Principal = caller.principal
        return principal
    if presented_key(request.environ) is not None:
        limits.count_bad_key()
        raise Unauthenticated
    return None


def _note_use(name: str, moment: datetime, interval: timedelta, write: Callable[[Session], None]) -> None:
    """Write a time of last use. Of many requests at once one does; a failure is logged and stops nothing."""
    noted: dict[str, datetime] = current_app.extensions.setdefault("uses_noted", {})
    last = noted.get(name)
    if last is not None and moment - last < interval:
        return
    if len(noted) >= _MOST_REMEMBERED:
        noted.clear()
    noted[name] = moment
    try:
        services().database.run(write)
    except AppError as error:
        log.warning("time of last use not written: %s", error)


def is_own_path(target: str | None) -> bool:
    """Whether a redirect there stays with us: a path, and nothing a browser could read as a host."""
    if not target or not target.startswith("/") or len(target) > 2000:
        return False
    return not target.startswith("//") and "\\" not in target and target.isprintable()


def own_path(target: str | None) -> str:
    return target if target is not None and is_own_path(target) else "/"


def signed_in() -> SignedIn:
    """The person in the browser. Raises ``Unauthenticated``, or ``Forbidden`` for a key."""
    if not current_user.is_authenticated:
        raise Unauthenticated
    if current_user.signed_in is None:
        raise Forbidden("this needs a person who has signed in", code="session_required")
    return cast(SignedIn, current_user.signed_in)


def person() -> SignedIn | None:
    """The same, or None; also on a page that refuses before anybody was identified."""
    return current_user.signed_in if g.get("principal") is not None else None


def person_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """``login_required`` for pages: who is not signed in is sent to sign in, keys are refused."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        signed_in()
        return view(*args, **kwargs)

    guarded: Callable[..., Any] = login_required(wrapper)
    return guarded


@login_manager.unauthorized_handler  # type: ignore[untyped-decorator]
def to_sign_in() -> Response:
    """Whoever has not signed in is sent to do so and comes back."""
    here = request.full_path.rstrip("?") if request.method == "GET" else "/"
    answer = redirect("/sign-in" if here == "/" else f"/sign-in?{urlencode({'next': here})}", 303)
    return current_app.make_response(answer)


def disconnect_sockets(**which: str) -> None:
    """End open sockets of a ``key``, ``session`` or ``user`` at once; call it after the commit."""
    sockets = current_app.extensions.get("sockets")
    if sockets is not None:
        sockets.disconnect(**which)

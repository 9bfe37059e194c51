"""Who is calling: from a key in the headers, else from the browser's session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, g, redirect, request, session
from sqlalchemy.orm import Session

from app.core.errors import AppError, Forbidden, RateLimited, Unauthenticated
from app.services import api_keys, users
from app.services.api_keys import Caller
from app.services.users import SessionLimits, SignedIn

from .edge import now, services

log = logging.getLogger(__name__)
TOKEN = "token"  # in Flask's signed cookie
KEY, BROWSER = "key", "session"
_BEARER = "bearer "
_MOST_REMEMBERED = 10_000


def remote_ip() -> str:
    """The caller's address, behind as many proxies as the settings trust."""
    return request.remote_addr or "0.0.0.0"


def presented_key() -> str | None:
    """The key in the headers; an empty one is presented too, and wrong."""
    key = request.headers.get("X-API-Key")
    if key is not None:
        return key.strip()
    header = request.headers.get("Authorization", "")
    return header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else None


def session_limits() -> SessionLimits:
    settings = services().settings
    return SessionLimits(
        idle=timedelta(minutes=settings.session_idle_minutes), absolute=timedelta(hours=settings.session_absolute_hours)
    )


def load_principal() -> None:
    """Set ``g.principal``, ``g.user``, ``g.signed_in`` and ``g.auth``; None where nobody is known.

    Raises ``Unauthenticated`` for a bad key, whatever session comes with it, ``RateLimited`` for the many.
    """
    g.principal = g.user = g.signed_in = g.auth = None
    raw = presented_key()
    if raw is not None:
        _load_key(raw)
    elif TOKEN in session:
        _load_session(str(session[TOKEN]))


def _load_key(raw: str) -> None:
    moment, ip = now(), remote_ip()
    try:
        caller: Caller = services().database.read(lambda db: api_keys.identify(db, raw, ip, moment))
    except Unauthenticated:
        if not current_app.extensions["rate_limits"].bad_key(ip):
            raise RateLimited("too many keys that are not good came from your address", retry_after=60) from None
        raise
    g.principal, g.auth = caller.principal, KEY
    if caller.is_touch_due(moment):
        key_id = caller.principal.id
        _note_use(f"key:{key_id}", moment, api_keys.USED_INTERVAL, lambda db: api_keys.touch(db, key_id, moment))


def _load_session(token: str) -> None:
    moment, limits = now(), session_limits()
    found: SignedIn | None = services().database.read(lambda db: users.find_session(db, token, moment, limits))
    if found is None:
        return
    g.principal, g.user, g.signed_in, g.auth = found.principal, found.user, found, BROWSER
    if found.is_touch_due(moment):
        row = found.session_id
        _note_use(f"session:{row}", moment, users.SEEN_INTERVAL, lambda db: users.touch(db, row, moment))


def _note_use(name: str, moment: datetime, interval: timedelta, write: Callable[[Session], None]) -> None:
    """Write a time of last use. Of many requests at once one does; that it fails is nobody's business."""
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
    if g.get("auth") == KEY:
        raise Forbidden("this needs a person who has signed in", code="session_required")
    found: SignedIn | None = g.get("signed_in")
    if found is None:
        raise Unauthenticated
    return found


def sign_in_first(view: Callable[..., Any]) -> Callable[..., Any]:
    """For pages: whoever has not signed in is sent to do so and comes back."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if g.get("principal") is None:
            return _to_sign_in()
        signed_in()
        return view(*args, **kwargs)

    return wrapper


def _to_sign_in() -> Response:
    here = request.full_path.rstrip("?") if request.method == "GET" else "/"
    answer = redirect("/sign-in" if here == "/" else f"/sign-in?{urlencode({'next': here})}", 303)
    return current_app.make_response(answer)


def disconnect_sockets(**which: str) -> None:
    """End open sockets of a ``key``, ``session`` or ``user`` at once; call it after the commit."""
    sockets = current_app.extensions.get("sockets")
    if sockets is not None:
        sockets.disconnect(**which)


__all__ = [
    "TOKEN", "disconnect_sockets", "is_own_path", "load_principal", "own_path", "remote_ip", "sign_in_first",
    "signed_in",
]  # fmt: skip

"""How often: Flask-Limiter's limits for a key, for a signed-in person, or for an address where nobody is known."""

from __future__ import annotations

import math
import time

from flask import Flask, Response, current_app, g, request
from flask_limiter import RateLimitExceeded
from flask_limiter.util import get_remote_address
from limits import RateLimitItemPerMinute
from limits.errors import StorageError

from app.core.errors import RateLimited
from app.core.permissions import Principal
from app.core.settings import Settings
from app.extensions import limiter
from app.services.container import Services

from .errors import answer

BAD_KEYS = RateLimitItemPerMinute(20)
_WEIGHT, _BAD_KEYS = "weight", "bad keys"


def _own(name: str) -> int | None:
    """A rate that the calling key has of its own."""
    caller: Principal | None = g.principal
    return None if caller is None else getattr(caller, name)


def _settings() -> Settings:
    services: Services = current_app.extensions["services"]
    return services.settings


def _caller() -> str:
    caller: Principal | None = g.principal
    return f"ip:{request.remote_addr}" if caller is None else caller.actor


def _kind(_endpoint: str = "") -> str:
    return "orders" if g.orders else "requests"


def _a_second() -> int:
    if g.orders:
        return int(_own("orders_per_second") or _settings().order_rate_per_second)
    return int(_own("requests_per_second") or _settings().request_rate_per_second)


def _a_minute() -> int:
    """A key with rates of its own may use them all the minute."""
    own = max(_own("orders_per_second") or 0, _own("requests_per_second") or 0)
    return max(_settings().weight_per_minute, 60 * own)


# Flask-Limiter also asks for the limits before the guard has counted: then there are none


@limiter.shared_limit(
    lambda: f"{_a_second()}/second" if "orders" in g else "",
    scope=_kind,
    key_func=_caller,
    cost=lambda: min(max(1, g.orders), _a_second()),  # a batch larger than a second's allowance takes all of it
)
@limiter.shared_limit(
    lambda: f"{_a_minute()}/minute" if "orders" in g else "",
    scope=_WEIGHT,
    key_func=_caller,
    cost=lambda: max(1, g.orders),
)
def _check() -> None:
    """The call checks the limits."""


def count(orders: int) -> None:
    """Count this request: so many orders, or 0 for one of another kind. Raises ``RateLimitExceeded``."""
    g.orders = orders
    _check()


@limiter.shared_limit(lambda: f"{BAD_KEYS.amount}/minute", scope=_BAD_KEYS, key_func=get_remote_address)
def count_bad_key() -> None:
    """Count a key that was refused, by address. Raises ``RateLimitExceeded``.

    Good keys are never asked: whoever shares an address with somebody who tries keys is not locked out.
    """


def is_bad_key_welcome(address: str) -> bool:
    """The same for sockets, which belong to no route; False once the address has sent too many."""
    try:
        return limiter.limiter.hit(BAD_KEYS, address, _BAD_KEYS)
    except StorageError:  # the next request falls back to memory
        return True


def _refused(error: RateLimitExceeded) -> Response:
    found, limit = limiter.current_limit, error.limit
    assert found is not None and limit is not None
    if limit.scope == _BAD_KEYS:
        sentence = "too many keys that are not good came from your address"
    else:
        kind = f"{_WEIGHT} a minute" if limit.scope == _WEIGHT else f"{_kind()} a second"
        sentence = f"more than {limit.limit.amount} {kind}"
    seconds = math.ceil(found.window.reset_time - time.time())
    return answer(RateLimited(sentence, retry_after=max(1, seconds)))


def install(app: Flask, redis_url: str | None) -> None:
    app.config.update(
        RATELIMIT_STORAGE_URI=redis_url or "memory://",
        RATELIMIT_STORAGE_OPTIONS={}
        if redis_url is None
        else {
            "socket_timeout": 0.25,
            "socket_connect_timeout": 0.25,
            "wrap_exceptions": True,
        },
    )
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _refused)
    app.extensions["is_bad_key_welcome"] = is_bad_key_welcome

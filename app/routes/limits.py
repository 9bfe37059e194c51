"""How often: Flask-Limiter's limits for a key, for a signed-in person, or for an address where nobody is known."""

from __future__ import annotations

import math
import time
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_limiter import RateLimitExceeded
from flask_limiter.util import get_remote_address
from limits import RateLimitItemPerMinute
from limits.errors import StorageError

from app.core.errors import RateLimited
from app.core.permissions import Principal
from app.extensions import limiter

from .errors import answer

BAD_KEYS = RateLimitItemPerMinute(20)
_ORDERS, _REQUESTS, _WEIGHT, _BAD_KEYS = "orders", "requests", "weight", "bad keys"
_SENTENCES = {
    _ORDERS: "more than {} orders a second",
    _REQUESTS: "more than {} requests a second",
    _WEIGHT: "more than {} weight a minute",
    _BAD_KEYS: "too many keys that are not good came from your address",
}


def _caller() -> str:
    caller: Principal | None = g.principal
    return f"ip:{request.remote_addr}" if caller is None else caller.actor


def _orders_a_second() -> int:
    caller: Principal | None = g.principal
    return (caller and caller.orders_per_second) or _settings().order_rate_per_second


def _requests_a_second() -> int:
    caller: Principal | None = g.principal
    return (caller and caller.requests_per_second) or _settings().request_rate_per_second


def _settings() -> Any:
    return current_app.extensions["services"].settings


def _order_limit() -> str:
    return f"{_orders_a_second()}/second" if g.get("orders") else ""


def _request_limit() -> str:
    return "" if g.get("orders", 1) else f"{_requests_a_second()}/second"


def _weight_limit() -> str:
    """A key with rates of its own may use them all the minute."""
    if "orders" not in g:
        return ""
    caller: Principal | None = g.principal
    own = max((caller and caller.orders_per_second) or 0, (caller and caller.requests_per_second) or 0)
    return f"{max(_settings().weight_per_minute, 60 * own)}/minute"


def _order_cost() -> int:
    # a batch larger than a second's allowance takes all of it
    return int(min(g.orders, _orders_a_second()))


def _weight() -> int:
    return max(1, int(g.orders))


@limiter.shared_limit(_order_limit, scope=_ORDERS, key_func=_caller, cost=_order_cost)
@limiter.shared_limit(_request_limit, scope=_REQUESTS, key_func=_caller)
@limiter.shared_limit(_weight_limit, scope=_WEIGHT, key_func=_caller, cost=_weight)
def _count() -> None:
    """The limits are checked by the call."""


def count(orders: int) -> None:
    """Count this request: so many orders, or a request of another kind. Raises ``RateLimitExceeded``."""
    g.orders = orders
    _count()


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
    found = limiter.current_limit
    seconds = 1 if found is None else math.ceil(found.window.reset_time - time.time())
    sentence = _SENTENCES[str(error.limit.scope)] if error.limit is not None else ""
    return answer(RateLimited(sentence.format(error.limit.limit.amount), retry_after=max(1, seconds)))


def install(app: Flask, redis_url: str | None) -> None:
    app.config.update(
        RATELIMIT_STORAGE_URI=redis_url or "memory://",
        RATELIMIT_STORAGE_OPTIONS={} if redis_url is None else {
            "socket_timeout": 0.25, "socket_connect_timeout": 0.25, "wrap_exceptions": True,
        },
    )  # fmt: skip
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _refused)
    app.extensions["is_bad_key_welcome"] = is_bad_key_welcome

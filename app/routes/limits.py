"""How often: Flask-Limiter's limits for a key, for a signed-in person, or for an address where nobody is known."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from flask import Flask, Response, g, request
from flask_limiter import RateLimitExceeded
from flask_limiter.util import get_remote_address
from limits import RateLimitItemPerMinute
from limits.errors import StorageError

from app.core.errors import RateLimited
from app.core.permissions import Principal
from app.extensions import WEIGHT, limiter

from .errors import answer
from .request import services

BAD_KEYS = RateLimitItemPerMinute(20)
_BAD_KEYS = "bad keys"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller may do in a second and in a minute, and what this request takes of it."""

    caller: str
    kind: str  # orders or requests: a second's allowance is one of each
    per_second: int
    per_minute: int
    cost: int


def _allowance(orders: int) -> Allowance:
    caller: Principal | None = g.principal
    settings = services().settings
    name = f"ip:{request.remote_addr}" if caller is None else caller.actor
    own_orders = caller.orders_per_second if caller is not None else None
    own_requests = caller.requests_per_second if caller is not None else None
    # a key with rates of its own may use them all the minute
    per_minute = max(int(settings.weight_per_minute), 60 * max(own_orders or 0, own_requests or 0))
    if orders:
        return Allowance(name, "orders", int(own_orders or settings.order_rate_per_second), per_minute, orders)
    return Allowance(name, "requests", int(own_requests or settings.request_rate_per_second), per_minute, 1)


def allow(orders: int) -> None:
    """Say what this request takes, so many orders or 0 for one of another kind, before Flask-Limiter asks."""
    g.allowance = _allowance(orders)


@limiter.shared_limit(lambda: f"{BAD_KEYS.amount}/minute", scope=_BAD_KEYS, key_func=get_remote_address)
def count_bad_key() -> None:
    """Count a key that was refused, by address. Raises ``RateLimitExceeded``.

    Good keys are never asked: whoever shares an address with somebody who tries keys is not locked out.
    """


def may_try_another_key(address: str) -> bool:
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
        kind = f"{WEIGHT} a minute" if limit.scope == WEIGHT else f"{g.allowance.kind} a second"
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
    app.extensions["may_try_another_key"] = may_try_another_key

"""Requests per second, by key, by signed-in person, or by address where nobody is known."""

from __future__ import annotations

import logging
import math
from typing import Any

from flask import current_app, g, request
from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import MovingWindowRateLimiter

from app.core.errors import RateLimited
from app.core.permissions import Principal
from app.services.container import Services

log = logging.getLogger(__name__)
BAD_KEYS_PER_MINUTE = 20


class RateLimits:
    """Moving windows. While Redis cannot be reached this process counts alone."""

    def __init__(self, redis_url: str | None) -> None:
        self._memory = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        if redis_url is not None:
            storage: Storage = RedisStorage(redis_url, wrap_exceptions=True, socket_timeout=0.25,
                                            socket_connect_timeout=0.25)  # fmt: skip
            self._shared = MovingWindowRateLimiter(storage)

    def hit(self, name: str, per_second: int, cost: int = 1) -> tuple[bool, int, float]:
        """Count ``cost`` hits: whether they fit, how many more do, and when (epoch seconds) all do again."""
        # a batch larger than a second's allowance takes all of it
        return self._count(RateLimitItemPerSecond(per_second), name, min(cost, per_second))

    def bad_key(self, address: str) -> bool:
        """Count a key that was refused; False once the address has sent too many of them in a minute.

        Good keys are never asked: whoever shares an address with somebody who tries keys is not locked out.
        """
        return self._count(RateLimitItemPerMinute(BAD_KEYS_PER_MINUTE), f"bad keys:{address}", 1)[0]

    def _count(self, item: RateLimitItem, name: str, cost: int) -> tuple[bool, int, float]:
        if self._shared is not None:
            try:
                return self._hit(self._shared, item, name, cost)
            except StorageError as error:
                log.warning("rate limits: Redis cannot be reached: %s", error)
        return self._hit(self._memory, item, name, cost)

    @staticmethod
    def _hit(limiter: MovingWindowRateLimiter, item: RateLimitItem, name: str, cost: int) -> tuple[bool, int, float]:
        allowed = limiter.hit(item, name, cost=cost)
        window = limiter.get_window_stats(item, name)
        return allowed, window.remaining, window.reset_time


def count(services: Services, caller: Principal | None, *, order_entry: bool, cost: int = 1) -> None:
    """Count this request and set the ``X-RateLimit-*`` headers. Raises ``RateLimited``."""
    settings = services.settings
    if order_entry:
        per_second = (caller and caller.orders_per_second) or settings.order_rate_per_second
    else:
        per_second = (caller and caller.requests_per_second) or settings.request_rate_per_second
    who = caller.actor if caller is not None else f"ip:{request.remote_addr}"
    limits: RateLimits = current_app.extensions["rate_limits"]
    allowed, remaining, reset = limits.hit(f"{'orders' if order_entry else 'requests'}:{who}", per_second, cost)
    headers: dict[str, Any] = {
        "X-RateLimit-Limit": str(per_second),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(math.ceil(reset)),
    }
    g.rate_headers = headers
    if not allowed:
        raise RateLimited(f"more than {per_second} {'orders' if order_entry else 'requests'} a second", retry_after=1)

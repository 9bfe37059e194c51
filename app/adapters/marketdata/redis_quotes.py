"""The quote cache in Redis, so that processes without an engine see the same prices."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import redis

from app.core import json
from app.core.clock import Clock
from app.core.errors import Malformed
from app.domain.money import InvalidAmount, parse_decimal
from app.domain.quotes import Quote

EXPIRY_SECONDS = 60
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 0.25

log = logging.getLogger(__name__)


class RedisQuoteCache:
    """A ``QuoteCache`` under ``<prefix><symbol>``, each key kept for 60 seconds.

    After an error Redis is left alone for a second: a hanging server costs one short timeout a second,
    not one per quote.
    """

    def __init__(self, client: redis.Redis, clock: Clock, prefix: str = "cambista:quote:") -> None:
        self.errors = 0
        self._client = client
        self._clock = clock
        self._prefix = prefix
        self._paused_until = float("-inf")

    @classmethod
    def from_url(cls, url: str, clock: Clock) -> RedisQuoteCache:
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
        return cls(client, clock)

    def publish(self, quote: Quote) -> None:
        if self._clock.monotonic() < self._paused_until:
            return
        try:
            self._client.set(self._prefix + quote.symbol, _encode(quote), ex=EXPIRY_SECONDS)
        except redis.RedisError as error:
            self._failed(error)

    def fetch(self, symbols: Iterable[str]) -> dict[str, Quote]:
        """What is known of ``symbols``; empty while Redis cannot be reached."""
        names = list(symbols)
        if not names or self._clock.monotonic() < self._paused_until:
            return {}
        try:
            values: Any = self._client.mget([self._prefix + name for name in names])
        except redis.RedisError as error:
            self._failed(error)
            return {}
        found = {}
        for name, value in zip(names, values, strict=True):
            if value is None:
                continue
            try:
                found[name] = _decode(name, value)
            except (Malformed, InvalidAmount, LookupError, TypeError, ValueError):
                self.errors += 1
                log.warning("the quote cache holds something unreadable for %s", name)
        return found

    def _failed(self, error: redis.RedisError) -> None:
        self.errors += 1
        self._paused_until = self._clock.monotonic() + PAUSE_SECONDS
        log.warning("quote cache: %s", error)


def _encode(quote: Quote) -> str:
    return json.dumps(
        {
            "bid": quote.bid,
            "ask": quote.ask,
            "last": quote.last,
            "at": quote.at,
            "received_at": quote.received_at,
            "source": quote.source,
        }
    )


def _decode(symbol: str, value: bytes | str) -> Quote:
    data = json.loads(value)
    return Quote(
        symbol=symbol,
        bid=parse_decimal(data["bid"]),
        ask=parse_decimal(data["ask"]),
        last=None if data["last"] is None else parse_decimal(data["last"]),
        at=_time(data["at"]),
        received_at=_time(data["received_at"]),
        source=str(data["source"]),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)

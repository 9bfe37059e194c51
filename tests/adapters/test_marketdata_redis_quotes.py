"""The quote cache in Redis: exact round trip, expiry, and outages that stop nothing."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis

from app.adapters.marketdata.redis_quotes import RedisQuoteCache
from app.core.clock import ManualClock
from app.domain.quotes import Quote


class Server:
    """What the cache uses of Redis: bytes under keys with an expiry, and a plug that can be pulled."""

    def __init__(self) -> None:
        self.connected = True
        self.calls = 0
        self.values: dict[str, bytes] = {}
        self.expiry: dict[str, int] = {}

    def _call(self) -> None:
        self.calls += 1
        if not self.connected:
            raise redis.ConnectionError("no route")

    def set(self, key: str, value: str | bytes, ex: int) -> None:
        self._call()
        self.values[key] = value.encode() if isinstance(value, str) else value
        self.expiry[key] = ex

    def mget(self, keys: list[str]) -> list[bytes | None]:
        self._call()
        return [self.values.get(key) for key in keys]


@pytest.fixture
def server() -> Server:
    return Server()


def cache_on(server: Any, clock: ManualClock) -> RedisQuoteCache:
    return RedisQuoteCache(server, clock)


def quote(clock: ManualClock, last: str | None = "67250.1234567891") -> Quote:
    now = clock.now()
    return Quote(
        "BTC/USDT",
        Decimal("67250.10"),
        Decimal("67250.20"),
        Decimal(last) if last else None,
        now - timedelta(microseconds=1234),
        now,
        "simulated",
    )


@pytest.mark.parametrize("last", ["67250.1234567891", None])
def test_another_process_fetches_exactly_what_was_published(
    server: Server, clock: ManualClock, last: str | None
) -> None:
    cache_on(server, clock).publish(quote(clock, last))
    other = cache_on(server, clock)
    assert other.fetch(["BTC/USDT", "AAPL"]) == {"BTC/USDT": quote(clock, last)}
    assert other.fetch([]) == {}


def test_a_published_quote_expires_after_a_minute(server: Server, clock: ManualClock) -> None:
    cache_on(server, clock).publish(quote(clock))
    assert server.expiry == {"cambista:quote:BTC/USDT": 60}


def test_an_outage_is_counted_left_alone_for_a_second_and_survived(server: Server, clock: ManualClock) -> None:
    cache = cache_on(server, clock)
    server.connected = False
    cache.publish(quote(clock))
    assert cache.errors == 1
    for _ in range(100):
        cache.publish(quote(clock))
        assert cache.fetch(["BTC/USDT"]) == {}
    assert (cache.errors, server.calls) == (1, 1)
    clock.advance(1)
    assert cache.fetch(["BTC/USDT"]) == {}
    assert cache.errors == 2
    server.connected = True
    clock.advance(1)
    cache.publish(quote(clock))
    assert cache.fetch(["BTC/USDT"]) == {"BTC/USDT": quote(clock)}
    assert cache.errors == 2


@pytest.mark.parametrize("value", ["", "{", "[]", "{}", '{"bid": 1}', b"\xff", '{"bid":"x","ask":"1","last":null}'])
def test_what_cannot_be_read_is_counted_and_left_out(server: Server, clock: ManualClock, value: Any) -> None:
    cache = cache_on(server, clock)
    server.set("cambista:quote:AAPL", value, ex=60)
    cache.publish(quote(clock))
    assert list(cache.fetch(["AAPL", "BTC/USDT"])) == ["BTC/USDT"]
    assert cache.errors == 1


def test_a_url_is_enough_and_timeouts_are_short(clock: ManualClock) -> None:
    cache = RedisQuoteCache.from_url("redis://127.0.0.1:1/0", clock)
    cache.publish(quote(clock))  # nobody listens there
    assert cache.errors == 1

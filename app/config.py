"""Settings, read once from the environment. Every name stands in .env.example with a comment."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from app.core.transaction import normalize_url
from app.domain.money import InvalidAmount, parse_decimal

ROOT: Final = Path(__file__).resolve().parents[1]
DEVELOPMENT, PRODUCTION, TESTING = "development", "production", "testing"
_DEVELOPMENT_SECRET: Final = "for development only, never in production"
_LEAST_COMPRESSED: Final = 32  # bytes; 32 random hexadecimal digits take 34 or more
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


class BadSetting(SystemExit):
    """A setting the product cannot start with; the sentence names the variable and ends the process."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One value per environment variable of the same name in capitals, and ``environment``."""

    environment: str = DEVELOPMENT
    database_url: str = f"sqlite:///{ROOT / 'var' / 'cambista.db'}"
    secret_key: str = field(default=_DEVELOPMENT_SECRET, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    async_mode: str = "threading"
    host: str = "127.0.0.1"
    port: int = 5000
    trusted_proxies: int = 0
    log_level: str = "INFO"
    engine: str = "on"
    market_feed: str = "simulated"
    replay_file: str | None = None
    replay_instrument: str | None = None
    replay_speed: str = "1"
    sim_feed_seed: int = 1
    sim_feed_interval: float = 0.5
    sim_feed_speed: float = 1.0
    sim_venue_latency_ms: int = 200
    sim_venue_reject_rate: Decimal = Decimal(0)
    sim_venue_partial_rate: Decimal = Decimal(0)
    sim_venue_slippage_bps: Decimal = Decimal(5)
    sim_venue_seed: int = 1
    sim_venue_lost_ack_rate: Decimal = Decimal(0)
    sim_venue_duplicate_rate: Decimal = Decimal(0)
    sim_venue_late_rate: Decimal = Decimal(0)
    market_protection_bps: Decimal = Decimal(100)
    order_rate_per_second: int = 10
    request_rate_per_second: int = 50
    weight_per_minute: int = 1200
    wallet_order_rate: int | None = None
    session_idle_minutes: int = 60
    session_absolute_hours: int = 12
    max_body_bytes: int = 1 << 20
    body_timeout_seconds: int = 10
    idle_timeout_seconds: int = 30
    max_connections: int = 2000
    max_connections_per_address: int = 200
    public_hosts: str | None = None

    @property
    def hosts(self) -> frozenset[str]:
        """The names under which this server is reached."""
        return frozenset(name.strip().lower() for name in (self.public_hosts or "").split(",") if name.strip())

    @property
    def production(self) -> bool:
        return self.environment == PRODUCTION


# what the environment calls them where it is not simply the field's name in capitals
_VARIABLES: Final = {"environment": "APP_ENV"}


def variables() -> list[str]:
    """Every environment variable that is read."""
    return [_VARIABLES.get(item.name, item.name.upper()) for item in fields(Settings)]


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        value = self._environ.get(name, "").strip()
        return value or None

    def integer(self, name: str, least: int = 0, most: int = 10**9) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise BadSetting(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
        return int(value)

    def amount(self, name: str, most: Decimal) -> Decimal | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            number = parse_decimal(value)
        except InvalidAmount:
            number = Decimal(-1)
        if not 0 <= number <= most:
            raise BadSetting(f"{name} must be a number from 0 to {most}, not {value!r}.")
        return number

    def seconds(self, name: str) -> float | None:
        value = self.amount(name, Decimal(1_000_000))
        if value == 0:
            raise BadSetting(f"{name} must be greater than zero.")
        return None if value is None else float(value)

    def choice(self, name: str, *allowed: str) -> str | None:
        value = self.text(name)
        if value is not None and value not in allowed:
            raise BadSetting(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
        return value


def _read(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the environment sets, checked; variables that are absent or empty are left out."""
    read = _Reader(environ)
    level = read.text("LOG_LEVEL")
    if level is not None and level.upper() not in _LOG_LEVELS:
        raise BadSetting(f"LOG_LEVEL must be one of {', '.join(_LOG_LEVELS)}, not {level!r}.")
    engine = read.choice("ENGINE", "on", "off", "only")
    url = read.text("DATABASE_URL")
    if url is not None and not normalize_url(url).startswith(("sqlite:///", "postgresql+psycopg2://")):
        raise BadSetting("DATABASE_URL must begin with sqlite:/// or postgresql://.")
    values: dict[str, Any] = {
        "database_url": url,
        "secret_key": read.text("SECRET_KEY"),
        "redis_url": read.text("REDIS_URL"),
        "async_mode": read.choice("ASYNC_MODE", "threading", "eventlet"),
        "host": read.text("HOST"),
        "port": read.integer("PORT", 1, 65535),
        "trusted_proxies": read.integer("TRUSTED_PROXIES", 0, 10),
        "log_level": None if level is None else level.upper(),
        "engine": engine,
        "market_feed": read.choice("MARKET_FEED", "simulated", "replay", "manual"),
        "replay_file": read.text("REPLAY_FILE"),
        "replay_instrument": read.text("REPLAY_INSTRUMENT"),
        "replay_speed": _replay_speed(read),
        "sim_feed_seed": read.integer("SIM_FEED_SEED"),
        "sim_feed_interval": read.seconds("SIM_FEED_INTERVAL"),
        "sim_feed_speed": read.seconds("SIM_FEED_SPEED"),
        "sim_venue_latency_ms": read.integer("SIM_VENUE_LATENCY_MS", 0, 600_000),
        "sim_venue_reject_rate": read.amount("SIM_VENUE_REJECT_RATE", Decimal(1)),
        "sim_venue_partial_rate": read.amount("SIM_VENUE_PARTIAL_RATE", Decimal(1)),
        "sim_venue_slippage_bps": read.amount("SIM_VENUE_SLIPPAGE_BPS", Decimal(10_000)),
        "sim_venue_seed": read.integer("SIM_VENUE_SEED"),
        "sim_venue_lost_ack_rate": read.amount("SIM_VENUE_LOST_ACK_RATE", Decimal(1)),
        "sim_venue_duplicate_rate": read.amount("SIM_VENUE_DUPLICATE_RATE", Decimal(1)),
        "sim_venue_late_rate": read.amount("SIM_VENUE_LATE_RATE", Decimal(1)),
        "market_protection_bps": read.amount("MARKET_PROTECTION_BPS", Decimal(10_000)),
        "order_rate_per_second": read.integer("ORDER_RATE_PER_SECOND", 1, 1_000_000),
        "request_rate_per_second": read.integer("REQUEST_RATE_PER_SECOND", 1, 1_000_000),
        "weight_per_minute": read.integer("WEIGHT_PER_MINUTE", 1, 100_000_000),
        "wallet_order_rate": read.integer("WALLET_ORDER_RATE", 1, 1000),
        "session_idle_minutes": read.integer("SESSION_IDLE_MINUTES", 1, 100_000),
        "session_absolute_hours": read.integer("SESSION_ABSOLUTE_HOURS", 1, 10_000),
        "max_body_bytes": read.integer("MAX_BODY_BYTES", 1024, 1 << 30),
        "body_timeout_seconds": read.integer("BODY_TIMEOUT_SECONDS", 1, 3600),
        "idle_timeout_seconds": read.integer("IDLE_TIMEOUT_SECONDS", 1, 3600),
        "max_connections": read.integer("MAX_CONNECTIONS", 10, 1_000_000),
        "max_connections_per_address": read.integer("MAX_CONNECTIONS_PER_ADDRESS", 1, 1_000_000),
        "public_hosts": read.text("PUBLIC_HOSTS"),
    }
    return {name: value for name, value in values.items() if value is not None}


def _replay_speed(read: _Reader) -> str | None:
    if read.text("REPLAY_SPEED") == "max":
        return "max"
    read.seconds("REPLAY_SPEED")
    return read.text("REPLAY_SPEED")


def _checked(settings: Settings) -> Settings:
    if settings.market_feed == "replay" and not (settings.replay_file and settings.replay_instrument):
        raise BadSetting("MARKET_FEED=replay needs REPLAY_FILE and REPLAY_INSTRUMENT.")
    if settings.production:
        _check_secret(settings.secret_key)
        if not settings.hosts:
            raise BadSetting("PUBLIC_HOSTS must name the hosts of the server in production, such as desk.example.com.")
    return settings


def _check_secret(key: str) -> None:
    """Long enough, and not a pattern: what repeats itself compresses to almost nothing."""
    if key == _DEVELOPMENT_SECRET:
        raise BadSetting("SECRET_KEY must be set in production; 32 random characters or more.")
    if len(key) < 32:
        raise BadSetting("SECRET_KEY must have at least 32 characters in production.")
    if len(zlib.compress(key.encode(), 9)) < _LEAST_COMPRESSED:
        raise BadSetting("SECRET_KEY repeats itself; in production it must have 32 random characters or more.")


def DevelopmentConfig(environ: Mapping[str, str] = os.environ) -> Settings:
    return _checked(Settings(**_read(environ)))


def ProductionConfig(environ: Mapping[str, str] = os.environ) -> Settings:
    """The same, without any default for what is secret."""
    return _checked(Settings(environment=PRODUCTION, **_read(environ)))


def TestingConfig(**values: Any) -> Settings:
    """What a test names, and nothing of the environment: no engine, the manual feed, no rate in the way."""
    base = Settings(
        environment=TESTING,
        engine="off",
        market_feed="manual",
        order_rate_per_second=100_000,
        request_rate_per_second=100_000,
        weight_per_minute=6_000_000,
    )
    return _checked(replace(base, **values))


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process, by APP_ENV. Raises ``BadSetting``."""
    environment = _Reader(environ).choice("APP_ENV", DEVELOPMENT, PRODUCTION) or DEVELOPMENT
    return ProductionConfig(environ) if environment == PRODUCTION else DevelopmentConfig(environ)

"""The settings, each described once: name, type, bounds, default, section, comment, and whether it is secret.

``read`` takes them from an environment; ``scripts/export_settings`` makes ``.env.example`` and the table in
``docs/settings.md`` from the same descriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from app.domain.money import InvalidAmount, parse_decimal

from .clock import Seconds
from .transaction import normalize_url

ROOT: Final = Path(__file__).resolve().parents[2]
DEVELOPMENT, PRODUCTION, TESTING = "development", "production", "testing"
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
DEVELOPMENT_SECRET: Final = "for development only, never in production"
ReplaySpeed = Decimal | Literal["max"]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class BadSetting(SystemExit):
    """A setting the product cannot start with; the sentence names the variable and ends the process."""


# -- what a setting may be -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """``parse(variable, text)`` gives the value or raises ``BadSetting``; ``values`` says which there are."""

    parse: Callable[[str, str], T_co]
    values: str


text: Final = Kind(lambda _variable, written: written, "text")


def whole(least: int = 0, most: int = 10**9) -> Kind[int]:
    def parse(variable: str, written: str) -> int:
        if not (written.isascii() and written.isdigit() and least <= int(written) <= most):
            raise BadSetting(f"{variable} must be a whole number from {least} to {most}, not {written!r}.")
        return int(written)

    return Kind(parse, f"{least} to {most}")


def number(most: int) -> Kind[Decimal]:
    """From zero on, exact."""

    def parse(variable: str, written: str) -> Decimal:
        try:
            value = parse_decimal(written)
        except InvalidAmount:
            value = Decimal(-1)
        if not 0 <= value <= most:
            raise BadSetting(f"{variable} must be a number from 0 to {most}, not {written!r}.")
        return value

    return Kind(parse, f"0 to {most}, with decimals")


def positive(most: int = 1_000_000) -> Kind[Decimal]:
    def parse(variable: str, written: str) -> Decimal:
        value = number(most).parse(variable, written)
        if value == 0:
            raise BadSetting(f"{variable} must be greater than zero.")
        return value

    return Kind(parse, f"greater than 0, at most {most}")


def _seconds(variable: str, written: str) -> Seconds:
    return float(positive().parse(variable, written))


seconds: Final = Kind(_seconds, positive().values)


def _listed(values: tuple[str, ...]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}"


def choice(*allowed: str) -> Kind[str]:
    def parse(variable: str, written: str) -> str:
        if written not in allowed:
            raise BadSetting(f"{variable} must be one of {', '.join(allowed)}, not {written!r}.")
        return written

    return Kind(parse, _listed(allowed))


def _log_level(variable: str, written: str) -> str:
    if written.upper() not in _LOG_LEVELS:
        raise BadSetting(f"{variable} must be one of {', '.join(_LOG_LEVELS)}, not {written!r}.")
    return written.upper()


def _database_url(variable: str, written: str) -> str:
    if not normalize_url(written).startswith(("sqlite:///", "postgresql+psycopg2://")):
        raise BadSetting(f"{variable} must begin with sqlite:/// or postgresql://.")
    return written


def _replay_speed(variable: str, written: str) -> ReplaySpeed:
    return "max" if written == "max" else positive().parse(variable, written)


# -- their descriptions --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Description:
    """A setting as the environment has it. ``default`` is what ``.env.example`` says; empty: not set."""

    variable: str
    section: str
    kind: Kind[Any]
    default: str
    secret: bool
    comment: str


def setting(
    section: str,
    kind: Kind[T],
    default: T,
    comment: str,
    *,
    secret: bool = False,
    variable: str | None = None,
    example: str | None = None,
) -> T:
    """A field of ``Settings``. ``variable``: what the environment calls it, where that is not its name in capitals.

    ``example``: the default in ``.env.example`` where the entry points have another one. What is secret has none
    there, and is in no ``repr``.
    """
    shown = example if example is not None else "" if secret or default is None else str(default)
    described = {"section": section, "kind": kind, "default": shown, "secret": secret, "comment": comment}
    return field(default=default, repr=not secret, metadata={"variable": variable, "described": described})


PROCESS, SERVER, MARKET, VENUE, LIMITS, SESSIONS, PAPERS = (
    "The process",
    "The server",
    "Engine and prices",
    "The simulated venue",
    "Limits of callers",
    "Sessions",
    "Papers and proofs",
)
_share, _bps, _rate = number(1), number(10_000), whole(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process, in the order in which the documentation shows them."""

    environment: str = setting(
        PROCESS,
        choice(DEVELOPMENT, PRODUCTION),
        DEVELOPMENT,
        "production: SECRET_KEY and PUBLIC_HOSTS are required, cookies are Secure, pages over HTTP are redirected "
        "to HTTPS and keys over HTTP are refused",
        variable="APP_ENV",
    )
    secret_key: str = setting(
        PROCESS,
        text,
        DEVELOPMENT_SECRET,
        "signs the browser's cookie; no default in production, 32 random characters or more",
        secret=True,
    )
    database_url: str = setting(
        PROCESS,
        Kind(_database_url, "sqlite:///path or postgresql://user:password@host/name"),
        f"sqlite:///{ROOT / 'var' / 'cambista.db'}",
        "the database; without it var/cambista.db in the repository",
        secret=True,
    )
    redis_url: str | None = setting(
        PROCESS,
        Kind(text.parse, "redis://host:6379/0"),
        None,
        "for several processes: socket messages, rate limits, quotes",
        secret=True,
    )
    async_mode: str = setting(
        PROCESS,
        choice("threading", "eventlet"),
        "threading",
        "how the server waits; run.py and gunicorn set eventlet where nothing is set",
        example="eventlet",
    )
    log_level: str = setting(
        PROCESS, Kind(_log_level, _listed(_LOG_LEVELS)), "INFO", "the least serious of what is logged"
    )

    host: str = setting(SERVER, text, "127.0.0.1", "the address where run.py and gunicorn listen")
    port: int = setting(SERVER, whole(1, 65535), 5000, "the port where run.py and gunicorn listen")
    public_hosts: str | None = setting(
        SERVER,
        text,
        None,
        "in production: the names this server is reached by, comma separated; a request for any other is refused",
    )
    trusted_proxies: int = setting(
        SERVER, whole(0, 10), 0, "how many reverse proxies in front set X-Forwarded-For, -Proto and -Host"
    )
    max_body_bytes: int = setting(SERVER, whole(1024, 1 << 30), 1 << 20, "largest request body in bytes")
    body_timeout_seconds: int = setting(
        SERVER, whole(1, 3600), 10, "how many seconds all of a request body may take to arrive"
    )
    idle_timeout_seconds: int = setting(
        SERVER,
        whole(1, 3600),
        30,
        "a connection is closed when the head of a request is not there after so many seconds (not sockets: they are "
        "pinged)",
    )
    max_connections: int = setting(SERVER, whole(10, 1_000_000), 2000, "open connections in all")
    max_connections_per_address: int = setting(
        SERVER,
        _rate,
        200,
        "open connections from one address (an IPv6 /64) while TRUSTED_PROXIES is 0; run.py alone counts them",
    )

    engine: str = setting(
        MARKET,
        choice("on", "off", "only"),
        "on",
        "on: this process answers requests, and runs the engine when it gets the lease; off: it only answers "
        "requests; only: it only runs the engine. off and only need REDIS_URL: it carries prices and live events "
        "between processes",
    )
    market_feed: str = setting(
        MARKET,
        choice("simulated", "replay", "manual"),
        "simulated",
        "where prices come from; manual: POST /api/v1/market/quotes",
    )
    replay_file: str | None = setting(MARKET, text, None, "for replay: a CSV file, plain or gzip")
    replay_instrument: str | None = setting(MARKET, text, None, "for replay: the instrument that the file holds")
    replay_speed: ReplaySpeed = setting(
        MARKET,
        Kind(_replay_speed, f"max, or {positive().values}"),
        Decimal(1),
        "for replay: how much faster than the market, or max for as fast as it goes",
    )
    sim_feed_seed: int = setting(MARKET, whole(), 1, "the seed of the simulated walk")
    sim_feed_interval: Seconds = setting(MARKET, seconds, 0.5, "seconds between two quotes of the simulated walk")
    sim_feed_speed: Decimal = setting(MARKET, positive(), Decimal(1), "how many times faster than that")
    market_protection_bps: Decimal = setting(
        MARKET,
        _bps,
        Decimal(100),
        "the worst a market order may execute from the quote it was checked at, in hundredths of a percent",
    )

    sim_venue_latency_ms: int = setting(VENUE, whole(0, 600_000), 200, "milliseconds until the venue answers")
    sim_venue_slippage_bps: Decimal = setting(
        VENUE, _bps, Decimal(5), "how far from the quote a market order executes, in hundredths of a percent"
    )
    sim_venue_seed: int = setting(VENUE, whole(), 1, "the seed of the venue's random choices")
    sim_venue_reject_rate: Decimal = setting(VENUE, _share, Decimal(0), "share of orders that are rejected")
    sim_venue_partial_rate: Decimal = setting(VENUE, _share, Decimal(0), "share of orders that are filled in parts")
    sim_venue_lost_ack_rate: Decimal = setting(
        VENUE, _share, Decimal(0), "a fault for testing bots: share of acknowledgements that are lost"
    )
    sim_venue_duplicate_rate: Decimal = setting(
        VENUE, _share, Decimal(0), "a fault for testing bots: share of messages that are said twice"
    )
    sim_venue_late_rate: Decimal = setting(
        VENUE, _share, Decimal(0), "a fault for testing bots: share of messages that are late"
    )

    order_rate_per_second: int = setting(LIMITS, _rate, 10, "orders a second for each key, person or address")
    request_rate_per_second: int = setting(LIMITS, _rate, 50, "other requests a second for each key, person or address")
    weight_per_minute: int = setting(
        LIMITS,
        whole(1, 100_000_000),
        1200,
        "weight a minute for each of them: a request weighs 1, a batch as much as its orders",
    )
    wallet_order_rate: int | None = setting(
        LIMITS, whole(1, 1000), None, "orders a second for each wallet; no such limit when empty"
    )

    session_idle_minutes: int = setting(
        SESSIONS, whole(1, 100_000), 60, "a browser's session ends after so many minutes without a request"
    )
    session_absolute_hours: int = setting(
        SESSIONS, whole(1, 10_000), 12, "a browser's session ends after so many hours in any case"
    )

    audit_head_file: str | None = setting(
        PAPERS,
        text,
        None,
        "the head of the audit trail is added to this file as it grows; on another disk it shows what was cut off",
    )
    audit_head_minutes: int = setting(PAPERS, whole(1, 10_000), 10, "minutes between two heads")
    firm_name: str = setting(PAPERS, text, "Cambista", "the firm as receipts and statements name it")

    @property
    def hosts(self) -> frozenset[str]:
        """The names under which this server is reached."""
        return frozenset(name.strip().lower() for name in (self.public_hosts or "").split(",") if name.strip())

    @property
    def production(self) -> bool:
        return self.environment == PRODUCTION


def descriptions() -> dict[str, Description]:
    """Every setting, by the name of its field."""
    return {
        item.name: Description(item.metadata["variable"] or item.name.upper(), **item.metadata["described"])
        for item in fields(Settings)
    }


def read(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the environment sets, checked; variables that are absent or empty are left out."""
    found = {name: (item, environ.get(item.variable, "").strip()) for name, item in descriptions().items()}
    return {name: item.kind.parse(item.variable, written) for name, (item, written) in found.items() if written}

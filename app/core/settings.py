"""The settings, each described once: name, type, bounds, default, section, comment, and whether it is secret.

``read`` takes them from an environment; ``scripts/export_settings`` makes ``.env.example`` and the table in
``docs/settings.md`` from the same descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from email.utils import parseaddr
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


def _switch(variable: str, written: str) -> bool:
    if written not in ("0", "1"):
        raise BadSetting(f"{variable} must be 0 or 1, not {written!r}.")
    return written == "1"


switch: Final = Kind(_switch, "0 or 1")


def _log_level(variable: str, written: str) -> str:
    if written.upper() not in _LOG_LEVELS:
        raise BadSetting(f"{variable} must be one of {', '.join(_LOG_LEVELS)}, not {written!r}.")
    return written.upper()


def _database_url(variable: str, written: str) -> str:
    if not normalize_url(written).startswith(("sqlite:///", "postgresql+psycopg2://")):
        raise BadSetting(f"{variable} must begin with sqlite:/// or postgresql://.")
    return written


def _web_address(variable: str, written: str) -> str:
    """Scheme and host, and perhaps a port: paths are ours."""
    if re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?", written) is None:
        raise BadSetting(f"{variable} must be an address such as https://desk.example.com, not {written!r}.")
    return written.rstrip("/")


def _mail_sender(variable: str, written: str) -> str:
    address = parseaddr(written)[1]
    if "@" not in address or not written.isprintable():
        raise BadSetting(f"{variable} must be an address such as Cambista <notices@example.com>, not {written!r}.")
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


PROCESS, SERVER, MARKET, VENUE, LIMITS, SESSIONS, DOCUMENTS, KYC, FUNDING, WITHDRAWALS, MAIL, PAPERS = (
    "The process",
    "The server",
    "Engine and prices",
    "The simulated venue",
    "Limits of callers",
    "Sessions",
    "Documents",
    "Verification of clients",
    "Deposits",
    "Withdrawals",
    "Mail",
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
    public_url: str | None = setting(
        SERVER,
        Kind(_web_address, "https://desk.example.com"),
        None,
        "the address at which people reach this server, for links that come back from outside: payment pages, mail; "
        "without it http://HOST:PORT, in production https:// and the first of PUBLIC_HOSTS",
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
    step_up_minutes: int = setting(
        SESSIONS,
        whole(1, 1440),
        10,
        "for what is delicate, such as a new key, a person proves again who they are after so many minutes",
    )
    totp_for_staff: str = setting(
        SESSIONS,
        choice("always", "production", "never"),
        "production",
        "when the firm's people need a code of an authenticator app to sign in; everybody may have one",
    )

    mail_server: str | None = setting(
        MAIL,
        text,
        None,
        "the SMTP server; without it mail waits in production, and elsewhere is written to the folder mail beside the "
        "database",
    )
    mail_port: int = setting(MAIL, whole(1, 65535), 587, "the port of that server")
    mail_security: str = setting(
        MAIL,
        choice("starttls", "ssl", "none"),
        "starttls",
        "how the connection is encrypted; its certificate is checked",
    )
    mail_username: str | None = setting(MAIL, text, None, "the account there, where it wants one")
    mail_password: str | None = setting(MAIL, text, None, "the account's password", secret=True)
    mail_sender: str | None = setting(
        MAIL,
        Kind(_mail_sender, "Name <address>"),
        None,
        "whom mail comes from; needed where MAIL_SERVER is set",
    )
    mail_confirmation_sender: str | None = setting(
        MAIL,
        Kind(_mail_sender, "Name <address>"),
        None,
        "whom confirmations of operations and payments come from; MAIL_SENDER when empty",
    )
    mail_timeout_seconds: int = setting(
        MAIL, whole(1, 300), 15, "how many seconds the server may take for each of its answers"
    )

    documents: str = setting(
        DOCUMENTS,
        choice("local", "s3"),
        "local",
        "where uploaded files are kept: in DOCUMENTS_FOLDER of this machine, or in a bucket that speaks S3",
    )
    documents_folder: str | None = setting(
        DOCUMENTS,
        text,
        None,
        "for local: the folder, which no web server may serve and all processes must see; without it documents beside "
        "a SQLite file, else var/documents in the repository",
    )
    s3_endpoint: str | None = setting(DOCUMENTS, text, None, "for s3: where it is, such as https://s3.example.com")
    s3_region: str = setting(DOCUMENTS, text, "us-east-1", "for s3: the region that requests are signed for")
    s3_bucket: str | None = setting(DOCUMENTS, text, None, "for s3: the bucket; files are not public in it")
    s3_access_key: str | None = setting(DOCUMENTS, text, None, "for s3: the id of the access key")
    s3_secret_key: str | None = setting(DOCUMENTS, text, None, "for s3: its secret", secret=True)
    max_upload_bytes: int = setting(
        DOCUMENTS, whole(1024, 1 << 30), 10 << 20, "largest uploaded file in bytes; its form may have 64 KiB more"
    )
    max_picture_pixels: int = setting(
        DOCUMENTS, whole(1, 10**9), 40_000_000, "most pixels of an uploaded picture, width times height"
    )
    keep_removed_documents_days: int = setting(
        DOCUMENTS, whole(0, 36_500), 30, "days until the file of a removed document is deleted"
    )
    kyc_provider: str = setting(
        KYC,
        choice("mock", "sumsub"),
        "mock",
        "who verifies clients; mock: the last character of the document's number decides (0 rejects, 9 holds), and in "
        "production everybody waits for a person of the firm",
    )
    kyc_valid_days: int = setting(KYC, whole(1, 3650), 365, "how many days an approval holds")
    sumsub_url: str = setting(KYC, text, "https://api.sumsub.com", "where Sumsub's API is")
    sumsub_app_token: str | None = setting(KYC, text, None, "Sumsub's app token", secret=True)
    sumsub_secret_key: str | None = setting(KYC, text, None, "signs our requests to Sumsub", secret=True)
    sumsub_webhook_secret: str | None = setting(
        KYC, text, None, "Sumsub signs its webhooks to /api/v1/kyc/webhook with it", secret=True
    )
    sumsub_levels: str = setting(
        KYC,
        text,
        "basic-kyc-level,enhanced-kyc-level",
        "what Sumsub calls the levels 1 and 2, comma separated",
    )
    withdrawal_cool_down_hours: int = setting(
        WITHDRAWALS,
        whole(0, 8760),
        24,
        "a client's new bank account is paid to only after so many hours, counted from when the client was told of it",
    )
    withdrawal_fee_rate: Decimal = setting(
        WITHDRAWALS, _share, Decimal("0.001"), "the house's fee, as a part of the amount: 0.001 is 0.1 %"
    )
    withdrawal_tax_rate: Decimal = setting(
        WITHDRAWALS,
        _share,
        Decimal("0.00005"),
        "the tax on financial transactions (Peru's ITF), as a part of the amount; charged in steps of 0.05",
    )
    withdrawal_payout_days: int = setting(
        WITHDRAWALS, whole(0, 30), 1, "how many days, Mondays to Fridays, clients are told that a payout takes"
    )
    auto_approve_withdrawals: bool = setting(
        WITHDRAWALS,
        switch,
        False,
        "1: withdrawals need no second person; for trying things out, and refused in production",
        example="0",
    )

    deposit_currencies: str = setting(
        FUNDING,
        text,
        "USD,PEN",
        "the currencies that clients may pay in, comma separated; each must be in the catalogue",
    )
    stripe_secret_key: str | None = setting(
        FUNDING,
        Kind(text.parse, "sk_..."),
        None,
        "card payments by Stripe Checkout; without it there are none",
        secret=True,
    )
    stripe_webhook_secret: str | None = setting(
        FUNDING,
        Kind(text.parse, "whsec_..."),
        None,
        "signs what Stripe reports to POST /api/v1/stripe/webhook; goes with STRIPE_SECRET_KEY",
        secret=True,
    )
    stripe_api_base: str = setting(
        FUNDING,
        Kind(_web_address, "https://api.stripe.com"),
        "https://api.stripe.com",
        "where Stripe's API is; another address for tests",
    )

    @property
    def deposit_currency_codes(self) -> frozenset[str]:
        """The currencies that clients may pay in."""
        return frozenset(code.strip().upper() for code in self.deposit_currencies.split(",") if code.strip())

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
    def max_form_bytes(self) -> int:
        """Largest body of a request that uploads a file: the file, and the form around it."""
        return self.max_upload_bytes + (64 << 10)

    @property
    def production(self) -> bool:
        return self.environment == PRODUCTION

    @property
    def address(self) -> str:
        """What a link to a page of ours begins with; no slash at its end."""
        if self.public_url is not None:
            return self.public_url
        named = (self.public_hosts or "").split(",")[0].strip()
        return f"https://{named}" if self.production else f"http://{self.host}:{self.port}"

    @property
    def staff_need_totp(self) -> bool:
        return self.totp_for_staff == "always" or (self.production and self.totp_for_staff == "production")


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

"""The settings of a process, read once from its environment."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.core.settings import DEVELOPMENT, DEVELOPMENT_SECRET, PRODUCTION, TESTING, BadSetting, Settings, read

_LEAST_COMPRESSED: Final = 32  # bytes; 32 random hexadecimal digits take 34 or more


def DevelopmentConfig(environ: Mapping[str, str] = os.environ) -> Settings:
    return _checked(Settings(**{**read(environ), "environment": DEVELOPMENT}))


def ProductionConfig(environ: Mapping[str, str] = os.environ) -> Settings:
    """The same, without any default for what is secret."""
    return _checked(Settings(**{**read(environ), "environment": PRODUCTION}))


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
    production = read(environ).get("environment") == PRODUCTION
    return ProductionConfig(environ) if production else DevelopmentConfig(environ)


def _checked(settings: Settings) -> Settings:
    if settings.market_feed == "replay" and not (settings.replay_file and settings.replay_instrument):
        raise BadSetting("MARKET_FEED=replay needs REPLAY_FILE and REPLAY_INSTRUMENT.")
    if settings.kyc_provider == "sumsub":
        _check_sumsub(settings)
    if (settings.stripe_secret_key is None) != (settings.stripe_webhook_secret is None):
        raise BadSetting("STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET go together: set both, or none.")
    if settings.mail_server and not settings.mail_sender:
        raise BadSetting("MAIL_SERVER needs MAIL_SENDER: whom mail comes from.")
    if settings.production:
        if settings.auto_approve_withdrawals:
            raise BadSetting("AUTO_APPROVE_WITHDRAWALS must not be 1 in production.")
        _check_secret(settings.secret_key)
        if not settings.hosts:
            raise BadSetting("PUBLIC_HOSTS must name the hosts of the server in production, such as desk.example.com.")
        if settings.stripe_secret_key is not None and not settings.stripe_api_base.startswith("https://"):
            raise BadSetting("STRIPE_API_BASE must begin with https:// in production: the secret key is sent there.")
    return settings


def _check_sumsub(settings: Settings) -> None:
    if not (settings.sumsub_app_token and settings.sumsub_secret_key and settings.sumsub_webhook_secret):
        raise BadSetting("KYC_PROVIDER=sumsub needs SUMSUB_APP_TOKEN, SUMSUB_SECRET_KEY and SUMSUB_WEBHOOK_SECRET.")
    if len([name for name in settings.sumsub_levels.split(",") if name.strip()]) != 2:
        raise BadSetting("SUMSUB_LEVELS must name two levels, comma separated.")


def _check_secret(key: str) -> None:
    """Long enough, and not a pattern: what repeats itself compresses to almost nothing."""
    if key == DEVELOPMENT_SECRET:
        raise BadSetting("SECRET_KEY must be set in production; 32 random characters or more.")
    if len(key) < 32:
        raise BadSetting("SECRET_KEY must have at least 32 characters in production.")
    if len(zlib.compress(key.encode(), 9)) < _LEAST_COMPRESSED:
        raise BadSetting("SECRET_KEY repeats itself; in production it must have 32 random characters or more.")

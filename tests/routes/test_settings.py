"""Settings: read once, checked, all of them in .env.example; logs without secrets."""

from __future__ import annotations

import logging
import re
import secrets
from decimal import Decimal

import pytest

from app import config
from app.core import logs
from tests.data import REPOSITORY


def example() -> dict[str, str]:
    lines = (REPOSITORY / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_names_every_setting_and_no_other() -> None:
    assert sorted(example()) == sorted(config.variables())


def test_every_setting_of_the_example_is_explained() -> None:
    text = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    for block in re.split(r"\n\s*\n|\n(?=#)", text):
        assert block.lstrip().startswith("#"), block


def test_the_example_has_the_defaults() -> None:
    given = config.DevelopmentConfig({**example(), "ASYNC_MODE": ""})
    assert given == config.DevelopmentConfig({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "99999"),
        ("PORT", "-1"),
        ("PORT", "５000"),
        ("ENGINE", "yes"),
        ("ASYNC_MODE", "gevent"),
        ("MARKET_FEED", "polygon"),
        ("LOG_LEVEL", "LOUD"),
        ("DATABASE_URL", "mysql://x"),
        ("SIM_VENUE_REJECT_RATE", "1.5"),
        ("SIM_VENUE_REJECT_RATE", "NaN"),
        ("SIM_FEED_INTERVAL", "0"),
        ("REPLAY_SPEED", "fast"),
        ("ORDER_RATE_PER_SECOND", "0"),
        ("APP_ENV", "staging"),
    ],
)
def test_a_bad_value_stops_the_start_by_name(name: str, value: str) -> None:
    with pytest.raises(SystemExit, match=name):
        config.load({name: value})


def test_a_replay_needs_a_file() -> None:
    with pytest.raises(SystemExit, match="REPLAY_FILE"):
        config.load({"MARKET_FEED": "replay"})


GOOD = {"APP_ENV": "production", "SECRET_KEY": "3f9c1b7a5e2d8460c7b1f3a9d5e80264", "PUBLIC_HOSTS": "desk.example"}


@pytest.mark.parametrize("key", ["", "short", "a" * 40, "password" * 8, "0123456789abcdef" * 2, "abcdefgh" * 100])
def test_production_has_no_secret_of_its_own_and_takes_no_pattern(key: str) -> None:
    with pytest.raises(SystemExit, match="SECRET_KEY"):
        config.load({**GOOD, "SECRET_KEY": key})
    assert config.load(GOOD).production


def test_random_secrets_are_taken() -> None:
    for _ in range(200):
        for key in (secrets.token_hex(16), secrets.token_urlsafe(24), secrets.token_hex(32)):
            assert config.load({**GOOD, "SECRET_KEY": key}).production


def test_production_knows_its_hosts() -> None:
    with pytest.raises(SystemExit, match="PUBLIC_HOSTS"):
        config.load({**GOOD, "PUBLIC_HOSTS": " , "})
    assert config.load({**GOOD, "PUBLIC_HOSTS": "A.example, b.example"}).hosts == {"a.example", "b.example"}


def test_values_are_read_exactly() -> None:
    read = config.load(
        {"SIM_VENUE_REJECT_RATE": "0.1", "ENGINE": "off", "WALLET_ORDER_RATE": "5", "REPLAY_SPEED": "max"}
    )
    assert read.sim_venue_reject_rate == Decimal("0.1")
    assert (read.engine, read.wallet_order_rate, read.replay_speed) == ("off", 5, "max")


def test_settings_show_no_secret() -> None:
    shown = repr(config.load({"SECRET_KEY": "abcdefgh" * 4, "REDIS_URL": "redis://:hunter2@h"}))
    assert "abcdefgh" not in shown and "hunter2" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:planted@db/x",
        "headers: X-API-Key: planted",
        "Authorization: Bearer planted",
        '{"password": "planted"}',
        "token=planted&x=1",
    ],
)
def test_logs_hide_secrets(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        logs.configure("INFO", production=True)
        logging.getLogger("app.test").info("%s", text, extra={"secret_key": "planted"})
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("app.test").exception("failed")
    finally:
        root.handlers, _ = before, root.setLevel(level)
    written = capsys.readouterr().err
    assert "planted" not in written
    assert written.count(logs.HIDDEN) >= 2


@pytest.mark.parametrize("production", [True, False])
@pytest.mark.parametrize(
    "planted", ["a\nFORGED", "a\rFORGED", "a\x1b[31mred", "a\x9b31m", "a\u2028FORGED", "a\u202egnp"]
)
def test_nobody_forges_lines_or_colours_in_the_log(
    planted: str, production: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        logs.configure("INFO", production=production)
        logging.getLogger("app.test").info("GET %s 200", planted, extra={"actor": planted})
        try:
            raise ValueError(planted)
        except ValueError:
            logging.getLogger("app.test").exception("failed: %s", planted)
    finally:
        root.handlers, _ = before, root.setLevel(level)
    written = capsys.readouterr().err
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", written)
    first, rest = written.split("\n", 1)
    assert "FORGED" not in planted or "FORGED" in first, "it stays in its line"
    assert "Traceback" in rest

"""Settings: described once, read once, checked; what the files say of them; logs without secrets."""

from __future__ import annotations

import logging
import re
import runpy
import secrets
import warnings
from decimal import Decimal

import pytest

from app import config
from app.core import logs
from app.core.settings import Settings, descriptions
from tests.data import REPOSITORY


def example() -> dict[str, str]:
    lines = (REPOSITORY / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize(("made_by", "path"), [("as_example", ".env.example"), ("as_table", "docs/settings.md")])
def test_the_files_say_what_the_descriptions_say(made_by: str, path: str) -> None:
    """When this fails: scripts/export_settings."""
    export = runpy.run_path(str(REPOSITORY / "scripts" / "_export_settings.py"))
    assert (REPOSITORY / path).read_text(encoding="utf-8") == export[made_by]()


def test_every_setting_is_in_both_files_with_a_comment() -> None:
    described = descriptions()
    assert set(described) == set(Settings.__dataclass_fields__)
    assert sorted(example()) == sorted(item.variable for item in described.values())
    table = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    for item in described.values():
        assert len(item.comment) > 10 and f"| `{item.variable}` |" in table


def test_every_setting_of_the_example_is_explained() -> None:
    text = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    for block in re.split(r"\n\s*\n|\n(?=#)", text):
        assert block.lstrip().startswith("#"), block


def test_the_example_has_the_defaults() -> None:
    given = config.DevelopmentConfig({**example(), "ASYNC_MODE": ""})
    assert given == config.DevelopmentConfig({})


def test_the_defaults_are_of_the_type_that_is_read() -> None:
    """A default in .env.example, read again, is the same value of the same type."""
    read_again, defaults = config.load({**example(), "ASYNC_MODE": ""}), Settings()
    for name in descriptions():
        value, default = getattr(read_again, name), getattr(defaults, name)
        assert (type(value), value) == (type(default), default), name


def test_what_may_carry_a_password_is_secret_and_in_no_file() -> None:
    secrets_ = {item.variable: item.default for item in descriptions().values() if item.secret}
    stripe = {"STRIPE_SECRET_KEY": "", "STRIPE_WEBHOOK_SECRET": ""}
    sumsub = {"SUMSUB_APP_TOKEN": "", "SUMSUB_SECRET_KEY": "", "SUMSUB_WEBHOOK_SECRET": ""}
    others = {"SECRET_KEY": "", "DATABASE_URL": "", "REDIS_URL": "", "MAIL_PASSWORD": "", "S3_SECRET_KEY": ""}
    assert secrets_ == {**others, **stripe, **sumsub}
    assert config.DevelopmentConfig({}).secret_key not in (REPOSITORY / "docs" / "settings.md").read_text("utf-8")


def test_gunicorn_has_the_same_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration imports nothing of ours, so it says them again."""
    for item in descriptions().values():
        monkeypatch.delenv(item.variable, raising=False)
    with warnings.catch_warnings():
        gunicorn = runpy.run_path(str(REPOSITORY / "gunicorn_config.py"))
    monkeypatch.delenv("ASYNC_MODE")
    settings = Settings()
    assert gunicorn["bind"] == f"{settings.host}:{settings.port}"
    assert gunicorn["worker_connections"] == settings.max_connections
    assert gunicorn["keepalive"] == settings.idle_timeout_seconds


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PORT", "0", "PORT must be a whole number from 1 to 65535, not '0'."),
        ("SIM_VENUE_LATE_RATE", "2", "SIM_VENUE_LATE_RATE must be a number from 0 to 1, not '2'."),
        ("SIM_FEED_INTERVAL", "0.0", "SIM_FEED_INTERVAL must be greater than zero."),
        ("REPLAY_SPEED", "fast", "REPLAY_SPEED must be a number from 0 to 1000000, not 'fast'."),
        ("LOG_LEVEL", "Loud", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not 'Loud'."),
        ("APP_ENV", "testing", "APP_ENV must be one of development, production, not 'testing'."),
        ("DATABASE_URL", "mysql://x:planted@h", "DATABASE_URL must begin with sqlite:/// or postgresql://."),
    ],
)
def test_the_sentence_says_what_may_stand_there(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(SystemExit) as refused:
        config.load({variable: value})
    assert str(refused.value) == sentence


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


def test_mail_needs_a_sender() -> None:
    with pytest.raises(SystemExit, match="MAIL_SENDER"):
        config.load({"MAIL_SERVER": "mail.example"})
    for wrong in ("nobody", "A <a@b.example>\nBcc: c@d.example"):
        with pytest.raises(SystemExit, match="MAIL_SENDER"):
            config.load({"MAIL_SERVER": "mail.example", "MAIL_SENDER": wrong})
    given = config.load({"MAIL_SERVER": "mail.example", "MAIL_SENDER": "Cambista <notices@firm.example>"})
    assert (given.mail_port, given.mail_security) == (587, "starttls")


def test_links_lead_to_where_the_server_is() -> None:
    assert config.load({"PORT": "5005"}).address == "http://127.0.0.1:5005"
    assert config.load(GOOD).address == "https://desk.example"
    assert config.load({**GOOD, "PUBLIC_URL": "https://desk.example:8443/"}).address == "https://desk.example:8443"
    with pytest.raises(SystemExit, match="PUBLIC_URL"):
        config.load({"PUBLIC_URL": "javascript:alert(1)"})


@pytest.mark.parametrize(("wanted", "here", "in_production"), [("production", 0, 1), ("always", 1, 1), ("never", 0, 0)])
def test_who_needs_a_second_step(wanted: str, here: int, in_production: int) -> None:
    assert config.load({"TOTP_FOR_STAFF": wanted}).staff_need_totp == bool(here)
    assert config.load({**GOOD, "TOTP_FOR_STAFF": wanted}).staff_need_totp == bool(in_production)


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
    assert config.load({"REPLAY_SPEED": "2.5", "LOG_LEVEL": "debug"}).replay_speed == Decimal("2.5")
    assert config.load({"LOG_LEVEL": "debug"}).log_level == "DEBUG"


def test_settings_show_no_secret() -> None:
    given = {
        "SECRET_KEY": "abcdefgh" * 4,
        "REDIS_URL": "redis://:hunter2@h",
        "DATABASE_URL": "postgresql://a:planted@h/x",
    }
    shown = repr(config.load(given))
    assert "abcdefgh" not in shown and "hunter2" not in shown and "planted" not in shown


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

"""Letters over a real SMTP server, and into a folder: in two languages, and whatever the server does."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app import create_app, providers
from app.adapters.mail.base import Deferred, Letter, Refused, ServerAway
from app.adapters.mail.folder import FolderMailer
from app.adapters.mail.smtp import SmtpMailer
from app.background import build_chores
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.extensions import mail
from app.letters import LetterWriter
from app.models import Mail
from app.services import mails
from tests.conftest import PRODUCTION
from tests.smtp import Post, serving

LETTER = Letter("<1@firm.example>", "Cambista <notices@firm.example>", "a@x.example", "¿Qué tal?", "Sí\n", "<p>Sí</p>")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def app(sqlite_url: str, clock: ManualClock, port: int) -> Iterator[Flask]:
    app = create_app(
        TestingConfig(
            database_url=sqlite_url,
            mail_server="127.0.0.1",
            mail_port=port,
            mail_security="none",
            mail_sender="Cambista <notices@firm.example>",
            mail_confirmation_sender="Mesa <desk@firm.example>",
            public_url="https://desk.example",
        ),
        clock=clock,
    )
    with app.app_context():
        yield app
    app.extensions["services"].database.dispose()


@pytest.fixture
def post(port: int) -> Iterator[Post]:
    post = Post()
    with serving(post, port):
        yield post


@pytest.fixture
def mailer(app: Flask) -> SmtpMailer:
    return SmtpMailer(mail, timeout=0.5)


def test_a_letter_arrives_as_it_was_written(mailer: SmtpMailer, post: Post) -> None:
    with mailer.connect() as connection:
        connection.send(LETTER)
    (message,) = post.taken
    assert (message["From"], message["To"], message["Subject"]) == (LETTER.sender, LETTER.recipient, LETTER.subject)
    assert (message["Message-ID"], message["Auto-Submitted"]) == (LETTER.message_id, "auto-generated")
    parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
    assert parts["text/plain"].strip() == "Sí" and parts["text/html"].strip() == "<p>Sí</p>"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("550 5.1.1 no such mailbox", Refused),
        ("451 4.7.1 greylisted, come back", Deferred),
        ("421 4.3.2 closing", ServerAway),
    ],
)
def test_what_a_server_says_of_an_address(mailer: SmtpMailer, post: Post, answer: str, error: type[Exception]) -> None:
    post.refused["a@x.example"] = answer
    with pytest.raises(error) as refused, mailer.connect() as connection:
        connection.send(LETTER)
    assert type(refused.value) is error and str(refused.value) == answer


def test_one_refused_address_leaves_the_connection_to_the_next(mailer: SmtpMailer, post: Post) -> None:
    post.refused["b@x.example"] = "550 no"
    with mailer.connect() as connection:
        with pytest.raises(Refused):
            connection.send(Letter("<2@f.example>", LETTER.sender, "b@x.example", "S", "t", "h"))
        connection.send(LETTER)
    assert (post.to(), post.connections) == (["a@x.example"], 1)


@pytest.mark.parametrize(("answer", "error"), [("554 5.7.1 spam", Refused), ("452 4.3.1 full", Deferred)])
def test_what_a_server_says_of_a_message(mailer: SmtpMailer, post: Post, answer: str, error: type[Exception]) -> None:
    post.answer = answer
    with pytest.raises(error) as refused, mailer.connect() as connection:
        connection.send(LETTER)
    assert type(refused.value) is error


def test_a_server_that_is_away_or_hangs_is_away(mailer: SmtpMailer, port: int) -> None:
    with pytest.raises(ServerAway), mailer.connect():
        pass
    with socket.socket() as silent:  # takes connections and says nothing
        silent.bind(("127.0.0.1", port))
        silent.listen()
        with pytest.raises(ServerAway), mailer.connect():
            pass


def test_a_server_that_takes_too_long_is_away(mailer: SmtpMailer, post: Post) -> None:
    post.seconds = 1
    with pytest.raises(ServerAway), mailer.connect() as connection:
        connection.send(LETTER)


@pytest.mark.parametrize(
    "wrong",
    [{"subject": "Hi\r\nBcc: x@y.example"}, {"recipient": "a@x.example\nBcc: x@y.example"}, {"sender": "a@b.c\nX: y"}],
)
def test_nobody_adds_a_header(mailer: SmtpMailer, post: Post, tmp_path: Path, wrong: dict[str, str]) -> None:
    values = {name: getattr(LETTER, name) for name in Letter.__slots__}
    letter = Letter(**{**values, **wrong})
    for one in (mailer, FolderMailer(tmp_path / "mail")):
        with pytest.raises(Refused), one.connect() as connection:
            connection.send(letter)
    assert post.taken == []


def test_encryption_is_asked_for_and_its_certificate_checked(app: Flask, post: Post) -> None:
    app.config["MAIL_USE_TLS"] = True
    mail.init_app(app)
    with pytest.raises(ServerAway), SmtpMailer(mail, timeout=1).connect():  # the server offers none
        pass
    assert post.taken == []


def test_without_a_server_mail_goes_to_a_folder_and_in_production_waits(tmp_path: Path) -> None:
    assert (
        providers.mailer(TestingConfig(database_url="sqlite://", environment="production", **PRODUCTION), tmp_path)
        is None
    )
    folder = providers.mailer(TestingConfig(database_url="sqlite://"), tmp_path / "mail")
    assert isinstance(folder, FolderMailer)
    for _ in range(2):
        with folder.connect() as connection:
            connection.send(LETTER)
    (path,) = (tmp_path / "mail").iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == ("1.eml", 0o600)
    message = message_from_bytes(path.read_bytes(), policy=default)
    assert (message["Subject"], message["To"]) == (LETTER.subject, LETTER.recipient)
    assert message.get_body(("plain",)).get_content().strip() == "Sí"  # type: ignore[attr-defined]


# the whole way: queued, written, sent by the chore


def send(app: Flask, **queued: Any) -> None:
    parts = app.extensions["services"]
    given = {"template": "security_notice", "recipient": "a@x.example", "data": {"name": "Ana", "what": "password"}}

    def work(session: Any) -> None:
        mails.queue(session, "k", now=parts.clock.now(), **{**given, **queued})

    parts.database.run(work)
    (chore,) = [chore for chore in build_chores(app, parts, parts.database) if chore.name == "mail"]
    chore.work(parts.clock.now())


def test_a_queued_mail_is_sent_by_the_chore(app: Flask, post: Post) -> None:
    send(app, language="en")
    (message,) = post.taken
    assert message["Subject"] == "A change to your access to Cambista"
    assert message["From"] == "Cambista <notices@firm.example>"
    row = app.extensions["services"].database.read(lambda session: session.scalars(sa.select(Mail)).one())
    assert (row.status, message["Message-ID"]) == ("sent", f"<{row.id}@firm.example>")
    text = message.get_body(("plain",)).get_content()
    assert text.startswith("Hello Ana,") and "https://desk.example/password/forgotten" in text


def test_confirmations_have_a_sender_of_their_own(app: Flask, post: Post) -> None:
    send(app, sender=mails.CONFIRMATIONS, language="en")
    (message,) = post.taken
    assert message["From"] == "Mesa <desk@firm.example>" and str(message["Message-ID"]).endswith("@firm.example>")


def written(app: Flask, template: str, language: str, **data: Any) -> Letter:
    return LetterWriter(app).write(mails.Attempt("1", template, language, "a@x.example", mails.NOTICES, data))


TEMPLATES = ["invitation", "password_reset", "email_change", "security_notice"]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("language", ["es", "en"])
def test_every_template_is_whole(app: Flask, template: str, language: str) -> None:
    data = {"token_id": "1"} if template != "security_notice" else {"what": "totp_off"}
    letter = written(app, template, language, name="Ñusta <b>&", hours=72, **data)
    for text in (letter.subject, letter.text, letter.html):
        assert "{{" not in text and "None" not in text and text.strip()
    assert "Ñusta <b>&" in letter.text and "Ñusta &lt;b&gt;&amp;" in letter.html
    assert f'<html lang="{language}">' in letter.html
    if "token_id" in data:
        (link,) = {word for word in letter.text.split() if word.startswith("https://")}
        path = "account/email/confirm" if template == "email_change" else "password/choose"
        assert link.startswith(f"https://desk.example/{path}?token=") and f'href="{link}"' in letter.html


def test_every_template_has_both_forms() -> None:
    folder = Path(create_app.__code__.co_filename).parent / "templates" / "mail"
    names = {path.stem for path in folder.iterdir() if not path.name.startswith("_")}
    assert (
        names == {path.stem for path in folder.glob("[!_]*.txt")} == {path.stem for path in folder.glob("[!_]*.html")}
    )


def test_a_subject_is_one_line(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def render(name: str, values: Any) -> str:
        return "Hello\x0b \u202eAna\r\nBcc: x@y.example" if name.endswith("txt") else ""

    writer: Callable[..., Letter] = LetterWriter(app).write
    monkeypatch.setattr(LetterWriter, "_render", lambda self, name, values: render(name, values))
    letter = writer(mails.Attempt("1", "x", "en", "a@x.example", mails.NOTICES, {}))
    assert (letter.subject, letter.text) == ("Hello Ana", "Bcc: x@y.example\n")

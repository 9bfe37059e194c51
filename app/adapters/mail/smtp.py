"""Mail over SMTP with Flask-Mail; its settings are those of the application (``MAIL_*``)."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import flask_mail

from app.core.clock import Seconds

from .base import Deferred, Letter, Refused, ServerAway

# RFC 3834: no robot answers it
_HEADERS = {"Auto-Submitted": "auto-generated"}
_MOST_SAID = 200  # characters of what a server says


class _Connection(flask_mail.Connection):
    """Flask-Mail's, with a time limit, and with a certificate that is checked."""

    def __init__(self, mail: flask_mail.Mail, timeout: Seconds) -> None:
        super().__init__(mail)
        self._timeout = timeout

    def configure_host(self) -> smtplib.SMTP:
        mail = self.mail
        host: smtplib.SMTP
        if mail.use_ssl:
            context = ssl.create_default_context()
            host = smtplib.SMTP_SSL(mail.server, mail.port, timeout=self._timeout, context=context)
        else:
            host = smtplib.SMTP(mail.server, mail.port, timeout=self._timeout)
        try:
            if mail.use_tls:
                host.starttls(context=ssl.create_default_context())
            if mail.username and mail.password:
                host.login(mail.username, mail.password)
        except BaseException:
            host.close()
            raise
        return host


class _Sending:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def send(self, letter: Letter) -> None:
        message = flask_mail.Message(
            letter.subject,
            [letter.recipient],
            letter.text,
            letter.html,
            sender=letter.sender,
            extra_headers=_HEADERS,
        )
        message.msgId = letter.message_id
        try:
            self._connection.send(message)
        except flask_mail.BadHeaderError as error:
            raise Refused("its address or subject has line ends") from error
        except smtplib.SMTPRecipientsRefused as error:
            _judge(*next(iter(error.recipients.values())), error)
        except smtplib.SMTPDataError as error:
            _judge(error.smtp_code, error.smtp_error, error)
        except (smtplib.SMTPException, OSError) as error:  # the sender is refused too: that is a setting of ours
            raise ServerAway(_said(error)) from error


class SmtpMailer:
    """``mail`` is bound to the application; connect inside of its context."""

    def __init__(self, mail: flask_mail.Mail, *, timeout: Seconds) -> None:
        self._mail, self._timeout = mail, timeout

    @contextmanager
    def connect(self) -> Iterator[_Sending]:
        connection = _Connection(self._mail.connect().mail, self._timeout)
        try:
            connection.__enter__()
        except (smtplib.SMTPException, OSError) as error:
            raise ServerAway(_said(error)) from error
        try:
            yield _Sending(connection)
        finally:
            with suppress(smtplib.SMTPException, OSError):  # whatever it was to take, it has taken or refused
                connection.__exit__(None, None, None)  # type: ignore[arg-type]


def _judge(code: int, said: bytes | str, error: smtplib.SMTPException) -> None:
    """RFC 5321, 4.2.1: 5yz is for good, 4yz for now; 421 closes the connection."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    sentence = f"{code} {text}"[:_MOST_SAID]
    if code == 421:
        raise ServerAway(sentence) from error
    raise (Refused if 500 <= code < 600 else Deferred)(sentence) from error


def _said(error: Exception) -> str:
    code, said = getattr(error, "smtp_code", None), getattr(error, "smtp_error", "")
    if code is None:
        return f"{type(error).__name__}: {error}"[:_MOST_SAID]
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {text}"[:_MOST_SAID]

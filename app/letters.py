"""Mails as their recipients read them: ``templates/mail/<name>.txt`` and ``.html`` in the language of each.

The first line of the text is the subject. Templates are filled with what the mail was queued with, and with ``link``
where that names a token.
"""

from __future__ import annotations

import re
from email.utils import parseaddr
from typing import Any, Final

from flask import Flask
from flask_babel import force_locale

from app.adapters.mail.base import Letter
from app.core.settings import Settings
from app.services import invitations, users
from app.services.container import Services
from app.services.mails import CONFIRMATIONS, DEFAULT_LANGUAGE, Attempt

_NOBODY: Final = "Cambista <notices@localhost>"  # only into the folder: a server needs MAIL_SENDER
# a subject is one line, in one direction
_NOT_IN_A_SUBJECT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


class LetterWriter:
    def __init__(self, app: Flask) -> None:
        self._app = app
        parts: Services = app.extensions["services"]
        self._settings: Settings = parts.settings

    def write(self, attempt: Attempt) -> Letter:
        """The letter of a mail. Raises what Jinja raises, for a template that is not there too."""
        language = attempt.language if attempt.language in users.LANGUAGES else DEFAULT_LANGUAGE
        values: dict[str, Any] = {**attempt.data, "address": self._settings.address, "language": language}
        if "token_id" in attempt.data:
            values["link"] = invitations.link(self._settings, attempt.data["token_id"], attempt.template)
        with self._app.app_context(), force_locale(language):
            text = self._render(f"{attempt.template}.txt", values)
            html = self._render(f"{attempt.template}.html", values)
        subject, _, body = text.strip().partition("\n")
        sender = self._sender(attempt.sender)
        domain = parseaddr(sender)[1].rpartition("@")[2]
        return Letter(
            message_id=f"<{attempt.id}@{domain}>",
            sender=sender,
            recipient=attempt.recipient,
            subject=" ".join(_NOT_IN_A_SUBJECT.sub(" ", subject).split()),
            text=body.strip() + "\n",
            html=html,
        )

    def _render(self, name: str, values: dict[str, Any]) -> str:
        # not render_template: that asks who is signed in, and nobody is
        return self._app.jinja_env.get_template(f"mail/{name}").render(values)

    def _sender(self, which: str) -> str:
        own = self._settings.mail_confirmation_sender if which == CONFIRMATIONS else None
        return own or self._settings.mail_sender or _NOBODY

"""Sending mail: what a letter is, and what can go wrong on its way."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as it leaves. The same letter sent twice has the same ``message_id``: ``<id@domain>``."""

    message_id: str
    sender: str
    recipient: str
    subject: str
    text: str
    html: str


class MailError(Exception):
    """A letter did not leave; the sentence is for the firm's people."""


class Refused(MailError):
    """For good: the server will never take this letter."""


class Deferred(MailError):
    """Not now; the same letter may be tried again later."""


class ServerAway(Deferred):
    """The server does not answer, breaks off, or lets us not in: no other letter gets through now either."""


class Connection(Protocol):
    def send(self, letter: Letter) -> None:
        """Hand a letter over. Raises ``Refused``, ``Deferred`` or ``ServerAway``."""


class Mailer(Protocol):
    def connect(self) -> AbstractContextManager[Connection]:
        """A connection for several letters. Raises ``ServerAway``."""

"""Mail is queued here, in the transaction of what it tells, and sent after it (``engine/chores``).

Sending notes the attempt and commits, hands the letter over, and stores the outcome in a second transaction: what a
crash leaves between the two is sent again later, as the same letter with the same Message-ID.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.adapters.mail.base import Connection, Deferred, Letter, Mailer, MailError, ServerAway
from app.core.clock import iso
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.permissions import Principal
from app.core.transaction import Database
from app.models import Client, Mail, User

from . import audit
from .access import is_uuid

log = structlog.get_logger("mails")
NOTICES, CONFIRMATIONS = "notices", "confirmations"
DEFAULT_LANGUAGE = "es"
SENT_AT_ONCE: Final = 50
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
TRIED_FOR: Final = timedelta(days=3)
_MOST_SAID: Final = 300
_DUE: Final = (Mail.status == "waiting", Mail.next_attempt_at <= sa.bindparam("now"))


def queue(
    session: Session,
    key: str,
    template: str,
    recipient: str,
    data: Mapping[str, Any],
    now: datetime,
    *,
    language: str | None = None,
    sender: str = NOTICES,
) -> None:
    """Send a mail once after the commit. ``key`` names the occasion: a second mail with it is not sent.

    ``template`` is a name in ``templates/mail``; ``data`` is what it is filled with and must not hold secrets that
    outlive the mail.
    """
    if session.scalar(sa.select(Mail.id).where(Mail.key == key)) is not None:
        return
    session.add(
        Mail(
            id=new_id(),
            key=key,
            template=template,
            language=language or DEFAULT_LANGUAGE,
            recipient=recipient,
            sender=sender,
            data=dict(data),
            status="waiting",
            attempts=0,
            created_at=now,
            next_attempt_at=now,
        )
    )
    session.flush()


def queue_to_client(
    session: Session,
    client: Client,
    key: str,
    template: str,
    data: Mapping[str, Any],
    now: datetime,
    *,
    sender: str = NOTICES,
) -> None:
    """The same to a client's address, in the language its people chose; nothing where there is no address."""
    if client.email is None:
        return
    query = sa.select(User.language).where(User.client_id == client.id, User.language.is_not(None)).order_by(User.id)
    language = session.scalar(query.limit(1))
    queue(session, key, template, client.email, {"name": client.name, **data}, now, language=language, sender=sender)


def queue_to_user(
    session: Session, user: User, key: str, template: str, data: Mapping[str, Any], now: datetime
) -> None:
    """The same to somebody who signs in, in their language."""
    queue(session, key, template, user.email, {"name": user.name, **data}, now, language=user.language)


# sending


@dataclass(frozen=True, slots=True)
class Attempt:
    """A mail that is about to be handed over, with what it says."""

    id: str
    template: str
    language: str
    recipient: str
    sender: str
    data: Mapping[str, Any]


Write = Callable[[Attempt], Letter]


def send_waiting(database: Database, mailer: Mailer, write: Write, now: datetime) -> bool:
    """Send what is due; True when there is more at once. One connection serves a whole batch.

    A letter that is refused for good, or cannot be written, is given up; one that is put off is tried again, up to
    ``TRIED_FOR``. While the server is away nothing is given up: all of it waits.
    """
    if database.read(lambda session: session.scalar(sa.select(Mail.id).where(*_DUE).limit(1), {"now": now})) is None:
        return False
    try:
        with mailer.connect() as connection:
            for _ in range(SENT_AT_ONCE):
                attempt = database.run(lambda session: _begin(session, now))
                if attempt is None:
                    return False
                _hand_over(database, connection, write, attempt, now)
    except ServerAway as error:
        log.warning("mail.server_away", error=str(error))
        return False
    return True


def _begin(session: Session, now: datetime) -> Attempt | None:
    """Take the mail that waits longest, and put it off as if this attempt had already failed."""
    query = sa.select(Mail).where(*_DUE).order_by(Mail.next_attempt_at, Mail.id).limit(1)
    mail = session.scalars(query.with_for_update(skip_locked=True), {"now": now}).one_or_none()
    if mail is None:
        return None
    mail.attempts += 1
    mail.next_attempt_at = now + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(mail.attempts - 1, 10))
    return Attempt(mail.id, mail.template, mail.language, mail.recipient, mail.sender, mail.data)


def _hand_over(database: Database, connection: Connection, write: Write, attempt: Attempt, now: datetime) -> None:
    """Raises ``ServerAway``, after noting it."""
    failure: MailError | None = None
    try:
        letter = write(attempt)
    except Exception as error:
        log.exception("mail.unwritable", mail=attempt.id, template=attempt.template)
        failure = MailError(f"it could not be written: {error}")
    else:
        try:
            connection.send(letter)
        except MailError as error:
            failure = error
    database.run(lambda session: _settle(session, attempt.id, failure, now))
    if isinstance(failure, ServerAway):
        raise failure


def _settle(session: Session, mail_id: str, failure: MailError | None, now: datetime) -> None:
    mail = session.get_one(Mail, mail_id, with_for_update=True)
    if failure is None:
        mail.status, mail.sent_at, mail.last_error = "sent", now, None
        return
    mail.last_error = str(failure)[:_MOST_SAID]
    if isinstance(failure, ServerAway):
        return
    if not isinstance(failure, Deferred) or now >= mail.created_at + TRIED_FOR:
        mail.status = "failed"
        log.warning("mail.given_up", mail=mail.id, template=mail.template, error=mail.last_error)


# looking after it


def figures(session: Session, now: datetime) -> dict[str, Any]:
    """How much waits, since when, and what was given up; of the last three days."""
    waiting, oldest = session.execute(
        sa.select(sa.func.count(), sa.func.min(Mail.created_at)).where(Mail.status == "waiting")
    ).one()
    failed = session.scalar(
        sa.select(sa.func.count()).where(Mail.status == "failed", Mail.created_at > now - timedelta(days=3))
    )
    age = 0 if oldest is None else int((now - oldest).total_seconds())
    return {"waiting": waiting, "oldest_waiting_seconds": age, "failed": failed or 0}


def listed(session: Session, status: str | None, limit: int, offset: int) -> tuple[list[Mail], int]:
    """Mails, newest first, and how many there are."""
    query = sa.select(Mail) if status is None else sa.select(Mail).where(Mail.status == status)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    return list(session.scalars(query.order_by(Mail.id.desc()).limit(limit).offset(offset))), total


def send_again(session: Session, mail_id: str, principal: Principal, now: datetime, ip: str | None = None) -> Mail:
    """Try a mail that was given up once more. Raises ``NotFound``, ``Conflict`` for one that was not."""
    mail = session.get(Mail, mail_id.lower(), with_for_update=True) if is_uuid(mail_id) else None
    if mail is None:
        raise NotFound("there is no such mail")
    if mail.status != "failed":
        raise Conflict("this mail waits or was sent", code="unchanged")
    mail.status, mail.next_attempt_at = "waiting", now
    audit.record(session, principal, "mail.send_again", "mail", mail.id, now, ip=ip, template=mail.template)
    return mail


def show(mail: Mail) -> dict[str, Any]:
    """Without what it says: that is its recipient's."""
    return {
        "id": mail.id,
        "template": mail.template,
        "language": mail.language,
        "recipient": mail.recipient,
        "sender": mail.sender,
        "status": mail.status,
        "attempts": mail.attempts,
        "last_error": mail.last_error,
        "created_at": iso(mail.created_at),
        "next_attempt_at": iso(mail.next_attempt_at) if mail.status == "waiting" else None,
        "sent_at": None if mail.sent_at is None else iso(mail.sent_at),
    }

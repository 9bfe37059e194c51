"""Mail is queued here, in the transaction of what it tells, and sent after it (``engine/chores``)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.models import Client, Mail, User

NOTICES, CONFIRMATIONS = "notices", "confirmations"
DEFAULT_LANGUAGE = "es"


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

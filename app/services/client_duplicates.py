"""Clients that may be the same as one about to be registered: shown to people, who decide."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from rapidfuzz import fuzz
from sqlalchemy.orm import Session

from app.core.permissions import WRITE, Principal, Resource
from app.domain.identifiers import Account, Identity, comparable
from app.models import Client, ClientBankAccount

from . import emails
from .access import visible_client_ids

NEAR: Final = 88  # of 100: "Jose Quispe Mamani" and "José Quispe Mamaní" are 100, one letter off about 95
MOST: Final = 20
_LOOKED_AT: Final = 5_000  # names that share the beginning of a word, compared one by one
_BEGINNING: Final = 3  # letters
_WORD: Final = re.compile(r"\w{3,}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of somebody; ``apart_from`` is the client that is being changed."""

    name: str | None = None
    identity: Identity | None = None
    email: str | None = None
    account: Account | None = None
    apart_from: str | None = None


def find(session: Session, wanted: Wanted, principal: Principal) -> list[dict[str, Any]]:
    """At most ``MOST``, the likeliest first, each with its reasons.

    A client of somebody else's is told of without saying who it is: it must not be registered twice either.
    """
    reasons: dict[str, list[str]] = defaultdict(list)
    score: dict[str, int] = defaultdict(int)
    for reason, client_id, likeness in _same(session, wanted):
        if client_id != wanted.apart_from:
            reasons[client_id].append(reason)
            score[client_id] = max(score[client_id], likeness)
    first = sorted(reasons, key=lambda found: (-score[found], found))[:MOST]
    rows = {row.id: row for row in session.scalars(sa.select(Client).where(Client.id.in_(first)))}
    seen = visible_client_ids(session, principal, Resource.CLIENTS, WRITE)
    return [
        {
            "id": found if known else None,
            "code": rows[found].code if known else None,
            "name": rows[found].name if known else None,
            "reasons": reasons[found],
            "likeness": score[found],
        }
        for found in first
        for known in [seen is None or found in seen]
    ]


def _same(session: Session, wanted: Wanted) -> Iterator[tuple[str, str, int]]:
    """Reason, client and likeness of 100, for each thing they share."""
    if wanted.identity is not None:
        document = (wanted.identity.country, wanted.identity.type.value, wanted.identity.number)
        columns = (Client.identity_country, Client.identity_type, Client.identity_number)
        same = (column == value for column, value in zip(columns, document, strict=True))
        for client_id in session.scalars(sa.select(Client.id).where(*same)):
            yield "document", client_id, 100
    if wanted.email is not None:
        address = emails.normalize(wanted.email)
        for client_id in session.scalars(sa.select(Client.id).where(sa.func.lower(Client.email) == address)):
            yield "email", client_id, 100
    if wanted.account is not None:
        owners = sa.select(ClientBankAccount.client_id).where(
            ClientBankAccount.scheme == wanted.account.scheme.value, ClientBankAccount.number == wanted.account.number
        )
        for client_id in session.scalars(owners.distinct().limit(MOST)):
            yield "bank_account", client_id, 100
    if wanted.name is not None:
        yield from _near_names(session, wanted.name)


def _near_names(session: Session, name: str) -> Iterator[tuple[str, str, int]]:
    """Names that share the beginning of a word with it, and are nearly the same as a whole."""
    normal = comparable(name)
    words = {word[:_BEGINNING] for word in (*_WORD.findall(name.lower()), *_WORD.findall(normal))}
    if not words:
        return
    words_of = sa.literal(" ") + sa.func.lower(Client.name)
    begins = (words_of.like(f"% {word}%") for word in sorted(words))
    candidates = sa.select(Client.id, Client.name).where(sa.or_(*begins)).order_by(Client.id.desc())
    for row in session.execute(candidates.limit(_LOOKED_AT)):
        likeness = round(fuzz.ratio(normal, comparable(row.name), score_cutoff=NEAR))
        if likeness:
            yield "name", row.id, likeness

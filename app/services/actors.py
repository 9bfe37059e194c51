"""Who did something, as a name: orders, entries and events keep ``user:<id>``, ``key:<id>`` or a part of ours."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.permissions import Principal
from app.models import ApiKey, User

from .access import is_uuid


def names(session: Session, reader: Principal, actors: Iterable[str]) -> dict[str, str]:
    """Names by actor; what the reader may not know, or nobody does, is left out.

    A client learns the names of the firm's people and of their own, not those of other clients.
    """
    asked: dict[str, set[str]] = {"user": set(), "key": set()}
    for actor in actors:
        kind, _, id_ = actor.partition(":")
        if kind in asked and is_uuid(id_):
            asked[kind].add(id_.lower())
    found: dict[str, str] = {}
    for kind, model in (("user", User), ("key", ApiKey)):
        if not asked[kind]:
            continue
        query = sa.select(model.id, model.name).where(model.id.in_(asked[kind]))
        if reader.client_id is not None:
            query = query.where(sa.or_(model.client_id.is_(None), model.client_id == reader.client_id))
        found |= {f"{kind}:{row.id}": row.name for row in session.execute(query)}
    return found


def name(session: Session, reader: Principal, actor: str) -> str | None:
    """One name; None where there is none to tell."""
    return names(session, reader, [actor]).get(actor)

"""The stored events, by cursor."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource
from app.routes.edge import db, endpoint, principal, query
from app.schemas.system import EventPage, EventQuery
from app.services import access, events

from . import blueprint


@blueprint.get("/events")
@endpoint("Events after a cursor, oldest first", tag="events", query=EventQuery, response=EventPage,
          needs=(Resource.EVENTS, READ))  # fmt: skip
def list_events() -> ResponseReturnValue:
    asked = query(EventQuery)
    visible = access.visible_clients(principal(), Resource.EVENTS, READ)
    streams = None if visible is None else list(db().scalars(visible))
    types = None if asked.types is None else asked.types.split(",")
    found = events.since(db(), streams, asked.after, asked.limit + 1, types)
    items = found[: asked.limit]
    cursor = items[-1]["cursor"] if items else asked.after
    return {"items": items, "cursor": cursor, "limit": asked.limit, "has_more": len(found) > asked.limit}

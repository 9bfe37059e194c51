"""The stored events, by cursor."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource
from app.routes.access import endpoint, principal
from app.routes.request import db, named_client, query
from app.schemas.system import EventPage, EventQuery
from app.services import access, events

from . import blueprint


@blueprint.get("/events")
@endpoint(
    "Events after a cursor, oldest first",
    tag="events",
    query=EventQuery,
    response=EventPage,
    needs=(Resource.EVENTS, READ),
    errors=("wrong_direction",),
    description="Begin with after=0 or with a cursor of yours, and send the cursor of each answer as the next "
    "after. With order=newest it goes backward, from the newest or from before.",
)
def list_events() -> ResponseReturnValue:
    asked = query(EventQuery)
    types, without = _split(asked.types), _split(asked.without)
    streams, most = _streams(named_client(asked.client_id)), asked.limit + 1
    if asked.order == "newest":
        found = events.newest(db(), streams, asked.before, most, types, without)
    else:
        found = events.since(db(), streams, asked.after, most, types, without)
    items = found[: asked.limit]
    cursor = items[-1]["cursor"] if items else asked.before or asked.after
    return {"items": items, "cursor": cursor, "limit": asked.limit, "has_more": len(found) > asked.limit}


def _split(listed: str | None) -> list[str] | None:
    return None if listed is None else listed.split(",")


def _streams(ref: str | None) -> list[str] | None:
    """The streams that are wanted; None: all of them, the firm's own too."""
    if ref is not None:
        return [access.client(db(), principal(), ref, READ, Resource.EVENTS).id]
    return access.visible_client_ids(db(), principal(), Resource.EVENTS, READ)

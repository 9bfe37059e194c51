"""The switches of the simulated venue."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, WRITE, Resource
from app.routes.access import endpoint, principal
from app.routes.request import body, db, now, services
from app.schemas.venue_control import VenueChange, VenueOut
from app.services import venue_control

from . import blueprint

READING, SETTING = (Resource.SYSTEM, READ), (Resource.MARKET_CONTROL, WRITE)


@blueprint.get("/admin/venue")
@endpoint("How the simulated venue behaves", tag="admin", response=VenueOut, needs=READING)
def get_venue() -> ResponseReturnValue:
    return venue_control.show(db(), production=services().settings.production)


@blueprint.patch("/admin/venue")
@endpoint(
    "Change how the simulated venue behaves",
    tag="admin",
    body=VenueChange,
    response=VenueOut,
    status=202,
    needs=SETTING,
    errors=("not_in_production", "engine_not_listening", "required"),
    description="For testing bots: the engine takes it within a second, until it starts again. Not in production.",
)
def change_venue() -> ResponseReturnValue:
    changes, production = body(VenueChange).changes(), services().settings.production
    venue_control.change(db(), changes, principal(), now(), production=production, ip=request.remote_addr)
    return venue_control.show(db(), production=production), 202

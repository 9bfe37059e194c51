"""People who sign in: the list, and one of them, for Masters."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource, Role
from app.services import access, staff, users

from .access import principal
from .page import client_choices, may, needs
from .request import db

blueprint = Blueprint("users", __name__, url_prefix="/users")
STAFF_ROLES = tuple(role for role in Role if role is not Role.CLIENT)


@blueprint.get("")
@needs(Resource.USERS)
def index() -> ResponseReturnValue:
    return render_template(
        "users/index.html", create=may(Resource.USERS), roles=list(Role), clients=client_choices(Resource.CLIENTS)
    )


@blueprint.get("/<user_id>")
@needs(Resource.USERS)
def detail(user_id: str) -> ResponseReturnValue:
    user = users.by_id(db(), user_id)
    client = access.client(db(), principal(), user.client_id, READ) if user.client_id else None
    return render_template(
        "users/detail.html",
        user=users.show(user),
        client=client,
        edit=may(Resource.USERS),
        own=user.id == principal().id,
        waits=bool(staff.open_proposals(db(), [user.id])),
        roles=() if user.client_id else STAFF_ROLES,
        trail=may(Resource.AUDIT, READ),
    )

"""API keys over JSON: seen and revoked here, made by people who have signed in."""

from __future__ import annotations

from functools import partial

from flask.typing import ResponseReturnValue

from app.core.permissions import READ, WRITE, Resource
from app.core.transaction import after_commit
from app.routes.access import endpoint, principal
from app.routes.identity import disconnect_sockets
from app.routes.request import body, db, now, query
from app.schemas.orders import PageQuery
from app.schemas.system import Empty, KeyOut
from app.services import api_keys

from . import blueprint, page


@blueprint.get("/keys")
@endpoint(
    "List one's API keys",
    tag="keys",
    query=PageQuery,
    response=KeyOut,
    many=True,
    needs=(Resource.API_KEYS, READ),
    session_only=True,
)
def list_keys() -> ResponseReturnValue:
    asked = query(PageQuery)
    found, total = api_keys.list_keys(db(), principal(), asked.limit, asked.offset)
    return page([api_keys.show(key) for key in found], total, asked.limit, asked.offset)


@blueprint.post("/keys/<key_id>/revoke")
@endpoint(
    "End an API key at once",
    tag="keys",
    body=Empty,
    response=KeyOut,
    needs=(Resource.API_KEYS, WRITE),
    session_only=True,
)
def revoke_key(key_id: str) -> ResponseReturnValue:
    body(Empty)
    key = api_keys.find(db(), principal(), key_id)
    api_keys.revoke(db(), key, principal(), now())
    after_commit(db(), partial(disconnect_sockets, key=key.id))
    return api_keys.show(key)

"""Clients over JSON."""

from __future__ import annotations

from functools import partial

from flask.typing import ResponseReturnValue

from app.core.permissions import READ, WRITE, Resource
from app.core.transaction import after_commit
from app.routes.access import endpoint, principal
from app.routes.identity import disconnect_sockets
from app.routes.request import body, check_version, db, now, query, tagged
from app.schemas.clients import ClientIn, ClientOut, ClientPatch, ClientQuery
from app.services import access, clients

from . import blueprint, page

READING, WRITING = (Resource.CLIENTS, READ), (Resource.CLIENTS, WRITE)


@blueprint.get("/clients")
@endpoint(
    "List clients, by code",
    tag="clients",
    query=ClientQuery,
    response=ClientOut,
    many=True,
    needs=READING,
    errors=("invalid_id",),
)
def list_clients() -> ResponseReturnValue:
    asked = query(ClientQuery)
    wanted = clients.ClientFilter(asked.q, asked.active, asked.trader_id)
    found, total = clients.search(db(), principal(), wanted, asked.limit, asked.offset)
    return page([clients.show(client) for client in found], total, asked.limit, asked.offset)


@blueprint.post("/clients")
@endpoint(
    "Register a client",
    tag="clients",
    body=ClientIn,
    response=ClientOut,
    status=201,
    needs=WRITING,
    errors=("code_taken", "invalid_code", "invalid_email", "unknown_trader", "invisible"),
    etag=True,
)
def create_client() -> ResponseReturnValue:
    given = body(ClientIn)
    client = clients.create(
        db(), given.code, given.name, principal(), now(), email=given.email, trader_id=given.trader_id
    )
    return tagged(clients.show(client), 201)


@blueprint.get("/clients/<ref>")
@endpoint("Get a client by id or code", tag="clients", response=ClientOut, needs=READING, etag=True)
def get_client(ref: str) -> ResponseReturnValue:
    return tagged(clients.show(access.client(db(), principal(), ref, READ)))


@blueprint.patch("/clients/<ref>")
@endpoint(
    "Change a client",
    tag="clients",
    body=ClientPatch,
    response=ClientOut,
    needs=WRITING,
    if_match=True,
    etag=True,
    errors=("invalid_email", "unknown_trader", "required", "invisible"),
)
def change_client(ref: str) -> ResponseReturnValue:
    changes = body(ClientPatch).model_dump(exclude_unset=True)
    client = access.client(db(), principal(), ref, WRITE)
    clients.lock(db(), client)
    check_version(client.version)
    dismissed = clients.update(db(), client, changes, principal(), now())
    for user in dismissed.users:
        after_commit(db(), partial(disconnect_sockets, user=user))
    for key in dismissed.keys:
        after_commit(db(), partial(disconnect_sockets, key=key))
    return tagged(clients.show(client))

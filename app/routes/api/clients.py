"""Clients over JSON."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from flask.typing import ResponseReturnValue

from app.core.errors import Invalid
from app.core.permissions import READ, WRITE, Resource
from app.core.transaction import after_commit
from app.domain.identifiers import InvalidIdentifier, check_account
from app.models import Client
from app.routes.access import endpoint, principal
from app.routes.identity import disconnect_sockets
from app.routes.request import body, check_version, db, now, query, tagged
from app.schemas.clients import (
    BlockIn,
    ClientIn,
    ClientOut,
    ClientPatch,
    ClientQuery,
    DuplicateOut,
    DuplicateQuery,
    RelatedPersonOut,
    RelatedPersonsIn,
)
from app.schemas.system import Empty
from app.services import access, client_duplicates, client_profiles, clients, related_persons

from . import blueprint, page, whole

READING, WRITING = (Resource.CLIENTS, READ), (Resource.CLIENTS, WRITE)
WRONG_PROFILE = (
    "invalid_email",
    "email_taken",
    "identity_taken",
    "identity_format",
    "identity_check_digit",
    "identity_country",
    "identity_unsuitable",
    "unknown_country",
    "birth_in_future",
    "birth_too_early",
    "under_age",
    "persons_only",
    "unknown_trader",
    "required",
    "invisible",
)


def shown(client: Client) -> dict[str, Any]:
    return clients.show(client, to_firm=principal().client_id is None)


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
    found, total = clients.search(db(), principal(), filter_of(asked), asked.limit, asked.offset)
    return page([shown(client) for client in found], total, asked.limit, asked.offset)


def filter_of(asked: ClientQuery) -> clients.ClientFilter:
    return clients.ClientFilter(asked.q, asked.active, asked.trader_id, asked.status, asked.kind)


@blueprint.post("/clients")
@endpoint(
    "Register a client",
    tag="clients",
    body=ClientIn,
    response=ClientOut,
    status=201,
    needs=WRITING,
    errors=("code_taken", "invalid_code", "name_required", *WRONG_PROFILE),
    etag=True,
    description="Ask for duplicates first: what is the same is refused, what is nearly the same is yours to judge.",
)
def create_client() -> ResponseReturnValue:
    given = body(ClientIn).model_dump()
    client = clients.create(db(), given.pop("code"), given.pop("name"), principal(), now(), **given)
    return tagged(shown(client), 201)


@blueprint.get("/clients/duplicates")
@endpoint(
    "Find clients that may be the same",
    tag="clients",
    query=DuplicateQuery,
    response=DuplicateOut,
    many=True,
    needs=WRITING,
    errors=(
        "identity_format",
        "identity_check_digit",
        "identity_country",
        "account_format",
        "account_check_digit",
        "unknown_country",
        "required",
        "invalid_id",
        "invisible",
    ),
    description="By document, address, bank account or a name that is nearly the same; at most 20, the likeliest "
    "first.",
)
def list_duplicates() -> ResponseReturnValue:
    asked = query(DuplicateQuery)
    wanted = client_duplicates.Wanted(
        name=asked.name,
        identity=None if asked.identity_type is None else client_profiles.identity_of(asked.model_dump()),
        email=asked.email,
        apart_from=asked.apart_from,
    )
    if asked.account_scheme is not None and asked.account_number is not None:
        try:
            wanted = replace(wanted, account=check_account(asked.account_scheme, asked.account_number))
        except InvalidIdentifier as error:
            raise Invalid.field("account_number", error.code, str(error), asked.account_number) from error
    return whole(client_duplicates.find(db(), wanted, principal()))


@blueprint.get("/clients/<ref>")
@endpoint("Get a client by id or code", tag="clients", response=ClientOut, needs=READING, etag=True)
def get_client(ref: str) -> ResponseReturnValue:
    return tagged(shown(access.client(db(), principal(), ref, READ)))


@blueprint.patch("/clients/<ref>")
@endpoint(
    "Change a client",
    tag="clients",
    body=ClientPatch,
    response=ClientOut,
    needs=WRITING,
    if_match=True,
    etag=True,
    errors=("client_blocked", *WRONG_PROFILE),
)
def change_client(ref: str) -> ResponseReturnValue:
    changes = body(ClientPatch).model_dump(exclude_unset=True)
    client = _locked(ref)
    check_version(client.version)
    _put_out(clients.update(db(), client, changes, principal(), now()))
    return tagged(shown(client))


@blueprint.post("/clients/<ref>/block")
@endpoint(
    "Block a client",
    tag="clients",
    body=BlockIn,
    response=ClientOut,
    needs=WRITING,
    etag=True,
    if_match=True,
    errors=("unchanged", "invisible"),
    description="Its people are signed out, its keys are refused, its orders are rejected, until it is unblocked. "
    "For management: a trader may not.",
)
def block_client(ref: str) -> ResponseReturnValue:
    reason = body(BlockIn).reason
    client = _locked(ref)
    check_version(client.version)
    _put_out(clients.block(db(), client, reason, principal(), now()))
    return tagged(shown(client))


@blueprint.post("/clients/<ref>/unblock")
@endpoint(
    "Unblock a client",
    tag="clients",
    body=Empty,
    response=ClientOut,
    needs=WRITING,
    etag=True,
    if_match=True,
    errors=("unchanged",),
    description="The client may act again. For management: a trader may not.",
)
def unblock_client(ref: str) -> ResponseReturnValue:
    body(Empty)
    client = _locked(ref)
    check_version(client.version)
    clients.unblock(db(), client, principal(), now())
    return tagged(shown(client))


@blueprint.get("/clients/<ref>/related-persons")
@endpoint(
    "Who stands behind a company",
    tag="clients",
    response=RelatedPersonOut,
    many=True,
    needs=READING,
    description="Who represents it, then who owns more than a quarter of it.",
)
def list_related_persons(ref: str) -> ResponseReturnValue:
    return whole(related_persons.of_client(db(), access.client(db(), principal(), ref, READ)))


@blueprint.put("/clients/<ref>/related-persons")
@endpoint(
    "Name those who stand behind a company",
    tag="clients",
    body=RelatedPersonsIn,
    response=RelatedPersonOut,
    many=True,
    needs=WRITING,
    if_match=True,
    errors=(
        "companies_only",
        "identity_format",
        "identity_check_digit",
        "identity_country",
        "identity_unsuitable",
        "share_out_of_range",
        "unknown_country",
        "repeated",
        "invisible",
    ),
    description="Replaces all of them. If-Match names the client's version, which grows.",
)
def set_related_persons(ref: str) -> ResponseReturnValue:
    given = body(RelatedPersonsIn)
    client = _locked(ref)
    check_version(client.version)
    persons = [related_persons.Person(**item.model_dump()) for item in given.items]
    return whole(related_persons.put(db(), client, persons, principal(), now()))


def _locked(ref: str) -> Client:
    client = access.client(db(), principal(), ref, WRITE)
    clients.lock(db(), client)
    return client


def _put_out(dismissed: clients.Dismissed) -> None:
    """End the open sockets of those who are out, once that is stored."""
    for user in dismissed.users:
        after_commit(db(), partial(disconnect_sockets, user=user))
    for key in dismissed.keys:
        after_commit(db(), partial(disconnect_sockets, key=key))

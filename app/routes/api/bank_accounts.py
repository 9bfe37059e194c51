"""Where clients are paid, over JSON."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, WRITE, Resource
from app.routes.access import endpoint, needs_fresh_proof, principal
from app.routes.request import body, db, now, services, tagged
from app.schemas.bank_accounts import BankAccountIn, BankAccountOut
from app.schemas.system import Empty
from app.services import access, bank_accounts
from app.services.bank_accounts import NewAccount

from . import blueprint, whole

READING, WRITING = (Resource.BANK_ACCOUNTS, READ), (Resource.BANK_ACCOUNTS, WRITE)


@blueprint.get("/clients/<ref>/bank-accounts")
@endpoint(
    "Bank accounts of a client",
    tag="funding",
    response=BankAccountOut,
    many=True,
    needs=READING,
    description="Those that are in use or wait to be confirmed, by currency, the default one first.",
)
def list_bank_accounts(ref: str) -> ResponseReturnValue:
    client = access.client(db(), principal(), ref, READ, Resource.BANK_ACCOUNTS)
    return whole([bank_accounts.show(account) for account in bank_accounts.of_client(db(), client)])


@blueprint.post("/clients/<ref>/bank-accounts")
@endpoint(
    "Add a bank account of a client",
    tag="funding",
    body=BankAccountIn,
    response=BankAccountOut,
    status=201,
    needs=WRITING,
    etag=True,
    session_only=True,
    errors=(
        "account_format",
        "account_check_digit",
        "unknown_currency",
        "account_known",
        "invisible",
        "proof_required",
    ),
    description="For people alone, who have proved lately who they are. The account waits for a second person of the "
    "firm, and is paid to only from usable_from on. The client is told by mail.",
)
@needs_fresh_proof
def add_bank_account(ref: str) -> ResponseReturnValue:
    given = body(BankAccountIn)
    client = access.client(db(), principal(), ref, WRITE, Resource.BANK_ACCOUNTS)
    account = services().bank_accounts.add(
        db(), client, NewAccount(**given.model_dump()), principal(), now(), request.remote_addr
    )
    return tagged(bank_accounts.show(account), 201)


@blueprint.get("/bank-accounts/<account_id>")
@endpoint("Get a bank account", tag="funding", response=BankAccountOut, needs=READING, etag=True)
def get_bank_account(account_id: str) -> ResponseReturnValue:
    return tagged(bank_accounts.show(access.bank_account(db(), principal(), account_id, READ)))


@blueprint.post("/bank-accounts/<account_id>/make-default")
@endpoint(
    "Make it the client's first choice in its currency",
    tag="funding",
    body=Empty,
    response=BankAccountOut,
    needs=WRITING,
    etag=True,
    errors=("account_not_usable", "unchanged"),
)
def make_default_bank_account(account_id: str) -> ResponseReturnValue:
    body(Empty)
    account = access.bank_account(db(), principal(), account_id, WRITE)
    bank_accounts.make_default(db(), account, principal(), now(), request.remote_addr)
    return tagged(bank_accounts.show(account))


@blueprint.delete("/bank-accounts/<account_id>")
@endpoint(
    "Take a bank account out of use",
    tag="funding",
    response=BankAccountOut,
    needs=WRITING,
    errors=("account_in_use", "unchanged"),
    description="Not while a withdrawal to it is open.",
)
def remove_bank_account(account_id: str) -> ResponseReturnValue:
    account = access.bank_account(db(), principal(), account_id, WRITE)
    bank_accounts.remove(db(), account, principal(), now(), request.remote_addr)
    return bank_accounts.show(account)

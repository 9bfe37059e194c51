"""Wallets over JSON: open, see, limit, pause."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from app.core.clock import iso
from app.core.errors import Invalid
from app.core.permissions import READ, WRITE, Resource
from app.models import Wallet
from app.routes.access import endpoint, principal
from app.routes.request import body, check_version, db, named_client, now, query, services, tagged
from app.schemas.orders import PageQuery
from app.schemas.wallets import (
    BalanceQuery,
    BalancesOut,
    MovementOut,
    PauseIn,
    WalletIn,
    WalletOut,
    WalletPatch,
    WalletQuery,
)
from app.services import access, journal_reports, wallets

from . import blueprint, page

READING, WRITING = (Resource.WALLETS, READ), (Resource.WALLETS, WRITE)
STOPPING = (WRITING, (Resource.ORDERS, WRITE))  # whoever may trade a wallet may also stop it


@blueprint.get("/wallets")
@endpoint("List wallets", tag="wallets", query=WalletQuery, response=WalletOut, many=True, needs=READING)
def list_wallets() -> ResponseReturnValue:
    asked = query(WalletQuery)
    ref = named_client(asked.client_id)
    client_id = None if ref is None else access.client(db(), principal(), ref, READ, Resource.WALLETS).id
    found, total = wallets.search(db(), principal(), client_id, asked.limit, asked.offset)
    return page([wallets.show(wallet) for wallet in found], total, asked.limit, asked.offset)


@blueprint.post("/wallets")
@endpoint(
    "Open a paper wallet",
    tag="wallets",
    body=WalletIn,
    response=WalletOut,
    status=201,
    needs=WRITING,
    errors=("unknown_asset", "required", "invisible"),
    etag=True,
)
def create_wallet() -> ResponseReturnValue:
    given = body(WalletIn)
    ref = named_client(given.client_id)
    if ref is None:
        raise Invalid.field("client_id", "required", "must name the client whose wallet it will be")
    client = access.client(db(), principal(), ref, WRITE, Resource.WALLETS)
    starting = {asset.upper(): amount for asset, amount in given.balances.items()}
    return tagged(wallets.show(wallets.create(db(), client, given.name, starting, principal(), now())), 201)


@blueprint.get("/wallets/<wallet_id>")
@endpoint("Get a wallet", tag="wallets", response=WalletOut, needs=READING, etag=True)
def get_wallet(wallet_id: str) -> ResponseReturnValue:
    return tagged(wallets.show(access.wallet(db(), principal(), wallet_id, READ)))


@blueprint.patch("/wallets/<wallet_id>")
@endpoint(
    "Change name, limits and default exits",
    tag="wallets",
    body=WalletPatch,
    response=WalletOut,
    needs=WRITING,
    if_match=True,
    etag=True,
    errors=("required", "invisible", "unknown_instrument"),
)
def change_wallet(wallet_id: str) -> ResponseReturnValue:
    changes = body(WalletPatch).model_dump(exclude_unset=True)
    wallet = access.wallet(db(), principal(), wallet_id, WRITE, lock=True)
    check_version(wallet.version)
    for name in ("allowed_symbols", "blocked_symbols"):
        if changes.get(name) is not None:
            changes[name] = sorted({services().orders.resolve(symbol).symbol for symbol in changes[name]})
    wallets.update(db(), wallet, changes, principal(), now())
    return tagged(wallets.show(wallet))


def _stoppable(wallet_id: str) -> Wallet:
    by_right = Resource.WALLETS if principal().reach(*WRITING) else Resource.ORDERS
    return access.wallet(db(), principal(), wallet_id, WRITE, by_right, lock=True)


@blueprint.post("/wallets/<wallet_id>/pause")
@endpoint(
    "Stop new orders; exits stay armed",
    tag="wallets",
    body=PauseIn,
    response=WalletOut,
    needs=STOPPING,
    errors=("unchanged",),
    etag=True,
)
def pause_wallet(wallet_id: str) -> ResponseReturnValue:
    reason, wallet = body(PauseIn).reason, _stoppable(wallet_id)
    wallets.set_status(db(), wallet, "paused", principal(), now(), reason)
    return tagged(wallets.show(wallet))


@blueprint.post("/wallets/<wallet_id>/resume")
@endpoint(
    "Allow orders again",
    tag="wallets",
    body=PauseIn,
    response=WalletOut,
    needs=STOPPING,
    errors=("unchanged", "stopped_by_firm"),
    etag=True,
)
def resume_wallet(wallet_id: str) -> ResponseReturnValue:
    reason, wallet = body(PauseIn).reason, _stoppable(wallet_id)
    wallets.set_status(db(), wallet, "active", principal(), now(), reason)
    return tagged(wallets.show(wallet))


@blueprint.get("/wallets/<wallet_id>/balances")
@endpoint("Balances, now or at a past instant", tag="wallets", query=BalanceQuery, response=BalancesOut, needs=READING)
def balances(wallet_id: str) -> ResponseReturnValue:
    wallet, moment = access.wallet(db(), principal(), wallet_id, READ), query(BalanceQuery).as_of
    if moment is None:
        return wallets.show_balances(db(), wallet.id, services().quotes.snapshot())
    past = journal_reports.balances_as_of(db(), wallet.id, moment)
    return {"wallet_id": wallet.id, "as_of": iso(moment), "balances": past}


@blueprint.get("/wallets/<wallet_id>/movements")
@endpoint(
    "What moved a wallet's balances", tag="wallets", query=PageQuery, response=MovementOut, many=True, needs=READING
)
def movements(wallet_id: str) -> ResponseReturnValue:
    asked = query(PageQuery)
    wallet = access.wallet(db(), principal(), wallet_id, READ)
    items, total = wallets.movements(db(), wallet.id, asked.limit, asked.offset)
    return page(items, total, asked.limit, asked.offset)

"""``flask wallets``: clients' wallets."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.core.errors import Invalid
from app.core.permissions import SYSTEM
from app.domain.money import InvalidAmount, parse_decimal, text
from app.schemas.base import validate
from app.schemas.wallets import WalletIn
from app.services import access, ledger, wallets

from .answers import prints_json, run

group = AppGroup("wallets", help="Clients' wallets.")


def _balances(given: tuple[str, ...]) -> dict[str, Decimal]:
    starting: dict[str, Decimal] = {}
    for item in given:
        asset, _, amount = item.partition("=")
        asset = asset.strip().upper()
        if asset in starting:
            raise Invalid.field("balance", "repeated", f"names {asset} twice", asset[:12])
        try:
            starting[asset] = parse_decimal(amount)
        except InvalidAmount as error:
            raise Invalid.field("balance", error.code, f"of {asset[:12]}: {error}", amount[:40]) from error
    return starting


@group.command("create")
@click.option("--client", "client_ref", required=True, help="Code or id of the client.")
@click.option("--name", default="Paper", show_default=True)
@click.option("--balance", multiple=True, metavar="ASSET=AMOUNT", help="Starting play money; may be repeated.")
@prints_json
def create(client_ref: str, name: str, balance: tuple[str, ...]) -> dict[str, Any]:
    """A new paper wallet with its starting balances."""
    starting = _balances(balance)
    given = validate(WalletIn, {"client_id": client_ref, "name": name})

    def work(session: Session, now: datetime) -> dict[str, Any]:
        client = access.client(session, SYSTEM, client_ref, "read")
        wallet = wallets.create(session, client, given.name, starting, SYSTEM, now)
        balances = ledger.balances(session, wallet.id)
        return {
            **wallets.show(wallet),
            "balances": {asset: text(amounts["available"]) for asset, amounts in balances.items()},
        }

    return run(work)

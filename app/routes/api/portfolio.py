"""A client's portfolio, and the profit of one position over time, over JSON."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from app.core.errors import Invalid
from app.core.permissions import READ, Resource
from app.routes.access import endpoint, principal
from app.routes.request import db, named_client, now, query, services
from app.schemas.portfolio import PortfolioOut, PortfolioQuery, PositionPointOut
from app.services import access, portfolio, wallets

from . import blueprint, whole
from .orders import READING


@blueprint.get("/portfolio")
@endpoint(
    "Equity, profit and trading figures of a client",
    tag="portfolio",
    query=PortfolioQuery,
    response=PortfolioOut,
    needs=(Resource.WALLETS, READ),
    errors=("required",),
)
def get_portfolio() -> ResponseReturnValue:
    asked, caller = query(PortfolioQuery), principal()
    ref = named_client(asked.client_id) or caller.client_id
    if ref is None:
        raise Invalid.field("client_id", "required", "must name the client whose portfolio it is")
    client = access.client(db(), caller, ref, READ, Resource.WALLETS)
    if asked.wallet_id is None:
        ids = wallets.ids_of_client(db(), client.id)
    else:
        ids = [access.wallet_for(db(), client, asked.wallet_id).id]
    reader = portfolio.Portfolio(db(), services().instruments, services().quotes.snapshot(), now(), ids)
    return {"client_id": client.id, "wallet_id": asked.wallet_id and ids[0], **reader.show(asked.period)}


@blueprint.get("/positions/<position_id>/curve")
@endpoint(
    "Profit of a position over time",
    tag="positions",
    response=PositionPointOut,
    many=True,
    needs=READING,
    description="At most 300 of its samples, kept for seven days, and its end. Oldest first.",
)
def position_curve(position_id: str) -> ResponseReturnValue:
    return whole(portfolio.position_curve(db(), access.position(db(), principal(), position_id, READ)))

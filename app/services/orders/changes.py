"""What an order would change of what is there already, for people to see before they confirm it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.instruments import Instrument
from app.domain.money import text
from app.domain.order_requests import OrderRequest
from app.domain.positions import PositionState
from app.domain.protection import Protection
from app.models import Position, Wallet, table_of

positions = table_of(Position)
_LEGS = {
    "stop_loss": ("STOP_LOSS_CHANGES", "the stop loss"),
    "take_profit": ("TAKE_PROFIT_CHANGES", "the take profit"),
    "trailing_stop": ("TRAILING_STOP_CHANGES", "the trailing stop"),
    "break_even_percent": ("BREAK_EVEN_CHANGES", "the break-even"),
}


def exit_changes(
    session: Session, wallet: Wallet, request: OrderRequest, instrument: Instrument
) -> list[dict[str, Any]]:
    """The exits that the order's first fill would change for the whole position, or that defaults would add.

    Each with a code, a sentence and its values: ``from`` (null where there is none) and ``to`` for a position
    that is open, ``percent`` for a default of the wallet.
    """
    if not request.opens:
        return []
    wanted = request.protection
    query = sa.select(positions).where(
        positions.c.wallet_id == wallet.id,
        positions.c.instrument_id == instrument.id,
        positions.c.status != "CLOSED",
    )
    row = session.execute(query).mappings().first()
    if row is None:
        return _defaults(wallet, wanted)
    position = PositionState.of(row)
    before, after = position.protection.to_json(), wanted.over(position.protection).to_json()
    return [
        {
            "code": code,
            "message": f"{name} of the whole position changes from {_said(before[leg])} to {_said(after[leg])}",
            "values": {
                "from": before[leg],
                "to": after[leg],
                "position_id": position.id,
                "position_qty": text(position.qty),
            },
        }
        for leg, (code, name) in _LEGS.items()
        if before[leg] != after[leg]
    ]


def _defaults(wallet: Wallet, wanted: Protection) -> list[dict[str, Any]]:
    """The wallet's own exits, which a new position gets where the order names none."""
    legs: list[tuple[str, str, Decimal | None, Decimal | None]] = [
        ("DEFAULT_STOP_LOSS", "stop loss", wanted.stop_loss, wallet.default_stop_loss_percent),
        ("DEFAULT_TAKE_PROFIT", "take profit", wanted.take_profit, wallet.default_take_profit_percent),
    ]
    return [
        {
            "code": code,
            "message": f"the wallet's default {name} of {text(percent)} % applies",
            "values": {"percent": text(percent)},
        }
        for code, name, named, percent in legs
        if named is None and percent is not None
    ]


def _said(leg: Any) -> str:
    if leg is None:
        return "none"
    return f"{leg['value']} {leg['type']}" if isinstance(leg, dict) else str(leg)

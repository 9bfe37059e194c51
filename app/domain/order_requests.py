"""An order as its sender wants it, whoever that is, and the same with everything about it worked out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .instruments import Instrument
from .orders import OrderSource, OrderType, Side, TimeInForce, opens
from .positions import PositionState
from .protection import Protection
from .quotes import Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a person, a program, a close or the engine asks for. Only ids: what decides is read under its lock.

    Exactly one of ``qty`` (base currency) and ``quote_qty`` (quote currency, market buys) is given; ``price`` is
    in quote currency. ``body_hash`` tells whether two requests under one ``client_order_id`` say the same.
    """

    wallet_id: str
    symbol: str  # any known form
    side: Side
    type: OrderType
    created_by: str  # user:<id>, key:<id>, engine or system
    source: OrderSource
    qty: Decimal | None = None
    quote_qty: Decimal | None = None
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    post_only: bool = False
    protection: Protection = field(default_factory=Protection)
    client_order_id: str | None = None
    body_hash: str | None = None
    strategy: dict[str, Any] | None = None
    key_id: str | None = None  # a key that has to be good still when the order is stored
    position_id: str | None = None  # the locked position it closes, with the reason
    exit_reason: str | None = None
    trigger_key: str | None = None  # of the level that fired; the database takes one order for each

    @property
    def opens(self) -> bool:
        return opens(self.side, reduce_only=self.reduce_only)


def body_hash(said: str) -> str:
    """SHA-256 of what a sender said, as 64 hexadecimal digits."""
    return hashlib.sha256(said.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Settings of order entry. ``protection_bps``: how far a market order may execute from the quote.

    ``venues`` names the venue at which each platform's wallets trade.
    """

    venues: Mapping[str, str] = field(default_factory=lambda: {"paper": "SIM"})
    protection_bps: Decimal = Decimal(100)
    max_orders_per_second: int | None = None  # per wallet


@dataclass(frozen=True, slots=True)
class Draft:
    """A request with everything about it worked out, before any row is locked.

    ``reserve`` is what has to be held, in ``spend_currency``; ``protection_px`` the worst price of a market buy.
    """

    instrument: Instrument
    qty: Decimal
    price: Decimal | None
    protection_px: Decimal | None
    reference: Decimal | None
    reserve: Decimal
    spend_currency: str
    quote: Quote | None


def exit_of(
    position: PositionState,
    instrument: Instrument,
    qty: Decimal,
    reason: str | None,
    *,
    created_by: str,
    source: OrderSource,
    **more: Any,
) -> OrderRequest:
    """The market order that takes ``qty`` (base currency) out of a position."""
    return OrderRequest(
        wallet_id=position.wallet_id,
        symbol=instrument.symbol,
        side=position.exit_side,
        type=OrderType.MARKET,
        qty=qty,
        reduce_only=True,
        position_id=position.id,
        exit_reason=reason,
        created_by=created_by,
        source=source,
        **more,
    )

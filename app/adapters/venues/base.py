"""What the engine needs from a venue, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from app.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from app.domain.quotes import Quote


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue is told about it; prices in quote currency. ``id`` becomes ClOrdID."""

    id: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    qty: Decimal
    price: Decimal | None  # of a LIMIT; for a MARKET order its protection price, if any
    time_in_force: TimeInForce
    post_only: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """What the venue is given to rebuild its state after a restart."""

    order: VenueOrder
    cum_qty: Decimal
    cum_value: Decimal
    fills: int
    status: OrderStatus


@dataclass(frozen=True, slots=True)
class Report:
    """One message from the venue, decoded. ``kind`` is what it says about the order ``order_id``."""

    kind: str  # new, fill, canceled, replaced, rejected, expired, cancel_rejected, replace_rejected, status
    order_id: str
    raw: bytes
    at: datetime
    venue_order_id: str | None = None
    status: OrderStatus | None = None
    trade_id: str | None = None
    qty: Decimal | None = None
    price: Decimal | None = None
    maker: bool = False
    reason_code: str | None = None
    reason: str | None = None
    known: bool = True  # False: the venue has never heard of the order
    msg_type: str = "8"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to the venue, kept in ``fix_messages`` before it leaves."""

    order_id: str
    msg_type: str
    raw: bytes


class Venue(Protocol):
    """Messages are made first, stored by the engine, and only then sent."""

    name: str

    def new_order(self, order: VenueOrder, now: datetime) -> Outgoing: ...
    def cancel(self, order: VenueOrder, request: int, now: datetime) -> Outgoing: ...
    def replace(
        self, order: VenueOrder, request: int, qty: Decimal, price: Decimal | None, now: datetime
    ) -> Outgoing: ...
    def status(self, order: VenueOrder, now: datetime) -> Outgoing: ...
    def send(self, messages: list[Outgoing], now: datetime) -> None: ...
    def reports(self, now: datetime) -> list[Report]: ...
    def next_due(self) -> datetime | None: ...
    def on_quote(self, quote: Quote, now: datetime) -> None: ...
    def restore(self, orders: list[RestingOrder], now: datetime) -> None: ...

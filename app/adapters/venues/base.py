"""What the engine needs from a venue, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from app.domain.orders import OrderType, Side, TimeInForce
from app.domain.reports import Report


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue is told about it; prices in quote currency."""

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
    """What a simulated venue is given to rebuild its state after a restart."""

    order: VenueOrder
    cum_qty: Decimal
    cum_value: Decimal
    fills: int


class Gateway(Protocol):
    """The way to one venue. No call blocks: a remote gateway queues and sends from a thread of its own.

    Every request carries a ClOrdID. ``reports`` returns what has come back since the last call, ``Sent``
    for what was handed over included; the same report may come twice, late, or never.
    """

    name: str
    works_alone: bool  # executes while we are away: after a recovery every live order is asked about
    answers_within: timedelta  # a request without an answer for so long is UNKNOWN

    def submit(self, order: VenueOrder, cl_ord_id: str) -> None: ...
    def cancel(self, order: VenueOrder, cl_ord_id: str) -> None: ...
    def replace(self, order: VenueOrder, cl_ord_id: str, qty: Decimal, price: Decimal | None) -> None: ...
    def query(self, order: VenueOrder, cl_ord_id: str) -> None: ...

    def reports(self) -> list[Report]: ...

    def seconds_until_due(self) -> float | None:
        """When ``reports`` will have something without being asked anything; None when nobody knows."""

"""What a venue says about an order, typed. FIX names; prices in the instrument's quote currency.

``message`` is the report as it travelled, for the record. ``cl_ord_id`` is the request it answers, where
the venue says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from .orders import OrderStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    order_id: str
    at: datetime  # the venue's time
    cl_ord_id: str | None = None
    msg_type: str = ""
    message: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Report):
    """The gateway has handed the request over; ``message`` is what it sent, ``answer_by`` its deadline."""

    answer_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered(Report):
    """Nothing came back by the request's deadline: nobody knows what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Report):
    venue_order_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected(Report):
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill(Report):
    """One execution. ``leaves_qty`` is what the venue still works after it, where it says so."""

    trade_id: str
    qty: Decimal
    price: Decimal
    maker: bool = False
    leaves_qty: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced(Report):
    qty: Decimal
    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Report):
    """The venue works the order no more. ``cum_qty`` is what it filled until then, where it says so."""

    reason: str | None = None
    cum_qty: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled(Ended): ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired(Ended): ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRejected(Report):
    """``known``: whether the venue knows the order at all; ``status`` what it is there, where it says so."""

    known: bool = True
    status: OrderStatus | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRejected(RequestRejected): ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceRejected(RequestRejected): ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSnapshot(Report):
    """The venue's answer to a query. ``fills`` are all it knows of, however often they were reported before."""

    known: bool
    status: OrderStatus | None = None
    venue_order_id: str | None = None
    qty: Decimal | None = None
    price: Decimal | None = None
    cum_qty: Decimal | None = None
    reason: str | None = None
    fills: tuple[Fill, ...] = ()

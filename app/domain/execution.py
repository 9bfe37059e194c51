"""What a venue's report does to an order: one pure rule for every report in every status.

``apply`` neither reads nor writes anything: it gets the order as it is and returns the order as it will
be, what has to be asked of the venue, and what somebody should look at. Money follows in ``settlement``.
Reports may come twice, late and in any order; what contradicts itself raises ``Contradiction``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from .money import ZERO
from .orders import TERMINAL, OrderStatus, OrderType, Side, check_transition, opens
from .reports import (
    Accepted,
    Canceled,
    CancelRejected,
    Ended,
    Expired,
    Fill,
    OrderSnapshot,
    Rejected,
    Replaced,
    ReplaceRejected,
    Report,
    RequestRejected,
    Sent,
    Unanswered,
)
from .requests import RequestKind
from .risk import reserve_for

S = OrderStatus
_WAITING: Final = frozenset({S.PENDING_CANCEL, S.PENDING_REPLACE, S.UNKNOWN})
_ACKNOWLEDGED: Final = frozenset({S.OPEN, S.PARTIALLY_FILLED, S.PENDING_REPLACE})
_PRICE_SCALE: Final = 18


class Contradiction(Exception):
    """A report that cannot be true of the order as we know it; it is parked for a person."""


class OrderState(NamedTuple):
    """An order's row. Amounts in the instrument's quote currency, ``held`` in ``hold_currency``.

    ``pending_qty`` and ``pending_price`` are what a replace asks for while it travels.
    """

    id: str
    client_id: str
    wallet_id: str
    instrument_id: int
    side: Side
    type: OrderType
    time_in_force: str
    qty: Decimal
    leaves_qty: Decimal
    hold_currency: str
    held: Decimal
    venue: str
    source: str
    created_by: str
    created_at: datetime
    client_order_id: str | None = None
    body_hash: str | None = None
    quote_qty: Decimal | None = None
    price: Decimal | None = None
    protection_px: Decimal | None = None
    expires_at: datetime | None = None
    reduce_only: bool = False
    post_only: bool = False
    protection: Any = None
    position_id: str | None = None
    exit_reason: str | None = None
    trigger_key: str | None = None
    status: OrderStatus = S.NEW
    version: int = 1
    cum_qty: Decimal = ZERO
    avg_px: Decimal | None = None
    cum_value: Decimal = ZERO
    fees: Decimal = ZERO
    pending_qty: Decimal | None = None
    pending_price: Decimal | None = None
    reject_code: str | None = None
    reject_reason: str | None = None
    reject_values: Any = None
    venue_order_id: str | None = None
    strategy: Any = None
    submitted_at: datetime | None = None
    first_fill_at: datetime | None = None
    last_fill_at: datetime | None = None
    closed_at: datetime | None = None

    @classmethod
    def of(cls, row: Any) -> OrderState:
        """From a row of ``orders``, by column name."""
        found = cls._make([row[name] for name in cls._fields])
        return found._replace(status=S(found.status), side=Side(found.side), type=OrderType(found.type))

    def row(self) -> dict[str, Any]:
        return self._asdict() | {"status": self.status.value, "side": self.side.value, "type": self.type.value}

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def opens(self) -> bool:
        return opens(self.side, reduce_only=self.reduce_only)

    @property
    def worst_price(self) -> Decimal:
        """The worst price it may execute at; zero where nothing limits it."""
        return self.price or self.protection_px or ZERO

    def needed_hold(self, taker_rate: Decimal, scale: int) -> Decimal:
        """What has to stay held: nothing once it has ended; while a replace travels, for either terms.

        ``scale`` is the quote currency's.
        """
        if self.terminal:
            return ZERO
        needed = reserve_for(self.side, self.leaves_qty, self.worst_price, taker_rate, scale)
        if self.pending_qty is not None and self.pending_qty > self.cum_qty:
            price = self.pending_price or self.worst_price
            pending = reserve_for(self.side, self.pending_qty - self.cum_qty, price, taker_rate, scale)
            needed = max(needed, pending)
        return needed


ORDER_COLUMNS: Final = OrderState._fields


@dataclass(frozen=True, slots=True)
class Applied:
    """``moved``: the status step to be told, with ``reason``; ``ask`` goes to the venue after the commit."""

    order: OrderState
    moved: bool = False
    reason: str | None = None
    ask: RequestKind | None = None
    alert: tuple[str, str] | None = None  # code and sentence


def move(order: OrderState, wanted: OrderStatus, now: datetime, **changes: Any) -> OrderState:
    """The one way to another status. Raises ``IllegalTransition``."""
    check_transition(order.id, order.status, wanted)
    if wanted in TERMINAL:
        changes |= {"leaves_qty": ZERO, "closed_at": order.closed_at or now, "pending_qty": None, "pending_price": None}
    return order._replace(status=wanted, version=order.version + 1, **changes)


def apply(order: OrderState, report: Report, asked: frozenset[RequestKind], now: datetime) -> Applied:
    """What the order is after a report. ``asked`` are the kinds of its requests that have no answer yet.

    Raises ``Contradiction`` and ``IllegalTransition``.
    """
    return _RULES[type(report)](order, report, asked, now)


def _working(order: OrderState, now: datetime, **changes: Any) -> OrderState:
    """Back at work at the venue, no replace travels: filled, filled in part or open, by its quantities."""
    changed = order._replace(**{"pending_qty": None, "pending_price": None, **changes})
    changed = changed._replace(leaves_qty=changed.qty - changed.cum_qty)
    if not changed.leaves_qty:
        return move(changed, S.FILLED, now)
    return move(changed, S.PARTIALLY_FILLED if changed.cum_qty else S.OPEN, now)


def _sent(order: OrderState, report: Sent, _asked: frozenset[RequestKind], now: datetime) -> Applied:
    if report.cl_ord_id != order.id:
        return Applied(order)
    # a cancel may have come in between: it was sent all the same
    order = order._replace(submitted_at=order.submitted_at or report.at)
    resent = order.status is S.UNKNOWN and order.venue_order_id is None
    if order.status is S.PENDING_SEND or resent:
        return Applied(move(order, S.SENT, now), moved=True)
    return Applied(order)


def _unanswered(order: OrderState, _report: Unanswered, _asked: frozenset[RequestKind], now: datetime) -> Applied:
    if order.terminal:
        return Applied(order)
    if order.status is S.UNKNOWN:
        return Applied(order, ask=RequestKind.QUERY)
    return Applied(move(order, S.UNKNOWN, now), moved=True, reason="the venue does not answer", ask=RequestKind.QUERY)


def _accepted(order: OrderState, report: Accepted, asked: frozenset[RequestKind], now: datetime) -> Applied:
    first = order.venue_order_id is None
    if first and order.status in (S.CANCELED, S.FAILED):
        # ended in the belief that it had never arrived: it must not be worked for nobody
        return Applied(order._replace(venue_order_id=report.venue_order_id), ask=RequestKind.CANCEL)
    order = order._replace(venue_order_id=order.venue_order_id or report.venue_order_id)
    if order.status in (S.PENDING_SEND, S.SENT) or (order.status is S.UNKNOWN and first):
        if RequestKind.CANCEL in asked:
            return Applied(move(order, S.PENDING_CANCEL, now), moved=True)
        return Applied(_working(order, now), moved=True)
    return Applied(order)


def _fill(order: OrderState, report: Fill, _asked: frozenset[RequestKind], now: datetime) -> Applied:
    late, alert = order.terminal, None
    cum = order.cum_qty + report.qty
    if late:
        alert = ("late_fill", f"order {order.id} was filled after its end")
    changes: dict[str, Any] = {
        "cum_qty": cum,
        # exact until stored; 18 decimals are kept
        "avg_px": round(((order.avg_px or ZERO) * order.cum_qty + report.qty * report.price) / cum, _PRICE_SCALE),
        "first_fill_at": order.first_fill_at or report.at,
        "last_fill_at": report.at,
    }
    status = order.status
    if cum > order.qty and order.pending_qty is not None and order.pending_qty >= cum:
        # it overtook the word that the venue has replaced the order
        changes |= {"qty": order.pending_qty, "price": order.pending_price or order.price}
        changes |= {"pending_qty": None, "pending_price": None}
        status = S.PARTIALLY_FILLED if status is S.PENDING_REPLACE else status
    elif cum > order.qty:
        alert = ("overfilled", f"the venue filled {cum} of order {order.id} for {order.qty}")
        changes["qty"] = cum
    order = order._replace(**changes)
    leaves = order.qty - cum
    order = order._replace(leaves_qty=ZERO if late else leaves)
    more_travels = order.pending_qty is not None and order.pending_qty > cum and report.leaves_qty != ZERO
    if not leaves and (late or not more_travels):
        return Applied(move(order, S.FILLED, now), moved=True, alert=alert)
    if late or status in _WAITING:
        return Applied(move(order, status, now), moved=True, reason="filled in part", alert=alert)
    return Applied(move(order, S.PARTIALLY_FILLED, now), moved=True, alert=alert)


def _rejected(order: OrderState, report: Rejected, _asked: frozenset[RequestKind], now: datetime) -> Applied:
    if order.terminal:
        return Applied(order)  # said twice
    code, reason = report.code or "VENUE_REJECTED", (report.reason or "")[:300] or None
    changed = _end(order, S.REJECTED, now, reject_code=code, reject_reason=reason)
    return Applied(changed, moved=True, reason=reason)


def _end(order: OrderState, wanted: OrderStatus, now: datetime, **changes: Any) -> OrderState:
    """The venue works it no more. What is filled does not end otherwise: then a replace had reached the venue."""
    if order.cum_qty == order.qty:
        changes |= {"qty": order.pending_qty or order.qty, "price": order.pending_price or order.price}
    return move(order, wanted, now, **changes)


def _ended(order: OrderState, report: Ended, _asked: frozenset[RequestKind], now: datetime) -> Applied:
    if order.terminal:
        return Applied(order)
    if report.cum_qty is not None and report.cum_qty > order.cum_qty:
        return _missing_fills(order, now)
    wanted = S.EXPIRED if isinstance(report, Expired) else S.CANCELED
    return Applied(_end(order, wanted, now), moved=True, reason=report.reason)


def _missing_fills(order: OrderState, now: datetime) -> Applied:
    """The venue has filled more than it has told: the hold stays until the fills are here."""
    if order.status is S.UNKNOWN:
        return Applied(order)  # it is asked again by the clock, not in a circle
    return Applied(move(order, S.UNKNOWN, now), moved=True, reason="fills are missing", ask=RequestKind.QUERY)


def _replaced(order: OrderState, report: Replaced, _asked: frozenset[RequestKind], now: datetime) -> Applied:
    if order.terminal:
        return Applied(order)
    qty, price = max(report.qty, order.cum_qty), order.price if report.price is None else report.price
    if order.pending_qty is None and (qty, price) == (order.qty, order.price):
        return Applied(order)  # said twice, or a fill has told it already
    terms: dict[str, Any] = {"qty": qty, "price": price, "pending_qty": None, "pending_price": None}
    if order.status in (S.PENDING_CANCEL, S.UNKNOWN) and qty > order.cum_qty:
        changed = order._replace(**terms, leaves_qty=qty - order.cum_qty)
        return Applied(move(changed, order.status, now), moved=True, reason="replaced")
    return Applied(_working(order, now, **terms), moved=True, reason="replaced")


def _request_rejected(
    order: OrderState, report: RequestRejected, asked: frozenset[RequestKind], now: datetime
) -> Applied:
    cancel = isinstance(report, CancelRejected)
    if order.terminal or order.status not in _WAITING:
        return Applied(order)
    if not report.known:
        if cancel and order.venue_order_id is None and not order.cum_qty:
            return Applied(move(order, S.CANCELED, now), moved=True, reason="it had never reached the venue")
        return _lost(order, now)
    if not cancel:
        order = order._replace(pending_qty=None, pending_price=None)
    # where the venue has ended it, the fills or the end are still on their way, or lost
    ask = RequestKind.QUERY if report.status in TERMINAL else None
    other = RequestKind.REPLACE if cancel else RequestKind.CANCEL
    waiting = S.PENDING_REPLACE if cancel else S.PENDING_CANCEL
    # the status alone, where somebody has asked and the engine has not sent it yet
    goes_on = order.pending_qty is not None if cancel else bool(order.leaves_qty)
    if goes_on and (order.status is waiting or other in asked):
        if order.status is waiting:
            return Applied(order, ask=ask)
        return Applied(move(order, waiting, now), moved=True, reason=report.reason, ask=ask)
    return Applied(_working(order, now), moved=True, reason=report.reason, ask=ask)


def _lost(order: OrderState, now: datetime) -> Applied:
    if order.status is S.UNKNOWN:
        return Applied(order)
    return Applied(move(order, S.UNKNOWN, now), moved=True, reason="the venue does not know it", ask=RequestKind.QUERY)


def _snapshot(order: OrderState, report: OrderSnapshot, asked: frozenset[RequestKind], now: datetime) -> Applied:
    """After its fills: what the venue has decides; what never arrived there is sent again."""
    if order.terminal:
        return Applied(order)
    if not report.known:
        return _never_arrived(order, asked, now)
    before = order = order._replace(venue_order_id=order.venue_order_id or report.venue_order_id)
    told = report.cum_qty
    if told is None and report.status is S.FILLED:
        told = report.qty or order.qty
    if told is not None and told > order.cum_qty:
        return _missing_fills(order, now)
    if report.status is S.FILLED and not order.cum_qty:
        raise Contradiction(f"the venue has filled order {order.id} with nothing")
    if report.status in (S.CANCELED, S.EXPIRED, S.REJECTED):
        reject = {"reject_code": "VENUE_REJECTED", "reject_reason": report.reason}
        changes = reject if report.status is S.REJECTED else {}
        return Applied(_end(order, report.status, now, **changes), moved=True, reason=report.reason)
    qty, price = report.qty or order.qty, report.price or order.price
    adopted = order.pending_qty is not None and (qty, price) == (order.pending_qty, order.pending_price or order.price)
    # what somebody has asked and the engine has not sent yet is told by the status alone
    replaces = RequestKind.REPLACE in asked or order.status is S.PENDING_REPLACE
    cancels = RequestKind.CANCEL in asked or order.status is S.PENDING_CANCEL
    if adopted or not replaces:
        order = order._replace(pending_qty=None, pending_price=None)
    if report.status is S.FILLED:
        qty = order.cum_qty  # all its fills are here, whatever we thought its quantity was
    order = order._replace(qty=max(qty, order.cum_qty), price=price)
    order = order._replace(leaves_qty=order.qty - order.cum_qty)
    if order.leaves_qty and cancels:
        return _again(before, order, S.PENDING_CANCEL, RequestKind.CANCEL, now)
    if order.leaves_qty and order.pending_qty is not None:
        return _again(before, order, S.PENDING_REPLACE, RequestKind.REPLACE, now)
    wanted = S.PARTIALLY_FILLED if order.cum_qty else S.OPEN
    if order.leaves_qty and order == before and order.status is wanted:
        return Applied(order)
    return Applied(_working(order, now), moved=True)


def _again(before: OrderState, order: OrderState, wanted: OrderStatus, ask: RequestKind, now: datetime) -> Applied:
    """The venue works it and has not had our request: it is sent again."""
    if order == before and order.status is wanted:
        return Applied(order, ask=ask)
    return Applied(move(order, wanted, now), moved=True, ask=ask)


def _never_arrived(order: OrderState, asked: frozenset[RequestKind], now: datetime) -> Applied:
    if order.venue_order_id is not None or order.cum_qty or order.status in _ACKNOWLEDGED:
        raise Contradiction(f"the venue had order {order.id} and knows it no more")
    if RequestKind.CANCEL in asked or order.status is S.PENDING_CANCEL:
        return Applied(move(order, S.CANCELED, now), moved=True, reason="it had never reached the venue")
    return Applied(order, ask=RequestKind.SUBMIT)


_RULES: Final[dict[type[Report], Callable[..., Applied]]] = {
    Sent: _sent,
    Unanswered: _unanswered,
    Accepted: _accepted,
    Fill: _fill,
    Rejected: _rejected,
    Canceled: _ended,
    Expired: _ended,
    Replaced: _replaced,
    CancelRejected: _request_rejected,
    ReplaceRejected: _request_rejected,
    OrderSnapshot: _snapshot,
}


__all__ = ["ORDER_COLUMNS", "Applied", "Contradiction", "OrderState", "apply", "move"]

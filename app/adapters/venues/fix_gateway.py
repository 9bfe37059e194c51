"""Our side of a venue that speaks FIX 4.4: requests become messages, messages become typed reports."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol

from app.core.clock import Clock
from app.domain.orders import OrderStatus
from app.domain.reports import (
    Accepted,
    Canceled,
    CancelRejected,
    Expired,
    Fill,
    OrderSnapshot,
    Rejected,
    Replaced,
    ReplaceRejected,
    Report,
    Sent,
)
from app.domain.requests import order_of

from . import fix
from .base import VenueOrder

log = logging.getLogger(__name__)
ORD_STATUS: Final = {
    "0": OrderStatus.OPEN,
    "1": OrderStatus.PARTIALLY_FILLED,
    "2": OrderStatus.FILLED,
    "4": OrderStatus.CANCELED,
    "8": OrderStatus.REJECTED,
    "C": OrderStatus.EXPIRED,
}
UNKNOWN_ORDER: Final = "5"  # OrdRejReason(103)
UNKNOWN_TO_CANCEL: Final = "1"  # CxlRejReason(102)
_REFUSED: Final[dict[str, type[Rejected] | type[CancelRejected] | type[ReplaceRejected]]] = {
    "D": Rejected,
    "F": CancelRejected,
    "G": ReplaceRejected,
}
Body = list[tuple[int, str | Decimal | None]]


class Transport(Protocol):
    """What carries the messages of a session. In one process a queue; to a real counterparty, TCP."""

    def send(self, raw: bytes) -> None: ...
    def receive(self) -> list[bytes]: ...
    def seconds_until_due(self) -> float | None: ...


class FixGateway:
    """Encodes requests and decodes reports. The session's sequence numbers are given as messages leave."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        symbol_form: Callable[[str], str],
        clock: Clock,
        *,
        answers_within: timedelta,
        works_alone: bool,
    ) -> None:
        self.name, self.answers_within, self.works_alone = name, answers_within, works_alone
        self.unreadable = 0
        self._transport, self._symbol_form, self._clock = transport, symbol_form, clock
        self._session = fix.FixSession("CAMBISTA", f"{name}VENUE")
        self._handed_over: list[Report] = []

    # -- requests ----------------------------------------------------------------------------------------

    def submit(self, order: VenueOrder, cl_ord_id: str) -> None:
        body: Body = [
            (11, cl_ord_id),
            (1, order.account),
            (18, "6" if order.post_only else None),  # ExecInst 6: participate, do not initiate
            *self._order_fields(order),
            (38, order.qty),
            (40, fix.ORD_TYPE[order.type]),
            (44, order.price),
            (59, fix.TIME_IN_FORCE[order.time_in_force]),
        ]
        self._send("D", order, cl_ord_id, body)

    def cancel(self, order: VenueOrder, cl_ord_id: str) -> None:
        body: Body = [(41, order.id), (11, cl_ord_id), *self._order_fields(order), (38, order.qty)]
        self._send("F", order, cl_ord_id, body)

    def replace(self, order: VenueOrder, cl_ord_id: str, qty: Decimal, price: Decimal | None) -> None:
        body: Body = [
            (41, order.id),
            (11, cl_ord_id),
            *self._order_fields(order),
            (38, qty),
            (40, fix.ORD_TYPE[order.type]),
            (44, price),
            (59, fix.TIME_IN_FORCE[order.time_in_force]),
        ]
        self._send("G", order, cl_ord_id, body)

    def query(self, order: VenueOrder, cl_ord_id: str) -> None:
        # OrdStatusReqID (790) comes back with the answer
        body: Body = [
            (11, order.id),
            (790, cl_ord_id),
            (55, self._symbol_form(order.symbol)),
            (54, fix.SIDE[order.side]),
        ]
        self._send("H", order, cl_ord_id, body)

    def _order_fields(self, order: VenueOrder) -> Body:
        return [
            (55, self._symbol_form(order.symbol)),
            (54, fix.SIDE[order.side]),
            (60, fix.timestamp(order.created_at)),
        ]

    def _send(self, msg_type: str, order: VenueOrder, cl_ord_id: str, body: Body) -> None:
        now = self._clock.now()
        raw = self._session.encode(msg_type, body, now)
        self._transport.send(raw)
        self._handed_over.append(
            Sent(
                order_id=order.id,
                at=now,
                cl_ord_id=cl_ord_id,
                msg_type=msg_type,
                message=raw,
                answer_by=now + self.answers_within,
            )
        )

    # -- reports -----------------------------------------------------------------------------------------

    def seconds_until_due(self) -> float | None:
        return 0.0 if self._handed_over else self._transport.seconds_until_due()

    def reports(self) -> list[Report]:
        found, self._handed_over = self._handed_over, []
        for raw in self._transport.receive():
            try:
                found.append(decode(raw))
            except (ValueError, LookupError, ArithmeticError) as error:  # one bad message costs none behind it
                self.unreadable += 1
                log.error("%s: a message that cannot be read: %s: %r", self.name, error, raw[:500])
        return found


def decode(raw: bytes) -> Report:
    """Raise ``FixError`` for a message that says nothing about an order of ours."""
    fields = fix.decode(raw)
    msg_type = fields[35]
    names = fields.get(790) or fields.get(11) or fields.get(379) or ""
    order_id = order_of(fields.get(41) or names)
    if not order_id:
        raise fix.FixError(f"message {msg_type} names no order")
    at = fix.parse_timestamp(fields.get(60) or fields[52])
    if msg_type == "8":
        return _execution_report(fields, order_id, names, raw, at)
    if msg_type == "9":
        kind = CancelRejected if fields.get(434) == "1" else ReplaceRejected
        return kind(
            order_id=order_id,
            at=at,
            cl_ord_id=names,
            msg_type=msg_type,
            message=raw,
            known=fields.get(102) != UNKNOWN_TO_CANCEL,
            status=ORD_STATUS.get(fields.get(39, "")),
            code="TOO_LATE",
            reason=fields.get(58),
        )
    if msg_type == "j":
        refused = _REFUSED.get(fields.get(372, ""))
        if refused is None:
            raise fix.FixError(f"message {fields.get(372)} of ours was refused: {fields.get(58)}")
        return refused(
            order_id=order_id,
            at=at,
            cl_ord_id=names,
            msg_type=msg_type,
            message=raw,
            code="BUSINESS_REJECT",
            reason=fields.get(58),
        )
    raise fix.FixError(f"unexpected message type {msg_type}")


def _execution_report(fields: fix.Fields, order_id: str, cl_ord_id: str, raw: bytes, at: datetime) -> Report:
    kind = fields.get(150, "")
    code, _, words = fields.get(58, "").partition(": ")
    text = words or code or None
    cum_qty = fix.number(fields, 14) if 14 in fields else None
    about: dict[str, Any] = {"order_id": order_id, "at": at, "cl_ord_id": cl_ord_id, "msg_type": "8", "message": raw}
    price = fix.number(fields, 44) if 44 in fields else None
    if kind == "0":
        return Accepted(**about, venue_order_id=fields.get(37))
    if kind == "F":
        if not fields.get(17):
            raise fix.FixError("a fill without an ExecID cannot be told from another")
        return Fill(
            **about,
            trade_id=fields[17],
            qty=fix.number(fields, 32),
            price=fix.number(fields, 31),
            maker=fields.get(851) == "1",
            leaves_qty=fix.number(fields, 151),
        )
    if kind == "5":
        return Replaced(**about, qty=fix.number(fields, 38), price=price)
    if kind == "8":
        return Rejected(**about, code=code or None, reason=text)
    if kind in ("4", "C"):
        return (Canceled if kind == "4" else Expired)(**about, reason=text, cum_qty=cum_qty)
    if kind == "I":
        known = fields.get(103) != UNKNOWN_ORDER
        return OrderSnapshot(
            **about,
            known=known,
            status=ORD_STATUS.get(fields.get(39, "")),
            venue_order_id=fields.get(37),
            qty=fix.number(fields, 38) if known else None,
            price=price,
            cum_qty=cum_qty,
            reason=text,
        )
    raise fix.FixError(f"unexpected ExecType {kind!r}")

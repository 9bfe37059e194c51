"""Our side of a FIX venue: orders become messages, messages become reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final

from app.domain.orders import OrderStatus

from . import fix
from .base import Outgoing, Report, VenueOrder

EXEC_TYPE: Final = {
    "0": "new", "F": "fill", "4": "canceled", "5": "replaced", "8": "rejected", "C": "expired", "I": "status",
}  # fmt: skip
ORD_STATUS: Final = {
    "0": OrderStatus.OPEN, "1": OrderStatus.PARTIALLY_FILLED, "2": OrderStatus.FILLED, "4": OrderStatus.CANCELED,
    "8": OrderStatus.REJECTED, "C": OrderStatus.EXPIRED,
}  # fmt: skip
UNKNOWN_ORDER: Final = "5"  # OrdRejReason(103)
UNKNOWN_TO_CANCEL: Final = "1"  # CxlRejReason(102)


class FixClient:
    """Encodes requests and decodes reports; knows nothing of the transport."""

    def __init__(self, target: str, symbol_form: Callable[[str], str]) -> None:
        self._session = fix.FixSession("CAMBISTA", target)
        self._symbol_form = symbol_form

    def _order_fields(self, order: VenueOrder) -> list[tuple[int, str | Decimal | None]]:
        return [
            (55, self._symbol_form(order.symbol)),
            (54, fix.SIDE[order.side]),
            (60, fix.timestamp(order.created_at)),
        ]

    def new_order(self, order: VenueOrder, now: datetime) -> Outgoing:
        body = [
            (11, order.id),
            (1, order.account),
            (18, "6" if order.post_only else None),  # ExecInst 6: participate, do not initiate
            *self._order_fields(order),
            (38, order.qty),
            (40, fix.ORD_TYPE[order.type]),
            (44, order.price),
            (59, fix.TIME_IN_FORCE[order.time_in_force]),
        ]
        return Outgoing(order.id, "D", self._session.encode("D", body, now))

    def cancel(self, order: VenueOrder, request: int, now: datetime) -> Outgoing:
        body = [(41, order.id), (11, f"{order.id}/c{request}"), *self._order_fields(order), (38, order.qty)]
        return Outgoing(order.id, "F", self._session.encode("F", body, now))

    def replace(self, order: VenueOrder, request: int, qty: Decimal, price: Decimal | None, now: datetime) -> Outgoing:
        body = [
            (41, order.id),
            (11, f"{order.id}/r{request}"),
            *self._order_fields(order),
            (38, qty),
            (40, fix.ORD_TYPE[order.type]),
            (44, price),
            (59, fix.TIME_IN_FORCE[order.time_in_force]),
        ]
        return Outgoing(order.id, "G", self._session.encode("G", body, now))

    def status(self, order: VenueOrder, now: datetime) -> Outgoing:
        body = [(11, order.id), (55, self._symbol_form(order.symbol)), (54, fix.SIDE[order.side])]
        return Outgoing(order.id, "H", self._session.encode("H", body, now))

    def decode(self, raw: bytes) -> Report:
        """Raise ``FixError`` for a message that says nothing about an order of ours."""
        fields = fix.decode(raw)
        msg_type = fields[35]
        order_id = (fields.get(41) or fields.get(11) or fields.get(379) or "").partition("/")[0]
        if not order_id:
            raise fix.FixError(f"message {msg_type} names no order")
        at = fix.parse_timestamp(fields.get(60) or fields[52])
        if msg_type == "9":
            kind = "cancel_rejected" if fields.get(434) == "1" else "replace_rejected"
            status = ORD_STATUS.get(fields.get(39, ""))
            return Report(kind, order_id, raw, at, venue_order_id=fields.get(37), status=status,
                          reason_code="TOO_LATE", reason=fields.get(58), msg_type=msg_type,
                          known=fields.get(102) != UNKNOWN_TO_CANCEL)  # fmt: skip
        if msg_type == "j":
            return Report("rejected", order_id, raw, at, reason_code="BUSINESS_REJECT", reason=fields.get(58),
                          msg_type=msg_type)  # fmt: skip
        if msg_type != "8":
            raise fix.FixError(f"unexpected message type {msg_type}")
        return self._execution_report(fields, order_id, raw, at)

    def _execution_report(self, fields: fix.Fields, order_id: str, raw: bytes, at: datetime) -> Report:
        kind = EXEC_TYPE.get(fields.get(150, ""))
        if kind is None:
            raise fix.FixError(f"unexpected ExecType {fields.get(150)!r}")
        code, _, words = fields.get(58, "").partition(": ")
        amounts = kind in {"fill", "replaced"}
        price_tag, qty_tag = (31, 32) if kind == "fill" else (44, 38)
        return Report(
            kind,
            order_id,
            raw,
            at,
            venue_order_id=fields.get(37),
            status=ORD_STATUS.get(fields.get(39, "")),
            trade_id=fields.get(17) if kind == "fill" else None,
            qty=fix.number(fields, qty_tag) if amounts else None,
            price=fix.number(fields, price_tag) if amounts and price_tag in fields else None,
            maker=fields.get(851) == "1",
            reason_code=code or None,
            reason=words or code or None,
            known=not (kind == "status" and fields.get(103) == UNKNOWN_ORDER),
        )

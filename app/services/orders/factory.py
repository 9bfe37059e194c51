"""The one place where an order begins, whoever asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.core.ids import new_id
from app.domain.calendars import session_close
from app.domain.execution import OrderState
from app.domain.money import ZERO
from app.domain.order_requests import Draft, OrderRequest
from app.domain.orders import OrderStatus, TimeInForce
from app.domain.risk import Failure


def new_order(
    request: OrderRequest, draft: Draft, client_id: str, venue: str, now: datetime, failures: Sequence[Failure] = ()
) -> OrderState:
    """The order: NEW with its hold, or REJECTED with every failure."""
    day = request.time_in_force is TimeInForce.DAY
    order = OrderState(
        id=new_id(),
        client_order_id=request.client_order_id,
        client_id=client_id,
        wallet_id=request.wallet_id,
        body_hash=request.body_hash,
        instrument_id=draft.instrument.id,
        side=request.side,
        type=request.type,
        time_in_force=request.time_in_force.value,
        qty=draft.qty,
        quote_qty=request.quote_qty,
        price=draft.price,
        protection_px=draft.protection_px,
        expires_at=session_close(draft.instrument.calendar, now) if day else None,
        reduce_only=request.reduce_only,
        post_only=request.post_only,
        protection=request.protection.to_json() if request.protection else None,
        position_id=request.position_id,
        exit_reason=request.exit_reason,
        trigger_key=request.trigger_key,
        leaves_qty=draft.qty,
        hold_currency=draft.spend_currency,
        held=draft.reserve,
        venue=venue,
        source=request.source.value,
        created_by=request.created_by,
        created_at=now,
        strategy=request.strategy,
    )
    if not failures:
        return order
    return order._replace(
        status=OrderStatus.REJECTED,
        held=ZERO,
        leaves_qty=ZERO,
        closed_at=now,
        reject_code=failures[0].code,
        reject_reason="; ".join(failure.message for failure in failures)[:300],
        reject_values=[failure.to_json() for failure in failures],
    )

"""An order as it was asked for, and the row it becomes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from app.core import json
from app.core.ids import new_id
from app.domain.calendars import session_close
from app.domain.execution import OrderState
from app.domain.money import ZERO
from app.domain.orders import OrderSource, OrderStatus, TimeInForce
from app.domain.positions import ExitReason
from app.domain.risk import Failure
from app.models import Client
from app.schemas.orders import OrderIn

from .draft import Draft


@dataclass(frozen=True, slots=True)
class Entry:
    """An order as it was asked for. Only ids: what decides is read under its lock.

    ``key_id`` is a key that has to be good still when the order is stored. ``position_id`` is the locked
    position it closes, with the reason; ``asked`` is what the sender said, where the order was worked out from
    something else than an order.
    """

    wallet_id: str
    request: OrderIn
    actor: str
    source: OrderSource
    key_id: str | None = None
    position_id: str | None = None
    exit_reason: ExitReason | None = None
    asked: str | None = None

    @property
    def body_hash(self) -> str:
        """SHA-256 of what was asked for: the same words under one ``client_order_id`` are the same order."""
        said = self.asked or json.dumps(self.request.model_dump(mode="python", exclude={"dry_run"}))
        return hashlib.sha256(said.encode()).hexdigest()


def new_order(
    entry: Entry, client: Client, draft: Draft, failures: list[Failure], venue: str, now: datetime
) -> OrderState:
    """The order: NEW with its hold, or REJECTED with every failure."""
    request = entry.request
    protection = request.to_domain()
    day = request.time_in_force is TimeInForce.DAY
    order = OrderState(
        id=new_id(),
        client_order_id=request.client_order_id,
        client_id=client.id,
        wallet_id=entry.wallet_id,
        body_hash=entry.body_hash if request.client_order_id is not None else None,
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
        protection=protection.to_json() if protection else None,
        position_id=entry.position_id,
        exit_reason=entry.exit_reason.value if entry.exit_reason is not None else None,
        leaves_qty=draft.qty,
        hold_currency=draft.spend_currency,
        held=draft.reserve,
        venue=venue,
        source=entry.source.value,
        created_by=entry.actor,
        created_at=now,
        strategy=request.strategy.model_dump(exclude_none=True) if request.strategy else None,
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

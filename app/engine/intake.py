"""Intake: what the database says is to be sent becomes messages, stored before they leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.venues.base import Outgoing, RestingOrder, Venue, VenueOrder
from app.domain.instruments import SymbolTable
from app.domain.orders import TERMINAL, OrderStatus, OrderType, Side, TimeInForce, check_transition
from app.models import Execution, Order, table_of
from app.schemas.orders import order_json
from app.services.events import Events
from app.services.orders import order_event

from .booking import update_by_id
from .messages import store_outgoing

orders, executions = table_of(Order), table_of(Execution)
_CLAIM = update_by_id(orders, ("status", "version"))
S = OrderStatus


@dataclass(slots=True)
class Claimed:
    """Messages in the order they are sent, cancels first; ``new`` are the orders among them."""

    messages: list[Outgoing] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    more: bool = False


class Intake:
    def __init__(self, instruments: SymbolTable, venue: Venue, batch: int) -> None:
        self.instruments, self.venue, self.batch = instruments, venue, batch

    def claim(
        self, session: Session, now: datetime, requested: set[tuple[str, str]], resend: list[str],
        only: str | None = None, parked: set[str] | None = None,
    ) -> Claimed:  # fmt: skip
        """Take what waits: cancels and replaces ahead of new orders, then up to a batch of new ones.

        ``requested`` are the requests already sent by this engine; ``only`` narrows it to one order, when
        a batch failed.
        """
        claimed = Claimed()
        self._requests(session, now, requested, claimed, only)
        if resend:
            query = sa.select(orders).where(orders.c.id.in_(resend), orders.c.status == S.PENDING_SEND.value)
            for row in session.execute(query.order_by(orders.c.id)).mappings():
                claimed.messages.append(self.venue.new_order(self.venue_order(row), now))
                claimed.new.append(row["id"])
        self._new(session, now, claimed, only, parked or set())
        store_outgoing(session, claimed.messages, now)
        return claimed

    def _requests(
        self, session: Session, now: datetime, requested: set[tuple[str, str]], claimed: Claimed, only: str | None
    ) -> None:
        query = sa.select(orders).where(orders.c.status.in_([S.PENDING_CANCEL.value, S.PENDING_REPLACE.value]))
        if only is not None:
            query = query.where(orders.c.id == only)
        for row in session.execute(query.order_by(orders.c.id)).mappings():
            request = (row["id"], row["status"])  # a fill meanwhile raises the version, not the number of requests
            if request in requested:
                continue
            order = self.venue_order(row)
            if row["status"] == S.PENDING_CANCEL:
                message = self.venue.cancel(order, row["version"], now)
            else:
                message = self.venue.replace(order, row["version"], row["pending_qty"], row["pending_price"], now)
            claimed.messages.append(message)
            claimed.requests.append(request)

    def _new(self, session: Session, now: datetime, claimed: Claimed, only: str | None, parked: set[str]) -> None:
        query = sa.select(orders).where(orders.c.status == S.NEW.value)
        if parked:
            query = query.where(orders.c.id.not_in(parked))
        if only is not None:
            query = query.where(orders.c.id == only)
        query = query.order_by(orders.c.id).limit(self.batch).with_for_update(skip_locked=True)
        rows = [dict(row) for row in session.execute(query).mappings()]
        if not rows:
            return
        claimed.more = len(rows) == self.batch
        events = Events(now)
        for row in rows:
            check_transition(row["id"], S.NEW, S.PENDING_SEND)
            row.update(status=S.PENDING_SEND.value, version=row["version"] + 1)
            symbol = self.instruments.by_id(row["instrument_id"]).symbol
            order_event(events, row, order_json(row, symbol), S.NEW, None)
            claimed.messages.append(self.venue.new_order(self.venue_order(row), now))
            claimed.new.append(row["id"])
        session.connection().execute(
            _CLAIM, [{"row_id": r["id"], "new_status": r["status"], "new_version": r["version"]} for r in rows]
        )
        events.flush(session)

    @staticmethod
    def waiting(session: Session) -> list[str]:
        """Ids of orders that wait to be sent, oldest first; a bounded number."""
        query = sa.select(orders.c.id).where(orders.c.status == S.NEW.value).order_by(orders.c.id).limit(1000)
        return list(session.scalars(query))

    def venue_order(self, row: Any) -> VenueOrder:
        return VenueOrder(
            id=row["id"],
            account=row["wallet_id"],
            symbol=self.instruments.by_id(row["instrument_id"]).symbol,
            side=Side(row["side"]),
            type=OrderType(row["type"]),
            qty=row["qty"],
            price=row["price"] if row["type"] == OrderType.LIMIT else row["protection_px"],
            time_in_force=TimeInForce(row["time_in_force"]),
            post_only=row["post_only"],
            created_at=row["created_at"],
        )

    def unfinished(self, session: Session) -> tuple[list[RestingOrder], list[VenueOrder]]:
        """What was live when the last engine stopped: orders the venue had, and those it may not have."""
        fills = {
            row.order_id: row.fills
            for row in session.execute(
                sa.select(executions.c.order_id, sa.func.count().label("fills"))
                .join(orders, orders.c.id == executions.c.order_id)
                .where(orders.c.status.not_in([status.value for status in TERMINAL]))
                .group_by(executions.c.order_id)
            )
        }
        query = sa.select(orders).where(
            orders.c.status.not_in([status.value for status in TERMINAL]), orders.c.status != S.NEW.value
        )
        known, unsure = [], []
        for row in session.execute(query.order_by(orders.c.id)).mappings():
            order = self.venue_order(row)
            heard = row["submitted_at"] or row["venue_order_id"] or row["cum_qty"]
            if not heard:
                unsure.append(order)
            else:
                known.append(
                    RestingOrder(order, row["cum_qty"], row["cum_value"], fills.get(row["id"], 0), S(row["status"]))
                )
        return known, unsure

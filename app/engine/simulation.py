"""What the simulated venue needs and no real one does: being told what it knew before a restart."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.venues.base import RestingOrder
from app.core.transaction import Database
from app.domain.orders import TERMINAL, OrderStatus
from app.models import Execution, Order, table_of

from .sending import Sending

orders, executions = table_of(Order), table_of(Execution)


def reload(database: Database, sending: Sending, restore: Callable[[list[RestingOrder]], None], name: str) -> None:
    """Tell the venue ``name`` the live orders it has acknowledged or filled, as they are booked."""
    restore(database.read(lambda session: _known(session, sending, name)))


def _known(session: Session, sending: Sending, name: str) -> list[RestingOrder]:
    live = orders.c.status.not_in([OrderStatus.NEW.value, *(status.value for status in TERMINAL)])
    fills = (
        sa.select(sa.func.count())
        .where(executions.c.order_id == orders.c.id)
        .correlate(orders)
        .scalar_subquery()
        .label("fills")
    )
    query = sa.select(orders, fills).where(live, orders.c.venue == name).order_by(orders.c.id)
    return [
        RestingOrder(sending.venue_order(row), row["cum_qty"], row["cum_value"], row["fills"])
        for row in session.execute(query).mappings()
        if row["venue_order_id"] is not None or row["cum_qty"]
    ]

"""What the simulated venue needs and no real one does: being told what it knew before a restart."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.adapters.venues.base import RestingOrder
from app.core.transaction import Database
from app.domain.execution import OrderState
from app.domain.money import ZERO
from app.domain.orders import TERMINAL, OrderStatus
from app.domain.reports import Ended, Fill, Rejected
from app.models import Execution, Order, table_of
from app.services import faults

from .sending import Sending

log = structlog.get_logger("engine")
orders, executions = table_of(Order), table_of(Execution)


def reload(database: Database, sending: Sending, restore: Callable[[list[RestingOrder]], None], name: str) -> None:
    """Tell the venue ``name`` the live orders it has acknowledged or filled, as booked or parked."""
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
    parked = _parked_reports(session)
    found = []
    for row in session.execute(query).mappings():
        waiting, over = parked.get(row["id"], ([], False))
        qty = row["cum_qty"] + sum((fill.qty for fill in waiting), ZERO)
        value = row["cum_value"] + sum((fill.qty * fill.price for fill in waiting), ZERO)
        if (row["venue_order_id"] is not None or qty) and qty < row["qty"] and not over:
            try:
                found.append(
                    RestingOrder(sending.venue_order(OrderState.of(row)), qty, value, row["fills"] + len(waiting))
                )
            except Exception:  # one order nobody can make sense of must not keep the engine from starting
                log.exception("simulation.not_restored", order_id=row["id"])
    return found


def _parked_reports(session: Session) -> dict[str, tuple[list[Fill], bool]]:
    """By order: the fills that wait in a fault, and whether its end waits there too."""
    found: dict[str, tuple[list[Fill], bool]] = {}
    for fault in faults.open_faults(session):
        try:
            reports = [faults.report_of(report) for report in fault["reports"] or ()]
        except Exception:
            log.exception("simulation.unreadable_fault", fault_id=fault["id"])
            continue
        fills = {report.trade_id: report for report in reports if isinstance(report, Fill)}
        booked = session.scalars(sa.select(executions.c.trade_id).where(executions.c.trade_id.in_(list(fills))))
        for trade_id in booked:
            del fills[trade_id]
        over = any(isinstance(report, Ended | Rejected) for report in reports)
        if reports:
            found[fault["object_id"]] = (list(fills.values()), over)
    return found

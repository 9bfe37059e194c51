"""Sending: what waits becomes rows of ``venue_requests``, handed to the gateways after the commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.venues.base import Gateway, VenueOrder
from app.core.bulk import BulkUpdate, plain_row
from app.domain.execution import ORDER_COLUMNS, OrderState, move
from app.domain.instruments import SymbolTable
from app.domain.orders import OrderStatus, OrderType, TimeInForce
from app.domain.requests import RequestKind, RequestState
from app.models import ORDER_TO_SEND, REQUEST_IS_UNANSWERED, Order, table_of
from app.services.events import Events
from app.services.locks import Locks
from app.services.records import Transition, order_event

from .requests import Request, Requests, requests
from .waiting import ASKED_BY, MOST, is_asked

BATCH = 64
orders = table_of(Order)
_CLAIM = BulkUpdate(orders, ("status", "version"))
# one query tells both what is to be handed over and about which order
_JOINED: list[Any] = [requests, *(column.label(f"about_{column.name}") for column in orders.columns)]
S = OrderStatus


class Which(Enum):
    """What is looked for."""

    ALL = auto()
    ASKED = auto()  # requests of people, and what is stored to be handed over
    NEW = auto()  # new orders: it is known that nothing else waits


@dataclass(frozen=True, slots=True)
class Handover:
    """One request on its way to its gateway."""

    request: Request
    order: VenueOrder

    def to(self, gateway: Gateway) -> None:
        request, order = self.request, self.order
        acts: dict[RequestKind, Callable[[], None]] = {
            RequestKind.SUBMIT: lambda: gateway.submit(order, request.cl_ord_id),
            RequestKind.CANCEL: lambda: gateway.cancel(order, request.cl_ord_id),
            RequestKind.REPLACE: lambda: gateway.replace(
                order, request.cl_ord_id, request.qty or order.qty, request.price or order.price
            ),
            RequestKind.QUERY: lambda: gateway.query(order, request.cl_ord_id),
        }
        acts[request.kind]()


@dataclass(slots=True)
class Claimed:
    """What is handed over once the transaction is committed, cancels first."""

    handovers: list[Handover] = field(default_factory=list)
    more: bool = False


class Sending:
    def __init__(self, instruments: SymbolTable, gateways: Mapping[str, Gateway], batch: int = BATCH) -> None:
        self.instruments, self.gateways, self.batch = instruments, gateways, batch

    def claim(
        self,
        session: Session,
        now: datetime,
        handed: set[tuple[str, int]],
        parked: set[str],
        only: str | None = None,
        *,
        which: Which = Which.ALL,
    ) -> Claimed:
        """Take what waits: cancels, replaces and queries ahead of new orders, then up to a batch of those.

        ``handed`` are requests (id, attempt) that are on their way already; ``only`` narrows it to one order.
        """
        batch = Requests(session, now)
        if which is not Which.NEW:
            self._ask_for_waiting(session, batch, parked, only)
        new = [] if which is Which.ASKED else self._claim_new(session, batch, now, parked, only)
        batch.flush()
        found = new if which is Which.NEW else self._handovers(session, handed, parked, only)
        return Claimed(found, more=len(new) == self.batch)

    def _ask_for_waiting(self, session: Session, batch: Requests, parked: set[str], only: str | None) -> None:
        """Requests of people that the venue has not been told of."""
        query = sa.select(orders).where(is_asked(), *_narrowed(parked, only)).order_by(orders.c.id).limit(MOST)
        rows = list(session.execute(query).mappings())
        batch.load(row["id"] for row in rows)
        for row in rows:
            kind = ASKED_BY[S(row["status"])]
            self._gateway(row["venue"])
            batch.ask(row["id"], row["venue"], kind, row["pending_qty"], row["pending_price"])

    def _claim_new(
        self, session: Session, batch: Requests, now: datetime, parked: set[str], only: str | None
    ) -> list[Handover]:
        locks = Locks.of(session)
        if parked or only is not None:
            where = sa.and_(ORDER_TO_SEND, orders.c.status == S.NEW.value, *_narrowed(parked, only))
            waiting = locks.orders(where, self.batch, skip_locked=True)
        else:
            waiting = locks.free_new_orders(self.batch)
        events, claimed, handovers = Events(now), [], []
        for order in waiting:
            self._gateway(order.venue)
            about = self.venue_order(order)  # what cannot be sent is found out here, before anything is
            order = move(order, S.PENDING_SEND, now)
            claimed.append(order)
            handovers.append(Handover(batch.ask(order.id, order.venue, RequestKind.SUBMIT), about))
            order_event(events, order, self.instruments, [Transition(S.NEW, order.status)])
        _CLAIM.run(session, [plain_row(order, ("id", *_CLAIM.columns)) for order in claimed])
        events.flush(session)
        return handovers

    def _handovers(
        self, session: Session, handed: set[tuple[str, int]], parked: set[str], only: str | None
    ) -> list[Handover]:
        query = (
            sa.select(*_JOINED)
            .join(orders, orders.c.id == requests.c.order_id)
            .where(REQUEST_IS_UNANSWERED, requests.c.state == RequestState.PENDING.value, *_narrowed(parked, only))
            .order_by(requests.c.id)
        )
        found = []
        for row in session.execute(query).mappings():
            if (row["id"], row["attempt"]) in handed:
                continue
            self._gateway(row["venue"])  # a venue that was taken away parks its own orders alone
            request = Request.of({column.name: row[column.name] for column in requests.columns})
            order = self.venue_order(OrderState.of({name: row[f"about_{name}"] for name in ORDER_COLUMNS}))
            found.append(Handover(request, order))
        # requests of people and queries do not wait behind a crowd of new orders, but never overtake their own
        new = {handover.request.order_id for handover in found if handover.request.kind is RequestKind.SUBMIT}
        return sorted(found, key=lambda handover: handover.request.order_id in new)

    def _gateway(self, venue: str) -> Gateway:
        found = self.gateways.get(venue)
        if found is None:
            raise LookupError(f"there is no gateway to the venue {venue}")
        return found

    def venue_order(self, order: OrderState) -> VenueOrder:
        return VenueOrder(
            id=order.id,
            account=order.wallet_id,
            symbol=self.instruments.by_id(order.instrument_id).symbol,
            side=order.side,
            type=order.type,
            qty=order.qty,
            price=order.price if order.type is OrderType.LIMIT else order.protection_px,
            time_in_force=TimeInForce(order.time_in_force),
            post_only=order.post_only,
            created_at=order.created_at,
        )


def _narrowed(parked: set[str], only: str | None) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if parked:
        conditions.append(orders.c.id.not_in(parked))
    if only is not None:
        conditions.append(orders.c.id == only)
    return conditions


def to_send(session: Session) -> list[str]:
    """Ids of orders about which something is to be sent, oldest first; a bounded number."""
    pending = sa.select(requests.c.order_id).where(requests.c.state == RequestState.PENDING.value)
    statuses = [S.NEW.value, *(status.value for status in ASKED_BY)]
    query = sa.select(orders.c.id).where(sa.or_(orders.c.status.in_(statuses), orders.c.id.in_(pending)))
    return list(session.scalars(query.order_by(orders.c.id).limit(MOST)))

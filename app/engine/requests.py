"""The rows of ``venue_requests``: what was asked of a venue about an order, and what came of it.

Only the engine that leads writes them, under its epoch; they need no lock of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.bulk import BulkInsert, BulkUpdate, plain_row
from app.core.ids import new_id
from app.domain.requests import UNANSWERED, RequestKind, RequestState, cl_ord_id
from app.models import VenueRequest, table_of

ATTEMPTS_MAX: Final = 5  # submissions of one order, each after the venue has said that it does not know it
requests = table_of(VenueRequest)
_OF_ORDERS = sa.select(requests).where(requests.c.order_id.in_(sa.bindparam("order_ids", expanding=True)))
_INSERT = BulkInsert(requests)
_UPDATE = BulkUpdate(requests, ("state", "attempt", "sent_at", "deadline_at", "answered_at", "error"))


@dataclass(slots=True)
class Request:
    """One row. ``qty`` and ``price`` are what a replace asks for."""

    id: str
    order_id: str
    venue: str
    kind: RequestKind
    cl_ord_id: str
    state: RequestState
    attempt: int
    qty: Decimal | None
    price: Decimal | None
    created_at: datetime
    sent_at: datetime | None = None
    deadline_at: datetime | None = None
    answered_at: datetime | None = None
    error: str | None = None
    stored: bool = field(default=True, compare=False)

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Request:
        return cls(**{**row, "kind": RequestKind(row["kind"]), "state": RequestState(row["state"])})

    @property
    def unanswered(self) -> bool:
        return self.state in UNANSWERED


@dataclass(slots=True)
class Requests:
    """The requests of some orders in one transaction: looked up, changed, and written back in bulk."""

    session: Session
    now: datetime
    _by_order: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    _by_name: dict[str, Request] = field(default_factory=dict)
    _changed: dict[str, Request] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)  # ids of those that wait for nothing any more
    confirmed: set[tuple[str, int]] = field(default_factory=set)  # (id, attempt) of those that were handed over

    def load(self, order_ids: Iterable[str]) -> None:
        wanted = list(order_ids)
        if wanted:
            for row in self.session.execute(_OF_ORDERS, {"order_ids": wanted}).mappings():
                self._keep(Request.of(row))

    def _keep(self, request: Request) -> None:
        self._by_order[request.order_id].append(request)
        self._by_name[request.cl_ord_id] = request

    def named(self, cl_ord_id: str | None) -> Request | None:
        return None if cl_ord_id is None else self._by_name.get(cl_ord_id)

    def asked(self, order_id: str) -> frozenset[RequestKind]:
        """What was asked about an order and has no answer yet."""
        return frozenset(request.kind for request in self._by_order[order_id] if request.unanswered)

    def ask(
        self, order_id: str, venue: str, kind: RequestKind, qty: Decimal | None = None, price: Decimal | None = None
    ) -> Request:
        """A new request, to be handed over after the commit; what of its kind had no answer is given up."""
        self.close(order_id, RequestState.FAILED, kind)
        number = len(self._by_order[order_id])
        request = Request(
            new_id(),
            order_id,
            venue,
            kind,
            cl_ord_id(order_id, kind, number),
            RequestState.PENDING,
            1,
            qty,
            price,
            self.now,
            stored=False,
        )
        self._keep(request)
        self._changed[request.id] = request
        return request

    def answers_last_submission(self, query: Request | None) -> bool:
        """Whether "I do not know this order" is news: it answers the newest query, asked after the last submission.

        An answer that comes twice, late, or from before the order went out again says nothing.
        """
        if query is None or query.kind is not RequestKind.QUERY or query.state is RequestState.ACKED:
            return False
        for other in self._by_order[query.order_id]:
            if other.kind is RequestKind.QUERY and other.id > query.id:
                return False
            if other.kind is RequestKind.SUBMIT:
                resent = other.sent_at is not None and other.sent_at > query.created_at
                if resent or other.state is RequestState.PENDING:
                    return False
        return True

    def submit_again(self, order_id: str) -> bool:
        """The venue has never seen the order: the same ClOrdID once more. False after too many attempts."""
        for request in self._by_order[order_id]:
            if request.kind is RequestKind.SUBMIT:
                if request.attempt >= ATTEMPTS_MAX:
                    self.change(request, RequestState.FAILED)
                    return False
                request.attempt += 1
                self.change(request, RequestState.PENDING)
                return True
        return False

    def change(self, request: Request, state: RequestState, **changes: Any) -> None:
        request.state = state
        if state is not RequestState.PENDING:
            self.confirmed.add((request.id, request.attempt))
        if not request.unanswered or state is RequestState.UNKNOWN:
            self.answered.append(request.id)
        if state in (RequestState.ACKED, RequestState.FAILED):
            request.answered_at = self.now
        for name, value in changes.items():
            setattr(request, name, value)
        self._changed[request.id] = request

    def close(self, order_id: str, state: RequestState, *kinds: RequestKind) -> None:
        """Every unanswered request of an order (of ``kinds``, where named) gets ``state``."""
        for request in self._by_order[order_id]:
            if request.unanswered and (not kinds or request.kind in kinds):
                self.change(request, state)

    def flush(self) -> None:
        changed = list(self._changed.values())
        fresh = [request for request in changed if not request.stored]
        _INSERT.run(self.session, [plain_row(request, _INSERT.columns) for request in fresh])
        known = [request for request in changed if request.stored]
        _UPDATE.run(self.session, [plain_row(request, ("id", *_UPDATE.columns)) for request in known])
        self._changed.clear()


def ask_again(session: Session, now: datetime, order_ids: Iterable[tuple[str, str]]) -> None:
    """A query for each (order, venue) that has none under way."""
    wanted = dict(order_ids)
    batch = Requests(session, now)
    batch.load(wanted)
    for order_id, venue in wanted.items():
        if RequestKind.QUERY not in batch.asked(order_id):
            batch.ask(order_id, venue, RequestKind.QUERY)
    batch.flush()


def doubt_all(session: Session, now: datetime) -> None:
    """After memory was lost: nobody knows which of the open requests have been handed over."""
    open_ = (RequestState.PENDING.value, RequestState.SENT.value)
    doubted = requests.c.state.in_(open_)
    queries = requests.c.kind == RequestKind.QUERY.value
    session.execute(
        sa.update(requests).where(doubted, queries).values(state=RequestState.FAILED.value, answered_at=now)
    )
    session.execute(sa.update(requests).where(doubted).values(state=RequestState.UNKNOWN.value))

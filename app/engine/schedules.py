"""What the engine does by the clock: value samples, bars, cleaning up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.bulk import BulkInsert, BulkUpdate, plain_row
from app.domain.order_requests import OrderRules
from app.domain.orders import TERMINAL
from app.domain.positions import PositionState
from app.domain.quotes import Quote
from app.domain.requests import RequestKind
from app.models import EngineCommand, EngineHeartbeat, Order, Position, PositionUpdate, VenueRequest, Wallet, table_of
from app.schemas.positions import current_json
from app.services import idempotency
from app.services.locks import Locks
from app.services.orders import suspend
from app.services.risk import Checks

from .engine import Engine, Schedule

KEEP_UPDATES = timedelta(days=7)
KEEP_HEARTBEATS = timedelta(hours=1)  # of processes that are gone
KEEP_COMMANDS = timedelta(days=7)
KEEP_QUERIES = timedelta(days=1)
SAMPLES_MAX = 500  # positions per round; the others have their turn in the next
positions, updates = table_of(Position), table_of(PositionUpdate)
heartbeats, commands = table_of(EngineHeartbeat), table_of(EngineCommand)
orders, requests = table_of(Order), table_of(VenueRequest)
_UPDATE_MARKS = BulkUpdate(positions, ("high_px", "low_px", "price_moves"))
_INSERT_UPDATES = BulkInsert(updates, ("position_id", "at", "mark_px", "unrealized_pnl"))


class Sampler:
    """Once a second: what each open position is worth, if its price has moved since the last time."""

    def __init__(self) -> None:
        self._seen: dict[str, Decimal] = {}
        self._next = 0  # where the next round begins: with more than a round's worth everybody has a turn

    def __call__(self, engine: Engine, now: datetime) -> None:
        sampled: list[PositionState] = []
        rows, samples = [], []
        for position, quote in self._moved(engine):
            position = position._replace(
                price_moves=position.price_moves + 1,
                high_px=max(position.high_px or quote.bid, quote.bid),
                low_px=min(position.low_px or quote.bid, quote.bid),
            )
            sampled.append(position)
            pnl = round(position.holding.unrealized(quote.bid), 8)
            rows.append({"position_id": position.id, "at": now, "mark_px": quote.bid, "unrealized_pnl": pnl})
            samples.append(
                {
                    "id": position.id,
                    "client_id": position.client_id,
                    "wallet_id": position.wallet_id,
                    "symbol": quote.symbol,
                    "current": current_json(position, quote, now),
                }
            )
        if not rows:
            return

        def store(session: Session) -> None:
            mine = positions.c.id.in_([position.id for position in sampled])
            session.execute(sa.select(positions.c.id).where(mine).order_by(positions.c.id).with_for_update())
            _INSERT_UPDATES.run(session, rows)
            _UPDATE_MARKS.run(session, [plain_row(position, ("id", *_UPDATE_MARKS.columns)) for position in sampled])

        engine.transactions.run(store)
        engine.watch.positions.update({position.id: position for position in sampled})
        engine.relay.show(samples=samples)

    def _moved(self, engine: Engine) -> list[tuple[PositionState, Quote]]:
        found: list[tuple[PositionState, Quote]] = []
        open_ = list(engine.open_positions.values())
        self._seen = {key: price for key, price in self._seen.items() if key in engine.open_positions}
        for offset in range(len(open_)):
            position = open_[(self._next + offset) % len(open_)]
            quote = engine.quotes.get(engine.instruments.by_id(position.instrument_id).symbol)
            if quote is None or self._seen.get(position.id) == quote.bid:
                continue
            self._seen[position.id] = quote.bid
            found.append((position, quote))
            if len(found) == SAMPLES_MAX:
                self._next = (self._next + offset + 1) % len(open_)
                break
        return found


def sweep(engine: Engine, now: datetime) -> None:
    """Delete what is kept for a while only."""

    def work(session: Session) -> None:
        engine.lease.prove(session)
        session.execute(sa.delete(updates).where(updates.c.at < now - KEEP_UPDATES))
        session.execute(sa.delete(heartbeats).where(heartbeats.c.at < now - KEEP_HEARTBEATS))
        session.execute(sa.delete(commands).where(commands.c.taken_at < now - KEEP_COMMANDS))
        session.execute(sa.delete(requests).where(_answered_queries(now - KEEP_QUERIES)))
        idempotency.sweep(session, now)

    engine.database.run(work)


def _answered_queries(before: datetime) -> sa.ColumnElement[bool]:
    """Queries about orders that nothing will be asked about any more: the others count the ClOrdIDs they have used.

    One that the venue has never acknowledged may have to be cancelled there still.
    """
    ended = sa.select(orders.c.id).where(
        orders.c.status.in_([status.value for status in TERMINAL]), orders.c.venue_order_id.is_not(None)
    )
    return sa.and_(
        requests.c.kind == RequestKind.QUERY.value,
        requests.c.answered_at < before,
        requests.c.order_id.in_(ended),
    )


def mark_equity(engine: Engine, now: datetime) -> None:
    """Remember day starts and peaks of wallets with loss limits, so that they do not depend on orders.

    A wallet over its limit is suspended, its entry orders are cancelled.
    """

    def work(session: Session) -> None:
        engine.lease.prove(session)
        limits = (Wallet.daily_loss_usd, Wallet.daily_loss_percent, Wallet.max_drawdown_percent)
        ids = session.scalars(sa.select(Wallet.id).where(sa.or_(*(column.is_not(None) for column in limits))))
        locked = Locks.of(session).wallets(ids, skip_locked=True)  # a busy one has its turn in the next minute
        checks = Checks(session, engine.instruments, engine.quotes, OrderRules(), now)
        breaches = {key: (wallet, found) for key, (wallet, _) in locked.items() if (found := checks.mark(wallet))}
        suspend(session, breaches, engine.instruments, engine.quotes, now)

    engine.database.run(work)
    engine.wake()


def standard(flush_bars: Callable[[Session], Any]) -> tuple[Schedule, ...]:
    """The schedules of a running server."""

    def bars(engine: Engine, now: datetime) -> None:
        engine.transactions.run(flush_bars)

    return (
        ("samples", timedelta(seconds=1), Sampler()),
        ("bars", timedelta(seconds=10), bars),
        ("equity", timedelta(minutes=1), mark_equity),
        ("sweep", timedelta(hours=1), sweep),
    )

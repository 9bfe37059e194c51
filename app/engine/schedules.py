"""What the engine does by the clock: value samples, bars, cleaning up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import EngineCommand, EngineHeartbeat, Position, PositionUpdate, Wallet, table_of
from app.schemas.positions import current_json, holding_of
from app.services import idempotency
from app.services.locks import Locks
from app.services.orders import Checks, OrderRules, suspend

from .booking import update_by_id
from .engine import Engine, Schedule

KEEP_UPDATES = timedelta(days=7)
KEEP_HEARTBEATS = timedelta(hours=1)  # of processes that are gone
KEEP_COMMANDS = timedelta(days=7)
SAMPLES_MAX = 500  # positions per round; the others have their turn in the next
positions, updates = table_of(Position), table_of(PositionUpdate)
heartbeats, commands = table_of(EngineHeartbeat), table_of(EngineCommand)
_MARKS = update_by_id(positions, ("high_px", "low_px", "price_moves"))


class Sampler:
    """Once a second: what each open position is worth, if its price has moved since the last time."""

    def __init__(self) -> None:
        self._seen: dict[str, Decimal] = {}
        self._next = 0  # where the next round begins: with more than a round's worth everybody has a turn

    def __call__(self, engine: Engine, now: datetime) -> None:
        rows, marks, samples = [], [], []
        for row in self._moved(engine):
            instrument = engine.instruments.by_id(row["instrument_id"])
            quote = engine.quotes.get(instrument.symbol)
            if quote is None:
                continue
            row["high_px"], row["low_px"] = max(row["high_px"], quote.bid), min(row["low_px"], quote.bid)
            row["price_moves"] += 1
            marks.append({"row_id": row["id"], **{f"new_{n}": row[n] for n in ("high_px", "low_px", "price_moves")}})
            pnl = round(holding_of(row).unrealized(quote.bid), 8)
            rows.append({"position_id": row["id"], "at": now, "mark_px": quote.bid, "unrealized_pnl": pnl})
            samples.append({"id": row["id"], "client_id": row["client_id"], "wallet_id": row["wallet_id"],
                            "symbol": instrument.symbol, "current": current_json(row, quote, now)})  # fmt: skip
        if not rows:
            return

        def store(session: Session) -> None:
            engine.lease.prove(session)
            session.execute(sa.insert(updates), rows)
            session.connection().execute(_MARKS, marks)

        engine.database.run(store)
        engine.relay.show(samples=samples)

    def _moved(self, engine: Engine) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        rows = list(engine.open_positions.values())
        self._seen = {key: price for key, price in self._seen.items() if key in engine.open_positions}
        for offset in range(len(rows)):
            row = rows[(self._next + offset) % len(rows)]
            quote = engine.quotes.get(engine.instruments.by_id(row["instrument_id"]).symbol)
            if quote is None or self._seen.get(row["id"]) == quote.bid:
                continue
            self._seen[row["id"]] = quote.bid
            found.append(row)
            if len(found) == SAMPLES_MAX:
                self._next = (self._next + offset + 1) % len(rows)
                break
        return found


def sweep(engine: Engine, now: datetime) -> None:
    """Delete what is kept for a while only."""

    def work(session: Session) -> None:
        engine.lease.prove(session)
        session.execute(sa.delete(updates).where(updates.c.at < now - KEEP_UPDATES))
        session.execute(sa.delete(heartbeats).where(heartbeats.c.at < now - KEEP_HEARTBEATS))
        session.execute(sa.delete(commands).where(commands.c.taken_at < now - KEEP_COMMANDS))
        idempotency.sweep(session, now)

    engine.database.run(work)


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

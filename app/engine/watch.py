"""What the engine watches: open positions and their armed levels, in memory, rebuilt by ``recover``."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.domain.instruments import SymbolTable
from app.domain.positions import PositionState, PositionStatus
from app.domain.quotes import Quote
from app.domain.triggers import Fired
from app.models import Position, table_of
from app.services.quotes import QuoteBook

from .levels import ArmedLevels, TrailMove
from .transactions import Transactions

log = structlog.get_logger("engine")
positions = table_of(Position)


class Watch:
    """``fired`` and ``moves`` wait for the trigger phase; a level leaves only when its consequence is stored."""

    def __init__(
        self, transactions: Transactions, levels: ArmedLevels, instruments: SymbolTable, quotes: QuoteBook
    ) -> None:
        self.transactions, self.levels, self.instruments, self.quotes = transactions, levels, instruments, quotes
        self.positions: dict[str, PositionState] = {}
        self.fired: list[tuple[str, Fired]] = []
        self.locked: list[tuple[str, Fired]] = []  # fired, while somebody else held the position: for the next round
        self.moves: list[TrailMove] = []
        self._judge_later: set[int] = set()  # instruments of positions whose exit the venue has just refused

    def recover(self, now: datetime) -> None:
        """Arm every open position anew, and judge it at once."""
        self.levels.forget()
        self.positions.clear()
        self._judge_later.clear()
        self.arm(self.transactions.read(open_positions), now)

    def drop_fired(self) -> None:
        """Forget what quotes have done: it was judged by levels that may be others' by now."""
        self.fired, self.locked, self.moves = [], [], []

    def judge(self, quote: Quote) -> None:
        """Show a good quote to the armed levels of its instrument."""
        fired, moves = self.levels.on_quote(quote)
        self.fired += fired
        self.moves += moves

    def arm(self, found: Iterable[PositionState], now: datetime, refused: Container[str] = frozenset()) -> None:
        """Arm positions as they are; what is armed is judged at once against the newest fresh quote.

        A position whose exit was ``refused`` waits for the next quote or poll: a venue that refuses
        everything is not asked a thousand times a second.
        """
        instrument_ids: set[int] = set()
        for position in found:
            try:
                self.levels.arm(position)
            except Exception as error:
                # one position that cannot be watched must not stop everybody's trading; somebody has to know
                log.exception("engine.not_watched", position_id=position.id)
                if position.id not in self.transactions.parked("trigger"):
                    self.transactions.store_fault("trigger", "position", position.id, repr(error))
            if position.status is PositionStatus.CLOSED:
                self.positions.pop(position.id, None)
                continue
            self.positions[position.id] = position
            judged = self._judge_later if position.id in refused else instrument_ids
            judged.add(position.instrument_id)
        self._judge(instrument_ids, now)

    def judge_refused(self, now: datetime) -> None:
        """Positions whose exit was refused have their next try."""
        waited, self._judge_later = self._judge_later, set()
        self._judge(waited, now)

    def _judge(self, instrument_ids: Iterable[int], now: datetime) -> None:
        for instrument_id in instrument_ids:
            quote = self.quotes.get_fresh(self.instruments.by_id(instrument_id).symbol, now)
            if quote is not None:
                self.judge(quote)


def open_positions(session: Session, position_id: str | None = None) -> list[PositionState]:
    query = sa.select(positions).where(positions.c.status != PositionStatus.CLOSED.value)
    if position_id is not None:
        query = query.where(positions.c.id == position_id)
    return [PositionState.of(row) for row in session.execute(query).mappings()]

"""What is armed: the levels of open positions by instrument and side, in memory.

It holds only what can be rebuilt from the positions table; the database decides whether a level that fired
still counts. A long position is judged at the bid; a short one at the ask, with every price negated, so that
one trigger book serves both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from app.domain.instruments import SymbolTable
from app.domain.money import ONE
from app.domain.orders import Side
from app.domain.positions import PositionState
from app.domain.quotes import Quote
from app.domain.triggers import Fired, Levels, TriggerBook, to_units


@dataclass(frozen=True, slots=True)
class TrailMove:
    """A trailing extreme that improved: every tracking position of that side it is better for follows."""

    instrument_id: int
    exit_side: Side
    extreme: Decimal


class ArmedLevels:
    """``arm`` positions, show quotes, hear which levels they reach."""

    def __init__(self, instruments: SymbolTable) -> None:
        self.instruments = instruments
        self._books: dict[int, dict[Side, TriggerBook]] = {}

    def __len__(self) -> int:
        """How many positions have something armed."""
        return sum(len(book) for books in self._books.values() for book in books.values())

    def forget(self) -> None:
        """Start from nothing, before everything is armed from the database."""
        self._books.clear()

    def arm(self, position: PositionState) -> None:
        """Watch a position as it is, or stop watching it."""
        books = self._books.setdefault(position.instrument_id, {})
        levels = levels_of(position) if position.may_exit else None
        for side, book in books.items():
            if levels is None or side is not position.exit_side:
                book.disarm(position.id)
        if levels is not None:
            books.setdefault(position.exit_side, TriggerBook()).arm(levels)

    def on_quote(self, quote: Quote) -> tuple[list[tuple[str, Fired]], list[TrailMove]]:
        """Levels this quote reaches, by position id, and the trailing extremes it improved."""
        instrument = self.instruments.resolve(quote.symbol)
        reached: list[tuple[str, Fired]] = []
        moves: list[TrailMove] = []
        for exit_side, book in self._books.get(instrument.id, {}).items():
            if not len(book):
                continue
            price, sign = quote.taken_by(exit_side), _sign(exit_side)
            fired, moved = book.on_price(sign * to_units(price))
            if sign < 0:
                fired = [replace(item, level=-item.level, price=-item.price) for item in fired]
            reached += [(str(item.key), item) for item in fired]
            if moved:
                moves.append(TrailMove(instrument.id, exit_side, price))
        return reached, moves


def _sign(exit_side: Side) -> int:
    return 1 if exit_side is Side.SELL else -1


def levels_of(position: PositionState) -> Levels | None:
    """A position's levels in price units, negated for a short one; None when nothing protects it."""
    sign = _sign(position.exit_side)

    def units(price: Decimal | None) -> int | None:
        return None if price is None else sign * to_units(price)

    stops = [sign * to_units(price) for price in (position.stop_loss_px, position.break_even_px) if price is not None]
    trail, percent = position.trail, position.break_even_percent if position.break_even_px is None else None
    if not stops and position.take_profit_px is None and trail is None and percent is None:
        return None
    return Levels(
        position.id,
        version=position.protection_version,
        stop=max(stops) if stops else None,
        target=units(position.take_profit_px),
        trail=trail,
        extreme=units(position.trail_extreme_px) if trail is not None else None,
        activation=units(trail.activation) if trail is not None else None,
        break_even=None
        if percent is None
        else _ceil_units(sign * position.avg_entry_px * (ONE + sign * percent / 100)),
    )


def _ceil_units(price: Decimal) -> int:
    units = price * to_units(ONE)
    return int(-(-units // 1))

"""Positions at average cost: what a fill does to one, and what it is worth.

Worked example (03 of the product book): buy 0.5 at 50,000 with fee 25; at 51,000 the unrealized profit
is 475.00; sold at 51,500 with fee 25.75 the realized profit is 699.25.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

from .money import ZERO, round_amount
from .orders import Side
from .protection import Protection, Trail, TrailType


class PositionStatus(StrEnum):
    OPENING = "OPENING"
    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"


P = PositionStatus
TRANSITIONS: Final[dict[PositionStatus, frozenset[PositionStatus]]] = {
    P.OPENING: frozenset({P.OPEN, P.CLOSING, P.CLOSED}),  # CLOSED: sold before its entry was done
    P.OPEN: frozenset({P.CLOSING, P.CLOSED}),
    P.CLOSING: frozenset({P.OPEN, P.CLOSED}),  # OPEN: the exit ended without closing all of it
    P.CLOSED: frozenset(),
}
LIVE_FOR_EXIT: Final = frozenset({P.OPENING, P.OPEN})


class IllegalPositionTransition(Exception):
    """A position may not go from one status to another."""

    def __init__(self, position: PositionState, wanted: PositionStatus) -> None:
        super().__init__(f"position {position.id} cannot go from {position.status} to {wanted}")
        self.position_id, self.current, self.wanted = position.id, position.status, wanted


class ExitReason(StrEnum):
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    TRAILING_STOP = "trailing_stop"
    BREAK_EVEN = "break_even"
    MANUAL = "manual"
    AI_SIGNAL = "ai_signal"


@dataclass(frozen=True, slots=True)
class Fill:
    """``value`` is what changed hands in the quote currency: qty · price, rounded once when it was booked."""

    side: Side
    qty: Decimal
    price: Decimal
    value: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Holding:
    """A position's quantity and cost.

    ``qty`` is signed (short is negative); ``avg_px`` averages prices exactly; ``cost`` is the cash value
    of the entry still open and ``open_fees`` its entry fees, so that when a position is flat
    ``realized`` equals the money that moved, to the cent.
    """

    qty: Decimal = ZERO
    avg_px: Decimal = ZERO
    cost: Decimal = ZERO
    open_fees: Decimal = ZERO
    realized: Decimal = ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        """(mark − avg_px) · qty less the entry fees not yet realized; quote currency, not rounded."""
        return (mark - self.avg_px) * self.qty - self.open_fees

    def unrealized_percent(self, mark: Decimal) -> Decimal:
        """Unrealized profit as a percentage of the entry value; 0 when flat."""
        value = abs(self.avg_px * self.qty)
        return self.unrealized(mark) * 100 / value if value else ZERO


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a fill: the holding afterwards, what it realized (net of fees), how much it closed."""

    holding: Holding
    realized: Decimal
    closed_qty: Decimal
    remainder: Fill | None  # the part that crossed zero and has to open the next position


def _split(fill: Fill, qty: Decimal, scale: int | None) -> tuple[Fill, Fill]:
    """The first ``qty`` of a fill and the rest; value and fee are shared without losing a cent."""
    share = qty / fill.qty
    value, fee = fill.value * share, fill.fee * share
    if scale is not None:
        value, fee = round_amount(value, scale), round_amount(fee, scale)
    first = replace(fill, qty=qty, value=value, fee=fee)
    rest = replace(fill, qty=fill.qty - qty, value=fill.value - value, fee=fill.fee - fee)
    return first, rest


def apply_fill(holding: Holding, fill: Fill, scale: int | None) -> Applied:
    """Book one fill at average cost.

    The same side re-averages; the opposite side realizes at the existing average; what crosses zero is
    handed back as ``remainder``. ``scale`` is the one to which the released cost is rounded
    (half-even; the last part takes what is left); ``None`` computes exactly.
    """
    signed = fill.qty if fill.side is Side.BUY else -fill.qty
    if holding.qty * signed >= 0:
        qty = holding.qty + signed
        avg = (abs(holding.qty) * holding.avg_px + fill.qty * fill.price) / abs(qty)
        opened = replace(
            holding,
            qty=qty,
            avg_px=avg,
            cost=holding.cost + fill.value,
            open_fees=holding.open_fees + fill.fee,
        )
        return Applied(opened, ZERO, ZERO, None)

    remainder: Fill | None = None
    if fill.qty > abs(holding.qty):
        fill, remainder = _split(fill, abs(holding.qty), scale)
    share = fill.qty / abs(holding.qty)
    cost, fees = holding.cost * share, holding.open_fees * share
    if scale is not None and share != 1:
        cost, fees = round_amount(cost, scale), round_amount(fees, scale)
    gross = fill.value - cost if holding.qty > 0 else cost - fill.value
    realized = gross - fees - fill.fee
    left = holding.qty + (fill.qty if fill.side is Side.BUY else -fill.qty)
    closed = Holding(
        qty=left,
        avg_px=holding.avg_px if left else ZERO,
        cost=holding.cost - cost,
        open_fees=holding.open_fees - fees,
        realized=holding.realized + realized,
    )
    return Applied(closed, realized, fill.qty, remainder)


class PositionState(NamedTuple):
    """A position's row. ``qty`` is signed (short is negative); money in the instrument's quote currency.

    ``version`` counts every stored change, ``protection_version`` those of the levels: what was armed with
    an older one does not count any more. ``armed_version`` is the one the engine watches.
    """

    id: str
    client_id: str
    wallet_id: str
    instrument_id: int
    status: PositionStatus
    entry_order_id: str
    entry_mark_px: Decimal | None
    opened_at: datetime
    updated_at: datetime
    version: int = 0
    qty: Decimal = ZERO
    avg_entry_px: Decimal = ZERO
    cost: Decimal = ZERO
    open_fees: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    entry_qty: Decimal = ZERO
    entry_value: Decimal = ZERO
    entry_fees: Decimal = ZERO
    exit_qty: Decimal = ZERO
    exit_value: Decimal = ZERO
    exit_fees: Decimal = ZERO
    exit_order_id: str | None = None
    exit_reason: str | None = None
    stop_loss_px: Decimal | None = None
    take_profit_px: Decimal | None = None
    trail_type: TrailType | None = None
    trail_value: Decimal | None = None
    trail_activation_px: Decimal | None = None
    trail_extreme_px: Decimal | None = None
    break_even_percent: Decimal | None = None
    break_even_px: Decimal | None = None
    protection_version: int = 0
    armed_version: int = -1
    stop_adjustments: int = 0
    high_px: Decimal | None = None
    low_px: Decimal | None = None
    price_moves: int = 0
    closed_at: datetime | None = None

    @classmethod
    def of(cls, row: Any) -> PositionState:
        """From a row of ``positions``, by column name."""
        found = cls._make([row[name] for name in cls._fields])
        trail_type = None if found.trail_type is None else TrailType(found.trail_type)
        return found._replace(status=P(found.status), trail_type=trail_type)

    def row(self) -> dict[str, Any]:
        return self._asdict() | {"status": self.status.value, "trail_type": self.trail_type and self.trail_type.value}

    @property
    def holding(self) -> Holding:
        return Holding(self.qty, self.avg_entry_px, self.cost, self.open_fees, self.realized_pnl)

    @property
    def trail(self) -> Trail | None:
        if self.trail_type is None or self.trail_value is None:
            return None
        return Trail(self.trail_type, self.trail_value, self.trail_activation_px)

    @property
    def protection(self) -> Protection:
        """The wanted exits."""
        return Protection(self.stop_loss_px, self.take_profit_px, self.trail, self.break_even_percent)

    @property
    def entry_side(self) -> Side:
        """The side of the orders that open it."""
        return Side.BUY if self.qty >= 0 else Side.SELL

    @property
    def exit_side(self) -> Side:
        """The side of the orders that close it."""
        return Side.SELL if self.qty >= 0 else Side.BUY

    @property
    def may_exit(self) -> bool:
        """Whether its levels are watched: it holds something, and nothing closes it yet."""
        return self.status in LIVE_FOR_EXIT and bool(self.qty) and self.exit_order_id is None


POSITION_COLUMNS: Final = PositionState._fields


def changed(position: PositionState, now: datetime, **changes: Any) -> PositionState:
    """The position after one more stored change."""
    return position._replace(version=position.version + 1, updated_at=now, **changes)


def move(position: PositionState, wanted: PositionStatus, now: datetime, **changes: Any) -> PositionState:
    """The one way to another status. Raises ``IllegalPositionTransition``."""
    if wanted not in TRANSITIONS[position.status]:
        raise IllegalPositionTransition(position, wanted)
    if wanted is P.CLOSED:
        changes["closed_at"] = now
    return changed(position, now, status=wanted, **changes)


def begin_exit(position: PositionState, now: datetime, reason: ExitReason, order_id: str | None) -> PositionState:
    """CLOSING, by ``order_id`` where there is one already; levels armed before do not count any more."""
    version = position.protection_version + 1
    return move(position, P.CLOSING, now, exit_reason=reason.value, exit_order_id=order_id, protection_version=version)


def take_back_exit(position: PositionState, now: datetime) -> PositionState:
    """OPEN again: the exit ended without closing all of it; the levels get a version that may fire."""
    version = position.protection_version + 1
    return move(position, P.OPEN, now, exit_reason=None, exit_order_id=None, protection_version=version)


def protect(position: PositionState, protection: Protection, mark: Decimal | None) -> PositionState:
    """The wanted exits in place of those it has; its ``version`` is the caller's to count.

    A trail that stays as it was keeps the best price it has seen: its trigger never moves back. One
    without an activation price starts tracking at ``mark``.
    """
    trail, changes = protection.trail, dict[str, Any]()
    if trail is None or trail != position.trail:
        changes["trail_extreme_px"] = (
            mark if trail is not None and _tracks_at(trail, mark, position.exit_side) else None
        )
    if position.break_even_percent != protection.break_even:
        changes |= {"break_even_percent": protection.break_even, "break_even_px": None}
    return position._replace(
        stop_loss_px=protection.stop_loss,
        take_profit_px=protection.take_profit,
        trail_type=trail.type if trail else None,
        trail_value=trail.value if trail else None,
        trail_activation_px=trail.activation if trail else None,
        protection_version=position.protection_version + 1,
        **changes,
    )


def _tracks_at(trail: Trail, mark: Decimal | None, exit_side: Side) -> bool:
    if trail.activation is None:
        return True
    if mark is None:
        return False
    return mark >= trail.activation if exit_side is Side.SELL else mark <= trail.activation


@dataclass(frozen=True, slots=True)
class Booked:
    """A position after a fill: by how much it changed (signed), and what that realized, net of fees."""

    position: PositionState
    qty: Decimal
    realized: Decimal


def book_fill(position: PositionState, fill: Fill, scale: int, now: datetime) -> Booked:
    """A fill on the position: it grows, shrinks, or is CLOSED when nothing is left.

    What crosses zero is an exchange of assets, no more: a cash wallet cannot be short. ``scale`` is the quote
    currency's.
    """
    applied = apply_fill(position.holding, fill, scale)
    holding, rest = applied.holding, applied.remainder
    changes: dict[str, Any] = {
        "qty": holding.qty,
        "avg_entry_px": round(holding.avg_px, 18),
        "cost": holding.cost,
        "open_fees": holding.open_fees,
        "realized_pnl": holding.realized,
        "high_px": fill.price if position.high_px is None else max(position.high_px, fill.price),
        "low_px": fill.price if position.low_px is None else min(position.low_px, fill.price),
    }
    if applied.closed_qty:
        changes |= {
            "exit_qty": position.exit_qty + applied.closed_qty,
            "exit_value": position.exit_value + fill.value - (rest.value if rest else ZERO),
            "exit_fees": position.exit_fees + fill.fee - (rest.fee if rest else ZERO),
        }
    else:
        changes |= {
            "entry_qty": position.entry_qty + fill.qty,
            "entry_value": position.entry_value + fill.value,
            "entry_fees": position.entry_fees + fill.fee,
        }
    step = holding.qty - position.qty
    if holding.qty:
        return Booked(changed(position, now, **changes), step, applied.realized)
    return Booked(move(position, P.CLOSED, now, **changes), step, applied.realized)

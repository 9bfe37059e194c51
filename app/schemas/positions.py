"""Positions: requests to protect and close them, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from app.core.clock import iso
from app.domain.money import ZERO, text
from app.domain.positions import PositionState, PositionStatus
from app.domain.protection import Protection
from app.domain.quotes import Quote

from .base import AmountOut, Percent, PositiveAmount, QueryBool, Request, Response, Text, TimeOut
from .orders import PageQuery, ProtectionIn


class ProtectIn(ProtectionIn):
    """What of the protection changes: what is left out stays as it is, null removes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"stop_loss": "60000", "take_profit": None}]})

    @model_validator(mode="after")
    def _something(self) -> ProtectIn:
        if not self.model_fields_set:
            raise PydanticCustomError("required", "name what to set, or to remove with null")
        return self

    def over(self, current: Protection) -> Protection:
        """``current`` with what was named put in its place."""
        wanted, named = self.to_domain(), self.model_fields_set
        return Protection(
            stop_loss=wanted.stop_loss if "stop_loss" in named else current.stop_loss,
            take_profit=wanted.take_profit if "take_profit" in named else current.take_profit,
            trail=wanted.trail if "trailing_stop" in named else current.trail,
            break_even=wanted.break_even if "break_even_percent" in named else current.break_even,
        )


class CloseIn(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"qty": "0.05"}, {"all": True}]})

    qty: PositiveAmount | None = Field(None, description="Part of it, in base currency")
    all: StrictBool = Field(False, description="true: all of it, in place of qty")
    client_order_id: Annotated[Text, Field(min_length=1, max_length=48, pattern=r"^[\x21-\x7e]+$")] | None = None

    @model_validator(mode="after")
    def _how_much(self) -> CloseIn:
        if self.all == (self.qty is not None):
            raise PydanticCustomError("required", "give either qty or all: true")
        return self


class SignalIn(Request):
    action: Literal["hold", "reduce", "close"]
    confidence: Annotated[Percent, Field(ge=0, le=100)]
    urgency: Literal["low", "medium", "high"] | None = None
    reasoning: str | None = Field(None, max_length=2000)
    reduce_percent: Annotated[Percent, Field(ge=1, le=99)] = 50


class PositionQuery(PageQuery):
    client_id: str | None = None
    wallet_id: str | None = None
    symbol: str | None = None
    status: PositionStatus | None = None
    open: QueryBool | None = Field(None, description="true: not yet closed; false: closed")


class PositionOut(Response):
    id: str
    client_id: str
    wallet_id: str
    symbol: str
    side: Literal["LONG", "SHORT"]
    status: PositionStatus
    version: int
    qty: AmountOut
    quote_currency: str
    entry: dict[str, Any]
    current: dict[str, Any]
    exit: dict[str, Any]
    statistics: dict[str, Any]
    protection: dict[str, Any]
    realized_pnl: AmountOut
    realized_percent: str
    opened_at: TimeOut
    updated_at: TimeOut
    closed_at: TimeOut | None


def _number(value: Decimal | None) -> str | None:
    return None if value is None else text(value)


def _price(value: Decimal | None) -> str | None:
    """An average that may not end: shown with ten decimals at most."""
    return None if value is None else text(round(value, 10))


def protection_json(position: PositionState) -> dict[str, Any]:
    """The wanted exits and where they stand now; ``trigger_price`` is what the trail has come to."""
    trail = position.trail
    extreme = position.trail_extreme_px
    return {
        "stop_loss": _number(position.stop_loss_px),
        "take_profit": _number(position.take_profit_px),
        "trailing_stop": None if trail is None else {
            "type": trail.type.value,
            "value": text(trail.value),
            "activation_price": _number(trail.activation),
            "best_price": _number(extreme),
            "trigger_price": _price(trail.trigger(position.exit_side, extreme)) if extreme is not None else None,
        },
        "break_even_percent": _number(position.break_even_percent),
        "break_even_price": _price(position.break_even_px),
    }  # fmt: skip


def _percent(part: Decimal, whole: Decimal) -> str:
    return text(round(part * 100 / whole, 4)) if whole else "0"


def current_json(position: PositionState, quote: Quote | None, now: datetime) -> dict[str, Any]:
    """What the position is worth at the side of the quote it would be closed at."""
    holding = position.holding
    if quote is None or not holding.qty:
        return {"price": None, "value": None, "unrealized_pnl": None, "unrealized_percent": None,
                "minutes_held": _minutes(position, now), "high": _number(position.high_px),
                "low": _number(position.low_px),
                "drawdown_percent": None, "risk_level": None}  # fmt: skip
    mark = quote.bid if holding.qty > 0 else quote.ask
    percent = holding.unrealized_percent(mark)
    high = max(position.high_px or mark, mark)
    return {
        "price": text(mark),
        "value": text(round(mark * abs(holding.qty), 8)),
        "unrealized_pnl": text(round(holding.unrealized(mark), 8)),
        "unrealized_percent": text(round(percent, 4)),
        "minutes_held": _minutes(position, now),
        "high": text(high),
        "low": text(min(position.low_px or mark, mark)),
        "drawdown_percent": _percent(high - mark, high),
        "risk_level": "high" if percent <= -5 else "medium" if percent <= -2 else "low",
    }


def _minutes(position: PositionState, now: datetime) -> int:
    return int(((position.closed_at or now) - position.opened_at).total_seconds() // 60)


def position_json(
    position: PositionState, symbol: str, quote_currency: str, quote: Quote | None, now: datetime
) -> dict[str, Any]:
    """A position as the API and every event show it."""
    entry_px = position.avg_entry_px if position.qty else position.entry_value / position.entry_qty
    exit_px = position.exit_value / position.exit_qty if position.exit_qty else None
    mark = position.entry_mark_px
    high, low = position.high_px, position.low_px
    return {
        "id": position.id,
        "client_id": position.client_id,
        "wallet_id": position.wallet_id,
        "symbol": symbol,
        "side": "LONG" if position.qty >= 0 else "SHORT",
        "status": position.status.value,
        "version": position.version,
        "qty": text(position.qty),
        "quote_currency": quote_currency,
        "entry": {
            "order_id": position.entry_order_id,
            "price": _price(entry_px),
            "qty": text(position.entry_qty),
            "value": text(position.entry_value),
            "fees": text(position.entry_fees),
            "at": iso(position.opened_at),
        },
        "current": current_json(position, quote, now),
        "exit": {
            "order_id": position.exit_order_id,
            "price": _price(exit_px),
            "qty": text(position.exit_qty),
            "value": text(position.exit_value),
            "fees": text(position.exit_fees),
            "reason": position.exit_reason,
            "at": None if position.closed_at is None else iso(position.closed_at),
        },
        "statistics": {
            "fees": text(position.entry_fees + position.exit_fees),
            "entry_slippage": _price(entry_px - mark) if mark is not None else None,
            "price_moves": position.price_moves,
            "stop_adjustments": position.stop_adjustments,
            "mfe": _price(max(high - entry_px, ZERO) * position.entry_qty) if high is not None else None,
            "mae": _price(max(entry_px - low, ZERO) * position.entry_qty) if low is not None else None,
        },
        "protection": protection_json(position),
        "realized_pnl": text(position.realized_pnl),
        "realized_percent": _percent(position.realized_pnl, entry_px * position.exit_qty),
        "opened_at": iso(position.opened_at),
        "updated_at": iso(position.updated_at),
        "closed_at": None if position.closed_at is None else iso(position.closed_at),
    }

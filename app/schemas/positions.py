"""Positions: requests to protect and close them, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from app.core.clock import iso
from app.domain.money import ZERO, text
from app.domain.positions import PositionState, PositionStatus
from app.domain.protection import Protection, TrailType
from app.domain.quotes import Quote

from .base import AmountOut, Percent, PositiveAmount, QueryBool, Request, Response, Text, TimeOut
from .orders import PageQuery, ProtectionIn


class ProtectIn(ProtectionIn):
    """What of the protection changes: what is left out stays as it is, null removes."""

    @model_validator(mode="after")
    def _something(self) -> ProtectIn:
        if not self.model_fields_set:
            raise PydanticCustomError("required", "name what to set, or to remove with null")
        return self

    def over(self, current: Protection) -> Protection:
        """``current`` with what was named put in its place."""
        wanted, named = self.legs(), self.model_fields_set
        return Protection(
            stop_loss=wanted.stop_loss if "stop_loss" in named else current.stop_loss,
            take_profit=wanted.take_profit if "take_profit" in named else current.take_profit,
            trail=wanted.trail if "trailing_stop" in named else current.trail,
            break_even=wanted.break_even if "break_even_percent" in named else current.break_even,
        )


class CloseIn(Request):
    qty: PositiveAmount | None = Field(None, description="Part of it, in base currency")
    all: StrictBool = Field(False, description="true: all of it, in place of qty")
    client_order_id: Annotated[Text, Field(min_length=1, max_length=48, pattern=r"^[\x21-\x7e]+$")] | None = Field(
        None,
        description="Yours, for the order that closes: 1 to 48 printable ASCII characters. With qty it is "
        "needed, unless an Idempotency-Key is sent: a partial close sent again after a lost "
        "answer would sell twice",
    )

    @model_validator(mode="after")
    def _how_much(self) -> CloseIn:
        if self.all == (self.qty is not None):
            raise PydanticCustomError("required", "give either qty or all: true")
        return self


class SignalIn(Request):
    action: Literal["hold", "reduce", "close"] = Field(
        description="hold only notes; reduce sells reduce_percent, close all, where confidence reaches the "
        "threshold of the wallet"
    )
    confidence: Annotated[Percent, Field(ge=0, le=100)] = Field(
        description="How sure the strategy is, percent, 0 to 100"
    )
    urgency: Literal["low", "medium", "high"] | None = Field(None, description="Kept with the signal, never judged")
    reasoning: str | None = Field(None, max_length=2000, description="Why, at most 2,000 characters")
    reduce_percent: Annotated[Percent, Field(ge=1, le=99)] = Field(
        50, description="How much of the position reduce sells, percent, 1 to 99"
    )


class PositionQuery(PageQuery):
    client_id: str | None = Field(None, description="Of this client, by code or id")
    wallet_id: str | None = Field(None, description="Of this wallet")
    symbol: str | None = Field(None, description="In this instrument, in any known form")
    status: PositionStatus | None = Field(None, description="In this status")
    open: QueryBool | None = Field(None, description="true: not yet closed; false: closed")


class PositionEntryOut(Response):
    order_id: str | None = Field(description="Id of the first order that opened it")
    price: AmountOut = Field(description="Average entry price, in quote currency, at most 10 decimals")
    qty: AmountOut = Field(description="Bought in all, in base currency")
    value: AmountOut = Field(description="Paid for it in all, in quote currency")
    fees: AmountOut = Field(description="Fees of that, in quote currency")
    at: TimeOut = Field(description="Time of the first fill")


class PositionCurrentOut(Response):
    """Null where there is no quote, or nothing is held any more."""

    price: AmountOut | None = Field(description="The bid of a long position, in quote currency")
    value: AmountOut | None = Field(description="price times qty, in quote currency")
    unrealized_pnl: AmountOut | None = Field(description="Profit if it were sold at price, after entry fees")
    unrealized_percent: str | None = Field(description="The same in percent of the cost")
    minutes_held: int = Field(description="Whole minutes since the first fill")
    high: AmountOut | None = Field(description="Highest price while held, in quote currency")
    low: AmountOut | None = Field(description="Lowest price while held, in quote currency")
    drawdown_percent: str | None = Field(description="How far price is below high, percent of high")
    risk_level: Literal["low", "medium", "high"] | None = Field(
        description="high from a loss of 5 %, medium from 2 %, else low"
    )


class PositionExitOut(Response):
    order_id: str | None = Field(description="Id of the order that closes it, else null")
    price: AmountOut | None = Field(description="Average exit price, in quote currency; null before any")
    qty: AmountOut = Field(description="Sold so far, in base currency")
    value: AmountOut = Field(description="Received for it, in quote currency")
    fees: AmountOut = Field(description="Fees of that, in quote currency")
    reason: str | None = Field(
        description="manual, stop_loss, take_profit, trailing_stop, break_even, ai_signal or null"
    )
    at: TimeOut | None = Field(description="When nothing was left, else null")


class PositionStatisticsOut(Response):
    fees: AmountOut = Field(description="Of entry and exit, in quote currency")
    entry_slippage: AmountOut | None = Field(description="Entry price minus the market's then, in quote currency")
    price_moves: int = Field(description="How many quotes changed its value")
    stop_adjustments: int = Field(description="How often its exits were changed by hand")
    mfe: AmountOut | None = Field(description="Best unrealized profit of all its quantity, in quote currency")
    mae: AmountOut | None = Field(description="Worst unrealized loss of all its quantity, in quote currency, positive")


class PositionTrailOut(Response):
    type: TrailType = Field(description="percent, amount (quote currency) or bps")
    value: AmountOut = Field(description="Distance from the best price")
    activation_price: AmountOut | None = Field(description="Follows from this price, in quote currency; null: at once")
    best_price: AmountOut | None = Field(description="Best price seen since, in quote currency")
    trigger_price: AmountOut | None = Field(description="Where it would sell now, in quote currency")


class PositionProtectionOut(Response):
    stop_loss: AmountOut | None = Field(description="Price in quote currency, else null")
    take_profit: AmountOut | None = Field(description="Price in quote currency, else null")
    trailing_stop: PositionTrailOut | None = Field(description="A stop that follows the best price, else null")
    break_even_percent: AmountOut | None = Field(description="Gain in percent at which the stop moves, else null")
    break_even_price: AmountOut | None = Field(description="Where it moved to, in quote currency; null before")


class PositionOut(Response):
    id: str = Field(description="Id of the position")
    client_id: str = Field(description="Id of the client")
    wallet_id: str = Field(description="Id of the wallet")
    symbol: str = Field(description="The instrument, such as BTC/USDT")
    side: Literal["LONG", "SHORT"] = Field(description="LONG or SHORT")
    status: PositionStatus = Field(
        description="OPENING until its entry is done, OPEN, CLOSING while an exit is on its way, CLOSED"
    )
    version: int = Field(description="Grows by one with each change; the ETag is made of it")
    qty: AmountOut = Field(description="Held now, in base currency")
    quote_currency: str = Field(description="Of prices, values, fees and profits")
    entry: PositionEntryOut = Field(description="How it was entered")
    current: PositionCurrentOut = Field(description="Its worth now, at the side of the quote it would be closed at")
    exit: PositionExitOut = Field(description="How it was left so far")
    statistics: PositionStatisticsOut = Field(description="Of its life so far")
    protection: PositionProtectionOut = Field(description="The exits that are armed")
    realized_pnl: AmountOut = Field(description="Profit of what was sold, after fees, in quote currency")
    realized_percent: str = Field(description="The same in percent of what that part cost")
    opened_at: TimeOut = Field(description="Time of the first fill")
    updated_at: TimeOut = Field(description="When it last changed")
    closed_at: TimeOut | None = Field(description="When nothing of it was left, else null")


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
        "trailing_stop": None
        if trail is None
        else {
            "type": trail.type.value,
            "value": text(trail.value),
            "activation_price": _number(trail.activation),
            "best_price": _number(extreme),
            "trigger_price": _price(trail.trigger(position.exit_side, extreme)) if extreme is not None else None,
        },
        "break_even_percent": _number(position.break_even_percent),
        "break_even_price": _price(position.break_even_px),
    }


def _percent(part: Decimal, whole: Decimal) -> str:
    return text(round(part * 100 / whole, 4)) if whole else "0"


def current_json(position: PositionState, quote: Quote | None, now: datetime) -> dict[str, Any]:
    """What the position is worth at the side of the quote it would be closed at."""
    holding = position.holding
    if quote is None or not holding.qty:
        return {
            "price": None,
            "value": None,
            "unrealized_pnl": None,
            "unrealized_percent": None,
            "minutes_held": _minutes(position, now),
            "high": _number(position.high_px),
            "low": _number(position.low_px),
            "drawdown_percent": None,
            "risk_level": None,
        }
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

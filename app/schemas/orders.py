"""Orders: what a request may say, and how an order is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from app.core import json
from app.core.clock import iso
from app.core.pagination import DEFAULT_LIMIT, MAX_LIMIT
from app.domain.execution import OrderState
from app.domain.money import text
from app.domain.order_requests import OrderRequest, body_hash
from app.domain.orders import OrderSource, OrderStatus, OrderType, Side, TimeInForce
from app.domain.protection import Protection, Trail, TrailType

from .base import (
    Amount,
    AmountOut,
    Percent,
    PositiveAmount,
    QueryBool,
    QueryInt,
    Request,
    Response,
    Text,
    Time,
    TimeOut,
    check_range,
)


class TrailIn(Request):
    """A trailing stop: how far it follows, and the price from which it does."""

    type: TrailType = Field(
        TrailType.PERCENT,
        description="How value is measured: percent of the best price, amount in quote currency, bps "
        "(hundredths of a percent)",
    )
    value: PositiveAmount = Field(
        description="Distance from the best price seen, above 0; below 100 as percent, below 10,000 as bps"
    )
    activation_price: PositiveAmount | None = Field(
        None,
        description="Follows only once the market has reached this price, in quote currency; at once when left out",
    )


class ProtectionIn(Request):
    """Exits in the instrument's quote currency; leave out what is not wanted."""

    stop_loss: PositiveAmount | None = Field(
        None,
        description="Sells at the market once the bid is at or below this price, in quote currency; on the "
        "tick, below the market",
    )
    take_profit: PositiveAmount | None = Field(
        None,
        description="Sells at the market once the bid is at or above this price, in quote currency; on the "
        "tick, above the market",
    )
    trailing_stop: TrailIn | None = Field(None, description="A stop that follows the best price and never moves back")
    break_even_percent: PositiveAmount | None = Field(
        None,
        description="Once the position has gained this percent of its entry price, its stop moves to the "
        "price that covers entry and fees",
    )

    def legs(self) -> Protection:
        """The exits it names."""
        trail = self.trailing_stop
        return Protection(
            stop_loss=self.stop_loss,
            take_profit=self.take_profit,
            trail=None if trail is None else Trail(trail.type, trail.value, trail.activation_price),
            break_even=self.break_even_percent,
        )


class StrategyIn(Request):
    """Where an automated decision came from; kept with the order, never judged."""

    flow_id: Text | None = Field(None, max_length=100, description="Of the flow that decided, at most 100 characters")
    execution_id: Text | None = Field(None, max_length=100, description="Of the run of it, at most 100 characters")
    agent: Text | None = Field(None, max_length=100, description="Who decided, at most 100 characters")
    reasoning: str | None = Field(None, max_length=4000, description="Why, at most 4,000 characters")
    confidence: Annotated[Percent, Field(ge=0, le=100)] | None = Field(
        None, description="How sure it was, percent, 0 to 100"
    )
    tags: list[Annotated[Text, Field(max_length=50)]] = Field(
        default_factory=list, max_length=20, description="At most 20, each of at most 50 characters"
    )
    notes: str | None = Field(None, max_length=2000, description="At most 2,000 characters")


class OrderIn(ProtectionIn):
    client_id: Text | None = Field(None, max_length=64, description="Code or id; for callers who act for clients")
    wallet_id: Text | None = Field(None, max_length=64, description="The default wallet when left out")
    client_order_id: Annotated[Text, Field(min_length=1, max_length=48, pattern=r"^[\x21-\x7e]+$")] | None = Field(
        None,
        description="Yours, unique per wallet for ever: 1 to 48 printable ASCII characters without space. The "
        "same body again answers the first order",
    )
    symbol: Text = Field(max_length=32, description="Any known form: BTC/USDT, BTCUSDT, XAUUSD")
    side: Side = Field(description="BUY or SELL")
    type: OrderType = Field(description="MARKET or LIMIT")
    qty: Amount | None = Field(None, description="In base currency")
    quote_qty: Amount | None = Field(None, description="Market buys only: an amount of quote currency instead of qty")
    price: Amount | None = Field(
        None,
        description="Of a LIMIT order, above 0, in quote currency, on the tick of the instrument; a MARKET "
        "order has none",
    )
    time_in_force: TimeInForce = Field(
        TimeInForce.GTC,
        description="GTC until canceled, DAY until the trading day ends, IOC what fills at once, FOK all at "
        "once or nothing",
    )
    reduce_only: StrictBool = Field(False, description="true: sells no more than the position holds")
    post_only: StrictBool = Field(
        False, description="true: rejected where it would execute at once; LIMIT with GTC or DAY"
    )
    strategy: StrategyIn | None = Field(None, description="Where an automated decision came from; kept, never judged")
    dry_run: StrictBool = Field(
        False, description="true: answers cost, fee, reserve and failing checks, and stores nothing"
    )

    @model_validator(mode="after")
    def _quantity(self) -> OrderIn:
        if (self.qty is None) == (self.quote_qty is None):
            raise PydanticCustomError("invalid_qty", "exactly one of qty and quote_qty is needed")
        return self

    def order_request(
        self, wallet_id: str, created_by: str, source: OrderSource, *, key_id: str | None = None
    ) -> OrderRequest:
        """What is asked for, by whom and for which wallet."""
        named = self.client_order_id is not None
        said = json.dumps(self.model_dump(mode="python", exclude={"dry_run"})) if named else ""
        return OrderRequest(
            wallet_id=wallet_id,
            symbol=self.symbol,
            side=self.side,
            type=self.type,
            created_by=created_by,
            source=source,
            qty=self.qty,
            quote_qty=self.quote_qty,
            price=self.price,
            time_in_force=self.time_in_force,
            reduce_only=self.reduce_only,
            post_only=self.post_only,
            protection=self.legs(),
            client_order_id=self.client_order_id,
            body_hash=body_hash(said) if named else None,
            strategy=self.strategy.model_dump(exclude_none=True) if self.strategy else None,
            key_id=key_id,
        )


class OrderBatchIn(Request):
    orders: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=100,
        description="1 to 100 orders, each as POST /orders takes it; they are handled in this order",
    )


class OrderAmendIn(Request):
    qty: Amount | None = Field(
        None, description="New whole quantity in base currency, filled part included; on the lot, above what is filled"
    )
    price: Amount | None = Field(None, description="New price in quote currency, on the tick; LIMIT orders only")

    @model_validator(mode="after")
    def _something(self) -> OrderAmendIn:
        if self.qty is None and self.price is None:
            raise PydanticCustomError("required", "qty, price or both are needed")
        return self


class CancelAllIn(Request):
    """What is named narrows it down; to cancel everything one says so."""

    all: StrictBool = Field(False, description="true: everything that the other fields leave")
    client_id: Text | None = Field(None, max_length=64, description="Orders of this client, by code or id")
    wallet_id: Text | None = Field(None, max_length=64, description="Orders of this wallet")
    symbol: Text | None = Field(None, max_length=32, description="Orders in this instrument, in any known form")
    side: Side | None = Field(None, description="BUY or SELL orders alone")

    @model_validator(mode="after")
    def _something(self) -> CancelAllIn:
        if not self.all and (self.client_id, self.wallet_id, self.symbol, self.side) == (None,) * 4:
            raise PydanticCustomError("required", "name what to cancel, or say all: true")
        return self


class PageQuery(Request):
    limit: Annotated[QueryInt, Field(ge=1, le=MAX_LIMIT)] = Field(
        DEFAULT_LIMIT, description="Most objects of one answer, 1 to 500"
    )
    offset: Annotated[QueryInt, Field(ge=0, le=10_000_000)] = Field(0, description="How many to skip, 0 to 10,000,000")


class OrderQuery(PageQuery):
    client_id: str | None = Field(None, description="Of this client, by code or id")
    wallet_id: str | None = Field(None, description="Of this wallet")
    symbol: str | None = Field(None, description="In this instrument, in any known form")
    side: Side | None = Field(None, description="BUY or SELL")
    status: OrderStatus | None = Field(None, description="In this status")
    open: QueryBool | None = Field(None, description="true: live orders only; false: finished ones")
    created_from: Time | None = Field(None, description="Created at this moment or later")
    created_to: Time | None = Field(None, description="Created before this moment")

    @model_validator(mode="after")
    def _range(self) -> OrderQuery:
        check_range(self.created_from, self.created_to)
        return self


class TrailOut(Response):
    type: TrailType = Field(description="percent, amount (quote currency) or bps")
    value: AmountOut = Field(description="Distance from the best price")
    activation_price: AmountOut | None = Field(
        description="Follows once the market has reached it, in quote currency; null: at once"
    )


class ProtectionOut(Response):
    stop_loss: AmountOut | None = Field(description="Price in quote currency, else null")
    take_profit: AmountOut | None = Field(description="Price in quote currency, else null")
    trailing_stop: TrailOut | None = Field(description="A stop that follows the best price, else null")
    break_even_percent: AmountOut | None = Field(
        description="Gain in percent at which the stop moves to break-even, else null"
    )


class FailureOut(Response):
    code: str = Field(description="Which check fails, such as INSUFFICIENT_BALANCE")
    message: str = Field(description="The same in words")
    values: dict[str, str] = Field(description="What decided it: the limit and what the order comes to")


class OrderOut(Response):
    id: str = Field(description="Id of the order")
    client_order_id: str | None = Field(description="The id its sender gave it, else null")
    client_id: str = Field(description="Id of the client")
    wallet_id: str = Field(description="Id of the wallet")
    symbol: str = Field(description="The instrument, such as BTC/USDT")
    side: Side = Field(description="BUY or SELL")
    type: OrderType = Field(description="MARKET or LIMIT")
    time_in_force: TimeInForce = Field(description="How long it is valid")
    qty: AmountOut = Field(description="Whole quantity, in base currency")
    quote_qty: AmountOut | None = Field(description="What was asked for in quote currency, else null")
    price: AmountOut | None = Field(description="Limit in quote currency; null: market")
    expires_at: TimeOut | None = Field(description="When a DAY order ends, else null")
    reduce_only: bool = Field(description="true: sells no more than the position holds")
    post_only: bool = Field(description="true: never executes at once")
    protection: ProtectionOut | None = Field(description="The exits it asked for; null: none")
    position_id: str | None = Field(
        description="Id of the position it opened, added to or reduces; null before the first fill"
    )
    exit_reason: str | None = Field(
        description="Why it leaves a position: manual, stop_loss, take_profit, trailing_stop, break_even, "
        "ai_signal; else null"
    )
    status: OrderStatus = Field(description="Where it is; FILLED, CANCELED, REJECTED, EXPIRED and FAILED are final")
    version: int = Field(description="Grows by one with each change; the ETag is made of it")
    cum_qty: AmountOut = Field(description="Filled so far, in base currency")
    leaves_qty: AmountOut = Field(description="May still fill, in base currency; 0 once final")
    avg_px: AmountOut | None = Field(description="Average price of the fills, in quote currency; null before the first")
    fees: AmountOut = Field(description="Fees of the fills so far, in quote currency")
    held: AmountOut = Field(description="Set aside for it now, in hold_currency")
    hold_currency: str = Field(description="Of held: quote currency of a buy, base currency of a sale")
    pending_qty: AmountOut | None = Field(description="Quantity of an amendment the venue has not confirmed, else null")
    pending_price: AmountOut | None = Field(description="Price of an amendment the venue has not confirmed, else null")
    reject_code: str | None = Field(description="The first failing check of a refused order, else null")
    reject_reason: str | None = Field(description="The same in words, else null")
    reject_values: list[FailureOut] | None = Field(description="Every failing check of a refused order, else null")
    venue: str = Field(description="Where it goes; SIM is the simulated venue")
    venue_order_id: str | None = Field(description="The id the venue gave it; null before it has answered")
    source: Literal["web", "api", "engine"] = Field(description="Who made it: web, api, or engine for exits that fired")
    created_by: str = Field(description="user:<id>, key:<id>, engine or system")
    strategy: dict[str, Any] | None = Field(description="What came with it as strategy, else null")
    created_at: TimeOut = Field(description="When it was stored")
    submitted_at: TimeOut | None = Field(description="When it was sent to the venue, else null")
    first_fill_at: TimeOut | None = Field(description="Time of the first fill, else null")
    last_fill_at: TimeOut | None = Field(description="Time of the newest fill, else null")
    closed_at: TimeOut | None = Field(description="When it became final, else null")


class ExecutionOut(Response):
    id: str = Field(description="Id of the execution")
    order_id: str = Field(description="Id of the order")
    client_id: str = Field(description="Id of the client")
    wallet_id: str = Field(description="Id of the wallet")
    position_id: str | None = Field(description="Id of the position it changed; null for an exchange of assets")
    symbol: str = Field(description="The instrument, such as BTC/USDT")
    side: Side = Field(description="BUY or SELL")
    qty: AmountOut = Field(description="In base currency")
    price: AmountOut = Field(description="In quote currency per one base")
    value: AmountOut = Field(description="qty times price, in quote currency")
    fee: AmountOut = Field(description="In fee_currency")
    fee_currency: str = Field(description="The quote currency")
    liquidity: Literal["maker", "taker"] = Field(description="maker: it rested; taker: it took")
    realized_pnl: AmountOut = Field(
        description="Profit of a sale against the entry, after its share of fees, in quote currency; 0 for a buy"
    )
    venue: str = Field(description="Where it happened")
    trade_id: str = Field(description="The id the venue gave it")
    journal_entry_id: str = Field(description="Id of the journal entry that booked it")
    executed_at: TimeOut = Field(description="The time the venue says")


class FixMessageOut(Response):
    id: int = Field(description="Number of the message, growing")
    direction: Literal["in", "out"] = Field(description="out: to the venue; in: from it")
    msg_type: str = Field(
        description="FIX tag 35: D new order, F cancel, G replace, 8 execution report, 9 cancel reject"
    )
    message: str = Field(description="Fields separated by |")
    at: TimeOut = Field(description="When it was sent or received")


class ChangeOut(Response):
    """Something an order would change of what is there already."""

    code: Literal[
        "STOP_LOSS_CHANGES",
        "TAKE_PROFIT_CHANGES",
        "TRAILING_STOP_CHANGES",
        "BREAK_EVEN_CHANGES",
        "DEFAULT_STOP_LOSS",
        "DEFAULT_TAKE_PROFIT",
    ] = Field(description="Stable, for programs")
    message: str = Field(description="For people, in English")
    values: dict[str, Any] = Field(description="``from`` and ``to``, null for none; ``percent`` of a default")


class DryRunOut(Response):
    accepted: bool = Field(description="Whether it would be accepted now")
    failures: list[FailureOut] = Field(description="Every check that fails")
    symbol: str = Field(description="The instrument, such as BTC/USDT")
    side: Side = Field(description="BUY or SELL")
    type: OrderType = Field(description="MARKET or LIMIT")
    qty: AmountOut = Field(description="In base currency; what quote_qty buys at the reference price")
    reference_price: AmountOut | None = Field(
        description="The price it was judged at, in quote currency; null without a quote"
    )
    value: AmountOut | None = Field(description="qty times reference_price, in quote currency")
    fee: AmountOut | None = Field(description="Expected fee, in quote currency")
    reserve: AmountOut = Field(description="What would be set aside, in reserve_currency")
    reserve_currency: str = Field(description="Quote currency of a buy, base currency of a sale")
    available: AmountOut = Field(description="What the wallet has free, in reserve_currency")
    notional_usd: AmountOut | None = Field(description="The value in USD; null when it cannot be priced")
    changes: list[ChangeOut] = Field(description="What it would change of what is there already")


def _number(value: Any) -> str | None:
    return None if value is None else text(value)


def _time(value: Any) -> str | None:
    return None if value is None else iso(value)


def order_json(order: OrderState, symbol: str) -> dict[str, Any]:
    """An order as the API and every event show it."""
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "client_id": order.client_id,
        "wallet_id": order.wallet_id,
        "symbol": symbol,
        "side": order.side.value,
        "type": order.type.value,
        "time_in_force": order.time_in_force,
        "qty": text(order.qty),
        "quote_qty": _number(order.quote_qty),
        "price": _number(order.price),
        "expires_at": _time(order.expires_at),
        "reduce_only": order.reduce_only,
        "post_only": order.post_only,
        "protection": order.protection,
        "position_id": order.position_id,
        "exit_reason": order.exit_reason,
        "status": order.status.value,
        "version": order.version,
        "cum_qty": text(order.cum_qty),
        "leaves_qty": text(order.leaves_qty),
        "avg_px": _number(order.avg_px),
        "fees": text(order.fees),
        "held": text(order.held),
        "hold_currency": order.hold_currency,
        "pending_qty": _number(order.pending_qty),
        "pending_price": _number(order.pending_price),
        "reject_code": order.reject_code,
        "reject_reason": order.reject_reason,
        "reject_values": order.reject_values,
        "venue": order.venue,
        "venue_order_id": order.venue_order_id,
        "source": order.source,
        "created_by": order.created_by,
        "strategy": order.strategy,
        "created_at": iso(order.created_at),
        "submitted_at": _time(order.submitted_at),
        "first_fill_at": _time(order.first_fill_at),
        "last_fill_at": _time(order.last_fill_at),
        "closed_at": _time(order.closed_at),
    }


def execution_json(row: Mapping[str, Any], symbol: str) -> dict[str, Any]:
    return {
        "id": row["id"],
        "order_id": row["order_id"],
        "client_id": row["client_id"],
        "wallet_id": row["wallet_id"],
        "position_id": row["position_id"],
        "symbol": symbol,
        "side": row["side"],
        "qty": text(row["qty"]),
        "price": text(row["price"]),
        "value": text(row["value"]),
        "fee": text(row["fee"]),
        "fee_currency": row["fee_currency"],
        "liquidity": row["liquidity"],
        "realized_pnl": text(row["realized_pnl"]),
        "venue": row["venue"],
        "trade_id": row["trade_id"],
        "journal_entry_id": row["entry_id"],
        "executed_at": iso(row["executed_at"]),
    }


def fix_message_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "direction": row["direction"],
        "msg_type": row["msg_type"],
        "message": row["raw"].replace("\x01", "|"),
        "at": iso(row["at"]),
    }

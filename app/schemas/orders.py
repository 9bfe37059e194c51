"""Orders: what a request may say, and how an order is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from app.core.clock import iso
from app.core.pagination import DEFAULT_LIMIT, MAX_LIMIT
from app.domain.execution import OrderState
from app.domain.money import text
from app.domain.orders import OrderStatus, OrderType, Side, TimeInForce
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

    type: TrailType = TrailType.PERCENT
    value: PositiveAmount
    activation_price: PositiveAmount | None = None


class ProtectionIn(Request):
    """Exits in the instrument's quote currency; leave out what is not wanted."""

    stop_loss: PositiveAmount | None = None
    take_profit: PositiveAmount | None = None
    trailing_stop: TrailIn | None = None
    break_even_percent: PositiveAmount | None = None

    def to_domain(self) -> Protection:
        trail = self.trailing_stop
        return Protection(
            stop_loss=self.stop_loss,
            take_profit=self.take_profit,
            trail=None if trail is None else Trail(trail.type, trail.value, trail.activation_price),
            break_even=self.break_even_percent,
        )


class StrategyIn(Request):
    """Where an automated decision came from; kept with the order, never judged."""

    flow_id: Text | None = Field(None, max_length=100)
    execution_id: Text | None = Field(None, max_length=100)
    agent: Text | None = Field(None, max_length=100)
    reasoning: str | None = Field(None, max_length=4000)
    confidence: Annotated[Percent, Field(ge=0, le=100)] | None = None
    tags: list[Annotated[Text, Field(max_length=50)]] = Field(default_factory=list, max_length=20)
    notes: str | None = Field(None, max_length=2000)


class OrderIn(ProtectionIn):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.1", "stop_loss": "60000"},
                {"symbol": "XAUUSD", "side": "BUY", "type": "LIMIT", "qty": 1, "price": 2000.0, "timeInForce": "GTC"},
            ]
        }
    )

    client_id: Text | None = Field(None, max_length=64, description="Code or id; for callers who act for clients")
    wallet_id: Text | None = Field(None, max_length=64, description="The default wallet when left out")
    client_order_id: Annotated[Text, Field(min_length=1, max_length=48, pattern=r"^[\x21-\x7e]+$")] | None = None
    symbol: Text = Field(max_length=32, description="Any known form: BTC/USDT, BTCUSDT, XAUUSD")
    side: Side
    type: OrderType
    qty: Amount | None = Field(None, description="In base currency")
    quote_qty: Amount | None = Field(None, description="Market buys only: an amount of quote currency instead of qty")
    price: Amount | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    post_only: bool = False
    strategy: StrategyIn | None = None
    dry_run: bool = False

    @model_validator(mode="after")
    def _quantity(self) -> OrderIn:
        if (self.qty is None) == (self.quote_qty is None):
            raise PydanticCustomError("invalid_qty", "exactly one of qty and quote_qty is needed")
        return self


class OrderBatchIn(Request):
    orders: list[dict[str, Any]] = Field(min_length=1, max_length=100)


class OrderAmendIn(Request):
    qty: Amount | None = None
    price: Amount | None = None

    @model_validator(mode="after")
    def _something(self) -> OrderAmendIn:
        if self.qty is None and self.price is None:
            raise PydanticCustomError("required", "qty, price or both are needed")
        return self


class CancelAllIn(Request):
    """What is named narrows it down; to cancel everything one says so."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"symbol": "ETH/USDT"}, {"all": True}]})

    all: StrictBool = Field(False, description="true: everything that the other fields leave")
    client_id: Text | None = Field(None, max_length=64)
    wallet_id: Text | None = Field(None, max_length=64)
    symbol: Text | None = Field(None, max_length=32)
    side: Side | None = None

    @model_validator(mode="after")
    def _something(self) -> CancelAllIn:
        if not self.all and (self.client_id, self.wallet_id, self.symbol, self.side) == (None,) * 4:
            raise PydanticCustomError("required", "name what to cancel, or say all: true")
        return self


class PageQuery(Request):
    limit: Annotated[QueryInt, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    offset: Annotated[QueryInt, Field(ge=0, le=10_000_000)] = 0


class OrderQuery(PageQuery):
    client_id: str | None = None
    wallet_id: str | None = None
    symbol: str | None = None
    side: Side | None = None
    status: OrderStatus | None = None
    open: QueryBool | None = Field(None, description="true: live orders only; false: finished ones")
    created_from: Time | None = None
    created_to: Time | None = None

    @model_validator(mode="after")
    def _range(self) -> OrderQuery:
        check_range(self.created_from, self.created_to)
        return self


class TrailOut(Response):
    type: TrailType
    value: AmountOut
    activation_price: AmountOut | None


class ProtectionOut(Response):
    stop_loss: AmountOut | None
    take_profit: AmountOut | None
    trailing_stop: TrailOut | None
    break_even_percent: AmountOut | None


class OrderOut(Response):
    id: str
    client_order_id: str | None
    client_id: str
    wallet_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    qty: AmountOut
    quote_qty: AmountOut | None
    price: AmountOut | None
    expires_at: TimeOut | None
    reduce_only: bool
    post_only: bool
    protection: ProtectionOut | None
    position_id: str | None
    exit_reason: str | None
    status: OrderStatus
    version: int
    cum_qty: AmountOut
    leaves_qty: AmountOut
    avg_px: AmountOut | None
    fees: AmountOut
    held: AmountOut
    hold_currency: str
    pending_qty: AmountOut | None
    pending_price: AmountOut | None
    reject_code: str | None
    reject_reason: str | None
    reject_values: list[dict[str, Any]] | None
    venue: str
    venue_order_id: str | None
    source: Literal["web", "api", "engine"]
    created_by: str
    strategy: dict[str, Any] | None
    created_at: TimeOut
    submitted_at: TimeOut | None
    first_fill_at: TimeOut | None
    last_fill_at: TimeOut | None
    closed_at: TimeOut | None


class ExecutionOut(Response):
    id: str
    order_id: str
    client_id: str
    wallet_id: str
    position_id: str | None
    symbol: str
    side: Side
    qty: AmountOut
    price: AmountOut
    value: AmountOut
    fee: AmountOut
    fee_currency: str
    liquidity: Literal["maker", "taker"]
    realized_pnl: AmountOut
    venue: str
    trade_id: str
    journal_entry_id: str
    executed_at: TimeOut


class FixMessageOut(Response):
    id: int
    direction: Literal["in", "out"]
    msg_type: str
    message: str = Field(description="Fields separated by |")
    at: TimeOut


class DryRunOut(Response):
    accepted: bool
    failures: list[dict[str, Any]]
    symbol: str
    side: Side
    type: OrderType
    qty: AmountOut
    reference_price: AmountOut | None
    value: AmountOut | None
    fee: AmountOut | None
    reserve: AmountOut
    reserve_currency: str
    available: AmountOut
    notional_usd: AmountOut | None


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

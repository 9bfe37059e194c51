"""Wallets: requests and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from .base import AmountOut, Named, Patch, PositiveAmount, Request, Response, Text, Time, TimeOut, without_default
from .orders import PageQuery

WalletName = Annotated[Named, Field(min_length=1, max_length=100)]
Symbol = Annotated[Text, Field(min_length=1, max_length=32)]
PercentAmount = Annotated[PositiveAmount, Field(le=100)]


class WalletIn(Request):
    client_id: Text | None = Field(None, max_length=64, description="Code or id")
    name: WalletName = Field("Paper", description="What people call it, 1 to 100 characters")
    balances: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,12}$")], PositiveAmount], Field(max_length=50)
    ] = Field(default_factory=dict, description="Play money to start with, by asset")


class WalletPatch(Patch):
    """What is left out stays as it is; null removes a limit."""

    name: WalletName = Field(
        "", json_schema_extra=without_default, description="What people call it, 1 to 100 characters"
    )
    default_stop_loss_percent: PercentAmount | None = Field(
        None, description="Stop of a buy that names none, percent below its entry, above 0 to 100"
    )
    default_take_profit_percent: PositiveAmount | None = Field(
        None, description="Target of a buy that names none, percent above its entry, above 0"
    )
    max_position_usd: PositiveAmount | None = Field(None, description="Most value of one position, in USD")
    max_exposure_usd: PositiveAmount | None = Field(
        None, description="Most value of all positions and live buys together, in USD"
    )
    max_open_positions: Annotated[StrictInt, Field(ge=0, le=100_000)] | None = Field(
        None, description="Most instruments held at once, 0 to 100,000"
    )
    daily_loss_usd: PositiveAmount | None = Field(
        None, description="Loss of a UTC day at which the wallet is suspended, in USD"
    )
    daily_loss_percent: PercentAmount | None = Field(
        None, description="The same in percent of the value at the start of the day, above 0 to 100"
    )
    max_drawdown_percent: PercentAmount | None = Field(
        None, description="Fall from the highest value at which the wallet is suspended, percent, above 0 to 100"
    )
    allowed_symbols: Annotated[list[Symbol], Field(max_length=500)] | None = Field(
        None, description="Only these instruments may be traded, at most 500; null: all"
    )
    blocked_symbols: Annotated[list[Symbol], Field(max_length=500)] | None = Field(
        None, description="These instruments may not be traded, at most 500"
    )
    respect_market_hours: StrictBool = Field(
        False,
        json_schema_extra=without_default,
        description="true: orders outside the hours of their market are rejected",
    )


class PauseIn(Request):
    reason: Annotated[Text, Field(max_length=200)] | None = Field(
        None, description="Kept in the audit trail and told with the event, at most 200 characters"
    )


class WalletQuery(PageQuery):
    client_id: Annotated[str, Field(max_length=64)] | None = Field(None, description="Of this client, by code or id")


class BalanceQuery(Request):
    as_of: Time | None = Field(None, description="A past moment; now when left out")


class WalletLimitsOut(Response):
    max_position_usd: AmountOut | None = Field(description="Most value of one position, in USD")
    max_exposure_usd: AmountOut | None = Field(description="Most value of all positions and live buys, in USD")
    max_open_positions: int | None = Field(description="Most instruments held at once")
    daily_loss_usd: AmountOut | None = Field(description="Loss of a UTC day that suspends the wallet, in USD")
    daily_loss_percent: AmountOut | None = Field(description="The same in percent of the day's first value")
    max_drawdown_percent: AmountOut | None = Field(description="Fall from the highest value that suspends it, percent")
    allowed_symbols: list[str] | None = Field(description="Only these may be traded; null: all")
    blocked_symbols: list[str] | None = Field(description="These may not be traded")
    respect_market_hours: bool = Field(description="true: orders outside the hours of their market are rejected")


class WalletOut(Response):
    id: str = Field(description="Id of the wallet")
    client_id: str = Field(description="Id of the client")
    platform: str = Field(description="paper: play money with the simulated venue")
    name: str = Field(description="What people call it")
    status: str = Field(description="active, paused or suspended: the last two take no entries, exits stay armed")
    stopped_by: Literal["client", "firm"] | None = Field(description="Who may lift the stop")
    is_default: bool = Field(description="true: where orders go that name no wallet")
    maker_rate: AmountOut = Field(description="Fee of fills that rested, part of their value: 0.001 is 0.1 %")
    taker_rate: AmountOut = Field(description="Fee of fills that took, part of their value")
    default_stop_loss_percent: AmountOut | None = Field(
        description="Stop of a buy that names none, percent below its entry, else null"
    )
    default_take_profit_percent: AmountOut | None = Field(
        description="Target of a buy that names none, percent above its entry, else null"
    )
    limits: WalletLimitsOut = Field(description="What an order is held to; null is not limited")
    version: int = Field(description="Grows by one with each change; the ETag is made of it")
    created_at: TimeOut = Field(description="When it was opened")


class BalanceOut(Response):
    asset: str = Field(description="Such as USDT or BTC")
    available: AmountOut = Field(description="May be spent, in the asset")
    held: AmountOut = Field(description="Set aside for live orders, in the asset")
    total: AmountOut = Field(description="available plus held")
    value_usd: AmountOut | None = Field(None, description="total in USD at the mid; null where nobody prices it")


class BalancesOut(Response):
    wallet_id: str = Field(description="Id of the wallet")
    as_of: TimeOut | None = Field(None, description="The past moment asked for; left out for now")
    balances: list[BalanceOut] = Field(description="One for each asset the wallet ever had")
    total_usd: AmountOut | None = Field(
        None, description="Value of all that can be priced, in USD; left out for the past"
    )
    unpriced: list[str] | None = Field(None, description="Assets without a price, which total_usd leaves out")


class MovementOut(Response):
    id: int = Field(description="Number of the posting, growing")
    at: TimeOut = Field(description="When it was booked")
    asset: str = Field(description="Such as USDT or BTC")
    account: str = Field(description="available or held")
    amount: AmountOut = Field(description="In the asset; negative: it left the account")
    entry_id: str = Field(description="Id of the journal entry")
    entry_number: int = Field(description="Number of the journal entry")
    kind: str = Field(description="deposit, hold, release, trade or reversal")
    about_type: str = Field(description="What it is about: order, execution, wallet")
    about_id: str = Field(description="Its id")
    memo: str | None = Field(description="A note, else null")

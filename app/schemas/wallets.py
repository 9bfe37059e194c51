"""Wallets: requests and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from .base import AmountOut, Named, PositiveAmount, Request, Response, Text, Time, TimeOut
from .clients import without_default
from .orders import PageQuery

WalletName = Annotated[Named, Field(min_length=1, max_length=100)]
Symbol = Annotated[Text, Field(min_length=1, max_length=32)]
PercentAmount = Annotated[PositiveAmount, Field(le=100)]


class WalletIn(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"client_id": "C-1001", "name": "Second", "balances": {"USDT": "5000"}}]}
    )

    client_id: Text | None = Field(None, max_length=64, description="Code or id")
    name: WalletName = "Paper"
    balances: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,12}$")], PositiveAmount], Field(max_length=50)
    ] = Field(default_factory=dict, description="Play money to start with, by asset")


class WalletPatch(Request):
    """What is left out stays as it is; null removes a limit."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"max_exposure_usd": "20000"}]})

    name: WalletName = Field("", json_schema_extra=without_default)
    default_stop_loss_percent: PercentAmount | None = None
    default_take_profit_percent: PositiveAmount | None = None
    max_position_usd: PositiveAmount | None = None
    max_exposure_usd: PositiveAmount | None = None
    max_open_positions: Annotated[StrictInt, Field(ge=0, le=100_000)] | None = None
    daily_loss_usd: PositiveAmount | None = None
    daily_loss_percent: PercentAmount | None = None
    max_drawdown_percent: PercentAmount | None = None
    allowed_symbols: Annotated[list[Symbol], Field(max_length=500)] | None = None
    blocked_symbols: Annotated[list[Symbol], Field(max_length=500)] | None = None
    respect_market_hours: StrictBool = Field(False, json_schema_extra=without_default)

    @model_validator(mode="after")
    def _something(self) -> WalletPatch:
        if not self.model_fields_set:
            raise PydanticCustomError("required", "at least one field is needed")
        return self


class PauseIn(Request):
    reason: Annotated[Text, Field(max_length=200)] | None = None


class WalletQuery(PageQuery):
    client_id: Annotated[str, Field(max_length=64)] | None = None


class BalanceQuery(Request):
    as_of: Time | None = None


class WalletOut(Response):
    id: str
    client_id: str
    platform: str
    name: str
    status: str
    stopped_by: Literal["client", "firm"] | None = Field(description="Who may lift the stop")
    is_default: bool
    maker_rate: AmountOut
    taker_rate: AmountOut
    default_stop_loss_percent: AmountOut | None
    default_take_profit_percent: AmountOut | None
    limits: dict[str, Any]
    version: int
    created_at: TimeOut


class BalanceOut(Response):
    asset: str
    available: AmountOut
    held: AmountOut
    total: AmountOut
    value_usd: AmountOut | None = None


class BalancesOut(Response):
    wallet_id: str
    as_of: TimeOut | None = None
    balances: list[BalanceOut]
    total_usd: AmountOut | None = None
    unpriced: list[str] | None = None


class MovementOut(Response):
    id: int
    at: TimeOut
    asset: str
    account: str
    amount: AmountOut
    entry_id: str
    entry_number: int
    kind: str
    about_type: str
    about_id: str
    memo: str | None

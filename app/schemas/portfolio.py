"""A client's portfolio as the API shows it; amounts in USD, to the cent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import AmountOut, Request, Response, Text, TimeOut

Period = Literal["1d", "1w", "1m", "3m", "1y"]


class PortfolioQuery(Request):
    client_id: Annotated[Text, Field(max_length=64)] | None = Field(
        None, description="Code or id; a client's own caller leaves it out"
    )
    wallet_id: Annotated[Text, Field(max_length=64)] | None = Field(None, description="All of them when left out")
    period: Period = Field("1w", description="How far back: a day, a week, a month, three months, a year")


class FiguresOut(Response):
    realized_pnl: AmountOut = Field(description="Of positions closed, after fees, at current rates")
    fees: AmountOut
    volume: AmountOut = Field(description="Value of all executions")
    fills: int


class GainOut(FiguresOut):
    from_: TimeOut = Field(alias="from", description="The first value known in it")
    start_equity: AmountOut
    deposits: AmountOut = Field(description="Paid in less paid out, at the prices of the time")
    pnl: AmountOut = Field(description="Equity now, less what it began with and what was paid in")
    percent: AmountOut | None = Field(description="Of what it began with and what was paid in")


class PeriodOut(GainOut):
    name: Period


class PortfolioPointOut(Response):
    at: TimeOut
    equity: AmountOut
    deposits: AmountOut = Field(description="Paid in less paid out since the first point")


class DayFiguresOut(FiguresOut):
    day: str = Field(description="In UTC", examples=["2026-01-05"])


class InstrumentFiguresOut(FiguresOut):
    symbol: str


class StatisticsOut(Response):
    trades: int = Field(description="Positions closed in the period")
    wins: int
    losses: int
    win_rate: AmountOut | None = Field(description="Percent of trades that made more than nothing")
    average_win: AmountOut | None
    average_loss: AmountOut | None
    profit_factor: AmountOut | None = Field(description="Sum of wins over sum of losses")
    best: AmountOut | None
    worst: AmountOut | None
    average_minutes: int | None = Field(description="From first fill to flat")


class PortfolioOut(Response):
    client_id: str
    wallet_id: str | None
    currency: Literal["USD"]
    at: TimeOut
    equity: AmountOut
    unrealized_pnl: AmountOut
    day: GainOut = Field(description="Since midnight UTC")
    period: PeriodOut
    curve: list[PortfolioPointOut] = Field(description="Oldest first; the last is now, at current quotes")
    realized: list[DayFiguresOut]
    instruments: list[InstrumentFiguresOut]
    statistics: StatisticsOut
    unpriced: list[str] = Field(description="Assets or instruments without a price, which count nothing")


class PositionPointOut(Response):
    at: TimeOut
    price: AmountOut
    realized_pnl: AmountOut
    unrealized_pnl: AmountOut
    pnl: AmountOut = Field(description="Both together, in the quote currency")

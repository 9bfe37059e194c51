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
    realized_pnl: AmountOut = Field(description="In USD, of positions closed, after fees, at current rates")
    fees: AmountOut = Field(description="In USD, of all executions")
    volume: AmountOut = Field(description="Value of all executions, in USD")
    fills: int = Field(description="Number of executions")


class GainOut(FiguresOut):
    from_: TimeOut = Field(alias="from", description="The first value known in it")
    start_equity: AmountOut = Field(description="Equity it began with, in USD")
    deposits: AmountOut = Field(description="Paid in less paid out, at the prices of the time, in USD")
    pnl: AmountOut = Field(description="Equity now, less what it began with and what was paid in; in USD")
    percent: AmountOut | None = Field(description="pnl in percent of what it began with and what was paid in")


class PeriodOut(GainOut):
    name: Period = Field(description="How far back it goes")


class PortfolioPointOut(Response):
    at: TimeOut = Field(description="When it was so")
    equity: AmountOut = Field(description="Value of all balances, in USD")
    deposits: AmountOut = Field(description="Paid in less paid out since the first point, in USD")


class DayFiguresOut(FiguresOut):
    day: str = Field(description="In UTC", examples=["2026-01-05"])


class InstrumentFiguresOut(FiguresOut):
    symbol: str = Field(description="The instrument, such as BTC/USDT")


class StatisticsOut(Response):
    trades: int = Field(description="Positions closed in the period")
    wins: int = Field(description="Those that made more than nothing, after fees")
    losses: int = Field(description="Those that lost, after fees")
    win_rate: AmountOut | None = Field(description="In percent: trades that made more than nothing")
    average_win: AmountOut | None = Field(description="In USD; null without a win")
    average_loss: AmountOut | None = Field(description="In USD; null without a loss")
    profit_factor: AmountOut | None = Field(
        description="The ratio of wins to losses, by their sums; null without a loss"
    )
    best: AmountOut | None = Field(description="The best trade, in USD")
    worst: AmountOut | None = Field(description="The worst trade, in USD")
    average_minutes: int | None = Field(description="From first fill to flat")


class PortfolioOut(Response):
    client_id: str = Field(description="Id of the client")
    wallet_id: str | None = Field(description="Id of the wallet; null: all of the client's")
    currency: Literal["USD"] = Field(description="Of every amount here")
    at: TimeOut = Field(description="When it was computed")
    equity: AmountOut = Field(description="Value of all balances, in USD")
    unrealized_pnl: AmountOut = Field(description="Of open positions, after entry fees, in USD")
    day: GainOut = Field(description="Since midnight UTC")
    period: PeriodOut = Field(description="The period that was asked for")
    curve: list[PortfolioPointOut] = Field(description="Oldest first; the last is now, at current quotes")
    realized: list[DayFiguresOut] = Field(description="By day, oldest first")
    instruments: list[InstrumentFiguresOut] = Field(description="By instrument, the largest volume first")
    statistics: StatisticsOut = Field(description="Of the positions closed in the period")
    unpriced: list[str] = Field(description="Assets or instruments without a price, which count nothing")


class PositionPointOut(Response):
    at: TimeOut = Field(description="When it was so")
    price: AmountOut = Field(description="What it was valued at, in quote currency")
    realized_pnl: AmountOut = Field(description="In quote currency, after fees")
    unrealized_pnl: AmountOut = Field(description="In quote currency, after entry fees")
    pnl: AmountOut = Field(description="Both together, in quote currency")

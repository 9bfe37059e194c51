"""The journal: filters and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.domain.ledger import EntryKind, NormalSide

from .base import AmountOut, Request, Response, Time, TimeOut, check_range
from .orders import PageQuery

Format = Literal["json", "csv"]


class EntryQuery(PageQuery):
    kind: EntryKind | None = Field(None, description="Of this kind")
    about_type: Annotated[str, Field(max_length=20)] | None = Field(
        None, description="About an order, execution or wallet"
    )
    about_id: Annotated[str, Field(max_length=36)] | None = Field(None, description="About the object with this id")
    client_id: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="That touch a wallet of this client, by code or id"
    )
    wallet_id: Annotated[str, Field(max_length=64)] | None = Field(None, description="That touch this wallet")
    from_: Annotated[Time | None, Field(alias="from")] = Field(None, description="Booked at this moment or later")
    to: Time | None = Field(None, description="Booked before this moment")
    format: Format = Field("json", description="json, or csv for a spreadsheet")

    @model_validator(mode="after")
    def _range(self) -> EntryQuery:
        check_range(self.from_, self.to)
        return self


class TrialBalanceQuery(Request):
    until: Time | None = Field(None, description="As of this moment; now when left out")
    format: Format = Field("json", description="json, or csv for a spreadsheet")


class PostingOut(Response):
    code: str = Field(description="In the firm's chart of accounts")
    name: str = Field(description="The account's name there, in English")
    owner: str = Field(description="Id of the wallet, or the house account")
    wallet_id: str | None = Field(description="Id of the wallet; null: the house")
    client_id: str | None = Field(description="Whose wallet it is; null for the house's accounts")
    account: str = Field(
        description="What it is for: available, held, fees, clearing, external, rounding or receivable"
    )
    currency: str = Field(description="Such as USDT")
    amount: AmountOut = Field(description="In currency; positive is a credit, negative a debit")


class EntryOut(Response):
    id: str = Field(description="Id of the entry")
    number: int = Field(description="Its number, growing")
    kind: EntryKind = Field(description="deposit, hold, release, trade or reversal")
    about_type: str = Field(description="What it is about")
    about_id: str = Field(description="Its id")
    external_ref: str = Field(description="Reference outside, by which it is booked once")
    at: TimeOut = Field(description="When it was booked")
    created_by: str = Field(description="user:<id>, key:<id>, engine or system")
    memo: str | None = Field(description="A note, else null")
    reverses_id: str | None = Field(description="Id of the entry it takes back, else null")
    postings: list[PostingOut] = Field(description="Two or more; they sum to zero in each currency")


class TrialBalanceRow(Response):
    code: str = Field(description="In the firm's chart of accounts")
    name: str = Field(description="The account's name there, in English")
    kind: str = Field(description="What it is for: available, held, fees, clearing, external, rounding or receivable")
    normal_side: NormalSide = Field(description="debit: what the firm owns or spends; credit: what it owes or earns")
    currency: str = Field(description="Such as USDT")
    increases: AmountOut = Field(description="Sum of the credits, in currency")
    decreases: AmountOut = Field(description="Sum of the debits, in currency")
    balance: AmountOut = Field(description="increases minus decreases: negative on the debit side")
    postings: int = Field(description="How many")


class TrialBalanceOut(Response):
    until: TimeOut | None = Field(description="The moment asked for; null: now")
    items: list[TrialBalanceRow] = Field(description="One for each account and currency")

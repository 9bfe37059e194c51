"""The journal: filters and answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.domain.ledger import EntryKind

from .base import AmountOut, Request, Response, Time, TimeOut, check_range
from .orders import PageQuery

Format = Literal["json", "csv"]
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class EntryQuery(PageQuery):
    kind: EntryKind | None = None
    about_type: Annotated[str, Field(max_length=20)] | None = None
    about_id: Annotated[str, Field(max_length=36)] | None = None
    client_id: Annotated[str, Field(max_length=64)] | None = None
    wallet_id: Annotated[str, Field(max_length=64)] | None = None
    from_: Annotated[Time | None, Field(alias="from")] = None
    to: Time | None = None
    format: Format = "json"

    @model_validator(mode="after")
    def _range(self) -> EntryQuery:
        check_range(self.from_, self.to)
        return self


class TrialBalanceQuery(Request):
    until: Time | None = None
    format: Format = "json"


class PostingOut(Response):
    code: str = Field(description="In the firm's chart of accounts")
    owner: str
    wallet_id: str | None
    client_id: str | None = Field(description="Whose wallet it is; null for the house's accounts")
    account: str
    currency: str
    amount: AmountOut


class EntryOut(Response):
    id: str
    number: int
    kind: EntryKind
    about_type: str
    about_id: str
    external_ref: str
    at: TimeOut
    created_by: str
    memo: str | None
    reverses_id: str | None
    postings: list[PostingOut]


class TrialBalanceRow(Response):
    code: str
    kind: str
    currency: str
    increases: AmountOut
    decreases: AmountOut
    balance: AmountOut
    postings: int


class TrialBalanceOut(Response):
    until: TimeOut | None
    items: list[TrialBalanceRow]

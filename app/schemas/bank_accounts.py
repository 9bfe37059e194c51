"""Where clients are paid: requests and answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from app.domain.clients import AccountScheme

from .base import Named, Request, Response, Text, TimeOut

SCHEME = "How the number is built: cci (Peru), clabe (Mexico) or iban"


class BankAccountIn(Request):
    scheme: AccountScheme = Field(description=SCHEME)
    number: Annotated[Text, Field(min_length=8, max_length=50)] = Field(
        description="With its check digits; spaces and dashes are dropped"
    )
    bank_name: Annotated[Named, Field(min_length=1, max_length=100)] = Field(
        description="What people call the bank, 1 to 100 characters"
    )
    account_type: Literal["savings", "checking"] = Field(description="savings or checking")
    currency: Annotated[Text, Field(pattern=r"^[A-Z]{3}$")] = Field(
        description="The account's currency: EUR, GBP, JPY, PEN or USD"
    )
    holder: Annotated[Named, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Whose account it is, as the bank has it; the client's name when left out"
    )
    is_default: StrictBool = Field(
        False, description="true: the client's first choice in its currency, from when it is confirmed"
    )


class BankAccountOut(Response):
    id: str = Field(description="Id of the account")
    client_id: str = Field(description="Id of the client")
    scheme: str = Field(description=SCHEME)
    number: str = Field(description="Without spaces and dashes")
    bank_code: str = Field(description="The part of the number that names the bank")
    bank_name: str = Field(description="What people call the bank")
    account_type: str = Field(description="savings or checking")
    currency: str = Field(description="The account's currency")
    holder: str = Field(description="Whose account it is")
    country: str = Field(description="Where the bank is, ISO 3166 alpha-2")
    is_default: bool = Field(description="true: the client's first choice in its currency")
    status: str = Field(
        description="pending until a second person has confirmed it, active, rejected, or removed: out of use"
    )
    usable_from: TimeOut | None = Field(description="Nothing is paid to it before; null: at once")
    created_by: str = Field(description="Who added it: user or key, with its id")
    version: int = Field(description="Grows by one with each change; the ETag is made of it")
    created_at: TimeOut = Field(description="When it was added")
    updated_at: TimeOut = Field(description="When it was last changed")

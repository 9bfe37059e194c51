"""Requests and answers about money that comes in."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.core import json
from app.domain.deposits import DepositMethod, DepositStatus, DisputeStatus

from .base import AmountOut, Id, Named, PositiveAmount, QueryBool, QueryInt, Request, Response, Text, TimeOut

MAX_DETAILS_BYTES = 4096
Reference = Annotated[Named, Field(max_length=100)]


class _Payment(Request):
    amount: PositiveAmount = Field(description="What is paid in, in units of ``currency``, at its decimals at most")
    currency: Annotated[Text, Field(min_length=3, max_length=12, description="ISO 4217 code of what is paid")]
    wallet_id: Id | None = Field(default=None, description="The wallet to credit; the client's default one where none")
    client_id: Annotated[Text, Field(max_length=64)] | None = Field(
        default=None, description="Id or code of the client, where the caller is not one; or the header X-Client-Id"
    )
    details: dict[str, Any] = Field(
        default_factory=dict, description="The caller's own data, kept and shown as it is: at most 4096 bytes of JSON"
    )

    @model_validator(mode="after")
    def _details_are_small(self) -> Self:
        if len(json.dumps(self.details)) > MAX_DETAILS_BYTES:
            raise PydanticCustomError("too_large", "details must have at most 4096 bytes")
        return self


class DepositIn(_Payment):
    method: DepositMethod = Field(
        description="card: by Stripe Checkout; bank_transfer; mock: a sandbox's, paid at once"
    )
    bank_reference: Reference | None = Field(
        default=None,
        validate_default=True,
        description="What the bank transfer carries, so that it is recognized; for bank_transfer alone",
    )
    proof_document_id: Id | None = Field(
        default=None, description="Id of an uploaded document of the kind payment_proof; for bank_transfer alone"
    )

    @field_validator("bank_reference", "proof_document_id")
    @classmethod
    def _fits_the_method(cls, value: str | None, told: ValidationInfo) -> str | None:
        transfer = told.data.get("method") is DepositMethod.BANK_TRANSFER
        if transfer and value is None and told.field_name == "bank_reference":
            raise PydanticCustomError("required", "is needed for a bank transfer")
        if not transfer and value is not None:
            raise PydanticCustomError("contradiction", "is for bank transfers alone")
        return value


class CheckoutIn(_Payment):
    """A card payment."""


class DepositQuery(Request):
    client_id: Annotated[Text, Field(max_length=64)] | None = Field(default=None, description="Id or code of a client")
    status: DepositStatus | None = Field(default=None, description="Only those in this state")
    method: DepositMethod | None = Field(default=None, description="Only those paid in this way")
    limit: Annotated[QueryInt, Field(ge=1, le=100)] = Field(default=50, description="How many, 100 at most")
    offset: Annotated[QueryInt, Field(ge=0, le=1_000_000)] = Field(default=0, description="How many to leave out")


class BankMovementOut(Response):
    reference: str = Field(description="The bank's reference of the movement")
    account: str = Field(description="The firm's account it came in on")
    amount: AmountOut = Field(description="What came in, in the deposit's currency")
    received_on: str = Field(description="The day it came in, as YYYY-MM-DD")


class DepositOut(Response):
    id: str = Field(description="Id of the deposit")
    client_id: str = Field(description="Id of the client who pays in")
    wallet_id: str = Field(description="Id of the wallet to credit")
    amount: AmountOut = Field(description="What is to be paid in, in units of ``currency``")
    currency: str = Field(description="ISO 4217 code")
    amount_usd: AmountOut | None = Field(description="Its value in USD when it was declared; null without a price")
    method: DepositMethod = Field(description="How it is paid")
    provider: str = Field(description="Who reports on it: stripe, bank, mock")
    provider_reference: str | None = Field(
        description="The provider's id of the payment page, or the bank movement it was matched to; null before that"
    )
    payment_url: str | None = Field(description="Where the client pays; null before there is a page, and after")
    bank_reference: str | None = Field(description="What a bank transfer carries, else null")
    movement: BankMovementOut | None = Field(description="The bank movement it was matched to, else null")
    status: DepositStatus = Field(description="pending → processing → completed, failed or canceled")
    confirmed_amount: AmountOut | None = Field(
        description="What was credited, in units of ``currency``; null until then"
    )
    refunded_amount: AmountOut = Field(description="What of it was refunded since, in units of ``currency``")
    dispute_status: DisputeStatus | None = Field(description="Of a payment that its payer contests, else null")
    disputed_amount: AmountOut = Field(
        description="What of it the payer's bank has taken back, in units of ``currency``"
    )
    reason: str | None = Field(description="Why it is in its state, where that is not plain")
    details: dict[str, Any] = Field(description="The caller's own data")
    version: int = Field(description="Counts its changes")
    created_at: TimeOut = Field(description="When it was declared")
    updated_at: TimeOut = Field(description="When it last changed")
    expires_at: TimeOut | None = Field(description="When its payment page closes; null where it has none")
    completed_at: TimeOut | None = Field(description="When it was credited; null until then")


class CheckoutOut(Response):
    session_id: str | None = Field(description="Stripe's id of the payment page; null while Stripe does not answer")
    url: str | None = Field(description="Where the client pays; null while Stripe does not answer, and after")
    deposit_id: str = Field(description="Id of the deposit")
    status: DepositStatus = Field(description="The deposit's state")
    amount: AmountOut = Field(description="What is to be paid, in units of ``currency``")
    currency: str = Field(description="ISO 4217 code")
    expires_at: TimeOut | None = Field(description="When the page closes")


class MatchIn(Request):
    reference: Reference = Field(description="The bank's reference of the movement; each is matched once")
    account: Annotated[Named, Field(max_length=60)] = Field(description="The firm's account it came in on")
    amount: PositiveAmount = Field(description="What came in, in the deposit's currency; must be what was declared")
    received_on: date = Field(description="The day it came in, as YYYY-MM-DD")


class DepositRejectIn(Request):
    reason: Annotated[Named, Field(min_length=3, max_length=300)] = Field(description="Why, for the client to read")


class MismatchQuery(Request):
    unresolved: QueryBool | None = Field(default=None, description="true: only what nobody has dealt with")
    limit: Annotated[QueryInt, Field(ge=1, le=100)] = Field(default=50, description="How many, 100 at most")
    offset: Annotated[QueryInt, Field(ge=0, le=1_000_000)] = Field(default=0, description="How many to leave out")


class MismatchOut(Response):
    id: str = Field(description="Id of the mismatch")
    deposit_id: str | None = Field(description="The deposit it does not fit; null where it names none of ours")
    code: str = Field(description="What does not fit: wrong_amount, wrong_currency, unknown_deposit, …")
    expected: dict[str, Any] = Field(description="What the deposit says")
    found: dict[str, Any] = Field(description="What the provider reported")
    provider: str = Field(description="Who reported it")
    provider_event_id: str = Field(description="The provider's id of the report")
    type: str = Field(description="The provider's type of the report")
    created_at: TimeOut = Field(description="When it was kept apart")
    resolved_at: TimeOut | None = Field(description="When somebody dealt with it, else null")
    resolved_by: str | None = Field(description="Who did, as user:<id>, else null")
    resolution: str | None = Field(description="What was done, else null")


class ResolveIn(Request):
    resolution: Annotated[Named, Field(min_length=3, max_length=500)] = Field(
        description="What was done about it, for those who read it later"
    )


class ReceivedOut(Response):
    received: bool = Field(description="true: it is stored, and worked off from there")

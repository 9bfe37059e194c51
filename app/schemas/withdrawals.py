"""Withdrawals: requests and answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from app.core import json
from app.domain.withdrawals import WithdrawalRequest, WithdrawalStatus

from .base import AmountOut, Id, Named, PositiveAmount, Request, Response, Text, Time, TimeOut, check_range
from .orders import PageQuery

MOST_METADATA = 2000  # characters as JSON
Reason = Annotated[Named, Field(min_length=1, max_length=500)]
Phone = Annotated[Text, Field(min_length=6, max_length=30, pattern=r"^\+?[0-9][0-9 ()/.-]*$")]


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value)) > MOST_METADATA:
        raise PydanticCustomError("too_many", f"must have at most {MOST_METADATA} characters as JSON")
    return value


Metadata = Annotated[dict[str, Any], AfterValidator(_bounded)]


class WithdrawalPreviewIn(Request):
    client_id: Text | None = Field(None, max_length=64, description="Code or id; a client's own callers leave it out")
    wallet_id: Id | None = Field(None, description="Whose money it is; the client's default wallet when left out")
    bank_account_id: Id | None = Field(
        None, description="Where it is paid to, an account of the client; their first choice when left out"
    )
    amount: PositiveAmount = Field(description="What leaves the wallet, fee and tax included, in currency")
    currency: Annotated[Text, Field(pattern=r"^[A-Z]{3}$")] = Field(description="The account's currency")
    email: Annotated[Text, Field(max_length=254)] | None = Field(
        None, description="Where the confirmation goes; the client's own address when left out"
    )
    phone: Phone | None = Field(None, description="Whom the bank may call, 6 to 30 characters")
    concept: Annotated[Named, Field(min_length=1, max_length=140)] | None = Field(
        None, description="What it is for, as the bank shows it, at most 140 characters"
    )
    metadata: Metadata = Field(default_factory=dict, description="The caller's own, at most 2,000 characters as JSON")

    def wanted(self) -> WithdrawalRequest:
        return WithdrawalRequest(
            bank_account_id=self.bank_account_id,
            amount=self.amount,
            currency=self.currency,
            wallet_id=self.wallet_id,
            email=self.email,
            phone=self.phone,
            concept=self.concept,
            details=self.metadata,
        )


class WithdrawalIn(WithdrawalPreviewIn):
    dry_run: StrictBool = Field(False, description="true: answer what it would come to, and store nothing")


class WithdrawalCancelIn(Request):
    reason: Reason | None = Field(None, description="Why, at most 500 characters")


class WithdrawalRefusalIn(Request):
    reason: Reason = Field(description="Why, for the client to read, 1 to 500 characters")


class WithdrawalPaidIn(Request):
    bank_reference: Annotated[Named, Field(min_length=1, max_length=100)] = Field(
        description="Of the payment, as the bank gives it; each is used once"
    )
    proof_id: Id | None = Field(
        None,
        description="Id of a document of the client of the kind payment_proof; left out where one about this "
        "withdrawal was uploaded",
    )


class WithdrawalQuery(PageQuery):
    client_id: Annotated[str, Field(max_length=64)] | None = Field(None, description="Of this client, by code or id")
    status: WithdrawalStatus | None = Field(None, description="In this status")
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = Field(None, description="In this currency")
    created_from: Time | None = Field(None, description="Asked for at this moment or later")
    created_to: Time | None = Field(None, description="Asked for before this moment")

    @model_validator(mode="after")
    def _in_order(self) -> WithdrawalQuery:
        check_range(self.created_from, self.created_to)
        return self


class WithdrawableQuery(Request):
    client_id: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Of this client, by code or id; a client's own callers leave it out"
    )


class DestinationOut(Response):
    scheme: str = Field(description="How the number is built: cci, clabe or iban")
    number: str = Field(description="The account's number")
    bank_code: str = Field(description="The part of the number that names the bank")
    bank_name: str = Field(description="What people call the bank")
    account_type: str = Field(description="savings or checking")
    currency: str = Field(description="The account's currency")
    holder: str = Field(description="Whose account it is")
    country: str = Field(description="Where the bank is, ISO 3166 alpha-2")


class WithdrawalOut(Response):
    id: str = Field(description="Id of the withdrawal")
    client_id: str = Field(description="Id of the client")
    wallet_id: str = Field(description="Id of the wallet whose money it is")
    bank_account_id: str = Field(description="Id of the account it is paid to")
    amount: AmountOut = Field(description="What leaves the wallet, in currency")
    fee: AmountOut = Field(description="Of it, what the house keeps, in currency")
    tax: AmountOut = Field(description="Of it, what goes to the tax office, in currency")
    arrives: AmountOut = Field(description="What the account gets: amount minus fee and tax, in currency")
    currency: str = Field(description="The wallet's and the account's currency")
    amount_usd: AmountOut | None = Field(
        description="What amount was worth when it was asked for, in USD; null: unknown"
    )
    destination: DestinationOut = Field(description="The account as it was when it was asked for")
    concept: str | None = Field(description="What it is for, as the bank shows it")
    email: str | None = Field(description="Where the confirmation goes; null: to the client's own address")
    phone: str | None = Field(description="Whom the bank may call")
    metadata: dict[str, Any] = Field(description="The caller's own")
    status: str = Field(
        description="pending_review, approved, processing, completed, or rejected, canceled, failed: the money is back"
    )
    reason: str | None = Field(description="Why it was rejected, canceled or failed")
    requested_by: str = Field(description="Who asked for it: user or key, with its id")
    payer: str | None = Field(description="The operator who pays it")
    bank_reference: str | None = Field(description="Of the payment, as the bank gave it")
    verification_code: str = Field(description="What the receipt's QR code carries")
    version: int = Field(description="Grows by one with each change; the ETag is made of it")
    created_at: TimeOut = Field(description="When it was asked for")
    updated_at: TimeOut = Field(description="When it was last changed")
    completed_at: TimeOut | None = Field(description="When it was paid")


class MissingOut(Response):
    code: str = Field(description="What is missing, for programs, such as insufficient_funds")
    message: str = Field(description="The same for people")
    values: dict[str, str] = Field(description="The values that decided it")


class WithdrawalPreviewOut(Response):
    client_id: str = Field(description="Id of the client")
    wallet_id: str = Field(description="Id of the wallet whose money it would be")
    bank_account_id: str = Field(description="Id of the account it would be paid to")
    currency: str = Field(description="The wallet's and the account's currency")
    amount: AmountOut = Field(description="What would leave the wallet, in currency")
    fee: AmountOut = Field(description="Of it, what the house keeps, in currency")
    tax: AmountOut = Field(description="Of it, what goes to the tax office, in currency")
    arrives: AmountOut = Field(description="What the account would get: amount minus fee and tax, in currency")
    arrives_on: str = Field(description="The day on which it is expected there, YYYY-MM-DD")
    amount_usd: AmountOut | None = Field(description="What amount is worth now, in USD; null: nobody prices it")
    withdrawable: AmountOut = Field(description="What may be withdrawn from the wallet, in currency")
    approvals_required: int = Field(description="How many people of the firm must agree")
    allowed: bool = Field(description="true: nothing is missing")
    missing: list[MissingOut] = Field(description="All that stands in the way")


class WithdrawableOut(Response):
    """What may be withdrawn is what is available less what is owed, disputed, and play money."""

    wallet_id: str = Field(description="Id of the wallet")
    currency: str = Field(description="One that banks know")
    withdrawable: AmountOut = Field(description="What may be withdrawn, in currency")
    available: AmountOut = Field(description="What may be spent, in currency")
    owed: AmountOut = Field(description="Kept back: what the client owes the house, in currency")
    disputed: AmountOut = Field(description="Kept back: deposits whose payer asks for them back, in currency")
    play_money: AmountOut = Field(description="Kept back: what the wallet was opened with, in currency")
    held_by_orders: AmountOut = Field(description="Set aside for live orders, not part of available, in currency")
    held_by_withdrawals: AmountOut = Field(
        description="Set aside for withdrawals that are not finished, not part of available, in currency"
    )

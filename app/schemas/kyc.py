"""Verification of clients: how it is begun, decided and shown, and what the gate answered."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StrictBool

from app.domain.gate import Act
from app.domain.kyc import LEVELS

from .base import AmountOut, Percent, Request, Response, Text, TimeOut
from .orders import PageQuery

Level = Annotated[Percent, Field(ge=LEVELS[1], le=LEVELS[-1])]
_STATUS = "none, pending, approved, rejected or expired"


class KycStartIn(Request):
    client_id: Annotated[Text, Field(max_length=36)] | None = Field(
        None, description="Code or id of the client; a client's own caller may leave it out"
    )
    level: Level | None = Field(
        None, description="1: with documents, 2: after enhanced diligence; the next one when left out"
    )


class KycQuery(Request):
    client_id: Annotated[Text, Field(max_length=36)] | None = Field(
        None, description="Code or id of the client; a client's own caller may leave it out"
    )


class KycDecisionIn(Request):
    approve: StrictBool = Field(description="true: approve; false: reject, which holds at once")
    level: Level | None = Field(
        None, description="Which level is approved; that of the pending verification, else the next, when left out"
    )
    reason: Annotated[Text, Field(min_length=3, max_length=500)] = Field(
        description="Why, 3 to 500 characters; of a rejection the client is told it"
    )


class VerificationOut(Response):
    id: str = Field(description="Id of the verification")
    client_id: str = Field(description="Id of the client")
    provider: str = Field(description="Who verifies: mock, sumsub, or manual for a person of the firm")
    level: int = Field(description="For which level: 1 or 2")
    status: str = Field(description="pending, approved, rejected or expired")
    reason: str | None = Field(description="Why it was rejected, or what has to be done again")
    document_kinds: list[str] = Field(description="Kinds of the documents that the firm had when it began")
    requested_by: str = Field(description="Who began it: user:<id>, key:<id> or system")
    version: int = Field(description="Grows by one with each change")
    created_at: TimeOut = Field(description="When it began")
    verified_at: TimeOut | None = Field(description="When it was approved")
    expires_at: TimeOut | None = Field(description="Until when the approval holds")


class StaffVerificationOut(VerificationOut):
    session_id: str | None = Field(description="The provider's id of the applicant; null until it has answered")
    provider_data: Any = Field(description="What the provider told, for the firm alone")
    changed_at: TimeOut | None = Field(description="The provider's time of the newest thing it told")


class AccessOut(Response):
    url: str = Field(description="A page of the provider where the client goes on")
    token: str = Field(description="For the provider's own software in an application of yours")
    expires_at: TimeOut = Field(description="Until when both work")


class KycStartedOut(Response):
    verification: VerificationOut = Field(description="The new verification, or the one that was pending")
    access: AccessOut | None = Field(
        description="How the client goes on at the provider's; null where there is nothing to do, or the provider "
        "does not answer: ask again later"
    )


class MeterOut(Response):
    limit_usd: AmountOut | None = Field(description="The most, in USD; null: not limited")
    used_usd: AmountOut = Field(description="What was moved or asked for, in USD")
    left_usd: AmountOut | None = Field(description="What is left, in USD; null: not limited")


class ActMeterOut(Response):
    act: str = Field(description="deposit or withdrawal")
    each_usd: AmountOut | None = Field(description="The most of a single one, in USD; null: not limited")
    day: MeterOut = Field(description="In the last 24 hours")
    month: MeterOut = Field(description="In the last 30 days")


class KycMissingOut(Response):
    what: str = Field(description="field, document or person")
    name: str = Field(description="Name of the field, kind of the document, or role of the person")


class KycOut(Response):
    client_id: str = Field(description="Id of the client")
    status: str = Field(description=_STATUS)
    level: int = Field(description="What counts now: 0 before documents, 1 with documents, 2 after enhanced diligence")
    expires_at: TimeOut | None = Field(description="Until when the approval holds, or held")
    next_level: int = Field(description="What a new verification would be for; the highest level is renewed")
    verification: VerificationOut | None = Field(description="The newest verification; null: none was begun")
    limits: list[ActMeterOut] = Field(description="The limits of the level, with what is used of them")
    missing: list[KycMissingOut] = Field(description="What the firm does not have yet of all that the next level needs")


class ClientKycOut(KycOut):
    verifications: list[StaffVerificationOut] = Field(description="The newest first, at most 20")


class KycDecidedOut(Response):
    verification: StaffVerificationOut = Field(description="As it stands now")
    approval_id: str | None = Field(description="The proposal that a second person has to agree to; null: it is done")


class WebhookOut(Response):
    received: bool = Field(description="true: it is stored")


class GateQuery(PageQuery):
    pass


class ReasonOut(Response):
    code: str = Field(
        description="client_blocked, client_inactive, kyc_required, kyc_pending, kyc_expired, kyc_rejected, "
        "value_unknown, limit_each, limit_day or limit_month"
    )
    message: str = Field(description="In a sentence")
    remedy: str = Field(description="contact, verify, wait_for_review, less, less_or_later or retry")
    values: dict[str, str] = Field(description="What decided it: limit_usd, used_usd, left_usd, amount_usd, level")


class GateDecisionOut(Response):
    id: str = Field(description="Id of the answer")
    client_id: str = Field(description="Id of the client")
    act: str = Field(description=f"What was intended: {', '.join(act.value for act in Act)}")
    about_type: str | None = Field(description="What kind of object it was about, such as withdrawal")
    about_id: str | None = Field(description="Its id")
    inputs: Any = Field(description="All that the answer depends on; worked out again it is the same")
    allowed: bool = Field(description="Whether the client was let through")
    reasons: list[ReasonOut] = Field(description="Why not, and what would change it")
    at: TimeOut = Field(description="When it was asked")

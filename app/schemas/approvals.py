"""Proposals that wait for a second person: filters, decisions, answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.domain.approvals import ApprovalKind, ApprovalStatus

from .base import AmountOut, QueryBool, Request, Response, Text, TimeOut
from .orders import PageQuery

ContentHash = Annotated[Text, Field(pattern="^[0-9a-f]{64}$")]
SEEN = "content_hash of what was looked at: with it nothing else is decided; left out: whatever stands there"


class ApprovalQuery(PageQuery):
    status: ApprovalStatus | None = Field(None, description="In this state")
    kind: ApprovalKind | None = Field(None, description="About this kind of thing")
    client_id: Annotated[str, Field(max_length=64)] | None = Field(None, description="About this client, by code or id")
    waiting_for_me: QueryBool = Field(False, description="true: only what the caller may decide now")


class ApproveIn(Request):
    content_hash: ContentHash | None = Field(None, description=SEEN)
    reason: Text | None = Field(None, max_length=500, description="A note for the trail, at most 500 characters")


class RejectIn(Request):
    content_hash: ContentHash | None = Field(None, description=SEEN)
    reason: Text = Field(min_length=3, max_length=500, description="Why not, 3 to 500 characters; the maker reads it")


class VoteOut(Response):
    checker: str = Field(description="Who decided: user:<id>")
    checker_name: str | None = Field(description="The same by name")
    approves: bool = Field(description="true: agreed; false: rejected")
    reason: str | None = Field(description="What they said about it")
    at: TimeOut = Field(description="When they decided")


class ApprovalOut(Response):
    id: str = Field(description="Id of the proposal")
    kind: ApprovalKind = Field(description="What it is about")
    object_id: str = Field(description="Id of what it is about")
    client_id: str | None = Field(description="Id of the client it concerns; null: none")
    summary: str = Field(description="It in one line, at most 300 characters")
    content: Any = Field(description="Exactly what is proposed; before and after where something changes")
    content_hash: str = Field(description="SHA-256 of the content; sent with a decision it says what was looked at")
    amount_usd: AmountOut | None = Field(description="Its value in USD, which chooses the tier; null: not known")
    required: int = Field(ge=1, description="How many people have to agree")
    maker: str = Field(description="Who proposed it: user:<id>, key:<id> or system")
    maker_name: str | None = Field(description="The same by name")
    status: ApprovalStatus = Field(
        description="pending; approved by enough people; executed, or failed when it was to be carried out; rejected; "
        "expired; voided because what it is about has changed"
    )
    reason: str | None = Field(description="Why it was rejected, voided or has failed; else null")
    votes: list[VoteOut] = Field(description="Who has decided so far, the first one first")
    may_decide: bool = Field(description="true: the caller may approve or reject it now")
    version: int = Field(ge=1, description="Grows by one with each vote and step")
    created_at: TimeOut = Field(description="When it was proposed")
    expires_at: TimeOut = Field(description="Nobody decides on it from then on")
    decided_at: TimeOut | None = Field(description="When it stopped being pending; else null")
    executed_at: TimeOut | None = Field(description="When it was carried out; else null")

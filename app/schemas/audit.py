"""The audit trail: filters and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .base import Request, Response, Time, TimeOut, check_range
from .orders import PageQuery

Word = Annotated[str, Field(max_length=254)]


class AuditFilters(Request):
    actor: Word | None = Field(
        None, description="Who did it: user:<id>, key:<id> or system, or part of the name or e-mail address"
    )
    action: Annotated[str, Field(max_length=60)] | None = Field(
        None, description="What was done, such as user.disable, or a family of actions, such as user.*"
    )
    object_type: Annotated[str, Field(max_length=30)] | None = Field(
        None, description="What it was done to: client, wallet, order, user, api_key, ..."
    )
    object_id: Annotated[str, Field(max_length=60)] | None = Field(None, description="Id of what it was done to")
    from_: Annotated[Time | None, Field(alias="from", description="The first moment")] = None
    to: Time | None = Field(None, description="The moment after the last")

    @model_validator(mode="after")
    def _range(self) -> Self:
        check_range(self.from_, self.to)
        return self


class AuditQuery(PageQuery, AuditFilters):
    """A page of what the filters let through."""


class AuditExportQuery(AuditFilters):
    format: Literal["json", "csv"] = Field("json", description="json, or csv for a spreadsheet")


class AuditOut(Response):
    id: str = Field(description="Id of the record")
    seq: int | None = Field(description="Its number in the chain, without gaps; null for the second before it has one")
    at: TimeOut = Field(description="When it was done")
    actor: str = Field(description="Who did it: user:<id>, key:<id> or system")
    actor_label: str | None = Field(description="E-mail address or name and prefix of the key, as it was then")
    ip: str | None = Field(description="The address it came from; null: not from outside")
    action: str = Field(description="What was done, such as wallet.paused")
    object_type: str = Field(description="The kind of object it was done to")
    object_id: str = Field(description="Its id")
    details: Any = Field(description="Before, after and what else was said; a text where the stored record is no JSON")
    readable: bool = Field(description="false: the stored details are no JSON; verify names the record")
    hash: str | None = Field(description="SHA-256 over the hash before it and this record; null with seq")


class AuditBreakOut(Response):
    seq: int = Field(description="Number of the record")
    problem: str = Field(description="What is wrong: a gap or wrong link, a changed record, one that is no JSON")


class AuditVerifyOut(Response):
    ok: bool = Field(description="true: every record is as it was written, and none is missing in between")
    records: int = Field(ge=0, description="How many records have a place in the chain")
    unchained: int = Field(ge=0, description="How many wait for one; more than a second's worth is itself a fault")
    head: str | None = Field(description="Hash of the last record: kept elsewhere, it shows what was cut off")
    breaks: list[AuditBreakOut] = Field(description="Where the chain is broken, in its order, at most 100")

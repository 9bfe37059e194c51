"""Parked faults: what may be asked of them, and how they are shown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import QueryBool, Request, Response, Text, TimeOut
from .orders import PageQuery

STAGES = Literal["booking", "trigger", "arm", "exit", "reduce_only", "send", "audit", "relay"]


class FaultQuery(PageQuery):
    open: QueryBool = Field(True, description="true: only what is parked now; false: what is resolved as well")


class FaultResolution(Request):
    note: Text = Field(
        min_length=3,
        max_length=300,
        description="What was found and done, 3 to 300 characters; kept with the fault and in the audit trail",
    )


class FaultOut(Response):
    id: str = Field(description="Id of the fault")
    at: TimeOut = Field(description="When it was parked")
    stage: STAGES = Field(
        description="What failed: booking of the venue's reports; trigger, arm or exit of a position's levels; "
        "reduce_only, canceling an order that has nothing to reduce; send to the venue; audit, chaining a record; "
        "relay, pushing an event"
    )
    object_type: str = Field(description="What it is about: order, position, event or audit_record")
    object_id: str = Field(description="Its id")
    order_id: str | None = Field(description="The same where it is an order, else null")
    error: str = Field(description="What the newest attempt failed with, at most 2,000 characters")
    context: str | None = Field(
        description="The venue's messages that were being booked, one a line, fields separated by the byte 01"
    )
    waiting_reports: int = Field(
        ge=0, description="How many reports of the venue wait for it: nothing overtakes what could not be booked"
    )
    attempts: int = Field(ge=1, description="How often it was tried")
    retry_at: TimeOut | None = Field(
        description="When somebody asked for another attempt that the engine has not made yet, else null"
    )
    resolved_at: TimeOut | None = Field(description="null while it is parked")
    resolved_by: str | None = Field(
        description="Who resolved it, or asked for the attempt that went well: user:<id>, key:<id>, system for the "
        "command line; engine where nobody had asked"
    )
    resolved_by_name: str | None = Field(description="The same by name")
    resolution: str | None = Field(
        description="The note it was resolved with, at most 300 characters; retried after an attempt that went well"
    )

"""Health, events, keys and what supervisors read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .base import QueryInt, Request, Response, Text, TimeOut
from .orders import PageQuery


class Empty(Request):
    """No field at all."""


class EventQuery(Request):
    after: Annotated[QueryInt, Field(ge=0, le=2**63 - 1, description="The cursor of the last event seen")] = 0
    types: Annotated[
        str,
        Field(max_length=500, pattern=r"^[a-z_.*]+(,[a-z_.*]+)*$", description="Comma separated; order.* for all"),
    ] | None = None  # fmt: skip
    without: Annotated[
        str,
        Field(max_length=500, pattern=r"^[a-z_.*]+(,[a-z_.*]+)*$", description="Types to leave out, written as types"),
    ] | None = None  # fmt: skip
    client_id: Text | None = Field(
        None, max_length=64, description="Only the stream of this client, by code or id; all that one may see otherwise"
    )
    order: Literal["oldest", "newest"] = Field(
        "oldest", description="oldest: forward from after; newest: backward from before"
    )
    before: Annotated[QueryInt, Field(ge=0, le=2**63 - 1)] | None = Field(
        None, description="With order=newest: the cursor that what is wanted came before; the newest of all without"
    )
    limit: Annotated[QueryInt, Field(ge=1, le=500, description="Most events of one answer, 1 to 500")] = 100

    @model_validator(mode="after")
    def _direction(self) -> EventQuery:
        if self.order == "newest" and self.after:
            raise PydanticCustomError("wrong_direction", "after goes with order=oldest; use before")
        if self.order == "oldest" and self.before is not None:
            raise PydanticCustomError("wrong_direction", "before goes with order=newest; use after")
        return self


class EventOut(Response):
    """An event; beside these members stands what changed."""

    model_config = ConfigDict(extra="allow")

    id: str
    cursor: int | None
    seq: int | None
    stream: str
    type: str
    object_type: str
    object_id: str
    version: int | None
    at: TimeOut
    data: dict[str, Any]


class EventPage(Response):
    items: list[EventOut]
    cursor: int = Field(description="What to send as after next time")
    limit: int
    has_more: bool


class KeyOut(Response):
    id: str
    prefix: str
    name: str
    scopes: list[str]
    client_id: str | None
    system: bool
    act_for_clients: bool
    allowed_ips: list[str] | None
    orders_per_second: int | None
    requests_per_second: int | None
    created_at: TimeOut
    created_by: str | None
    expires_at: TimeOut | None
    revoked_at: TimeOut | None
    last_used_at: TimeOut | None


class ServiceState(Response):
    model_config = ConfigDict(extra="allow")

    name: str
    status: Literal["healthy", "degraded", "down"]


class ServicesOut(Response):
    status: Literal["healthy", "degraded", "down"]
    at: TimeOut
    services: list[ServiceState]


class ReconcileOut(Response):
    model_config = ConfigDict(extra="allow")

    ok: bool
    checked: dict[str, Any]
    breaks: list[dict[str, Any]]


class EngineOut(Response):
    running: bool = Field(description="Whether this process leads")
    status: dict[str, Any] = Field(description="Figures of the engine that leads")
    engines: list[dict[str, Any]] = Field(description="Every engine process heard of lately, the leader first")
    lease: dict[str, Any] | None
    faults: dict[str, Any]


class SignalResult(Response):
    signal: dict[str, Any]
    order: dict[str, Any] | None


class PositionUpdateOut(Response):
    at: TimeOut
    price: str
    unrealized_pnl: str
    action: str | None


class BatchItem(Response):
    """``order`` when it was stored, ``error`` (a problem) when it was not."""

    index: int
    status: int
    order: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class BatchOut(Response):
    items: list[BatchItem]


class WalletChoice(Request):
    wallet_id: Annotated[str, Field(max_length=64)] | None = None


class ExecutionQuery(PageQuery):
    client_id: Annotated[str, Field(max_length=64)] | None = None
    wallet_id: Annotated[str, Field(max_length=64)] | None = None
    symbol: Annotated[str, Field(max_length=32)] | None = None

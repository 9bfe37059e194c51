"""Health, events, keys and what supervisors read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .base import QueryInt, Request, Response, Text, TimeOut
from .orders import OrderOut, PageQuery


class Empty(Request):
    """No field at all."""


class EventQuery(Request):
    after: Annotated[QueryInt, Field(ge=0, le=2**63 - 1, description="The cursor of the last event seen")] = 0
    types: (
        Annotated[
            str,
            Field(max_length=500, pattern=r"^[a-z_.*]+(,[a-z_.*]+)*$", description="Comma separated; order.* for all"),
        ]
        | None
    ) = None
    without: (
        Annotated[
            str,
            Field(
                max_length=500, pattern=r"^[a-z_.*]+(,[a-z_.*]+)*$", description="Types to leave out, written as types"
            ),
        ]
        | None
    ) = None
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

    id: str = Field(description="Id of the event: the same on every channel, for telling doubles")
    cursor: int | None = Field(description="Its place among all events; what you send as after")
    seq: int | None = Field(description="Its place in its stream, without gaps")
    stream: str = Field(description="Id of the client, or firm for the firm's own")
    type: str = Field(description="Such as order.filled")
    object_type: str = Field(description="order, execution, position, wallet, client")
    object_id: str = Field(description="Its id")
    version: int | None = Field(description="Of the object after the change; null where it has none")
    at: TimeOut = Field(description="When it happened")
    data: dict[str, Any] = Field(description="The object as the API shows it")


class EventPage(Response):
    items: list[EventOut] = Field(description="In the order asked for")
    cursor: int = Field(description="What to send as after next time")
    limit: int = Field(description="Most events of one answer")
    has_more: bool = Field(description="true: ask again with cursor")


class KeyOut(Response):
    id: str = Field(description="Id of the key")
    prefix: str = Field(description="Its first 13 characters, by which it is told")
    name: str = Field(description="What it is for")
    scopes: list[str] = Field(description="What it opens: read, trade, funding, clients, operations, admin")
    client_id: str | None = Field(description="Id of the client it is bound to; null: one of the firm")
    system: bool = Field(description="true: of the firm, bound to no client")
    act_for_clients: bool = Field(description="true: a key of the firm that may name a client and act for it")
    allowed_ips: list[str] | None = Field(description="Addresses and networks it works from; null: any")
    orders_per_second: int | None = Field(description="Its own rate; null: the firm's")
    requests_per_second: int | None = Field(description="Its own rate; null: the firm's")
    created_at: TimeOut = Field(description="When it was made")
    created_by: str | None = Field(description="user:<id> or system, else null")
    expires_at: TimeOut | None = Field(description="When it ends by itself; null: never")
    revoked_at: TimeOut | None = Field(description="When it was ended, else null")
    last_used_at: TimeOut | None = Field(description="When it was last used, to the minute; null: never")


class ServiceState(Response):
    model_config = ConfigDict(extra="allow")

    name: str = Field(description="database, engine, mail, or feed:<name>")
    status: Literal["healthy", "degraded", "down"] = Field(description="healthy, degraded or down")


class ServicesOut(Response):
    status: Literal["healthy", "degraded", "down"] = Field(description="The worst of all parts")
    at: TimeOut = Field(description="When it was looked at")
    services: list[ServiceState] = Field(description="Each part with its figures")


class ReconcileOut(Response):
    model_config = ConfigDict(extra="allow")

    ok: bool = Field(description="true: every invariant holds")
    checked: dict[str, Any] = Field(description="How many objects of each kind were looked at")
    breaks: list[dict[str, Any]] = Field(description="What does not agree, with its values")


class EngineOut(Response):
    running: bool = Field(description="Whether an engine leads, in this process or another one")
    status: dict[str, Any] = Field(description="Figures of the engine that leads")
    engines: list[dict[str, Any]] = Field(description="Every engine process heard of lately, the leader first")
    lease: dict[str, Any] | None = Field(description="Who may write, and since when; null: nobody has ever led")
    faults: dict[str, Any] = Field(description="A page of what is parked, as GET /admin/faults shows it")


class SignalOut(Response):
    id: str = Field(description="Id of the signal")
    position_id: str = Field(description="Id of the position")
    action: Literal["hold", "reduce", "close"] = Field(description="As it was sent")
    confidence: int = Field(description="As it was sent, percent")
    threshold: int = Field(description="Confidence from which this wallet acts, percent")
    outcome: Literal["noted", "below_threshold", "below_lot", "executed", "rejected"] = Field(
        description="What came of it; below_lot: what it wanted out is less than one lot"
    )
    order_id: str | None = Field(description="Id of the order it made, else null")
    created_at: TimeOut = Field(description="When it was stored")


class SignalResult(Response):
    signal: SignalOut = Field(description="As it was stored")
    order: OrderOut | None = Field(description="The order it made; null: none")


class PositionUpdateOut(Response):
    at: TimeOut = Field(description="When it was sampled")
    price: str = Field(description="The price then, in quote currency")
    unrealized_pnl: str = Field(description="Profit at that price, in quote currency")
    action: str | None = Field(description="What was done then, else null")


class BatchItem(Response):
    """``order`` when it was stored, ``error`` (a problem) when it was not."""

    index: int = Field(description="Place of the order in the request, from 0")
    status: int = Field(description="As POST /orders would have answered: 201, 200 or that of the error")
    order: dict[str, Any] | None = Field(None, description="The order as it was stored, or the answer of a dry run")
    error: dict[str, Any] | None = Field(None, description="The problem, when nothing was stored")


class BatchOut(Response):
    items: list[BatchItem] = Field(description="One for each order sent, in the same order")


class WalletChoice(Request):
    wallet_id: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Only in this wallet; the same id may have been used in several"
    )


class ExecutionQuery(PageQuery):
    client_id: Annotated[str, Field(max_length=64)] | None = Field(None, description="Of this client, by code or id")
    wallet_id: Annotated[str, Field(max_length=64)] | None = Field(None, description="Of this wallet")
    symbol: Annotated[str, Field(max_length=32)] | None = Field(
        None, description="In this instrument, in any known form"
    )

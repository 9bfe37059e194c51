"""Clients: requests and answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool

from .base import Id, Named, Patch, QueryBool, Request, Response, Text, TimeOut, without_default
from .orders import PageQuery

Name = Annotated[Named, Field(min_length=1, max_length=200)]
Email = Annotated[Text, Field(max_length=254)]


class ClientIn(Request):
    code: Annotated[Text, Field(min_length=1, max_length=32)] = Field(
        description="What people call the client by, 1 to 32 letters, digits, points or dashes; unique "
        "whatever its capitals, never changed"
    )
    name: Name = Field(description="1 to 200 characters")
    email: Email | None = Field(None, description="Where mail goes, at most 254 characters")
    trader_id: Annotated[Text, Field(max_length=36)] | None = Field(
        None, description="Id of the trader the client is assigned to; a trader's own client when left out by one"
    )


class ClientPatch(Patch):
    """What is left out stays as it is; null removes."""

    name: Name = Field("", json_schema_extra=without_default, description="1 to 200 characters")
    email: Email | None = Field(None, description="Where mail goes; null removes")
    active: StrictBool = Field(
        True,
        json_schema_extra=without_default,
        description="false: the people of the client are signed out, its keys are refused, orders are rejected",
    )
    trader_id: Annotated[Text, Field(max_length=36)] | None = Field(
        None, description="Id of the trader the client is assigned to; null: nobody"
    )


class ClientQuery(PageQuery):
    q: Annotated[str, Field(max_length=100, description="Part of code, name or mail")] | None = None
    active: QueryBool | None = Field(None, description="true: who may trade; false: who may not")
    trader_id: Id | None = Field(None, description="Assigned to this trader")


class ClientOut(Response):
    id: str = Field(description="Id of the client")
    code: str = Field(description="What people call the client by; taken wherever a client is named")
    name: str = Field(description="As registered")
    email: str | None = Field(description="Where mail goes, else null")
    active: bool = Field(description="false: may neither sign in nor trade")
    trader_id: str | None = Field(description="Id of the trader, else null")
    version: int = Field(description="Grows by one with each change; the ETag is made of it")
    created_at: TimeOut = Field(description="When the client was registered")
    updated_at: TimeOut = Field(description="When the record last changed")

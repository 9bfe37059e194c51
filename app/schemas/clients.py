"""Clients: requests and answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from .base import Id, Named, QueryBool, Request, Response, Text, TimeOut
from .orders import PageQuery


def without_default(schema: dict[str, Any]) -> None:
    """For a field of a PATCH: left out means unchanged, so its document names no default."""
    schema.pop("default", None)


Name = Annotated[Named, Field(min_length=1, max_length=200)]
Email = Annotated[Text, Field(max_length=254)]


class ClientIn(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"code": "C-2001", "name": "Ana Quispe", "email": "ana@example.com"}]}
    )

    code: Annotated[Text, Field(min_length=1, max_length=32)]
    name: Name
    email: Email | None = None
    trader_id: Annotated[Text, Field(max_length=36)] | None = None


class ClientPatch(Request):
    """What is left out stays as it is; null removes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}]})

    name: Name = Field("", json_schema_extra=without_default)
    email: Email | None = None
    active: StrictBool = Field(True, json_schema_extra=without_default)
    trader_id: Annotated[Text, Field(max_length=36)] | None = None

    @model_validator(mode="after")
    def _something(self) -> ClientPatch:
        if not self.model_fields_set:
            raise PydanticCustomError("required", "at least one field is needed")
        return self


class ClientQuery(PageQuery):
    q: Annotated[str, Field(max_length=100, description="Part of code, name or mail")] | None = None
    active: QueryBool | None = None
    trader_id: Id | None = None


class ClientOut(Response):
    id: str
    code: str
    name: str
    email: str | None
    active: bool
    trader_id: str | None
    version: int
    created_at: TimeOut
    updated_at: TimeOut

"""Clients from a CSV file: what comes with it, and the report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.domain.clients import ClientKind

from .base import Id, QueryBool, Request, Response
from .clients import ClientStatus
from .openapi import FieldProblem


class ImportIn(Request):
    """The fields of the form, beside the file."""

    dry_run: QueryBool = Field(True, description="true: look at every row and store nothing; false: register")


class ImportedRow(Response):
    line: int = Field(description="Row of the file, as a spreadsheet counts: the names of the columns are in row 1")
    code: str | None = Field(description="The client's code, else null")
    outcome: Literal["valid", "created", "refused"] = Field(description="valid: would be created, in a dry run")
    client_id: str | None = Field(description="Id of the client that was registered, else null")
    errors: list[FieldProblem] = Field(description="What is wrong with the row, by column; row: the whole")


class ImportOut(Response):
    dry_run: bool = Field(description="true: nothing was stored")
    good: int = Field(description="Rows that were registered, or would be")
    refused: int = Field(description="Rows that were not, and will not be as they stand")
    items: list[ImportedRow] = Field(description="Every row, in the order of the file")


class ExportQuery(Request):
    q: Annotated[str, Field(max_length=100, description="Part of code, name, mail or document number")] | None = None
    active: QueryBool | None = Field(None, description="true: who may trade; false: who may not")
    status: ClientStatus | None = Field(None, description="The same, with those the firm has blocked told apart")
    kind: ClientKind | None = Field(None, description="Persons alone, or companies alone")
    trader_id: Id | None = Field(None, description="Assigned to this trader")

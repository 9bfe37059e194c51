"""Clients from a CSV file, with a report for each row, and clients as such a file.

The first line names the columns, in any order; what the export adds beside them is passed over. A row that is
refused changes nothing and stops no other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import AppError, FieldError, Invalid
from app.core.permissions import Principal
from app.core.spreadsheets import csv_text, plain_text
from app.core.transaction import Database
from app.models import Client, User, table_of
from app.schemas.base import validate
from app.schemas.clients import ClientIn

from . import clients, emails

MAX_ROWS: Final = 500  # of one transaction: it holds others up
COLUMNS: Final = (
    "code",
    "kind",
    "name",
    "given_names",
    "paternal_surname",
    "maternal_surname",
    "identity_type",
    "identity_number",
    "identity_country",
    "born_on",
    "nationality",
    "email",
    "phones",
    "address",
    "occupation",
    "source_of_funds",
    "trader",
)
EXPORTED_TOO: Final = ("status", "kyc_status", "kyc_level", "created_at")
_BETWEEN: Final = ";"  # two telephone numbers in one cell


@dataclass(frozen=True, slots=True)
class Row:
    """``line``: counted in rows, the first one with a client is 2, as a spreadsheet shows it."""

    line: int
    values: dict[str, str]


class _DryRun(Exception):
    """Carries the report out of a transaction that must not be stored."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__()
        self.items = items


def read(data: bytes) -> list[Row]:
    """The rows of a file: UTF-8, or as Excel in Spanish writes it; commas, semicolons or tabs between the columns.

    Raises ``Invalid`` for what is no such file.
    """
    text = _decoded(data)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise Invalid.field("file", "invalid_csv", f"is no CSV: {error}") from error
    header = [name.strip().lower() for name in lines[0]] if lines else []
    unknown = [name for name in header if name not in COLUMNS + EXPORTED_TOO]
    if "code" not in header or unknown or len(set(header)) < len(header):
        said = f"has the unknown column {unknown[0][:40]}" if unknown else "must name each column once, and have code"
        raise Invalid.field("file", "invalid_csv", said)
    rows = [(number, cells) for number, cells in enumerate(lines[1:], 2) if any(cell.strip() for cell in cells)]
    return [Row(number, _named(number, header, cells)) for number, cells in rows]


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _named(number: int, header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) > len(header):
        raise Invalid.field("file", "invalid_csv", f"has more cells than columns in row {number}")
    named = zip(header, cells, strict=False)
    return {name: plain_text(cell).strip() for name, cell in named if name in COLUMNS and cell.strip()}


def load(database: Database, rows: Sequence[Row], principal: Principal, now: datetime, *, dry_run: bool) -> list[Any]:
    """Register the clients of these rows in one transaction; ``dry_run`` does all of it and stores nothing.

    Returns an item for each row. Raises ``Invalid`` for too many rows.
    """
    if len(rows) > MAX_ROWS:
        raise Invalid.field("file", "too_many_rows", f"has {len(rows)} rows; at most {MAX_ROWS} are taken at once")

    def work(session: Session) -> list[dict[str, Any]]:
        items = [_load_row(session, row, principal, now, dry_run) for row in rows]
        if dry_run:
            raise _DryRun(items)
        return items

    try:
        return database.run(work)
    except _DryRun as done:
        return done.items


def report(items: Sequence[dict[str, Any]], *, dry_run: bool) -> dict[str, Any]:
    """The items, counted."""
    refused = sum(item["outcome"] == "refused" for item in items)
    return {"dry_run": dry_run, "good": len(items) - refused, "refused": refused, "items": list(items)}


def _load_row(session: Session, row: Row, principal: Principal, now: datetime, dry_run: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"line": row.line, "code": row.values.get("code"), "client_id": None, "errors": []}
    try:
        with session.begin_nested():
            client = _register(session, dict(row.values), principal, now)
    except AppError as error:
        errors = error.errors or [FieldError("row", error.code, error.detail)]
        return {**told, "outcome": "refused", "errors": [item.to_json() for item in errors]}
    return {**told, "outcome": "valid" if dry_run else "created", "client_id": None if dry_run else client.id}


def _register(session: Session, values: dict[str, Any], principal: Principal, now: datetime) -> Client:
    trader = values.pop("trader", None)
    if "phones" in values:
        values["phones"] = [phone.strip() for phone in values["phones"].split(_BETWEEN) if phone.strip()]
    given = validate(ClientIn, values).model_dump()
    if trader is not None:
        given["trader_id"] = _trader(session, trader)
    return clients.create(session, given.pop("code"), given.pop("name"), principal, now, **given)


def _trader(session: Session, email: str) -> str:
    found = session.scalar(sa.select(User.id).where(User.email == emails.normalize(email)))
    if found is None:
        raise Invalid.field("trader", "unknown_trader", "names no trader", email[:60])
    return str(found)


def export(session: Session, principal: Principal, wanted: clients.ClientFilter) -> str:
    """The clients that the caller may see and the filter lets through, as a file that ``read`` takes."""
    return csv_text((*COLUMNS, *EXPORTED_TOO), _cells(session, clients.matching(principal, wanted)))


def _cells(session: Session, query: sa.Select[Client]) -> Iterator[list[Any]]:
    traders = {row.id: row.email for row in session.execute(sa.select(User.id, User.email))}
    # rows, not objects: a session keeps track of each object, which costs more than all the rest
    found = session.execute(query.with_only_columns(*table_of(Client).c).order_by(Client.code))
    row: Any
    for row in found.yield_per(2_000):
        shown = clients.show(row)
        shown["phones"] = f"{_BETWEEN} ".join(shown["phones"])
        shown["trader"] = traders.get(row.trader_id or "")
        yield [shown[name] for name in (*COLUMNS, *EXPORTED_TOO)]

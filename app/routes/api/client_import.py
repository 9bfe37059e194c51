"""Clients from a CSV file, and as one."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from app.core.permissions import READ, WRITE, Resource
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.request import db, now, query, services, uploaded
from app.schemas.client_import import ExportQuery, ImportIn, ImportOut
from app.services import client_import, clients

from . import blueprint, csv

READING, WRITING = (Resource.CLIENTS, READ), (Resource.CLIENTS, WRITE)


@blueprint.post("/clients/import")
@endpoint(
    "Register clients from a CSV file",
    tag="clients",
    body=ImportIn,
    file="CSV, at most 500 rows. Columns: " + ", ".join(client_import.COLUMNS) + " (the trader's e-mail address); "
    "several phones are separated by semicolons. What the export adds is passed over",
    response=ImportOut,
    needs=WRITING,
    errors=("invalid_csv", "too_many_rows"),
    description="A dry run unless dry_run is false: then every row is looked at, and nothing is stored. A row that is "
    "refused stops no other.",
)
@no_transaction
def import_clients() -> ResponseReturnValue:
    given, upload = uploaded(ImportIn)
    rows = client_import.read(upload.data)
    items = client_import.load(services().database, rows, principal(), now(), dry_run=given.dry_run)
    services().wake()
    return client_import.report(items, dry_run=given.dry_run)


@blueprint.get("/clients/export")
@endpoint(
    "Clients as a CSV file, by code",
    tag="clients",
    query=ExportQuery,
    needs=READING,
    media_type="text/csv",
    errors=("invalid_id",),
    description="All that the filter lets through. A cell that a spreadsheet would run as a formula begins with an "
    "apostrophe; the import takes it away again.",
)
def export_clients() -> ResponseReturnValue:
    asked = query(ExportQuery)
    wanted = clients.ClientFilter(asked.q, asked.active, asked.trader_id, asked.status, asked.kind)
    return csv(client_import.export(db(), principal(), wanted), "clients")

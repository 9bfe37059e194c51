"""``flask clients``: clients of the firm."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.core.permissions import SYSTEM
from app.schemas.base import validate
from app.schemas.clients import ClientIn
from app.services import access, client_import, client_limits, clients, users

from .answers import prints_json, run, services

group = AppGroup("clients", help="Clients of the firm.")


@group.command("create")
@click.option("--code", required=True, help="Such as C-1001.")
@click.option("--name", help="The code, when not given.")
@click.option("--email")
@click.option("--trader", help="E-mail of the trader the client is assigned to.")
@prints_json
def create(code: str, name: str | None, email: str | None, trader: str | None) -> dict[str, Any]:
    """A new client."""
    given = validate(ClientIn, {"code": code, "name": code if name is None else name, "email": email})

    def work(session: Session, now: datetime) -> dict[str, Any]:
        trader_id = users.by_email(session, trader).id if trader else None
        return clients.show(
            clients.create(session, given.code, given.name, SYSTEM, now, email=given.email, trader_id=trader_id)
        )

    return run(work)


@group.command("list")
@click.option("--search", help="Part of code, name or mail.")
@click.option("--trader", help="E-mail of the trader they are assigned to.")
@click.option("--active/--inactive", default=None, help="Only those who may trade, or who may not.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=10_000, show_default=True)
@prints_json
def list_clients(search: str | None, trader: str | None, active: bool | None, limit: int) -> dict[str, Any]:
    """The clients, by code."""

    def work(session: Session) -> dict[str, Any]:
        trader_id = users.by_email(session, trader).id if trader else None
        found, total = clients.search(session, SYSTEM, clients.ClientFilter(search, active, trader_id), limit, 0)
        return {"items": [clients.show(client) for client in found], "total": total}

    return services().database.read(work)


@group.command("limits")
@click.argument("ref")
@prints_json
def limits(ref: str) -> dict[str, Any]:
    """The trading limits of a client, named by code or id."""

    def work(session: Session) -> dict[str, Any]:
        client = access.client(session, SYSTEM, ref, "read")
        return {"items": client_limits.of_client(session, client, services().instruments)}

    return services().database.read(work)


@group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Look at every row, and store nothing.")
@prints_json
def import_clients(file: Path, dry_run: bool) -> dict[str, Any]:
    """Register the clients of a CSV file; prints the rows that were refused."""
    rows, parts = client_import.read(file.read_bytes()), services()
    items: list[Any] = []
    with click.progressbar(length=len(rows), label="Clients", file=sys.stderr) as bar:
        for start in range(0, len(rows), client_import.MAX_ROWS):
            part = rows[start : start + client_import.MAX_ROWS]
            items += client_import.load(parts.database, part, SYSTEM, parts.clock.now(), dry_run=dry_run)
            bar.update(len(part))
    report = client_import.report(items, dry_run=dry_run)
    return {**report, "items": [item for item in items if item["outcome"] == "refused"]}


@group.command("export")
@click.argument("file", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@click.option("--search", help="Part of code, name, mail or document number.")
@click.option("--status", type=click.Choice(["active", "inactive", "blocked"]))
@prints_json
def export_clients(file: Path, search: str | None, status: str | None) -> dict[str, Any]:
    """Write the clients as a CSV file that the import takes."""
    wanted = clients.ClientFilter(search, status=status)
    text = services().database.read(lambda session: client_import.export(session, SYSTEM, wanted))
    file.write_text(text, encoding="utf-8-sig", newline="")
    return {"file": str(file), "clients": text.count("\r\n") - 1}

"""``flask clients``: clients of the firm."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.core.permissions import SYSTEM
from app.schemas.base import validate
from app.schemas.clients import ClientIn
from app.services import access, client_limits, clients, users

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

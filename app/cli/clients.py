"""``flask clients``: clients of the firm."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.core.permissions import SYSTEM
from app.services import clients, users

from .answers import prints_json, run

group = AppGroup("clients", help="Clients of the firm.")


@group.command("create")
@click.option("--code", required=True, help="Such as C-1001.")
@click.option("--name", help="The code, when not given.")
@click.option("--email")
@click.option("--trader", help="E-mail of the trader the client is assigned to.")
@prints_json
def create(code: str, name: str | None, email: str | None, trader: str | None) -> dict[str, Any]:
    """A new client."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        trader_id = users.by_email(session, trader).id if trader else None
        return clients.show(clients.create(session, code, name or code, SYSTEM, now, email=email, trader_id=trader_id))

    return run(work)

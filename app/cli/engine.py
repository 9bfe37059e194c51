"""``flask engine``: what the engine had to park."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from app.core.pagination import MAX_LIMIT, Page
from app.core.permissions import SYSTEM
from app.schemas.base import validate
from app.schemas.faults import FaultResolution
from app.services import faults

from .answers import prints_json, run

group = AppGroup("engine", help="What the engine had to park.")


@group.command("faults")
@click.option("--all", "all_", is_flag=True, help="Resolved ones as well.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=MAX_LIMIT, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0)
@prints_json
def list_(all_: bool, limit: int, offset: int) -> dict[str, Any]:
    """What is parked, newest first."""
    items, total = run(lambda session, now: faults.listed(session, limit, offset, open_only=not all_))
    return Page(items, total, limit, offset).to_json()


@group.command("retry")
@click.argument("fault_id", metavar="ID")
@prints_json
def retry(fault_id: str) -> dict[str, Any]:
    """Have the engine try again, within a second."""
    return run(lambda session, now: faults.ask_retry(session, fault_id, SYSTEM, now))


@group.command("resolve")
@click.argument("fault_id", metavar="ID")
@click.option("--note", required=True, help="What was found and done, 3 to 300 characters.")
@prints_json
def resolve(fault_id: str, note: str) -> dict[str, Any]:
    """Say that it is dealt with; reports that wait for it are never booked."""
    given = validate(FaultResolution, {"note": note}).note
    return run(lambda session, now: faults.resolve(session, fault_id, SYSTEM, now, given))

"""``flask audit``: the trail of who did what."""

from __future__ import annotations

from typing import IO, Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.core import json
from app.services import audit

from .answers import prints_json, services

group = AppGroup("audit", help="The audit trail.")


@group.command("head")
@prints_json
def head() -> dict[str, Any] | None:
    """The last record of the chain: number, hash and time. Keep it elsewhere."""
    return services().database.read(audit.head) or {"seq": 0, "hash": audit.GENESIS, "at": None}


@group.command("verify")
@click.option("--heads", type=click.File(), help="Heads that were kept, one JSON object a line (AUDIT_HEAD_FILE).")
@prints_json
def verify(heads: IO[str] | None) -> dict[str, Any]:
    """Check the hash chain, and that it has every head that was kept; status 1 when it is broken."""
    kept = [] if heads is None else [json.loads_stored(line) for line in heads if line.strip()]

    def work(session: Session) -> list[dict[str, Any]]:
        return audit.verify(session) + audit.check_heads(session, kept)

    breaks = services().database.read(work)
    answer = {"ok": not breaks, "breaks": breaks}
    if breaks:
        click.echo(json.dumps(answer))
        raise SystemExit(1)
    return answer

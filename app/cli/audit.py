"""``flask audit``: the trail of who did what."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from app.core import json
from app.services import audit

from .answers import prints_json, services

group = AppGroup("audit", help="The audit trail.")


@group.command("verify")
@prints_json
def verify() -> dict[str, Any]:
    """Check the hash chain; status 1 when it is broken."""
    breaks = services().database.read(audit.verify)
    answer = {"ok": not breaks, "breaks": breaks}
    if breaks:
        click.echo(json.dumps(answer))
        raise SystemExit(1)
    return answer

"""``flask reconcile``: do all the books agree?"""

from __future__ import annotations

from typing import Any

import click
from flask.cli import with_appcontext

from app.core import json
from app.services import market
from app.services.reconcile import reconcile

from .answers import prints_json, services


@click.command("reconcile")
@with_appcontext
@prints_json
def command() -> dict[str, Any]:
    """Check every invariant of orders, positions and the ledger; status 1 when one is broken."""
    instruments = services().database.read(market.load_instruments)
    answer: dict[str, Any] = services().database.read(lambda session: reconcile(session, instruments))
    if not answer["ok"]:
        click.echo(json.dumps(answer))
        raise SystemExit(1)
    return answer

"""``flask demo``: a firm to try everything with."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.core import json
from app.core.errors import Forbidden, Malformed
from app.core.transaction import Database
from app.services import demo, demo_past

from .answers import prints_json, run, services
from .demo_past import Past, Progress, begin_of

ROOT = Path(__file__).resolve().parents[2]
group = AppGroup("demo", help="A firm to try everything with.")


def keys_path(database: Database) -> Path:
    """Where the demo's keys are kept: beside a SQLite file, else in ``var/``."""
    return (database.folder or ROOT / "var") / "demo_keys.json"


def _known_keys(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, Malformed):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: text for name, text in known.items() if isinstance(text, str)}


def _write_keys(path: Path, keys: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".demo_keys")  # created with mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(keys) + "\n")
    os.replace(name, path)


@group.command("load")
@click.option("--if-empty", is_flag=True, help="Add nothing to a database that has users or clients already.")
@click.option("--human", is_flag=True, help="Print addresses, sign-ins and keys for people.")
@click.option(
    "--past/--no-past",
    default=None,
    help="With a week of trading and days of prices; by default where MARKET_FEED is simulated.",
)
@prints_json
def load(if_empty: bool, human: bool, past: bool | None) -> dict[str, Any] | None:
    """Load the demo firm, and show how to get in. Refused in production."""
    settings, database = services().settings, services().database
    if settings.production:
        raise Forbidden("the demo firm is not for production", code="demo_in_production")
    added = _load_firm(if_empty, settings.market_feed == "simulated" if past is None else past)
    keys = _load_keys(keys_path(database))
    address = f"http://{settings.host}:{settings.port}"
    if human:
        click.echo(_describe(address, keys))
        return None
    return {
        "loaded": added is not None,
        **(added or {}),
        "address": address,
        "keys": keys,
        "sign_ins": [
            {"email": person.email, "role": person.role.value, "password": demo.PASSWORD} for person in demo.PEOPLE
        ]
        if keys
        else [],
    }


def _load_firm(if_empty: bool, with_past: bool) -> dict[str, Any] | None:
    database, now = services().database, services().clock.now()
    if if_empty and not database.read(demo.is_empty):
        return None
    hashes = demo.hash_passwords()  # slow: before the transaction
    fresh = with_past and database.read(demo_past.is_untouched)
    founded = begin_of(now) if fresh else now
    added = database.run(lambda session: demo.load(session, hashes, founded))
    if not fresh:
        return added
    return {**added, "past": Past(services(), now).play(_tell_progress())}


def _tell_progress() -> Progress:
    """On standard error: a line that moves on a terminal, elsewhere a line for every quarter."""
    moves, step = sys.stderr.isatty(), 1 if sys.stderr.isatty() else 25
    last: tuple[str, int] | None = None

    def tell(what: str, percent: int) -> None:
        nonlocal last
        if last == (what, percent // step):
            return
        last = what, percent // step
        line = f"  {what}: {percent} %"
        click.echo(f"\r{line}" if moves else line, nl=not moves or percent == 100, err=True)

    return tell


def _load_keys(path: Path) -> dict[str, str]:
    known = _known_keys(path)

    def work(session: Session, now: datetime) -> dict[str, str]:
        return demo.ensure_keys(session, known, now) if demo.is_loaded(session) else {}

    keys = run(work)
    if keys and keys != known:
        _write_keys(path, keys)  # after the commit: a key is made again when its text was lost in between
    return keys


def _describe(address: str, keys: dict[str, str]) -> str:
    lines = ["", f"  Address       {address}", f"  API           {address}/api/docs"]
    if not keys:
        return "\n".join([*lines, "", "  The database has a firm of its own: no demo sign-ins, no demo keys.", ""])
    lines += ["", f"  Password of all demo users: {demo.PASSWORD}"]
    lines += [f"    {person.role.value:<14}{person.email}" for person in demo.PEOPLE]
    lines += [
        "",
        f"  API key of client C-1001 (read, trade, funding):  {keys[demo.CLIENT_KEY]}",
        f"  API key of the firm (for clients):                {keys[demo.SYSTEM_KEY]}",
        f"  Try: curl -H 'X-API-Key: {keys[demo.CLIENT_KEY]}' {address}/api/v1/wallets",
        "",
    ]
    return "\n".join(lines)

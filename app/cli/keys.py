"""``flask keys``: keys of programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.core.permissions import SYSTEM, Scope
from app.services import access, api_keys

from .answers import prints_json, run, services

MOST = 100_000
group = AppGroup("keys", help="Keys of programs for the JSON API.")


@group.command("create")
@click.option("--client", "client_ref", help="Code or id of the client the key is bound to.")
@click.option("--system", is_flag=True, help="A key of the firm instead.")
@click.option("--scopes", required=True, help=f"Comma-separated, of {', '.join(Scope)}.")
@click.option("--name", default="command line", show_default=True)
@click.option("--act-for-clients", is_flag=True, help="A system key may name the client it acts for.")
@click.option("--allowed-ip", multiple=True, help="Address or network it may come from; may be repeated.")
@click.option("--expires-days", type=click.IntRange(1, 3650))
@prints_json
def create(
    client_ref: str | None,
    system: bool,
    scopes: str,
    name: str,
    act_for_clients: bool,
    allowed_ip: tuple[str, ...],
    expires_days: int | None,
) -> dict[str, Any]:
    """A new key. ``key`` is shown this once."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        request = api_keys.KeyRequest(
            name=name,
            scopes=[scope.strip() for scope in scopes.split(",") if scope.strip()],
            client=access.client(session, SYSTEM, client_ref, "read") if client_ref else None,
            system=system,
            act_for_clients=act_for_clients,
            allowed_ips=allowed_ip,
            expires_at=None if expires_days is None else now + timedelta(days=expires_days),
        )
        row, key = api_keys.create(session, request, SYSTEM, now)
        return {"key": key, **api_keys.show(row)}

    return run(work)


@group.command("list")
@click.option("--client", "client_ref", help="Code or id of the client; every key without it.")
@click.option("--live", is_flag=True, help="Leave out those that are revoked or have expired.")
@prints_json
def list_keys(client_ref: str | None, live: bool) -> dict[str, Any]:
    """The keys, newest first, without anything of their secrets."""

    def work(session: Session) -> dict[str, Any]:
        client_id = access.client(session, SYSTEM, client_ref, "read").id if client_ref else None
        rows, _ = api_keys.list_keys(session, SYSTEM, MOST, 0)
        now = services().clock.now()
        found = [key for key in rows if client_id is None or key.client_id == client_id]
        return {"items": [api_keys.show(key) for key in found if not live or api_keys.is_live(key, now)]}

    return services().database.read(work)


@group.command("revoke")
@click.argument("prefix")
@prints_json
def revoke(prefix: str) -> dict[str, Any]:
    """End a key at once."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        row = api_keys.find(session, SYSTEM, prefix)
        api_keys.revoke(session, row, SYSTEM, now)
        return api_keys.show(row)

    return run(work)


@group.command("rotate")
@click.argument("prefix")
@click.option("--overlap-hours", type=int, default=24, show_default=True, help="How long the old key still works.")
@prints_json
def rotate(prefix: str, overlap_hours: int) -> dict[str, Any]:
    """A new key like an old one, which ends after the overlap."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        old = api_keys.find(session, SYSTEM, prefix)
        row, key = api_keys.rotate(session, old, overlap_hours, SYSTEM, now)
        return {"key": key, **api_keys.show(row), "old": api_keys.show(old)}

    return run(work)

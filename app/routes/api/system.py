"""How the parts are doing, and what supervisors look at."""

from __future__ import annotations

from typing import Any

from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import DBAPIError

from app.core.clock import iso
from app.core.errors import Unavailable
from app.core.permissions import READ, Resource
from app.routes.access import endpoint
from app.routes.application import no_transaction
from app.routes.health import engine_state, metrics_registry
from app.routes.request import db, now, query, services
from app.schemas.orders import PageQuery
from app.schemas.system import EngineOut, ReconcileOut, ServicesOut
from app.services import faults, mails, oversight, reconcile

from . import blueprint, page
from .market import feed_states

READING = (Resource.SYSTEM, READ)
MAIL_WAITS_SECONDS = 600
_WORST = ("healthy", "degraded", "down")


@blueprint.get("/health/services")
@endpoint("Feeds, engine, database and mail, each with its figures", tag="system", response=ServicesOut, needs=READING)
@no_transaction
def health_services() -> ResponseReturnValue:
    parts = [_database(), *_engine(), *_mail(), *_feeds()]
    worst = max((part["status"] for part in parts), key=_WORST.index)
    return {"status": worst, "at": iso(now()), "services": parts}


def _database() -> dict[str, Any]:
    began = services().clock.monotonic()
    try:
        open_faults = services().database.read(faults.count_open)
    except (Unavailable, DBAPIError) as error:
        return {"name": "database", "status": "down", "error": type(error).__name__}
    taken = services().clock.monotonic() - began
    return {"name": "database", "status": "healthy", "milliseconds": round(taken * 1000, 1), "faults": open_faults}


def _engine() -> list[dict[str, Any]]:
    """The engine of this process where it leads, else the one that does, by its heartbeat."""
    local = services().leader
    if local is not None:
        figures = local.engine.status()
        return [{"name": "engine", "status": engine_state(figures), "figures": figures}]
    try:
        leader = services().database.read(oversight.leader)
    except (Unavailable, DBAPIError):
        return [{"name": "engine", "status": "down"}]
    if leader is None:
        return [{"name": "engine", "status": "down"}]
    silent = not leader["leading"] or leader["age_seconds"] > oversight.SILENT_SECONDS
    figures = {**leader["status"], "heartbeat_age_seconds": leader["age_seconds"]}
    return [{"name": "engine", "status": "down" if silent else "healthy", "figures": figures}]


def _mail() -> list[dict[str, Any]]:
    """Degraded while something waits for longer than a server is usually away, or was given up."""
    try:
        figures = services().database.read(lambda session: mails.figures(session, now()))
    except (Unavailable, DBAPIError):
        return []
    well = figures["oldest_waiting_seconds"] < MAIL_WAITS_SECONDS and not figures["failed"]
    return [{"name": "mail", "status": "healthy" if well else "degraded", "figures": figures}]


def _feeds() -> list[dict[str, Any]]:
    try:
        feeds = feed_states()
    except (Unavailable, DBAPIError):
        return []  # what cannot be read is said by the database's own line
    states = {"live": "healthy", "finished": "healthy", "degraded": "degraded", "connecting": "degraded"}
    return [
        {
            "name": f"feed:{feed['name']}",
            "status": states.get(str(feed["state"]), "down"),
            "figures": {name: feed[name] for name in ("messages", "quotes", "quarantined", "errors", "lag_ms")},
        }
        for feed in feeds
    ]


@blueprint.get("/metrics")
@endpoint("The metrics as JSON", tag="system", response=dict, needs=READING)
@no_transaction
def metrics() -> ResponseReturnValue:
    registry: CollectorRegistry = metrics_registry()
    return {
        "at": iso(now()),
        "metrics": {
            family.name: [
                {"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in family.samples
            ]
            for family in registry.collect()
        },
    }


@blueprint.get("/admin/reconcile")
@endpoint("Check every invariant of the books", tag="admin", response=ReconcileOut, needs=READING)
def run_reconcile() -> ResponseReturnValue:
    return reconcile.reconcile(db(), services().instruments)


@blueprint.get("/admin/engine")
@endpoint("The engine and what it had to park", tag="admin", query=PageQuery, response=EngineOut, needs=READING)
def engine() -> ResponseReturnValue:
    asked = query(PageQuery)
    parked, total = faults.listed(db(), asked.limit, asked.offset, open_only=True)
    mine = services().leader
    leader = oversight.leader(db())
    status: dict[str, Any] = (leader or {}).get("status", {}) if mine is None else mine.engine.status()
    return {
        "running": mine is not None or (bool(status.get("running")) and oversight.is_led(db())),
        "status": status,
        "engines": oversight.engines(db()),
        "lease": oversight.lease(db()),
        "faults": page(parked, total, asked.limit, asked.offset),
    }

"""Alive, ready, and the figures a monitor scrapes."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, cast

from flask import Flask, Response, current_app, g, request
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from app.core.errors import Forbidden, Unauthenticated, Unavailable
from app.core.permissions import READ, Principal, Resource
from app.core.schema import is_current
from app.services import oversight
from app.services.oversight import SILENT_SECONDS

from .application import no_transaction
from .request import services


def engine_state(status: dict[str, Any]) -> str:
    """healthy or down, of the engine in this process: it leads, and its heartbeat is stored."""
    age = status.get("heartbeat_age_seconds")
    leads = status.get("running") and age is not None and age <= SILENT_SECONDS
    return "healthy" if leads else "down"


def metrics_registry() -> CollectorRegistry:
    return cast(CollectorRegistry, current_app.extensions["metrics"].registry)


@no_transaction
def health() -> ResponseReturnValue:
    return {"status": "OK"}


@no_transaction
def ready() -> ResponseReturnValue:
    """Raises ``Unavailable`` with what is missing."""
    checks = {"database": _database_check()}
    if checks["database"] == "ok":
        checks["migrations"] = "ok" if is_current(services().database) else "not at the newest"
        checks["engine"] = _engine_check()
        checks["prices"] = _prices_check()
    if any(found != "ok" for found in checks.values()):
        raise Unavailable("not ready", code="not_ready", extra={"checks": checks}, retry_after=2)
    quoted = services().quotes.snapshot()
    without = sorted(instrument.symbol for instrument in services().instruments if instrument.symbol not in quoted)
    return {"status": "ready", "checks": checks, "without_price": without}


def _database_check() -> str:
    try:
        services().database.read(oversight.answers)
    except (Unavailable, SQLAlchemyError):
        return "not reachable"
    return "ok"


def _engine_check() -> str:
    """This process leads, or another one does; otherwise that one recovers, or since when nobody has."""
    leader = services().database.read(oversight.leader)
    if leader is None:
        return "nobody has led yet"
    local = services().local
    status = local.engine.status() if local is not None else {}
    if status.get("holder") == leader["holder"]:
        alive = engine_state(status) == "healthy"  # its own word is newer
    else:
        # the first heartbeat says nothing: that engine still recovers
        alive = bool(leader["status"].get("running")) and leader["age_seconds"] <= SILENT_SECONDS
    if alive and leader["leading"]:
        return "ok"
    if leader["leading"] and leader["age_seconds"] <= SILENT_SECONDS and not leader["status"].get("running"):
        return "an engine has started and recovers"
    return f"nobody leads since {leader['status'].get('not_leading_since') or leader['at']}"


def _prices_check() -> str:
    """Where the engine does not lead, prices come through Redis."""
    return (
        "ok"
        if services().leader is not None or services().settings.redis_url
        else "no prices reach this process: set REDIS_URL"
    )


@no_transaction
def metrics() -> ResponseReturnValue:
    """For a scraper on this machine, or whoever may read the system."""
    if not _is_local():
        caller: Principal | None = g.get("principal")
        if caller is None:
            raise Unauthenticated()
        if caller.reach(Resource.SYSTEM, READ) is None:
            raise Forbidden("metrics are for the firm's supervisors")
    return Response(generate_latest(metrics_registry()), content_type=CONTENT_TYPE_LATEST)


def _is_local() -> bool:
    """From this machine, where no proxy runs on it that passes on what comes from elsewhere."""
    settings = services().settings
    if settings.production or settings.trusted_proxies:
        return False
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def register(app: Flask) -> None:
    for path, view in (("/health", health), ("/ready", ready), ("/metrics", metrics)):
        # a balancer asks over plain HTTP, inside
        view.talisman_view_options = {"force_https": False}  # type: ignore[attr-defined]
        app.add_url_rule(path, f"health.{view.__name__}", view, methods=["GET"])

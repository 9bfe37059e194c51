"""Prometheus: what is counted of every request, and the gauges read when somebody scrapes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy.exc import DBAPIError

from app.core.errors import Unavailable
from app.services import blotter, oversight
from app.services.container import Services

log = logging.getLogger("app.requests")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One registry per application, so that two in a process do not collide."""

    def __init__(self, services: Services) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests_total", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "http_request_seconds", "Time to answer", ["route"], buckets=_BUCKETS, registry=self.registry
        )
        self._services = services
        self.registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield from self._live_orders()
        yield from self._quotes()
        yield from self._engine()

    def _live_orders(self) -> Iterable[GaugeMetricFamily]:
        try:
            counts = self._services.database.read(blotter.live_orders_by_status)
        except (DBAPIError, Unavailable):
            return  # the scrape itself must not fail with the database
        gauge = GaugeMetricFamily("orders_live", "Live orders by status", labels=["status"])
        for status, count in counts.items():
            gauge.add_metric([status], count)
        yield gauge

    def _quotes(self) -> Iterable[GaugeMetricFamily]:
        now = self._services.clock.now()
        gauge = GaugeMetricFamily("quote_age_seconds", "Age of the newest quote", labels=["symbol"])
        for symbol, quote in self._services.quotes.snapshot().items():
            gauge.add_metric([symbol], quote.age(now).total_seconds())
        yield gauge
        refused = GaugeMetricFamily("quotes_quarantined", "Quotes not believed", labels=["symbol", "code"])
        for (symbol, code), count in list(self._services.quotes.quarantined.items()):
            refused.add_metric([symbol, code], count)
        yield refused

    def _engine(self) -> Iterable[GaugeMetricFamily]:
        """Of the engine that leads, whichever process it runs in."""
        local = self._services.leader
        status: dict[str, Any] = {}
        if local is not None:
            status = local.engine.status()
        else:
            try:
                leader = self._services.database.read(oversight.leader)
            except (DBAPIError, Unavailable):
                leader = None
            if leader is not None:
                status = {**leader["status"], "heartbeat_age_seconds": leader["age_seconds"]}
        for name, value in status.items():
            if isinstance(value, int | float):
                yield GaugeMetricFamily(f"engine_{name}", f"Engine: {name}", value=float(value))


def install(app: Flask) -> None:
    services: Services = app.extensions["services"]
    metrics = app.extensions["metrics"] = Metrics(services)
    clock = services.clock

    def begin() -> None:
        g.began = clock.monotonic()

    def end(response: Response) -> Response:
        rule, method = request.url_rule, request.method
        route = rule.rule if rule is not None else "(none)"
        seconds = clock.monotonic() - g.began
        counted = method if method in _METHODS else "OTHER"  # anybody can invent more of them
        metrics.requests.labels(counted, route, str(response.status_code)).inc()
        metrics.latency.labels(route).observe(seconds)
        if log.isEnabledFor(logging.INFO):
            _log(method, response.status_code, seconds)
        return response

    app.before_request(begin)
    app.after_request(end)


def _log(method: str, status: int, seconds: float) -> None:
    caller = g.get("principal")
    log.info(
        "%s %s %s",
        method,
        request.path,
        status,
        extra={
            "request_id": g.get("request_id"),
            "actor": caller.actor if caller is not None else None,
            "milliseconds": round(seconds * 1000, 1),
        },
    )

"""The composition root: puts settings, database, market, order entry and the edge together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_socketio import SocketIO
from flask_talisman import Talisman
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from werkzeug.middleware.proxy_fix import ProxyFix

from app import config
from app.adapters.marketdata.base import Feed
from app.adapters.marketdata.manual import ManualFeed
from app.adapters.marketdata.recordings import ReplayFile
from app.adapters.marketdata.redis_quotes import RedisQuoteCache
from app.adapters.marketdata.replay import ReplayFeed
from app.adapters.marketdata.simulated import SimulatedFeed
from app.adapters.venues.fix_gateway import FixGateway
from app.adapters.venues.simulated import Behaviour, SimulatedVenue, changed, shown
from app.core import logs
from app.core.clock import Clock, SystemClock
from app.core.connections import Connections
from app.core.errors import Unavailable
from app.core.group_commit import GroupCommit
from app.core.settings import TESTING, BadSetting, Settings
from app.core.transaction import Database
from app.core.wakeup import Listener, Notifier
from app.domain.instruments import SymbolTable
from app.domain.quotes import Quote
from app.engine import schedules, simulation
from app.engine.engine import Engine
from app.engine.lease import process_name
from app.engine.relay import Publisher
from app.extensions import build_socketio, csrf, db, engine_database, init_database, login_manager, migrate
from app.realtime import handlers
from app.realtime.bus import SocketBus
from app.realtime.publisher import SocketPublisher
from app.routes import api, edge, entrance, errors, health, metrics
from app.services import manual_quotes, venue_control
from app.services.assignments import TraderOf
from app.services.bars import BarService
from app.services.container import Services
from app.services.feeds import FeedSupervisor
from app.services.market import load_instruments, seed_instruments
from app.services.orders import Entry, OrderRules, Orders
from app.services.oversight import application_name
from app.services.positions import Positions
from app.services.quotes import QuoteBook
from app.services.sockets import SocketAccess

CSP = {
    "default-src": "'self'",
    "img-src": ["'self'", "data:"],  # Bootstrap draws its marks from data: URLs in the style sheet
    "connect-src": "'self'",  # covers ws: and wss: of the same origin
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
}

log = logging.getLogger(__name__)
STOP_SECONDS = 10
CATALOG_SECONDS = 5


def create_app(settings: Settings | None = None, *, clock: Clock | None = None) -> Flask:
    """The application, with nothing started: no thread, no engine, no feed."""
    settings = settings or config.load()
    logs.configure(settings.log_level, production=settings.production)
    app = edge.EdgeFlask(__name__)
    _configure(app, settings)
    database = _connect(app, settings)
    bus = SocketBus(settings.redis_url) if settings.redis_url else None
    socketio = build_socketio(settings, bus)
    socketio.init_app(app)
    clock = clock or SystemClock()
    app.extensions["connections"] = _bound_connections(app, settings, socketio, clock)
    _trust_proxies(app, settings)
    parts = app.extensions["services"] = _build_services(settings, clock, socketio, database)
    sockets = app.extensions["sockets"] = handlers.register(socketio, SocketAccess(parts), parts.clock)
    if bus is not None:
        bus.on_gap = sockets.reconnect_all
    load_catalog(app)
    _install_edge(app, settings)
    return app


def _configure(app: Flask, settings: Settings) -> None:
    app.config.update(
        SECRET_KEY=settings.secret_key,
        TESTING=settings.environment == TESTING,
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        SESSION_COOKIE_NAME="__Host-session" if settings.production else "session",
        REMEMBER_COOKIE_NAME="cambista_never_set",  # nobody is remembered: with such a cookie no key would be looked at
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.production,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.session_absolute_hours),
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_HEADERS=["X-CSRFToken", "X-CSRF-Token"],
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]


def _connect(app: Flask, settings: Settings) -> Database:
    name = None if settings.engine == "off" else application_name(process_name())
    database = init_database(app, settings.database_url, engine_name=name)
    migrate.init_app(app, db)
    return database


def _bound_connections(app: Flask, settings: Settings, socketio: SocketIO, clock: Clock) -> Connections:
    """Limits of connections and bodies, around the sockets too."""
    connections = Connections(
        clock,
        socketio.start_background_task,
        socketio.sleep,
        most=settings.max_connections,
        per_address=None if settings.trusted_proxies else settings.max_connections_per_address,
    )
    rules = entrance.Rules(settings.production, settings.hosts, settings.max_body_bytes, settings.body_timeout_seconds)
    app.wsgi_app = entrance.Entrance(app.wsgi_app, connections, rules)  # type: ignore[method-assign]
    return connections


def _trust_proxies(app: Flask, settings: Settings) -> None:
    """Outermost, around the sockets too: addresses decide who may use a key."""
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def _install_edge(app: Flask, settings: Settings) -> None:
    # the guards run in this order: metrics around everything, then id, identity, rate, right, CSRF
    metrics.install(app)
    edge.install(app)
    errors.install(app)
    csrf.init_app(app)
    Talisman(
        app,
        content_security_policy=CSP,
        force_https=settings.production,
        strict_transport_security=settings.production,
        session_cookie_secure=settings.production,
        session_cookie_http_only=True,
        frame_options="DENY",
        referrer_policy="same-origin",
    )
    health.register(app)
    api.register(app)
    _register_identity_and_pages(app)


def _register_identity_and_pages(app: Flask) -> None:
    from app import cli
    from app.routes import identity, pages

    login_manager.init_app(app, add_context_processor=False)  # an error page must not look for the caller again
    app.extensions["identify"] = identity.identify
    cli.register(app)
    pages.register(app)


def _build_services(settings: Settings, clock: Clock, socketio: SocketIO, database: Database) -> Services:
    instruments = SymbolTable()  # filled by load_catalog
    cache = RedisQuoteCache.from_url(settings.redis_url, clock) if settings.redis_url else None
    quotes = QuoteBook(clock, instruments, cache=cache)
    rules = OrderRules(protection_bps=settings.market_protection_bps, max_orders_per_second=settings.wallet_order_rate)
    orders = Orders(instruments, quotes, rules)

    def enter(session: Session, entries: list[Entry]) -> list[Any]:
        return orders.submit_many(session, entries, clock.now())

    return Services(
        order_entry=GroupCommit(
            database,
            enter,
            lambda: socketio.sleep(0),
            lane_of=lambda entry: entry.wallet_id,
            lock_free=orders.lock_free_wallets,
        ),
        settings=settings,
        clock=clock,
        database=database,
        instruments=instruments,
        quotes=quotes,
        orders=orders,
        positions=Positions(orders, instruments, quotes),
        bars=BarService(instruments),
    )


def load_catalog(app: Flask, *, seed: bool = True) -> bool:
    """Fill the symbol table that everybody holds; False where the database has no tables or cannot be read."""
    parts: Services = app.extensions["services"]
    try:
        if not sa.inspect(parts.database.engine).has_table("instruments"):
            return False
        if seed:
            parts.database.run(seed_instruments)
        loaded = parts.database.read(load_instruments)
    except (DBAPIError, Unavailable):
        return False
    parts.instruments.fill(loaded)
    return True


def build_feeds(settings: Settings, parts: Services, socketio: SocketIO, sink: Callable[[Quote], None]) -> Any:
    """The price source that MARKET_FEED names, under its supervisor."""
    feed: Feed
    clock, sleep = parts.clock, socketio.sleep
    if settings.market_feed == "simulated":
        feed = SimulatedFeed(
            parts.instruments,
            clock,
            sleep,
            seed=settings.sim_feed_seed,
            interval=settings.sim_feed_interval,
            speed=float(settings.sim_feed_speed),
            start_prices=parts.database.read(parts.bars.last_closes),
        )
    elif settings.market_feed == "replay":
        assert settings.replay_file is not None and settings.replay_instrument is not None
        file = ReplayFile(settings.replay_file, parts.instruments.resolve(settings.replay_instrument))
        speed: Any = "max" if settings.replay_speed == "max" else float(settings.replay_speed)
        feed = ReplayFeed(file, clock, sleep, speed=speed)
    else:
        feed = ManualFeed(clock, sleep)
    return FeedSupervisor([feed], sink, clock, socketio.start_background_task, sleep)


def build_venue(settings: Settings, instruments: SymbolTable, clock: Clock) -> SimulatedVenue:
    """The simulated venue with the behaviour of the SIM_VENUE_* settings."""

    def is_stale(quote: Quote, now: datetime) -> bool:
        return quote.is_stale(now, instruments.resolve(quote.symbol).stale_after)

    behaviour = Behaviour(
        latency=timedelta(milliseconds=settings.sim_venue_latency_ms),
        reject_rate=settings.sim_venue_reject_rate,
        partial_rate=settings.sim_venue_partial_rate,
        slippage_bps=settings.sim_venue_slippage_bps,
        seed=settings.sim_venue_seed,
        lost_ack_rate=settings.sim_venue_lost_ack_rate,
        duplicate_rate=settings.sim_venue_duplicate_rate,
        late_rate=settings.sim_venue_late_rate,
    )
    return SimulatedVenue(
        behaviour, clock, instruments.resolve, lambda symbol: instruments.form(symbol, "fix"), is_stale
    )


def build_engine(
    parts: Services,
    database: Database,
    publisher: Publisher,
    clock: Clock,
    *,
    on_lead: Callable[[bool], None] = lambda leads: None,
    take_turns: Callable[[], None] = lambda: None,
) -> Engine:
    """The engine with its venues. A replay gives its own clock, which runs in market time."""
    venue = build_venue(parts.settings, parts.instruments, clock)
    gateway = FixGateway(
        "SIM",
        venue,
        lambda symbol: parts.instruments.form(symbol, "fix"),
        clock,
        works_alone=False,
        answers_within=venue.behaviour.answers_within,
    )

    def treat(payload: dict[str, Any]) -> None:
        venue.behave(changed(venue.behaviour, payload))
        gateway.answers_within = venue.behaviour.answers_within

    engine = Engine(
        database,
        clock,
        parts.instruments,
        parts.quotes,
        [gateway],
        publisher,
        on_quote=[venue.on_quote, parts.bars.add],
        on_recover=[lambda: simulation.reload(database, engine.sending, venue.restore, gateway.name)],
        on_lead=on_lead,
        on_command={
            venue_control.COMMAND: treat,
            manual_quotes.COMMAND: lambda payload: manual_quotes.take(
                payload, parts.feeds, parts.settings.market_feed, engine.offer_quote, clock.now()
            ),
        },
        tells=lambda: {"venue_behaviour": shown(venue.behaviour), "feeds": parts.feed_states()},
        take_turns=take_turns,
        schedules=schedules.standard(parts.bars.flush),
    )
    parts.venue = venue
    return engine


def start_engine(app: Flask) -> None:
    """Start what runs beside the requests: the engine's loop, its relay, and feeds where it leads."""
    parts: Services = app.extensions["services"]
    settings: Settings = parts.settings
    if parts.stopping is not None:
        return
    if settings.engine != "on" and not settings.redis_url:
        raise BadSetting(
            f"ENGINE={settings.engine} needs REDIS_URL: it carries prices and live events between the processes."
        )
    if not load_catalog(app):
        raise BadSetting(
            "The database of DATABASE_URL cannot be reached, or has no tables yet: run `flask --app app db upgrade`."
        )
    socketio: SocketIO = app.extensions["socketio"]
    stopping = parts.stopping = threading.Event()
    start = partial(socketio.start_background_task, _in_context, app)
    start(_watch_catalog, app, stopping)
    notifier = Notifier(parts.database)
    if not parts.database.is_sqlite:
        start(notifier.run, stopping)
    parts.wake = notifier.notify
    if settings.engine != "off":
        _start_engine(app, parts, socketio, notifier)


def _in_context(app: Flask, work: Callable[..., None], *arguments: Any) -> None:
    """What runs beside the requests has one app context for all its transactions; each has a session of its own."""
    with app.app_context():
        work(*arguments)


def _watch_catalog(app: Flask, stopping: threading.Event) -> None:
    """What is changed in the catalogue by one process is seen by all."""
    while not stopping.wait(CATALOG_SECONDS):
        try:
            load_catalog(app, seed=False)
        except Exception:  # what is known stays as it is, and the next look may find it mended
            log.exception("the catalogue was not read")


def _start_engine(app: Flask, parts: Services, socketio: SocketIO, notifier: Notifier) -> None:
    settings: Settings = parts.settings
    database = engine_database(app, parts.database)
    start = partial(socketio.start_background_task, _in_context, app)
    publisher = SocketPublisher(socketio, TraderOf(database, parts.clock))

    def take_turns() -> None:
        socketio.sleep(0)

    def lead(leads: bool) -> None:
        """Feeds run where the lease is; everybody else reads what the leader publishes."""
        if not leads:
            parts.quotes.lead(False)
            parts.feeds.stop(timeout=2)
            return
        last = {symbol: quote.mid for symbol, quote in parts.quotes.snapshot().items()}  # the leader's before us
        parts.quotes.lead(True)
        parts.bars.forget()  # another engine may have stored bars meanwhile
        if settings.market_feed == "simulated":
            parts.feeds["simulated"].resume({**database.read(parts.bars.last_closes), **last})
        parts.feeds.start()

    engine = parts.engine = build_engine(parts, database, publisher, parts.clock, on_lead=lead, take_turns=take_turns)
    sinks = {"replay": engine.inbox.put_in_order, "manual": engine.offer_in_order, "simulated": engine.offer_quote}
    parts.feeds = build_feeds(settings, parts, socketio, sinks[settings.market_feed])
    # another process' engine is told by PostgreSQL
    parts.wake = lambda: engine.wake() if engine.running or database.is_sqlite else notifier.notify()
    if not database.is_sqlite:
        start(Listener(database, engine.wake).run, engine.stopping)
    start(engine.run)
    start(engine.relay.run, engine.stopping, take_turns)


def stop_engine(app: Flask) -> None:
    """Stop the engine, which finishes the step it is in, and the feeds with it."""
    parts: Services = app.extensions["services"]
    if parts.stopping is not None:
        parts.stopping.set()
    if parts.engine is None:
        return
    parts.engine.stop()
    socketio: SocketIO = app.extensions["socketio"]
    deadline = parts.clock.monotonic() + STOP_SECONDS
    while parts.engine.running and parts.clock.monotonic() < deadline:
        socketio.sleep(0.02)


__all__ = ["create_app", "load_catalog", "start_engine", "stop_engine"]

"""The composition root of what runs beside the requests: the engine with its venue and its feeds.

``start`` and ``stop`` are for the entry points; ``build_engine`` also serves replays and the demo's past.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from flask import Flask
from flask_socketio import SocketIO

from app import providers
from app.adapters.head_file import HeadFile
from app.adapters.marketdata.base import Feed, Sink, Sleep
from app.adapters.marketdata.manual import ManualFeed
from app.adapters.marketdata.recordings import ReplayFile
from app.adapters.marketdata.replay import ReplayFeed
from app.adapters.marketdata.simulated import SimulatedFeed
from app.adapters.venues.fix_gateway import FixGateway
from app.adapters.venues.simulated import Behaviour, SimulatedVenue, changed, shown
from app.core.clock import Clock
from app.core.settings import ROOT, BadSetting, Settings
from app.core.transaction import Database
from app.core.wakeup import Listener, Notifier
from app.domain.instruments import SymbolTable
from app.domain.quotes import Quote
from app.engine import schedules, simulation
from app.engine.chores import Chore, Chores
from app.engine.engine import Engine
from app.engine.relay import Publisher
from app.extensions import engine_database
from app.letters import LetterWriter
from app.realtime.publisher import SocketPublisher
from app.services import (
    approvals,
    catalog,
    documents,
    kyc,
    kyc_provider,
    mails,
    manual_quotes,
    provider_events,
    venue_control,
)
from app.services.assignments import TraderOf
from app.services.audit_watch import AuditWatch
from app.services.container import LocalEngine, Services
from app.services.feeds import FeedSupervisor

STOP_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Background:
    """What has been started; ``engine`` is None in a process that runs none."""

    stopping: threading.Event
    engine: Engine | None


def start(app: Flask) -> None:
    """Start what runs beside the requests: the engine's loop, its relay, and feeds where it leads."""
    if "background" in app.extensions:
        return
    parts: Services = app.extensions["services"]
    settings, database = parts.settings, parts.database
    if settings.engine != "on" and not settings.redis_url:
        raise BadSetting(
            f"ENGINE={settings.engine} needs REDIS_URL: it carries prices and live events between the processes."
        )
    if not catalog.load(database, parts.instruments):
        raise BadSetting(
            "The database of DATABASE_URL cannot be reached, or has no tables yet: run `flask --app app db upgrade`."
        )
    stopping, notifier = threading.Event(), Notifier(database)
    _beside(app, catalog.watch, database, parts.instruments, stopping)
    if not database.is_sqlite:
        _beside(app, notifier.run, stopping)
    parts.wake = notifier.notify
    engine = None if settings.engine == "off" else _start_engine(app, parts, notifier)
    app.extensions["background"] = Background(stopping, engine)


def stop(app: Flask) -> None:
    """Stop the engine, which finishes the step it is in, and the feeds with it."""
    background: Background | None = app.extensions.get("background")
    if background is None:
        return
    background.stopping.set()
    engine = background.engine
    if engine is None:
        return
    engine.stop()
    deadline = engine.clock.monotonic() + STOP_SECONDS
    while engine.running and engine.clock.monotonic() < deadline:
        app.extensions["socketio"].sleep(0.02)


def _beside(app: Flask, work: Callable[..., None], *arguments: Any) -> None:
    """One app context for all transactions of what runs beside the requests; each has a session of its own."""

    def run() -> None:
        with app.app_context():
            work(*arguments)

    app.extensions["socketio"].start_background_task(run)


def _start_engine(app: Flask, parts: Services, notifier: Notifier) -> Engine:
    settings, clock = parts.settings, parts.clock
    socketio: SocketIO = app.extensions["socketio"]
    database = engine_database(app, parts.database)

    def take_turns() -> None:
        socketio.sleep(0)

    def lead(leads: bool) -> None:
        """Feeds run where the lease is; everybody else reads what the leader publishes."""
        if not leads:
            parts.quotes.lead(False)
            local.feeds.stop(timeout=2)
            return
        last = {symbol: quote.mid for symbol, quote in parts.quotes.snapshot().items()}  # the leader's before us
        parts.quotes.lead(True)
        parts.bars.forget()  # another engine may have stored bars meanwhile
        if isinstance(feed, SimulatedFeed):
            feed.resume({**database.read(parts.bars.last_closes), **last})
        local.feeds.start()

    def take_quote(payload: dict[str, Any]) -> None:
        manual_quotes.take(payload, local.feeds, settings.market_feed, engine.offer_quote, clock.now())

    feed = build_feed(parts, socketio.sleep)
    engine = build_engine(
        parts,
        database,
        SocketPublisher(socketio, TraderOf(database, clock)),
        clock,
        on_lead=lead,
        on_command={manual_quotes.COMMAND: take_quote},
        more_status=lambda: {"feeds": local.feed_states()},
        take_turns=take_turns,
    )
    sinks: dict[str, Sink] = {"replay": engine.inbox.put_in_order, "manual": engine.offer_in_order}
    sink = sinks.get(settings.market_feed, engine.offer_quote)
    feeds = FeedSupervisor([feed], sink, clock, socketio.start_background_task, socketio.sleep)
    local = parts.local = LocalEngine(engine, feeds)
    # another process' engine is told by PostgreSQL
    parts.wake = lambda: engine.wake() if engine.running or database.is_sqlite else notifier.notify()
    if not database.is_sqlite:
        _beside(app, Listener(database, engine.wake).run, engine.stopping)
    _beside(app, engine.run)
    _beside(app, engine.relay.run, engine.stopping, take_turns)
    # a loop for each: a mail server that hangs holds up neither a payment nor an approval
    loops = [
        Chores([chore], lambda: engine.lease.epoch is not None, clock) for chore in build_chores(app, parts, database)
    ]

    def wake_chores() -> None:
        for chores in loops:
            chores.wake()

    parts.wake_chores = wake_chores
    for chores in loops:
        _beside(app, chores.run, engine.stopping, take_turns)
    return engine


def build_chores(app: Flask, parts: Services, database: Database) -> list[Chore]:
    """What is done outside, after commits, where the lease is."""
    keep_removed = timedelta(days=parts.settings.keep_removed_documents_days)
    sweep = documents.Sweep(database, parts.documents.storage, keep_removed)
    head_file = parts.settings.audit_head_file
    watch = AuditWatch(database, None if head_file is None else HeadFile(Path(head_file)))
    handlers = {**kyc_provider.handlers(parts.kyc)}
    chores = [
        Chore("approvals", 1, partial(approvals.carry_out_waiting, database, parts.approvals)),
        Chore("documents", 15, sweep.step),  # all of the storage in about an hour
        Chore("provider_events", 1, partial(provider_events.work_off, database, handlers)),
        Chore("kyc_sweep", 30, partial(parts.kyc.sweep, database)),
        Chore("kyc_expiry", 300, lambda now: database.run(lambda session: kyc.expire(session, now))),
        Chore("payments", 1, partial(parts.payments.work_off, database)),
        Chore("payment_sweep", 10, partial(parts.payments.sweep, database)),
        Chore("audit_tail", 1, watch.look_at_tail),
        Chore("audit_head", parts.settings.audit_head_minutes * 60, watch.keep_head),
    ]
    mailer = providers.mailer(parts.settings, (database.folder or ROOT / "var") / "mail")
    if mailer is not None:
        chores.append(Chore("mail", 5, partial(mails.send_waiting, database, mailer, LetterWriter(app).write)))
    return chores


def build_feed(parts: Services, sleep: Sleep) -> Feed:
    """The price source that MARKET_FEED names."""
    settings, clock = parts.settings, parts.clock
    if settings.market_feed == "simulated":
        return SimulatedFeed(
            parts.instruments,
            clock,
            sleep,
            seed=settings.sim_feed_seed,
            interval=settings.sim_feed_interval,
            speed=float(settings.sim_feed_speed),
            start_prices=parts.database.read(parts.bars.last_closes),
        )
    if settings.market_feed == "replay":
        assert settings.replay_file is not None and settings.replay_instrument is not None
        file = ReplayFile(settings.replay_file, parts.instruments.resolve(settings.replay_instrument))
        speed = settings.replay_speed
        return ReplayFeed(file, clock, sleep, speed="max" if speed == "max" else float(speed))
    return ManualFeed(clock, sleep)


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
    on_command: Mapping[str, Callable[[dict[str, Any]], None]] | None = None,
    more_status: Callable[[], dict[str, Any]] = dict,
    take_turns: Callable[[], None] = lambda: None,
) -> Engine:
    """The engine with its venue, whose switches it obeys. A replay gives its own clock, which runs in market time."""
    venue = build_venue(parts.settings, parts.instruments, clock)
    gateway = FixGateway(
        "SIM",
        venue,
        lambda symbol: parts.instruments.form(symbol, "fix"),
        clock,
        works_alone=False,
        answers_within=venue.behaviour.answers_within,
    )

    def change_venue(payload: dict[str, Any]) -> None:
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
        on_command={venue_control.COMMAND: change_venue, **(on_command or {})},
        more_status=lambda: {"venue_behaviour": shown(venue.behaviour), **more_status()},
        take_turns=take_turns,
        schedules=schedules.standard(parts.bars.flush),
    )
    return engine

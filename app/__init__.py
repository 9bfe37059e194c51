"""The composition root: puts settings, database, services and routes together (and ``background`` the engine)."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from flask_socketio import SocketIO
from sqlalchemy.orm import Session
from werkzeug.middleware.proxy_fix import ProxyFix

from app import cli, config, providers
from app.adapters.documents.pdf import PdfPapers
from app.adapters.marketdata.redis_quotes import RedisQuoteCache
from app.core import logs
from app.core.clock import Clock, SystemClock
from app.core.connections import Connections
from app.core.group_commit import GroupCommit
from app.core.settings import TESTING, Settings
from app.core.transaction import Database
from app.domain.approvals import ApprovalKind
from app.domain.instruments import SymbolTable
from app.domain.order_requests import OrderRequest, OrderRules
from app.domain.withdrawals import Terms
from app.engine.lease import process_name
from app.extensions import build_socketio, csrf, db, init_database, login_manager, mail, migrate
from app.realtime import handlers
from app.realtime.bus import SocketBus
from app.routes import access, api, application, errors, headers, health, metrics, pages, request_gate
from app.services import catalog
from app.services.approvals import Approvals
from app.services.bank_accounts import BankAccounts, Confirmation
from app.services.bank_transfers import DepositSubject
from app.services.bars import BarService
from app.services.client_limits import LimitChanges
from app.services.container import Services
from app.services.document_files import FileLimits
from app.services.documents import Documents
from app.services.kyc import KycDecisions
from app.services.kyc_provider import KycAtProvider
from app.services.orders import Orders, Outcome
from app.services.oversight import application_name
from app.services.payments import Payments
from app.services.positions import Positions
from app.services.quotes import QuoteBook
from app.services.sockets import SocketAccess
from app.services.staff import StaffChanges
from app.services.withdrawable import WithdrawableBalance
from app.services.withdrawals import Review, Withdrawals


def create_app(settings: Settings | None = None, *, clock: Clock | None = None) -> Flask:
    """The application, with nothing started: no thread, no engine, no feed."""
    settings, clock = settings or config.load(), clock or SystemClock()
    logs.configure(settings.log_level, production=settings.production)
    app = application.Application(__name__)
    _configure(app, settings)
    database = _connect(app, settings)
    bus = SocketBus(settings.redis_url) if settings.redis_url else None
    socketio = build_socketio(settings, bus)
    socketio.init_app(app)
    app.extensions["connections"] = _bound_connections(app, settings, socketio, clock)
    _trust_proxies(app, settings)
    parts = app.extensions["services"] = _build_services(settings, clock, socketio, database)
    sockets = app.extensions["sockets"] = handlers.register(socketio, SocketAccess(parts), clock)
    if bus is not None:
        bus.on_gap = sockets.reconnect_all
    catalog.load(database, parts.instruments)
    _install_routes(app, settings)
    return app


def _configure(app: Flask, settings: Settings) -> None:
    app.config.update(
        SECRET_KEY=settings.secret_key,
        TESTING=settings.environment == TESTING,
        MAX_CONTENT_LENGTH=max(settings.max_body_bytes, settings.max_form_bytes),
        SESSION_COOKIE_NAME="__Host-session" if settings.production else "session",
        REMEMBER_COOKIE_NAME="cambista_never_set",  # nobody is remembered: with such a cookie no key would be looked at
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.production,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.session_absolute_hours),
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_HEADERS=["X-CSRFToken", "X-CSRF-Token"],
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        MAIL_SERVER=settings.mail_server,
        MAIL_PORT=settings.mail_port,
        MAIL_USE_TLS=settings.mail_security == "starttls",
        MAIL_USE_SSL=settings.mail_security == "ssl",
        MAIL_USERNAME=settings.mail_username,
        MAIL_PASSWORD=settings.mail_password,
        MAIL_SUPPRESS_SEND=False,  # nothing is sent but by the chore, and by that only where a server is set
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    mail.init_app(app)


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
    rules = request_gate.Rules(
        settings.production,
        settings.hosts,
        settings.max_body_bytes,
        settings.max_form_bytes,
        settings.body_timeout_seconds,
    )
    app.wsgi_app = request_gate.RequestGate(app.wsgi_app, connections, rules)  # type: ignore[method-assign]
    return connections


def _trust_proxies(app: Flask, settings: Settings) -> None:
    """Outermost, around the sockets too: addresses decide who may use a key."""
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def _build_services(settings: Settings, clock: Clock, socketio: SocketIO, database: Database) -> Services:
    instruments = SymbolTable()  # filled from the catalogue
    cache = RedisQuoteCache.from_url(settings.redis_url, clock) if settings.redis_url else None
    quotes = QuoteBook(clock, instruments, cache=cache)
    rules = OrderRules(protection_bps=settings.market_protection_bps, max_orders_per_second=settings.wallet_order_rate)
    orders = Orders(instruments, quotes, rules)
    withdrawals = _build_withdrawals(settings, quotes)

    def enter(session: Session, requests: list[OrderRequest]) -> list[Outcome]:
        return orders.submit_many(session, requests, clock.now())

    return Services(
        settings=settings,
        clock=clock,
        database=database,
        instruments=instruments,
        quotes=quotes,
        orders=orders,
        order_entry=GroupCommit(
            database,
            enter,
            lambda: socketio.sleep(0),
            lane_of=lambda request: request.wallet_id,
            lock_free=orders.lock_free_wallets,
        ),
        positions=Positions(orders, instruments, quotes),
        bars=BarService(instruments),
        papers=PdfPapers(),
        approvals=Approvals(
            {
                ApprovalKind.KYC_DECISION: KycDecisions(),
                ApprovalKind.DEPOSIT: DepositSubject(),
                ApprovalKind.BANK_ACCOUNT: Confirmation(),
                ApprovalKind.WITHDRAWAL: Review(withdrawals),
                ApprovalKind.CLIENT_LIMIT: LimitChanges(instruments),
                ApprovalKind.STAFF: StaffChanges(settings.secret_key),
            }
        ),
        documents=Documents(
            providers.storage(settings, database), FileLimits(settings.max_upload_bytes, settings.max_picture_pixels)
        ),
        kyc=KycAtProvider(providers.kyc_provider(settings), timedelta(days=settings.kyc_valid_days)),
        bank_accounts=BankAccounts(timedelta(hours=settings.withdrawal_cool_down_hours)),
        withdrawals=withdrawals,
        payments=Payments(providers.payment_providers(settings), settings.address),
    )


def _build_withdrawals(settings: Settings, quotes: QuoteBook) -> Withdrawals:
    terms = Terms(settings.withdrawal_fee_rate, settings.withdrawal_tax_rate, settings.withdrawal_payout_days)
    balance = WithdrawableBalance(keeps_play_money=settings.production)
    return Withdrawals(quotes, terms, balance, auto_approve=settings.auto_approve_withdrawals)


def _install_routes(app: Flask, settings: Settings) -> None:
    # before a view in this order, after it in the reverse: metrics, request id, the guard with its limits
    metrics.install(app)
    application.install(app)
    access.install(app, settings.redis_url)
    errors.install(app)
    csrf.init_app(app)
    headers.install(app, https=settings.production)
    health.register(app)
    api.register(app)
    login_manager.init_app(app, add_context_processor=False)  # an error page must not look for the caller again
    cli.register(app)
    pages.register(app)


__all__ = ["create_app"]

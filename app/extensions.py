"""Flask's extensions. ``create_app`` binds them to the application and its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import sqlalchemy as sa
from flask import Flask, current_app, g, has_app_context
from flask_limiter import ApplicationLimit, HeaderNames, Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_mail import Mail
from flask_migrate import Migrate
from flask_socketio import SocketIO
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from flask_wtf.csrf import CSRFProtect
from sqlalchemy.orm import DeclarativeBase, Session, scoped_session

from app.core import json as core_json
from app.core.errors import Malformed
from app.core.schema import FOLDER
from app.core.settings import Settings
from app.core.transaction import Database, engine_options, prepare

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
RETRY_AFTER = "X-RateLimit-Retry-After"
WEIGHT = "weight"  # of requests in a minute
ENGINE = "engine"  # the bind with the connections of the engine's process


class Base(DeclarativeBase):
    """What ``db.Model`` is made of; ``app.models.base`` adds the column types."""

    metadata = sa.MetaData(naming_convention=NAMING)


class BoundSession(FlaskSession):
    """``db.session``: on the engine that its unit of work has chosen, outside of one as Flask-SQLAlchemy chooses."""

    def get_bind(self, mapper: Any = None, clause: Any = None, bind: Any = None, **options: Any) -> Any:
        return bind or self.bind or super().get_bind(mapper=mapper, clause=clause, **options)


if TYPE_CHECKING:

    class db:
        """What we use of it: a type checker cannot follow ``class Order(db.Model)`` through an instance."""

        Model: TypeAlias = Base
        metadata: ClassVar[sa.MetaData]
        session: ClassVar[scoped_session[Session]]
        engine: ClassVar[sa.Engine]
        engines: ClassVar[Mapping[str | None, sa.Engine]]
        init_app: ClassVar[Callable[[Flask], None]]

else:
    db = SQLAlchemy(
        model_class=Base, disable_autonaming=True, session_options={"class_": BoundSession, "expire_on_commit": False}
    )
# a table that SQLite's batch mode copies would lose its triggers, those of the journal among them
migrate = Migrate(directory=FOLDER, render_as_batch=False)
login_manager = LoginManager()
mail = Mail()
# one check a request, after ``routes/access`` has said in ``g.allowance`` who asks and what it takes; else no limit
limiter = Limiter(
    get_remote_address,
    application_limits=[
        ApplicationLimit(
            lambda: f"{g.allowance.per_second}/second" if "allowance" in g else "",
            scope=lambda _endpoint: g.allowance.kind,
            key_function=lambda: g.allowance.caller,
            cost=lambda: min(g.allowance.cost, g.allowance.per_second),  # a batch larger than that takes all of it
        ),
        ApplicationLimit(
            lambda: f"{g.allowance.per_minute}/minute" if "allowance" in g else "",
            scope=WEIGHT,
            key_function=lambda: g.allowance.caller,
            cost=lambda: g.allowance.cost,
        ),
    ],
    strategy="moving-window",
    headers_enabled=True,
    # on every answer; routes/application keeps Retry-After for those that are refused
    header_name_mapping={HeaderNames.RETRY_AFTER: RETRY_AFTER},
    in_memory_fallback_enabled=True,
)
csrf = CSRFProtect()  # never checks by itself: the guard of routes/access does, for what a cookie vouches for


def init_database(app: Flask, url: str, *, engine_name: str | None = None, **options: Any) -> Database:
    """Bind ``db`` to the application; the unit of work on its engine.

    ``engine_name``: on PostgreSQL, also connections for the engine's process, under this name (``engine_database``).
    """
    config = engine_options(url, **options)
    app.config["SQLALCHEMY_DATABASE_URI"] = config.pop("url")
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = config
    if engine_name is not None and not app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        # of its own: requests can neither take them all, nor make it wait for long
        app.config["SQLALCHEMY_BINDS"] = {
            ENGINE: engine_options(url, pool_size=5, lock_seconds=2, application_name=engine_name)
        }
    db.init_app(app)
    with app.app_context():
        for engine in db.engines.values():
            prepare(engine)
        return Database(db.engine, _sessions(app))


def engine_database(app: Flask, database: Database) -> Database:
    """The unit of work on the connections of the engine's process; the same where it has none of its own."""
    with app.app_context():
        engine = db.engines.get(ENGINE)
    return database if engine is None else Database(engine, _sessions(app))


def _sessions(app: Flask) -> Callable[[sa.Engine], AbstractContextManager[Session]]:
    """``db.session`` of the request, command or thread; outside of one, and inside another unit, of its own context."""
    scope = db.session.registry

    class UnitSession:
        __slots__ = ("_context", "_engine", "_session")

        def __init__(self, engine: sa.Engine) -> None:
            self._engine = engine

        def __enter__(self) -> Session:
            self._context = None
            if not has_app_context() or current_app != app or scope.has():
                self._context = app.app_context()
                self._context.push()
            self._session = scope()
            self._session.bind = self._engine
            return self._session

        def __exit__(self, *_error: object) -> None:
            try:
                self._session.close()
            finally:
                scope.clear()
                if self._context is not None:
                    self._context.pop()

    return UnitSession


class EventJson:
    """JSON for SocketIO: decimals as strings here and in an outside message queue alike."""

    @staticmethod
    def dumps(value: Any, **_options: Any) -> str:
        return core_json.dumps(value)

    @staticmethod
    def loads(data: str | bytes, **_options: Any) -> Any:
        try:
            return core_json.loads(data)
        except Malformed as error:
            # packets need not be JSON ("probe" is one), and ValueError is how the protocol is told so
            raise ValueError(str(error)) from error


def build_socketio(settings: Settings, bus: Any = None) -> SocketIO:
    """One per application, because it holds the open sockets. ``bus`` carries pushes between processes."""
    return SocketIO(
        async_mode=settings.async_mode,
        json=EventJson,
        manage_session=False,
        cors_allowed_origins=None,  # the same origin alone
        max_http_buffer_size=64 * 1024,
        ping_interval=20,
        ping_timeout=20,
        **({} if bus is None else {"client_manager": bus}),
    )

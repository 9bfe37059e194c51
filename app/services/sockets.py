"""What the socket server asks: who connects, what they may hear, what they missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.core.errors import AppError, Unauthenticated
from app.core.permissions import READ, Principal, Resource
from app.domain.instruments import UnknownSymbol

from . import access, api_keys, events, user_sessions, users
from .container import Services
from .user_sessions import SessionLimits

KEY, SESSION = "key", "session"
TOKEN = "_user_id"  # where Flask-Login keeps it in the browser's signed cookie


@dataclass(frozen=True, slots=True)
class SocketAccess:
    """Each question is one short transaction of its own."""

    services: Services

    def identify(self, key: str | None, cookie: Mapping[str, Any], ip: str) -> tuple[Principal, tuple[str, str]] | None:
        """The caller and the credential it lives by; a bad key is not made good by a session."""
        now, database = self.services.clock.now(), self.services.database
        if key is not None:
            try:
                caller = database.read(lambda session: api_keys.authenticate(session, key, ip, now))
            except Unauthenticated:
                return None
            return caller, (KEY, caller.id)
        token = cookie.get(TOKEN)
        if not isinstance(token, str):
            return None
        found = database.read(lambda session: user_sessions.find(session, token, now, self._limits()))
        if found is None or users.first_has_to(found.user, self.services.settings.staff_need_totp):
            return None
        return found.principal, (SESSION, found.session_id)

    def _limits(self) -> SessionLimits:
        return SessionLimits.of(self.services.settings)

    def ended(self, credentials: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the given credentials that are good no more."""
        now = self.services.clock.now()

        def work(session: Session) -> set[tuple[str, str]]:
            keys = api_keys.live_key_ids(session, {id_ for kind, id_ in credentials if kind == KEY}, now)
            sessions = user_sessions.live_ids(
                session, {id_ for kind, id_ in credentials if kind == SESSION}, now, self._limits()
            )
            return {(KEY, id_) for id_ in keys} | {(SESSION, id_) for id_ in sessions}

        return credentials - self.services.database.read(work)

    def client_id(self, principal: Principal, ref: str) -> str | None:
        """The id of a client whose events the caller may hear, by id or code; None for any other."""
        try:
            found = self.services.database.read(
                lambda session: access.client(session, principal, ref[:64], READ, Resource.EVENTS)
            )
        except AppError:
            return None
        return found.id

    def symbol(self, written: str) -> str | None:
        try:
            return self.services.instruments.resolve(written).symbol
        except UnknownSymbol:
            return None

    def cursor(self) -> int:
        return self.services.database.read(events.last_ordinal)

    def missed(self, principal: Principal, after: int, limit: int) -> tuple[list[dict[str, Any]] | None, int]:
        """The caller's events after a cursor, in order, and the cursor they are complete up to.

        None instead of the events when they are more than ``limit``.
        """

        def work(session: Session) -> tuple[list[dict[str, Any]] | None, int]:
            # the end first: what is numbered between the two reads is pushed live, and must not be skipped
            last = events.last_ordinal(session)
            streams = access.visible_client_ids(session, principal, Resource.EVENTS, READ)
            found = events.since(session, streams, after, limit + 1)
            upto = [event for event in found if event["cursor"] <= last]
            return (None if len(found) > limit else upto), last

        return self.services.database.read(work)

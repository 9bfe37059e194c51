"""SocketIO: who may connect, which rooms they are in, and catching up after a gap.

After a reconnect the client asks ``resume {"after": <last cursor>}`` and holds back what is pushed until
the answer is there. The rooms are joined before, so nothing falls between: the answer has everything up
to its ``cursor`` in order, and a push with a cursor at or below that is one of them again.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

from flask import current_app, request, session
from flask_socketio import ConnectionRefusedError, SocketIO

from app.core.api_keys import presented_key
from app.core.clock import Clock
from app.core.permissions import READ, Principal, Reach, Resource, Role

from .backpressure import Backpressure
from .publisher import STAFF, client_room, quotes_room, trader_room
from .socket_gate import SocketGate

log = logging.getLogger(__name__)
MAX_SUBSCRIPTIONS = 50
MAX_JOINED = 50
MAX_SOCKETS_PER_CALLER = 50
MAX_MISSED = 1000
MAX_ASKED_PER_SECOND = 50
MAX_OVER = 50  # messages beyond that before the socket is ended
MAX_RESUMES, RESUME_SECONDS = 10, 10  # each may answer a thousand events
MAX_RESUMES_PER_CALLER = 100  # in the same time, by all its sockets
MAX_ANONYMOUS, MAX_ANONYMOUS_PER_ADDRESS = 1000, 100  # transports on which nobody has been let in yet
RECHECK_SECONDS = 10  # how soon a socket ends whose key was revoked by another process
_QUOTES, _CLIENT = quotes_room(""), client_room("")

Credential = tuple[str, str]  # ("key", id) or ("session", id)


class Access(Protocol):
    """What the socket server asks about callers and events."""

    def identify(self, key: str | None, cookie: Mapping[str, Any], ip: str) -> tuple[Principal, Credential] | None: ...

    def ended(self, credentials: set[Credential]) -> set[Credential]: ...

    def client_id(self, principal: Principal, ref: str) -> str | None: ...

    def symbol(self, written: str) -> str | None: ...

    def cursor(self) -> int: ...

    def missed(self, principal: Principal, after: int, limit: int) -> tuple[list[dict[str, Any]] | None, int]: ...


class Refused(Exception):
    """Told to the client in the acknowledgement."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.answer = {"error": {"code": code, "detail": detail}}


@dataclass(slots=True)
class Connection:
    principal: Principal
    credential: Credential
    subscribed: set[str] = field(default_factory=set)
    joined: set[str] = field(default_factory=set)  # on request; those the server chose are not here
    asked: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_ASKED_PER_SECOND))
    resumed: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_RESUMES))
    over: int = 0  # messages beyond the limit since the last quiet second


def rooms_of(principal: Principal) -> list[str]:
    """The rooms the server puts a caller into, by what it may read of events."""
    reach = principal.reach(Resource.EVENTS, READ)
    if reach is Reach.ALL:
        return [STAFF]
    if reach is Reach.ASSIGNED and principal.role is Role.TRADER:
        return [trader_room(principal.id)]
    if reach is Reach.OWN and principal.client_id is not None:
        return [client_room(principal.client_id)]
    return []


class Sockets:
    """The open sockets of this process."""

    def __init__(self, socketio: SocketIO, access: Access, clock: Clock) -> None:
        self.socketio = socketio
        self.backpressure = Backpressure(socketio, self._start_watching)
        self.gate = SocketGate(socketio, clock, self._may_open, self.backpressure.drop)
        self._access = access
        self._clock = clock
        self._open: dict[str, Connection] = {}
        self._lock = Lock()
        self._watching = False
        self._resumed: dict[str, deque[float]] = {}
        self._anonymous_before: set[str] = set()  # at the last look
        for name, answer in (
            ("subscribe", self._subscribe),
            ("unsubscribe", self._unsubscribe),
            ("join", self._join),
            ("leave", self._leave),
            ("resume", self._resume),
        ):
            socketio.on_event(name, self._acknowledging(answer))
        socketio.on_event("connect", self._connect)
        socketio.on_event("disconnect", self._disconnected)

    def count(self) -> int:
        return len(self._open)

    # coming and going

    def _connect(self, auth: Any = None) -> None:
        sid: str = request.sid  # type: ignore[attr-defined]
        key, address = _key_of(auth), request.remote_addr or ""
        found = self._access.identify(key, session, address)
        if found is None:
            self.gate.refused(self._transport(sid))
            may_try = current_app.extensions.get("may_try_another_key")
            if key is not None and may_try is not None and not may_try(address):
                raise ConnectionRefusedError("rate_limited")
            raise ConnectionRefusedError("unauthenticated")
        principal, credential = found
        with self._lock:
            mine = sum(1 for other in self._open.values() if other.principal.actor == principal.actor)
            if mine >= MAX_SOCKETS_PER_CALLER:
                raise ConnectionRefusedError("too_many_connections")
            self._open[sid] = Connection(principal, credential)
        rooms = rooms_of(principal)
        try:
            for room in rooms:
                self.socketio.server.enter_room(sid, room)
            # after the rooms are joined: what is numbered later than this cursor is pushed
            self.socketio.emit("ready", {"cursor": self._access.cursor(), "rooms": rooms}, to=sid)
        except Exception:
            self._forget(sid)
            raise

    def _transport(self, sid: str) -> str:
        return str(self.socketio.server.manager.eio_sid_from_sid(sid, "/"))

    def _may_open(self, environ: dict[str, Any]) -> bool:
        """Whether one more transport may be opened by somebody who has not said yet who it is."""
        if len(self.socketio.server.eio.sockets) - len(self._open) < MAX_ANONYMOUS_PER_ADDRESS:
            return True  # without counting one by one
        anonymous = self._anonymous()
        if len(anonymous) >= MAX_ANONYMOUS:
            return False
        address, first = environ.get("REMOTE_ADDR"), self.socketio.server.environ
        near = sum(1 for sid in anonymous if first.get(sid, {}).get("REMOTE_ADDR") == address)
        return near < MAX_ANONYMOUS_PER_ADDRESS

    def _anonymous(self) -> set[str]:
        """Transports without a caller."""
        return set(self.socketio.server.eio.sockets) - {self._transport(sid) for sid in list(self._open)}

    def _disconnected(self, _reason: Any = None) -> None:
        self._forget(request.sid)  # type: ignore[attr-defined]

    def _forget(self, sid: str) -> None:
        with self._lock:
            self._open.pop(sid, None)

    def disconnect(self, *, key: str | None = None, session: str | None = None, user: str | None = None) -> int:
        """End the sockets of a key, a browser session or a user now; returns how many."""
        return self._end(
            lambda c: (
                c.credential in (("key", key), ("session", session))
                or (user is not None and c.principal.kind == "user" and c.principal.id == user)
            )
        )

    def _end(self, condition: Callable[[Connection], bool]) -> int:
        with self._lock:
            ending = [sid for sid, connection in self._open.items() if condition(connection)]
            for sid in ending:
                del self._open[sid]  # from here on it can ask for nothing
        for sid in ending:
            self.socketio.server.disconnect(sid)
        return len(ending)

    def recheck(self) -> int:
        """End the sockets whose key or session has ended; leave client rooms no longer allowed."""
        with self._lock:
            connections = dict(self._open)
        if not connections:
            return 0
        gone = self._access.ended({connection.credential for connection in connections.values()})
        ended = self._end(lambda connection: connection.credential in gone) if gone else 0
        for sid, connection in connections.items():
            for room in [room for room in connection.joined if connection.credential not in gone]:
                if self._access.client_id(connection.principal, room.removeprefix(_CLIENT)) is None:
                    connection.joined.discard(room)
                    self.socketio.server.leave_room(sid, room)
        return ended

    def end_anonymous(self) -> int:
        """Close transports on which nobody has been let in since the last look; returns how many."""
        anonymous = self._anonymous()
        ending, self._anonymous_before = anonymous & self._anonymous_before, anonymous
        for sid in ending:
            self.backpressure.drop(sid)
        self.gate.tidy()
        self._forget_resumes()
        return len(ending)

    def _start_watching(self) -> None:
        with self._lock:
            start, self._watching = not self._watching, True
        if start:
            self.socketio.start_background_task(self._watch)

    def _watch(self) -> None:
        while True:
            self.socketio.sleep(RECHECK_SECONDS)
            try:
                self.end_anonymous()
                self.recheck()
            except Exception:  # a database that is away must not end the watch
                log.warning("sockets could not be checked", exc_info=True)

    # what a client asks

    def _acknowledging(self, answer: Callable[[str, Connection, dict[str, Any]], Any]) -> Callable[..., Any]:
        def handler(*data: Any) -> Any:
            sid: str = request.sid  # type: ignore[attr-defined]
            connection = self._open.get(sid)
            try:
                if connection is None:
                    raise Refused("unauthenticated", "this connection has ended")
                self._count(connection)
                if len(data) != 1 or not isinstance(data[0], dict):
                    raise Refused("malformed", "send one object")
                return answer(sid, connection, data[0])
            except Refused as refused:
                if connection is not None and connection.over >= MAX_OVER:
                    self.gate.end(self._transport(sid), "flood")
                return refused.answer

        return handler

    def _count(self, connection: Connection) -> None:
        moment, asked = self._clock.monotonic(), connection.asked
        if asked and moment - asked[-1] >= 1:
            connection.over = 0
        if len(asked) == asked.maxlen and moment - asked[0] < 1:
            connection.over += 1
            raise Refused("rate_limited", f"more than {MAX_ASKED_PER_SECOND} messages a second")
        asked.append(moment)

    def _channels(self, data: dict[str, Any]) -> list[str]:
        """Rooms for ``{"channel": "quotes:BTC/USDT"}``, ``{"channels": [...]}`` or ``{"symbols": [...]}``."""
        listed = data.get("channels", [data["channel"]] if "channel" in data else None)
        if listed is None:
            symbols = data.get("symbols")
            listed = [f"{_QUOTES}{symbol}" for symbol in symbols] if isinstance(symbols, list) else None
        if not isinstance(listed, list) or not all(isinstance(channel, str) for channel in listed):
            raise Refused("malformed", "name a channel, such as quotes:BTC/USDT")
        if len(listed) > MAX_SUBSCRIPTIONS:
            raise Refused("too_many_subscriptions", f"at most {MAX_SUBSCRIPTIONS} at a time")
        rooms = []
        for channel in listed:
            symbol = self._access.symbol(channel.removeprefix(_QUOTES)) if channel.startswith(_QUOTES) else None
            if symbol is None:
                raise Refused("unknown_channel", f"there is no channel {channel[:40]}")
            rooms.append(quotes_room(symbol))
        return rooms

    def _subscribe(self, sid: str, connection: Connection, data: dict[str, Any]) -> Any:
        rooms = self._channels(data)
        if connection.principal.reach(Resource.MARKET, READ) is None:
            raise Refused("forbidden", "the market may not be read")
        if len(connection.subscribed | set(rooms)) > MAX_SUBSCRIPTIONS:
            raise Refused("too_many_subscriptions", f"at most {MAX_SUBSCRIPTIONS} at a time")
        for room in rooms:
            connection.subscribed.add(room)
            self.socketio.server.enter_room(sid, room)
        return {"channels": sorted(connection.subscribed)}

    def _unsubscribe(self, sid: str, connection: Connection, data: dict[str, Any]) -> Any:
        for room in self._channels(data):
            connection.subscribed.discard(room)
            self.socketio.server.leave_room(sid, room)
        return {"channels": sorted(connection.subscribed)}

    def _join(self, sid: str, connection: Connection, data: dict[str, Any]) -> Any:
        room = data.get("room")
        if not isinstance(room, str):
            raise Refused("malformed", "name a room, such as client:<id>")
        chosen = rooms_of(connection.principal)
        if room in chosen:
            return {"room": room}
        client = None
        if room.startswith(_CLIENT):
            client = self._access.client_id(connection.principal, room.removeprefix(_CLIENT))
        if client is None:
            raise Refused("forbidden", "this room is not open to you")
        joined = client_room(client)
        if joined not in chosen:
            if len(connection.joined | {joined}) > MAX_JOINED:
                raise Refused("too_many_rooms", f"at most {MAX_JOINED} at a time")
            connection.joined.add(joined)
            self.socketio.server.enter_room(sid, joined)
        return {"room": joined}

    def _leave(self, sid: str, connection: Connection, data: dict[str, Any]) -> Any:
        room = data.get("room")
        if isinstance(room, str) and room in connection.joined:
            connection.joined.discard(room)
            self.socketio.server.leave_room(sid, room)
        return {"room": room if isinstance(room, str) else None}

    def _resume(self, _sid: str, connection: Connection, data: dict[str, Any]) -> Any:
        after = data.get("after")
        if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after < 2**53:
            raise Refused("malformed", "name the last cursor you saw")
        if not rooms_of(connection.principal):
            raise Refused("forbidden", "events may not be read")
        self._count_resume(connection)
        missed, cursor = self._access.missed(connection.principal, after, MAX_MISSED)
        if missed is None or after > cursor:  # too many, or a cursor of another database
            return {"events": [], "cursor": cursor, "reset": True}
        return {"events": missed, "cursor": cursor, "reset": False}

    def _count_resume(self, connection: Connection) -> None:
        moment, caller = self._clock.monotonic(), connection.principal.actor
        with self._lock:
            by_caller = self._resumed.setdefault(caller, deque(maxlen=MAX_RESUMES_PER_CALLER))
        for resumed in (connection.resumed, by_caller):
            if len(resumed) == resumed.maxlen and moment - resumed[0] < RESUME_SECONDS:
                raise Refused("rate_limited", f"more than {resumed.maxlen} times in {RESUME_SECONDS} seconds")
        connection.resumed.append(moment)
        by_caller.append(moment)

    def _forget_resumes(self) -> None:
        """Forget the callers who have not resumed for a while."""
        long_ago = self._clock.monotonic() - RESUME_SECONDS
        with self._lock:
            self._resumed = {
                caller: resumed for caller, resumed in self._resumed.items() if not resumed or resumed[-1] >= long_ago
            }

    def reconnect_all(self) -> None:
        """End every transport of this process: its peer comes back and asks for what it has missed."""
        for sid in list(self.socketio.server.eio.sockets):
            self.backpressure.drop(sid)

    def figures(self) -> dict[str, Any]:
        """For the health page: open sockets by kind of caller, consumers dropped."""
        kinds = Counter(connection.principal.kind for connection in list(self._open.values()))
        return {"open": self.count(), "by_kind": dict(kinds), "dropped": self.backpressure.dropped}


def _key_of(auth: Any) -> str | None:
    """A key from the connection's auth payload, else from its headers; an odd one counts as a wrong one."""
    if isinstance(auth, dict) and auth.get("key") is not None:
        return str(auth["key"])[:300]
    return presented_key(request.environ)


def register(socketio: SocketIO, access: Access, clock: Clock) -> Sockets:
    """Answer connections on ``socketio``, which must be bound to its app already."""
    return Sockets(socketio, access, clock)

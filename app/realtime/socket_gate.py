"""What peers send: whoever sends what is no message, or more than anybody needs, is ended and not answered.

The socket library takes frames without bound, starts a task for each and logs a traceback for what it cannot
read; it offers no hooks before that, so the functions by which frames come in are wrapped.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from engineio import packet as transport
from engineio.payload import Payload
from flask_socketio import SocketIO
from socketio import packet as protocol

from app.core.clock import Clock

log = logging.getLogger(__name__)
MAX_FRAMES_PER_SECOND = 100  # twice what a caller is told is too much
MAX_REFUSED_CONNECTS = 5  # on one transport
MAX_NAME = 100
MAX_OFFENCES, OFFENCE_SECONDS = 10, 60  # of one address in so long; then it opens no transport for as long
_UNREADABLE = (ValueError, IndexError, KeyError, TypeError, AttributeError)
_KINDS = frozenset("0123456")  # of the transport's frames
_BUSY = b"too many connections from your address have not said who they are, or had to be ended; try again later"


class FrameRate:
    """At most so many frames a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._came: deque[float] = deque(maxlen=MAX_FRAMES_PER_SECOND)

    def allows(self, frames: int = 1) -> bool:
        moment = self._clock.monotonic()
        for _ in range(frames):
            if len(self._came) == MAX_FRAMES_PER_SECOND and moment - self._came[0] < 1:
                return False
            self._came.append(moment)
        return True


class CheckedSocket:
    """A websocket as its server made it, whose reader is told the end when the peer misbehaves."""

    def __init__(self, inner: Any, rate: FrameRate, end: Callable[[str], None]) -> None:
        self._inner, self._rate, self._end = inner, rate, end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def wait(self) -> Any:
        frame = self._inner.wait()
        if frame is None:
            return None
        if not self._rate.allows():
            return self._end("flood")
        if not isinstance(frame, str) or frame[:1] not in _KINDS or not frame:
            return self._end("unreadable")
        return frame

    def close(self) -> None:
        with contextlib.suppress(Exception):  # the peer, or we, may have ended it at the same moment
            self._inner.close()


class SocketGate:
    """Wraps the library's functions. ``may_open`` says whether somebody not yet known may open one more transport."""

    def __init__(
        self, socketio: SocketIO, clock: Clock, may_open: Callable[[dict[str, Any]], bool], drop: Callable[[str], None]
    ) -> None:
        self._server: Any = socketio.server
        self._eio: Any = self._server.eio
        self._clock, self._may_open, self._drop = clock, may_open, drop
        self._rates: dict[str, FrameRate] = {}  # of those that poll
        self._refused: Counter[str] = Counter()
        self._offences: dict[str, deque[float]] = {}
        self.ended: Counter[str] = Counter()
        self._logged_at = float("-inf")
        self._wrap()

    def _wrap(self) -> None:
        self._handle_request = self._eio.handle_request
        self._eio.handle_request = self.handle_request
        self._message = self._eio.handlers["message"]
        self._eio.handlers["message"] = self.message
        self._eio.disconnect = self.disconnect
        self._websocket = self._eio._async["websocket"]
        if self._websocket is not None:
            self._eio._async = {**self._eio._async, "websocket": self.websocket}

    def count_ended(self, why: str) -> None:
        """Count a socket that is ended; the log gets a line a second at most."""
        self.ended[why] += 1
        moment = self._clock.monotonic()
        if moment - self._logged_at >= 1:
            self._logged_at = moment
            log.warning("sockets ended for what they sent, so far: %s", dict(self.ended))

    def end(self, sid: str, why: str) -> None:
        if sid in self._eio.sockets:
            self.count_ended(why)
            address = str(self._server.environ.get(sid, {}).get("REMOTE_ADDR"))
            self._offences.setdefault(address, deque(maxlen=MAX_OFFENCES)).append(self._clock.monotonic())
            self._drop(sid)
        self._forget(sid)

    def _is_barred(self, address: str | None) -> bool:
        offences = self._offences.get(str(address))
        if offences is None or len(offences) < MAX_OFFENCES or offences[-1] - offences[0] >= OFFENCE_SECONDS:
            return False
        return self._clock.monotonic() - offences[-1] < OFFENCE_SECONDS

    def _forget(self, sid: str) -> None:
        self._rates.pop(sid, None)
        self._refused.pop(sid, None)

    def refused(self, sid: str) -> None:
        """The caller of a transport was not let in; who goes on trying there is ended."""
        self._refused[sid] += 1
        if self._refused[sid] >= MAX_REFUSED_CONNECTS:
            self.end(sid, "refused")

    def tidy(self) -> None:
        """Forget the transports that have ended, and offences of long ago."""
        long_ago = self._clock.monotonic() - OFFENCE_SECONDS
        for address in [address for address, offences in self._offences.copy().items() if offences[-1] < long_ago]:
            self._offences.pop(address, None)
        for sid in {*self._rates, *self._refused} - set(self._eio.sockets):
            self._forget(sid)

    # what is put in the place of the library's functions

    def websocket(self, handler: Callable[[Any], Any], server: Any) -> Any:
        sid = handler.__self__.sid  # type: ignore[attr-defined]  # of the library's socket, whose method it is
        rate, end = FrameRate(self._clock), partial(self.end, sid)
        return self._websocket(lambda inner: handler(CheckedSocket(inner, rate, end)), server)

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        sid = parse_qs(environ.get("QUERY_STRING", "")).get("sid", [""])[0]
        if not sid and (self._is_barred(environ.get("REMOTE_ADDR")) or not self._may_open(environ)):
            return _answer(start_response, "503 Service Unavailable", _BUSY)
        environ["wsgi.errors"] = _Nowhere()  # where the library notes, without end, that a peer is gone already
        if environ["REQUEST_METHOD"] == "POST" and sid in self._eio.sockets:
            why = self._what_is_wrong(sid, environ)
            if why is not None:
                self.end(sid, why)
                return _answer(start_response, "400 Bad Request", why.encode())
        return self._handle_request(environ, start_response)

    def _what_is_wrong(self, sid: str, environ: dict[str, Any]) -> str | None:
        """What is wrong with the frames of a polling client's POST."""
        stated = environ.get("CONTENT_LENGTH") or "0"
        if not (stated.isascii() and stated.isdigit()) or int(stated) > self._eio.max_http_buffer_size:
            return "oversized"
        body = environ["wsgi.input"].read(int(stated))
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            frames = Payload(encoded_payload=body.decode()).packets
        except _UNREADABLE:
            return "unreadable"
        if any(frame.packet_type > transport.NOOP or frame.binary for frame in frames):
            return "unreadable"
        return None if self._rates.setdefault(sid, FrameRate(self._clock)).allows(len(frames)) else "flood"

    def message(self, sid: str, data: Any) -> Any:
        if sid not in self._eio.sockets:
            return None  # ended; these were still on their way
        if not self._is_message(data):
            return self.end(sid, "unreadable")
        return self._message(sid, data)

    def _is_message(self, data: Any) -> bool:
        """Whether it is a packet that a client of ours sends: nothing binary, and an event has a name."""
        try:
            sent = self._server.packet_class(encoded_packet=data)
        except _UNREADABLE:
            return False
        if sent.packet_type == protocol.EVENT:
            return isinstance(sent.data, list) and bool(sent.data) and _is_name(sent.data[0])
        if sent.packet_type == protocol.CONNECT:
            return sent.data is None or isinstance(sent.data, dict)
        return sent.packet_type in (protocol.DISCONNECT, protocol.ACK)

    def disconnect(self, sid: str | None = None) -> None:
        """As the library's, without waiting for a peer that may never read what is queued for it."""
        for one in list(self._eio.sockets) if sid is None else [sid]:
            ending = self._eio.sockets.pop(one, None)
            if ending is not None:
                ending.close(wait=False, reason=self._eio.reason.SERVER_DISCONNECT)


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME


def _answer(start_response: Any, status: str, text: bytes) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text]


__all__ = ["MAX_FRAMES_PER_SECOND", "MAX_OFFENCES", "MAX_REFUSED_CONNECTS", "OFFENCE_SECONDS", "SocketGate"]

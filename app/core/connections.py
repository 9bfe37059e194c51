"""Open connections: how many there may be, and by when each must have spoken.

A server's read waits as long as its peer likes. Whoever reads from a connection says here by when it must
be done; after that the socket is shut down, which the reader sees as the end of what was sent.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from .clock import Clock

SWEEP_SECONDS = 0.5
LINGER_SECONDS = 2  # how long, and how much, a refused peer may go on sending before it is cut off
LINGER_BYTES = 4 << 20
_REQUEST_LINE = re.compile(rb"[A-Z-]+ [^\s]+ HTTP/[0-9]\.[0-9]\r?\n")
_HEADER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\x00]*\r?\n")


def neighbourhood(address: str) -> str:
    """What counts as one address: for IPv6 the /64 that one customer gets."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 64), strict=False)) if found.version == 6 else address


def wire_of(environ: Mapping[str, Any]) -> Any:
    """The TCP socket under a WSGI request, as each server calls it; None where it does not say."""
    found = environ.get("werkzeug.socket") or environ.get("gunicorn.socket")
    reader = environ.get("eventlet.input")
    return found or (reader.get_socket() if reader is not None else None)


class Connections:
    """The TCP connections of this process, by their sockets.

    ``per_address`` None: one address may have as many as all; for a server behind a proxy, where every
    connection comes from there.
    """

    def __init__(
        self,
        clock: Clock,
        start: Callable[..., Any],
        sleep: Callable[[float], Any],
        *,
        most: int,
        per_address: int | None = None,
    ) -> None:
        self.most, self.per_address = most, per_address
        self._clock, self._start, self._sleep = clock, start, sleep
        self._lock = threading.Lock()
        self._open: dict[Any, str] = {}
        self._from: Counter[str] = Counter()
        self._idle: dict[Any, float] = {}  # those from which a request's head is awaited, longest waiting first
        self._reading: dict[Any, float] = {}  # those whose body is awaited
        self._watching = False
        self.refused = self.ended = 0

    def count(self) -> int:
        return len(self._open)

    # how many

    def admit(self, wire: Any, address: str) -> bool:
        """Count a new connection in. Where there are too many, the one idle longest makes room; False if none is."""
        near = neighbourhood(address)
        with self._lock:
            leaving = None
            if self.per_address is not None and self._from[near] >= self.per_address:
                leaving = self._longest_idle(near)
            elif len(self._open) >= self.most:
                leaving = self._longest_idle(None)
            else:
                self._count_in(wire, near)
                return True
            if leaving is None:
                self.refused += 1
                return False
            self._forget(leaving)
            self._count_in(wire, near)
            self.ended += 1
        _shut(leaving, socket.SHUT_RDWR)
        return True

    def _longest_idle(self, near: str | None) -> Any:
        return next((wire for wire in self._idle if near is None or self._open.get(wire) == near), None)

    def _count_in(self, wire: Any, near: str) -> None:
        self._open[wire] = near
        self._from[near] += 1

    def _forget(self, wire: Any) -> None:
        self._idle.pop(wire, None)
        self._reading.pop(wire, None)
        near = self._open.pop(wire, None)
        if near is not None:
            self._from[near] -= 1
            if not self._from[near]:
                del self._from[near]

    def gone(self, wire: Any) -> None:
        with self._lock:
            self._forget(wire)

    # by when

    def idle(self, wire: Any, seconds: float) -> None:
        """From now on the head of a request is awaited, for ``seconds`` in all."""
        with self._lock:
            if wire in self._open:  # else it was ended to make room
                self._idle[wire] = self._clock.monotonic() + seconds
        self._watch()

    def heard(self, wire: Any) -> bool:
        """The head is there; False where that was too late."""
        with self._lock:
            return self._idle.pop(wire, None) is not None

    @contextlib.contextmanager
    def reading(self, wire: Any, seconds: float) -> Iterator[None]:
        """What is read inside ends after ``seconds``: the reader finds the end of what was sent."""
        with self._lock:
            self._reading[wire] = self._clock.monotonic() + seconds
        self._watch()
        try:
            yield
        finally:
            with self._lock:
                self._reading.pop(wire, None)

    def sweep(self) -> int:
        """End what is waited for in vain; returns how many."""
        now = self._clock.monotonic()
        with self._lock:
            idle = [wire for wire, due in self._idle.items() if due <= now]
            late = [wire for wire, due in self._reading.items() if due <= now]
            for wire in idle:
                self._forget(wire)
            for wire in late:
                del self._reading[wire]
            self.ended += len(idle) + len(late)
        for wire in idle:
            _shut(wire, socket.SHUT_RDWR)
        for wire in late:
            _shut(wire, socket.SHUT_RD)  # it is still told why
        return len(idle) + len(late)

    def _watch(self) -> None:
        if self._watching:
            return
        with self._lock:
            start, self._watching = not self._watching, True
        if start:
            self._start(self._sweep_for_ever)

    def _sweep_for_ever(self) -> None:
        while True:
            self._sleep(SWEEP_SECONDS)
            self.sweep()

    def end(self, wire: Any) -> None:
        """Close after an answer, gently: with unread bytes left the peer would lose the answer itself."""
        with contextlib.suppress(OSError):
            wire.shutdown(socket.SHUT_WR)
            left = LINGER_BYTES
            with self.reading(wire, LINGER_SECONDS):
                while left > 0 and (got := wire.recv(1 << 16)):
                    left -= len(got)
        _shut(wire, socket.SHUT_RDWR)


def _shut(wire: Any, how: int) -> None:
    with contextlib.suppress(OSError):
        wire.shutdown(how)


class _HeadLines:
    """The source of a request's head, which remembers its lines."""

    def __init__(self, source: Any) -> None:
        self._source, self.lines = source, list[bytes]()

    def readline(self, limit: int = -1) -> bytes:
        line = bytes(self._source.readline(limit))
        self.lines.append(line)
        return line


def is_clear(request_line: bytes, lines: list[bytes]) -> bool:
    """Whether the head of a request can be read in one way alone; ``lines`` end with the empty one.

    A proxy may take a space before a colon, a folded line or a second length otherwise than the parser of
    headers here does, and what one takes for a body the other takes for the next request.
    """
    headers = lines[:-1]
    return (
        _REQUEST_LINE.fullmatch(request_line) is not None
        and all(_HEADER_LINE.fullmatch(line) for line in headers)
        and sum(line.lower().startswith(b"content-length:") for line in headers) <= 1
    )


class TimedHandler:
    """Mixed into a request handler of http.server's kind.

    Its connection is counted, a head has its time, and one that is not clear is answered 400 and is the last.
    """

    connections: Connections
    idle_seconds: float

    def handle(self: Any) -> None:
        if not self.connections.admit(self.connection, str(self.client_address[0])):
            return
        try:
            super().handle()  # type: ignore[misc]
        finally:
            self.connections.gone(self.connection)

    def handle_one_request(self: Any) -> None:
        self.connections.idle(self.connection, self.idle_seconds)
        super().handle_one_request()  # type: ignore[misc]

    def parse_request(self: Any) -> bool:
        source, head = self.rfile, _HeadLines(self.rfile)
        self.rfile = head
        try:
            whole = bool(super().parse_request())  # type: ignore[misc]
        finally:
            self.rfile = source
        if not self.connections.heard(self.connection):  # cut off in the middle: what came is no request
            self.close_connection = True
            return False
        if whole and not is_clear(self.raw_requestline, head.lines):
            self.send_error(400)
            self.wfile.flush()
            self.connections.end(self.connection)
            self.close_connection = True
            return False
        return whole


__all__ = ["Connections", "TimedHandler", "is_clear", "neighbourhood"]

"""A consumer that does not read is dropped before its queue eats the server's memory.

The socket library queues per socket without bound and offers no hook, so its ``send_packet`` is wrapped.
"""

from __future__ import annotations

import contextlib
import logging
import socket as sockets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from flask_socketio import SocketIO

from app.core.connections import wire_of

log = logging.getLogger(__name__)
MAX_QUEUED = 1000  # packets per socket


def _is_websocket(environ: dict[str, Any]) -> bool:
    return str(environ.get("HTTP_UPGRADE", "")).lower() == "websocket"


class Backpressure:
    """Watches what is queued for each socket. ``dropped`` counts the consumers lost to it."""

    def __init__(
        self, socketio: SocketIO, on_request: Callable[[], None] = lambda: None, max_queued: int = MAX_QUEUED
    ) -> None:
        self._eio: Any = socketio.server.eio
        self._environs: Any = socketio.server.environ  # of each socket's first request
        self._on_request = on_request
        self.max_queued = max_queued
        self._wires: dict[str, Any] = {}
        self._dropping: set[str] = set()
        self.dropped = 0
        self._send_packet = self._eio.send_packet
        self._handle_request = self._eio.handle_request
        self._eio.send_packet = self.send_packet
        self._eio.handle_request = self.handle_request

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Remember the wire of a socket that goes on as a websocket; this call lasts as long as it does."""
        self._on_request()
        sid = parse_qs(environ.get("QUERY_STRING", "")).get("sid", [""])[0]
        if not sid or not _is_websocket(environ) or sid in self._wires:
            return self._handle_request(environ, start_response)
        self._wires[sid] = wire_of(environ)
        try:
            return self._handle_request(environ, start_response)
        finally:
            self._wires.pop(sid, None)

    def send_packet(self, sid: str, packet: Any) -> None:
        """Queue a packet, or drop the consumer whose queue is full."""
        if sid in self._dropping:
            return
        consumer = self._eio.sockets.get(sid)
        if consumer is not None and consumer.queue.qsize() >= self.max_queued:
            self._dropping.add(sid)
            self.dropped += 1
            log.warning("socket dropped: it has %d packets to read", self.max_queued)
            # elsewhere: we stand in the middle of a broadcast to others
            self._eio.start_background_task(self._drop, sid, consumer)
            return
        self._send_packet(sid, packet)

    def drop(self, sid: str) -> None:
        """End a socket at once, with what is queued for it."""
        consumer = self._eio.sockets.get(sid)
        if consumer is not None and sid not in self._dropping:
            self._dropping.add(sid)
            self._drop(sid, consumer)

    def _drop(self, sid: str, consumer: Any) -> None:
        first = self._environs.get(sid) or {}
        wire = self._wires.pop(sid, None) or (wire_of(first) if _is_websocket(first) else None)
        try:
            empty = self._eio.get_queue_empty_exception()
            with contextlib.suppress(empty):
                while True:
                    consumer.queue.get(block=False)
            consumer.close(wait=False, abort=True, reason=self._eio.reason.TRANSPORT_ERROR)
        finally:
            self._eio.sockets.pop(sid, None)
            if wire is not None:  # its writer may be stuck in the middle of a frame
                with contextlib.suppress(OSError):
                    wire.shutdown(sockets.SHUT_RDWR)
            self._dropping.discard(sid)


__all__ = ["MAX_QUEUED", "Backpressure"]

"""A client that sends an order over HTTP and hears of it over its socket, in one thread and with blocking reads."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

import websocket

from .surroundings import BenchFailed


class Listener:
    """Socket.IO over a bare websocket: only what is needed to hear events."""

    def __init__(self, port: int, key: str) -> None:
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket",
            header=[f"X-API-Key: {key}"],
            origin=f"http://127.0.0.1:{port}",
            timeout=30,
            sockopt=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        assert self._socket.recv()[:1] == "0"
        self._socket.send("40" + json.dumps({"key": key}))
        while not str(self._socket.recv()).startswith('42["ready"'):
            pass

    def wait(self, type_: str, match: tuple[str, str]) -> float:
        """Until that event of the order is here; the moment. Raises ``BenchFailed`` after 30 s."""
        end = time.perf_counter() + 30
        while time.perf_counter() < end:
            packet = str(self._socket.recv())
            now = time.perf_counter()
            if packet == "2":
                self._socket.send("3")
            elif packet.startswith(f'42["{type_}"'):
                data = json.loads(packet[2:])[1]["data"]
                if data[match[0]] == match[1]:
                    return now
        raise BenchFailed(f"{type_} of {match[1]} was not heard")

    def close(self) -> None:
        self._socket.close()


class Sender:
    """One keep-alive connection without Nagle's delay."""

    def __init__(self, port: int, key: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = {"Content-Type": "application/json", "X-API-Key": key}

    def send(self, path: str, body: dict[str, Any]) -> None:
        self._connection.request("POST", path, json.dumps(body), self._headers)

    def answer(self, *statuses: int) -> Any:
        response = self._connection.getresponse()
        data = json.loads(response.read())
        if response.status not in statuses:
            raise BenchFailed(f"{response.status} {data}")
        return data

    def post(self, path: str, body: dict[str, Any], *statuses: int) -> Any:
        self.send(path, body)
        return self.answer(*(statuses or (200, 201)))

    def close(self) -> None:
        self._connection.close()

"""What comes over the wire in pieces, too slowly, in chunks or not at all, on every server we run under."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from .server import Firm, Server, prepare

SERVERS = {
    "eventlet": (["run.py"], "eventlet"),
    "threading": (["run.py"], "threading"),
    "gunicorn": (["-m", "gunicorn", "-c", "gunicorn_config.py"], "eventlet"),
}
SHORT = {"BODY_TIMEOUT_SECONDS": "1", "IDLE_TIMEOUT_SECONDS": "2", "MAX_CONNECTIONS_PER_ADDRESS": "40"}
ORDER = {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "qty": "0.01", "price": "1000"}


@pytest.fixture(scope="module", params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Firm]]:
    folder = tmp_path_factory.mktemp("gate")
    arguments, mode = SERVERS[request.param]
    url = f"sqlite:///{folder / 'gate.db'}"
    firm = prepare(url, 1)
    server = Server(url, folder, command=[sys.executable, *arguments], ASYNC_MODE=mode, MARKET_FEED="manual", **SHORT)
    server.start()
    yield server, firm
    server.terminate()  # gunicorn's worker outlives a master that is killed
    assert server.orphans() == []


def begin(server: Server, data: bytes) -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    wire.sendall(data)
    return wire


def say(server: Server, data: bytes) -> tuple[int, Any]:
    return end(begin(server, data))


def end(wire: socket.socket) -> tuple[int, Any]:
    """Read to the end of the connection: status (0 without an answer) and the decoded body."""
    with wire:
        answer = b""
        while got := wire.recv(1 << 16):
            answer += got
    if not answer:
        return 0, None
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else None


def head(firm: Firm, method: str, path: str, *headers: str) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"X-API-Key: {firm.clients[0]}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def test_half_a_body_holds_up_nobody(running: tuple[Server, Firm]) -> None:
    server, firm = running
    order = place(server, firm)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as wire:
        wire.sendall(head(firm, "PATCH", f"/api/v1/orders/{order}", "Content-Length: 100") + b"{")
        began = time.monotonic()
        caller = server.caller(firm.clients[0])
        assert caller.call("POST", f"/api/v1/orders/{order}/cancel", {})[0] == 200
        assert caller.call("POST", "/api/v1/orders", ORDER)[0] == 201
        assert time.monotonic() - began < 0.9, "they did not wait for the body"
        assert wire.recv(1 << 16).split()[1] == b"408"
        caller.close()


def test_half_a_body_is_answered_on_every_method(running: tuple[Server, Firm]) -> None:
    server, firm = running
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    wires = [begin(server, head(firm, method, "/api/v1/orders", "Content-Length: 9") + b"{") for method in methods]
    for status, body in map(end, wires):
        assert (status, body["code"]) == (408, "request_timeout")


@pytest.mark.parametrize("path", ["/api/v1/orders/cancel-all", "/sign-in"])
def test_a_body_in_chunks_is_refused_and_never_counts_as_none(running: tuple[Server, Firm], path: str) -> None:
    server, firm = running
    chunks = b"10\r\n" + b'{"symbol":"ETH"}' + b"\r\n0\r\n\r\n"
    status, _ = say(server, head(firm, "POST", path, "Transfer-Encoding: chunked") + chunks)
    assert status == 411


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", ["Transfer-Encoding : chunked"]),
        ("POST", ["Content-Length: 0", "Content-Length: 44"]),
        ("get", []),
    ],
)
def test_an_ambiguous_head_is_refused_and_what_follows_is_no_request(
    running: tuple[Server, Firm], method: str, headers: list[str]
) -> None:
    server, firm = running
    with begin(
        server, head(firm, method, "/health", *headers) + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ) as wire:
        answer = b""
        while got := wire.recv(1 << 16):
            answer += got
    assert (answer.split()[1], answer.count(b"HTTP/1.")) == (b"400", 1)


def test_too_large_a_body_is_answered_though_it_is_still_being_sent(running: tuple[Server, Firm]) -> None:
    server, firm = running
    data = b"x" * 3_000_000
    status, body = say(server, head(firm, "POST", "/api/v1/orders", f"Content-Length: {len(data)}") + data)
    assert (status, body["code"]) == (413, "too_large")


def test_too_large_a_poll_is_answered(running: tuple[Server, Firm]) -> None:
    server, firm = running
    path = "/socket.io/?EIO=4&transport=polling"
    opened = requests.get(f"http://127.0.0.1:{server.port}{path}", timeout=10).text
    path += "&sid=" + json.loads(opened[1:])["sid"]
    status, _ = say(server, head(firm, "POST", path, "Content-Length: 70000") + b"4" * 70_000)
    assert status == 413


def test_a_connection_that_asks_for_nothing_is_closed(running: tuple[Server, Firm]) -> None:
    half = (b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Half")
    for wire in [begin(running[0], said) for said in half]:
        assert end(wire)[0] == 0


def test_idle_connections_of_a_stranger_shut_nobody_out(running: tuple[Server, Firm]) -> None:
    server, _ = running
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(150)]
    began = time.monotonic()
    caller = server.caller()
    assert caller.call("GET", "/health")[0] == 200
    assert time.monotonic() - began < 1
    caller.close()
    for wire in idle:
        assert wire.recv(1) == b""
        wire.close()


def place(server: Server, firm: Firm) -> str:
    """A resting order."""
    caller, admin = server.caller(firm.clients[0]), server.caller(firm.admin)
    status, quote = admin.call("POST", "/api/v1/market/quotes", {"symbol": "BTC/USDT", "bid": "1100", "ask": "1101"})
    assert status == 201, quote
    status, order = caller.call("POST", "/api/v1/orders", ORDER)
    caller.close(), admin.close()
    assert status == 201, order
    return str(order["id"])

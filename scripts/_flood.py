"""One client's orders, stops and socket while strangers flood the same server: first without them, then with them.

The strangers come from many loopback addresses, so that it is not the limit per address alone that helps: 200
bodies of which one byte ever comes (with another client's key), 1,500 connections that say nothing, 20 that ask
with a wrong key as fast as they are answered, and 20 that open sockets and send what is no message.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import socketio

from scripts._crash import database
from tests.e2e.server import NO_ANSWER, Firm, Server, prepare

PER_ADDRESS = 100
PAUSE_SECONDS = 0.05  # between two orders
STOP_PAUSE_SECONDS = 1.0
WAIT_SECONDS = 10.0
GONE = (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError)


# -- the strangers, in a process of their own ---------------------------------------------------------------------


class Strangers:
    """``asked`` says how many of each kind; they come again whenever they are thrown out, after a moment."""

    def __init__(self, port: int, key: str, asked: argparse.Namespace) -> None:
        self.port, self.key, self.asked = port, key, asked
        self.counts: Counter[str] = Counter()
        self._until = time.monotonic() + asked.seconds

    async def run(self) -> None:
        kinds = [
            (self.half, self.asked.half),
            (self.idle, self.asked.idle),
            (self.ask, self.asked.flooding // 2),
            (self.babble, self.asked.flooding - self.asked.flooding // 2),
        ]
        work = []
        for kind, (act, count) in enumerate(kinds):
            for number in range(count):
                work.append(self.again(act, f"127.0.{kind + 1}.{number // PER_ADDRESS + 1}"))
        await asyncio.gather(*work)

    async def again(self, act: Any, address: str) -> None:
        while time.monotonic() < self._until:
            with contextlib.suppress(*GONE):
                async with asyncio.timeout(WAIT_SECONDS):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))
                self.counts[f"{act.__name__}: connections"] += 1
                try:
                    await act(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(0.5)

    async def rest(self, reader: asyncio.StreamReader) -> None:
        """Until the server has had enough, or it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(self._until - time.monotonic(), 0)):
                await reader.read(1 << 16)

    async def half(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._head("POST", "/api/v1/orders", self.key, "Content-Length: 100") + b"{")
        await self.rest(reader)

    async def idle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.rest(reader)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while time.monotonic() < self._until:
            writer.write(self._head("GET", "/api/v1/orders", "wrong"))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            self.counts["ask: answers"] += 1

    async def babble(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = (
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        writer.write(self._head("GET", "/socket.io/?EIO=4&transport=websocket", None, *upgrade))
        if b" 101 " not in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]:
            self.counts["babble: not let in"] += 1
            return
        frame = b"\x81\x83" + bytes(4) + b"42["
        while time.monotonic() < self._until and not reader.at_eof():
            writer.write(frame)
            self.counts["babble: frames"] += 1
            await writer.drain()
            await asyncio.sleep(0)

    def _head(self, method: str, path: str, key: str | None, *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Content-Type: application/json", *more]
        if key is not None:
            lines.append(f"X-API-Key: {key}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


def attack(port: int, key: str, asked: argparse.Namespace, said: Any) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    strangers = Strangers(port, key, asked)
    asyncio.run(strangers.run())
    said.put(dict(strangers.counts))


# -- the client whose business goes on ----------------------------------------------------------------------------


class Client:
    """Sends orders, hears of their fills on its socket, and has stops that fire."""

    def __init__(self, server: Server, firm: Firm) -> None:
        self.server, self.key, self.admin = server, firm.clients[0], firm.admin
        self.orders: list[float] = []  # seconds from the request to its answer
        self.fills: list[float] = []  # … to the event of its fill, the venue's latency included
        self.stops: list[float] = []  # seconds from the quote to the event that the position is closed
        self.breaks: list[str] = []
        self._filled: dict[str, float] = {}
        self._closed = threading.Event()
        self._over = threading.Event()
        self._socket = socketio.Client(reconnection=False)
        self._socket.on("order.filled", self._hear_fill)
        self._socket.on("position.closed", lambda event: self._closed.set())
        self._socket.on("disconnect", lambda *_: self._over.is_set() or self.breaks.append("the socket was ended"))

    def _hear_fill(self, event: dict[str, Any]) -> None:
        self._filled[event["data"]["id"]] = time.monotonic()

    def run(self, seconds: float) -> None:
        url = f"http://127.0.0.1:{self.server.port}"
        self._socket.connect(url, auth={"key": self.key}, transports=["websocket"], wait_timeout=30)
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=self._guard, args=(act, until)) for act in (self._order, self._stop)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 60)
        self._over.set()
        self._socket.disconnect()

    def _guard(self, act: Any, until: float) -> None:
        try:
            act(until)
        except (*NO_ANSWER, AssertionError) as error:
            self.breaks.append(f"{act.__name__}: {error!r}")

    def _order(self, until: float) -> None:
        caller, sides = self.server.caller(self.key), ("BUY", "SELL")
        sent: dict[str, float] = {}
        while time.monotonic() < until:
            body = {"symbol": "BTC/USDT", "side": sides[len(self.orders) % 2], "type": "MARKET", "qty": "0.02"}
            began = time.monotonic()
            status, order = caller.call("POST", "/api/v1/orders", body)
            self.orders.append(time.monotonic() - began)
            if status != 201:
                self.breaks.append(f"an order was answered {status} {order}")
            else:
                sent[order["id"]] = began
            time.sleep(PAUSE_SECONDS)
        caller.close()
        end = time.monotonic() + WAIT_SECONDS
        while len(self._filled.keys() & sent.keys()) < len(sent) and time.monotonic() < end:
            time.sleep(0.05)
        self.fills = [self._filled[id_] - began for id_, began in sent.items() if id_ in self._filled]
        if len(self.fills) < len(sent):
            self.breaks.append(f"{len(sent) - len(self.fills)} fills were never heard")

    def _stop(self, until: float) -> None:
        """Again and again a position in ETH whose stop is reached by a quote set by hand."""
        caller, admin = self.server.caller(self.key), self.server.caller(self.admin)
        while time.monotonic() < until:
            bid = Decimal(caller.get("/api/v1/market/quotes/ETHUSDT")["bid"])
            stop = (bid * Decimal("0.998")).quantize(Decimal("0.01"))
            body = {"symbol": "ETH/USDT", "side": "BUY", "type": "MARKET", "qty": "0.1", "stop_loss": str(stop)}
            status, order = caller.call("POST", "/api/v1/orders", body)
            assert status == 201, order
            path, end = f"/api/v1/orders/{order['id']}", time.monotonic() + WAIT_SECONDS
            while caller.get(path)["status"] != "FILLED":
                assert time.monotonic() < end, f"{path} is never filled"
                time.sleep(0.05)
            self._closed.clear()
            began = time.monotonic()
            quote = {"symbol": "ETH/USDT", "bid": str(stop - 1), "ask": str(stop - 1 + Decimal("0.2"))}
            status, answer = admin.call("POST", "/api/v1/market/quotes", quote)
            assert status == 201, answer
            if not self._closed.wait(WAIT_SECONDS):
                self.breaks.append(f"the stop of {path} did not close its position within {WAIT_SECONDS:.0f} s")
            self.stops.append(time.monotonic() - began)
            time.sleep(STOP_PAUSE_SECONDS)
        caller.close(), admin.close()

    def figures(self) -> str:
        said = (("orders answered", self.orders), ("filled and heard", self.fills), ("stops fired", self.stops))
        return "; ".join(f"{len(values)} {what} {_quantiles(values)}" for what, values in said)


def _quantiles(values: list[float]) -> str:
    if not values:
        return "never"
    ordered = sorted(values)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    return f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, most {ordered[-1] * 1000:.0f} ms"


# -- both together ------------------------------------------------------------------------------------------------


def prove(asked: argparse.Namespace) -> list[str]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cambista-flood-")))
        url = stack.enter_context(database(asked.database, folder))
        firm = prepare(url)
        server = Server(url, folder, SIM_VENUE_PARTIAL_RATE="0", LOG_LEVEL="WARNING")
        try:
            print(f"first start, ready after {server.start():.2f} s", flush=True)
            assert server.process is not None
            quiet = Client(server, firm)
            quiet.run(asked.seconds)
            before = _memory(server.process.pid)
            print(f"without strangers: {quiet.figures()}; {before} MB", flush=True)
            said: Any = multiprocessing.get_context("spawn").Queue()
            strangers = multiprocessing.get_context("spawn").Process(
                target=attack, args=(server.port, firm.clients[1], asked, said)
            )
            strangers.start()
            time.sleep(2)  # they are there
            flooded = Client(server, firm)
            flooded.run(max(asked.seconds - 4, 1))
            counts = said.get(timeout=60)
            strangers.join(30)
            print(
                f"with {asked.half} half bodies, {asked.idle} idle and {asked.flooding} flooding connections: "
                f"{flooded.figures()}; {_memory(server.process.pid)} MB",
                flush=True,
            )
            print(f"the strangers: {dict(sorted(counts.items()))}", flush=True)
            after = Client(server, firm)
            after.run(5)
            print(f"afterwards: {after.figures()}; /ready {server.ready()[0]}", flush=True)
            admin = server.caller(firm.admin)
            report = admin.get("/api/v1/admin/reconcile")
            admin.close()
        finally:
            server.kill()
        breaks = [
            f"{when}: {problem}"
            for when, client in (("without", quiet), ("with", flooded), ("after", after))
            for problem in client.breaks
        ]
        if not report["ok"]:
            breaks.append(f"reconcile: {report['breaks'][:5]}")
        if breaks:
            print(f"the end of the server's log:\n{server.tail()}", file=sys.stderr)
        return breaks


def _memory(pid: int) -> int:
    """Resident megabytes of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--half", type=int, default=200)
    parser.add_argument("--idle", type=int, default=1500)
    parser.add_argument("--flooding", type=int, default=40)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    breaks = prove(asked)
    print(f"flood: {len(breaks)} breaks")
    for problem in breaks[:30]:
        print(f"  {problem[:500]}")
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())

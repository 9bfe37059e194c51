"""The load generator: keep-alive HTTP/1.1 over bare sockets, the same for every server measured.

Standard library (and uvloop where it is installed); a process of its own, so that it costs both sides the
same. Reads a plan as JSON from standard input, prints the figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from functools import partial
from typing import Any

STATUS_AT = len("HTTP/1.1 ")


class Caller(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, sends again, until the time or the count is up."""

    def __init__(self, run: Run, number: int, member: dict[str, Any]) -> None:
        self.run, self.number, self.member = run, number, member
        self.count = 0
        self.began = 0.0
        self.buffer = bytearray()
        self.transport: Any = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self) -> None:
        if time.perf_counter() >= self.run.deadline or self.run.sent >= self.run.most:
            if not self.done.done():
                self.done.set_result(None)
            return
        self.count += 1
        self.run.sent += 1
        body = self.member["body"].replace("$N", f"{self.number}-{self.count}").encode()
        request = (
            f"POST {self.run.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-API-Key: {self.member.get('key', '')}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        now = time.perf_counter()
        status = int(head[STATUS_AT : STATUS_AT + 3])
        self.run.answered(status, now - self.began, bytes(self.buffer[end + 4 :]))
        self.buffer.clear()
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.run.dropped += 1
            self.done.set_result(None)


class Run:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan, self.path = plan, plan["path"]
        self.deadline = 0.0
        self.most: int = plan.get("most", 200_000)
        self.sent = self.dropped = 0
        self.statuses: dict[int, int] = {}
        self.latencies: list[float] = []
        self.odd: list[str] = []

    def answered(self, status: int, seconds: float, body: bytes) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies.append(seconds)
        unusual = status not in (200, 201) or b'"REJECTED"' in body
        if unusual and len(self.odd) < 3:
            self.odd.append(f"{status} {body[:300].decode('utf-8', 'replace')}")
        if unusual and status == 201:
            self.statuses[-201] = self.statuses.get(-201, 0) + 1

    async def go(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        callers, ports = [], self.plan["ports"]
        for number, member in enumerate(self.plan["members"]):
            _, caller = await loop.create_connection(
                partial(Caller, self, number, member), "127.0.0.1", ports[number % len(ports)]
            )
            callers.append(caller)
        began, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        wall = time.time()
        self.deadline = began + self.plan["seconds"]
        for caller in callers:
            caller.send()
        await asyncio.wait([caller.done for caller in callers], timeout=self.plan["seconds"] + 60)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_SELF)
        for caller in callers:
            if caller.transport is not None:
                caller.done.cancel()
                caller.transport.close()
        self.latencies.sort()
        return {
            "began_at": wall,
            "seconds": seconds,
            "count": len(self.latencies),
            "statuses": self.statuses,
            "dropped": self.dropped,
            "p50": quantile(self.latencies, 0.50),
            "p99": quantile(self.latencies, 0.99),
            "max": self.latencies[-1] if self.latencies else 0.0,
            "cpu": used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime,
            "odd": self.odd,
        }


def quantile(ordered: list[float], share: float) -> float:
    """The nearest-rank quantile of a sorted list; 0 for an empty one."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    plan = json.load(sys.stdin)
    try:
        import uvloop
    except ImportError:
        result = asyncio.run(Run(plan).go())
    else:
        result = uvloop.run(Run(plan).go())
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()

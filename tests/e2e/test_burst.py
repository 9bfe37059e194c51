"""500 orders at once against the real server: they wait for the venue in parallel."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .server import Firm, Server, prepare

BATCHES, BATCH, SENDERS, SINGLES = 3, 100, 8, 25  # 300 in batches, 200 one by one
TOTAL = BATCHES * BATCH + SENDERS * SINGLES
LATENCY_MS = 200
AFTER_LAST_ANSWER_SECONDS = 5.0  # one after the other, the latency alone would take 100 s and more
SYMBOLS = {"BTC/USDT": "0.02", "ETH/USDT": "0.3", "SOL/USDT": "4"}


@pytest.fixture
def running(database_url: str, tmp_path: Path) -> Iterator[tuple[Server, Firm]]:
    firm = prepare(database_url)
    server = Server(database_url, tmp_path, SIM_VENUE_LATENCY_MS=str(LATENCY_MS))
    server.start()
    yield server, firm
    server.kill()


class Senders:
    """Threads that all begin at the same moment; ``answers`` are the orders as they were accepted."""

    def __init__(self, server: Server, firm: Firm) -> None:
        self.server, self.firm = server, firm
        self.answers: list[dict[str, Any]] = []
        self.others: list[Any] = []
        self._gate = threading.Barrier(BATCHES + SENDERS + 1)
        self._threads = [
            threading.Thread(target=self._send, args=(number, number < BATCHES)) for number in range(BATCHES + SENDERS)
        ]

    def send(self) -> float:
        """All orders; returns the seconds until the last answer."""
        for thread in self._threads:
            thread.start()
        self._gate.wait(30)
        began = time.monotonic()
        for thread in self._threads:
            thread.join(120)
        return time.monotonic() - began

    def _send(self, number: int, batch: bool) -> None:
        caller = self.server.caller(self.firm.clients[number % len(self.firm.clients)])
        self._gate.wait(30)
        if batch:
            orders = [self._order(number, count) for count in range(BATCH)]
            status, data = caller.call("POST", "/api/v1/orders/batch", {"orders": orders})
            items = data["items"] if status == 201 else []
            self._note([(item["status"], item.get("order", item)) for item in items] or [(status, data)])
        else:
            for count in range(SINGLES):
                self._note([caller.call("POST", "/api/v1/orders", self._order(number, count))])
        caller.close()

    @staticmethod
    def _order(number: int, count: int) -> dict[str, Any]:
        symbol = list(SYMBOLS)[count % len(SYMBOLS)]
        return {
            "client_order_id": f"{number}-{count}",
            "symbol": symbol,
            "side": "BUY",
            "type": "MARKET",
            "qty": SYMBOLS[symbol],
        }

    def _note(self, answers: list[tuple[int, Any]]) -> None:
        for status, data in answers:
            (self.answers if status == 201 else self.others).append(data)


def test_500_orders_at_once_are_all_done_within_seconds(
    running: tuple[Server, Firm], record_property: pytest.RecordProperty
) -> None:
    server, firm = running
    senders = Senders(server, firm)
    began = time.monotonic()
    answered = senders.send()
    assert not senders.others, server.tail()
    assert len({order["id"] for order in senders.answers}) == TOTAL
    admin = server.caller(firm.admin)
    while admin.get("/api/v1/orders?open=true&limit=1")["total"]:
        assert time.monotonic() - began < answered + AFTER_LAST_ANSWER_SECONDS, server.tail()
    done = time.monotonic() - began
    orders = admin.pages("/api/v1/orders")
    assert {order["status"] for order in orders} == {"FILLED"}
    executions = admin.pages("/api/v1/executions")
    assert TOTAL < len(executions) < 2 * TOTAL, "about half of the orders fill in two parts"
    report = admin.get("/api/v1/admin/reconcile")
    assert report["ok"], report["breaks"]
    assert report["checked"]["executions"] == len(executions)
    admin.close()
    record_property("seconds until the last answer", round(answered, 2))
    record_property("seconds until all are done", round(done, 2))
    print(f"{TOTAL} orders: last answer after {answered:.2f} s, all done after {done:.2f} s")  # noqa: T201

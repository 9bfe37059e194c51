"""Kill a process with SIGKILL during bursts of orders, start it again, and look for anything lost or doubled.

Layout ``one``: a process that answers requests and is the engine. Layout ``many``: two web processes and two
engines on PostgreSQL and Redis, of which one is killed in each round, every other time the engine that leads. One
database for all rounds: every restart recovers what the rounds before have left.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.e2e.installation import Installation
from tests.e2e.server import (
    NO_ANSWER,
    Caller,
    Firm,
    Server,
    durable_postgres,
    fresh_postgres,
    prepare,
    redis_server,
)

SETTLE_SECONDS = 30.0
THREADS = 6
TERMINAL = {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "FAILED"}
QTY = {"BTC/USDT": "0.02", "ETH/USDT": "0.3", "SOL/USDT": "4"}


@dataclass
class Sent:
    """An order we tried to place, and what came back before the kill."""

    client: int
    body: dict[str, Any]
    status: int | None = None  # None: no answer
    order_id: str | None = None
    canceled: bool = False  # a cancel was answered with 200

    @property
    def name(self) -> str:
        return str(self.body["client_order_id"])


@dataclass
class Burst:
    """Several senders at once until their server is gone, and one who reads the events meanwhile."""

    webs: list[Server]
    firm: Firm
    seed: str
    sent: list[Sent] = field(default_factory=list)
    seen: list[tuple[int, str]] = field(default_factory=list)  # cursor and id of the first client's events
    refused: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def start(self, after: int) -> None:
        caller = self.webs[0].caller(self.firm.admin)
        self.quotes = {item["symbol"]: item for item in caller.get("/api/v1/market/quotes")["items"]}
        caller.close()
        self.threads = [threading.Thread(target=self._send, args=(number,)) for number in range(THREADS)]
        self.threads.append(threading.Thread(target=self._read, args=(after,)))
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def _send(self, number: int) -> None:
        chance, client = random.Random(f"{self.seed}:{number}"), number % len(self.firm.clients)
        caller = self.webs[number // len(self.firm.clients) % len(self.webs)].caller(self.firm.clients[client])
        mine: list[Sent] = []
        count = 0
        try:
            while not self.over.is_set():
                act = chance.random()
                size = chance.randint(2, 12) if act < 0.1 else 1
                orders = []
                for _ in range(size):
                    count += 1
                    orders.append(Sent(client, self._order(chance, f"{self.seed}-{number}-{count}")))
                self.sent += orders
                mine += orders
                self._place(caller, orders)
                if chance.random() < 0.3:
                    self._cancel(caller, chance.choice(mine))
        except NO_ANSWER:
            return
        finally:
            caller.close()

    def _order(self, chance: random.Random, name: str) -> dict[str, Any]:
        symbol = chance.choice(list(QTY))
        bid, ask = Decimal(self.quotes[symbol]["bid"]), Decimal(self.quotes[symbol]["ask"])
        order = {"client_order_id": name, "symbol": symbol, "side": "BUY", "type": "MARKET", "qty": QTY[symbol]}
        kind = chance.random()
        if kind < 0.25:  # rests below the market
            order |= {"type": "LIMIT", "price": str(round(bid * Decimal("0.98"), 2))}
        elif kind < 0.35:  # takes
            order |= {"type": "LIMIT", "price": str(round(ask * Decimal("1.005"), 2))}
        elif kind < 0.4:
            order |= {"type": "LIMIT", "time_in_force": "IOC", "price": str(round(ask * Decimal("1.005"), 2))}
        elif kind < 0.5 and symbol == "BTC/USDT":
            order |= {"side": "SELL"}
        if order["side"] == "BUY" and chance.random() < 0.5:  # near enough to fire now and then
            order |= {"stop_loss": str(round(bid * Decimal("0.9995"), 2) - Decimal("0.01"))}
            if order["type"] == "LIMIT" and kind < 0.25:
                order["stop_loss"] = str(round(bid * Decimal("0.9"), 2))
            if chance.random() < 0.5:
                order |= {"take_profit": str(round(ask * Decimal("1.01"), 2))}
        return order

    def _place(self, caller: Caller, orders: list[Sent]) -> None:
        if len(orders) == 1:
            answers = [caller.call("POST", "/api/v1/orders", orders[0].body)]
        else:
            status, data = caller.call("POST", "/api/v1/orders/batch", {"orders": [order.body for order in orders]})
            if status != 201:
                self.refused.append(f"batch: {status} {data}")
                return
            answers = [(item["status"], item.get("order") or item.get("error")) for item in data["items"]]
        for order, (status, data) in zip(orders, answers, strict=True):
            order.status = status
            if status == 201:
                order.order_id = data["id"]
            elif data.get("code") != "stop_wrong_side":  # the market has gone on since the burst began
                self.refused.append(f"{order.name}: {status} {data}")

    def _cancel(self, caller: Caller, order: Sent) -> None:
        if order.order_id is not None:
            status, data = caller.call("POST", f"/api/v1/orders/{order.order_id}/cancel", {})
            order.canceled = order.canceled or status == 200
            if status not in (200, 409):
                self.refused.append(f"cancel {order.name}: {status} {data}")

    def _read(self, after: int) -> None:
        caller = self.webs[0].caller(self.firm.clients[0])
        try:
            while not self.over.is_set():
                status, data = caller.call("GET", f"/api/v1/events?after={after}&limit=500")
                if status != 200:
                    self.refused.append(f"events: {status} {data}")
                    return
                self.seen += [(item["cursor"], item["id"]) for item in data["items"]]
                after = data["cursor"]
                self.over.wait(0.1)
        except NO_ANSWER:
            return
        finally:
            caller.close()


class Proof:
    """The rounds on one database; ``breaks`` is what should not have been found."""

    def __init__(self, desk: Installation, firm: Firm, asked: argparse.Namespace) -> None:
        self.desk, self.firm, self.seed, self.asked = desk, firm, asked.seed, asked
        self.server = desk.webs[0]  # which the checks ask
        self.breaks: list[str] = []
        self.ready: list[float] = []
        self.processor: list[float] = []  # seconds of processor time in it: what a busy machine does not stretch
        self.statuses: Counter[str] = Counter()
        self.accepted = self.unanswered = self.live = 0
        self.killed: Counter[str] = Counter()
        self._log_read: Counter[str] = Counter()
        self._cursors = [0] * len(firm.clients)
        self._seqs = [0] * len(firm.clients)

    def round(self, number: int) -> str:
        """Burst, kill, start, settle, check; returns the line to print."""
        seed = f"s{self.seed}r{number}"
        burst = Burst(self.desk.webs, self.firm, seed)
        burst.start(self._cursors[0])
        chance = random.Random(seed)
        moment = chance.uniform(0.2, 2.5)
        time.sleep(moment)
        role, victim = self._victim(number, chance)
        epoch = self.desk.epoch()
        victim.kill()
        self.killed[role] += 1
        taken_over = 0.0
        if role == "leader":
            taken_over = self.desk.wait_for_leader(epoch)
        if self.desk.engines:
            time.sleep(chance.uniform(0, 1))  # the others go on
        burst.join()
        return f"{role} killed after {moment:.2f} s; {self._after(number, burst, victim, taken_over)}"

    def _victim(self, number: int, chance: random.Random) -> tuple[str, Server]:
        """In layout many the engine that leads every other time."""
        if not self.desk.engines:
            return "server", self.server
        self.desk.wait_for_standby()
        leader = self.desk.leader()
        if number % 2:
            return "leader", leader
        victim = chance.choice([process for process in self.desk.processes if process is not leader])
        return "web" if victim in self.desk.webs else "standby", victim

    def graceful(self) -> str:
        """SIGTERM instead, to every process one after the other, in the same kind of burst."""
        burst = Burst(self.desk.webs, self.firm, f"s{self.seed}term")
        burst.start(self._cursors[0])
        time.sleep(1.5)
        slowest = 0.0
        for process in self.desk.processes:
            code, seconds = process.terminate()
            slowest, orphans = max(slowest, seconds), process.orphans()
            if code != 0 or seconds > self.asked.stop_seconds or orphans:
                self.broken("SIGTERM", f"{process.name}: exit code {code} after {seconds:.2f} s, left: {orphans}")
        burst.join()
        return f"SIGTERM: ended within {slowest:.2f} s each; {self._after('SIGTERM', burst, self.server, 0.0)}"

    def _after(self, number: int | str, burst: Burst, victim: Server, taken_over: float) -> str:
        """Start again and check. Every web process is ready in time: after the start, and after a take-over."""
        found = len(self.breaks)
        ready = max(self.desk.start(), taken_over)
        self.ready.append(ready)
        self.processor.append(victim.processor_seconds())
        # all processes of layout many at once share the machine's cores: that start is shown, and has no limit
        if ready > self.asked.ready_seconds and not (number == "SIGTERM" and self.desk.engines):
            self.broken(number, f"ready after {ready:.2f} s only")
        admin = self.server.caller(self.firm.admin)
        try:
            live = sum(order["status"] not in TERMINAL for order in self._orders(admin, burst))
            settled = self.settle(admin, number)
            final = self.check_orders(admin, number, burst)
            self._check_resend(number, burst)
            self.settle(admin, number)
            self.check_executions(admin, number)
            self.check_events(number, burst)
            self.check_books(admin, number)
            self._check_logs(number)
        finally:
            admin.close()
        for problem in burst.refused:
            self.broken(number, problem)
        accepted = sum(order.status == 201 for order in burst.sent)
        unanswered = sum(order.status is None for order in burst.sent)
        self.accepted, self.unanswered, self.live = (
            self.accepted + accepted,
            self.unanswered + unanswered,
            self.live + live,
        )
        self.statuses += final
        verdict = "ok" if len(self.breaks) == found else f"{len(self.breaks) - found} BREAKS"
        return (
            f"{accepted:4} accepted, {unanswered:3} unanswered, {live:3} live at restart; ready {ready:.2f} s "
            f"(processor {self.processor[-1]:.2f} s), settled {settled:.2f} s; {dict(sorted(final.items()))}; {verdict}"
        )

    def broken(self, number: int | str, what: str) -> None:
        self.breaks.append(f"round {number}: {what}")

    def _orders(self, admin: Caller, burst: Burst) -> list[dict[str, Any]]:
        """All of the burst's orders that are stored, by the name their sender gave them."""
        prefix = burst.seed + "-"
        orders: list[dict[str, Any]] = []
        for order in admin.pages("/api/v1/orders"):
            if (order["client_order_id"] or "").startswith(prefix):
                orders.append(order)
        return orders

    def settle(self, admin: Caller, number: int | str) -> float:
        """Wait until every order is terminal or rests, and no position is on its way out."""
        began = time.monotonic()
        while True:
            moving = [
                f"{order['id']} {order['status']}"
                for order in admin.pages("/api/v1/orders?open=true")
                if order["status"] not in ("OPEN", "PARTIALLY_FILLED") or order["type"] != "LIMIT"
            ]
            taken = time.monotonic() - began
            if not moving:
                return taken
            if taken > SETTLE_SECONDS:
                self.broken(number, f"not settled after {taken:.0f} s: {moving[:5]} and {len(moving)} in all")
                return taken
            time.sleep(0.05)

    def check_orders(self, admin: Caller, number: int | str, burst: Burst) -> Counter[str]:
        """What got a 201 is there, by id; what got no answer is there at most once."""
        stored = Counter((order["client_id"], order["client_order_id"]) for order in self._orders(admin, burst))
        for (_, name), times in stored.items():
            if times > 1:
                self.broken(number, f"{name} is stored {times} times")
        final: Counter[str] = Counter()
        for sent in burst.sent:
            if sent.order_id is None:
                continue
            status, order = admin.call("GET", f"/api/v1/orders/{sent.order_id}")
            if status != 200 or order["client_order_id"] != sent.name or order["symbol"] != sent.body["symbol"]:
                self.broken(number, f"{sent.name} was accepted as {sent.order_id} and is now {status} {order}")
                continue
            code = order["reject_code"]
            final[f"{order['status']} {code}" if code else order["status"]] += 1
            if sent.canceled and order["status"] not in TERMINAL:
                self.broken(number, f"{sent.name}: its cancel was accepted and it is {order['status']}")
        return final

    def _check_resend(self, number: int | str, burst: Burst) -> None:
        """A sender without an answer sends again: it gets the order that was stored, or a new one."""
        callers = [self.server.caller(key) for key in self.firm.clients]
        for sent in burst.sent:
            if sent.status is not None:
                continue
            caller = callers[sent.client]
            before, known = caller.call("GET", f"/api/v1/orders/by-client-order-id/{sent.name}")
            status, order = caller.call("POST", "/api/v1/orders", sent.body)
            # the market may have passed a stop of an order that was never stored
            passed = status == 422 and order["code"] == "stop_wrong_side"
            if (before, status) not in {(200, 200), (404, 201)} and not (before == 404 and passed):
                self.broken(number, f"{sent.name} sent again: {before}, then {status} {order}")
            elif before == 200 and known["id"] != order["id"]:
                self.broken(number, f"{sent.name} sent again became another order")
        for caller in callers:
            caller.close()

    def check_executions(self, admin: Caller, number: int | str) -> None:
        """No fill twice: ids and the venue's trade ids are unique, and the sums are the orders'."""
        executions, orders = self._fills_and_orders(admin)
        ids = Counter(execution["id"] for execution in executions)
        trades = Counter((execution["order_id"], execution["trade_id"]) for execution in executions)
        for key, times in [*ids.items(), *trades.items()]:
            if times > 1:
                self.broken(number, f"execution {key} is there {times} times")
        sums: dict[str, Decimal] = {}
        for execution in executions:
            sums[execution["order_id"]] = sums.get(execution["order_id"], Decimal(0)) + Decimal(execution["qty"])
        for order in orders:
            filled = sums.pop(order["id"], Decimal(0))
            if filled != Decimal(order["cum_qty"]) or filled > Decimal(order["qty"]):
                self.broken(number, f"{order['id']}: cum_qty {order['cum_qty']} of {order['qty']}, fills {filled}")
        if sums:
            self.broken(number, f"fills of orders that are not there: {sorted(sums)}")

    @staticmethod
    def _fills_and_orders(admin: Caller) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Both as they were at one moment: a stop may fire and fill between the two lists."""
        for _ in range(100):
            executions, orders = admin.pages("/api/v1/executions"), admin.pages("/api/v1/orders")
            if admin.get("/api/v1/executions?limit=1")["total"] == len(executions):
                return executions, orders
        raise AssertionError("the executions never stood still")

    def check_events(self, number: int | str, burst: Burst) -> None:
        """By cursor: nothing missing, nothing twice, and what was read before the kill is still what it was."""
        for index, key in enumerate(self.firm.clients):
            caller = self.server.caller(key)
            read: list[tuple[int, str]] = []
            while True:
                page = caller.get(f"/api/v1/events?after={self._cursors[index]}&limit=500")
                for event in page["items"]:
                    if event["seq"] != self._seqs[index] + 1 or event["cursor"] <= self._cursors[index]:
                        self.broken(
                            number,
                            f"event {event['cursor']} has number {event['seq']}, the one before {self._seqs[index]}",
                        )
                    self._seqs[index], self._cursors[index] = event["seq"], event["cursor"]
                    read.append((event["cursor"], event["id"]))
                if not page["has_more"]:
                    break
            caller.close()
            if index == 0 and burst.seen != read[: len(burst.seen)]:
                self.broken(number, "events that were read before the kill are not the same after it")

    def check_books(self, admin: Caller, number: int | str) -> None:
        report = admin.get("/api/v1/admin/reconcile")
        if not report["ok"]:
            self.broken(number, f"reconcile: {report['breaks'][:5]}")
        faults = admin.get("/api/v1/admin/engine")["faults"]
        if faults["total"]:
            self.broken(number, f"the engine has parked {faults['total']}: {faults['items'][:3]}")

    def _check_logs(self, number: int | str) -> None:
        for process in self.desk.processes:
            log = process.log.read_text(errors="replace")
            fresh, self._log_read[process.name] = log[self._log_read[process.name] :], len(log)
            for line in fresh.splitlines():
                if any(mark in line for mark in ("[warning", "[error", "[critical", "Traceback")):
                    self.broken(number, f"the log of {process.name}: {line[:500]}")


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'crash.db'}"
        return
    with durable_postgres() as server, fresh_postgres(server) as url:
        yield url


def prove(kind: str, asked: argparse.Namespace) -> list[str]:
    """All rounds on one kind of database, printed; returns the breaks."""
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cambista-crash-"))
        url = stack.enter_context(database(kind, Path(name)))
        firm = prepare(url)
        if asked.layout == "one":
            desk = Installation(url, Path(name))
        else:
            desk = Installation(url, Path(name), webs=2, engines=2, REDIS_URL=stack.enter_context(redis_server()).url)
        proof = Proof(desk, firm, asked)
        try:
            print(f"{kind}: first start, ready after {desk.start():.2f} s", flush=True)
            for number in range(1, asked.times + 1):
                print(f"{kind} {number:2}: {proof.round(number)}", flush=True)
            print(f"{kind}: {proof.graceful()}", flush=True)
        finally:
            desk.kill()
        if proof.breaks:
            for process in desk.processes:
                print(f"the end of the log of {process.name}:\n{process.tail()}", file=sys.stderr)
    print(
        f"{kind}: {asked.times} kills and one SIGTERM ({dict(proof.killed)}); "
        f"ready again after at most {max(proof.ready):.2f} s, "
        f"median {statistics.median(proof.ready):.2f} s (processor time at most {max(proof.processor):.2f} s, median "
        f"{statistics.median(proof.processor):.2f} s); {proof.accepted} orders accepted, {proof.live} live and "
        f"{proof.unanswered} unanswered when the server went; ended {dict(sorted(proof.statuses.items()))}; "
        f"{len(proof.breaks)} breaks",
        flush=True,
    )
    for problem in proof.breaks[:50]:
        print(f"  {problem}", flush=True)
    return [f"{kind}: {problem}" for problem in proof.breaks]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layout", choices=("one", "many"), default="one", help="many: PostgreSQL, whatever is asked")
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ready-seconds", type=float, default=5, help="longest time from a start to /ready")
    parser.add_argument("--stop-seconds", type=float, default=5, help="longest time from SIGTERM to the exit")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    if asked.layout == "many":
        asked.database = "postgres"
    kinds = ("sqlite", "postgres") if asked.database == "both" else (asked.database,)
    breaks = [problem for kind in kinds for problem in prove(kind, asked)]
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())

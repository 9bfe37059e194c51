"""The figures: each runs ours and its references by turns and returns rows for the table."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.e2e.installation import Installation
from tests.e2e.server import ROOT, Server, fresh_postgres

from .sockets import Listener, Sender
from .surroundings import CONNECTIONS, HERE, PYTHON, BenchFailed, Ours, Reference, load, reference

MARKET = {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.001"}
RESTING = {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "qty": "0.001"}
ORDERS = "/api/v1/orders"


@dataclass(frozen=True)
class Row:
    """One line of the table. ``ratio`` is ours against the reference; ``higher`` says which way is better."""

    figure: str
    ratio: float | None
    floor: float | None
    goal: float | None
    absolute: str
    higher: bool = True
    unit: str = "×"

    @property
    def verdict(self) -> str:
        if self.ratio is None or self.floor is None or self.goal is None:
            return ""

        def reaches(limit: float) -> bool:
            assert self.ratio is not None
            return self.ratio >= limit if self.higher else self.ratio <= limit

        return "goal" if reaches(self.goal) else "floor" if reaches(self.floor) else "below"


@dataclass
class Bench:
    """What every figure is given; ``notes`` ends up in the document."""

    postgres: sa.URL
    folder: Path
    seconds: float
    rounds: int
    preload: int
    orders: int
    nautilus: bool
    notes: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    @contextmanager
    def pair(self) -> Iterator[tuple[Ours, Reference]]:
        """A fresh database of ours and one of the references."""
        with fresh_postgres(self.postgres) as url, reference(self.postgres, self.preload) as ref:
            yield Ours(url, self.folder), ref


def median(values: list[float]) -> float:
    return statistics.median(values)


def ratios(ours: list[float], theirs: list[float]) -> float:
    """The median of the rounds' own ratios: what was measured closest in time is compared."""
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def _cpu_seconds(ours: Installation) -> float:
    return sum(process.processor_seconds() for process in ours.processes)


def _ports(ours: Installation) -> list[int]:
    return [web.port for web in ours.webs]


FILLED = "SELECT count(*) FROM orders WHERE status = 'FILLED'"


def _fill_round(ours: Ours, running: Installation, seconds: float, tag: str, *, hot: bool = False) -> dict[str, float]:
    """Filled orders a second from the first byte sent to the last fill booked, after a warm-up."""
    load(_ports(running), ORDERS, ours.members(CONNECTIONS, MARKET, f"{tag}w", hot=hot), 1)
    ours.settle()
    before, cpu = ours.scalar(FILLED), _cpu_seconds(running)
    answered = load(_ports(running), ORDERS, ours.members(CONNECTIONS, MARKET, tag, hot=hot), seconds)
    end = ours.settle()
    count = ours.scalar(FILLED) - before
    if count != answered["count"]:
        raise BenchFailed(f"{answered['count']} orders were accepted and {count} filled")
    return {
        **answered,
        "rate": count / (end - answered["began_at"]),
        "cpu_ms": 1000 * (_cpu_seconds(running) - cpu) / count,
    }


def filled_postgres(bench: Bench) -> list[Row]:
    """HTTP in to booked fill, the tail of order entry, and dropped connections; two web processes and an engine."""
    mine, alone, limit, service, p99, their_p99, tails, cpu = [], [], [], [], [], [], [], []
    dropped = 0.0
    with bench.pair() as (ours, ref):
        for number in range(bench.rounds):
            with ours.running(many=True) as running:
                got = _fill_round(ours, running, bench.seconds, f"f{number}")
                ours.reconcile()
            with ours.running() as running:
                one = _fill_round(ours, running, bench.seconds, f"o{number}")
                ours.reconcile()
            dropped += got["dropped"] + one["dropped"]
            mine.append(got["rate"])
            alone.append(one["rate"])
            cpu.append(got["cpu_ms"])
            p99.append(got["p99"])
            tails.append(got["p99"] / got["p50"])
            limit.append(ref.pgbench(bench.seconds, bench.folder))
            with ref.service() as port:
                load([port], "/fill", ref.members(CONNECTIONS, MARKET, f"w{number}"), 1)
                other = load([port], "/fill", ref.members(CONNECTIONS, MARKET, f"f{number}"), bench.seconds)
            service.append(other["count"] / other["seconds"])
            their_p99.append(other["p99"])
            bench.say(
                f"filled/s {mine[-1]:.0f}, one process {alone[-1]:.0f}, pgbench {limit[-1]:.0f}, "
                f"asyncpg {service[-1]:.0f}"
            )
            bench.say(
                f"server CPU {cpu[-1]:.1f} ms an order, one process {one['cpu_ms']:.1f}; "
                f"p50 {1000 * got['p50']:.0f} p99 {1000 * got['p99']:.0f} ms"
            )
    rate = f"{median(mine):.0f}/s; server CPU {median(cpu):.1f} ms an order"
    return [
        Row(
            "filled orders/s, PostgreSQL, against pgbench's two commits",
            ratios(mine, limit),
            0.30,
            0.45,
            f"{rate}; pgbench {median(limit):.0f}/s; one process {median(alone):.0f}/s, {ratios(alone, limit):.2f} ×",
        ),
        Row(
            "… against FastAPI + asyncpg doing the same rows",
            ratios(mine, service),
            0.50,
            0.80,
            f"{median(mine):.0f}/s; asyncpg {median(service):.0f}/s; one process {ratios(alone, service):.2f} ×",
        ),
        Row("order entry p99 / p50", median(tails), 3, 2, f"p99 {1000 * median(p99):.0f} ms", higher=False),
        Row(
            "order entry p99 against the asyncpg service",
            ratios(p99, their_p99),
            1.5,
            1,
            f"{1000 * median(p99):.0f} ms; asyncpg {1000 * median(their_p99):.0f} ms",
            higher=False,
        ),
        Row("dropped connections", dropped, 0, 0, "all rounds", higher=False, unit=""),
    ]


def accepted_postgres(bench: Bench) -> list[Row]:
    """Resting limit orders far from the market: what order entry alone can take; two web processes and an engine."""
    mine, alone, service = [], [], []
    with bench.pair() as (ours, ref):
        for number in range(bench.rounds):
            mine.append(_accept_round(ours, bench.seconds, f"a{number}", many=True))
            alone.append(_accept_round(ours, bench.seconds, f"b{number}", many=False))
            with ref.service() as port:
                load([port], "/insert", ref.members(CONNECTIONS, MARKET, f"w{number}"), 1)
                other = load([port], "/insert", ref.members(CONNECTIONS, MARKET, f"a{number}"), bench.seconds)
            service.append(other["count"] / other["seconds"])
            bench.say(f"accepted/s {mine[-1]:.0f}, one process {alone[-1]:.0f}, asyncpg {service[-1]:.0f}")
    return [
        Row(
            "accepted orders/s, PostgreSQL, against FastAPI + asyncpg insert",
            ratios(mine, service),
            0.60,
            0.85,
            f"{median(mine):.0f}/s; asyncpg {median(service):.0f}/s; one process {median(alone):.0f}/s, "
            f"{ratios(alone, service):.2f} ×",
        )
    ]


def _accept_round(ours: Ours, seconds: float, tag: str, *, many: bool) -> float:
    with ours.running(many=many) as running:
        order = {**RESTING, "price": _far_price(ours)}
        load(_ports(running), ORDERS, ours.members(CONNECTIONS, order, f"{tag}w"), 1)
        ours.settle()
        got = load(_ports(running), ORDERS, ours.members(CONNECTIONS, order, tag), seconds)
        ours.settle()
        ours.reconcile()
        ours.cancel_resting()
    rate: float = got["count"] / got["seconds"]
    return rate


def _far_price(ours: Ours) -> str:
    """A bid that rests: a tenth below the market, on the tick."""
    caller = ours.server.caller(ours.firm.admin)
    bid = caller.get("/api/v1/market/quotes/BTC/USDT")["bid"]
    caller.close()
    return str(int(bid.split(".")[0]) * 9 // 10)


def hot_account(bench: Bench) -> list[Row]:
    """All connections trade one wallet."""
    mine, limit = [], []
    with bench.pair() as (ours, ref):
        for number in range(bench.rounds):
            with ours.running(many=True) as running:
                got = _fill_round(ours, running, bench.seconds, f"h{number}", hot=True)
                ours.reconcile()
            mine.append(got["rate"])
            limit.append(ref.pgbench(bench.seconds, bench.folder, wallets=1))
            bench.say(f"filled/s on one account {mine[-1]:.0f}, pgbench {limit[-1]:.0f}")
    return [
        Row(
            "one hot account, filled orders/s, against pgbench on one account",
            ratios(mine, limit),
            0.4,
            1.0,
            f"{median(mine):.0f}/s; pgbench {median(limit):.0f}/s",
        )
    ]


def filled_sqlite(bench: Bench) -> list[Row]:
    mine, limit = [], []
    with tempfile.TemporaryDirectory(prefix="cambista-bench-") as name:
        folder = Path(name)
        ours = Ours(f"sqlite:///{folder / 'bench.db'}", folder)
        for number in range(bench.rounds):
            with ours.running() as running:
                got = _fill_round(ours, running, bench.seconds, f"s{number}")
                ours.reconcile()
            mine.append(got["rate"])
            command = [
                str(PYTHON),
                str(HERE / "reference_sqlite.py"),
                str(folder / f"limit{number}.db"),
                str(bench.seconds),
            ]
            limit.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
            bench.say(f"SQLite filled/s {mine[-1]:.0f}, sqlite3 {limit[-1]:.0f}")
    return [
        Row(
            "filled orders/s, SQLite, against python sqlite3's limit",
            ratios(mine, limit),
            0.15,
            0.25,
            f"{median(mine):.0f}/s; sqlite3 {median(limit):.0f}/s",
        )
    ]


def idle_latency(bench: Bench) -> list[Row]:
    """One order at a time: POST to the FILLED event at the client, the venue's latency set to zero."""
    mine, theirs = [], []
    times = max(20, int(bench.seconds * 10))
    with bench.pair() as (ours, ref):
        for number in range(bench.rounds):
            with ours.running(many=True):
                mine.append(_idle_fills(ours.server, ours.firm.clients[0], f"i{number}", times))
                ours.settle()
            with ref.service() as port:
                theirs.append(_inline_fills(port, f"i{number}", times))
            bench.say(f"idle POST to FILLED {1000 * mine[-1]:.1f} ms, asyncpg inline {1000 * theirs[-1]:.1f} ms")
    return [
        Row(
            "idle POST to FILLED event, against asyncpg's inline fill",
            ratios(mine, theirs),
            5,
            3,
            f"{1000 * median(mine):.1f} ms; asyncpg {1000 * median(theirs):.1f} ms",
            higher=False,
        )
    ]


def _idle_fills(server: Server, key: str, tag: str, times: int) -> float:
    sender, listener = Sender(server.port, key), Listener(server.port, key)
    taken = []
    for number in range(times + 5):
        name = f"{tag}-{number}"
        began = time.perf_counter()
        sender.send(ORDERS, {**MARKET, "client_order_id": name})
        taken.append(listener.wait("order.filled", ("client_order_id", name)) - began)
        sender.answer(201)
        time.sleep(0.02)
    sender.close()
    listener.close()
    return median(taken[5:])


def _inline_fills(port: int, tag: str, times: int) -> float:
    sender, taken = Sender(port), []
    for number in range(times + 5):
        began = time.perf_counter()
        sender.post("/fill", {**MARKET, "wallet": 1, "client_order_id": f"{tag}-{number}"})
        taken.append(time.perf_counter() - began)
        time.sleep(0.02)
    sender.close()
    return median(taken[5:])


def queued_cancel(bench: Bench) -> list[Row]:
    """A cancel while 200 orders wait for the engine, against one while nothing does; to the CANCELED event."""
    queued, idle, answers = [], [], []
    with fresh_postgres(bench.postgres) as url:
        ours = Ours(url, bench.folder)
        with ours.running(many=True):
            price = _far_price(ours)
            for number in range(max(5, bench.rounds * 3)):
                idle.append(_cancel(ours, price, f"ci{number}", 0)[0])
                ours.settle()
                heard, answered = _cancel(ours, price, f"cq{number}", 200)
                queued.append(heard)
                answers.append(answered)
                ours.settle()
            ours.reconcile()
    bench.say(
        f"cancel idle {1000 * median(idle):.1f} ms, queued {1000 * median(queued):.1f} ms "
        f"(its answer after {1000 * median(answers):.1f} ms)"
    )
    return [
        Row(
            "cancel with 200 orders queued, against an idle cancel",
            median(queued) / median(idle),
            5,
            2,
            f"{1000 * median(queued):.1f} ms; idle {1000 * median(idle):.1f} ms",
            higher=False,
        )
    ]


def _cancel(ours: Ours, price: str, tag: str, queue: int) -> tuple[float, float]:
    """Seconds from the cancel's first byte to its event and to its answer, with ``queue`` orders just stored."""
    key, server = ours.firm.clients[0], ours.server
    sender, listener = Sender(server.port, key), Listener(server.port, key)
    order = sender.post(ORDERS, {**RESTING, "price": price, "client_order_id": tag})
    listener.wait("order.open", ("id", order["id"]))
    others = [Sender(server.port, other) for other in ours.firm.clients[1 : 1 + queue // 100]]
    for index, other in enumerate(others):
        batch = [{**MARKET, "client_order_id": f"{tag}-{index}-{n}"} for n in range(100)]
        other.send("/api/v1/orders/batch", {"orders": batch})
    for other in others:
        other.answer(201)
        other.close()
    began = time.perf_counter()
    sender.send(f"{ORDERS}/{order['id']}/cancel", {})
    sender.answer(200)
    answered = time.perf_counter() - began
    heard = listener.wait("order.canceled", ("id", order["id"])) - began
    sender.close()
    listener.close()
    return heard, answered


def memory(bench: Bench) -> list[Row]:
    """Resident size of an idle server, and what orders leave behind."""
    with fresh_postgres(bench.postgres) as url:
        ours = Ours(url, bench.folder)
        with ours.running() as running:
            time.sleep(2)
            idle = ours.rss() / 2**20
            load(_ports(running), ORDERS, ours.members(CONNECTIONS, MARKET, "mw"), 600, most=500)
            ours.settle()
            began, warm = time.monotonic(), ours.rss() / 2**20
            got = load(_ports(running), ORDERS, ours.members(CONNECTIONS, MARKET, "m"), 900, most=bench.orders)
            ours.settle()
            after = ours.rss() / 2**20
            seconds = time.monotonic() - began
            ours.reconcile()
    bench.say(
        f"idle {idle:.0f} MB, warm {warm:.0f} MB, after {got['count']} more orders {after:.0f} MB ({seconds:.0f} s)"
    )
    return [
        Row("memory: idle server", idle, 200, 150, "resident", higher=False, unit=" MB"),
        Row(
            f"memory: after {got['count']:,} orders (the floor is for 100,000)",
            after - idle,
            50,
            10,
            f"{idle:.0f} MB idle, {warm:.0f} MB after the first 500 orders, {after:.0f} MB then",
            higher=False,
            unit=" MB",
        ),
    ]


def triggers(bench: Bench) -> list[Row]:
    """Ticks a second with 10,000 levels armed on 100 instruments, and the cost of a tick by what is armed."""
    armed, ticks = 10_000, 20_000 if bench.rounds < 3 else 50_000
    speed: dict[str, list[float]] = {"book": [], "engine": [], "naive": [], "nautilus": []}
    for _ in range(bench.rounds):
        for name in speed:
            if name == "nautilus" and not bench.nautilus:
                continue
            answer = _contest(name, armed, ticks)
            if not answer["right"]:
                raise BenchFailed(f"{name}: the levels that fired are not those of the brute-force scan")
            speed[name].append(answer["ticks_per_second"])
    bench.say(
        ", ".join(f"{name} {median(values):,.0f} ticks/s" for name, values in speed.items() if values)
        + f"; {answer['fired']} fired, all as the brute-force scan has them"
    )
    rows = []
    if bench.nautilus:
        theirs = f"OrderEmulator {median(speed['nautilus']):,.0f}/s"
        for figure, name in (
            ("triggers: frame to queued exit, 10,000 armed, ticks/s against OrderEmulator", "book"),
            ("… the same through the engine's quote book and monitor", "engine"),
        ):
            rows.append(
                Row(figure, ratios(speed[name], speed["nautilus"]), 3, 8, f"{median(speed[name]):,.0f}/s; {theirs}")
            )
    else:
        bench.notes.append("NautilusTrader could not be installed: its OrderEmulator was not measured.")
    rows.append(
        Row(
            "… the trigger book against a naive scan",
            ratios(speed["book"], speed["naive"]),
            None,
            None,
            f"naive {median(speed['naive']):,.0f}/s",
        )
    )
    cost = {
        n: min([1e6 / _contest("book", n, ticks, 3000)["ticks_per_second"] for _ in range(max(3, bench.rounds))])
        for n in (100, 1_000, 10_000, 100_000)
    }
    bench.say("µs a tick by armed levels: " + ", ".join(f"{n:,}: {value:.1f}" for n, value in cost.items()))
    rows.append(
        Row(
            "cost of a tick, 100,000 armed against 100",
            cost[100_000] / cost[100],
            1.3,
            1.1,
            ", ".join(f"{n:,}: {value:.1f} µs" for n, value in cost.items()),
            higher=False,
        )
    )
    return rows


def _contest(name: str, armed: int, ticks: int, nearest: int = 20) -> dict[str, Any]:
    if name == "nautilus":
        command = [str(PYTHON), str(HERE / "reference_nautilus.py"), str(armed), str(ticks)]
    else:
        command = [sys.executable, "-m", "scripts.benchmarks.triggers", name, str(armed), str(ticks), str(nearest)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise BenchFailed(f"{name}: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


FIGURES: dict[str, Callable[[Bench], list[Row]]] = {
    "filled": filled_postgres,
    "accepted": accepted_postgres,
    "sqlite": filled_sqlite,
    "idle": idle_latency,
    "cancel": queued_cancel,
    "hot": hot_account,
    "triggers": triggers,
    "memory": memory,
}

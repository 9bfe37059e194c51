"""The table, on the terminal and in docs/benchmarks.md: ratios first, what was measured in brackets."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tests.e2e.server import ROOT

from .figures import Bench, Row
from .surroundings import CONNECTIONS, postgres_binary, reference_versions

DOCUMENT = ROOT / "docs" / "benchmarks.md"


def _number(row: Row, value: float | None) -> str:
    if value is None:
        return "–"
    if row.unit == "":
        return f"{value:.0f}"
    return f"{value:.0f}{row.unit}" if row.unit != "×" else f"{value:.2f} ×"


def table(rows: list[Row]) -> str:
    lines = ["| figure | measured | floor | goal | reached | (absolute) |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.figure} | {_number(row, row.ratio)} | {_number(row, row.floor)} | {_number(row, row.goal)} "
        f"| {row.verdict} | ({row.absolute}) |"
        for row in rows
    ]
    return "\n".join(lines)


def write(
    path: Path | None, rows: list[Row], bench: Bench, failed: list[str], taken: float, load: float, arguments: list[str]
) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in reference_versions().items())
    postgres = subprocess.run([postgres_binary("postgres"), "--version"], capture_output=True, text=True, check=True)
    notes = "".join(f"- {note}\n" for note in bench.notes)
    broken = "".join(f"- not measured: {line}\n" for line in failed)
    text = f"""# Benchmarks

Written by `scripts/bench {" ".join(arguments)}`.

- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({_processor()})
- load average {load:.1f} when it began; it took {taken / 60:.0f} minutes
- {postgres.stdout.strip()}, with its own defaults (fsync and synchronous_commit on)
- {versions}
- {bench.rounds} rounds of {bench.seconds:g} s, ours and the references by turns; a ratio is the rounds' median ratio

{table(rows)}

"goal" and "floor" say which of the two was reached, "below" that neither was. Where lower is better (tails,
latencies, memory, dropped connections) they are upper limits.

{notes}{broken}
## How it is measured

Absolute figures mean nothing from one machine to the next; ratios do, as long as nothing else runs. On a busy machine
they are too low: pgbench has a process for each connection and gets more of the processors.

- **Load**: one process of bare asyncio sockets, HTTP/1.1 keep-alive, {CONNECTIONS} connections in a closed loop, the
  same for both sides. Everything over loopback. A second of warm-up before each measured round.
- **Ours**: two web processes, an engine of its own and Redis, as in production; *one process* beside it is `run.py`
  alone. Started anew for each round, as they ship, with the simulated feed, the venue's latency 0, key
  authentication, permissions, rate limits (raised, not off), risk checks, ledger, FIX messages, events, relay and
  request log. Each connection is its own client with its own wallet. A round counts from the first byte sent until the
  last fill is booked; every accepted order must be filled, and `/api/v1/admin/reconcile` must be clean after it,
  without a parked fault.
- **pgbench**: prepared statements on the same PostgreSQL, preloaded with {bench.preload:,} orders: the commit of an
  order (two balances, order, journal entry with two postings, event) and that of its fill (order, three balances,
  entry with six postings, execution, position, event), without foreign keys, checks or rules. We write more for the
  same order: an event for every commit, three FIX messages, and constraints that prove every entry balanced.
- **FastAPI + asyncpg**: the same two commits in one file, uvicorn with uvloop and httptools, one process, as ours.
- **sqlite3**: the same two commits from one loop, WAL and synchronous FULL.
- **Idle POST to FILLED**: one order at a time, from the request's first byte to `order.filled` at a websocket.
- **Cancel**: from the request's first byte to the `order.canceled` event, right after two batches of 100 market orders
  of other clients were stored.
- **Triggers**: JSON frames with prices as text; ours by orjson and Decimal, NautilusTrader by msgspec and its Price,
  its emulator called without its data engine. What fires goes into a queue; each set of fired levels, with the tick at
  which each fired, equals a brute-force scan's. Processor time, not wall time.

## Below the floor, and why

Tried: a statement a table instead of one a row, one event an order and commit, named tuples for rows, FIX read
without a parser, keys and wallets remembered on the way in, no pings (decision 14). Accepted orders doubled by it,
filled ones gained a third. What an order of a crowd still costs: about 1.1 ms of processor time in the group's
transaction, 3.1 in the engine, 0.5 in the relay, the rest in HTTP: Flask's dispatch, the limits, the request log. On
two cores the server, PostgreSQL and the load share what there is, so processor time is the rate. A lone order pays
the engine's statements alone, in two commits one after the other, which is the idle latency. Next: events of the
engine numbered as they are inserted, send and book of a lone order in one round, cancels looked at between two
small bookings, the two windows of the limits in one.
"""
    (path or DOCUMENT).write_text(text)
    print(f"written to {path or DOCUMENT}")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.split(":", 1)[1].split())
    return "unknown"

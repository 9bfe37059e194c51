"""python sqlite3's own limit for an order and its fill: two commits, WAL, synchronous FULL, one writer.

Usage: reference_sqlite.py FILE SECONDS; prints filled orders a second.
"""

from __future__ import annotations

import sqlite3
import sys
import time
import uuid

SCHEMA = """
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance TEXT NOT NULL, version INTEGER NOT NULL);
CREATE TABLE positions (id INTEGER PRIMARY KEY, qty TEXT NOT NULL, cost TEXT NOT NULL, version INTEGER NOT NULL,
    updated_at TEXT);
CREATE TABLE orders (id TEXT PRIMARY KEY, client_order_id TEXT, wallet_id INTEGER, instrument_id INTEGER, side TEXT,
    type TEXT, qty TEXT, price TEXT, status TEXT, version INTEGER, cum_qty TEXT, avg_px TEXT, held TEXT, fees TEXT,
    created_at TEXT, closed_at TEXT, UNIQUE (wallet_id, client_order_id));
CREATE TABLE entries (id INTEGER PRIMARY KEY, kind TEXT, external_ref TEXT, posted_at TEXT);
CREATE TABLE postings (id INTEGER PRIMARY KEY, entry_id INTEGER, account_id INTEGER, currency TEXT, amount TEXT,
    posted_at TEXT);
CREATE INDEX postings_account ON postings (account_id, posted_at);
CREATE TABLE executions (id INTEGER PRIMARY KEY, order_id TEXT, position_id INTEGER, trade_id TEXT UNIQUE, qty TEXT,
    price TEXT, fee TEXT, at TEXT);
CREATE INDEX executions_order ON executions (order_id);
CREATE TABLE events (id INTEGER PRIMARY KEY, stream INTEGER, type TEXT, payload TEXT, at TEXT);
"""
POSTING = "INSERT INTO postings (entry_id, account_id, currency, amount, posted_at) VALUES (?, ?, ?, ?, ?)"
ENTRY = "INSERT INTO entries (kind, external_ref, posted_at) VALUES (?, ?, ?)"
EVENT = "INSERT INTO events (stream, type, payload, at) VALUES (?, ?, ?, ?)"
ACCOUNT = "UPDATE accounts SET balance = ?, version = version + 1 WHERE id = ?"
PAYLOAD, AT = "x" * 600, "2026-01-01T00:00:00.000000Z"


def entry(db: sqlite3.Connection, order_id: str, number: int, wallet: int) -> None:
    available, held = 3 * wallet - 2, 3 * wallet - 1
    db.execute("BEGIN IMMEDIATE")
    db.execute(ACCOUNT, ("999934.900000000000000000", available))
    db.execute(ACCOUNT, ("65.100000000000000000", held))
    db.execute(
        "INSERT INTO orders VALUES"
        " (?, ?, ?, 1, 'BUY', 'MARKET', '0.001', NULL, 'NEW', 1, '0', NULL, '65.1', '0', ?, NULL)",
        (order_id, f"c-{number}", wallet, AT),
    )
    hold = db.execute(ENTRY, ("hold", f"hold:{order_id}", AT)).lastrowid
    db.executemany(POSTING, [(hold, available, "USDT", "-65.1", AT), (hold, held, "USDT", "65.1", AT)])
    db.execute(EVENT, (wallet, "order.new", PAYLOAD, AT))
    db.execute("COMMIT")


def booking(db: sqlite3.Connection, order_id: str, wallet: int) -> None:
    available, held, base = 3 * wallet - 2, 3 * wallet - 1, 3 * wallet
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        "UPDATE orders SET status = 'FILLED', version = 5, cum_qty = qty, avg_px = '65000', held = '0', fees = '0.065',"
        " closed_at = ? WHERE id = ?",
        (AT, order_id),
    )
    for account in (held, available, base):
        db.execute(ACCOUNT, ("999934.935000000000000000", account))
    trade = db.execute(ENTRY, ("trade", f"trade:{order_id}", AT)).lastrowid
    lines = ((held, "-65.1"), (available, "0.035"), (1001, "-0.001"), (1002, "65"), (1003, "0.065"), (base, "0.001"))
    db.executemany(POSTING, [(trade, account, "USDT", amount, AT) for account, amount in lines])
    db.execute(
        "INSERT INTO executions (order_id, position_id, trade_id, qty, price, fee, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (order_id, wallet, f"{order_id}.1", "0.001", "65000", "0.065", AT),
    )
    db.execute(
        "UPDATE positions SET qty = ?, cost = ?, version = version + 1, updated_at = ? WHERE id = ?",
        ("1.000000000000000000", "65000.000000000000000000", AT, wallet),
    )
    db.execute(EVENT, (wallet, "order.filled", PAYLOAD, AT))
    db.execute("COMMIT")


def main() -> None:
    path, seconds = sys.argv[1], float(sys.argv[2])
    db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.executescript(SCHEMA)
    db.executemany("INSERT INTO accounts VALUES (?, '1000000', 0)", [(n,) for n in range(1, 97)])
    db.executemany("INSERT INTO positions VALUES (?, '0', '0', 0, NULL)", [(n,) for n in range(1, 33)])
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        order_id, wallet = str(uuid.uuid4()), count % 32 + 1
        entry(db, order_id, count, wallet)
        booking(db, order_id, wallet)
        count += 1
    print(count / (time.perf_counter() - began))


if __name__ == "__main__":
    main()

"""What a rival would write in one file: FastAPI and asyncpg, the same rows as an order and its fill, no rules.

Started by the bench in its own environment with DATABASE_DSN set.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI
from pydantic import BaseModel

HELD, FREED, VALUE, FEE, PRICE = (Decimal(text) for text in ("65.1", "0.035", "65", "0.065", "65000"))
EVENT = "x" * 600
pool: asyncpg.Pool


@asynccontextmanager
async def life(_app: FastAPI) -> AsyncIterator[None]:
    global pool
    pool = await asyncpg.create_pool(os.environ["DATABASE_DSN"], min_size=32, max_size=32)
    yield
    await pool.close()


app = FastAPI(lifespan=life)


class OrderIn(BaseModel):
    client_order_id: str
    wallet: int
    symbol: str
    side: str
    type: str
    qty: Decimal
    price: Decimal | None = None


async def _store(connection: asyncpg.Connection, order: OrderIn) -> UUID:
    available, held = 3 * order.wallet - 2, 3 * order.wallet - 1
    async with connection.transaction():
        await connection.execute(
            "UPDATE accounts SET balance = balance - $1, version = version + 1 WHERE id = $2", HELD, available
        )
        await connection.execute(
            "UPDATE accounts SET balance = balance + $1, version = version + 1 WHERE id = $2", HELD, held
        )
        order_id: UUID = await connection.fetchval(
            "INSERT INTO orders (client_order_id, wallet_id, instrument_id, side, type, qty, price, status, version,"
            " cum_qty, held, fees, created_at) VALUES ($1, $2, 1, $3, $4, $5, $6, 'NEW', 1, 0, $7, 0, now())"
            " RETURNING id",
            order.client_order_id,
            order.wallet,
            order.side,
            order.type,
            order.qty,
            order.price,
            HELD,
        )
        entry = await connection.fetchval(
            "INSERT INTO entries (kind, external_ref, posted_at) VALUES ('hold', $1, now()) RETURNING id",
            f"hold:{order_id}",
        )
        await connection.execute(
            "INSERT INTO postings (entry_id, account_id, currency, amount, posted_at)"
            " VALUES ($1, $2, 'USDT', -$4::numeric, now()), ($1, $3, 'USDT', $4, now())",
            entry,
            available,
            held,
            HELD,
        )
        await connection.execute(
            "INSERT INTO events (stream, type, payload, at) VALUES ($1, 'order.new', $2, now())", order.wallet, EVENT
        )
    return order_id


async def _book(connection: asyncpg.Connection, order: OrderIn, order_id: UUID) -> None:
    available, held, base = 3 * order.wallet - 2, 3 * order.wallet - 1, 3 * order.wallet
    move = "UPDATE accounts SET balance = balance + $1, version = version + 1 WHERE id = $2"
    async with connection.transaction():
        await connection.execute(
            "UPDATE orders SET status = 'FILLED', version = 5, cum_qty = qty, avg_px = $2, held = 0, fees = $3,"
            " closed_at = now() WHERE id = $1",
            order_id,
            PRICE,
            FEE,
        )
        await connection.execute(move, FREED, available)
        await connection.execute(move, -HELD, held)
        await connection.execute(move, order.qty, base)
        entry = await connection.fetchval(
            "INSERT INTO entries (kind, external_ref, posted_at) VALUES ('trade', $1, now()) RETURNING id",
            f"trade:{order_id}",
        )
        await connection.execute(
            "INSERT INTO postings (entry_id, account_id, currency, amount, posted_at) VALUES"
            " ($1, $2, 'USDT', $5, now()), ($1, $3, 'USDT', $6, now()), ($1, 1001, 'BTC', -$7::numeric, now()),"
            " ($1, 1002, 'USDT', $8, now()), ($1, 1003, 'USDT', $9, now()), ($1, $4, 'BTC', $7, now())",
            entry,
            held,
            available,
            base,
            -HELD,
            FREED,
            order.qty,
            VALUE,
            FEE,
        )
        await connection.execute(
            "INSERT INTO executions (order_id, position_id, trade_id, qty, price, fee, at)"
            " VALUES ($1, $2, $3, $4, $5, $6, now())",
            order_id,
            order.wallet,
            f"{order_id}.1",
            order.qty,
            PRICE,
            FEE,
        )
        await connection.execute(
            "UPDATE positions SET qty = qty + $1, cost = cost + $2, version = version + 1, updated_at = now()"
            " WHERE id = $3",
            order.qty,
            VALUE,
            order.wallet,
        )
        await connection.execute(
            "INSERT INTO events (stream, type, payload, at) VALUES ($1, 'order.filled', $2, now())", order.wallet, EVENT
        )


@app.post("/insert", status_code=201)
async def insert(order: OrderIn) -> dict[str, Any]:
    async with pool.acquire() as connection:
        order_id = await _store(connection, order)
    return {"id": str(order_id), "status": "NEW", **order.model_dump(mode="json")}


@app.post("/fill", status_code=201)
async def fill(order: OrderIn) -> dict[str, Any]:
    """Two commits, as the order and its fill are two facts."""
    async with pool.acquire() as connection:
        order_id = await _store(connection, order)
        await _book(connection, order, order_id)
    return {"id": str(order_id), "status": "FILLED", **order.model_dump(mode="json")}

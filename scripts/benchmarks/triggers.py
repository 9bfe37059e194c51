"""Ours for the trigger figures: frame, exact decimals, trigger book, queue of exits; and a naive scan.

Run as a process of its own: python -m scripts.benchmarks.triggers MODE ARMED TICKS; prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from app.core.clock import SystemClock
from app.domain.calendars import Calendar
from app.domain.instruments import Instrument, InstrumentStatus, Market, SymbolTable
from app.domain.positions import PositionState, PositionStatus
from app.domain.quotes import Quote
from app.domain.triggers import Levels, TriggerBook, to_units
from app.engine.levels import ArmedLevels
from app.services.quotes import QuoteBook

from . import scenario

Fired = list[tuple[str, int]]


def book(given: scenario.Scenario) -> tuple[float, Fired]:
    """The trigger book alone: frame -> Decimal -> units -> fired -> exit queued."""
    books = {symbol: TriggerBook() for symbol in given.symbols}
    for key, symbol, stop in given.stops:
        books[symbol].arm(Levels(key, stop=to_units(scenario.cents(stop))))
    exits: deque[tuple[int, Any]] = deque()
    began = time.process_time()
    for number, frame in enumerate(given.frames):
        said = orjson.loads(frame)
        bid = Decimal(said["b"])
        Decimal(said["a"])
        fired, _ = books[said["s"]].on_price(to_units(bid))
        for item in fired:
            exits.append((number, item))
    seconds = time.process_time() - began
    return seconds, [(str(item.key), number) for number, item in exits]


def engine(given: scenario.Scenario) -> tuple[float, Fired]:
    """The engine's own way: a checked quote in the quote book, then the armed levels."""
    table = SymbolTable(_instrument(number, symbol) for number, symbol in enumerate(given.symbols, 1))
    quotes = QuoteBook(SystemClock(), table)
    levels = ArmedLevels(table)
    ids = {instrument.symbol: instrument.id for instrument in table}
    for key, symbol, stop in given.stops:
        levels.arm(_position(key, ids[symbol], scenario.cents(stop)))
    exits: deque[tuple[int, Any]] = deque()
    began = time.process_time()
    for number, frame in enumerate(given.frames):
        said = orjson.loads(frame)
        at = datetime.now(UTC)
        quote = quotes.put(Quote(said["s"], Decimal(said["b"]), Decimal(said["a"]), None, at, at, "bench"))
        fired, _ = levels.on_quote(quote)
        for key, item in fired:
            exits.append((number, (key, item)))
    seconds = time.process_time() - began
    return seconds, [(key, number) for number, (key, _) in exits]


def naive(given: scenario.Scenario) -> tuple[float, Fired]:
    """What one writes first: every armed level of the instrument compared as Decimal at each tick."""
    live: dict[str, list[tuple[str, Decimal]]] = {symbol: [] for symbol in given.symbols}
    for key, symbol, stop in given.stops:
        live[symbol].append((key, scenario.cents(stop)))
    exits: deque[tuple[int, str]] = deque()
    began = time.process_time()
    for number, frame in enumerate(given.frames):
        said = orjson.loads(frame)
        bid = Decimal(said["b"])
        Decimal(said["a"])
        reached = [key for key, stop in live[said["s"]] if bid <= stop]
        if reached:
            live[said["s"]] = [item for item in live[said["s"]] if bid > item[1]]
            exits.extend((number, key) for key in reached)
    seconds = time.process_time() - began
    return seconds, [(key, number) for number, key in exits]


def _instrument(number: int, symbol: str) -> Instrument:
    cent = Decimal("0.01")
    return Instrument(
        number,
        symbol,
        symbol,
        Market.CRYPTO,
        symbol[:4],
        "USD",
        8,
        2,
        cent,
        cent,
        cent,
        Decimal(10**9),
        cent,
        Decimal("0.2"),
        Calendar.ALWAYS,
        InstrumentStatus.TRADING,
        timedelta(seconds=15),
    )


def _position(key: str, instrument_id: int, stop: Decimal) -> PositionState:
    now = datetime.now(UTC)
    return PositionState(
        id=key,
        client_id="c",
        wallet_id="w",
        instrument_id=instrument_id,
        status=PositionStatus.OPEN,
        qty=Decimal(1),
        avg_entry_px=Decimal(100),
        stop_loss_px=stop,
        entry_order_id="o",
        entry_mark_px=None,
        opened_at=now,
        updated_at=now,
    )


def main() -> None:
    mode, armed, ticks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    nearest = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    given = scenario.build(armed, ticks, nearest=nearest)
    seconds, fired = {"book": book, "engine": engine, "naive": naive}[mode](given)
    wanted = scenario.brute_force(given) if armed * ticks <= 10**9 else None
    print(
        json.dumps(
            {
                "ticks_per_second": ticks / seconds,
                "fired": len(fired),
                "right": wanted is None or (set(fired) == wanted and len(fired) == len(wanted)),
            }
        )
    )


if __name__ == "__main__":
    main()

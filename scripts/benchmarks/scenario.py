"""Frames and armed levels for the trigger figures, the same for every contestant. Standard library only."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal

START_CENTS = 10_000


@dataclass(frozen=True)
class Scenario:
    """``stops``: key, symbol, stop in cents; ``frames``: JSON as a feed sends it; ``ticks``: symbol, bid in cents."""

    symbols: list[str]
    stops: list[tuple[str, str, int]]
    frames: list[bytes]
    ticks: list[tuple[str, int]]


def build(armed: int, ticks: int, instruments: int = 100, seed: int = 1, nearest: int = 20) -> Scenario:
    """Long positions with a stop each; a walk in steps of up to 12 cents that reaches the nearer ones.

    ``nearest`` is the least distance in cents at the start: large where nothing shall fire.
    """
    chance = random.Random(seed)
    symbols = [f"I{number:03}/USD" for number in range(instruments)]
    stops = [
        (f"p{number}", symbols[number % instruments], START_CENTS - chance.randint(nearest, nearest + 2_000))
        for number in range(armed)
    ]
    bids = dict.fromkeys(symbols, START_CENTS)
    walk = []
    for number in range(ticks):
        symbol = symbols[number % instruments]
        bids[symbol] += chance.randint(-12, 12)
        walk.append((symbol, bids[symbol]))
    frames = [
        f'{{"e":"quote","s":"{symbol}","b":"{cents(bid)}","a":"{cents(bid + 2)}","t":{number}}}'.encode()
        for number, (symbol, bid) in enumerate(walk)
    ]
    return Scenario(symbols, stops, frames, walk)


def cents(value: int) -> Decimal:
    return Decimal(value) / 100 + Decimal("0.00")


def brute_force(scenario: Scenario) -> set[tuple[str, int]]:
    """Key and number of the tick of every stop that is reached, by looking at each against each tick."""
    live: dict[str, list[tuple[str, int]]] = {symbol: [] for symbol in scenario.symbols}
    for key, symbol, stop in scenario.stops:
        live[symbol].append((key, stop))
    fired = set()
    for number, (symbol, bid) in enumerate(scenario.ticks):
        fired |= {(key, number) for key, stop in live[symbol] if bid <= stop}
        live[symbol] = [(key, stop) for key, stop in live[symbol] if bid > stop]
    return fired

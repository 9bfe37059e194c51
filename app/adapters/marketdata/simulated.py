"""The simulated market: one seeded random walk per instrument, the same for the same seed."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from app.core.clock import Clock
from app.domain.calendars import is_open
from app.domain.instruments import Instrument
from app.domain.quotes import Quote, check_quote

from .base import FeedState, Sink, Sleep, offer

# Pull towards the anchor, one part in so many per step: at two steps a second the walk forgets where it
# was after some five hours, which holds it within about 150 steps' worth of movement for days.
REVERSION_STEPS: Final = 40_000
STEPS_A_MINUTE: Final = 120


@dataclass(frozen=True, slots=True)
class Profile:
    """``start`` is the first mid; ``half_spread`` and ``move`` (largest half of a step) are in ticks.

    ``lots`` is what is traded in a minute, in lots of the instrument.
    """

    start: Decimal
    half_spread: int
    move: int
    lots: int


# Half a second's move is about 1/10,000 of the price's yearly volatility for each market.
PROFILES: Final[Mapping[str, Profile]] = {
    "BTC/USDT": Profile(Decimal("67250.00"), 50, 500, 800_000),
    "ETH/USDT": Profile(Decimal("3450.00"), 10, 30, 900_000),
    "SOL/USDT": Profile(Decimal("148.50"), 1, 2, 90_000),
    "EUR/USD": Profile(Decimal("1.08500"), 4, 1, 400_000),
    "GBP/USD": Profile(Decimal("1.27000"), 5, 1, 250_000),
    "USD/JPY": Profile(Decimal("151.500"), 5, 2, 400_000),
    "USD/PEN": Profile(Decimal("3.7450"), 15, 1, 30_000),
    "XAU/USD": Profile(Decimal("1985.00"), 10, 4, 60_000),
    "AAPL": Profile(Decimal("189.50"), 1, 1, 9_000),
    "TSLA": Profile(Decimal("248.00"), 2, 2, 12_000),
}


class _Walk:
    """The mid of one instrument in whole ticks, so that nothing is ever rounded on the way."""

    def __init__(self, instrument: Instrument, profile: Profile, seed: int) -> None:
        self.instrument = instrument
        self._half_spread = profile.half_spread
        self._move = profile.move
        # a generator of its own: what the others do or whether they are subscribed changes nothing here
        self._random = random.Random(f"{seed}:{instrument.symbol}")
        self._lots = profile.lots
        self._turnover = random.Random(f"{seed}:{instrument.symbol}:volume")
        self.place(profile.start)
        self._started = False

    def place(self, mid: Decimal) -> None:
        """Continue from ``mid``, to the nearest tick."""
        ticks = int((mid / self.instrument.tick_size).to_integral_value(rounding=ROUND_HALF_EVEN))
        self.level = self.anchor = max(ticks, self._half_spread + 1)
        self._started = True

    def advance(self) -> None:
        if not self._started:  # the first quote is the starting price itself
            self._started = True
            return
        distance = self.anchor - self.level
        pull = (abs(distance) + self._random.randrange(REVERSION_STEPS)) // REVERSION_STEPS
        step = self._random.randint(-self._move, self._move) + self._random.randint(-self._move, self._move)
        self.level = max(self.level + step + (pull if distance > 0 else -pull), self._half_spread + 1)

    def quote(self, now: datetime, source: str) -> Quote:
        tick = self.instrument.tick_size
        bid, ask = (self.level - self._half_spread) * tick, (self.level + self._half_spread) * tick
        last = bid if self._random.random() < 0.5 else ask
        most = 2 * self._lots * 2 // STEPS_A_MINUTE  # half of the steps trade nothing
        traded = self._turnover.randrange(most + 1) if self._turnover.random() < 0.5 else 0
        volume = traded * self.instrument.lot_size
        return Quote(self.instrument.symbol, bid, ask, last, now, now, source, volume=volume)


class SimulatedFeed:
    """Quotes every subscribed instrument (at first all) each ``interval / speed`` seconds.

    ``start_prices`` replaces the table's starting mids. With ``sessions`` an instrument whose market is
    closed gets no quotes; a demonstration wants prices at any hour, so that is off unless asked for.
    Raises ValueError for an instrument without a starting price.
    """

    lossless = False

    def __init__(
        self,
        instruments: Iterable[Instrument],
        clock: Clock,
        sleep: Sleep,
        *,
        seed: int = 1,
        interval: float = 0.5,
        speed: float = 1.0,
        start_prices: Mapping[str, Decimal] | None = None,
        sessions: bool = False,
        name: str = "simulated",
    ) -> None:
        self.name = name
        self._clock = clock
        self._sleep = sleep
        self._interval = interval
        self._sessions = sessions
        self._lock = threading.Lock()
        self._walks = {i.symbol: _Walk(i, _profile(i, start_prices or {}), seed) for i in instruments}
        self._subscribed = set(self._walks)
        self._state = FeedState.STOPPED
        self._stop = threading.Event()
        self._sink: Sink | None = None
        self._steps = 0
        self.set_speed(speed)

    def set_speed(self, speed: float) -> None:
        """Raise ValueError unless positive."""
        if not speed > 0:
            raise ValueError("the speed must be positive")
        self._speed = speed

    def step(self, now: datetime) -> list[Quote]:
        """Move every walk once and quote it; the n-th call depends on the seed and nothing else."""
        with self._lock:
            self._steps += 1
            quotes = []
            for symbol, walk in self._walks.items():
                if symbol not in self._subscribed:
                    continue
                if self._sessions and not is_open(walk.instrument.calendar, now):
                    continue
                walk.advance()
                quotes.append(walk.quote(now, self.name))
            return quotes

    def resume(self, prices: Mapping[str, Decimal]) -> None:
        """Go on from these mids: another process has moved the market meanwhile."""
        with self._lock:
            for symbol, mid in prices.items():
                if symbol in self._walks:
                    self._walks[symbol].place(mid)

    def push(self, symbol: str, bid: Decimal, ask: Decimal, last: Decimal | None = None) -> Quote:
        """Set a price by hand: delivered as given, and the walk goes on from its mid.

        Raises ``BadQuote`` for a price nobody may use, KeyError for an instrument this feed does not carry.
        """
        now = self._clock.now()
        quote = Quote(symbol, bid, ask, last, now, now, self.name, by_hand=True)
        check_quote(quote, None, None)
        with self._lock:
            self._walks[symbol].place(quote.mid)
        sink = self._sink
        if sink is not None:
            offer(sink, quote)
        return quote

    def start(self, sink: Sink) -> None:
        self._sink = sink
        self._state = FeedState.LIVE
        try:
            while not self._stop.is_set():
                for quote in self.step(self._clock.now()):
                    offer(sink, quote)
                self._sleep(self._interval / self._speed)
        finally:
            self._sink = None
            self._stop.clear()
            self._state = FeedState.STOPPED

    def stop(self) -> None:
        self._stop.set()

    def subscribe(self, symbols: Iterable[str]) -> None:
        with self._lock:
            self._subscribed |= set(symbols) & set(self._walks)

    def unsubscribe(self, symbols: Iterable[str]) -> None:
        with self._lock:
            self._subscribed -= set(symbols)

    def status(self) -> dict[str, Any]:
        return {
            "state": self._state,
            "speed": self._speed,
            "interval": self._interval,
            "steps": self._steps,
            "symbols": sorted(self._subscribed),
        }


def _profile(instrument: Instrument, start_prices: Mapping[str, Decimal]) -> Profile:
    known = PROFILES.get(instrument.symbol)
    start = start_prices.get(instrument.symbol) or (known.start if known else None)
    if start is None:
        raise ValueError(f"no starting price for {instrument.symbol}")
    if known:
        return Profile(start, known.half_spread, known.move, known.lots)
    # an instrument the table does not know: a spread of about two and steps of about one basis point
    ticks = int(start / instrument.tick_size)
    return Profile(start, max(1, ticks // 10_000), max(1, ticks // 20_000), 1_000)

"""The trigger book: which armed levels a price fires, at a cost that does not grow with what is armed.

Prices are integers (``PRICE_UNITS`` per unit of quote currency), so that comparisons are exact and cheap.
A book serves one side of one instrument. It is written for long positions (the adverse direction is
down); a short book is the same book fed with negated prices.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import count
from typing import Final

from .protection import Trail, TrailType

PRICE_UNITS: Final = 10**10
_FRACTION_UNITS: Final = 10**14


class Leg(StrEnum):
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING_STOP = "trailing_stop"
    TRAIL_ACTIVATION = "trail_activation"
    BREAK_EVEN = "break_even"


EXITS: Final = frozenset({Leg.STOP_LOSS, Leg.TAKE_PROFIT, Leg.TRAILING_STOP})


def to_units(price: Decimal) -> int:
    """A price as an exact integer. Raises ValueError beyond ten decimals."""
    units = int(price * PRICE_UNITS)
    if units != price * PRICE_UNITS:
        raise ValueError(f"price {price} has more than ten decimals")
    return units


def from_units(units: int) -> Decimal:
    return Decimal(units) / PRICE_UNITS


@dataclass(frozen=True, slots=True)
class Fired:
    """One level reached. ``level`` is the trigger price in units, ``price`` the one that reached it."""

    key: Hashable
    leg: Leg
    level: int
    price: int
    version: int = 0  # of the levels it was armed with


@dataclass(eq=False, slots=True)
class Levels:
    """What one position has armed, in price units; ``extreme`` is the best price its trail has seen."""

    key: Hashable
    stop: int | None = None
    target: int | None = None
    trail: Trail | None = None
    extreme: int | None = None
    activation: int | None = None
    break_even: int | None = None
    version: int = 0
    alive: bool = field(default=True, init=False)


@dataclass(eq=False, slots=True)
class _Bucket:
    """All trailing levels that share one extreme, tightest first."""

    extreme: int
    by_amount: list[tuple[int, int, Levels]] = field(default_factory=list)
    by_fraction: list[tuple[int, int, Levels]] = field(default_factory=list)
    alive: bool = True

    def tightest(self) -> tuple[int, Levels] | None:
        """The highest trigger in the bucket; levels that were disarmed are dropped on the way."""
        best: tuple[int, Levels] | None = None
        for heap, by_amount in ((self.by_amount, True), (self.by_fraction, False)):
            while heap and not heap[0][2].alive:
                heapq.heappop(heap)
            if heap:
                distance = heap[0][0]
                trigger = self.extreme - distance if by_amount else _fraction_below(self.extreme, distance)
                if best is None or trigger > best[0]:
                    best = (trigger, heap[0][2])
        return best

    def absorb(self, other: _Bucket) -> None:
        for mine, theirs in ((self.by_amount, other.by_amount), (self.by_fraction, other.by_fraction)):
            for item in theirs:
                if item[2].alive:
                    heapq.heappush(mine, item)
        other.alive = False

    def __len__(self) -> int:
        return len(self.by_amount) + len(self.by_fraction)


def _fraction_below(extreme: int, fraction: int) -> int:
    """extreme · (1 − fraction), rounded down: for integer prices ``p <= floor(x)`` is ``p <= x``.

    For a negated (short) price the distance is taken from the magnitude, away from zero.
    """
    return (extreme * _FRACTION_UNITS - abs(extreme) * fraction) // _FRACTION_UNITS


class TriggerBook:
    """Arm, disarm, feed prices. Each exit level fires once: firing an exit disarms its position."""

    def __init__(self) -> None:
        self._seq = count()
        self._armed: dict[Hashable, Levels] = {}
        self._down: list[tuple[int, int, Leg, Levels]] = []  # negated level: the highest first
        self._up: list[tuple[int, int, Leg, Levels]] = []  # the lowest first
        self._buckets: list[_Bucket] = []  # extremes strictly falling: the newest is last
        self._trails: list[tuple[int, int, _Bucket]] = []  # negated tightest trigger of each bucket
        self._dead = 0

    def __len__(self) -> int:
        return len(self._armed)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._armed

    def get(self, key: Hashable) -> Levels | None:
        return self._armed.get(key)

    def arm(self, levels: Levels) -> None:
        """Arm a position's levels, in place of what it had armed before."""
        self.disarm(levels.key)
        self._armed[levels.key] = levels
        if levels.stop is not None:
            heapq.heappush(self._down, (-levels.stop, next(self._seq), Leg.STOP_LOSS, levels))
        for leg, level in (
            (Leg.TAKE_PROFIT, levels.target),
            (Leg.BREAK_EVEN, levels.break_even),
            (Leg.TRAIL_ACTIVATION, levels.activation if levels.extreme is None else None),
        ):
            if level is not None:
                heapq.heappush(self._up, (level, next(self._seq), leg, levels))
        if levels.trail is not None and levels.extreme is not None:
            self._track(levels, levels.extreme)

    def disarm(self, key: Hashable) -> None:
        """Forget a position's levels; nothing happens when none are armed."""
        levels = self._armed.pop(key, None)
        if levels is None:
            return
        levels.alive = False
        self._dead += 1
        if self._dead > 64 and self._dead > len(self._armed):
            self._compact()

    def on_price(self, price: int) -> tuple[list[Fired], bool]:
        """Levels this price reaches, tightest first, and whether any trailing extreme moved.

        Activations and break-evens come before exits, so that what they change takes part in this price.
        """
        fired: list[Fired] = []
        while self._up and (not self._up[0][3].alive or self._up[0][0] <= price):
            level, _, leg, levels = heapq.heappop(self._up)
            if not levels.alive:
                continue
            if leg is Leg.TRAIL_ACTIVATION:
                self._track(levels, price)
            elif leg is Leg.TAKE_PROFIT:
                self.disarm(levels.key)
            fired.append(Fired(levels.key, leg, level, price, levels.version))
        moved = self._raise_extremes(price)
        fired.extend(self._fall_to(price))
        return fired, moved

    def _fall_to(self, price: int) -> list[Fired]:
        fired: list[Fired] = []
        while True:
            while self._down and not self._down[0][3].alive:
                heapq.heappop(self._down)
            stop = -self._down[0][0] if self._down else None
            trail = self._tightest_trail()
            if stop is not None and stop >= price and (trail is None or stop >= trail[0]):
                levels, leg, level = self._down[0][3], Leg.STOP_LOSS, stop
            elif trail is not None and trail[0] >= price:
                level, levels, leg = trail[0], trail[1], Leg.TRAILING_STOP
            else:
                return fired
            self.disarm(levels.key)
            fired.append(Fired(levels.key, leg, level, price, levels.version))

    def _track(self, levels: Levels, extreme: int) -> None:
        levels.extreme = extreme
        trail = levels.trail
        assert trail is not None
        index = len(self._buckets)
        while index and self._buckets[index - 1].extreme < extreme:
            index -= 1  # only a restored extreme can stand above newer ones
        if index and self._buckets[index - 1].extreme == extreme:
            bucket = self._buckets[index - 1]
        else:
            bucket = _Bucket(extreme)
            self._buckets.insert(index, bucket)
        if trail.type is TrailType.AMOUNT:
            heapq.heappush(bucket.by_amount, (to_units(trail.value), next(self._seq), levels))
        else:
            per_unit = _FRACTION_UNITS // (100 if trail.type is TrailType.PERCENT else 10_000)
            heapq.heappush(bucket.by_fraction, (int(trail.value * per_unit), next(self._seq), levels))
        self._offer(bucket)

    def _offer(self, bucket: _Bucket) -> None:
        tightest = bucket.tightest()
        if tightest is not None:
            heapq.heappush(self._trails, (-tightest[0], next(self._seq), bucket))
        # every new high leaves an outdated entry below the top, where no later one would drop it
        if len(self._trails) > 64 + 4 * len(self._buckets):
            self._trails = []
            for live in self._buckets:
                self._offer(live)

    def _raise_extremes(self, price: int) -> bool:
        """Merge every bucket the price has passed into one at the price: amortized, small into large."""
        if not self._buckets or self._buckets[-1].extreme >= price:
            return False
        merged = self._buckets.pop()
        moved = merged.tightest() is not None
        while self._buckets and self._buckets[-1].extreme <= price:
            other = self._buckets.pop()
            moved = moved or (other.extreme < price and other.tightest() is not None)
            if len(other) > len(merged):
                merged, other = other, merged
            merged.absorb(other)
        risen = _Bucket(price, merged.by_amount, merged.by_fraction)
        merged.alive = False
        if risen.tightest() is None:
            return False
        self._buckets.append(risen)
        self._offer(risen)
        return moved

    def _tightest_trail(self) -> tuple[int, Levels] | None:
        while self._trails:
            negated, _, bucket = self._trails[0]
            tightest = bucket.tightest() if bucket.alive else None
            if tightest is not None and -negated == tightest[0]:
                return tightest
            heapq.heappop(self._trails)
            if tightest is not None:
                heapq.heappush(self._trails, (-tightest[0], next(self._seq), bucket))
        return None

    def extreme_of(self, key: Hashable) -> int | None:
        """The best price a trailing position has seen, or None while it does not track."""
        for bucket in self._buckets:
            for heap in (bucket.by_amount, bucket.by_fraction):
                if any(item[2].key == key and item[2].alive for item in heap):
                    return bucket.extreme
        return None

    def _compact(self) -> None:
        """Rebuild the heaps without what was disarmed; amortized against the disarms that caused it."""
        self._dead = 0
        self._down = [item for item in self._down if item[3].alive]
        self._up = [item for item in self._up if item[3].alive]
        heapq.heapify(self._down)
        heapq.heapify(self._up)
        buckets = []
        for bucket in self._buckets:
            bucket.by_amount = [item for item in bucket.by_amount if item[2].alive]
            bucket.by_fraction = [item for item in bucket.by_fraction if item[2].alive]
            heapq.heapify(bucket.by_amount)
            heapq.heapify(bucket.by_fraction)
            bucket.alive = bool(len(bucket))
            if bucket.alive:
                buckets.append(bucket)
        self._buckets = buckets
        self._trails = []
        for bucket in buckets:
            self._offer(bucket)

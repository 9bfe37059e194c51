"""What reaches the engine between two steps. The database is the truth; this is only a hint, and bounded."""

from __future__ import annotations

import threading
from collections import deque

from app.core.clock import Seconds
from app.domain.quotes import Quote

LOSSLESS_MAX = 1_000


class Inbox:
    """Quotes and wake-ups. Live quotes are conflated per instrument; a replay's are kept, in order."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._newest: dict[str, Quote] = {}
        self._ordered: deque[Quote] = deque()
        self._woken = False
        self.conflated = 0

    def wake(self) -> None:
        """There may be new work in the database."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def put(self, quote: Quote) -> None:
        """The newest quote of its instrument replaces one that was not looked at yet."""
        with self._condition:
            if quote.symbol in self._newest:
                self.conflated += 1
            self._newest[quote.symbol] = quote
            self._condition.notify_all()

    def put_in_order(self, quote: Quote) -> None:
        """Every such quote is processed, in order; waits while the queue is full."""
        with self._condition:
            while len(self._ordered) >= LOSSLESS_MAX:
                self._condition.wait(0.5)
            self._ordered.append(quote)
            self._condition.notify_all()

    def take_quotes(self) -> list[Quote]:
        with self._condition:
            quotes = list(self._newest.values())
            self._newest = {}
            return quotes

    def take_in_order(self) -> Quote | None:
        with self._condition:
            if not self._ordered:
                return None
            quote = self._ordered.popleft()
            self._condition.notify_all()
            return quote

    def forget_quotes(self) -> None:
        """Drop what has not been looked at: it is from before another engine led."""
        with self._condition:
            self._newest = {}
            self._ordered.clear()
            self._condition.notify_all()

    def take_wake(self) -> bool:
        with self._condition:
            woken, self._woken = self._woken, False
            return woken

    def wait(self, seconds: Seconds) -> None:
        """Until something arrives, at most ``seconds``."""
        with self._condition:
            if not (self._woken or self._newest or self._ordered):
                self._condition.wait(seconds)

    @staticmethod
    def pause(seconds: Seconds) -> None:
        """Let time pass while nothing is expected; the pace of a replay."""
        threading.Event().wait(seconds)

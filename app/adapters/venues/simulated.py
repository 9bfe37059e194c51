"""The simulated venue: speaks FIX 4.4, executes against quotes, deterministic for a seed.

It keeps nothing of its own: after a restart it is told what rests (``restore``). Randomness is drawn per
order from the seed and the order's id, so that one order's fate does not depend on what else happens.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count

from app.domain.calendars import session_close
from app.domain.instruments import Instrument
from app.domain.matching import Match, match_price
from app.domain.money import ZERO, floor_to
from app.domain.orders import TERMINAL, OrderStatus, OrderType, TimeInForce
from app.domain.quotes import Quote

from . import fix
from .base import Outgoing, Report, RestingOrder, VenueOrder
from .client import FixClient

DONE_KEPT = 10_000
QUOTE_POLL = timedelta(milliseconds=100)
_ORD_STATUS = {
    OrderStatus.OPEN: "0", OrderStatus.PARTIALLY_FILLED: "1", OrderStatus.FILLED: "2",
    OrderStatus.CANCELED: "4", OrderStatus.REJECTED: "8", OrderStatus.EXPIRED: "C",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the venue treats orders; rates are probabilities from 0 to 1."""

    latency: timedelta = timedelta(milliseconds=200)
    reject_rate: Decimal = ZERO
    partial_rate: Decimal = ZERO
    first_lot: Decimal = Decimal("0.4")
    slippage_bps: Decimal = Decimal(5)
    seed: int = 1


@dataclass(slots=True)
class _Book:
    """One order as the venue knows it."""

    order: VenueOrder
    instrument: Instrument
    qty: Decimal
    price: Decimal | None
    cum_qty: Decimal = ZERO
    cum_value: Decimal = ZERO
    fills: int = 0
    status: OrderStatus = OrderStatus.OPEN
    resting: bool = False
    slices: list[Decimal] = field(default_factory=list)
    expires_at: datetime | None = None

    @property
    def leaves(self) -> Decimal:
        return self.qty - self.cum_qty


class SimulatedVenue:
    """A venue in the same process; the transport is a queue of FIX messages with due times."""

    name = "SIM"

    def __init__(
        self,
        behaviour: Behaviour,
        instruments: Callable[[str], Instrument],
        symbol_form: Callable[[str], str],
        stale_after: Callable[[Quote, datetime], bool],
    ) -> None:
        self.behaviour = behaviour
        self._instruments = instruments
        self._symbol_form = symbol_form
        self._is_stale = stale_after
        self._client = FixClient("SIMVENUE", symbol_form)
        self._session = fix.FixSession("SIMVENUE", "CAMBISTA")
        self._seq = count()
        self._due: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._out: list[bytes] = []
        self._orders: dict[str, _Book] = {}
        self._done: dict[str, OrderStatus] = {}  # the newest finished orders, to answer about them
        self._resting: dict[str, dict[str, _Book]] = defaultdict(dict)  # by symbol
        self._quotes: dict[str, Quote] = {}
        self._restored_at: datetime | None = None
        self.new_order = self._client.new_order
        self.cancel = self._client.cancel
        self.replace = self._client.replace
        self.status = self._client.status

    # -- our side of the queue ---------------------------------------------------------------------------

    def send(self, messages: list[Outgoing], now: datetime) -> None:
        """Hand messages over; each is looked at after the configured latency, in parallel."""
        for message in messages:
            wait = timedelta(0) if message.msg_type == "H" else self.behaviour.latency
            self._at(now + wait, partial(self._receive, message.raw))

    def reports(self, now: datetime) -> list[Report]:
        """What the venue has said up to ``now``, in order."""
        while self._due and self._due[0][0] <= now:
            at, _, action = heapq.heappop(self._due)
            action(at)
        out, self._out = self._out, []
        return [self._client.decode(raw) for raw in out]

    def next_due(self) -> datetime | None:
        return self._due[0][0] if self._due else None

    def on_quote(self, quote: Quote, now: datetime) -> None:
        """Match what rests in the instrument against a new quote."""
        # what was due before this quote came happens on the quote before it
        while self._due and self._due[0][0] < now:
            at, _, action = heapq.heappop(self._due)
            action(at)
        self._quotes[quote.symbol] = quote
        for book in list(self._resting.get(quote.symbol, {}).values()):
            self._execute(book, now)

    def restore(self, orders: list[RestingOrder], now: datetime) -> None:
        """Start from nothing but what was live and what was booked; nothing is executed twice."""
        self._due, self._out = [], []
        self._orders.clear()
        self._done.clear()
        self._resting.clear()
        self._restored_at = now
        for resting in orders:
            order = resting.order
            book = self._book(order)
            book.cum_qty, book.cum_value, book.fills = resting.cum_qty, resting.cum_value, resting.fills
            book.status = OrderStatus.PARTIALLY_FILLED if resting.cum_qty else OrderStatus.OPEN
            self._orders[order.id] = book
            book.resting = resting.status is not OrderStatus.SENT and not resting.cum_qty
            if resting.status is OrderStatus.SENT:
                self._at(now + self.behaviour.latency, partial(self._accept, book))
            else:
                self._rest(book)
                self._at(now + self.behaviour.latency, partial(self._execute, book))

    # -- the venue's side --------------------------------------------------------------------------------

    def _at(self, moment: datetime, action: Callable[[datetime], None]) -> None:
        heapq.heappush(self._due, (moment, next(self._seq), action))

    def _random(self, order_id: str) -> random.Random:
        return random.Random(f"{self.behaviour.seed}:{order_id}")

    def _book(self, order: VenueOrder) -> _Book:
        instrument = self._instruments(order.symbol)
        book = _Book(order, instrument, order.qty, order.price)
        if order.time_in_force is TimeInForce.DAY:
            book.expires_at = session_close(instrument.calendar, order.created_at)
        return book

    def _receive(self, raw: bytes, at: datetime) -> None:
        fields = fix.decode(raw)
        msg_type = fields[35]
        if msg_type == "D":
            self._new(fields, at)
        elif msg_type == "F":
            self._cancel_request(fields, at)
        elif msg_type == "G":
            self._replace_request(fields, at)
        elif msg_type == "H":
            self._status_request(fields, at)
        else:
            self._emit("j", [(45, fields.get(34)), (372, msg_type), (379, fields.get(11)), (380, "3"),
                             (58, "unsupported message type")], at)  # fmt: skip

    def _new(self, fields: fix.Fields, at: datetime) -> None:
        if fields[11] in self._orders or fields[11] in self._done:
            return  # a ClOrdID is executed once, however often it arrives
        order = VenueOrder(
            id=fields[11],
            account=fields.get(1, ""),
            symbol=self._instruments(fields[55]).symbol,
            side=fix.SIDE_BY_VALUE[fields[54]],
            type=fix.ORD_TYPE_BY_VALUE[fields[40]],
            qty=fix.number(fields, 38),
            price=fix.number(fields, 44) if 44 in fields else None,
            time_in_force=fix.TIME_IN_FORCE_BY_VALUE[fields[59]],
            post_only=fields.get(18) == "6",
            created_at=fix.parse_timestamp(fields[60]),
        )
        book = self._orders[order.id] = self._book(order)
        chance = self._random(order.id)
        if chance.random() < self.behaviour.reject_rate:
            self._reject(book, "VENUE_REJECTED", "rejected by the simulated venue", at)
            return
        if chance.random() < self.behaviour.partial_rate and order.time_in_force is not TimeInForce.FOK:
            first = floor_to(order.qty * self.behaviour.first_lot, book.instrument.lot_size)
            if ZERO < first < order.qty:
                book.slices = [first]
        self._accept(book, at)

    def _accept(self, book: _Book, at: datetime) -> None:
        """Acknowledge or reject a new order, then try to execute it."""
        if book.status in TERMINAL:
            return  # canceled while it waited
        if self._awaits_first_quote(book, at):
            self._at(at + QUOTE_POLL, partial(self._accept, book))
            return
        order = book.order
        quote = self._quotes.get(order.symbol)
        if order.type is OrderType.MARKET and (quote is None or self._is_stale(quote, at)):
            self._reject(book, "STALE_QUOTE", f"no fresh quote for {order.symbol}", at)
            return
        match = self._match(book, at)
        if order.post_only and match is not None:
            self._reject(book, "POST_ONLY_WOULD_CROSS", "the order would have taken liquidity", at)
            return
        self._report(book, "0", at)
        if order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK) or order.type is OrderType.MARKET:
            if match is None:
                # nothing to take within its price: immediate orders do not wait
                self._finish(book, OrderStatus.CANCELED, "4", "NO_LIQUIDITY: nothing to execute against", at)
            else:
                self._execute(book, at)
            return
        self._rest(book)
        self._execute(book, at)

    def _awaits_first_quote(self, book: _Book, at: datetime) -> bool:
        """A restart has lost the quotes too: what executes at once is not judged before the feed had time to speak."""
        order = book.order
        immediate = order.type is OrderType.MARKET or order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
        if not immediate or order.symbol in self._quotes or self._restored_at is None:
            return False
        return at < self._restored_at + book.instrument.stale_after

    def _match(self, book: _Book, at: datetime) -> Match | None:
        quote = self._quotes.get(book.order.symbol)
        if quote is None or self._is_stale(quote, at):
            return None
        return match_price(
            book.order.side,
            book.order.type,
            book.price,
            quote,
            slippage_bps=self.behaviour.slippage_bps,
            tick=book.instrument.tick_size,
            resting=book.resting,
        )

    def _execute(self, book: _Book, at: datetime) -> None:
        """Fill what the current quote allows: all of it, or the first lot and the rest a latency later."""
        if book.status in TERMINAL:
            return
        if book.expires_at is not None and at >= book.expires_at:
            self._finish(book, OrderStatus.EXPIRED, "C", "EXPIRED: end of the trading day", at)
            return
        if self._awaits_first_quote(book, at):
            self._at(at + QUOTE_POLL, partial(self._execute, book))
            return
        match = self._match(book, at)
        if match is None:
            book.resting = True  # from now on it was there first
            immediate = book.order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
            if book.order.type is OrderType.MARKET or immediate:
                self._finish(book, OrderStatus.CANCELED, "4", "NO_LIQUIDITY: the rest cannot be executed", at)
            return
        qty = min(book.slices.pop(0), book.leaves) if book.slices else book.leaves
        book.fills += 1
        book.cum_qty += qty
        book.cum_value += qty * match.price
        book.status = OrderStatus.PARTIALLY_FILLED if book.leaves else OrderStatus.FILLED
        self._report(book, "F", at, last=(qty, match))
        if book.leaves and book.order.time_in_force is TimeInForce.IOC:
            self._finish(book, OrderStatus.CANCELED, "4", "NO_LIQUIDITY: the rest of an IOC order", at)
        elif book.leaves:
            self._at(at + self.behaviour.latency, partial(self._execute, book))

    def _cancel_request(self, fields: fix.Fields, at: datetime) -> None:
        book = self._orders.get(fields[41])
        if book is None:
            self._refuse(fields, "1", at)
            return
        self._finish(book, OrderStatus.CANCELED, "4", "", at, cl_ord_id=fields[11])

    def _replace_request(self, fields: fix.Fields, at: datetime) -> None:
        book = self._orders.get(fields[41])
        qty = fix.number(fields, 38)
        if book is None or qty < book.cum_qty:
            self._refuse(fields, "2", at)
            return
        book.qty = qty
        if book.order.type is OrderType.LIMIT and book.price != fix.number(fields, 44):
            book.price, book.resting = fix.number(fields, 44), False  # a new price comes to the market anew
        if not book.leaves:
            book.status = OrderStatus.FILLED
        self._report(book, "5", at, cl_ord_id=fields[11])
        self._execute(book, at)

    def _status_request(self, fields: fix.Fields, at: datetime) -> None:
        book = self._orders.get(fields[11])
        if book is not None:
            self._report(book, "I", at)
            return
        body = [(37, "NONE"), (11, fields[11]), (17, f"{fields[11]}.status"), (150, "I"), (39, "8"), (103, "5"),
                (55, fields[55]), (54, fields[54]), (151, "0"), (14, "0"), (6, "0"), (60, fix.timestamp(at)),
                (58, "UNKNOWN_ORDER: the venue does not know this order")]  # fmt: skip
        self._emit("8", body, at)

    # -- messages out ------------------------------------------------------------------------------------

    def _rest(self, book: _Book) -> None:
        if book.status in TERMINAL:
            return
        self._resting[book.order.symbol][book.order.id] = book
        if book.expires_at is not None:
            self._at(book.expires_at, partial(self._execute, book))

    def _forget(self, book: _Book) -> None:
        order = book.order
        self._resting[order.symbol].pop(order.id, None)
        self._orders.pop(order.id, None)
        self._done[order.id] = book.status
        if len(self._done) > DONE_KEPT:
            del self._done[next(iter(self._done))]

    def _finish(
        self, book: _Book, status: OrderStatus, exec_type: str, reason: str, at: datetime, cl_ord_id: str | None = None
    ) -> None:
        book.status = status
        self._report(book, exec_type, at, reason=reason, cl_ord_id=cl_ord_id)

    def _reject(self, book: _Book, code: str, reason: str, at: datetime) -> None:
        self._finish(book, OrderStatus.REJECTED, "8", f"{code}: {reason}", at)

    def _refuse(self, fields: fix.Fields, response_to: str, at: datetime) -> None:
        """OrderCancelReject: too late, or never known."""
        book = self._orders.get(fields[41])
        status = book.status if book else self._done.get(fields[41])
        body = [(37, f"SIM-{fields[41]}" if status else "NONE"), (11, fields[11]), (41, fields[41]),
                (39, _ORD_STATUS[status] if status else "8"), (434, response_to),
                (102, "0" if status else "1"), (60, fix.timestamp(at)),
                (58, "too late" if status else "unknown order")]  # fmt: skip
        self._emit("9", body, at)

    def _report(
        self,
        book: _Book,
        exec_type: str,
        at: datetime,
        *,
        last: tuple[Decimal, Match] | None = None,
        reason: str = "",
        cl_ord_id: str | None = None,
    ) -> None:
        order = book.order
        done = book.status in TERMINAL
        exec_id = f"{order.id}.{book.fills}" if last else f"{order.id}.{exec_type}{next(self._seq)}"
        body: list[tuple[int, str | Decimal | None]] = [
            (37, f"SIM-{order.id}"),
            (11, cl_ord_id or order.id),
            (41, order.id if cl_ord_id else None),
            (17, exec_id),
            (150, exec_type),
            (39, _ORD_STATUS[book.status]),
            (1, order.account),
            (55, self._symbol_form(order.symbol)),
            (54, fix.SIDE[order.side]),
            (38, book.qty),
            (44, book.price if order.type is OrderType.LIMIT else None),
            (151, ZERO if done else book.leaves),
            (14, book.cum_qty),
            (6, (book.cum_value / book.cum_qty).quantize(Decimal("1e-10")) if book.cum_qty else ZERO),
            (60, fix.timestamp(at)),
            (58, reason or None),
        ]
        if last is not None:
            qty, match = last
            body += [(32, qty), (31, match.price), (851, "1" if match.maker else "2")]
        self._emit("8", body, at)
        if done:
            self._forget(book)

    def _emit(self, msg_type: str, body: Sequence[tuple[int, str | Decimal | None]], at: datetime) -> None:
        self._out.append(self._session.encode(msg_type, body, at))

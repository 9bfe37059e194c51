"""The simulated venue: the far end of a FIX 4.4 session, executes against quotes, deterministic for a seed.

It keeps nothing of its own: after a restart it is told what rests (``restore``). Randomness is drawn per
order and per message from the seed and their ids, so that one order's fate does not depend on what else
happens. Its time is the monotonic clock; only what a message says about time is the wall's.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any

from app.core.clock import Clock
from app.domain.calendars import session_close
from app.domain.instruments import Instrument
from app.domain.matching import Match, match_price
from app.domain.money import ZERO, floor_to, parse_decimal, text
from app.domain.orders import TERMINAL, OrderStatus, OrderType, TimeInForce
from app.domain.quotes import Quote

from . import fix
from .base import RestingOrder, VenueOrder

DONE_KEPT = 10_000
QUOTE_POLL = timedelta(milliseconds=100)
LATE_BY = timedelta(seconds=1)
_ORD_STATUS = {
    OrderStatus.OPEN: "0",
    OrderStatus.PARTIALLY_FILLED: "1",
    OrderStatus.FILLED: "2",
    OrderStatus.CANCELED: "4",
    OrderStatus.REJECTED: "8",
    OrderStatus.EXPIRED: "C",
}
Body = list[tuple[int, str | Decimal | None]]
Action = Callable[[datetime], None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the venue treats orders and messages; rates are probabilities from 0 to 1.

    The faults are for testing bots and ourselves: a lost acknowledgement (anything but a fill) is never
    said again, a late message comes ``LATE_BY`` after those behind it, while ``disconnected`` nothing
    passes either way until the line is back.
    """

    latency: timedelta = timedelta(milliseconds=200)
    reject_rate: Decimal = ZERO
    partial_rate: Decimal = ZERO
    first_lot: Decimal = Decimal("0.4")
    slippage_bps: Decimal = Decimal(5)
    seed: int = 1
    lost_ack_rate: Decimal = ZERO
    duplicate_rate: Decimal = ZERO
    late_rate: Decimal = ZERO
    disconnected: bool = False

    @property
    def answers_within(self) -> timedelta:
        """A venue that does not answer for so long will not any more; a slow one has longer."""
        return max(timedelta(seconds=5), self.latency * 3)


_SAID = ("reject_rate", "partial_rate", "slippage_bps", "lost_ack_rate", "duplicate_rate", "late_rate")


def shown(behaviour: Behaviour) -> dict[str, str | int | bool]:
    """What can be changed while it runs, as plain values: amounts as strings, the latency in milliseconds."""
    return {
        "latency_ms": behaviour.latency // timedelta(milliseconds=1),
        **{name: text(getattr(behaviour, name)) for name in _SAID},
        "disconnected": behaviour.disconnected,
    }


def changed(behaviour: Behaviour, payload: Mapping[str, str | int | bool]) -> Behaviour:
    """The same with what ``payload`` names, written as ``shown`` does; raises ``ValueError`` for what is no such."""
    values: dict[str, Any] = {}
    for name, value in payload.items():
        if name == "disconnected" and isinstance(value, bool):
            values[name] = value
        elif name == "latency_ms" and isinstance(value, int) and not isinstance(value, bool):
            values["latency"] = timedelta(milliseconds=value)
        elif name in _SAID and isinstance(value, str):
            values[name] = parse_decimal(value)
        else:
            raise ValueError(f"the simulated venue has no {name} of {value!r}")
    return replace(behaviour, **values)


@dataclass(slots=True)
class WorkingOrder:
    """One order as the venue knows it; ``executions`` are the fill reports it has sent, to be sent again."""

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
    executions: list[Body] = field(default_factory=list)
    expires_at: datetime | None = None

    @property
    def leaves(self) -> Decimal:
        return self.qty - self.cum_qty


class SimulatedVenue:
    """A venue in the same process; its line is a queue of FIX messages with due times (a ``Transport``)."""

    def __init__(
        self,
        behaviour: Behaviour,
        clock: Clock,
        instruments: Callable[[str], Instrument],
        symbol_form: Callable[[str], str],
        is_stale: Callable[[Quote, datetime], bool],
    ) -> None:
        self.behaviour = behaviour
        self._clock = clock
        self._instruments, self._symbol_form, self._is_stale = instruments, symbol_form, is_stale
        self._session = fix.FixSession("SIMVENUE", "CAMBISTA")
        self._seq = count()
        self._due: list[tuple[int, int, Action]] = []
        self._out: list[bytes] = []
        self._waiting_in: list[bytes] = []  # what came while the line was down
        self._orders: dict[str, WorkingOrder] = {}
        self._done: dict[str, WorkingOrder] = {}  # the newest finished orders, to answer about them
        self._resting: dict[str, dict[str, WorkingOrder]] = defaultdict(dict)  # by symbol
        self._quotes: dict[str, Quote] = {}
        self._restored_at: datetime | None = None

    # -- the line ----------------------------------------------------------------------------------------

    def send(self, raw: bytes) -> None:
        """Take a message; it is looked at after the configured latency, in parallel with others."""
        if self.behaviour.disconnected:
            self._waiting_in.append(raw)
            return
        wait = timedelta(0) if b"\x0135=H\x01" in raw else self.behaviour.latency
        self._after(wait, partial(self._receive, raw))

    def receive(self) -> list[bytes]:
        """What the venue has said up to now, in order; nothing while the line is down."""
        if not self.behaviour.disconnected and self._waiting_in:
            waited, self._waiting_in = self._waiting_in, []
            for raw in waited:  # a query keeps its place behind what waited before it
                self._after(self.behaviour.latency, partial(self._receive, raw))
        self._run_due(self._micros())
        if self.behaviour.disconnected:
            return []
        out, self._out = self._out, []
        return out

    def seconds_until_due(self) -> float | None:
        return max(self._due[0][0] - self._micros(), 0) / 1_000_000 if self._due else None

    def behave(self, behaviour: Behaviour) -> None:
        """Treat orders and messages like this from now on."""
        self.behaviour = behaviour

    # -- what is special to a simulation -----------------------------------------------------------------

    def on_quote(self, quote: Quote) -> None:
        """Match what rests in the instrument against a new quote."""
        self._run_due(self._micros() - 1)  # what was due before this quote came happens on the quote before it
        self._quotes[quote.symbol] = quote
        now = self._clock.now()
        for working in list(self._resting.get(quote.symbol, {}).values()):
            self._execute(working, now)

    def restore(self, orders: list[RestingOrder]) -> None:
        """Start from nothing but what was live and what was booked; nothing is executed twice."""
        self._due, self._out, self._waiting_in = [], [], []
        self._orders.clear()
        self._done.clear()
        self._resting.clear()
        self._restored_at = self._clock.now()
        for resting in orders:
            working = self._working(resting.order)
            working.cum_qty, working.cum_value, working.fills = resting.cum_qty, resting.cum_value, resting.fills
            working.status = OrderStatus.PARTIALLY_FILLED if resting.cum_qty else OrderStatus.OPEN
            working.resting = not resting.cum_qty
            self._orders[resting.order.id] = working
            self._rest(working)
            self._after(self.behaviour.latency, partial(self._execute, working))

    # -- time --------------------------------------------------------------------------------------------

    def _micros(self) -> int:
        return round(self._clock.monotonic() * 1_000_000)

    def _after(self, wait: timedelta, action: Action, since: datetime | None = None) -> None:
        """Let ``action`` happen ``wait`` after now, or after the moment ``since`` that we are at."""
        lag = timedelta(0) if since is None else self._clock.now() - since
        due = self._micros() + (wait - lag) // timedelta(microseconds=1)
        heapq.heappush(self._due, (due, next(self._seq), action))

    def _run_due(self, until: int) -> None:
        while self._due and self._due[0][0] <= until:
            due, _, action = heapq.heappop(self._due)
            action(self._clock.now() - timedelta(microseconds=self._micros() - due))

    # -- requests ----------------------------------------------------------------------------------------

    def _random(self, name: str) -> random.Random:
        return random.Random(f"{self.behaviour.seed}:{name}")

    def _working(self, order: VenueOrder) -> WorkingOrder:
        instrument = self._instruments(order.symbol)
        working = WorkingOrder(order, instrument, order.qty, order.price)
        if order.time_in_force is TimeInForce.DAY:
            working.expires_at = session_close(instrument.calendar, order.created_at)
        return working

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
            self._emit(
                "j",
                [
                    (45, fields.get(34)),
                    (372, msg_type),
                    (379, fields.get(11)),
                    (380, "3"),
                    (58, "unsupported message type"),
                ],
                at,
            )

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
        working = self._orders[order.id] = self._working(order)
        chance = self._random(order.id)
        if chance.random() < self.behaviour.reject_rate:
            self._reject(working, "VENUE_REJECTED", "rejected by the simulated venue", at)
            return
        if chance.random() < self.behaviour.partial_rate and order.time_in_force is not TimeInForce.FOK:
            first = floor_to(order.qty * self.behaviour.first_lot, working.instrument.lot_size)
            if ZERO < first < order.qty:
                working.slices = [first]
        self._accept(working, at)

    def _accept(self, working: WorkingOrder, at: datetime) -> None:
        """Acknowledge or reject a new order, then try to execute it."""
        if working.status in TERMINAL:
            return  # canceled while it waited
        if self._awaits_first_quote(working, at):
            self._after(QUOTE_POLL, partial(self._accept, working), at)
            return
        order = working.order
        quote = self._quotes.get(order.symbol)
        if order.type is OrderType.MARKET and (quote is None or self._is_stale(quote, at)):
            self._reject(working, "STALE_QUOTE", f"no fresh quote for {order.symbol}", at)
            return
        match = self._match(working, at)
        if order.post_only and match is not None:
            self._reject(working, "POST_ONLY_WOULD_CROSS", "the order would have taken liquidity", at)
            return
        self._report(working, "0", at)
        if order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK) or order.type is OrderType.MARKET:
            if match is None:
                # nothing to take within its price: immediate orders do not wait
                self._finish(working, OrderStatus.CANCELED, "4", "NO_LIQUIDITY: nothing to execute against", at)
            else:
                self._execute(working, at)
            return
        self._rest(working)
        self._execute(working, at)

    def _awaits_first_quote(self, working: WorkingOrder, at: datetime) -> bool:
        """A restart has lost the quotes too: what executes at once is not judged before the feed had time to speak.

        One that leads again after a while has old quotes, which are no better than none.
        """
        order = working.order
        immediate = order.type is OrderType.MARKET or order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
        quote = self._quotes.get(order.symbol)
        known = quote is not None and not self._is_stale(quote, at)
        if not immediate or known or self._restored_at is None:
            return False
        return at < self._restored_at + working.instrument.stale_after

    def _match(self, working: WorkingOrder, at: datetime) -> Match | None:
        quote = self._quotes.get(working.order.symbol)
        if quote is None or self._is_stale(quote, at):
            return None
        return match_price(
            working.order.side,
            working.order.type,
            working.price,
            quote,
            slippage_bps=self.behaviour.slippage_bps,
            tick=working.instrument.tick_size,
            resting=working.resting,
        )

    def _execute(self, working: WorkingOrder, at: datetime) -> None:
        """Fill what the current quote allows: all of it, or the first lot and the rest a latency later."""
        if working.status in TERMINAL:
            return
        if working.expires_at is not None and at >= working.expires_at:
            self._finish(working, OrderStatus.EXPIRED, "C", "EXPIRED: end of the trading day", at)
            return
        if self._awaits_first_quote(working, at):
            self._after(QUOTE_POLL, partial(self._execute, working), at)
            return
        match = self._match(working, at)
        if match is None:
            working.resting = True  # from now on it was there first
            immediate = working.order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
            if working.order.type is OrderType.MARKET or immediate:
                self._finish(working, OrderStatus.CANCELED, "4", "NO_LIQUIDITY: the rest cannot be executed", at)
            return
        qty = min(working.slices.pop(0), working.leaves) if working.slices else working.leaves
        working.fills += 1
        working.cum_qty += qty
        working.cum_value += qty * match.price
        working.status = OrderStatus.PARTIALLY_FILLED if working.leaves else OrderStatus.FILLED
        self._report(working, "F", at, last=(qty, match))
        if working.leaves and working.order.time_in_force is TimeInForce.IOC:
            self._finish(working, OrderStatus.CANCELED, "4", "NO_LIQUIDITY: the rest of an IOC order", at)
        elif working.leaves:
            self._after(self.behaviour.latency, partial(self._execute, working), at)

    def _cancel_request(self, fields: fix.Fields, at: datetime) -> None:
        working = self._orders.get(fields[41])
        if working is None:
            self._refuse(fields, "1", at)
            return
        self._finish(working, OrderStatus.CANCELED, "4", "", at, cl_ord_id=fields[11])

    def _replace_request(self, fields: fix.Fields, at: datetime) -> None:
        working = self._orders.get(fields[41])
        qty = fix.number(fields, 38)
        if working is None or qty < working.cum_qty:
            self._refuse(fields, "2", at)
            return
        working.qty = qty
        if working.order.type is OrderType.LIMIT and working.price != fix.number(fields, 44):
            # a new price comes to the market anew
            working.price, working.resting = fix.number(fields, 44), False
        if not working.leaves:
            working.status = OrderStatus.FILLED
        self._report(working, "5", at, cl_ord_id=fields[11])
        self._execute(working, at)

    def _status_request(self, fields: fix.Fields, at: datetime) -> None:
        """Say again what was filled, then how the order is."""
        working = self._orders.get(fields[11]) or self._done.get(fields[11])
        if working is not None:
            for execution in working.executions:
                self._emit("8", execution, at, resent=True)
            self._report(working, "I", at, request_id=fields.get(790))
            return
        body: Body = [
            (37, "NONE"),
            (11, fields[11]),
            (790, fields.get(790)),
            (17, f"{fields[11]}.status{next(self._seq)}"),
            (150, "I"),
            (39, "8"),
            (103, "5"),
            (55, fields[55]),
            (54, fields[54]),
            (151, "0"),
            (14, "0"),
            (6, "0"),
            (60, fix.timestamp(at)),
            (58, "UNKNOWN_ORDER: the venue does not know this order"),
        ]
        self._emit("8", body, at)

    # -- reports -----------------------------------------------------------------------------------------

    def _rest(self, working: WorkingOrder) -> None:
        if working.status in TERMINAL:
            return
        self._resting[working.order.symbol][working.order.id] = working
        if working.expires_at is not None:
            self._after(working.expires_at - self._clock.now(), partial(self._execute, working))

    def _forget(self, working: WorkingOrder) -> None:
        order = working.order
        self._resting[order.symbol].pop(order.id, None)
        self._orders.pop(order.id, None)
        self._done[order.id] = working
        if len(self._done) > DONE_KEPT:
            del self._done[next(iter(self._done))]

    def _finish(
        self,
        working: WorkingOrder,
        status: OrderStatus,
        exec_type: str,
        reason: str,
        at: datetime,
        cl_ord_id: str | None = None,
    ) -> None:
        working.status = status
        self._report(working, exec_type, at, reason=reason, cl_ord_id=cl_ord_id)

    def _reject(self, working: WorkingOrder, code: str, reason: str, at: datetime) -> None:
        self._finish(working, OrderStatus.REJECTED, "8", f"{code}: {reason}", at)

    def _refuse(self, fields: fix.Fields, response_to: str, at: datetime) -> None:
        """OrderCancelReject: too late, or never known."""
        working = self._orders.get(fields[41]) or self._done.get(fields[41])
        body: Body = [
            (37, f"SIM-{fields[41]}" if working else "NONE"),
            (11, fields[11]),
            (41, fields[41]),
            (39, _ORD_STATUS[working.status] if working else "8"),
            (434, response_to),
            (102, "0" if working else "1"),
            (60, fix.timestamp(at)),
            (58, "too late" if working else "unknown order"),
        ]
        self._emit("9", body, at)

    def _report(
        self,
        working: WorkingOrder,
        exec_type: str,
        at: datetime,
        *,
        last: tuple[Decimal, Match] | None = None,
        reason: str = "",
        cl_ord_id: str | None = None,
        request_id: str | None = None,
    ) -> None:
        order = working.order
        done = working.status in TERMINAL
        exec_id = f"{order.id}.{working.fills}" if last else f"{order.id}.{exec_type}{next(self._seq)}"
        body: Body = [
            (37, f"SIM-{order.id}"),
            (11, cl_ord_id or order.id),
            (41, order.id if cl_ord_id else None),
            (790, request_id),
            (17, exec_id),
            (150, exec_type),
            (39, _ORD_STATUS[working.status]),
            (1, order.account),
            (55, self._symbol_form(order.symbol)),
            (54, fix.SIDE[order.side]),
            (38, working.qty),
            (44, working.price if order.type is OrderType.LIMIT else None),
            (151, ZERO if done else working.leaves),
            (14, working.cum_qty),
            (6, (working.cum_value / working.cum_qty).quantize(Decimal("1e-10")) if working.cum_qty else ZERO),
            (60, fix.timestamp(at)),
            (58, reason or None),
        ]
        if last is not None:
            qty, match = last
            body += [(32, qty), (31, match.price), (851, "1" if match.maker else "2")]
            working.executions.append(body)
        self._emit("8", body, at)
        if done and order.id in self._orders:
            self._forget(working)

    def _emit(
        self, msg_type: str, body: Sequence[tuple[int, str | Decimal | None]], at: datetime, *, resent: bool = False
    ) -> None:
        """Put a message on the line, with the faults that are switched on."""
        raw = self._session.encode(msg_type, body, at, resent=resent)
        behaviour = self.behaviour
        if not (behaviour.lost_ack_rate or behaviour.duplicate_rate or behaviour.late_rate):
            self._out.append(raw)
            return
        fields = dict(body)
        chance = self._random(f"{fields.get(17) or fields.get(11)}:{next(self._seq)}")
        if fields.get(150) not in ("F", "I") and chance.random() < behaviour.lost_ack_rate:
            return
        if chance.random() < behaviour.late_rate:
            self._after(LATE_BY, lambda _at: self._out.append(raw), at)
        else:
            self._out.append(raw)
        if chance.random() < behaviour.duplicate_rate:
            self._after(LATE_BY * 2, lambda _at: self._out.append(raw), at)

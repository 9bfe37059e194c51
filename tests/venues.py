"""A venue that is not the simulator: remote in all but name, and as bad as a test wants it.

It takes what arrives, answers a while later, and trades when the test says so. Trades are numbered per
instrument, as exchanges do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from app.adapters.venues.base import VenueOrder
from app.core.clock import Clock
from app.domain.money import ZERO
from app.domain.orders import TERMINAL, OrderStatus
from app.domain.reports import (
    Accepted,
    Canceled,
    CancelRejected,
    Fill,
    OrderSnapshot,
    Replaced,
    ReplaceRejected,
    Report,
    Sent,
)
from app.domain.requests import RequestKind as K


@dataclass
class Working:
    order: VenueOrder
    qty: Decimal
    price: Decimal | None
    status: OrderStatus = OrderStatus.OPEN
    fills: list[Fill] = field(default_factory=list)

    @property
    def cum_qty(self) -> Decimal:
        return sum((fill.qty for fill in self.fills), ZERO)


class FarVenue:
    """A ``Gateway``. ``deaf`` to a kind: the request never arrives; ``silent``: its answer never does."""

    works_alone = True

    def __init__(self, clock: Clock, name: str = "FAR", answers_within: float = 5) -> None:
        self.name, self.answers_within = name, timedelta(seconds=answers_within)
        self.clock = clock
        self.latency = 0.0
        self.deaf: set[K] = set()
        self.silent: set[K] = set()
        self.broken: set[K] = set()  # the call itself raises
        self.twice = self.backwards = False
        self.hides_fills = False  # a snapshot names a quantity, and the fills do not come with it
        self.heard: list[tuple[K, str]] = []
        self.book: dict[str, Working] = {}
        self._trades: Counter[str] = Counter()
        self._due: list[tuple[float, Report]] = []

    # -- the gateway -------------------------------------------------------------------------------------

    def submit(self, order: VenueOrder, cl_ord_id: str) -> None:
        if self._takes(K.SUBMIT, order, cl_ord_id) and cl_ord_id not in self.book:
            self.book[cl_ord_id] = Working(order, order.qty, order.price)
            self._answer(K.SUBMIT, self._accepted(order.id))

    def cancel(self, order: VenueOrder, cl_ord_id: str) -> None:
        if not self._takes(K.CANCEL, order, cl_ord_id):
            return
        working = self.book.get(order.id)
        if working is None or working.status in TERMINAL:
            self._refuse(CancelRejected, K.CANCEL, order.id, cl_ord_id)
            return
        working.status = OrderStatus.CANCELED
        self._answer(
            K.CANCEL, Canceled(order_id=order.id, at=self.clock.now(), cl_ord_id=cl_ord_id, cum_qty=working.cum_qty)
        )

    def replace(self, order: VenueOrder, cl_ord_id: str, qty: Decimal, price: Decimal | None) -> None:
        if not self._takes(K.REPLACE, order, cl_ord_id):
            return
        working = self.book.get(order.id)
        if working is None or working.status in TERMINAL or qty < working.cum_qty:
            self._refuse(ReplaceRejected, K.REPLACE, order.id, cl_ord_id)
            return
        working.qty, working.price = qty, price
        self._answer(
            K.REPLACE, Replaced(order_id=order.id, at=self.clock.now(), cl_ord_id=cl_ord_id, qty=qty, price=price)
        )

    def query(self, order: VenueOrder, cl_ord_id: str) -> None:
        if not self._takes(K.QUERY, order, cl_ord_id):
            return
        working = self.book.get(order.id)
        if working is None:
            told = OrderSnapshot(order_id=order.id, at=self.clock.now(), cl_ord_id=cl_ord_id, known=False)
        else:
            told = OrderSnapshot(
                order_id=order.id,
                at=self.clock.now(),
                cl_ord_id=cl_ord_id,
                known=True,
                status=working.status,
                venue_order_id=f"FAR-{order.id}",
                qty=working.qty,
                price=working.price,
                cum_qty=working.cum_qty,
                fills=() if self.hides_fills else tuple(working.fills),
            )
        self._answer(K.QUERY, told)

    def reports(self) -> list[Report]:
        moment = self.clock.monotonic()
        due = [report for at, report in self._due if at <= moment]
        self._due = [item for item in self._due if item[0] > moment]
        return due[::-1] if self.backwards else due

    def seconds_until_due(self) -> float | None:
        return max(min(at for at, _ in self._due) - self.clock.monotonic(), 0) if self._due else None

    # -- what happens there ------------------------------------------------------------------------------

    def trade(
        self, order_id: str, qty: str, price: str, *, told: bool = True, maker: bool = True, trade_id: str | None = None
    ) -> Fill:
        """The order executes, whatever it says; ``told`` whether a report leaves."""
        working = self.book[order_id]
        self._trades[working.order.symbol] += 1
        leaves = max(working.qty - working.cum_qty - Decimal(qty), ZERO)
        fill = Fill(
            order_id=order_id,
            at=self.clock.now(),
            cl_ord_id=order_id,
            trade_id=trade_id or str(self._trades[working.order.symbol]),
            qty=Decimal(qty),
            price=Decimal(price),
            maker=maker,
            leaves_qty=leaves,
        )
        working.fills.append(fill)
        if working.status not in TERMINAL:
            working.status = OrderStatus.PARTIALLY_FILLED if leaves else OrderStatus.FILLED
        if told:
            self.say(fill)
        return fill

    def say(self, report: Report) -> None:
        """Any report, whether it is true or not."""
        self._due += [(self.clock.monotonic() + self.latency, report)] * (2 if self.twice else 1)

    def _takes(self, kind: K, order: VenueOrder, cl_ord_id: str) -> bool:
        if kind in self.broken:
            raise ConnectionError(f"no way to {self.name}")
        self._due.append((self.clock.monotonic(), Sent(order_id=order.id, at=self.clock.now(), cl_ord_id=cl_ord_id)))
        self.heard.append((kind, order.id))
        return kind not in self.deaf

    def _answer(self, kind: K, report: Report) -> None:
        if kind not in self.silent:
            self.say(report)

    def _accepted(self, order_id: str) -> Accepted:
        return Accepted(order_id=order_id, at=self.clock.now(), cl_ord_id=order_id, venue_order_id=f"FAR-{order_id}")

    def _refuse(
        self, kind: type[CancelRejected] | type[ReplaceRejected], asked: K, order_id: str, cl_ord_id: str
    ) -> None:
        working = self.book.get(order_id)
        self._answer(
            asked,
            kind(
                order_id=order_id,
                at=self.clock.now(),
                cl_ord_id=cl_ord_id,
                known=working is not None,
                status=working.status if working else None,
                code="TOO_LATE",
            ),
        )

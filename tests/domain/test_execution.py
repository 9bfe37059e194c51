"""Reports in every order, twice and late: no fill is lost, and what is over stays over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from itertools import permutations, product
from typing import Any

import pytest

from app.domain.execution import ORDER_COLUMNS, Applied, Contradiction, OrderState, apply, move
from app.domain.money import ZERO
from app.domain.orders import LIVE, TERMINAL, IllegalTransition, OrderType, Side
from app.domain.orders import OrderStatus as S
from app.domain.reports import (
    Accepted,
    Canceled,
    CancelRejected,
    Expired,
    Fill,
    OrderSnapshot,
    Rejected,
    Replaced,
    ReplaceRejected,
    Report,
    RequestRejected,
    Sent,
    Unanswered,
)
from app.domain.requests import RequestKind as K
from app.domain.requests import cl_ord_id

NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
RATE = D("0.001")
NONE: frozenset[K] = frozenset()


def an_order(status: S = S.OPEN, **changes: Any) -> OrderState:
    """A limit buy of 1 at 100, as it is in a status."""
    values: dict[str, Any] = dict.fromkeys(ORDER_COLUMNS)
    acknowledged = status not in (S.NEW, S.PENDING_SEND, S.SENT)
    values.update(
        id="o-1",
        client_id="c",
        wallet_id="w",
        instrument_id=1,
        side=Side.BUY,
        type=OrderType.LIMIT,
        time_in_force="GTC",
        qty=D(1),
        price=D(100),
        reduce_only=False,
        post_only=False,
        status=S.OPEN,
        version=1,
        cum_qty=ZERO,
        leaves_qty=D(1),
        cum_value=ZERO,
        fees=ZERO,
        hold_currency="USDT",
        held=D("100.10"),
        venue="SIM",
        source="api",
        created_by="t",
        created_at=NOW,
        venue_order_id="V-1" if acknowledged else None,
    )
    if status is S.PARTIALLY_FILLED:
        values.update(cum_qty=D("0.4"), leaves_qty=D("0.6"), avg_px=D(100))
    elif status is S.PENDING_REPLACE:
        values.update(pending_qty=D(2), pending_price=D(101))
    elif status is S.FILLED:
        values.update(cum_qty=D(1), leaves_qty=ZERO, avg_px=D(100))
    elif status in TERMINAL:
        values.update(leaves_qty=ZERO)
    if status in TERMINAL:
        values.update(closed_at=NOW, held=ZERO)
    values.update(status=status)
    return OrderState(**(values | changes))


def said(kind: type[Report], **about: Any) -> Any:
    return kind(**{"order_id": "o-1", "at": NOW, **about})


def a_fill(trade: str, qty: str, leaves: str | None = None, price: str = "100") -> Fill:
    return Fill(
        order_id="o-1",
        at=NOW,
        trade_id=trade,
        qty=D(qty),
        price=D(price),
        leaves_qty=None if leaves is None else D(leaves),
    )


def sound(order: OrderState) -> None:
    """What is true of an order in any status."""
    assert ZERO <= order.cum_qty <= order.qty
    assert order.leaves_qty == (ZERO if order.terminal else order.qty - order.cum_qty)
    may_grow = order.pending_qty is not None and order.pending_qty > order.cum_qty
    assert (order.status is S.FILLED) == (order.cum_qty == order.qty) or (order.status in LIVE and may_grow)
    assert order.status is not S.OPEN or not order.cum_qty
    assert order.status is not S.PARTIALLY_FILLED or order.cum_qty
    if order.status not in (S.PENDING_REPLACE, S.PENDING_CANCEL, S.UNKNOWN):
        assert order.pending_qty is order.pending_price is None
    if order.terminal:
        assert order.needed_hold(RATE, 8) == ZERO
        assert order.closed_at is not None


# -- every sequence in every status --------------------------------------------------------------------------

SENTENCES: dict[str, Any] = {
    "sent": said(Sent, cl_ord_id="o-1"),
    "unanswered": said(Unanswered),
    "accepted": said(Accepted, venue_order_id="V-1"),
    "rejected": said(Rejected, code="NO", reason="no"),
    "fill": a_fill("t", "0.4"),
    "fill, more to come": a_fill("t", "0.6", "1.0"),
    "fill of the old rest": a_fill("t", "1", "0"),
    "replaced": said(Replaced, qty=D(2), price=D(101)),
    "replaced down": said(Replaced, qty=D("0.4")),
    "canceled": said(Canceled, cum_qty=ZERO),
    "canceled after a fill": said(Canceled, cum_qty=D("0.4")),
    "expired": said(Expired),
    "cancel rejected": said(CancelRejected, status=S.OPEN),
    "cancel rejected, over": said(CancelRejected, status=S.FILLED),
    "cancel rejected, unknown": said(CancelRejected, known=False),
    "replace rejected": said(ReplaceRejected, status=S.OPEN),
    "replace rejected, unknown": said(ReplaceRejected, known=False),
    "snapshot open": said(OrderSnapshot, known=True, status=S.OPEN, qty=D(1), price=D(100), cum_qty=ZERO),
    "snapshot replaced": said(OrderSnapshot, known=True, status=S.OPEN, qty=D(2), price=D(101), cum_qty=ZERO),
    "snapshot in part": said(OrderSnapshot, known=True, status=S.PARTIALLY_FILLED, qty=D(1), cum_qty=D("0.4")),
    "snapshot filled": said(OrderSnapshot, known=True, status=S.FILLED, qty=D(1), cum_qty=D(1)),
    "snapshot canceled": said(OrderSnapshot, known=True, status=S.CANCELED, qty=D(1), cum_qty=ZERO),
    "snapshot rejected": said(OrderSnapshot, known=True, status=S.REJECTED, cum_qty=ZERO, reason="no"),
    "snapshot unknown": said(OrderSnapshot, known=False),
}
AT_A_VENUE = [status for status in S if status is not S.NEW]


@pytest.mark.parametrize("status", AT_A_VENUE, ids=str)
@pytest.mark.parametrize("asked", [NONE, frozenset({K.CANCEL}), frozenset({K.CANCEL, K.REPLACE})], ids=len)
def test_whatever_is_said_in_whatever_order(status: S, asked: frozenset[K]) -> None:
    reached, seen = {an_order(status)}, set()
    for _ in range(4):
        seen |= reached
        found = set()
        for order, (name, sentence) in product(reached, SENTENCES.items()):
            try:
                applied = apply(order, sentence, asked, NOW)
            except Contradiction:
                assert name in ("snapshot unknown", "snapshot filled"), order
                continue
            after = applied.order
            sound(after)
            assert after.cum_qty == order.cum_qty + (sentence.qty if name.startswith("fill") else ZERO)
            assert not order.terminal or after.terminal
            assert after.version == order.version + applied.moved
            assert applied.moved or (after.status, after.qty, after.cum_qty) == (order.status, order.qty, order.cum_qty)
            found.add(after._replace(version=1))  # what is reached in two ways goes on once
        reached = found - seen


def test_of_an_order_that_no_venue_has_nothing_can_be_said() -> None:
    for name, sentence in SENTENCES.items():
        try:
            applied = apply(an_order(S.NEW), sentence, NONE, NOW)
        except IllegalTransition:
            continue
        assert applied.order.cum_qty == 0 and applied.order.status in (S.NEW, S.REJECTED, S.CANCELED, S.EXPIRED), name


# -- what a real venue says, in every order it may arrive ----------------------------------------------------


@dataclass
class Desk:
    """The engine's part around the rule: trades once, requests with and without an answer, questions."""

    order: OrderState
    unanswered: dict[str, K] = field(default_factory=dict)  # ClOrdID: kind
    trades: set[str] = field(default_factory=set)
    asks: int = 0
    alerts: list[str] = field(default_factory=list)

    def request(self, kind: K, qty: str | None = None) -> None:
        """Somebody cancels or amends, and the engine hands it over; a second cancel is the first."""
        name = cl_ord_id("o-1", kind, 1)
        if self.order.terminal:
            return
        if kind is K.CANCEL:
            self.order = move(self.order, S.PENDING_CANCEL, NOW)
        elif kind is K.REPLACE:
            assert qty is not None
            self.order = move(self.order, S.PENDING_REPLACE, NOW, pending_qty=D(qty), pending_price=D(100))
        self.unanswered[name] = kind

    def take(self, report: Report) -> Applied | None:
        if isinstance(report, Fill):
            if report.trade_id in self.trades:
                return None
            self.trades.add(report.trade_id)
        if isinstance(report, RequestRejected | Replaced) and report.cl_ord_id not in self.unanswered:
            return None
        if isinstance(report, OrderSnapshot):
            for fill in report.fills:
                self.take(fill)
        kind = self.unanswered.get(report.cl_ord_id or "")
        asked = frozenset(self.unanswered.values()) - {kind}
        before = self.order
        applied = apply(before, report, asked, NOW)
        self.order = applied.order
        sound(self.order)
        assert self.order.cum_qty >= before.cum_qty
        assert not before.terminal or self.order.terminal
        if applied.alert is not None:
            self.alerts.append(applied.alert[0])
        self.unanswered.pop(report.cl_ord_id or "", None)
        if self.order.terminal or isinstance(report, OrderSnapshot):
            self.unanswered.clear()
        if applied.ask in (K.CANCEL, K.REPLACE):
            self.unanswered[cl_ord_id("o-1", applied.ask, 1)] = applied.ask
        self.asks += applied.ask is not None
        return applied


CANCEL, REPLACE = cl_ord_id("o-1", K.CANCEL, 1), cl_ord_id("o-1", K.REPLACE, 1)
ACCEPTED = said(Accepted, venue_order_id="V-1", cl_ord_id="o-1")


def replaced(qty: str) -> Replaced:
    return said(Replaced, qty=D(qty), price=D(100), cl_ord_id=REPLACE)


def refused(kind: type[RequestRejected], status: S) -> Any:
    return said(kind, status=status, cl_ord_id=CANCEL if kind is CancelRejected else REPLACE)


def canceled(cum: str, name: str | None = CANCEL) -> Canceled:
    return said(Canceled, cum_qty=D(cum), cl_ord_id=name)


@dataclass(frozen=True)
class History:
    """What happened at the venue: its reports in their true order, and how the order ended there."""

    requests: tuple[tuple[K, str | None], ...]
    reports: tuple[Report, ...]
    status: S
    cum: str
    qty: str = "1"

    def snapshot(self) -> OrderSnapshot:
        fills = tuple(report for report in self.reports if isinstance(report, Fill))
        return said(
            OrderSnapshot,
            known=True,
            status=self.status,
            venue_order_id="V-1",
            qty=D(self.qty),
            price=D(100),
            cum_qty=D(self.cum),
            fills=fills,
        )


AMEND: tuple[tuple[K, str | None], ...] = ((K.REPLACE, "2"),)
LESS: tuple[tuple[K, str | None], ...] = ((K.REPLACE, "0.4"),)
STOP: tuple[tuple[K, str | None], ...] = ((K.CANCEL, None),)
HISTORIES = {
    "filled in two lots": History((), (ACCEPTED, a_fill("1", "0.4", "0.6"), a_fill("2", "0.6", "0")), S.FILLED, "1"),
    "rejected": History((), (said(Rejected, code="NO"),), S.REJECTED, "0"),
    "expired after a lot": History(
        (), (ACCEPTED, a_fill("1", "0.4", "0.6"), said(Expired, cum_qty=D("0.4"))), S.EXPIRED, "0.4"
    ),
    "canceled after a lot": History(STOP, (ACCEPTED, a_fill("1", "0.4", "0.6"), canceled("0.4")), S.CANCELED, "0.4"),
    "canceled by the venue": History((), (ACCEPTED, canceled("0", None)), S.CANCELED, "0"),
    "the cancel came too late": History(
        STOP, (ACCEPTED, a_fill("1", "1", "0"), refused(CancelRejected, S.FILLED)), S.FILLED, "1"
    ),
    "the fill of what was replaced": History(
        AMEND, (replaced("2"), a_fill("1", "1.5", "0.5"), a_fill("2", "0.5", "0")), S.FILLED, "2", "2"
    ),
    "a lot before and after the replace": History(
        AMEND, (a_fill("1", "0.4", "0.6"), replaced("2"), a_fill("2", "1.6", "0")), S.FILLED, "2", "2"
    ),
    "exactly the old quantity, and then the new": History(
        AMEND, (replaced("2"), a_fill("1", "1", "1"), a_fill("2", "1", "0")), S.FILLED, "2", "2"
    ),
    "the old quantity, the replace too late": History(
        AMEND, (a_fill("1", "1", "0"), refused(ReplaceRejected, S.FILLED)), S.FILLED, "1"
    ),
    "replaced by less, and full with it": History(
        LESS, (a_fill("1", "0.4", "0.6"), replaced("0.4")), S.FILLED, "0.4", "0.4"
    ),
    "replaced, then canceled": History(
        (*AMEND, *STOP), (replaced("2"), a_fill("1", "1", "1"), canceled("1")), S.CANCELED, "1", "2"
    ),
    "replaced by less, then canceled too late": History(
        (*LESS, *STOP),
        (a_fill("1", "0.4", "0.6"), replaced("0.4"), refused(CancelRejected, S.FILLED)),
        S.FILLED,
        "0.4",
        "0.4",
    ),
    "neither replaced nor canceled": History(
        (*AMEND, *STOP),
        (refused(ReplaceRejected, S.OPEN), refused(CancelRejected, S.OPEN), a_fill("1", "1", "0")),
        S.FILLED,
        "1",
    ),
    "rests": History((), (ACCEPTED, a_fill("1", "0.4", "0.6")), S.PARTIALLY_FILLED, "0.4"),
    "rests as it was": History(AMEND, (refused(ReplaceRejected, S.OPEN),), S.OPEN, "0"),
}


def arrivals(reports: Iterable[Report]) -> Iterator[tuple[Report, ...]]:
    """Every order, every one twice, and every one lost."""
    reports = tuple(reports)
    for some in permutations(reports):
        yield some
        for lost in range(len(some)):
            yield some[:lost] + some[lost + 1 :]
        for twice in range(len(some)):
            for place in range(twice + 1, len(some) + 1):
                yield (*some[:place], some[twice], *some[place:])


@pytest.mark.parametrize("started", [S.SENT, S.UNKNOWN, S.OPEN], ids=str)
@pytest.mark.parametrize("name", HISTORIES)
def test_however_it_arrives_it_ends_as_at_the_venue(name: str, started: S) -> None:
    history = HISTORIES[name]
    if started is not S.OPEN and (history.requests or (started is S.UNKNOWN and ACCEPTED not in history.reports)):
        started = S.OPEN
    for reports in arrivals(history.reports):
        desk = Desk(an_order(started, venue_order_id=None if ACCEPTED in history.reports else "V-1"))
        desk.unanswered = {"o-1": K.SUBMIT} if started is not S.OPEN else {}
        for kind, qty in history.requests:
            desk.request(kind, qty)
        for report in reports:
            desk.take(report)
        if not desk.order.terminal or desk.order.cum_qty != D(history.cum):
            desk.take(history.snapshot())  # what the deadlines of requests would ask for
        if REPLACE in desk.unanswered:  # it is sent again, and refused again
            desk.take(refused(ReplaceRejected, S.OPEN))
        order = desk.order
        assert order.cum_qty == D(history.cum), reports
        told_all = len(reports) >= len(history.reports)
        if history.status in TERMINAL:
            assert order.terminal, (reports, order.status)
            assert order.status is history.status or "late_fill" in desk.alerts or "overfilled" in desk.alerts, reports
        else:
            assert order.status is history.status and order.pending_qty is None
        if told_all and not desk.alerts and history.status is S.FILLED:
            assert order.qty == D(history.qty), reports


def test_a_cancel_at_any_moment_of_a_fill_ends_with_all_that_was_filled() -> None:
    lots = [a_fill("1", "0.3", "0.7"), a_fill("2", "0.3", "0.4"), a_fill("3", "0.4", "0")]
    for filled, moment in product(range(4), range(4)):
        final: Any = canceled(str(sum((fill.qty for fill in lots[:filled]), ZERO)))
        if filled == 3:
            final = refused(CancelRejected, S.FILLED)
        for reports in permutations([ACCEPTED, *lots[:filled], final]):
            desk = Desk(an_order(S.SENT), {"o-1": K.SUBMIT})
            for number, report in enumerate(reports):
                if number == moment and desk.order.status is not S.UNKNOWN:
                    desk.request(K.CANCEL)
                desk.take(report)
            if desk.asks and not desk.order.terminal:  # the venue named more than it had told; it is asked
                done = said(OrderSnapshot, known=True, status=S.CANCELED, cum_qty=final.cum_qty, fills=())
                desk.take(done)
            assert desk.order.cum_qty == sum((fill.qty for fill in lots[:filled]), ZERO)
            assert desk.order.terminal or isinstance(final, CancelRejected)


# -- by name -------------------------------------------------------------------------------------------------


def test_the_old_quantity_fills_while_an_amendment_travels_and_nothing_stays_held() -> None:
    desk = Desk(an_order(S.OPEN))
    desk.request(K.REPLACE, "5")
    assert desk.order.needed_hold(RATE, 8) == D("500.50")
    desk.take(a_fill("1", "1", "0"))
    assert (desk.order.status, desk.order.pending_qty) == (S.FILLED, None)
    assert desk.order.needed_hold(RATE, 8) == ZERO
    desk.take(refused(ReplaceRejected, S.FILLED))
    assert desk.order.status is S.FILLED and not desk.alerts


def test_a_venue_that_does_not_say_what_it_still_works_is_waited_for() -> None:
    desk = Desk(an_order(S.OPEN))
    desk.request(K.REPLACE, "2")
    desk.take(a_fill("1", "1"))
    assert (desk.order.status, desk.order.leaves_qty) == (S.PENDING_REPLACE, ZERO)
    assert desk.order.needed_hold(RATE, 8) == D("100.10"), "for what the amendment may still buy"
    desk.take(replaced("2"))
    assert (desk.order.status, desk.order.leaves_qty) == (S.PARTIALLY_FILLED, D(1))


@pytest.mark.parametrize("end", [canceled("1"), said(Expired), said(Rejected)], ids=["canceled", "expired", "rejected"])
def test_an_end_after_the_old_quantity_was_filled_tells_that_the_replace_had_arrived(end: Report) -> None:
    desk = Desk(an_order(S.OPEN))
    desk.request(K.REPLACE, "2")
    desk.take(a_fill("1", "1", "1"))
    desk.take(end)
    assert desk.order.status in (S.CANCELED, S.EXPIRED, S.REJECTED)
    assert (desk.order.qty, desk.order.cum_qty) == (D(2), D(1))


def test_a_fill_that_overtakes_its_replaced_is_of_the_new_terms() -> None:
    desk = Desk(an_order(S.OPEN))
    desk.request(K.REPLACE, "4")
    desk.take(a_fill("1", "4", "0"))
    assert (desk.order.status, desk.order.qty, desk.order.cum_qty, desk.alerts) == (S.FILLED, D(4), D(4), [])
    desk.take(replaced("4"))
    assert (desk.order.status, desk.order.qty) == (S.FILLED, D(4))


def test_a_replaced_does_not_make_a_cancel_forgotten() -> None:
    desk = Desk(an_order(S.OPEN))
    desk.request(K.REPLACE, "2")
    desk.request(K.CANCEL)
    applied = desk.take(replaced("2"))
    assert applied is not None and applied.ask is None, "the cancel travels, it is not sent twice"
    assert (applied.moved, desk.order.status, desk.order.qty) == (True, S.PENDING_CANCEL, D(2))
    desk.take(canceled("0"))
    assert desk.order.status is S.CANCELED


def test_what_somebody_asked_a_moment_ago_outlives_an_answer_about_the_order() -> None:
    """The engine has not even sent it: no request of it is on its way, only the status tells."""
    known = said(OrderSnapshot, known=True, status=S.OPEN, qty=D(1), price=D(100), cum_qty=ZERO)
    applied = apply(an_order(S.PENDING_CANCEL), known, NONE, NOW)
    assert (applied.order.status, applied.ask) == (S.PENDING_CANCEL, K.CANCEL)
    applied = apply(an_order(S.PENDING_REPLACE), known, NONE, NOW)
    assert (applied.order.status, applied.order.pending_qty, applied.ask) == (S.PENDING_REPLACE, D(2), K.REPLACE)
    applied = apply(an_order(S.PENDING_CANCEL), said(ReplaceRejected, status=S.OPEN), NONE, NOW)
    assert applied.order.status is S.PENDING_CANCEL
    applied = apply(an_order(S.PENDING_REPLACE), said(CancelRejected, status=S.OPEN), NONE, NOW)
    assert (applied.order.status, applied.order.pending_qty) == (S.PENDING_REPLACE, D(2))


def test_a_snapshot_that_has_more_than_we_know_waits_for_the_fills() -> None:
    for status in (S.OPEN, S.SENT, S.PENDING_CANCEL):
        more = said(OrderSnapshot, known=True, status=S.CANCELED, qty=D(1), cum_qty=D("0.4"))
        applied = apply(an_order(status), more, NONE, NOW)
        assert (applied.order.status, applied.ask) == (S.UNKNOWN, K.QUERY)
        again = apply(applied.order, more, NONE, NOW)
        assert (again.moved, again.ask) == (False, None), "the clock asks again, not the answer"
        filled = apply(again.order, a_fill("1", "0.4", "0"), NONE, NOW)
        assert apply(filled.order, more, NONE, NOW).order.status is S.CANCELED


def test_a_snapshot_ends_an_order_in_every_way_there_is() -> None:
    for status in (S.CANCELED, S.EXPIRED, S.REJECTED):
        over = said(OrderSnapshot, known=True, status=status, cum_qty=ZERO, reason="no")
        applied = apply(an_order(S.UNKNOWN), over, NONE, NOW)
        assert applied.order.status is status
        assert applied.order.reject_reason == ("no" if status is S.REJECTED else None)
    # filled, of a quantity that we never heard of
    filled = said(OrderSnapshot, known=True, status=S.FILLED, cum_qty=D("0.4"), fills=(a_fill("1", "0.4"),))
    desk = Desk(an_order(S.UNKNOWN))
    desk.take(filled)
    assert (desk.order.status, desk.order.qty) == (S.FILLED, D("0.4"))
    # filled, and it does not say how much: all of it, and the fills are missing
    applied = apply(an_order(S.SENT), said(OrderSnapshot, known=True, status=S.FILLED), NONE, NOW)
    assert applied.order.status is S.UNKNOWN
    with pytest.raises(Contradiction, match="with nothing"):
        apply(an_order(S.SENT), said(OrderSnapshot, known=True, status=S.FILLED, cum_qty=ZERO), NONE, NOW)


def test_an_order_the_venue_never_heard_of_is_sent_again_or_is_over_if_it_was_to_be_canceled() -> None:
    nothing = said(OrderSnapshot, known=False)
    for status in (S.PENDING_SEND, S.SENT, S.UNKNOWN):
        order = an_order(status, venue_order_id=None)
        assert apply(order, nothing, NONE, NOW).ask is K.SUBMIT
        assert apply(order, nothing, frozenset({K.CANCEL}), NOW).order.status is S.CANCELED
    pending = an_order(S.PENDING_CANCEL, venue_order_id=None)
    assert apply(pending, nothing, NONE, NOW).order.status is S.CANCELED
    assert apply(pending, said(CancelRejected, known=False), NONE, NOW).order.status is S.CANCELED
    for status in (S.OPEN, S.PARTIALLY_FILLED, S.PENDING_REPLACE):
        with pytest.raises(Contradiction, match="knows it no more"):
            apply(an_order(status, venue_order_id=None), nothing, NONE, NOW)


def test_an_order_that_was_given_up_and_is_accepted_after_all_is_canceled_there() -> None:
    for status in (S.CANCELED, S.FAILED):
        applied = apply(an_order(status, venue_order_id=None), ACCEPTED, NONE, NOW)
        assert (applied.order.status, applied.order.venue_order_id, applied.ask) == (status, "V-1", K.CANCEL)
        assert apply(applied.order, ACCEPTED, NONE, NOW).ask is None


@pytest.mark.parametrize("status", sorted(TERMINAL - {S.FILLED}), ids=str)
def test_a_late_fill_is_booked_told_and_changes_nothing_else(status: S) -> None:
    order = an_order(status)
    applied = apply(order, a_fill("1", "0.4"), NONE, NOW + timedelta(hours=1))
    assert (applied.order.status, applied.order.cum_qty, applied.order.leaves_qty) == (status, D("0.4"), ZERO)
    assert applied.alert is not None and applied.alert[0] == "late_fill"
    assert applied.order.closed_at == NOW, "it was over then"
    rest = apply(applied.order, a_fill("2", "0.6"), NONE, NOW)
    assert rest.order.status is S.FILLED and rest.alert is not None


@pytest.mark.parametrize("status", [S.SENT, S.OPEN, S.PARTIALLY_FILLED, S.UNKNOWN, S.PENDING_CANCEL, S.FILLED], ids=str)
def test_more_than_was_ordered_is_booked_and_told(status: S) -> None:
    order = an_order(status)
    applied = apply(order, a_fill("1", "3"), NONE, NOW)
    assert (applied.order.status, applied.order.cum_qty) == (S.FILLED, order.cum_qty + 3)
    assert applied.order.qty == applied.order.cum_qty
    assert applied.alert is not None and applied.alert[0] == "overfilled"


def test_the_average_price_is_that_of_the_fills() -> None:
    order = an_order(S.OPEN)
    for trade, qty, price in (("1", "0.3", "99"), ("2", "0.7", "100")):
        order = apply(order, a_fill(trade, qty, price=price), NONE, NOW).order
    assert order.avg_px == D("99.7")
    assert (order.first_fill_at, order.last_fill_at) == (NOW, NOW)


def test_silence_makes_an_order_unknown_and_asks() -> None:
    for status in LIVE - {S.NEW, S.UNKNOWN}:
        applied = apply(an_order(status), said(Unanswered), NONE, NOW)
        assert (applied.order.status, applied.ask) == (S.UNKNOWN, K.QUERY)
        assert applied.order.needed_hold(RATE, 8) > 0, "it keeps its hold"
    applied = apply(an_order(S.UNKNOWN), said(Unanswered), NONE, NOW)
    assert (applied.moved, applied.ask) == (False, K.QUERY)


def test_a_row_is_read_and_written_whole() -> None:
    order = an_order(S.PENDING_REPLACE)
    assert OrderState.of(order.row()) == order
    assert set(order.row()) == set(ORDER_COLUMNS)
    market = order._replace(type=OrderType.MARKET, price=None, protection_px=None)
    assert market.worst_price == ZERO

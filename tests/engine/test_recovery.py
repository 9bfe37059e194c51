"""kill -9 at every point: the ordinary start repairs it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa

from app.adapters.venues.simulated import Behaviour
from app.core.clock import ManualClock
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.execution import OrderState
from app.domain.quotes import Quote
from app.engine import booking
from app.engine.engine import Engine
from app.engine.lease import Lease, LeaseLost
from app.engine.requests import Requests
from app.models import EngineFault, Event, Execution, Position
from app.services.faults import ask_retry as retry
from tests.firm import AT_ONCE, Firm


class Killed(BaseException):
    """Not an Exception: nothing may catch it, as nothing survives kill -9."""


def die(*_: Any, **__: Any) -> Any:
    raise Killed


POINTS = [
    "before the claim commits",
    "after the claim, before the send",
    "inside the fill transaction",
    "after the fill, before the push",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_loses_no_order_and_books_no_fill_twice(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    order = firm.send(wallet, qty="0.1", stop_loss="49000")
    with monkeypatch.context() as patch:
        if point == "before the claim commits":
            patch.setattr(Requests, "flush", die)
        elif point == "after the claim, before the send":
            patch.setattr(firm.engine.send, "hand_over", die)
        elif point == "inside the fill transaction":
            patch.setattr(booking.Booking, "_book_fill", die)
        else:
            pushed = firm.recorder.events

            def until_filled(events: list[dict[str, Any]]) -> None:
                if any(event["type"] == "order.filled" for event in events):
                    raise Killed
                pushed(events)

            patch.setattr(firm.recorder, "events", until_filled)
        with pytest.raises(Killed):
            firm.settle()
    firm.crash()
    firm.quote("BTC/USDT", "50000", "50000")
    assert firm.order(order["id"])["status"] == "FILLED"
    assert [e["order_id"] for e in firm.all(Execution)] == [order["id"]]
    firm.quote("BTC/USDT", "48900", "48900")
    assert firm.position(wallet)["status"] == "CLOSED"
    cursors = [event["cursor"] for event in firm.recorder.pushed]
    assert sorted(set(cursors)) == list(range(1, len(firm.all(Event)) + 1)), "every event was pushed"
    firm.reconciled()


def test_resting_and_partly_filled_orders_go_on_where_they_were(database: Database, clock: ManualClock) -> None:
    slow = Behaviour(latency=timedelta(seconds=2), partial_rate=D(1), slippage_bps=D(0))
    firm = Firm(database, clock, slow).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")
    firm.run_for(3)
    firm.quote("BTC/USDT", "48990", "49000")
    assert firm.order(order["id"])["cum_qty"] == D("0.04")
    firm.crash()
    firm.quote("BTC/USDT", "48980", "48990")
    firm.run_for(3)
    assert firm.order(order["id"])["status"] == "FILLED"
    assert sorted(e["qty"] for e in firm.all(Execution)) == [D("0.04"), D("0.06")]
    firm.reconciled()
    firm.engine.lease.release()


@pytest.mark.parametrize("seconds", [0.3, 0.5], ids=["sent", "partly filled"])
def test_a_market_order_outlives_a_restart_that_is_faster_than_the_feed(
    database: Database, clock: ManualClock, seconds: float
) -> None:
    slow = Behaviour(latency=timedelta(milliseconds=400), partial_rate=D(1), slippage_bps=D(0))
    firm = Firm(database, clock, slow).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    order, unlucky = firm.send(wallet, qty="0.1"), firm.send(wallet, qty="0.2")
    firm.run_for(seconds)
    status = firm.order(order["id"])["status"]
    assert status == ("SENT" if seconds == 0.3 else "PARTIALLY_FILLED")
    firm.crash()
    firm.run_for(2)
    assert firm.order(order["id"])["status"] == status, "there is no quote yet to judge it by"
    firm.database.run(lambda s: firm.orders.cancel(s, unlucky["id"], actor="t", now=firm.clock.now()))
    firm.run_for(1)
    assert firm.order(unlucky["id"])["status"] == "CANCELED"
    firm.quote("BTC/USDT", "50000", "50000")
    firm.run_for(1)
    assert firm.order(order["id"])["status"] == "FILLED"
    assert firm.order(unlucky["id"])["status"] == "CANCELED"
    firm.reconciled()
    firm.engine.lease.release()


@pytest.mark.postgres
def test_a_lock_that_is_lost_between_two_polls_is_noticed_by_the_next_heartbeat(
    postgres_database: Database, clock: ManualClock
) -> None:
    """As after a restart of the database that nobody was asking at that moment."""
    firm = Firm(postgres_database, clock).start()
    firm.engine.step(clock.now())
    end = sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert postgres_database.run(lambda session: session.execute(end).all())
    with pytest.raises(LeaseLost, match="the lock is gone"):
        for _ in range(5):
            clock.advance(1.1)
            firm.engine.step(clock.now())
    firm.engine.lease.release()
    assert firm.engine.start()
    assert firm.engine.lease.epoch == 2
    firm.engine.lease.release()


def test_an_engine_that_leads_again_does_not_judge_by_the_quotes_of_its_first_time(
    sqlite_database: Database, clock: ManualClock
) -> None:
    """Another engine led meanwhile: its orders wait for the feed here, as after a restart."""
    firm = Firm(sqlite_database, clock, Behaviour(latency=timedelta(milliseconds=200), slippage_bps=D(0))).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.engine.lease.release()
    clock.advance(60)
    now = clock.now()
    firm.quotes.put(Quote("BTC/USDT", D(50000), D(50000), None, now, now, "the other engine"))
    order = firm.send(wallet, qty="0.1")
    assert firm.engine.start()
    firm.run_for(1)
    assert firm.order(order["id"])["status"] == "SENT"
    firm.quote("BTC/USDT", "50000", "50000")
    firm.run_for(1)
    assert firm.order(order["id"])["status"] == "FILLED"
    firm.reconciled()
    firm.engine.lease.release()


def test_a_market_order_does_not_wait_for_ever_for_a_feed_that_stays_silent(
    sqlite_database: Database, clock: ManualClock
) -> None:
    firm = Firm(sqlite_database, clock, Behaviour(latency=timedelta(milliseconds=400), slippage_bps=D(0))).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    order = firm.send(wallet, qty="0.1")
    firm.run_for(0.2)
    firm.crash()
    firm.run_for(16)
    row = firm.order(order["id"])
    assert (row["status"], row["reject_code"]) == ("REJECTED", "STALE_QUOTE")
    assert firm.balance(wallet, "USDT") == D(100000)
    firm.reconciled()
    firm.engine.lease.release()


def test_a_cancel_on_its_way_when_the_process_dies_is_sent_again(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")
    firm.settle()
    firm.database.run(lambda s: firm.orders.cancel(s, order["id"], actor="t", now=firm.clock.now()))
    firm.crash()
    firm.settle()
    assert firm.order(order["id"])["status"] == "CANCELED"
    firm.reconciled()


def test_a_cancel_that_overtook_the_sent_mark_does_not_strand_a_partial_fill(
    database: Database, clock: ManualClock
) -> None:
    slow = Behaviour(latency=timedelta(milliseconds=200), partial_rate=D(1), slippage_bps=D(0))
    firm = Firm(database, clock, slow).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    order = firm.send(wallet, qty="0.1")
    firm.engine.step(clock.now())
    assert firm.order(order["id"])["status"] == "PENDING_SEND", "sent, and not yet marked as sent"
    clock.advance(0.05)
    firm.database.run(lambda s: firm.orders.cancel(s, order["id"], actor="t", now=clock.now()))
    firm.engine.wake()
    firm.engine.step(clock.now())
    assert firm.order(order["id"])["submitted_at"] is not None
    clock.advance(0.15)
    firm.engine.step(clock.now())
    row = firm.order(order["id"])
    assert (row["status"], row["cum_qty"]) == ("PENDING_CANCEL", D("0.04"))
    firm.crash()
    firm.quote("BTC/USDT", "50000", "50000")
    firm.run_for(2)
    row = firm.order(order["id"])
    assert row["status"] in {"FILLED", "CANCELED"} and row["held"] == 0
    firm.reconciled()
    firm.engine.lease.release()


def test_a_level_that_fired_before_the_crash_exits_once_after_it(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    with monkeypatch.context() as patch:
        patch.setattr(firm.engine.send, "hand_over", die)
        with pytest.raises(Killed):
            firm.quote("BTC/USDT", "48900", "48900")
    firm.crash()
    firm.quote("BTC/USDT", "48900", "48900")
    firm.quote("BTC/USDT", "48800", "48800")
    assert firm.position(wallet)["status"] == "CLOSED"
    assert len(firm.all(Execution)) == 2
    firm.reconciled()


def test_one_engine_per_database_and_a_stale_one_changes_nothing(firm: Firm) -> None:
    second = firm.new_engine()
    assert not second.start()
    stale = firm.engine
    firm.crash()  # the epoch grows
    stale.lease.epoch = 1
    stale.wake()
    with pytest.raises(LeaseLost):
        stale.step(firm.clock.now())
    assert firm.engine.lease.epoch == 2


def test_the_lease_is_free_again_when_its_holder_is_gone(database: Database, clock: ManualClock) -> None:
    first, second = Lease(database), Lease(database)
    assert first.acquire(clock.now())
    assert not second.acquire(clock.now())
    first.release()
    assert second.acquire(clock.now())
    second.release()


def test_a_poison_order_is_parked_with_an_alert_and_the_rest_goes_on(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    poison, healthy = firm.send(wallet, qty="0.1"), firm.send(wallet, qty="0.2")
    original = booking.Booking._book_fill

    def fill(self: booking.Booking, before: Any, order: Any, report: Any) -> Any:
        if order.id == poison["id"]:
            raise RuntimeError("poison")
        return original(self, before, order, report)

    monkeypatch.setattr(booking.Booking, "_book_fill", fill)
    firm.settle()
    assert firm.order(healthy["id"])["status"] == "FILLED"
    faults = firm.all(EngineFault)
    assert [(f["object_id"], f["stage"]) for f in faults] == [(poison["id"], "booking")]
    assert "35=8" in faults[0]["context"]
    alerts = [event for event in firm.all(Event) if event["type"] == "alert.engine"]
    assert len(alerts) == 1
    # nothing overtakes what could not be booked, and a start changes nothing about that
    firm.crash()
    firm.quote("BTC/USDT", "50000", "50000")
    assert firm.order(poison["id"])["status"] == "PENDING_SEND"
    # once the cause is mended somebody has it retried: its reports have waited for it
    monkeypatch.undo()
    firm.database.run(lambda s: retry(s, faults[0]["id"], SYSTEM, firm.clock.now()))
    firm.settle()
    assert firm.order(poison["id"])["status"] == "FILLED"
    assert firm.all(EngineFault)[0]["resolution"] == "retried"
    firm.reconciled()


def test_an_order_that_cannot_be_sent_does_not_block_the_others(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    poison, healthy = firm.send(wallet, qty="0.1"), firm.send(wallet, qty="0.2")
    original = firm.engine.sending.venue_order

    def venue_order(order: OrderState) -> Any:
        if order.id == poison["id"]:
            raise RuntimeError("poison")
        return original(order)

    monkeypatch.setattr(firm.engine.sending, "venue_order", venue_order)
    firm.settle()
    firm.settle()
    assert firm.order(healthy["id"])["status"] == "FILLED"
    assert firm.order(poison["id"])["status"] == "NEW"
    faults = firm.all(EngineFault)
    assert [(f["stage"], f["object_id"]) for f in faults] == [("send", poison["id"])]
    monkeypatch.undo()
    firm.database.run(lambda s: retry(s, faults[0]["id"], SYSTEM, firm.clock.now()))
    firm.settle()
    assert firm.order(poison["id"])["status"] == "FILLED"


def test_a_rejected_exit_is_tried_again(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    firm.venue.behaviour = Behaviour(latency=timedelta(0), reject_rate=D(1))
    firm.quote("BTC/USDT", "48900", "48900")
    assert firm.position(wallet)["status"] == "OPEN"
    firm.venue.behaviour = AT_ONCE
    firm.quote("BTC/USDT", "48800", "48800")
    position = firm.position(wallet)
    assert (position["status"], position["exit_reason"]) == ("CLOSED", "stop_loss")
    firm.reconciled()


def test_one_slow_order_does_not_delay_another(database: Database, clock: ManualClock) -> None:
    firm = Firm(database, clock, Behaviour(latency=timedelta(milliseconds=200), partial_rate=D("0.5"))).start()
    _, wallet = firm.client(USDT="100000000")
    firm.quote("BTC/USDT", "50000", "50010")
    ids = [firm.send(wallet, qty="0.01")["id"] for _ in range(60)]
    firm.run_for(0.8)  # three latencies: acknowledge, first lot, the rest - for all of them
    assert {firm.order(order_id)["status"] for order_id in ids} == {"FILLED"}
    firm.reconciled()
    firm.engine.lease.release()


def test_the_engine_survives_a_database_that_is_away_for_a_while(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.core.errors import Unavailable

    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    order = firm.send(wallet, qty="0.1")
    firm.engine.step(firm.clock.now())
    with monkeypatch.context() as patch:

        def away(*_: Any, **__: Any) -> Any:
            raise Unavailable("gone")

        patch.setattr(firm.database, "run", away)
        with pytest.raises(Unavailable):
            firm.engine.step(firm.clock.now())
    firm.settle()
    assert firm.order(order["id"])["status"] == "FILLED"
    assert len(firm.all(Position)) == 1
    firm.reconciled()


def test_the_loop_stops_when_asked(firm: Firm) -> None:
    import threading

    firm.engine.lease.release()
    engine: Engine = firm.new_engine()
    thread = threading.Thread(target=engine.run)
    thread.start()
    engine.stop()
    thread.join(10)
    assert not thread.is_alive()
    lease = Lease(firm.database)
    assert lease.acquire(firm.clock.now())
    lease.release()

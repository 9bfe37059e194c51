"""What is older than it looks: answers of a venue, quotes, levels; and ends nobody was told of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from app.adapters.venues.simulated import Behaviour
from app.core.clock import ManualClock
from app.core.errors import Unavailable
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.order_requests import OrderRules
from app.domain.protection import Protection
from app.domain.quotes import Quote
from app.models import EngineFault, Execution, Order
from app.services import commands
from tests.firm import Firm
from tests.venues import FarVenue

SLOW = Behaviour(latency=timedelta(milliseconds=200), slippage_bps=D(0))


def slow_firm(database: Database, clock: ManualClock, **behaviour: Any) -> Firm:
    return Firm(database, clock, replace(SLOW, **behaviour)).start()


def test_answers_from_before_a_disconnect_ended_do_not_give_an_order_up(
    sqlite_database: Database, clock: ManualClock
) -> None:
    firm = slow_firm(sqlite_database, clock)
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.venue.behaviour = replace(SLOW, disconnected=True)
    order = firm.send(wallet, qty="0.1")
    firm.run_for(40, 0.5)
    assert firm.order(order["id"])["status"] == "UNKNOWN"
    firm.venue.behaviour = SLOW
    firm.quote("BTC/USDT", "50000", "50000")
    firm.run_for(8, 0.2)
    row = firm.order(order["id"])
    assert (row["status"], row["reject_code"], row["held"]) == ("FILLED", None, 0)
    firm.reconciled()
    firm.engine.lease.release()


def test_i_do_not_know_this_order_said_twice_is_said_once(sqlite_database: Database, clock: ManualClock) -> None:
    firm = slow_firm(sqlite_database, clock, duplicate_rate=D(1))
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")
    firm.settle()
    firm.crash()
    firm.quote("BTC/USDT", "50000", "50010", 0.1)
    firm.run_for(6, 0.2)
    assert (firm.order(order["id"])["status"], firm.all(EngineFault)) == ("OPEN", [])
    firm.quote("BTC/USDT", "48990", "49000")
    firm.run_for(3, 0.2)
    assert firm.order(order["id"])["status"] == "FILLED"
    firm.reconciled()
    firm.engine.lease.release()


def test_an_end_whose_word_was_lost_is_found_out(sqlite_database: Database, clock: ManualClock) -> None:
    firm = slow_firm(sqlite_database, clock, lost_ack_rate=D("0.5"))
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    limit = {"type": "LIMIT", "time_in_force": "IOC", "qty": "0.01", "price": "49000"}
    ids = [firm.send(wallet, **limit)["id"] for _ in range(40)]
    firm.run_for(1, 0.2)
    assert "OPEN" in {firm.order(order_id)["status"] for order_id in ids}, "some ends were lost"
    firm.run_for(60, 1)
    assert {firm.order(order_id)["status"] for order_id in ids} == {"CANCELED"}
    assert firm.balance(wallet, "USDT", "held") == 0
    firm.reconciled()
    firm.engine.lease.release()


def test_an_engine_that_leads_again_does_not_judge_by_quotes_from_before(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    first, now = firm.engine, firm.clock.now()
    first.inbox.put(Quote("BTC/USDT", D(48990), D(48990), None, now, now, "test"))
    first.lease.release()
    firm.engine = firm.new_engine()
    firm.start()  # another one leads for an hour, and dies
    firm.clock.advance(3600)
    firm.engine.lease.release()
    firm.engine = first
    firm.start()
    first.step(firm.clock.now())
    assert firm.position(wallet)["status"] == "OPEN"


def test_a_level_that_was_moved_does_not_close_what_a_fill_has_armed_again(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.send(wallet, type="LIMIT", qty="0.1", price="48950")
    firm.settle()
    lower = Protection(stop_loss=D(48000))
    firm.database.run(
        lambda s: firm.positions.protect(s, firm.held_position(wallet), lower, actor="t", now=firm.clock.now())
    )
    firm.quote("BTC/USDT", "48940", "48950")  # through the old stop, and into the resting entry
    position = firm.position(wallet)
    assert (position["status"], position["qty"], position["stop_loss_px"]) == ("OPEN", D("0.2"), D(48000))


def test_a_command_that_raises_stops_nobody_and_is_not_tried_again(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_payload: Any) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(firm.engine, "_on_command", {"quote": broken})
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.database.run(lambda s: commands.hand_over(s, "quote", {}, SYSTEM, firm.clock.now()))
    order = firm.send(wallet, qty="0.1")
    firm.settle()
    assert firm.order(order["id"])["status"] == "FILLED"
    newest = firm.database.read(lambda s: commands.newest(s, "quote"))
    assert newest is not None and "nobody foresaw" in newest["error"]


def test_what_a_far_venue_has_said_outlives_a_database_that_is_away(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fill that crossed the cancel: nobody asks about a canceled order any more."""
    far = FarVenue(firm.clock, "FAR")
    firm.gateways, firm.rules = (far,), OrderRules(venues={"paper": "FAR"})
    firm.crash()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")
    firm.run_for(2, 0.5)
    firm.database.run(lambda s: firm.orders.cancel(s, order["id"], actor="t", now=firm.clock.now()))
    firm.run_for(3, 0.5)
    assert firm.order(order["id"])["status"] == "CANCELED"
    far.trade(order["id"], "0.1", "49000")
    firm.clock.advance(1)
    with monkeypatch.context() as patch:

        def away(*_: Any, **__: Any) -> Any:
            raise Unavailable("gone")

        patch.setattr(firm.database, "run", away)
        with pytest.raises(Unavailable):
            firm.engine.run_until_idle(firm.clock.now())
    firm.run_for(2, 0.5)
    assert [execution["order_id"] for execution in firm.all(Execution)] == [order["id"]]
    assert firm.all(Order)[0]["cum_qty"] == D("0.1")
    firm.reconciled()

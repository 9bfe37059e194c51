"""Requests, fills and ticks that meet: what was found by looking for trouble, and stays mended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.core.errors import AppError, Invalid, OutcomeUnknown
from app.domain.orders import OrderSource
from app.domain.protection import Protection
from app.engine.relay import Relay
from app.models import Client, Event, Execution, Order, Wallet
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from app.services.events import Events
from tests.firm import Firm


def amend(firm: Firm, client: str, wallet: str, order_id: str, qty: str) -> None:
    def work(session: Any) -> None:
        firm.orders.amend(
            session,
            session.get_one(Client, client),
            session.get_one(Wallet, wallet),
            order_id,
            D(qty),
            None,
            actor="t",
            now=firm.clock.now(),
        )

    firm.database.run(work)


def close(firm: Firm, client: str, wallet: str, qty: str | None) -> dict[str, Any]:
    def work(session: Any) -> dict[str, Any]:
        return firm.positions.close(
            session,
            session.get_one(Client, client),
            session.get_one(Wallet, wallet),
            firm.held_position(wallet),
            D(qty) if qty else None,
            None,
            actor="t",
            source=OrderSource.API,
            now=firm.clock.now(),
        )

    return firm.database.run(work)


def test_a_partial_fill_while_a_replace_travels_keeps_what_the_new_terms_need(firm: Firm) -> None:
    client, wallet = firm.client(USDT="100000")
    firm.venue.behaviour = replace(firm.behaviour, latency=timedelta(milliseconds=200), partial_rate=D(1))
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.01", price="49000")
    firm.run_for(0.6)
    amend(firm, client, wallet, order["id"], "0.02")
    firm.engine.wake()
    firm.engine.step(firm.clock.now())
    firm.quote("BTC/USDT", "48990", "49000", 0.15)  # a first lot, before the venue has heard of the replace
    assert firm.order(order["id"])["cum_qty"] == D("0.004")
    firm.run_for(2)
    firm.quote("BTC/USDT", "48990", "49000")
    firm.run_for(2)
    row = firm.order(order["id"])
    assert (row["status"], row["cum_qty"], row["cum_value"]) == ("FILLED", D("0.02"), D(980))
    assert firm.balance(wallet, "USDT", "total") == D(100000) - D("980.98")
    firm.reconciled()


@pytest.mark.parametrize(
    "legs",
    [
        {"trailing_stop": {"type": "amount", "value": "1.00000000001"}},
        {"trailing_stop": {"type": "percent", "value": "1", "activation_price": "51000.001"}},
        {"trailing_stop": {"type": "percent", "value": "0.000000000000001"}},
        {"break_even_percent": "1000000000"},
    ],
)
def test_exits_that_could_not_be_watched_are_refused_at_the_door(small_firm: Firm, legs: dict[str, Any]) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    with pytest.raises(Invalid):
        firm.send(wallet, qty="0.1", **legs)


def test_a_position_that_cannot_be_watched_does_not_stop_the_others(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")

    def broken(row: Any) -> None:
        raise ValueError("levels nobody foresaw")

    monkeypatch.setattr(firm.engine.levels, "arm", broken)
    orders = [firm.send(wallet, qty="0.1", stop_loss="49000") for _ in range(2)]
    firm.settle()
    assert {firm.order(order["id"])["status"] for order in orders} == {"FILLED"}
    firm.crash()


def test_the_old_stop_does_not_fire_once_the_new_one_was_accepted(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49500")
    firm.settle()
    firm.database.run(
        lambda s: firm.positions.protect(
            s, firm.held_position(wallet), Protection(stop_loss=D(48000)), actor="t", now=firm.clock.now()
        )
    )
    firm.quote("BTC/USDT", "49400", "49410")  # the engine has not armed the new one yet
    assert firm.position(wallet)["status"] == "OPEN"
    firm.quote("BTC/USDT", "47990", "48000")
    assert firm.position(wallet)["status"] == "CLOSED"


def test_a_fill_on_the_tick_that_raises_the_trail_does_not_lower_it(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", trailing_stop={"type": "percent", "value": "1"})
    firm.settle()
    firm.send(wallet, side="SELL", type="LIMIT", qty="0.05", price="51000")
    firm.settle()
    firm.quote("BTC/USDT", "51000", "51010")  # fills the sale and raises the best price at once
    firm.quote("BTC/USDT", "50490", "50500")  # 51,000 less 1 %
    position = firm.position(wallet)
    assert (position["status"], position["exit_reason"]) == ("CLOSED", "trailing_stop")


def test_closes_together_never_exceed_the_position(firm: Firm) -> None:
    client, wallet = firm.client(USDT="100000", BTC="1")  # there would be enough to sell
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    outcomes = [close(firm, client, wallet, "0.06")["status"] for _ in range(3)]
    assert outcomes == ["NEW", "REJECTED", "REJECTED"]
    firm.settle()
    assert sum(e["qty"] for e in firm.all(Execution) if e["side"] == "SELL") == D("0.06")
    firm.reconciled()


def test_a_reduce_only_sale_does_not_outlive_its_position(firm: Firm) -> None:
    client, wallet = firm.client(USDT="100000", BTC="1")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    resting = firm.send(wallet, side="SELL", type="LIMIT", qty="0.04", price="55000", reduce_only=True)
    firm.settle()
    with pytest.raises(AppError):
        amend(firm, client, wallet, resting["id"], "0.2")
    firm.quote("BTC/USDT", "48900", "48900")  # the stop takes it back and sells everything
    firm.run_for(3)
    assert firm.order(resting["id"])["status"] == "CANCELED"
    assert firm.position(wallet)["status"] == "CLOSED"
    sold = sum(e["qty"] for e in firm.all(Execution) if e["side"] == "SELL")
    assert sold == D("0.1")
    assert firm.balance(wallet, "BTC") == 1
    firm.reconciled()


def test_a_paused_wallet_may_still_get_out(small_firm: Firm) -> None:
    firm = small_firm
    client, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    firm.database.run(lambda s: setattr(s.get_one(Wallet, wallet), "status", "paused"))
    assert firm.send(wallet, qty="0.1")["reject_code"] == "WALLET_PAUSED"
    assert close(firm, client, wallet, None)["status"] == "NEW"


def test_a_lost_answer_of_a_commit_strands_no_order(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.engine.step(firm.clock.now())  # its heartbeat is not due again
    order = firm.send(wallet, qty="0.1")
    run = firm.database.run
    with monkeypatch.context() as patch:

        def committed_but_silent(work: Any, **options: Any) -> Any:
            found = run(work, **options)
            if options.get("write") is False:
                return found
            raise OutcomeUnknown("the connection broke during COMMIT")

        patch.setattr(firm.database, "run", committed_but_silent)
        with pytest.raises(OutcomeUnknown):
            firm.engine.step(firm.clock.now())
    assert firm.order(order["id"])["status"] == "PENDING_SEND"
    firm.settle()
    assert firm.order(order["id"])["status"] == "FILLED"
    firm.reconciled()


def test_events_that_could_not_be_pushed_are_pushed_later(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.settle()
    with monkeypatch.context() as patch:

        def down(events: list[dict[str, Any]]) -> None:
            raise ConnectionError("no message queue")

        patch.setattr(firm.recorder, "events", down)
        with pytest.raises(ConnectionError):
            firm.quote("BTC/USDT", "50000", "50000")
            firm.send(wallet, qty="0.1")
            firm.settle()
    assert firm.all(Order)[0]["status"] == "FILLED", "a push that fails delays no fill"
    firm.send(wallet, qty="0.1")
    firm.settle()
    cursors = [event["cursor"] for event in firm.recorder.pushed]
    assert cursors == list(range(1, max(cursors) + 1))


def test_an_engine_whose_start_failed_does_not_stand_in_its_own_way(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    firm.engine.lease.release()
    with monkeypatch.context() as patch:

        def poison(now: Any) -> None:
            raise RuntimeError("a row nobody foresaw")

        patch.setattr(firm.engine, "recover", poison)
        with pytest.raises(RuntimeError):
            firm.engine.start()
    assert firm.engine.start()


def test_an_engine_that_leads_again_knows_what_happened_meanwhile(firm: Firm) -> None:
    """Another engine cancelled the order; the first one, back in the lead, does not fill it."""
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")
    firm.settle()
    first = firm.engine
    first.lease.release()
    firm.engine = firm.new_engine()
    firm.start()
    firm.database.run(lambda s: firm.orders.cancel(s, order["id"], actor="t", now=firm.clock.now()))
    firm.settle()
    assert firm.order(order["id"])["status"] == "CANCELED"
    firm.engine.lease.release()
    firm.engine = first
    firm.start()
    firm.quote("BTC/USDT", "48000", "48010")
    assert firm.order(order["id"])["status"] == "CANCELED"
    assert firm.all(Execution) == []


def test_entries_of_one_wallet_see_each_other(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    request = validate(
        OrderIn, {"symbol": "BTC/USDT", "side": "SELL", "type": "MARKET", "qty": "0.1", "reduce_only": True}
    )
    entry = request.order_request(wallet, "t", OrderSource.API)
    outcomes = firm.database.run(lambda s: firm.orders.submit_many(s, [entry], firm.clock.now()))
    assert outcomes[0][0]["reject_code"] in {"REDUCE_ONLY", "INSUFFICIENT_BALANCE"}
    codes = [failure["code"] for failure in outcomes[0][0]["reject_values"]]
    assert codes == ["INSUFFICIENT_BALANCE", "REDUCE_ONLY"]
    assert len(firm.all(Order)) == 1


def test_a_position_whose_asset_was_spent_elsewhere_says_so_and_does_not_hang(firm: Firm) -> None:
    _, wallet = firm.client(PEN="10000")

    def quotes(usd: str) -> None:
        firm.quote("AAPL", "190", "190", 0.1)
        firm.quote("USD/PEN", usd, usd, 0.1)

    quotes("3.7450")
    firm.send(wallet, symbol="USD/PEN", qty="1000", stop_loss="3.7000")
    firm.settle()
    firm.send(wallet, symbol="AAPL", qty="5")  # spends 950.95 of the dollars
    firm.settle()
    for _ in range(3):
        quotes("3.6900")
    dollars = next(p for p in firm.engine.open_positions.values() if p.instrument_id == 7)
    assert dollars.status == "OPEN" and dollars.stop_loss_px is None
    alerts = [event["data"]["code"] for event in firm.recorder.pushed if event["type"] == "alert.engine"]
    assert alerts == ["exit_impossible"]
    firm.reconciled()


def test_a_close_that_is_repeated_answers_the_first_order(firm: Firm) -> None:
    client, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()

    def close_named() -> dict[str, Any]:
        return firm.database.run(
            lambda session: firm.positions.close(
                session,
                session.get_one(Client, client),
                session.get_one(Wallet, wallet),
                firm.held_position(wallet),
                None,
                "close-1",
                actor="t",
                source=OrderSource.API,
                now=firm.clock.now(),
            )
        )

    first = close_named()
    firm.settle()
    again = close_named()
    assert (again["id"], again["status"]) == (first["id"], "FILLED")


def test_a_relay_that_is_told_to_start_anew_in_the_middle_of_a_step_does(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another relay may have numbered meanwhile and died before it pushed: that is owed too."""
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    push, relay = firm.recorder.events, firm.engine.relay

    def die(_events: list[dict[str, Any]]) -> None:
        raise RuntimeError("it dies")

    def store(session: Session) -> None:
        events = Events(firm.clock.now())
        events.add("firm", "alert.test", "wallet", wallet, {})
        events.flush(session)

    def interrupted(events: list[dict[str, Any]]) -> None:
        push(events)
        monkeypatch.setattr(firm.recorder, "events", die)
        firm.database.run(store)
        with pytest.raises(RuntimeError):
            Relay(firm.database, firm.engine.lease, firm.recorder, firm.clock).step()
        monkeypatch.setattr(firm.recorder, "events", push)
        relay.forget()

    monkeypatch.setattr(firm.recorder, "events", interrupted)
    firm.send(wallet, qty="0.1")
    firm.settle()
    pushed = {event["cursor"] for event in firm.recorder.pushed}
    assert pushed == set(range(1, len(firm.all(Event)) + 1))


def test_a_dry_run_remembers_nothing(small_firm: Firm) -> None:
    firm = small_firm
    client, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.database.run(lambda s: setattr(s.get_one(Wallet, wallet), "daily_loss_usd", D(10)))
    request = validate(OrderIn, {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.1"})
    asked = request.order_request(wallet, "t", OrderSource.API)
    before = firm.all(Wallet)
    firm.database.read(
        lambda s: firm.orders.dry_run(s, s.get_one(Client, client), s.get_one(Wallet, wallet), asked, firm.clock.now())
    )
    assert firm.all(Wallet) == before


def test_a_reduce_only_order_that_was_not_sent_yet_is_cancelled_with_its_position(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000", BTC="1")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    firm.send(wallet, side="SELL", qty="0.1")
    firm.engine.step(firm.clock.now())  # sent, and filled at the venue: not booked yet
    late = firm.send(wallet, side="SELL", type="LIMIT", qty="0.1", price="50000", reduce_only=True)["id"]
    firm.settle()
    assert firm.position(wallet)["status"] == "CLOSED"
    assert (firm.order(late)["status"], firm.order(late)["cum_qty"], firm.order(late)["held"]) == ("CANCELED", 0, 0)
    assert firm.balance(wallet, "BTC") == D(1)
    firm.reconciled()


def test_a_sale_that_was_not_sent_yet_makes_way_for_the_exit_at_once(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    sale = firm.send(wallet, side="SELL", type="LIMIT", qty="0.1", price="60000")["id"]
    firm.engine.transactions.park("send", sale, "a fault")  # it cannot be sent
    firm.quote("BTC/USDT", "48900", "48900")
    firm.quote("BTC/USDT", "48900", "48900")
    assert firm.order(sale)["status"] == "CANCELED"
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()

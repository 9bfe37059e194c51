"""The engine against a venue that is slow, silent, double-tongued or wrong: nothing lost, nothing guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa

from app.adapters.venues.base import VenueOrder
from app.adapters.venues.simulated import Behaviour
from app.core.clock import ManualClock
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.execution import OrderState
from app.domain.order_requests import OrderRules
from app.domain.reports import Accepted, Fill, OrderSnapshot
from app.domain.requests import RequestKind as K
from app.engine import schedules
from app.models import (
    Client,
    EngineFault,
    Execution,
    FixMessage,
    LedgerAccount,
    Order,
    Posting,
    VenueRequest,
    Wallet,
    exact_sum,
)
from app.services import faults
from app.services.reconcile import reconcile
from tests.firm import AT_ONCE, Firm
from tests.venues import FarVenue, Working

RULES = OrderRules(venues={"paper": "FAR"})


@pytest.fixture
def far(clock: ManualClock) -> FarVenue:
    return FarVenue(clock)


@pytest.fixture
def firm(database: Database, clock: ManualClock, far: FarVenue) -> Iterator[Firm]:
    """A firm whose orders go to the far venue, on each database."""
    firm = Firm(database, clock, rules=RULES, gateways=(far,)).start()
    yield firm
    firm.engine.lease.release()


@pytest.fixture
def small(sqlite_database: Database, clock: ManualClock, far: FarVenue) -> Iterator[Firm]:
    """The same on SQLite only, for what does not depend on the database."""
    firm = Firm(sqlite_database, clock, rules=RULES, gateways=(far,)).start()
    yield firm
    firm.engine.lease.release()


def resting(firm: Firm, wallet: str, qty: str = "0.1", price: str = "49000", **fields: Any) -> str:
    firm.quote("BTC/USDT", "50000", "50010")
    order_id: str = firm.send(wallet, type="LIMIT", qty=qty, price=price, **fields)["id"]
    firm.settle()
    return order_id


def cancel(firm: Firm, order_id: str) -> None:
    firm.database.run(lambda session: firm.orders.cancel(session, order_id, actor="t", now=firm.clock.now()))
    firm.settle()


def amend(firm: Firm, order_id: str, qty: str) -> None:
    def work(session: Any) -> None:
        row = firm.order(order_id)
        client, wallet = session.get_one(Client, row["client_id"]), session.get_one(Wallet, row["wallet_id"])
        firm.orders.amend(session, client, wallet, order_id, D(qty), None, actor="t", now=firm.clock.now())

    firm.database.run(work)
    firm.engine.wake()


def retry(firm: Firm) -> None:
    """Somebody has every open fault taken up again."""
    for fault in firm.database.read(faults.open_faults):
        firm.database.run(lambda session, id_=fault["id"]: faults.ask_retry(session, id_, SYSTEM, firm.clock.now()))
    firm.settle()


def alerts(firm: Firm) -> list[str]:
    told = {event["cursor"]: event["data"] for event in firm.recorder.pushed if event["type"] == "alert.engine"}
    return [told[cursor]["code"] for cursor in sorted(told)]


def owed(firm: Firm, wallet: str, currency: str = "USDT") -> D:
    query = (
        sa.select(exact_sum(Posting.amount))
        .join(LedgerAccount, LedgerAccount.id == Posting.account_id)
        .where(LedgerAccount.owner == f"house:{wallet}", LedgerAccount.currency == currency)
    )
    return -(firm.database.read(lambda session: session.scalar(query)) or D(0))


# -- a crowd of reports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("filled_meanwhile", [False, True])
def test_the_answer_to_a_cancel_does_not_wait_behind_a_crowd_of_fills(
    small: Firm, far: FarVenue, filled_meanwhile: bool
) -> None:
    """But a fill of the same order that came before it does, and takes the answer with it: fills keep their order."""
    _, wallet = small.client(USDT="100000")
    crowd, mine = resting(small, wallet, qty="1.5"), resting(small, wallet)
    far.latency = 0.2
    for _ in range(150):
        far.trade(crowd, "0.01", "49000")
    if filled_meanwhile:
        far.trade(mine, "0.01", "49000")
    small.database.run(lambda session: small.orders.cancel(session, mine, actor="t", now=small.clock.now()))
    small.engine.wake()
    small.engine.step(small.clock.now())
    small.clock.advance(0.3)
    small.engine.step(small.clock.now())
    statuses = (small.order(mine)["status"], small.order(crowd)["status"])
    assert statuses == (("PENDING_CANCEL", "PARTIALLY_FILLED") if filled_meanwhile else ("CANCELED", "OPEN"))
    small.settle()
    assert (small.order(mine)["status"], small.order(crowd)["status"]) == ("CANCELED", "FILLED")
    assert small.order(mine)["cum_qty"] == (D("0.01") if filled_meanwhile else 0)
    small.reconciled()


def test_a_cancel_is_handed_over_before_a_crowd_of_fills_is_booked(
    small: Firm, far: FarVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wallet = small.client(USDT="100000")
    crowd, mine = resting(small, wallet, qty="1.5"), resting(small, wallet)
    booked_before: list[int] = []
    hand_over = far.cancel

    def cancel_(order: VenueOrder, cl_ord_id: str) -> None:
        booked_before.append(len(small.all(Execution)))
        hand_over(order, cl_ord_id)

    monkeypatch.setattr(far, "cancel", cancel_)
    for _ in range(150):
        far.trade(crowd, "0.01", "49000")
    cancel(small, mine)
    assert booked_before == [0]
    assert (small.order(mine)["status"], small.order(crowd)["status"]) == ("CANCELED", "FILLED")
    small.reconciled()


# -- a request without an answer -----------------------------------------------------------------------------


def test_an_order_goes_to_its_venue_and_rests_there(firm: Firm, far: FarVenue) -> None:
    far.latency = 0.2
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    assert firm.order(order)["status"] == "SENT"
    firm.run_for(0.3)
    assert (firm.order(order)["status"], firm.order(order)["venue_order_id"]) == ("OPEN", f"FAR-{order}")
    far.trade(order, "0.1", "49000")
    firm.run_for(0.3)
    assert firm.order(order)["status"] == "FILLED"
    assert firm.all(Execution)[0]["venue"] == "FAR"
    assert {request["state"] for request in firm.all(VenueRequest)} == {"ACKED"}
    firm.reconciled()


MEANWHILE = ["it rests", "it was filled", "it was filled in part", "it was canceled", "it never arrived"]


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_a_submission_without_an_answer_is_unknown_until_the_venue_says_what_became_of_it(
    firm: Firm, far: FarVenue, meanwhile: str
) -> None:
    far.silent = {K.SUBMIT, K.QUERY}
    if meanwhile == "it never arrived":
        far.deaf = {K.SUBMIT}
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    firm.run_for(4, 1)
    assert firm.order(order)["status"] == "SENT", "there is still time"
    firm.run_for(2, 1)
    assert firm.order(order)["status"] == "UNKNOWN"
    assert firm.balance(wallet, "USDT", "held") == D("4904.9"), "it keeps its hold"
    firm.run_for(12, 1)  # asked again and again, and no answer
    assert firm.order(order)["status"] == "UNKNOWN"
    assert far.heard.count((K.SUBMIT, order)) == 1, "nothing is sent twice blindly"
    far.silent, far.deaf = set(), set()
    if meanwhile == "it was filled":
        far.trade(order, "0.1", "49000", told=False)
    elif meanwhile == "it was filled in part":
        far.trade(order, "0.04", "49000", told=False)
    elif meanwhile == "it was canceled":
        far.book[order].status = type(far.book[order].status).CANCELED
    firm.run_for(6, 1)
    row = firm.order(order)
    wanted = {
        "it rests": "OPEN",
        "it was filled": "FILLED",
        "it was filled in part": "PARTIALLY_FILLED",
        "it was canceled": "CANCELED",
        "it never arrived": "OPEN",
    }
    assert row["status"] == wanted[meanwhile]
    assert far.heard.count((K.SUBMIT, order)) == (2 if meanwhile == "it never arrived" else 1)
    assert firm.balance(wallet, "USDT", "held") == row["held"]
    assert len(firm.all(Execution)) == len(far.book[order].fills)
    firm.reconciled()


def test_fills_that_are_missing_keep_the_order_unknown_until_they_are_delivered(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    far.hides_fills = True
    fill = far.trade(order, "0.06", "49000", told=False)
    cancel(firm, order)  # canceled, with 0.06 filled that nobody has told
    row = firm.order(order)
    assert (row["status"], row["cum_qty"], row["held"]) == ("UNKNOWN", 0, D("4904.9"))
    firm.run_for(12, 1)
    assert firm.order(order)["status"] == "UNKNOWN"
    far.say(fill)
    firm.run_for(6, 1)
    row = firm.order(order)
    assert (row["status"], row["cum_qty"], row["held"]) == ("CANCELED", D("0.06"), 0)
    assert firm.balance(wallet, "USDT", "held") == 0
    firm.reconciled()


def test_a_venue_that_never_takes_an_order_has_it_fail_and_give_back_its_hold(small: Firm, far: FarVenue) -> None:
    firm = small
    far.deaf = {K.SUBMIT}
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    firm.run_for(40, 1)
    row = firm.order(order)
    assert (row["status"], row["reject_code"]) == ("FAILED", "VENUE_DOES_NOT_ANSWER")
    assert far.heard.count((K.SUBMIT, order)) == 5
    assert firm.balance(wallet, "USDT") == D(100000)
    firm.reconciled()
    # and if it had arrived after all: it must not be worked there for nobody
    far.book[order] = book = Working(firm.engine.sending.venue_order(OrderState.of(row)), row["qty"], row["price"])
    far.say(Accepted(order_id=order, at=firm.clock.now(), cl_ord_id=order, venue_order_id="FAR-late"))
    firm.settle()
    assert book.status == "CANCELED"
    assert firm.order(order)["status"] == "FAILED"


@pytest.mark.parametrize("lost", ["the request", "the answer"])
def test_a_cancel_without_an_answer_is_found_out(firm: Firm, far: FarVenue, lost: str) -> None:
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    (far.deaf if lost == "the request" else far.silent).add(K.CANCEL)
    cancel(firm, order)
    assert firm.order(order)["status"] == "PENDING_CANCEL"
    firm.run_for(4, 1)
    far.deaf, far.silent = set(), set()
    firm.run_for(3, 1)
    assert firm.order(order)["status"] == "CANCELED"
    assert far.heard.count((K.CANCEL, order)) == (2 if lost == "the request" else 1)
    assert firm.balance(wallet, "USDT") == D(100000)
    firm.reconciled()


@pytest.mark.parametrize("lost", ["the request", "the answer"])
def test_an_amendment_without_an_answer_is_found_out(firm: Firm, far: FarVenue, lost: str) -> None:
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    (far.deaf if lost == "the request" else far.silent).add(K.REPLACE)
    amend(firm, order, "0.2")
    firm.settle()
    assert firm.order(order)["status"] == "PENDING_REPLACE"
    firm.run_for(4, 1)
    far.deaf, far.silent = set(), set()
    firm.run_for(3, 1)
    row = firm.order(order)
    assert (row["status"], row["qty"], row["pending_qty"], row["held"]) == ("OPEN", D("0.2"), None, D("9809.8"))
    firm.reconciled()


def test_a_cancel_of_an_order_nobody_knows_about_is_not_forgotten_by_the_answer(small: Firm, far: FarVenue) -> None:
    firm = small
    far.silent = {K.SUBMIT, K.QUERY}
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    firm.run_for(6, 1)
    assert firm.order(order)["status"] == "UNKNOWN"
    far.silent, far.latency = set(), 0.1
    firm.run_for(5, 1)  # the query is on its way
    firm.database.run(lambda session: firm.orders.cancel(session, order, actor="t", now=firm.clock.now()))
    firm.run_for(2)
    assert firm.order(order)["status"] == "CANCELED"
    firm.reconciled()


def test_after_a_restart_a_venue_that_works_alone_is_asked_about_every_live_order(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="100000")
    first, second = resting(firm, wallet), resting(firm, wallet)
    far.trade(first, "0.1", "49000", told=False)
    firm.crash()
    firm.settle()
    assert (firm.order(first)["status"], firm.order(second)["status"]) == ("FILLED", "OPEN")
    assert len(firm.all(Execution)) == 1
    firm.reconciled()


@pytest.mark.parametrize("backwards", [False, True])
def test_everything_twice_and_backwards_is_booked_once(firm: Firm, far: FarVenue, backwards: bool) -> None:
    far.twice, far.backwards, far.latency = True, backwards, 1
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    far.trade(order, "0.04", "49000")
    far.trade(order, "0.06", "48990")
    firm.run_for(8, 0.5)
    row = firm.order(order)
    assert (row["status"], row["cum_qty"]) == ("FILLED", D("0.1"))
    assert sorted(e["trade_id"] for e in firm.all(Execution)) == ["1", "2"]
    assert alerts(firm) == []
    firm.reconciled()


# -- trades --------------------------------------------------------------------------------------------------


def test_the_same_trade_id_is_booked_once_also_across_batches_and_restarts(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    fill = far.trade(order, "0.04", "49000")
    far.say(fill)  # in one batch
    firm.settle()
    far.say(fill)  # in the next
    firm.settle()
    assert firm.engine.counts["failed_batches"] == 0, "known, not stumbled over"
    firm.crash()
    far.say(fill)
    firm.settle()
    assert (firm.order(order)["cum_qty"], len(firm.all(Execution))) == (D("0.04"), 1)
    assert firm.engine.counts["failed_batches"] == 0
    assert firm.all(EngineFault) == []
    firm.reconciled()


def test_trades_of_two_instruments_may_have_the_same_number(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="100000")
    btc = resting(firm, wallet)
    firm.quote("ETH/USDT", "3000", "3001")
    eth = firm.send(wallet, symbol="ETH/USDT", type="LIMIT", qty="1", price="2900")["id"]
    firm.settle()
    assert far.trade(btc, "0.1", "49000").trade_id == far.trade(eth, "1", "2900").trade_id
    firm.settle()
    assert {firm.order(btc)["status"], firm.order(eth)["status"]} == {"FILLED"}
    assert len(firm.all(Execution)) == 2
    firm.reconciled()


def test_who_was_there_first_pays_the_makers_fee(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.database.run(
        lambda s: [
            setattr(s.get_one(Wallet, wallet), "maker_rate", D("0.0005")),
            setattr(s.get_one(Wallet, wallet), "taker_rate", D("0.001")),
        ]
    )
    order = resting(firm, wallet)
    far.trade(order, "0.05", "40000", maker=True)
    far.trade(order, "0.05", "40000", maker=False)
    firm.settle()
    assert [(e["liquidity"], e["fee"]) for e in firm.all(Execution)] == [("maker", D(1)), ("taker", D(2))]
    firm.reconciled()


def test_a_late_fill_is_paid_by_its_client_and_told(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="10000")
    order = resting(firm, wallet)
    cancel(firm, order)
    assert firm.balance(wallet, "USDT") == D(10000)
    far.trade(order, "0.1", "49000")
    firm.settle()
    row = firm.order(order)
    assert (row["status"], row["cum_qty"], row["held"]) == ("FILLED", D("0.1"), 0)
    assert firm.balance(wallet, "USDT") == D(10000) - D("4904.9")
    assert owed(firm, wallet) == 0
    assert alerts(firm) == ["late_fill"]
    assert firm.position(wallet)["qty"] == D("0.1")
    firm.reconciled()


def test_a_late_fill_whose_money_is_spent_is_booked_and_owed(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="5000")
    order = resting(firm, wallet)
    cancel(firm, order)
    other = resting(firm, wallet, qty="0.05")  # holds 2,452.45
    far.trade(order, "0.1", "49000")
    firm.settle()
    assert firm.order(order)["status"] == "FILLED"
    assert firm.balance(wallet, "USDT") == 0
    assert firm.balance(wallet, "USDT", "held") == firm.order(other)["held"], "another order's hold is its own"
    assert owed(firm, wallet) == D("4904.9") - (D(5000) - firm.order(other)["held"])
    assert sorted(alerts(firm)) == ["late_fill", "receivable"]
    assert firm.all(EngineFault) == []
    firm.reconciled()


def test_the_house_gives_no_late_fill_away_however_small(small: Firm, far: FarVenue) -> None:
    """Less than what roundings may cost the house; but nothing was rounded here."""
    firm = small
    _, wallet = firm.client(USD="10000")
    firm.quote("EUR/USD", "1.1000", "1.1001")
    order = firm.send(wallet, symbol="EUR/USD", type="LIMIT", qty="1000", price="1.0500")["id"]
    firm.settle()
    cancel(firm, order)
    far.trade(order, "0.8", "1.0500")
    firm.settle()
    assert firm.balance(wallet, "USD") == D(10000) - D("0.84")
    assert firm.balance(wallet, "EUR") == D("0.8")
    firm.reconciled()


def test_an_asset_that_is_gone_is_owed_as_well(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="0.01", BTC="0.1")
    firm.quote("BTC/USDT", "50000", "50010")
    first = firm.send(wallet, side="SELL", type="LIMIT", qty="0.1", price="51000")["id"]
    firm.settle()
    cancel(firm, first)
    second = firm.send(wallet, side="SELL", type="LIMIT", qty="0.07", price="51000")["id"]
    firm.settle()
    far.trade(first, "0.1", "51000")
    far.trade(second, "0.07", "51000")
    firm.settle()
    assert {firm.order(first)["status"], firm.order(second)["status"]} == {"FILLED"}
    assert owed(firm, wallet, "BTC") == D("0.07")
    assert firm.balance(wallet, "BTC", "total") == 0
    firm.reconciled()


def test_a_fill_above_the_limit_is_paid_beyond_its_hold_with_its_whole_fee(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="5000")
    order = resting(firm, wallet)  # holds 4,904.90
    far.trade(order, "0.1", "49800", maker=False)
    firm.settle()
    execution = firm.all(Execution)[0]
    assert (execution["value"], execution["fee"]) == (D(4980), D("4.98"))
    assert firm.balance(wallet, "USDT", "total") == D(5000) - D("4984.98")
    over = resting(firm, wallet, qty="0.0003", price="49000")  # 14.7147 of 15.02
    far.trade(over, "0.0003", "60000", maker=False)  # 18.018
    firm.settle()
    assert owed(firm, wallet) == D("18.018") - D("15.02")
    assert alerts(firm) == ["receivable"]
    assert firm.order(over)["status"] == "FILLED"
    breaks = firm.database.read(lambda session: reconcile(session, firm.instruments))["breaks"]
    assert {found["code"] for found in breaks} == {"LIMIT_VIOLATED"}, "and the books say so"


def test_more_than_was_ordered_is_booked_and_told(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="20000")
    order = resting(firm, wallet)
    far.trade(order, "0.3", "49000")
    firm.settle()
    row = firm.order(order)
    assert (row["status"], row["qty"], row["cum_qty"]) == ("FILLED", D("0.3"), D("0.3"))
    assert alerts(firm) == ["overfilled"]
    firm.reconciled()


# -- reports about nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order_id", ["01990000-0000-7000-8000-000000000000", "not-one-of-ours", "x" * 200])
def test_a_report_about_an_order_that_nobody_knows_is_a_fault_and_not_silence(
    firm: Firm, far: FarVenue, order_id: str
) -> None:
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    stranger = Fill(order_id=order_id, at=firm.clock.now(), trade_id="9", qty=D(1), price=D(1))
    far.say(stranger)
    far.trade(order, "0.1", "49000")
    firm.settle()
    assert firm.order(order)["status"] == "FILLED"
    [fault] = firm.all(EngineFault)
    assert (fault["stage"], fault["object_id"], len(fault["reports"])) == ("booking", order_id[:60], 1)
    far.say(replace(stranger, trade_id="10"))
    firm.settle()
    assert len(firm.all(EngineFault)) == 1, "more about it waits behind it"
    other = resting(firm, wallet)
    far.trade(other, "0.1", "49000")
    firm.settle()
    assert firm.order(other)["status"] == "FILLED", "and everybody else's orders go on"
    assert alerts(firm) == ["engine_fault"]
    retry(firm)
    assert len(firm.database.read(faults.open_faults)) == 1, "it is still nobody's"
    firm.reconciled()


def test_a_report_that_comes_as_its_fault_is_resolved_is_booked(firm: Firm, far: FarVenue) -> None:
    """Somebody says it is dealt with; what the engine remembers of it is a second old."""
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    fault = firm.database.run(
        lambda s: faults.park(s, firm.clock.now(), "booking", "order", order, "something went wrong")
    )
    firm.crash()
    firm.settle()
    firm.database.run(lambda s: faults.resolve(s, fault, SYSTEM, firm.clock.now(), "looked at"))
    far.trade(order, "0.1", "49000")
    firm.engine.step(firm.clock.now())
    firm.settle()
    assert firm.order(order)["status"] == "FILLED"
    firm.reconciled()


def test_an_order_whose_venue_was_taken_away_parks_itself_alone(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="100000")
    stranded = resting(firm, wallet)
    firm.gateways = ()
    firm.orders.rules = replace(RULES, venues={"paper": "SIM"})
    firm.database.run(lambda s: firm.orders.cancel(s, stranded, actor="t", now=firm.clock.now()))
    firm.rules = firm.orders.rules
    firm.crash()
    firm.quote("BTC/USDT", "50000", "50000")
    healthy = firm.send(wallet, qty="0.1")["id"]
    firm.settle()
    assert firm.order(healthy)["status"] == "FILLED"
    assert [(f["stage"], f["object_id"]) for f in firm.all(EngineFault)] == [("send", stranded)]
    firm.gateways = (far,)
    firm.crash()
    retry(firm)
    assert firm.order(stranded)["status"] == "CANCELED"
    firm.reconciled()


def test_a_gateway_that_raises_delays_nobody_elses_orders(firm: Firm, far: FarVenue) -> None:
    _, wallet = firm.client(USDT="100000")
    far.broken = {K.SUBMIT, K.QUERY}
    order = resting(firm, wallet)
    firm.orders.rules = replace(RULES, venues={"paper": "SIM"})
    firm.quote("BTC/USDT", "50000", "50000")
    healthy = firm.send(wallet, qty="0.1")["id"]
    firm.settle()
    assert firm.order(healthy)["status"] == "FILLED"
    assert firm.engine.counts["failed_handovers"] == 1
    firm.run_for(7, 1)
    assert firm.order(order)["status"] == "UNKNOWN"
    far.broken = set()
    firm.run_for(11, 1)
    assert firm.order(order)["status"] == "OPEN"
    firm.reconciled()


def test_reports_that_cannot_be_fetched_from_one_venue_delay_no_other(
    small: Firm, far: FarVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    firm = small
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)

    def broken() -> Any:
        raise ConnectionError("no way there")

    far.trade(order, "0.1", "49000")
    with monkeypatch.context() as patch:
        patch.setattr(far, "reports", broken)
        firm.orders.rules = replace(RULES, venues={"paper": "SIM"})
        healthy = firm.send(wallet, qty="0.01")["id"]
        firm.settle()
        assert firm.order(healthy)["status"] == "FILLED"
    firm.settle()
    assert firm.order(order)["status"] == "FILLED"


# -- with the simulated venue: what an amendment and a cancel meet on their way -------------------------------


SLOW = replace(AT_ONCE, latency=timedelta(milliseconds=200))


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_quote_that_fills_the_old_quantity_while_an_amendment_travels_leaves_nothing_held(
    database: Database, clock: ManualClock, side: str
) -> None:
    firm = Firm(database, clock, SLOW).start()
    _, wallet = firm.client(USDT="100000", BTC="1")
    firm.quote("BTC/USDT", "50000", "50010")
    price = "49000" if side == "BUY" else "51000"
    order = firm.send(wallet, side=side, type="LIMIT", qty="0.01", price=price)["id"]
    firm.run_for(1)
    amend(firm, order, "0.05")
    firm.engine.step(clock.now())
    firm.quote("BTC/USDT", price, price, 0.1)  # before the venue hears of the amendment
    firm.run_for(2)
    row = firm.order(order)
    assert (row["status"], row["cum_qty"], row["held"]) == ("FILLED", D("0.01"), 0)
    assert firm.balance(wallet, "USDT", "held") == firm.balance(wallet, "BTC", "held") == 0
    assert [m["msg_type"] for m in firm.all(FixMessage) if m["direction"] == "out"] == ["D", "G"]
    firm.reconciled()
    firm.engine.lease.release()


def test_a_replaced_order_that_is_being_canceled_is_canceled_by_one_message(
    database: Database, clock: ManualClock
) -> None:
    firm = Firm(database, clock, SLOW).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.01", price="49000")["id"]
    firm.run_for(1)
    amend(firm, order, "0.05")
    firm.run_for(0.1, 0.05)
    firm.database.run(lambda s: firm.orders.cancel(s, order, actor="t", now=clock.now()))
    firm.engine.wake()
    firm.run_for(2, 0.05)
    assert firm.order(order)["status"] == "CANCELED"
    assert [m["msg_type"] for m in firm.all(FixMessage) if m["direction"] == "out"] == ["D", "G", "F"]
    assert firm.balance(wallet, "USDT") == D(100000)
    firm.reconciled()
    firm.engine.lease.release()


FAULTY = {
    "lost acknowledgements": {"lost_ack_rate": D(1)},
    "duplicates": {"duplicate_rate": D(1)},
    "late": {"late_rate": D("0.5")},
    "all": {"lost_ack_rate": D("0.4"), "duplicate_rate": D("0.4"), "late_rate": D("0.4")},
}


@pytest.mark.parametrize("fault", FAULTY)
def test_every_order_comes_to_rest_whatever_the_line_loses_repeats_or_delays(
    sqlite_database: Database, clock: ManualClock, fault: str
) -> None:
    faulty: Any = FAULTY[fault]
    behaviour = Behaviour(
        latency=timedelta(milliseconds=100), partial_rate=D("0.5"), reject_rate=D("0.1"), slippage_bps=D(0), **faulty
    )
    firm = Firm(sqlite_database, clock, behaviour).start()
    _, wallet = firm.client(USDT="1000000")
    firm.quote("BTC/USDT", "50000", "50000")
    ids = [firm.send(wallet, qty="0.01")["id"] for _ in range(12)]
    ids += [firm.send(wallet, type="LIMIT", qty="0.01", price="49000")["id"] for _ in range(12)]
    firm.run_for(1, 0.25)
    for order_id in ids[12:]:
        if firm.order(order_id)["status"] in ("SENT", "OPEN"):
            firm.database.run(lambda s, id_=order_id: firm.orders.cancel(s, id_, actor="t", now=clock.now()))
    firm.engine.wake()
    for _ in range(16):
        firm.quote("BTC/USDT", "50000", "50000")
    statuses = {firm.order(order_id)["status"] for order_id in ids}
    assert statuses <= {"FILLED", "REJECTED", "CANCELED"}
    assert firm.balance(wallet, "USDT", "held") == 0
    assert firm.engine.counts["faults"] == 0
    firm.reconciled()
    firm.engine.lease.release()


def test_a_line_that_was_down_for_a_while_loses_nothing(firm: Firm) -> None:
    firm.orders.rules = replace(RULES, venues={"paper": "SIM"})
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.venue.behaviour = replace(AT_ONCE, disconnected=True)
    order = firm.send(wallet, qty="0.1")["id"]
    firm.settle()
    firm.run_for(7, 1)
    assert firm.order(order)["status"] == "UNKNOWN"
    firm.venue.behaviour = AT_ONCE
    firm.quote("BTC/USDT", "50000", "50000")
    firm.run_for(6, 1)
    assert firm.order(order)["status"] == "FILLED"
    assert len(firm.all(Execution)) == 1
    firm.reconciled()


def test_a_cancel_never_goes_out_ahead_of_the_resubmission_of_its_order(firm: Firm, far: FarVenue) -> None:
    far.deaf = {K.SUBMIT}
    _, wallet = firm.client(USDT="100000")
    far.silent = {K.QUERY}
    order = resting(firm, wallet)
    firm.run_for(7, 0.5)
    assert firm.order(order)["status"] == "UNKNOWN"
    far.deaf, far.heard = set(), []
    far.say(OrderSnapshot(order_id=order, at=firm.clock.now(), cl_ord_id=last_query(firm, order), known=False))
    firm.engine.book.collect(firm.clock.now())
    firm.engine.book.run(firm.clock.now())  # to be sent again, and before that somebody cancels
    firm.database.run(lambda s: firm.orders.cancel(s, order, actor="t", now=firm.clock.now()))
    far.silent = set()
    firm.engine.wake()
    firm.run_for(2, 0.5)
    kinds = [kind for kind, _ in far.heard if kind in (K.SUBMIT, K.CANCEL)]
    assert kinds in ([K.SUBMIT, K.CANCEL], []), "a venue that hears the cancel first works the order for ever"
    assert firm.order(order)["status"] == "CANCELED"
    assert order not in far.book or far.book[order].status == "CANCELED"
    firm.reconciled()


def last_query(firm: Firm, order_id: str) -> str:
    found = [row for row in firm.all(VenueRequest) if row["order_id"] == order_id and row["kind"] == "query"]
    return str(found[-1]["cl_ord_id"])


def test_a_request_says_by_when_it_is_answered_and_why_it_was_refused(small: Firm, far: FarVenue) -> None:
    firm = small
    _, wallet = firm.client(USDT="100000")
    firm.venue.behaviour = replace(AT_ONCE, reject_rate=D(1))
    firm.orders.rules = replace(RULES, venues={"paper": "SIM"})
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    (request,) = firm.all(VenueRequest)
    assert request["deadline_at"] > request["sent_at"]
    assert (request["state"], request["error"]) == ("ACKED", firm.all(Order)[0]["reject_reason"])


def test_answered_queries_are_not_kept_for_ever(small: Firm, far: FarVenue) -> None:
    firm = small
    far.silent = {K.SUBMIT}
    _, wallet = firm.client(USDT="100000")
    order = resting(firm, wallet)
    firm.run_for(12, 1)
    assert [row["kind"] for row in firm.all(VenueRequest)] == ["submit", "query"]
    firm.clock.advance(2 * 86400)
    schedules.sweep(firm.engine, firm.clock.now())
    assert len(firm.all(VenueRequest)) == 2, "a live order's requests count its ClOrdIDs"
    firm.database.run(lambda s: firm.orders.cancel(s, order, actor="t", now=firm.clock.now()))
    firm.settle()
    schedules.sweep(firm.engine, firm.clock.now())
    assert [row["kind"] for row in firm.all(VenueRequest)] == ["submit", "cancel"]

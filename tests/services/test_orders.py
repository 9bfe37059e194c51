"""Order entry: what decides, what is remembered, and what a second try answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import AppError, Invalid
from app.core.ids import new_id
from app.core.transaction import Database
from app.domain.order_requests import OrderRequest, OrderRules
from app.domain.orders import OrderSource
from app.models import AuditRecord, Client, ClientLimit, Event, Order, Wallet, table_of
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from app.services.locks import Locks
from tests.firm import Firm

orders = table_of(Order)
LIMIT = {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "qty": "0.18", "price": "50000"}  # 9,000


def entry(wallet: str, **fields: Any) -> OrderRequest:
    return validate(OrderIn, {**LIMIT, **fields}).order_request(wallet, "t", OrderSource.API)


def send(firm: Firm, *entries: OrderRequest) -> list[Any]:
    """In one transaction; an error stands in the place of its order."""
    return firm.database.run(lambda s: firm.orders.submit_many(s, list(entries), firm.clock.now()))


def codes(outcome: Any) -> list[str]:
    assert not isinstance(outcome, AppError), outcome
    return [failure["code"] for failure in outcome[0]["reject_values"] or ()]


def change(firm: Firm, wallet: str, **values: Any) -> None:
    firm.database.run(lambda s: s.execute(sa.update(Wallet).where(Wallet.id == wallet).values(**values)))


def tried_twice(database: Database, work: Callable[[Session], Any]) -> Any:
    """As after a deadlock: the whole of it runs again."""
    tries: list[int] = []

    def once_in_vain(session: Session) -> Any:
        result = work(session)
        tries.append(1)
        if len(tries) == 1:
            raise sa.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("database is locked"))
        return result

    result = database.run(once_in_vain)
    assert len(tries) == 2
    return result


def amend(firm: Firm, wallet: str, order_id: str, qty: str | None = None, price: str | None = None) -> Any:
    def work(session: Session) -> Any:
        row = session.get_one(Wallet, wallet)
        return firm.orders.amend(
            session,
            session.get_one(Client, row.client_id),
            row,
            order_id,
            D(qty) if qty else None,
            D(price) if price else None,
            actor="t",
            now=firm.clock.now(),
        )

    return firm.database.run(work)


# -- the rate ------------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(sqlite_database: Database, clock: ManualClock) -> Firm:
    firm = Firm(sqlite_database, clock, rules=OrderRules(max_orders_per_second=2)).start()
    firm.quote("BTC/USDT", "50000", "50000")
    return firm


def test_work_that_is_run_again_counts_once_for_the_rate(hasty: Firm) -> None:
    _, wallet = hasty.client(USDT="1000000")
    entries = [entry(wallet), entry(wallet)]
    outcomes = tried_twice(hasty.database, lambda s: hasty.orders.submit_many(s, entries, hasty.clock.now()))
    assert [codes(outcome) for outcome in outcomes] == [[], []]
    hasty.engine.lease.release()


def test_the_rate_counts_what_is_stored_whoever_stored_it(hasty: Firm) -> None:
    firm = hasty
    (_, wallet), (_, other) = firm.client(USDT="1000000"), firm.client(USDT="1000000")
    named = entry(wallet, client_order_id="one")
    assert [codes(outcome) for outcome in send(firm, named, named, named)] == [
        [],
        [],
        [],
    ]  # one order, asked for thrice
    another_process = Firm(firm.database, firm.clock, rules=firm.rules)
    another_process.quotes.put(firm.quotes.get("BTC/USDT"))  # type: ignore[arg-type]
    assert codes(send(another_process, entry(wallet))[0]) == []
    outcomes = send(firm, entry(wallet), entry(other), entry(other), entry(other))
    assert [codes(outcome) for outcome in outcomes] == [["RATE_LIMITED"], [], [], ["RATE_LIMITED"]]
    assert outcomes[0][0]["reject_values"][0]["values"] == {"orders": "2", "limit": "2"}
    firm.clock.advance(0.999)
    assert codes(send(firm, entry(other))[0]) == ["RATE_LIMITED"]
    firm.clock.advance(1.001)
    firm.quotes.put(another_process.quotes.get("BTC/USDT"))  # type: ignore[arg-type]
    assert codes(send(firm, entry(other))[0]) == []
    firm.engine.lease.release()


def test_an_amendment_is_no_order_for_the_rate(hasty: Firm) -> None:
    _, wallet = hasty.client(USDT="1000000")
    first = send(hasty, entry(wallet), entry(wallet))[0][0]
    assert amend(hasty, wallet, first["id"], qty="0.19")["version"] == 2
    hasty.engine.lease.release()


# -- the same client_order_id again --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"stop_loss": "49000"},
        {"type": "MARKET", "price": None, "stop_loss": "49000"},
        {"type": "MARKET", "price": None, "qty": None, "quote_qty": "500"},
    ],
    ids=["limit", "market", "amount"],
)
@pytest.mark.parametrize("how", ["alone", "in a batch"])
def test_an_order_that_was_sent_before_is_found_before_it_is_judged(
    small_firm: Firm, fields: dict[str, Any], how: str
) -> None:
    """The bot whose answer was lost asks again, after the market has moved or the server was restarted."""
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    asked = entry(wallet, client_order_id="mine", **fields)
    ((first, new),) = send(firm, asked)
    assert new

    def again(asked: OrderRequest) -> Any:
        if how == "alone":
            return firm.database.run(lambda s: firm.orders.submit(s, asked, firm.clock.now()))
        return send(firm, entry(wallet, client_order_id="another", qty="0.001"), asked)[1]

    firm.quote("BTC/USDT", "46000", "46000")  # below the stop that it brought
    firm.settle()
    assert (again(asked)[0]["id"], again(asked)[1]) == (first["id"], False)
    firm.crash()  # no quote at all
    assert (again(asked)[0]["id"], again(asked)[1]) == (first["id"], False)
    other = send(firm, entry(wallet, client_order_id="mine", qty="0.01"))[0]
    assert isinstance(other, AppError) and (other.status, other.code) == (409, "DUPLICATE_ORDER")


def test_one_id_twice_in_a_batch_is_one_order(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    outcomes = send(
        firm,
        entry(wallet, client_order_id="x"),
        entry(wallet, client_order_id="x"),
        entry(wallet, client_order_id="x", qty="0.01"),
    )
    assert outcomes[0][0] == outcomes[1][0] and (outcomes[0][1], outcomes[1][1]) == (True, False)
    assert isinstance(outcomes[2], AppError) and outcomes[2].code == "DUPLICATE_ORDER"
    assert len(firm.all(Order)) == 1


# -- limits count live orders --------------------------------------------------------------------------------

SEVERAL = ["in one transaction", "one after the other"]


def five(firm: Firm, how: str, wallet: str, **fields: Any) -> list[list[str]]:
    entries = [entry(wallet, **fields) for _ in range(5)]
    if how == SEVERAL[0]:
        return [codes(outcome) for outcome in send(firm, *entries)]
    return [codes(send(firm, one)[0]) for one in entries]


@pytest.mark.parametrize("how", SEVERAL)
@pytest.mark.parametrize("fields", [{}, {"type": "MARKET", "price": None}], ids=["limit", "market"])
@pytest.mark.parametrize(
    ("limit", "code"),
    [("max_exposure_usd", "EXPOSURE_LIMIT_EXCEEDED"), ("max_position_usd", "POSITION_LIMIT_EXCEEDED")],
)
def test_of_five_orders_of_9000_one_fits_under_10000(
    firm: Firm, how: str, fields: dict[str, Any], limit: str, code: str
) -> None:
    _, wallet = firm.client(USDT="1000000")
    firm.quote("BTC/USDT", "50000", "50000")
    change(firm, wallet, **{limit: D(10_000)})
    assert five(firm, how, wallet, **fields) == [[], *[[code]] * 4]
    firm.settle()
    firm.reconciled()


@pytest.mark.parametrize("how", SEVERAL)
def test_an_instrument_with_an_opening_order_counts_as_an_open_position(small_firm: Firm, how: str) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="1000000")
    for symbol in ("BTC/USDT", "ETH/USDT"):
        firm.quote(symbol, "50000" if symbol[0] == "B" else "3000", "50000" if symbol[0] == "B" else "3000", 0.1)
    change(firm, wallet, max_open_positions=1)
    eth = entry(wallet, symbol="ETH/USDT", price="3000")
    entries = [entry(wallet), entry(wallet), eth]
    outcomes = send(firm, *entries) if how == SEVERAL[0] else [send(firm, one)[0] for one in entries]
    assert [codes(outcome) for outcome in outcomes] == [[], [], ["MAX_OPEN_POSITIONS"]]
    firm.settle()
    assert codes(send(firm, eth)[0]) == ["MAX_OPEN_POSITIONS"]


def test_what_reduces_adds_nothing_and_what_ended_counts_no_more(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1000000", BTC="1")
    firm.quote("BTC/USDT", "50000", "50000")
    change(firm, wallet, max_exposure_usd=D(10_000))
    first = send(firm, entry(wallet, price="45000", qty="0.2"))[0][0]  # 9,000, resting
    firm.settle()
    resting = [entry(wallet, side="SELL", price="60000", qty="0.5")]
    assert codes(send(firm, *resting)[0]) == []
    assert codes(send(firm, entry(wallet, price="45000", qty="0.1"))[0]) == ["EXPOSURE_LIMIT_EXCEEDED"]
    assert codes(send(firm, entry(wallet, price="45000", qty="0.02"))[0]) == []
    firm.database.run(lambda s: firm.orders.cancel(s, first["id"], actor="t", now=firm.clock.now()))
    assert codes(send(firm, entry(wallet, price="45000", qty="0.2"))[0]) == ["EXPOSURE_LIMIT_EXCEEDED"]  # it travels
    firm.settle()
    assert codes(send(firm, entry(wallet, price="45000", qty="0.2"))[0]) == []


def test_a_position_and_the_orders_on_top_count_together(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1000000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    change(firm, wallet, max_exposure_usd=D(10_000))
    outcomes = send(firm, entry(wallet, qty="0.06"), entry(wallet, qty="0.06"), entry(wallet, qty="0.04"))
    assert [codes(outcome) for outcome in outcomes] == [[], ["EXPOSURE_LIMIT_EXCEEDED"], []]
    assert outcomes[1][0]["reject_values"][0]["values"] == {
        "exposure_usd": "8000",
        "notional_usd": "3000",
        "limit_usd": "10000",
    }


def test_an_order_does_not_count_against_itself_when_it_is_amended(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1000000")
    firm.quote("BTC/USDT", "50000", "50000")
    change(firm, wallet, max_exposure_usd=D(10_000), max_open_positions=1, max_position_usd=D(10_000))
    order = send(firm, entry(wallet, qty="0.2", price="45000"))[0][0]
    assert amend(firm, wallet, order["id"], qty="0.22")["qty"] == "0.22"  # 9,900
    with pytest.raises(Invalid) as refused:
        amend(firm, wallet, order["id"], qty="0.23")
    assert [failure["code"] for failure in refused.value.extra["failures"]] == [
        "POSITION_LIMIT_EXCEEDED",
        "EXPOSURE_LIMIT_EXCEEDED",
    ]


def test_while_a_replace_travels_the_larger_of_both_terms_counts(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1000000")
    firm.quote("BTC/USDT", "50000", "50000")
    change(firm, wallet, max_exposure_usd=D(10_000))
    order = send(firm, entry(wallet, qty="0.1", price="45000"))[0][0]
    firm.settle()
    amend(firm, wallet, order["id"], qty="0.2")  # 9,000 from 4,500, not agreed to yet
    assert codes(send(firm, entry(wallet, qty="0.1", price="45000"))[0]) == ["EXPOSURE_LIMIT_EXCEEDED"]
    firm.settle()
    amend(firm, wallet, order["id"], qty="0.05")  # may still fill for 9,000
    assert codes(send(firm, entry(wallet, qty="0.1", price="45000"))[0]) == ["EXPOSURE_LIMIT_EXCEEDED"]


def test_reduce_only_sales_of_one_batch_see_each_other(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="1000000", BTC="1")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    sale = entry(wallet, side="SELL", qty="0.06", price="55000", reduce_only=True)
    assert [codes(outcome) for outcome in send(firm, sale, sale)] == [[], ["REDUCE_ONLY"]]


# -- prices that are too old ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "code", "unpriced"),
    [
        ({"max_exposure_usd": D(10**9)}, "EXPOSURE_LIMIT_EXCEEDED", "ETH/USDT"),
        ({"daily_loss_usd": D(10**9)}, "DAILY_LOSS_LIMIT", "ETH"),
        ({"max_drawdown_percent": D(99)}, "MAX_DRAWDOWN", "ETH"),
    ],
)
def test_a_limit_in_usd_is_not_valued_with_an_old_quote(
    small_firm: Firm, limits: dict[str, Any], code: str, unpriced: str
) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="1000000")
    firm.quote("ETH/USDT", "3000", "3000")
    firm.send(wallet, symbol="ETH/USDT", qty="1")
    firm.settle()
    change(firm, wallet, **limits)
    firm.clock.advance(16)
    firm.quote("BTC/USDT", "50000", "50000")
    (failure,) = send(firm, entry(wallet))[0][0]["reject_values"]
    assert (failure["code"], failure["values"]["unpriced"]) == (code, unpriced)
    assert "no" in failure["message"] and "fresh price" in failure["message"]
    row = firm.database.read(lambda s: s.get_one(Wallet, wallet))
    assert row.status == "active", "for want of a price nobody is suspended"
    assert codes(send(firm, entry(wallet, side="SELL", symbol="ETH/USDT", qty="1", price="3100"))[0]) == []
    firm.quote("ETH/USDT", "3000", "3000", 0.1)
    assert codes(send(firm, entry(wallet))[0]) == []


def test_the_last_price_of_a_closed_market_stands_until_it_opens(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="1000000", USD="10000")
    firm.quote("AAPL", "200", "200")
    firm.send(wallet, symbol="AAPL", qty="5")
    firm.settle()
    change(firm, wallet, max_exposure_usd=D(10_000))
    firm.clock.advance(timedelta(hours=10).total_seconds())  # past the close in New York
    firm.quote("BTC/USDT", "50000", "50000")
    assert codes(send(firm, entry(wallet))[0]) == []
    firm.clock.advance(timedelta(hours=14).total_seconds())  # it has opened again
    firm.quote("BTC/USDT", "50000", "50000")
    (failure,) = send(firm, entry(wallet, qty="0.001"))[0][0]["reject_values"]
    assert failure["values"]["unpriced"] == "AAPL"


# -- losses --------------------------------------------------------------------------------------------------


def losing(firm: Firm, **limits: Any) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
    """A wallet that has lost 1,000 of 100,000 since its order; with a resting entry and a protected position."""
    client, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    if limits:
        change(firm, wallet, **limits)
    firm.send(wallet, qty="0.2", stop_loss="40000")
    resting = firm.send(wallet, type="LIMIT", qty="0.1", price="41000")
    firm.settle()
    firm.quote("BTC/USDT", "45500", "45500", 0.1)
    unsent = send(firm, entry(wallet, qty="0.01", price="41000"))[0][0] if not limits else {}
    return client, wallet, resting, unsent


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"daily_loss_usd": D(800)}, "DAILY_LOSS_LIMIT"), ({"max_drawdown_percent": D("0.8")}, "MAX_DRAWDOWN")],
)
def test_an_entry_that_finds_a_loss_limit_reached_suspends_the_wallet(
    firm: Firm, limits: dict[str, Any], code: str
) -> None:
    client, wallet, resting, _ = losing(firm, **limits)
    exit_order = firm.send(wallet, side="SELL", type="LIMIT", qty="0.05", price="60000", reduce_only=True)
    firm.settle()
    outcomes = send(firm, entry(wallet, qty="0.01"), entry(wallet, qty="0.01", side="SELL", price="61000"))
    assert codes(outcomes[0]) == [code] and codes(outcomes[1]) == []
    firm.settle()
    row = firm.database.read(lambda s: s.get_one(Wallet, wallet))
    assert (row.status, row.stopped_by) == ("suspended", "firm")
    assert firm.order(resting["id"])["status"] == "CANCELED"
    assert firm.order(exit_order["id"])["status"] == "OPEN"
    assert "WALLET_SUSPENDED" in codes(send(firm, entry(wallet, qty="0.01"))[0])
    told = {(event["type"], event["stream"]) for event in firm.all(Event) if event["object_id"] == wallet}
    assert {("wallet.suspended", client), ("alert.risk", client), ("alert.risk", "firm")} <= told
    assert [r["action"] for r in firm.all(AuditRecord) if r["object_id"] == wallet][-1] == "wallet.suspended"
    firm.quote("BTC/USDT", "41500", "41500", 0.1)
    firm.quote("BTC/USDT", "39900", "39900", 0.1)  # the stop still works
    firm.run_for(1)
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()


def test_the_schedule_suspends_too_and_takes_back_what_was_not_sent(firm: Firm) -> None:
    from app.engine.schedules import mark_equity

    _, wallet, resting, unsent = losing(firm)
    change(
        firm,
        wallet,
        daily_loss_usd=D(800),
        day_start_on=firm.clock.now().date().isoformat(),
        day_start_equity_usd=D(100_000),
    )
    assert firm.order(unsent["id"])["status"] == "NEW"
    mark_equity(firm.engine, firm.clock.now())
    row = firm.database.read(lambda s: s.get_one(Wallet, wallet))
    assert (row.status, row.stopped_by) == ("suspended", "firm")
    assert firm.order(unsent["id"])["status"] == "CANCELED"
    firm.settle()
    assert firm.order(resting["id"])["status"] == "CANCELED"
    assert firm.balance(wallet, "USDT", "held") == 0
    mark_equity(firm.engine, firm.clock.now())
    assert firm.database.read(lambda s: s.get_one(Wallet, wallet)).version == row.version
    firm.reconciled()


def test_a_new_day_starts_with_the_equity_of_its_first_look(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    change(firm, wallet, daily_loss_usd=D(800))
    firm.send(wallet, qty="0.2")
    firm.settle()
    firm.clock.advance(timedelta(days=1).total_seconds())
    firm.quote("BTC/USDT", "45500", "45500")  # 900 below yesterday's start
    assert codes(send(firm, entry(wallet, qty="0.001"))[0]) == []
    row = firm.database.read(lambda s: s.get_one(Wallet, wallet))
    assert (row.day_start_on, row.day_start_equity_usd) == ("2026-01-06", D(99_090))  # with the fee of the entry


# -- limits of clients ---------------------------------------------------------------------------------------


def test_the_limit_of_an_instrument_stands_before_the_general_one(small_firm: Firm) -> None:
    firm = small_firm
    client, wallet = firm.client(USDT="1000000")
    for symbol, price in (("BTC/USDT", "50000"), ("ETH/USDT", "3000")):
        firm.quote(symbol, price, price, 0.1)
    bitcoin = firm.instruments.resolve("BTC/USDT").id

    def limit(session: Session) -> None:
        for instrument, most in ((None, "0.1"), (bitcoin, "0.5")):
            session.add(
                ClientLimit(
                    id=new_id(), client_id=client, instrument_id=instrument, blocked=False, max_order_qty=D(most)
                )
            )

    firm.database.run(limit)
    eth = {"symbol": "ETH/USDT", "price": "3000"}
    outcomes = send(
        firm,
        entry(wallet, qty="0.4"),
        entry(wallet, qty="0.6"),
        entry(wallet, qty="0.1", **eth),
        entry(wallet, qty="0.2", **eth),
    )
    exceeded = ["ORDER_SIZE_LIMIT_EXCEEDED"]
    assert [codes(outcome) for outcome in outcomes] == [[], exceeded, [], exceeded]


# -- cancelling ----------------------------------------------------------------------------------------------


def test_cancel_all_reaches_the_orders_of_those_it_is_for_and_no_other(firm: Firm) -> None:
    firm.quote("BTC/USDT", "50000", "50000")
    (ana, of_ana), (_, of_luis) = firm.client(USDT="100000"), firm.client(USDT="100000")
    mine, theirs = (send(firm, entry(wallet, price="41000"))[0][0] for wallet in (of_ana, of_luis))
    firm.settle()
    unsent = send(firm, entry(of_ana, price="41000"))[0][0]
    allowed = sa.select(Client.id).where(Client.id == ana)
    canceled = firm.database.run(
        lambda s: firm.orders.cancel_all(
            s, allowed, client_id=None, wallet_id=None, symbol=None, side=None, actor="t", now=firm.clock.now()
        )
    )
    assert {(order["id"], order["status"]) for order in canceled} == {
        (mine["id"], "PENDING_CANCEL"),
        (unsent["id"], "CANCELED"),
    }
    firm.settle()
    assert (firm.order(mine["id"])["status"], firm.order(theirs["id"])["status"]) == ("CANCELED", "OPEN")
    assert firm.balance(of_ana, "USDT", "held") == 0
    events = [event for event in firm.all(Event) if event["object_id"] == unsent["id"]]
    assert [(event["type"], event["object_version"]) for event in events] == [("order.new", 1), ("order.canceled", 2)]
    firm.reconciled()


def test_the_wallet_that_an_amendment_is_judged_by_is_read_under_its_lock(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1000000")
    firm.quote("BTC/USDT", "50000", "50000")
    order = send(firm, entry(wallet))[0][0]

    def work(session: Session) -> None:
        stale = session.get_one(Wallet, wallet)
        session.execute(sa.update(Wallet).values(max_exposure_usd=D(1)).execution_options(synchronize_session=False))
        assert stale.max_exposure_usd is None
        with pytest.raises(Invalid):
            firm.orders.amend(
                session,
                session.get_one(Client, stale.client_id),
                stale,
                order["id"],
                D("0.2"),
                None,
                actor="t",
                now=firm.clock.now(),
            )
        assert Locks.of(session).wallet(wallet)[0].max_exposure_usd == 1

    firm.database.run(work)


# -- exits that would fire at once ---------------------------------------------------------------------------


def refused(firm: Firm, wallet: str, **fields: Any) -> list[tuple[str, str]]:
    """Field and code of everything wrong with an order; empty when it is taken."""
    (outcome,) = send(firm, entry(wallet, **fields))
    return [(e.field, e.code) for e in outcome.errors] if isinstance(outcome, AppError) else []


MARKET = {"type": "MARKET", "price": None, "qty": "0.01"}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"price": "54000", "stop_loss": "53000"}, [("stop_loss", "stop_wrong_side")]),
        ({"price": "54000", "stop_loss": "49999"}, []),
        ({"price": "54000", "take_profit": "52000"}, []),
        ({**MARKET, "stop_loss": "50050"}, [("stop_loss", "stop_wrong_side")]),
        ({**MARKET, "take_profit": "50050"}, []),
        ({"price": "49000", "stop_loss": "48999"}, []),
        ({"price": "49000", "stop_loss": "49000"}, [("stop_loss", "stop_wrong_side")]),
        ({**MARKET, "trailing_stop": {"value": "0.00000001"}}, [("trailing_stop", "trail_too_narrow")]),
        ({**MARKET, "trailing_stop": {"type": "amount", "value": "0.01"}}, []),
        ({**MARKET, "qty": None, "quote_qty": "4"}, [("quote_qty", "min_notional")]),
        ({**MARKET, "qty": None, "quote_qty": "0.000001"}, [("quote_qty", "amount_out_of_range")]),
    ],
)
def test_an_exit_that_would_fire_as_the_order_fills_is_refused(
    small_firm: Firm, fields: dict[str, Any], wanted: list[tuple[str, str]]
) -> None:
    """A long position is sold at the bid: what executes at once is judged by it, what rests by its own price."""
    _, wallet = small_firm.client(USDT="100000")
    small_firm.quote("BTC/USDT", "50000", "50100")
    assert refused(small_firm, wallet, **{"qty": "0.01", **fields}) == wanted


def test_an_amended_price_is_judged_by_the_exits_too(small_firm: Firm) -> None:
    firm = small_firm
    client, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50500", "50501")
    (outcome,) = send(firm, entry(wallet, price="50000", stop_loss="49500"))

    def amend(price: str) -> None:
        def work(session: Session) -> None:
            owner, owned = session.get(Client, client), session.get(Wallet, wallet)
            assert owner is not None and owned is not None
            order_id, now = outcome[0]["id"], firm.clock.now()
            firm.orders.amend(session, owner, owned, order_id, None, D(price), actor="t", now=now)

        firm.database.run(work)

    with pytest.raises(Invalid) as error:
        amend("49000")
    assert [(e.field, e.code) for e in error.value.errors] == [("price", "stop_wrong_side")]
    amend("49600")
    assert firm.order(outcome[0]["id"])["price"] == D(49600)

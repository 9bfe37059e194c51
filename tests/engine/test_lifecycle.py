"""An order from entry to a protected position, and every cent of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest

from app.core.errors import AppError, Conflict, Invalid
from app.domain.order_requests import OrderRequest
from app.domain.orders import OrderSource
from app.models import Event, Execution, FixMessage, JournalEntry, Position, VenueRequest, Wallet
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from tests.firm import Firm


def statuses(firm: Firm, order_id: str) -> list[str]:
    told = [event for event in firm.recorder.pushed if event["object_id"] == order_id]
    return [step["status"] for event in told if event["type"].startswith("order.") for step in event["transitions"]]


def test_a_market_buy_goes_through_every_status_and_becomes_a_position(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "49990", "50000")
    order = firm.send(wallet, qty="0.5")
    assert order["status"] == "NEW"
    # worst price 50,500 (1 % protection) and the fee of 0.1 % on it
    assert firm.balance(wallet, "USDT", "held") == D("25275.25")
    firm.settle()
    assert statuses(firm, order["id"]) == ["NEW", "PENDING_SEND", "SENT", "OPEN", "FILLED"]
    assert firm.balance(wallet, "USDT") == D("100000") - D("25025")
    assert firm.balance(wallet, "USDT", "held") == 0
    assert firm.balance(wallet, "BTC") == D("0.5")
    position = firm.position(wallet)
    assert (position["status"], position["qty"], position["avg_entry_px"]) == ("OPEN", D("0.5"), D(50000))
    firm.reconciled()


def test_the_worked_example_of_the_book(firm: Firm) -> None:
    """Buy 0.5 at 50,000 with fee 25; at 51,000 unrealized is 475.00, 1.9 %; sold at 51,500: 699.25, 2.797 %."""
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "49990", "50000")
    firm.send(wallet, qty="0.5")
    firm.settle()
    firm.quote("BTC/USDT", "51000", "51010")
    shown = firm.positions.show(firm.held_position(wallet), firm.clock.now())
    assert shown["current"]["unrealized_pnl"] == "475"
    assert shown["current"]["unrealized_percent"] == "1.9"
    firm.quote("BTC/USDT", "51500", "51510")
    firm.send(wallet, side="SELL", qty="0.5")
    firm.settle()
    position = firm.position(wallet)
    assert (position["status"], position["realized_pnl"]) == ("CLOSED", D("699.25"))
    assert firm.positions.show(firm.held_position(wallet), firm.clock.now())["realized_percent"] == "2.797"
    assert firm.balance(wallet, "USDT") == D("100699.25")
    firm.reconciled()


def test_a_limit_order_holds_fills_in_part_and_frees_what_the_better_price_saved(firm: Firm) -> None:
    """The first rows of the book's posting table: 0.01 at 50,000, of which 0.004 fills at 49,900."""
    firm.behaviour = firm.venue.behaviour = type(firm.behaviour)(
        latency=firm.behaviour.latency, partial_rate=D(1), slippage_bps=D(0)
    )
    _, wallet = firm.client(USDT="1000")
    firm.quote("BTC/USDT", "49890", "50100")
    order = firm.send(wallet, type="LIMIT", qty="0.01", price="50000")
    assert firm.balance(wallet, "USDT") == D("499.50")
    assert firm.balance(wallet, "USDT", "held") == D("500.50")
    firm.settle()
    assert firm.order(order["id"])["status"] == "OPEN"
    # only the first lot of 40 % meets this quote: the rest waits, one latency later, for a next one
    firm.venue.behaviour = type(firm.behaviour)(
        latency=type(firm.behaviour.latency)(seconds=60), partial_rate=D(1), slippage_bps=D(0)
    )
    firm.quote("BTC/USDT", "49890", "50000")
    filled = firm.order(order["id"])
    assert (filled["status"], filled["cum_qty"], filled["leaves_qty"]) == ("PARTIALLY_FILLED", D("0.004"), D("0.006"))
    assert filled["held"] == D("300.30")
    assert firm.balance(wallet, "BTC") == D("0.004")
    firm.reconciled()


def test_a_stop_closes_the_position_once_and_the_reason_is_kept(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "49990", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000", take_profit="52000")
    firm.settle()
    firm.quote("BTC/USDT", "49000.01", "49010")
    assert firm.position(wallet)["status"] == "OPEN"
    firm.quote("BTC/USDT", "49000", "49010")
    position = firm.position(wallet)
    assert (position["status"], position["exit_reason"]) == ("CLOSED", "stop_loss")
    firm.quote("BTC/USDT", "48000", "48010")
    assert len(firm.all(Execution)) == 2
    firm.reconciled()


def test_the_trailing_stop_follows_the_best_bid_and_never_goes_back(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", trailing_stop={"type": "percent", "value": "2"})
    firm.settle()
    for bid in ("51000", "50500", "52000", "51500"):
        firm.quote("BTC/USDT", bid, bid)
    assert firm.position(wallet)["trail_extreme_px"] == D(52000)
    firm.crash()  # the best price survives
    firm.quote("BTC/USDT", "50960.01", "50961")
    assert firm.position(wallet)["status"] == "OPEN"
    firm.quote("BTC/USDT", "50960", "50961")
    assert (firm.position(wallet)["status"], firm.position(wallet)["exit_reason"]) == ("CLOSED", "trailing_stop")
    firm.reconciled()


def test_break_even_moves_the_stop_to_where_nothing_is_lost(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000", break_even_percent="2")
    firm.settle()
    firm.quote("BTC/USDT", "51000", "51000")
    position = firm.position(wallet)
    # (50,000 · 0.1 + 5) / (0.1 · 0.999) = 50,100.1001…, up to the tick
    assert position["break_even_px"] == D("50100.11")
    firm.quote("BTC/USDT", "50100.11", "50101")
    position = firm.position(wallet)
    assert (position["status"], position["exit_reason"]) == ("CLOSED", "break_even")
    assert position["realized_pnl"] >= 0
    firm.reconciled()


def test_protection_changed_on_the_position_is_armed_and_the_old_level_is_not(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    firm.send(wallet, qty="0.1", stop_loss="49500")
    firm.settle()
    from app.domain.protection import Protection

    def protect(session):  # type: ignore[no-untyped-def]
        row = firm.held_position(wallet)
        return firm.positions.protect(session, row, Protection(stop_loss=D(48000)), actor="t", now=firm.clock.now())

    firm.database.run(protect)
    firm.settle()
    firm.quote("BTC/USDT", "49000", "49010")
    assert firm.position(wallet)["status"] == "OPEN"
    with pytest.raises(Invalid) as refused:
        protection = Protection(stop_loss=D(49500))
        firm.database.run(
            lambda s: firm.positions.protect(s, firm.held_position(wallet), protection, actor="t", now=firm.clock.now())
        )
    assert refused.value.code == "stop_wrong_side"
    firm.quote("BTC/USDT", "47999.99", "48010")
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()


def test_wallet_default_percents_protect_where_the_order_brings_nothing(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")

    def defaults(session):  # type: ignore[no-untyped-def]
        row = session.get_one(Wallet, wallet)
        row.default_stop_loss_percent, row.default_take_profit_percent = D(2), D(4)

    firm.database.run(defaults)
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    position = firm.position(wallet)
    assert (position["stop_loss_px"], position["take_profit_px"]) == (D(49000), D(52000))


def test_a_stop_takes_back_what_a_resting_sale_holds(firm: Firm) -> None:
    """The client's own target order holds the asset; the stop cancels it and still gets out."""
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    resting = firm.send(wallet, side="SELL", type="LIMIT", qty="0.1", price="55000")
    firm.settle()
    firm.quote("BTC/USDT", "48900", "48910")
    asked = [row for row in firm.all(VenueRequest) if row["kind"] == "cancel"]
    assert [row["order_id"] for row in asked] == [resting["id"]], "in the round of the quote, not at the next poll"
    firm.run_for(3)
    assert firm.order(resting["id"])["status"] == "CANCELED"
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()


def test_selling_more_than_the_position_exchanges_the_rest_and_opens_no_short(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000", BTC="1")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    firm.send(wallet, side="SELL", qty="0.6")
    firm.settle()
    positions = firm.all(Position)
    assert [(p["status"], p["exit_qty"]) for p in positions] == [("CLOSED", D("0.1"))]
    assert firm.balance(wallet, "BTC") == D("0.5")
    # value 30,000 and fee 30 are shared: a sixth belongs to the position
    assert positions[0]["exit_fees"] == D(5)
    firm.reconciled()


def test_cancel_releases_the_hold_and_a_late_one_says_the_final_state(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.01", price="49000")
    firm.settle()
    firm.database.run(lambda s: firm.orders.cancel(s, order["id"], actor="t", now=firm.clock.now()))
    assert firm.order(order["id"])["status"] == "PENDING_CANCEL"
    firm.settle()
    assert firm.order(order["id"])["status"] == "CANCELED"
    assert firm.balance(wallet, "USDT") == D(1000)
    with pytest.raises(Conflict) as late:
        firm.database.run(lambda s: firm.orders.cancel(s, order["id"], actor="t", now=firm.clock.now()))
    assert late.value.extra["order"]["status"] == "CANCELED"
    firm.reconciled()


def test_amend_holds_more_first_and_gives_back_after_the_venue_agreed(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.01", price="40000")
    firm.settle()

    def amend(qty: str | None, price: str | None) -> None:
        def work(session):  # type: ignore[no-untyped-def]
            from app.models import Client

            row = session.get_one(Wallet, wallet)
            client = session.get_one(Client, row.client_id)
            firm.orders.amend(
                session,
                client,
                row,
                order["id"],
                D(qty) if qty else None,
                D(price) if price else None,
                actor="t",
                now=firm.clock.now(),
            )

        firm.database.run(work)

    amend("0.02", None)
    assert firm.balance(wallet, "USDT", "held") == D("800.8")
    firm.settle()
    assert firm.order(order["id"])["qty"] == D("0.02")
    amend("0.005", "41000")
    assert firm.balance(wallet, "USDT", "held") == D("800.8")  # the old order may still fill
    firm.settle()
    assert firm.balance(wallet, "USDT", "held") == D("205.205")
    with pytest.raises(Invalid) as refused:
        amend("1", None)
    assert refused.value.code == "INSUFFICIENT_BALANCE"
    firm.reconciled()


def test_a_refused_order_is_stored_with_every_reason_and_its_values(firm: Firm) -> None:
    _, wallet = firm.client(USDT="10")
    order = firm.send(wallet, type="LIMIT", qty="1", price="50000")
    assert order["status"] == "REJECTED"
    codes = [failure["code"] for failure in order["reject_values"]]
    assert codes == ["MISSING_REFERENCE_PRICE", "INSUFFICIENT_BALANCE"]
    assert order["reject_values"][1]["values"] == {"currency": "USDT", "required": "50050", "available": "10"}
    assert firm.balance(wallet, "USDT") == 10
    firm.reconciled()


def test_client_order_id_is_used_once_for_ever(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    first = firm.send(wallet, qty="0.1", client_order_id="bot-1")
    again = firm.send(wallet, qty="0.1", client_order_id="bot-1")
    assert again["id"] == first["id"]
    with pytest.raises(Conflict) as other:
        firm.send(wallet, qty="0.2", client_order_id="bot-1")
    assert other.value.code == "DUPLICATE_ORDER"
    firm.settle()
    assert len(firm.all(Execution)) == 1


def test_immediate_orders_do_not_wait(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    for tif in ("IOC", "FOK"):
        order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000", time_in_force=tif)
        firm.settle()
        assert firm.order(order["id"])["status"] == "CANCELED"
    post_only = firm.send(wallet, type="LIMIT", qty="0.1", price="50010", post_only=True)
    firm.settle()
    row = firm.order(post_only["id"])
    assert (row["status"], row["reject_code"]) == ("REJECTED", "POST_ONLY_WOULD_CROSS")
    firm.reconciled()


def test_a_day_order_expires_at_the_end_of_the_trading_day(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000", time_in_force="DAY")
    firm.settle()
    firm.quote("BTC/USDT", "50000", "50010", seconds=9 * 3600)
    assert firm.order(order["id"])["status"] == "OPEN"
    firm.quote("BTC/USDT", "50000", "50010", seconds=1800)
    assert firm.order(order["id"])["status"] == "EXPIRED"
    assert firm.balance(wallet, "USDT", "held") == 0
    firm.reconciled()


def test_a_market_order_on_a_stale_quote_is_rejected(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    firm.clock.advance(16)
    order = firm.send(wallet, qty="0.1")
    assert (order["status"], order["reject_code"]) == ("REJECTED", "STALE_QUOTE")


def test_the_fix_messages_of_an_order_are_kept_in_both_directions(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, qty="0.1")
    firm.settle()
    messages = [m for m in firm.all(FixMessage) if m["order_id"] == order["id"]]
    assert [(m["direction"], m["msg_type"]) for m in messages] == [("out", "D"), ("in", "8"), ("in", "8")]
    assert "\x0155=BTCUSDT\x01" in messages[0]["raw"] and f"\x0111={order['id']}\x01" in messages[0]["raw"]


def test_every_event_of_a_client_is_numbered_without_a_gap(firm: Firm) -> None:
    client, wallet = firm.client(USDT="100000")
    other, _ = firm.client(USDT="5")
    firm.quote("BTC/USDT", "50000", "50010")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    firm.quote("BTC/USDT", "48000", "48010")
    events = firm.all(Event)
    for stream in (client, other):
        numbers = [e["seq"] for e in events if e["stream"] == stream]
        assert numbers == list(range(1, len(numbers) + 1))
    assert [e["cursor"] for e in firm.recorder.pushed] == list(range(1, len(events) + 1))


def test_every_cent_is_in_the_journal(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "49990", "50000")
    firm.send(wallet, qty="0.1", take_profit="51000")
    firm.settle()
    firm.quote("BTC/USDT", "51000", "51010")
    kinds = [entry["kind"] for entry in sorted(firm.all(JournalEntry), key=lambda e: e["number"])]
    assert kinds == ["deposit", "hold", "trade", "hold", "trade"]
    assert firm.balance(wallet, "USDT") == D("100000") - D("5005") + D("5100") - D("5.1")


def test_orders_of_one_transaction_cannot_spend_the_same_money(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1000")
    _, other = firm.client(USDT="1000")
    firm.quote("BTC/USDT", "50000", "50000")

    def entry(wallet_id: str, **fields: str) -> OrderRequest:
        data = {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "price": "50000", "qty": "0.015", **fields}
        return validate(OrderIn, data).order_request(wallet_id, "test", OrderSource.API)

    entries = [
        entry(wallet, client_order_id="one"),
        entry(wallet),  # the money is gone
        entry(wallet, client_order_id="one"),  # the first again
        entry(wallet, client_order_id="one", qty="0.001"),  # its name, but another order
        entry(other),
        entry(other, symbol="NOPE"),
    ]
    outcomes = firm.database.run(lambda session: firm.orders.submit_many(session, entries, firm.clock.now()))
    assert [o if isinstance(o, AppError) else (o[0]["status"], o[1]) for o in outcomes[:3]] == [
        ("NEW", True),
        ("REJECTED", True),
        ("NEW", False),
    ]
    assert isinstance(outcomes[3], Conflict) and outcomes[3].code == "DUPLICATE_ORDER"
    assert outcomes[4][0]["status"] == "NEW"
    assert isinstance(outcomes[5], Invalid) and outcomes[5].code == "unknown_instrument"
    assert (firm.balance(wallet, "USDT"), firm.balance(wallet, "USDT", "held")) == (D("249.25"), D("750.75"))
    firm.settle()
    firm.reconciled()


def test_what_is_left_of_a_marketable_limit_order_still_gets_the_market_price(small_firm: Firm) -> None:
    """Its limit is far above the market: neither lot pays more than the ask."""
    firm = small_firm
    firm.venue.behaviour = replace(firm.behaviour, partial_rate=D(1))
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "49990", "50000")
    firm.send(wallet, type="LIMIT", qty="0.1", price="51000")
    firm.settle()
    assert [(e["qty"], e["price"]) for e in firm.all(Execution)] == [(D("0.04"), D(50000)), (D("0.06"), D(50000))]


def test_an_added_buy_changes_the_legs_it_names_and_no_other(small_firm: Firm) -> None:
    firm = small_firm
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000", take_profit="52000")
    firm.settle()
    firm.send(wallet, qty="0.1", take_profit="53000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    position = firm.position(wallet)
    assert (position["stop_loss_px"], position["take_profit_px"]) == (D(49000), D(53000))
    firm.quote("BTC/USDT", "49000", "49000")
    assert firm.position(wallet)["status"] == "CLOSED"


def test_an_amendment_keeps_the_least_value(small_firm: Firm) -> None:
    firm = small_firm
    client, wallet = firm.client(USDT="1000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.01", price="40000")
    firm.settle()

    def amend(session):  # type: ignore[no-untyped-def]
        from app.models import Client

        firm.orders.amend(
            session,
            session.get_one(Client, client),
            session.get_one(Wallet, wallet),
            order["id"],
            D("0.0001"),
            None,
            actor="t",
            now=firm.clock.now(),
        )

    with pytest.raises(Invalid) as refused:
        firm.database.run(amend)
    assert refused.value.code == "min_notional"

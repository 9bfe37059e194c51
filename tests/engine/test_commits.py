"""Between commit and memory, and poison rows: nothing that fired is forgotten, a bad row hurts itself alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.clock import ManualClock
from app.core.errors import Conflict, NotFound, OutcomeUnknown, Unavailable
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.orders import OrderStatus
from app.domain.positions import PositionState
from app.domain.protection import Protection
from app.engine import booking, relay
from app.engine.exits import Exits
from app.engine.schedules import Sampler
from app.models import (
    AuditRecord,
    EngineFault,
    Execution,
    Order,
    Position,
    PositionUpdate,
    VenueRequest,
    Wallet,
    table_of,
)
from app.services import audit, faults
from tests.firm import AT_ONCE, Firm
from tests.venues import FarVenue


def retry(firm: Firm) -> None:
    """Somebody has every open fault taken up again."""
    for fault in firm.database.read(faults.open_faults):
        firm.database.run(lambda session, id_=fault["id"]: faults.ask_retry(session, id_, SYSTEM, firm.clock.now()))
    firm.settle()


def open_faults(firm: Firm) -> list[tuple[str, str]]:
    return [(fault["stage"], fault["object_id"]) for fault in firm.database.read(faults.open_faults)]


def protected(firm: Firm, wallets: int = 1, **legs: Any) -> list[str]:
    """Wallets with 0.1 BTC bought at 50,000 each."""
    found = [firm.client(USDT="100000")[1] for _ in range(wallets)]
    firm.quote("BTC/USDT", "50000", "50000")
    for wallet in found:
        firm.send(wallet, qty="0.1", **(legs or {"stop_loss": "49000"}))
    firm.settle()
    return found


def after_commit(firm: Firm, patch: pytest.MonkeyPatch, when: Any) -> None:
    """The answer of the first commit for which ``when(session)`` held is lost; the lease still holds."""
    run, done = firm.database.run, []

    def lost(work: Any, **options: Any) -> Any:
        hit = []

        def watched(session: Any) -> Any:
            found = work(session)
            if not done and options.get("write") is not False and when(session):
                hit.append(True)
            return found

        found = run(watched, **options)
        if hit:
            done.append(True)
            raise OutcomeUnknown("the connection was lost while the work was being stored")
        return found

    patch.setattr(firm.database, "run", lost)


# -- the seam between commit and memory ----------------------------------------------------------------------


def test_a_fill_whose_commit_nobody_answered_is_protected_all_the_same(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    with monkeypatch.context() as patch:
        after_commit(firm, patch, lambda s: s.scalar(sa.select(sa.func.count()).select_from(table_of(Execution))))
        with pytest.raises(OutcomeUnknown):
            firm.settle()
    assert firm.position(wallet)["status"] in ("OPEN", "OPENING")
    firm.quote("BTC/USDT", "47000", "47000")
    assert (firm.position(wallet)["status"], firm.position(wallet)["exit_reason"]) == ("CLOSED", "stop_loss")
    assert len(firm.all(Execution)) == 2
    firm.reconciled()


@pytest.mark.parametrize("what", ["the connection", "the answer of the commit"])
def test_a_level_that_was_reached_while_the_database_was_away_fires_although_the_price_came_back(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    [wallet] = protected(firm)
    act = Exits.act
    with monkeypatch.context() as patch:
        if what == "the connection":

            def away(*_: Any, **__: Any) -> Any:
                raise Unavailable("gone")

            patch.setattr(Exits, "act", away)
        else:
            after_commit(firm, patch, lambda s: firm.engine.watch.fired)
        with pytest.raises((Unavailable, OutcomeUnknown)):
            firm.quote("BTC/USDT", "48900", "48900")
    assert Exits.act is act
    firm.quote("BTC/USDT", "50000", "50000")
    assert (firm.position(wallet)["status"], firm.position(wallet)["exit_reason"]) == ("CLOSED", "stop_loss")
    assert len(firm.all(Execution)) == 2
    firm.reconciled()


def test_a_best_price_that_was_seen_while_the_database_was_away_is_not_forgotten(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    [wallet] = protected(firm, trailing_stop={"type": "percent", "value": "2"})
    with monkeypatch.context() as patch:

        def away(*_: Any, **__: Any) -> Any:
            raise Unavailable("gone")

        patch.setattr(Exits, "store_moves", away)
        with pytest.raises(Unavailable):
            firm.quote("BTC/USDT", "52000", "52000")
    firm.quote("BTC/USDT", "51500", "51500")
    assert firm.position(wallet)["trail_extreme_px"] == D(52000)
    firm.quote("BTC/USDT", "50960", "50960")
    assert firm.position(wallet)["exit_reason"] == "trailing_stop"


def test_a_database_that_fails_while_a_batch_is_tried_one_by_one_costs_no_report(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    ids = [firm.send(wallet, qty="0.1")["id"] for _ in range(4)]
    original, calls = booking.Booking._book_fill, []

    def fill(self: Any, before: Any, order: Any, report: Any) -> Any:
        calls.append(order.id)
        if len(calls) == 1:
            raise RuntimeError("the batch as a whole")
        if len(calls) == 3:
            raise Unavailable("gone in the middle of it")
        return original(self, before, order, report)

    with monkeypatch.context() as patch:
        patch.setattr(booking.Booking, "_book_fill", fill)
        with pytest.raises(Unavailable):
            firm.settle()
    firm.quote("BTC/USDT", "50000", "50000")
    firm.run_for(3, 0.5)
    assert [firm.order(order_id)["status"] for order_id in ids] == ["FILLED"] * 4
    assert len(firm.all(Execution)) == 4
    assert open_faults(firm) == []
    firm.reconciled()


def test_of_four_fired_stops_a_poisoned_one_is_parked_and_the_others_exit(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallets = protected(firm, 4)
    poison = firm.position(wallets[1])["id"]
    original = Exits._event

    def event(self: Exits, events: Any, position: PositionState, *args: Any, **options: Any) -> None:
        if position.id == poison:
            raise RuntimeError("a row nobody foresaw")
        original(self, events, position, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Exits, "_event", event)
        firm.quote("BTC/USDT", "48900", "48900")
        firm.quote("BTC/USDT", "48800", "48800")
        assert [firm.position(wallet)["status"] for wallet in wallets] == ["CLOSED", "OPEN", "CLOSED", "CLOSED"]
        assert open_faults(firm) == [("trigger", poison)]
        firm.crash()
        firm.quote("BTC/USDT", "48700", "48700")
        assert open_faults(firm) == [("trigger", poison)], "parked once, whatever else happens"
    alerts = {e["cursor"] for e in firm.recorder.pushed if e["type"] == "alert.engine"}
    assert len(alerts) == 1
    retry(firm)
    firm.quote("BTC/USDT", "48700", "48700")
    assert firm.position(wallets[1])["status"] == "CLOSED"
    assert open_faults(firm) == []
    firm.reconciled()


def test_a_commit_whose_answer_is_lost_sends_no_order_twice(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    far = FarVenue(firm.clock)
    firm.gateways = (far,)
    firm.crash()
    firm.orders.rules = type(firm.rules)(venues={"paper": "FAR"})
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")["id"]
    with monkeypatch.context() as patch:
        after_commit(firm, patch, lambda s: firm.engine.clock and _claimed(s))
        with pytest.raises(OutcomeUnknown):
            firm.settle()
    firm.settle()
    assert firm.order(order)["status"] == "OPEN"
    assert [heard for heard in far.heard if heard[0] == "submit"] == [("submit", order)]
    firm.reconciled()


def _claimed(session: Any) -> Any:
    return session.scalar(sa.select(sa.func.count()).select_from(table_of(VenueRequest)))


# -- poison rows ---------------------------------------------------------------------------------------------


def test_a_position_whose_exit_cannot_be_made_parks_itself_alone(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    wallets = protected(firm, 2)
    poison = firm.position(wallets[0])["id"]
    original = Exits._exit_order

    def exit_order(self: Exits, journal: Any, free: Any, position: PositionState, *args: Any) -> Any:
        if position.id == poison:
            raise RuntimeError("a row nobody foresaw")
        return original(self, journal, free, position, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Exits, "_exit_order", exit_order)
        firm.quote("BTC/USDT", "48900", "48900")
        healthy = firm.send(wallets[1], qty="0.2")["id"]
        firm.settle()
        assert firm.order(healthy)["status"] == "FILLED"
        assert [row["status"] for row in firm.all(Position)] == ["CLOSING", "CLOSED", "OPEN"]
        assert open_faults(firm) == [("exit", poison)]
        (before,) = firm.database.read(faults.open_faults)
        retry(firm)  # too early: it is the same fault still, and says so
        (after,) = firm.database.read(faults.open_faults)
        assert (after["id"], after["attempts"], after["retry_at"]) == (before["id"], 2, None)
    retry(firm)
    assert firm.all(Position)[0]["status"] == "CLOSED"
    assert open_faults(firm) == []
    firm.reconciled()


def test_protection_that_cannot_be_armed_parks_itself_alone(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    wallets = protected(firm, 2)
    poison = firm.position(wallets[0])["id"]
    original = Exits.attend

    def attend(self: Exits, session: Any, parked: Any, only: str | None = None) -> Any:
        rows = original(self, session, parked, only)
        if any(row.id == poison for row in rows):
            raise RuntimeError("a row nobody foresaw")
        return rows

    def protect(wallet: str) -> None:
        protection, now = Protection(stop_loss=D(49500)), firm.clock.now()
        firm.database.run(
            lambda s: firm.positions.protect(s, firm.held_position(wallet), protection, actor="t", now=now)
        )

    with monkeypatch.context() as patch:
        patch.setattr(Exits, "attend", attend)
        for wallet in wallets:
            protect(wallet)
        healthy = firm.send(wallets[1], type="LIMIT", qty="0.2", price="40000")["id"]
        firm.settle()
        assert firm.order(healthy)["status"] == "OPEN"
        firm.quote("BTC/USDT", "49400", "49400")
        assert [firm.position(wallet)["status"] for wallet in wallets] == ["OPEN", "CLOSED"]
        assert open_faults(firm) == [("arm", poison)]
    retry(firm)
    assert firm.position(wallets[0])["status"] == "CLOSED", "judged at once against the newest quote"
    firm.reconciled()


@pytest.mark.parametrize("way", ["retry", "resolve", "retry in vain"])
def test_an_audit_record_that_cannot_be_chained_parks_itself_alone(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    for number in range(3):
        firm.database.run(lambda s, n=number: audit.record(s, SYSTEM, f"test.{n}", "thing", "x", firm.clock.now()))
    poison = firm.all(AuditRecord)[1]["id"]
    original = audit.chain_hash

    def chain_hash(previous: str, row: Any, seq: int) -> str:
        if row["id"] == poison:
            raise ValueError("these details are no JSON")
        return original(previous, row, seq)

    with monkeypatch.context() as patch:
        patch.setattr(audit, "chain_hash", chain_hash)
        healthy = firm.send(wallet, qty="0.1")["id"]
        firm.settle()
        assert firm.order(healthy)["status"] == "FILLED"
        assert open_faults(firm) == [("audit", poison)]
        chained = [row for row in firm.all(AuditRecord) if row["action"].startswith("test.") and row["seq"]]
        assert len(chained) == 2
        if way == "retry in vain":
            retry(firm)
            assert open_faults(firm) == [("audit", poison)]
            assert firm.all(EngineFault)[0]["attempts"] == 2
    if way == "resolve":
        fault = firm.all(EngineFault)[0]["id"]
        firm.database.run(lambda s: faults.resolve(s, fault, SYSTEM, firm.clock.now(), "mended by hand"))
        firm.settle()
    else:
        retry(firm)
    assert all(row["seq"] for row in firm.all(AuditRecord))
    assert open_faults(firm) == []
    firm.reconciled()


def test_an_event_that_cannot_be_shown_parks_itself_alone(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    original = relay.event_json

    def event_json(row: Any) -> dict[str, Any]:
        if row["type"] == "order.filled":
            raise ValueError("no JSON")
        return original(row)

    with monkeypatch.context() as patch:
        patch.setattr(relay, "event_json", event_json)
        order = firm.send(wallet, qty="0.1")["id"]
        firm.settle()
        assert firm.order(order)["status"] == "FILLED"
        assert [stage for stage, _ in open_faults(firm)] == ["relay"]
        assert "order.filled" not in {event["type"] for event in firm.recorder.pushed}
        assert "position.opened" in {event["type"] for event in firm.recorder.pushed}
    retry(firm)
    assert [event["type"] for event in firm.recorder.pushed].count("order.filled") == 1
    assert open_faults(firm) == []


def test_a_fault_can_be_resolved_once_and_its_reports_are_not_booked_any_more(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")["id"]
    firm.settle()
    fault = firm.database.run(lambda s: faults.park(s, firm.clock.now(), "booking", "order", order, "x"))
    firm.crash()
    firm.quote("BTC/USDT", "48900", "49000")
    assert firm.order(order)["status"] == "OPEN"
    [shown], total = firm.database.read(lambda s: faults.listed(s, 10, 0, open_only=True))
    assert (shown["waiting_reports"] > 0, total) == (True, 1)

    def resolve() -> None:
        firm.database.run(lambda s: faults.resolve(s, fault, SYSTEM, firm.clock.now(), "booked by hand"))

    resolve()
    with pytest.raises(Conflict):
        resolve()
    with pytest.raises(NotFound):
        firm.database.run(lambda s: faults.ask_retry(s, "no-id", SYSTEM, firm.clock.now()))
    row = firm.all(EngineFault)[0]
    assert (row["resolution"], row["resolved_at"] is not None) == ("booked by hand", True)


def test_a_retry_that_fails_again_counts_and_waits_for_the_next(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")

    def poison(*_: Any) -> Any:
        raise RuntimeError("poison")

    with monkeypatch.context() as patch:
        patch.setattr(booking.Booking, "_book_fill", poison)
        order = firm.send(wallet, qty="0.1")["id"]
        firm.settle()
        firm.crash()
        retry(firm)
        retry(firm)
        fault = firm.all(EngineFault)[0]
        assert (fault["attempts"], fault["retry_at"], fault["resolved_at"]) == (3, None, None)
    retry(firm)
    assert firm.order(order)["status"] == "FILLED"


@pytest.mark.parametrize("ended", [False, True])
def test_a_simulated_market_that_starts_again_knows_the_fills_that_wait_in_a_fault(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    """Or it executes them a second time, under the same trade ids and with other quantities."""
    firm.behaviour = firm.venue.behaviour = replace(AT_ONCE, partial_rate=D(1), latency=timedelta(milliseconds=200))
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")["id"]
    firm.run_for(1)
    with monkeypatch.context() as patch:

        def poison(*_: Any) -> Any:
            raise RuntimeError("poison")

        patch.setattr(booking.Booking, "_book_fill", poison)
        firm.quote("BTC/USDT", "48990", "49000")  # its first lot
        assert open_faults(firm) == [("booking", order)]
        if ended:
            firm.run_for(1)  # the second waits behind it
    firm.crash()
    firm.quote("BTC/USDT", "48990", "49000")
    firm.run_for(1)
    retry(firm)
    row = firm.order(order)
    assert (row["status"], sorted(e["qty"] for e in firm.all(Execution))) == ("FILLED", [D("0.04"), D("0.06")])
    assert open_faults(firm) == []
    firm.reconciled()


# -- triggers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
def test_a_quote_that_jumps_through_a_resting_entry_and_its_stop_exits_at_once(firm: Firm, restarted: bool) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    firm.send(wallet, type="LIMIT", qty="0.1", price="49000", stop_loss="48900")
    firm.settle()
    if not restarted:
        firm.quote("BTC/USDT", "48500", "48510")
    else:
        # it dies with the fill booked and the position not judged yet; the next process has the quote first
        firm.engine.levels.arm = lambda row: None  # type: ignore[method-assign]
        firm.quote("BTC/USDT", "48500", "48510")
        assert firm.position(wallet)["status"] == "OPEN"
        newest = firm.quotes.get("BTC/USDT")
        firm.engine.lease.release()
        firm.engine = firm.new_engine()
        assert newest is not None
        firm.start()
        firm.venue.on_quote(newest)
        firm.settle()
    position = firm.position(wallet)
    assert (position["status"], position["exit_reason"]) == ("CLOSED", "stop_loss")
    assert len(firm.all(Execution)) == 2
    firm.reconciled()


def test_one_trigger_sells_once_even_if_its_position_forgets_its_exit(firm: Firm) -> None:
    """What the position says about its exit order is lost; its trigger is spent all the same."""
    _, wallet = firm.client(USDT="100000", BTC="1")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    far = FarVenue(firm.clock, "SIM")  # takes the exit and does nothing with it
    firm.engine.gateways["SIM"] = far  # type: ignore[index]
    firm.quote("BTC/USDT", "48900", "48900")
    position = firm.position(wallet)
    [first] = [order for order in firm.all(Order) if order["trigger_key"]]
    assert first["trigger_key"] == f"{position['id']}:{position['protection_version']}"
    assert position["exit_order_id"] == first["id"]
    positions = table_of(Position)
    firm.database.run(lambda s: s.execute(sa.update(positions).values(exit_order_id=None)))
    # the sale that is on its way is no reason either: it looks as if it were another's
    firm.database.run(lambda s: s.execute(sa.update(table_of(Order)).values(reduce_only=False)))
    firm.run_for(2, 0.5)
    assert len([order for order in firm.all(Order) if order["trigger_key"]]) == 1
    assert open_faults(firm) == [("exit", position["id"])]


def test_every_open_position_has_its_turn_with_the_sampler(sqlite_database: Database, clock: ManualClock) -> None:
    firm = Firm(sqlite_database, clock, schedules=(("samples", timedelta(seconds=1), Sampler()),)).start()
    protected(firm)
    wallet, position = firm.all(Wallet)[0], firm.all(Position)[0]
    wallets = [{**wallet, "id": _numbered(number), "is_default": False} for number in range(1199)]
    copies = [{**position, "id": _numbered(number, "b"), "wallet_id": _numbered(number)} for number in range(1199)]
    firm.database.run(lambda s: s.execute(sa.insert(table_of(Wallet)), wallets))
    firm.database.run(lambda s: s.execute(sa.insert(table_of(Position)), copies))
    firm.crash()
    for moves in range(3):
        firm.clock.advance(1)
        price = D(50001 + moves)  # it moves all the time: the first are not sampled again before the last are
        firm.engine.offer_quote(
            type(firm.quotes.get("BTC/USDT") or _quote(firm, price))(
                "BTC/USDT", price, price, None, clock.now(), clock.now(), "test"
            )
        )
        firm.engine.step(clock.now())
    sampled = {row["position_id"] for row in firm.all(PositionUpdate)}
    assert len(sampled) == 1200
    firm.engine.lease.release()


def _numbered(number: int, letter: str = "a") -> str:
    return f"01990000-0000-7000-{letter}000-{number:012d}"


def _quote(firm: Firm, price: D) -> Any:
    from app.domain.quotes import Quote

    now = firm.clock.now()
    return Quote("BTC/USDT", price, price, None, now, now, "test")


# -- the clock -----------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_stops_nothing(database: Database, clock: ManualClock) -> None:
    far = FarVenue(clock)
    firm = Firm(
        database, clock, AT_ONCE, schedules=(("samples", timedelta(seconds=1), Sampler()),), gateways=(far,)
    ).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    firm.orders.rules = type(firm.rules)(venues={"paper": "FAR"})
    far.silent = {"submit", "query"}  # type: ignore[arg-type]
    waiting = firm.send(wallet, type="LIMIT", qty="0.1", price="45000")["id"]
    firm.orders.rules = firm.rules
    firm.settle()
    firm.run_for(1, 0.5)
    samples = len(firm.all(PositionUpdate))
    clock.set_back(300)
    order = firm.send(wallet, qty="0.1")["id"]
    firm.run_for(1, 0.5)  # nobody wakes it: it polls by the monotonic clock
    assert firm.order(order)["status"] == "FILLED"
    firm.quote("BTC/USDT", "50100", "50100")
    firm.run_for(2, 1)
    assert len(firm.all(PositionUpdate)) > samples
    firm.run_for(3, 1)
    assert firm.order(waiting)["status"] == OrderStatus.UNKNOWN
    far.silent = set()
    firm.run_for(6, 1)
    assert firm.order(waiting)["status"] == "OPEN"
    firm.quote("BTC/USDT", "48900", "48900")
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()
    firm.engine.lease.release()

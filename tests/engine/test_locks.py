"""What the engine locks it reads again under the lock: a change made meanwhile is neither lost nor ignored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal as D

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.transaction import Database
from app.domain.ledger import AccountKind, AccountRef
from app.domain.protection import Protection
from app.models import LedgerAccount, table_of
from app.services.ledger import lock_accounts
from app.services.locks import Kind, LockOrderViolation, Locks
from tests.firm import Firm

accounts = table_of(LedgerAccount)
_WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")


@pytest.fixture
def firm(postgres_database: Database, clock: ManualClock) -> Iterator[Firm]:
    """Only PostgreSQL locks rows; SQLite has one writer at a time."""
    firm = Firm(postgres_database, clock).start()
    yield firm
    firm.engine.lease.release()


def while_changed(firm: Firm, change: Callable[[Session], object], act: Callable[[], None]) -> None:
    """``act`` begins while ``change`` is made and not committed, waits for its rows, and goes on after it."""
    thread = threading.Thread(target=act)
    with Session(firm.database.engine) as session:
        change(session)
        session.flush()
        thread.start()
        for _ in range(500):
            if firm.database.read(lambda other: other.scalar(_WAITING)) or not thread.is_alive():
                break
            thread.join(0.02)
        assert thread.is_alive(), "it did not wait"
        session.commit()
    thread.join(20)
    assert not thread.is_alive()


def move_stop(firm: Firm, wallet: str, stop: str) -> Callable[[Session], object]:
    position = firm.held_position(wallet)
    return lambda session: firm.positions.protect(
        session, position, Protection(stop_loss=D(stop)), actor="t", now=firm.clock.now()
    )


@pytest.mark.postgres
def test_a_stop_that_is_moved_while_a_fill_is_booked_stays_moved(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="48000")
    firm.settle()
    firm.send(wallet, qty="0.1")
    while_changed(firm, move_stop(firm, wallet, "49000"), firm.settle)
    position = firm.position(wallet)
    assert (position["stop_loss_px"], position["qty"]) == (D(49000), D("0.2"))
    firm.quote("BTC/USDT", "48900", "48900")
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()


@pytest.mark.postgres
def test_a_level_that_is_moved_as_it_fires_does_not_close_the_position(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    while_changed(firm, move_stop(firm, wallet, "48000"), lambda: firm.quote("BTC/USDT", "48900", "48900"))
    assert firm.position(wallet)["status"] == "OPEN"
    firm.quote("BTC/USDT", "47900", "47900")
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()


@pytest.mark.postgres
def test_an_order_that_is_canceled_while_it_is_claimed_is_not_sent(firm: Firm) -> None:
    """The claim passes by a row that somebody else has locked, and sees it canceled when it looks again."""
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.1", price="49000")["id"]
    with Session(firm.database.engine) as session:
        firm.orders.cancel(session, order, actor="t", now=firm.clock.now())
        session.flush()
        firm.settle()
        session.commit()
    firm.settle()
    assert firm.order(order)["status"] == "CANCELED"
    assert firm.venue._orders == {}
    firm.reconciled()


@pytest.mark.postgres
def test_accounts_are_locked_by_ascending_id_wherever_their_rows_lie(firm: Firm) -> None:
    _, wallet = firm.client(USDT="1")
    refs = [AccountRef(wallet, currency, AccountKind.AVAILABLE) for currency in ("USD", "PEN", "EUR", "BTC")]
    for ref in refs:  # ids ascend as names descend
        firm.database.run(lambda session, one=ref: lock_accounts(session, {one}, firm.clock.now()))
    moved = sa.and_(accounts.c.owner == wallet, accounts.c.currency == "USD")
    firm.database.run(lambda session: session.execute(sa.update(accounts).where(moved).values(version=7)))
    locked = firm.database.run(lambda session: lock_accounts(session, refs, firm.clock.now()))
    ids = [account.id for account in locked.values()]
    assert ids == sorted(ids) and [ref.currency for ref in locked] == ["USD", "PEN", "EUR", "BTC"]


def test_a_lock_out_of_order_is_found_before_it_is_a_deadlock(sqlite_database: Database) -> None:
    def fresh() -> Locks:
        return Locks(Session(sqlite_database.engine))

    locks = fresh()
    locks.note(Kind.WALLETS, ["a", "b"])
    locks.note(Kind.ORDERS, ["a"])
    locks.note(Kind.ORDERS, ["a", "c"])
    locks.note(Kind.WALLETS, ["b"])  # held already
    with pytest.raises(LockOrderViolation, match="wallets are locked after orders"):
        locks.note(Kind.WALLETS, ["c"])
    with pytest.raises(LockOrderViolation, match="ascending"):
        locks.note(Kind.ORDERS, ["b"])
    with pytest.raises(LockOrderViolation, match="ascending"):
        fresh().note(Kind.ACCOUNTS, [2, 1])


@pytest.mark.postgres
def test_an_order_that_somebody_else_holds_for_long_delays_only_itself(firm: Firm) -> None:
    """The engine neither starts again nor parks it, and books it once it is free."""
    held, other = firm.client(USDT="100000")[1], firm.client(USDT="100000")[1]
    firm.quote("BTC/USDT", "50000", "50000")
    first, second = firm.send(held, qty="0.1")["id"], firm.send(other, qty="0.1")["id"]
    impatient(firm)
    recoveries = firm.engine.counts["recoveries"]
    with Session(firm.database.engine) as session:
        firm.engine.step(firm.clock.now())  # sent, and filled at the venue
        Locks.of(session).order(first)
        for _ in range(4):
            firm.engine.step(firm.clock.now())
        assert firm.order(second)["status"] == "FILLED"
        assert firm.order(first)["status"] != "FILLED"
    firm.settle()
    assert firm.order(first)["status"] == "FILLED"
    assert firm.engine.counts["recoveries"] == recoveries
    assert firm.engine.transactions.all_parked() == []
    firm.reconciled()


@pytest.mark.postgres
def test_a_position_that_somebody_else_holds_for_long_is_closed_when_it_is_free(firm: Firm) -> None:
    wallets = [firm.client(USDT="100000")[1] for _ in range(2)]
    firm.quote("BTC/USDT", "50000", "50000")
    for wallet in wallets:
        firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    impatient(firm)
    with Session(firm.database.engine) as session:
        Locks.of(session).position(firm.position(wallets[0])["id"])
        firm.quote("BTC/USDT", "48900", "48900")
        firm.quote("BTC/USDT", "48950", "48950")
        assert [firm.position(wallet)["status"] for wallet in wallets] == ["OPEN", "CLOSED"]
    firm.quote("BTC/USDT", "49500", "49500")  # the level was reached: that the market is back changes nothing
    firm.quote("BTC/USDT", "49500", "49500")
    assert firm.position(wallets[0])["status"] == "CLOSED"
    assert firm.engine.transactions.all_parked() == []
    firm.reconciled()


def impatient(firm: Firm) -> None:
    """The engine waits for a lock no longer than a moment."""

    @sa.event.listens_for(firm.database.engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = 100")

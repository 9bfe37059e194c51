"""Rows are locked in one order: wallets, positions, orders, accounts, each by ascending id."""

from __future__ import annotations

import random
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core import transaction
from app.core.errors import AppError
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.ledger import AccountKind, AccountRef
from app.domain.order_requests import OrderRequest
from app.domain.orders import OrderSource
from app.domain.protection import Protection
from app.domain.quotes import Quote
from app.models import Client, LedgerAccount, Order, Position, Wallet, table_of
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from app.services import wallets
from app.services.ledger import Journal
from app.services.locks import Kind, LockOrderViolation, Locks
from tests.firm import Firm

TABLES = ("wallets", "positions", "orders", "ledger_accounts")
orders, positions, accounts = table_of(Order), table_of(Position), table_of(LedgerAccount)


def entry(wallet: str, **fields: Any) -> OrderRequest:
    request = validate(
        OrderIn, {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "qty": "0.01", "price": "49000", **fields}
    )
    return request.order_request(wallet, "t", OrderSource.API)


def submit(firm: Firm, *entries: OrderRequest) -> list[dict[str, Any]]:
    outcomes = firm.database.run(lambda s: firm.orders.submit_many(s, list(entries), firm.clock.now()))
    shown = []
    for outcome in outcomes:
        assert not isinstance(outcome, AppError), outcome
        shown.append(outcome[0])
    return shown


def close(firm: Firm, session: Session, position_id: str, qty: str | None = None) -> dict[str, Any]:
    """As the route does: wallet, position, then the order with its accounts."""
    row = session.execute(sa.select(positions).where(positions.c.id == position_id)).mappings().one()
    wallet, client = Locks.of(session).wallet(row["wallet_id"])
    locked = Locks.of(session).position(position_id)
    return firm.positions.close(
        session,
        client,
        wallet,
        locked,
        D(qty) if qty else None,
        None,
        actor="t",
        source=OrderSource.API,
        now=firm.clock.now(),
    )


def amend(firm: Firm, session: Session, order_id: str, qty: str) -> None:
    wallet_id = session.scalars(sa.select(orders.c.wallet_id).where(orders.c.id == order_id)).one()
    wallet = session.get_one(Wallet, wallet_id)
    firm.orders.amend(
        session,
        session.get_one(Client, wallet.client_id),
        wallet,
        order_id,
        D(qty),
        None,
        actor="t",
        now=firm.clock.now(),
    )


def cancel_all(firm: Firm, session: Session, **only: Any) -> list[dict[str, Any]]:
    wanted = {"client_id": None, "wallet_id": None, "symbol": None, "side": None, **only}
    return firm.orders.cancel_all(session, None, **wanted, actor="t", now=firm.clock.now())


# -- the helper ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"), [(first, second) for first in Kind for second in Kind if second < first], ids=str
)
def test_an_earlier_kind_after_a_later_one_is_refused(small_firm: Firm, first: Kind, second: Kind) -> None:
    def work(session: Session) -> None:
        Locks.of(session).note(first, ["b"])
        with pytest.raises(LockOrderViolation, match=second.name.lower()):
            Locks.of(session).note(second, ["c"])

    small_firm.database.read(work)


def test_ids_ascend_and_what_is_held_may_be_locked_again(small_firm: Firm) -> None:
    def work(session: Session) -> None:
        locks = Locks.of(session)
        locks.note(Kind.WALLETS, ["b", "c"])
        locks.note(Kind.ORDERS, ["x"])
        locks.note(Kind.WALLETS, ["b"])
        with pytest.raises(LockOrderViolation, match="ascending"):
            locks.note(Kind.ORDERS, ["a"])

    small_firm.database.read(work)


def test_the_journals_accounts_count(firm: Firm) -> None:
    """On both databases, though SQLite has no row locks: the mistake is found where it is made."""
    _, wallet = firm.client(USDT="100", BTC="1")
    (order,) = submit(firm, entry(wallet, qty="0.001"))

    def refs(*currencies: str) -> list[AccountRef]:
        return [AccountRef(wallet, currency, AccountKind.AVAILABLE) for currency in currencies]

    def accounts_before_an_order(session: Session) -> None:
        Journal(session, firm.instruments.scales, firm.clock.now(), "t").lock(refs("USDT"))
        Locks.of(session).order(order["id"])

    def a_lower_account_later(session: Session) -> None:
        ids = dict(
            session.execute(
                sa.select(accounts.c.currency, accounts.c.id).where(
                    accounts.c.kind == "available", accounts.c.owner == wallet
                )
            ).all()
        )
        low, high = sorted(("USDT", "BTC"), key=lambda currency: ids[currency])
        Journal(session, firm.instruments.scales, firm.clock.now(), "t").lock(refs(high))
        Journal(session, firm.instruments.scales, firm.clock.now(), "t").lock(refs(low))

    for work in (accounts_before_an_order, a_lower_account_later):
        with pytest.raises(LockOrderViolation):
            firm.database.run(work)


# -- what requests really lock -------------------------------------------------------------------------------


@contextmanager
def watched(database: Database) -> Iterator[list[str]]:
    """Every statement that locks rows, as PostgreSQL gets it."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if " FOR " in statement and re.search(r"FOR (NO KEY )?UPDATE", statement):
            seen.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(database.engine, "before_cursor_execute", note)


def tables_of(statements: list[str]) -> list[str]:
    found = [re.search(r"FROM (\w+)", statement) for statement in statements]
    return [match.group(1) for match in found if match and match.group(1) in TABLES]


def open_position(firm: Firm, wallet: str, qty: str = "0.1", **fields: Any) -> str:
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty=qty, **fields)
    firm.settle()
    position: str = firm.position(wallet)["id"]
    return position


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("entry", {"wallets", "ledger_accounts"}),
        ("amend", {"wallets", "orders", "ledger_accounts"}),
        ("cancel", {"orders", "ledger_accounts"}),
        ("cancel of a close", {"positions", "orders", "ledger_accounts"}),
        ("cancel all", {"positions", "orders", "ledger_accounts"}),
        ("close", {"wallets", "positions", "ledger_accounts"}),
        ("entry that finds a breach", {"wallets", "orders", "ledger_accounts"}),
    ],
)
def test_each_request_locks_all_it_decides_on_in_the_one_order(large_firm: Firm, name: str, wanted: set[str]) -> None:
    firm = large_firm
    _, wallet = firm.client(USDT="100000")
    position = open_position(firm, wallet)
    resting, other = submit(firm, entry(wallet), entry(wallet))
    breach = name == "entry that finds a breach"
    if breach:
        firm.database.run(lambda s: setattr(s.get_one(Wallet, wallet), "daily_loss_usd", D("0.01")))
        submit(firm, entry(wallet))
        firm.clock.advance(1)
        firm.quotes.put(Quote("BTC/USDT", D(46000), D(46000), None, firm.clock.now(), firm.clock.now(), "test"))
    exit_order = firm.database.run(lambda s: close(firm, s, position)) if "close" in name and name != "close" else None
    work: dict[str, Callable[[Session], Any]] = {
        "entry": lambda s: firm.orders.submit_many(s, [entry(wallet)], firm.clock.now()),
        "entry that finds a breach": lambda s: firm.orders.submit_many(s, [entry(wallet)], firm.clock.now()),
        "amend": lambda s: amend(firm, s, resting["id"], "0.02"),
        "cancel": lambda s: firm.orders.cancel(s, other["id"], actor="t", now=firm.clock.now()),
        "cancel of a close": lambda s: firm.orders.cancel(s, exit_order["id"], actor="t", now=firm.clock.now()),
        "cancel all": lambda s: cancel_all(firm, s),
        "close": lambda s: close(firm, s, position),
    }
    if name == "cancel all":
        firm.database.run(lambda s: close(firm, s, position, "0.01"))
    with watched(firm.database) as statements:
        firm.database.run(work[name])
    tables = tables_of(statements)
    assert set(tables) == wanted
    first = [tables.index(table) for table in TABLES if table in tables]
    assert first == sorted(first)
    for statement in statements:
        if tables_of([statement]):
            assert re.search(r"ORDER BY \w+\.id", statement), statement
    firm.reconciled()


# -- against each other --------------------------------------------------------------------------------------


def at_once(works: list[Callable[[], None]]) -> None:
    """Run each in a thread, all from the same moment, and raise what the first of them raised."""
    barrier, errors = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        barrier.wait(20)
        try:
            work()
        except Exception as error:  # noqa: BLE001 (raised below)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.fixture
def no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadlock is an error here, not something to be tried again."""
    monkeypatch.setattr(transaction, "_is_retryable", lambda error: False)


@pytest.mark.postgres
@pytest.mark.usefixtures("no_second_try")
def test_batches_over_several_wallets_in_opposite_order_do_not_stop_each_other(large_firm: Firm) -> None:
    firm = large_firm
    firm.quote("BTC/USDT", "50000", "50000")
    wallets_ = [firm.client(USDT="1000000")[1] for _ in range(6)]

    def batches(order: list[str]) -> Callable[[], None]:
        def work() -> None:
            for _ in range(15):
                firm.database.run(
                    lambda s: firm.orders.submit_many(s, [entry(w, qty="0.001") for w in order], firm.clock.now())
                )

        return work

    at_once([batches(wallets_), batches(wallets_[::-1]), batches(wallets_), batches(wallets_[::-1])])
    stored = firm.all(Order)
    assert len(stored) == 4 * 15 * 6 and {row["status"] for row in stored} == {"NEW"}
    firm.reconciled()


@pytest.mark.postgres
@pytest.mark.usefixtures("no_second_try")
def test_two_cancel_alls_at_a_time_cancel_each_order_once(large_firm: Firm) -> None:
    firm = large_firm
    firm.quote("BTC/USDT", "50000", "50000")
    wallets_ = [firm.client(USDT="1000000")[1] for _ in range(4)]
    for _ in range(5):
        submit(firm, *(entry(wallet, qty="0.001") for wallet in wallets_ for _ in range(5)))
        at_once([lambda: firm.database.run(lambda s: cancel_all(firm, s)) and None for _ in range(3)])
    assert {row["status"] for row in firm.all(Order)} == {"CANCELED"}
    assert {row["version"] for row in firm.all(Order)} == {2}
    firm.reconciled()


@pytest.mark.postgres
@pytest.mark.usefixtures("no_second_try")
def test_all_kinds_of_requests_at_once_find_no_deadlock(large_firm: Firm) -> None:
    """A bounded number of rounds on few wallets, so that everybody meets everybody."""
    firm = large_firm
    made = [firm.client(USDT="1000000") for _ in range(3)]
    wallets_ = [wallet for _, wallet in made]
    held = [open_position(firm, wallet, qty="1") for wallet in wallets_]
    refused: dict[str, int] = defaultdict(int)

    def some(seed: int) -> Callable[[], None]:
        chance = random.Random(seed)

        def once(session: Session) -> None:
            now, number = firm.clock.now(), chance.randrange(8)
            live = session.scalars(sa.select(orders.c.id).where(orders.c.status == "NEW").limit(20)).all()
            order_id = chance.choice(live) if live else None
            if number <= 1:
                some_wallets = chance.sample(wallets_, 3)
                firm.orders.submit_many(session, [entry(w, qty="0.001") for w in some_wallets], now)
            elif number == 2 and order_id:
                amend(firm, session, order_id, "0.002")
            elif number == 3 and order_id:
                firm.orders.cancel(session, order_id, actor="t", now=now)
            elif number == 4:
                cancel_all(firm, session, **({} if chance.random() < 0.5 else {"wallet_id": chance.choice(wallets_)}))
            elif number == 5:
                close(firm, session, chance.choice(held), chance.choice([None, "0.01"]))
            elif number == 6:
                row = Locks.of(session).position(chance.choice(held))
                firm.positions.protect(
                    session, row, Protection(stop_loss=D(40000 + chance.randrange(9))), actor="t", now=now
                )
            elif number == 7:
                wallet, _ = Locks.of(session).wallet(chance.choice(wallets_))
                wanted = "paused" if wallet.status == "active" else "active"
                wallets.set_status(session, wallet, wanted, SYSTEM, now)

        def work() -> None:
            for _ in range(40):
                try:
                    firm.database.run(once)
                except AppError as error:
                    refused[error.code] += 1

        return work

    at_once([some(seed) for seed in range(8)])
    assert set(refused) <= {"too_late", "exceeds_position", "WALLET_PAUSED", "unavailable"}, refused
    firm.settle()
    firm.reconciled()

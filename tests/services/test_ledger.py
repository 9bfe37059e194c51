"""What the journal promises, and what the database refuses whoever writes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import Conflict
from app.core.ids import new_id
from app.core.transaction import Database
from app.domain.ledger import AccountKind, AccountRef, EntryKind, PostingLine, Unbalanced, deposit_lines, hold_lines
from app.models import ChartAccount, JournalEntry, LedgerAccount, Posting, table_of
from app.services import ledger
from app.services.ledger import InsufficientFunds, Journal, NoSuchAccount
from tests.firm import Firm

postings, entries, accounts = table_of(Posting), table_of(JournalEntry), table_of(LedgerAccount)


@pytest.fixture
def firm(database: Database, clock: ManualClock) -> Iterator[Firm]:
    yield Firm(database, clock)


def post(firm: Firm, lines: list[PostingLine], ref: str, **more: Any) -> str:
    def work(session: Session) -> str:
        journal = Journal(session, firm.instruments.scales, firm.clock.now(), "test")
        entry = journal.add(EntryKind.DEPOSIT, ("test", new_id()), ref, lines, **more)
        journal.flush()
        return entry

    return firm.database.run(work)


def counts(firm: Firm) -> tuple[int, int]:
    return len(firm.all(JournalEntry)), len(firm.all(Posting))


def test_an_entry_that_does_not_balance_is_refused_before_it_is_written(firm: Firm) -> None:
    _, wallet = firm.client(USD="100")
    before = counts(firm)
    for lines in (
        [PostingLine(AccountRef(wallet, "USD", AccountKind.AVAILABLE), D(1))],
        [
            PostingLine(AccountRef(wallet, "USD", AccountKind.AVAILABLE), D(1)),
            PostingLine(AccountRef("house", "PEN", AccountKind.FEES), D(-1)),
        ],
        [
            PostingLine(AccountRef(wallet, "USD", AccountKind.AVAILABLE), D("0.001")),
            PostingLine(AccountRef("house", "USD", AccountKind.FEES), D("-0.001")),
        ],
    ):
        with pytest.raises(Unbalanced):
            post(firm, lines, "x")
    assert counts(firm) == before


def test_a_balance_never_falls_below_zero_and_nothing_is_half_done(firm: Firm) -> None:
    _, wallet = firm.client(USD="100")
    before = counts(firm)
    with pytest.raises(InsufficientFunds) as refused:
        post(firm, hold_lines(wallet, "USD", D("100.01")), "too much")
    assert refused.value.extra == {"wallet_id": wallet, "currency": "USD"}
    assert counts(firm) == before
    assert firm.balance(wallet, "USD") == 100


def raw_entry(session: Session, firm: Firm, amounts: list[D], currency: str = "USD") -> str:
    """Write past the service, as a stray script would."""
    entry = new_id()
    account = session.scalar(sa.select(accounts.c.id).where(accounts.c.currency == "USD", accounts.c.balance.is_(None)))
    now = firm.clock.now()
    for amount in amounts:
        session.execute(
            sa.insert(postings).values(
                entry_id=entry, account_id=account, currency=currency, amount=amount, posted_at=now
            )
        )
    session.execute(
        sa.insert(entries).values(
            id=entry,
            number=10_000,
            kind="deposit",
            about_type="test",
            about_id=entry,
            source="stray",
            external_ref=entry,
            effective_at=now,
            created_by="stray",
        )
    )
    return entry


REFUSED: list[tuple[str, Callable[[Session, Firm], Any]]] = [
    ("unbalanced", lambda s, f: raw_entry(s, f, [D(5), D(-4)])),
    ("one posting", lambda s, f: raw_entry(s, f, [D(0)])),
    ("no posting", lambda s, f: raw_entry(s, f, [])),
    ("other currency", lambda s, f: raw_entry(s, f, [D(5), D(-5)], currency="PEN")),
    (
        "posting to a complete entry",
        lambda s, f: s.execute(
            sa.insert(postings).values(
                entry_id=s.scalar(sa.select(entries.c.id).limit(1)),
                account_id=s.scalar(sa.select(accounts.c.id).limit(1)),
                currency=s.scalar(sa.select(accounts.c.currency).limit(1)),
                amount=D(0),
                posted_at=f.clock.now(),
            )
        ),
    ),
    ("changed posting", lambda s, f: s.execute(sa.update(postings).values(amount=D(7)))),
    ("deleted posting", lambda s, f: s.execute(sa.delete(postings))),
    ("changed entry", lambda s, f: s.execute(sa.update(entries).values(memo="later"))),
    ("deleted entry", lambda s, f: s.execute(sa.delete(entries))),
    (
        "negative balance",
        lambda s, f: s.execute(sa.update(accounts).where(accounts.c.balance.is_not(None)).values(balance=D("-0.01"))),
    ),
]


@pytest.mark.parametrize(("name", "write"), REFUSED, ids=[name for name, _ in REFUSED])
def test_the_database_itself_refuses(firm: Firm, name: str, write: Callable[[Session, Firm], Any]) -> None:
    firm.client(USD="100")
    before = firm.all(Posting), firm.all(JournalEntry), firm.all(LedgerAccount)
    with pytest.raises(DBAPIError):
        firm.database.run(lambda session: write(session, firm))
    assert (firm.all(Posting), firm.all(JournalEntry), firm.all(LedgerAccount)) == before


def test_postings_without_an_entry_do_not_commit(firm: Firm) -> None:
    firm.client(USD="100")
    account = firm.all(LedgerAccount)[0]
    with pytest.raises(DBAPIError):
        firm.database.run(
            lambda session: session.execute(
                sa.insert(postings).values(
                    entry_id=new_id(),
                    account_id=account["id"],
                    currency=account["currency"],
                    amount=D(1),
                    posted_at=firm.clock.now(),
                )
            )
        )


def test_one_outside_event_makes_one_entry(firm: Firm) -> None:
    _, wallet = firm.client(USD="100")
    lines = deposit_lines(wallet, "USD", D(5), "external:bank")
    post(firm, lines, "wire-1", source="bank")
    with pytest.raises(IntegrityError):
        post(firm, lines, "wire-1", source="bank")
    assert firm.balance(wallet, "USD") == 105


def test_a_correction_is_the_opposite_entry_and_is_made_once(firm: Firm) -> None:
    _, wallet = firm.client(USD="100")
    entry = post(firm, deposit_lines(wallet, "USD", D(5), "external:bank"), "wire-2")

    def reverse(session: Session) -> str:
        return ledger.reverse(session, entry, firm.clock.now(), "test", "typing error")

    reversal = firm.database.run(reverse)
    assert firm.balance(wallet, "USD") == 100
    assert [e["reverses_id"] for e in firm.all(JournalEntry) if e["id"] == reversal] == [entry]
    with pytest.raises(IntegrityError):
        firm.database.run(reverse)
    with pytest.raises(Conflict):
        firm.database.run(lambda s: ledger.reverse(s, new_id(), firm.clock.now(), "test", "x"))


def test_balances_as_of_any_instant(firm: Firm) -> None:
    _, wallet = firm.client(USD="100")
    opened = firm.clock.now()
    firm.clock.advance(60)
    post(firm, hold_lines(wallet, "USD", D(40)), "hold")

    def at(moment: Any) -> dict[str, D]:
        return firm.database.read(lambda s: ledger.balances_as_of(s, wallet, moment)).get("USD", {})

    assert at(opened - timedelta(microseconds=1)) == {}
    assert at(opened) == {"available": D(100), "held": D(0), "total": D(100)}
    assert at(firm.clock.now()) == {"available": D(60), "held": D(40), "total": D(100)}


def test_the_trial_balance_sums_to_zero_in_every_currency(firm: Firm) -> None:
    firm.client(USD="100", USDT="3")
    firm.client(USD="50.55")
    rows = firm.database.read(ledger.trial_balance)
    by_currency: dict[str, D] = {}
    for row in rows:
        assert row["balance"] == row["increases"] - row["decreases"]
        by_currency[row["currency"]] = by_currency.get(row["currency"], D(0)) + row["balance"]
    assert by_currency == {"USD": D(0), "USDT": D(0)}
    available = next(r for r in rows if r["kind"] == "available" and r["currency"] == "USD")
    assert (available["balance"], available["postings"]) == (D("150.55"), 2)


def till(firm: Firm, **account: Any) -> AccountRef:
    """Cash in the house: an account of the debit side with a balance of its own, under a code of its own."""
    line = {"code": "1011", "name": "Till", "kind": "external", "normal_side": "debit", "floor": D(0), "cached": True}
    row = {
        **{name: line[name] for name in ("code", "kind", "normal_side", "floor")},
        "owner": "till:lima",
        "currency": "USD",
        "balance": D(0),
        "version": 0,
        "created_at": firm.clock.now(),
        **account,
    }

    def work(session: Session) -> None:
        session.execute(sa.insert(ChartAccount), [line])
        session.execute(sa.insert(LedgerAccount), [row])

    firm.database.run(work)
    return AccountRef("till:lima", "USD", AccountKind.EXTERNAL)


def test_each_account_keeps_its_own_floor_on_its_own_side(firm: Firm) -> None:
    """The client hands in 100 in cash and takes 100.01 out: the till has not got it, the wallet has."""
    _, wallet = firm.client(USD="1000")
    cash = till(firm)
    available = AccountRef(wallet, "USD", AccountKind.AVAILABLE)

    def move(amount: str, ref: str) -> None:
        post(firm, [PostingLine(cash, -D(amount)), PostingLine(available, D(amount))], ref)

    def balance() -> D:
        return next(row["balance"] for row in firm.all(LedgerAccount) if row["owner"] == "till:lima")

    move("100", "in")
    assert balance() == 100, "a debit increases what the house owns"
    with pytest.raises(InsufficientFunds) as refused:
        move("-100.01", "too much")
    assert refused.value.extra == {"wallet_id": "till:lima", "currency": "USD"}
    move("-100", "out")
    assert (balance(), firm.balance(wallet, "USD")) == (0, 1000)
    firm.reconciled()


def test_a_floor_may_allow_an_overdraft_and_no_more(firm: Firm) -> None:
    _, wallet = firm.client(USD="1000")
    cash = till(firm, floor=D(-50))
    available = AccountRef(wallet, "USD", AccountKind.AVAILABLE)
    post(firm, [PostingLine(cash, D(50)), PostingLine(available, D(-50))], "50 below")
    with pytest.raises(InsufficientFunds, match=r"would be -50\.01, below -50"):
        post(firm, [PostingLine(cash, D("0.01")), PostingLine(available, D("-0.01"))], "a cent more")
    with pytest.raises(IntegrityError):
        past = sa.update(accounts).where(accounts.c.owner == "till:lima").values(balance=D("-50.01"))
        firm.database.run(lambda session: session.execute(past))
    firm.reconciled()


def test_an_account_is_opened_as_the_chart_says(firm: Firm) -> None:
    """What the firm has changed there holds for accounts opened afterwards; the first code of a kind is taken."""
    chart = table_of(ChartAccount)
    ours = {"code": "70411", "name": "Fees of Lima", "kind": "fees", "normal_side": "credit", "cached": False}

    def change(session: Session) -> None:
        session.execute(sa.insert(chart), [ours])
        session.execute(sa.update(chart).where(chart.c.kind == "clearing").values(cached=True, floor=D(-10)))

    firm.database.run(change)
    _, wallet = firm.client(USD="100")
    available = AccountRef(wallet, "USD", AccountKind.AVAILABLE)

    def pay(kind: AccountKind, amount: str, ref: str) -> None:
        post(firm, [PostingLine(available, -D(amount)), PostingLine(AccountRef("house", "USD", kind), D(amount))], ref)

    pay(AccountKind.FEES, "1", "fee")
    pay(AccountKind.CLEARING, "10", "trade")
    with pytest.raises(InsufficientFunds):
        pay(AccountKind.CLEARING, "0.01", "too much")
    opened = {row["kind"]: row for row in firm.all(LedgerAccount)}
    shown = ("code", "normal_side", "floor", "balance")
    assert [opened["fees"][name] for name in shown] == ["7041", "credit", None, None]
    assert [opened["clearing"][name] for name in shown] == ["1691", "debit", -10, -10]
    assert [opened["available"][name] for name in shown] == ["4691", "credit", 0, 89]
    firm.reconciled()


def test_what_the_chart_has_no_code_for_is_not_opened(firm: Firm) -> None:
    _, wallet = firm.client(USD="100")
    chart = table_of(ChartAccount)
    firm.database.run(lambda session: session.execute(sa.delete(chart).where(chart.c.kind == "fees")))
    available = AccountRef(wallet, "USD", AccountKind.AVAILABLE)
    before = counts(firm)
    with pytest.raises(NoSuchAccount, match="no code for fees"):
        post(
            firm, [PostingLine(available, D(-1)), PostingLine(AccountRef("house", "USD", AccountKind.FEES), D(1))], "x"
        )
    assert counts(firm) == before


@pytest.mark.parametrize(
    "change",
    [
        {"code": "4691"},  # of another kind
        {"kind": "gifts"},
        {"currency": "PEPE"},
        {"normal_side": "left"},
        {"balance": None},  # a floor is of a balance
        {"floor": D("0.01")},
    ],
    ids=str,
)
def test_an_account_the_rules_do_not_allow_is_refused_by_the_database(firm: Firm, change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        till(firm, **change)


def test_entries_are_numbered(firm: Firm) -> None:
    firm.client(USD="100", USDT="3")
    numbers = sorted(entry["number"] for entry in firm.all(JournalEntry))
    assert numbers == list(range(numbers[0], numbers[0] + 2))

"""Reconciliation: recompute everything from its rows and name every break. It changes nothing."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.approvals import ApprovalKind
from app.domain.deposits import DepositStatus
from app.domain.instruments import SymbolTable
from app.domain.ledger import NormalSide
from app.domain.money import ZERO, text, unit
from app.domain.orders import LIVE, TERMINAL, OrderStatus, Side
from app.models import (
    WITHDRAWAL_HOLDS,
    Approval,
    ApprovalVote,
    Deposit,
    EngineFault,
    Event,
    Execution,
    JournalEntry,
    LedgerAccount,
    Order,
    Position,
    Posting,
    Withdrawal,
    exact_sum,
    table_of,
)
from app.models.base import ExactDecimal

from . import audit, market

orders, executions, positions = table_of(Order), table_of(Execution), table_of(Position)
accounts, entries, postings = table_of(LedgerAccount), table_of(JournalEntry), table_of(Posting)
events, deposits = table_of(Event), table_of(Deposit)
withdrawals, approvals, votes = table_of(Withdrawal), table_of(Approval), table_of(ApprovalVote)
ROWS_SHOWN = 20
STATEMENT_MINUTES = 10  # it reads every row there is: more than a request's statement has
_ZERO = sa.literal(ZERO, ExactDecimal())
_TERMINAL = [status.value for status in TERMINAL]
_AVERAGE_TOLERANCE = Decimal("1e-12")  # avg_px is stored with 18 decimals after each fill


class Report:
    """Collects breaks; a check that finds many shows the first rows and counts the rest."""

    def __init__(self) -> None:
        self.breaks: dict[str, dict[str, Any]] = {}
        self.checked: dict[str, int] = {}

    def add(self, code: str, message: str, **row: Any) -> None:
        found = self.breaks.setdefault(code, {"code": code, "message": message, "count": 0, "rows": []})
        found["count"] += 1
        if len(found["rows"]) < ROWS_SHOWN:
            found["rows"].append({k: text(v) if isinstance(v, Decimal) else v for k, v in row.items()})


def reconcile(session: Session, instruments: SymbolTable) -> dict[str, Any]:
    """Check every invariant; ``ok`` is True when nothing is broken.

    Returns ``{"ok", "checked", "breaks": [{code, message, count, rows}], "open_faults"}``.
    """
    if session.get_bind().dialect.name == "postgresql":
        # one snapshot for all checks; it has to be the first thing the transaction hears
        session.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        session.execute(sa.text(f"SET LOCAL statement_timeout = '{STATEMENT_MINUTES}min'"))
    report = Report()
    _entries(session, report)
    _accounts(session, report)
    _holds(session, report)
    _withdrawals(session, report)
    _scales(session, report)
    totals = _read_executions(session, report, instruments)
    _orders(session, report, totals["orders"])
    _positions(session, report, totals["positions"])
    _exits(session, report)
    _deposits(session, report)
    _events(session, report)
    for broken in audit.verify(session):
        report.add("AUDIT_CHAIN_BROKEN", "A1: the audit chain has a break", **broken)
    faults = session.scalar(
        sa.select(sa.func.count()).select_from(EngineFault).where(EngineFault.resolved_at.is_(None))
    )
    return {
        "ok": not report.breaks,
        "checked": report.checked,
        "breaks": list(report.breaks.values()),
        "open_faults": faults or 0,
    }


def _entries(session: Session, report: Report) -> None:
    """L1, L2: every entry balances in every currency; so does all of it."""
    report.checked["postings"] = session.scalar(sa.select(sa.func.count()).select_from(postings)) or 0
    report.checked["entries"] = session.scalar(sa.select(sa.func.count()).select_from(entries)) or 0
    total = exact_sum(postings.c.amount)
    unbalanced = sa.select(postings.c.entry_id, postings.c.currency, total.label("total")).group_by(
        postings.c.entry_id, postings.c.currency
    )
    for row in session.execute(unbalanced.having(total != _ZERO)):
        report.add(
            "ENTRY_UNBALANCED",
            "L1: postings of an entry do not sum to zero",
            entry_id=row.entry_id,
            currency=row.currency,
            total=row.total,
        )
    counted = (
        sa.select(entries.c.id, sa.func.count(postings.c.id).label("total"))
        .outerjoin(postings, postings.c.entry_id == entries.c.id)
        .group_by(entries.c.id)
        .having(sa.func.count(postings.c.id) < 2)
    )
    for row in session.execute(counted):
        report.add("ENTRY_INCOMPLETE", "L1: an entry has fewer than two postings", entry_id=row.id)
    sums = sa.select(postings.c.currency, total.label("total")).group_by(postings.c.currency).having(total != _ZERO)
    for row in session.execute(sums):
        report.add("LEDGER_UNBALANCED", "L2: the journal does not sum to zero", currency=row.currency, total=row.total)


def _accounts(session: Session, report: Report) -> None:
    """L3, L4: cached balances are the sum of their postings on the normal side, and never below their floor."""
    sums = (
        sa.select(postings.c.account_id, exact_sum(postings.c.amount).label("total"))
        .group_by(postings.c.account_id)
        .subquery()
    )
    query = (
        sa.select(
            accounts.c.id,
            accounts.c.owner,
            accounts.c.currency,
            accounts.c.normal_side,
            accounts.c.floor,
            accounts.c.balance,
            sums.c.total,
        )
        .outerjoin(sums, sums.c.account_id == accounts.c.id)
        .where(accounts.c.balance.is_not(None))
    )
    count = 0
    for row in session.execute(query):
        count += 1
        total = row.total or ZERO
        if row.normal_side == NormalSide.DEBIT:
            total = -total
        if row.balance != total:
            report.add(
                "BALANCE_MISMATCH",
                "L3: a cached balance is not the sum of its postings",
                account_id=row.id,
                owner=row.owner,
                currency=row.currency,
                balance=row.balance,
                postings=total,
            )
        if row.floor is not None and row.balance < row.floor:
            report.add(
                "BALANCE_BELOW_FLOOR",
                "L4: a balance is below its account's floor",
                floor=row.floor,
                account_id=row.id,
                owner=row.owner,
                currency=row.currency,
                balance=row.balance,
            )
    report.checked["accounts"] = count


def _holds(session: Session, report: Report) -> None:
    """L6, L7: what is held is what live orders and open withdrawals hold; finished ones hold nothing."""
    held_by_orders = {
        (row.wallet_id, row.hold_currency): row.held
        for row in session.execute(
            sa.select(orders.c.wallet_id, orders.c.hold_currency, exact_sum(orders.c.held).label("held"))
            .where(orders.c.status.not_in(_TERMINAL))
            .group_by(orders.c.wallet_id, orders.c.hold_currency)
        )
    }
    held = {
        (row.owner, row.currency): row.balance
        for row in session.execute(
            sa.select(accounts.c.owner, accounts.c.currency, accounts.c.balance).where(accounts.c.kind == "held")
        )
    }
    held_by_withdrawals = _open_withdrawals(session)
    for key in held.keys() | held_by_orders.keys() | held_by_withdrawals.keys():
        balance, of_orders = held.get(key, ZERO), held_by_orders.get(key, ZERO)
        of_withdrawals = held_by_withdrawals.get(key, ZERO)
        if balance != of_orders + of_withdrawals:
            report.add(
                "HOLD_MISMATCH",
                "L7: the held balance is not what live orders and open withdrawals hold",
                wallet_id=key[0],
                currency=key[1],
                held=balance,
                orders=of_orders,
                withdrawals=of_withdrawals,
            )
    query = sa.select(orders.c.id, orders.c.status, orders.c.held).where(
        orders.c.status.in_(_TERMINAL), orders.c.held != _ZERO
    )
    for row in session.execute(query):
        report.add(
            "HOLD_NOT_RELEASED", "L6: a finished order still holds", order_id=row.id, status=row.status, held=row.held
        )


def _open_withdrawals(session: Session) -> dict[tuple[str, str], Decimal]:
    """What they hold, by wallet and currency."""
    query = (
        sa.select(withdrawals.c.wallet_id, withdrawals.c.currency, exact_sum(withdrawals.c.amount).label("held"))
        .where(WITHDRAWAL_HOLDS)
        .group_by(withdrawals.c.wallet_id, withdrawals.c.currency)
    )
    return {(row.wallet_id, row.currency): row.held for row in session.execute(query)}


_BACK: Final = ["hold", "release"]
_SETTLED: Final = {"completed": ["hold", "withdrawal"], "rejected": _BACK, "canceled": _BACK, "failed": _BACK}


def _withdrawals(session: Session, report: Report) -> None:
    """M2: held before it is paid, paid or given back once, and by nobody who asked for it or agreed to it."""
    booked = defaultdict(list)
    query = sa.select(entries.c.about_id, entries.c.kind).where(entries.c.about_type == "withdrawal")
    for about, kind in session.execute(query.order_by(entries.c.number)):
        booked[about].append(kind)
    involved = defaultdict(set)
    decided = (
        sa.select(approvals.c.object_id, approvals.c.maker, votes.c.checker)
        .join(votes, votes.c.approval_id == approvals.c.id)
        .where(approvals.c.kind == ApprovalKind.WITHDRAWAL.value)
    )
    for about, maker, checker in session.execute(decided):
        involved[about].add(checker)
        if checker == maker:
            report.add("OWN_APPROVAL", "M2: somebody agreed to their own proposal", withdrawal_id=about)
    count = 0
    for row in session.execute(sa.select(withdrawals)):
        count += 1
        if booked[row.id] != _SETTLED.get(row.status, ["hold"]):
            report.add(
                "WITHDRAWAL_ENTRIES_MISMATCH",
                "M2: the journal does not say of a withdrawal what its status says",
                withdrawal_id=row.id,
                status=row.status,
                entries=booked[row.id],
            )
        if row.payer is not None and row.payer in {row.requested_by, *involved[row.id]}:
            report.add(
                "PAYER_NOT_INDEPENDENT",
                "M2: who asked for a withdrawal or agreed to it has paid it",
                withdrawal_id=row.id,
                payer=row.payer,
            )
    report.checked["withdrawals"] = count


def _scales(session: Session, report: Report) -> None:
    """L8: amounts are multiples of their currency's scale."""
    postgres = session.get_bind().dialect.name == "postgresql"
    scales = market.load_scales(session)
    for currency in list(session.scalars(sa.select(postings.c.currency).distinct())):
        scale = scales[currency]
        condition = (
            sa.func.round(postings.c.amount, scale) != postings.c.amount
            if postgres
            else sa.cast(postings.c.amount, sa.Text).not_like("%" + "0" * (18 - scale))
        )
        query = sa.select(postings.c.id, postings.c.amount).where(postings.c.currency == currency, condition)
        for row in session.execute(query):
            report.add(
                "AMOUNT_PRECISION",
                "L8: an amount has more decimals than its currency",
                posting_id=row.id,
                currency=currency,
                amount=row.amount,
            )


def _read_executions(session: Session, report: Report, instruments: SymbolTable) -> dict[str, dict[str, Any]]:
    """Sums per order and per position, in one pass; O9 on the way."""
    by_order: dict[str, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO, ZERO, ZERO, ZERO])
    by_position: dict[str, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO, ZERO])
    amended = sa.exists().where(
        events.c.object_id == orders.c.id,
        events.c.type.in_(["order.pending_replace", "order.amended"]),
    )
    query = sa.select(
        executions.c.id,
        executions.c.order_id,
        executions.c.position_id,
        executions.c.position_qty,
        executions.c.side,
        executions.c.qty,
        executions.c.price,
        executions.c.value,
        executions.c.fee,
        executions.c.realized_pnl,
        orders.c.type,
        orders.c.instrument_id,
        orders.c.price.label("limit_price"),
        amended.label("amended"),
    ).join(orders, orders.c.id == executions.c.order_id)
    count = 0
    for row in session.execute(query.execution_options(yield_per=5000)):
        count += 1
        sums = by_order[row.order_id]
        sums[0] += row.qty
        sums[1] += row.qty * row.price
        sums[2] += row.value
        sums[3] += row.fee
        sums[4] += 2 * unit(instruments.by_id(row.instrument_id).quote_scale)  # rounded, and once more by the house
        if row.position_id is not None:
            totals = by_position[row.position_id]
            totals[0] += row.position_qty
            totals[1] += row.realized_pnl
            share = abs(row.position_qty) == row.qty
            cash = -row.value - row.fee if row.side == Side.BUY else row.value - row.fee
            totals[2] += cash if share else ZERO
        worse = row.limit_price is not None and (
            row.price > row.limit_price if row.side == Side.BUY else row.price < row.limit_price
        )
        if worse and not row.amended:
            report.add(
                "LIMIT_VIOLATED",
                "O9: a limit order filled worse than its price",
                execution_id=row.id,
                order_id=row.order_id,
                price=row.price,
                limit=row.limit_price,
            )
    report.checked["executions"] = count
    trades = session.scalar(sa.select(sa.func.count()).select_from(entries).where(entries.c.kind == "trade")) or 0
    if trades != count:
        report.add(
            "TRADE_ENTRIES_MISMATCH", "O4: executions and trade entries differ", executions=count, entries=trades
        )
    return {"orders": by_order, "positions": by_position}


def _orders(session: Session, report: Report, filled: dict[str, list[Decimal]]) -> None:
    """O1, O2, O3: orders against their executions, and each status against the figures."""
    query = sa.select(
        orders.c.id,
        orders.c.status,
        orders.c.qty,
        orders.c.cum_qty,
        orders.c.leaves_qty,
        orders.c.avg_px,
        orders.c.cum_value,
        orders.c.fees,
        orders.c.pending_qty,
    )
    count = 0
    known = {status.value for status in OrderStatus}
    for row in session.execute(query.execution_options(yield_per=5000)):
        count += 1
        qty, product, value, fees, tolerance = filled.get(row.id, (ZERO, ZERO, ZERO, ZERO, ZERO))
        shown = {"order_id": row.id, "status": row.status, "qty": row.qty, "cum_qty": row.cum_qty}
        if abs(value - product) > tolerance:
            report.add(
                "VALUE_MISMATCH",
                "O2: the value is not what quantity and price make",
                value=value,
                product=product,
                **shown,
            )
        if row.status not in known:
            report.add("UNKNOWN_STATUS", "O3: a status nobody knows", **shown)
            continue
        if row.cum_qty != qty or row.cum_value != value or row.fees != fees:
            report.add(
                "CUM_QTY_MISMATCH",
                "O1: cum_qty, value or fees are not the sum of the executions",
                executions=qty,
                **shown,
            )
        if not ZERO <= row.cum_qty <= row.qty:
            report.add("CUM_QTY_OUT_OF_RANGE", "O1: cum_qty is below zero or above qty", **shown)
        leaves = ZERO if row.status in _TERMINAL else row.qty - row.cum_qty
        if row.leaves_qty != leaves:
            report.add("LEAVES_QTY_MISMATCH", "O1: leaves_qty is wrong", leaves_qty=row.leaves_qty, **shown)
        if qty and abs((row.avg_px or ZERO) - product / qty) > _AVERAGE_TOLERANCE:
            report.add("AVG_PX_MISMATCH", "O2: avg_px is not the average of the executions", avg_px=row.avg_px, **shown)
        _status_figures(report, row, shown)
    report.checked["orders"] = count


def _status_figures(report: Report, row: Any, shown: dict[str, Any]) -> None:
    complete = row.cum_qty == row.qty
    if row.status == "FILLED" and not complete:
        report.add("STATUS_FILLED_BUT_CUM_QTY_NE_QTY", "O3: FILLED, but not all of it", **shown)
    elif row.status != "FILLED" and complete and row.pending_qty is None:  # else a replace may still give it more
        report.add("STATUS_NOT_FILLED_BUT_CUM_EQ_QTY", "O3: all of it filled, but not FILLED", **shown)
    elif row.status == "PARTIALLY_FILLED" and not row.cum_qty:
        report.add("STATUS_PARTIAL_INCONSISTENT", "O3: PARTIALLY_FILLED without a fill", **shown)


def _positions(session: Session, report: Report, filled: dict[str, list[Decimal]]) -> None:
    """P1, P2: quantity and realized profit are what the executions say."""
    count = 0
    for row in session.execute(sa.select(positions)).mappings():
        count += 1
        qty, realized, cash = filled.get(row["id"], (ZERO, ZERO, ZERO))
        if row["qty"] != qty or (row["status"] == "CLOSED") != (row["qty"] == 0):
            report.add(
                "POSITION_MISMATCH",
                "P1: quantity or status is not what the executions make",
                position_id=row["id"],
                qty=row["qty"],
                executions=qty,
                status=row["status"],
            )
        expected = cash + row["cost"] + row["open_fees"]
        whole = row["exit_value"] - row["exit_fees"] - row["entry_value"] - row["entry_fees"] == cash
        if row["realized_pnl"] != realized or (whole and expected != realized):
            report.add(
                "REALIZED_PNL_MISMATCH",
                "P2: realized profit is not what the money did",
                position_id=row["id"],
                realized=row["realized_pnl"],
                executions=realized,
                cash=expected,
            )
    report.checked["positions"] = count


def _exits(session: Session, report: Report) -> None:
    """P3: live protective exits never exceed their position; a closed one has none."""
    query = (
        sa.select(positions.c.id, positions.c.status, positions.c.qty, exact_sum(orders.c.leaves_qty).label("leaves"))
        .join(orders, orders.c.position_id == positions.c.id)
        .where(orders.c.trigger_key.is_not(None), orders.c.status.in_([status.value for status in LIVE]))
        .group_by(positions.c.id, positions.c.status, positions.c.qty)
    )
    for row in session.execute(query):
        if row.leaves > row.qty:
            report.add(
                "EXITS_EXCEED_POSITION",
                "P3: live exits exceed the position",
                position_id=row.id,
                status=row.status,
                qty=row.qty,
                exits=row.leaves,
            )


def _deposits(session: Session, report: Report) -> None:
    """M1: a deposit is credited once, with what was confirmed less what went back, and nothing else is."""
    about = sa.and_(entries.c.id == postings.c.entry_id, entries.c.about_type == "deposit")
    booked = (
        sa.select(
            entries.c.about_id,
            exact_sum(postings.c.amount).label("total"),
            sa.func.sum(sa.case((entries.c.kind == "deposit", 1), else_=0)).label("credits"),
            sa.func.min(postings.c.currency).label("currency"),
            sa.func.count(sa.distinct(postings.c.currency)).label("currencies"),
        )
        .join(entries, about)
        .join(accounts, sa.and_(accounts.c.id == postings.c.account_id, accounts.c.kind == "external"))
        .group_by(entries.c.about_id)
    )
    found = {row.about_id: row for row in session.execute(booked)}
    of_deposits = (deposits.c.id, deposits.c.status, deposits.c.currency, deposits.c.confirmed_amount)
    gone = (deposits.c.refunded_amount, deposits.c.disputed_amount)
    count = 0
    for row in session.execute(sa.select(*of_deposits, *gone).execution_options(yield_per=5000)):
        count += 1
        journal = found.pop(row.id, None)
        kept = (row.confirmed_amount or ZERO) - row.refunded_amount - row.disputed_amount
        credits, total = (0, ZERO) if journal is None else (journal.credits, -journal.total)
        in_its_currency = journal is None or (journal.currencies == 1 and journal.currency == row.currency)
        if credits != int(row.status == DepositStatus.COMPLETED) or total != kept or not in_its_currency:
            report.add(
                "DEPOSIT_MISMATCH",
                "M1: the journal has not what the deposit says",
                deposit_id=row.id,
                status=row.status,
                confirmed=kept,
                booked=total,
                credits=credits,
            )
    for about_id in found:
        report.add("DEPOSIT_UNKNOWN", "M1: the journal credits a deposit that is not there", deposit_id=about_id)
    report.checked["deposits"] = count


def _events(session: Session, report: Report) -> None:
    """O3, A3: an order's versions and a stream's numbers have no gap."""
    versions = (
        sa.select(
            events.c.object_id,
            sa.func.count(sa.distinct(events.c.object_version)).label("total"),
            sa.func.max(events.c.object_version).label("last"),
            orders.c.version,
        )
        .join(orders, orders.c.id == events.c.object_id)
        .where(events.c.object_type == "order", events.c.object_version.is_not(None))
        .group_by(events.c.object_id, orders.c.version)
    )
    for row in session.execute(versions):
        if not row.total == row.last == row.version:
            report.add(
                "EVENT_VERSION_GAP",
                "O3: an order's event versions have a gap",
                order_id=row.object_id,
                events=row.total,
                last=row.last,
                version=row.version,
            )
    streams = (
        sa.select(events.c.stream, sa.func.count().label("total"), sa.func.max(events.c.seq).label("last"))
        .where(events.c.seq.is_not(None))
        .group_by(events.c.stream)
    )
    count = 0
    for row in session.execute(streams):
        count += row.total
        if row.total != row.last:
            report.add(
                "EVENT_SEQ_GAP", "A3: a stream's numbers have a gap", stream=row.stream, count=row.total, last=row.last
            )
    report.checked["events"] = count

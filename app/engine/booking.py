"""Booking: what venues reported, applied to orders, positions and the journal in one transaction.

The hot path: rows are read under lock and written in bulk with Core, never through the ORM. What a report
means for an order is decided in ``domain.execution``; here it is loaded, paid for and stored.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.bulk import BulkInsert
from app.core.ids import new_id
from app.domain.execution import Applied, OrderState, apply, move
from app.domain.instruments import SymbolTable
from app.domain.ledger import AccountKind, AccountRef, EntryKind, PostingLine, hold_lines, trade_lines
from app.domain.money import ZERO, text
from app.domain.orders import OrderStatus, Side
from app.domain.positions import Booked as BookedFill
from app.domain.positions import Fill, PositionState
from app.domain.reports import Accepted, OrderSnapshot, Rejected, Replaced, Report, RequestRejected, Sent, Unanswered
from app.domain.reports import Fill as FillReport
from app.domain.requests import RequestKind, RequestState
from app.domain.settlement import Settlement, settle
from app.models import Execution, Wallet, table_of
from app.schemas.orders import execution_json
from app.services import faults, wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.quotes import QuoteBook
from app.services.records import Transition, order_event, store_orders

from .messages import store_messages
from .positions import BookedPositions
from .requests import Requests

ACTOR = "engine"
executions, _wallets = table_of(Execution), table_of(Wallet)
_INSERT_EXECUTIONS = BulkInsert(executions)
_WALLETS = sa.select(
    _wallets.c.id,
    _wallets.c.client_id,
    _wallets.c.maker_rate,
    _wallets.c.taker_rate,
    _wallets.c.default_stop_loss_percent,
    _wallets.c.default_take_profit_percent,
).where(_wallets.c.id.in_(sa.bindparam("ids", expanding=True)))
_TRADE = (executions.c.venue, executions.c.wallet_id, executions.c.instrument_id, executions.c.trade_id)
_TRADES = sa.select(*_TRADE).where(sa.tuple_(*_TRADE).in_(sa.bindparam("trades", expanding=True)))


@dataclass(slots=True)
class Booked:
    """What a batch did, for what happens after its commit."""

    positions: list[PositionState] = field(default_factory=list)  # touched, in their new state
    refused: set[str] = field(default_factory=set)  # positions whose exit ended without closing them
    fills: int = 0
    work: bool = False  # something is to be sent, or what an exit waits for is free
    strangers: dict[str, str] = field(default_factory=dict)  # orders nobody knows, with the fault they are parked as
    answered: list[str] = field(default_factory=list)  # ids of requests whose deadline does not matter any more
    confirmed: set[tuple[str, int]] = field(default_factory=set)  # requests (id, attempt) the gateway has handed over


class Booking:
    """One batch of reports in one transaction."""

    def __init__(self, session: Session, instruments: SymbolTable, quotes: QuoteBook, now: datetime) -> None:
        self.session, self.instruments, self.quotes, self.now = session, instruments, quotes, now
        self.journal = Journal(session, instruments.scales, now, ACTOR)
        self.events = Events(now)
        self.requests = Requests(session, now)
        self.positions = BookedPositions(session, instruments, quotes, self.events, now)
        self.booked = Booked()
        self._orders: dict[str, OrderState] = {}
        self._versions: dict[str, int] = {}  # the one each order gets: one a commit, as one event tells of it
        self._wallets: dict[str, Any] = {}
        self._trades: set[tuple[str, str, int, str]] = set()
        self._spent: dict[AccountRef, Decimal] = defaultdict(Decimal)  # by entries that are not written yet
        self._touched_orders: dict[str, None] = {}
        self._executions: list[dict[str, Any]] = []
        self._transitions: dict[str, list[Transition]] = defaultdict(list)
        self._ended_order_ids: set[str] = set()
        self._alerts: list[tuple[str, str, str]] = []

    def apply(self, reports: list[Report]) -> Booked:
        """Apply reports in order and write everything.

        Raises ``Contradiction``, ``IllegalTransition`` and database errors.
        """
        self._load(reports)
        strangers: dict[str, list[Report]] = {}
        for report in reports:
            if report.order_id in self._orders:
                self._take(report)
            else:
                strangers.setdefault(report.order_id, []).append(report)
        self.booked.refused = self.positions.finish_exits(self._ended_order_ids)
        self._flush(reports)
        for order_id, own in strangers.items():
            error = "a venue reported about an order that nobody knows"
            self.booked.strangers[order_id] = faults.park(
                self.session, self.now, "booking", "order", order_id, error, own
            )
        for code, message, order_id in self._alerts:
            faults.alert(self.session, self.now, code, message, "order", order_id)
        return self.booked

    # -- reading -----------------------------------------------------------------------------------------

    def _load(self, reports: list[Report]) -> None:
        """Lock positions, then orders, each by id; accounts follow, by id too."""
        ids = sorted({report.order_id for report in reports})
        fills = [fill for report in reports for fill in _fills_of(report)]
        if not all(isinstance(report, Sent) for report in reports):
            self.positions.load(ids)
        self._orders = {order.id: order for order in Locks.of(self.session).orders_by_id(ids)}
        self._versions = {order.id: order.version + 1 for order in self._orders.values()}
        self.requests.load(self._orders)
        self._load_wallets()
        if fills:
            self._load_trades(fills)
        self._lock_accounts(reports, {fill.order_id for fill in fills})

    def _lock_accounts(self, reports: list[Report], filled: set[str]) -> None:
        """All that the batch may touch, at once: a fill moves both assets, anything else frees a hold."""
        refs: set[AccountRef] = set()
        for order_id in {report.order_id for report in reports if not isinstance(report, Sent | Accepted | Unanswered)}:
            order = self._orders.get(order_id)
            if order is not None:
                assets = self._assets(order) if order_id in filled else (order.hold_currency,)
                refs |= wallets.account_refs(order.wallet_id, *assets)
        self.journal.lock(refs)

    def _load_wallets(self) -> None:
        wallet_ids = {order.wallet_id for order in self._orders.values()}
        if wallet_ids:
            rows = self.session.execute(_WALLETS, {"ids": list(wallet_ids)})
            self._wallets = {row.id: row for row in rows}

    def _load_trades(self, fills: list[FillReport]) -> None:
        """Which of these trades are booked already."""
        wanted = [self._trade(order, fill) for fill in fills if (order := self._orders.get(fill.order_id)) is not None]
        if wanted:
            found = self.session.execute(_TRADES, {"trades": wanted})
            self._trades = {(row.venue, row.wallet_id, row.instrument_id, row.trade_id) for row in found}

    @staticmethod
    def _trade(order: OrderState, fill: FillReport) -> tuple[str, str, int, str]:
        """What identifies a fill: exchanges number their trades per account and instrument."""
        return order.venue, order.wallet_id, order.instrument_id, fill.trade_id

    def _assets(self, order: OrderState) -> tuple[str, str]:
        instrument = self.instruments.by_id(order.instrument_id)
        return instrument.base, instrument.quote

    # -- one report --------------------------------------------------------------------------------------

    def _take(self, report: Report) -> None:
        order = self._orders[report.order_id]
        request = self.requests.named(report.cl_ord_id)
        if isinstance(report, Sent):
            if request is not None and request.state is RequestState.PENDING:
                self.requests.change(request, RequestState.SENT, sent_at=report.at, deadline_at=report.answer_by)
        elif isinstance(report, Unanswered):
            if request is None or not request.unanswered:
                return  # answered meanwhile
            query = request.kind is RequestKind.QUERY
            self.requests.change(request, RequestState.FAILED if query else RequestState.UNKNOWN)
        elif isinstance(report, RequestRejected | Replaced) and request is not None and not request.unanswered:
            return  # said twice
        if isinstance(report, OrderSnapshot):
            if not report.known and not self.requests.answers_last_submission(request):
                return
            for fill in report.fills:
                self._take(fill)
            order = self._orders[report.order_id]
        if isinstance(report, FillReport):
            if self._trade(order, report) in self._trades:
                return  # reported twice
            self._trades.add(self._trade(order, report))
        asked = self.requests.asked(order.id) - ({request.kind} if request is not None else set())
        applied = apply(order, report, asked, self.now)
        if isinstance(report, FillReport):
            applied = replace(applied, order=self._book_fill(order, applied.order, report))
        self._keep(order, applied)
        self._answered(applied.order, report)
        self._ask(applied)

    def _keep(self, before: OrderState, applied: Applied) -> None:
        """Keep the order's new state with what it frees, to be stored and told at the end."""
        order = applied.order
        if order == before:
            return
        if applied.moved:
            order = self._release(order)
        self._orders[order.id] = order
        self._touched_orders[order.id] = None
        if order.terminal:
            self._ended_order_ids.add(order.id)
        if applied.moved:
            self._transitions[order.id].append(Transition(before.status, order.status, applied.reason))
        if applied.alert is not None:
            self._alerts.append((*applied.alert, order.id))

    def _release(self, order: OrderState) -> OrderState:
        """Give back what is held beyond what the order may still need."""
        needed = self._needed(order)
        if order.held <= needed:
            return order
        freed = order.held - needed
        self.journal.add(
            EntryKind.RELEASE,
            ("order", order.id),
            f"hold:{order.id}:{self._versions[order.id]}:{order.version}",
            self._noted(hold_lines(order.wallet_id, order.hold_currency, -freed)),
        )
        return order._replace(held=needed)

    def _needed(self, order: OrderState) -> Decimal:
        """``held`` never grows by a report: what is beyond it is paid when the fill comes."""
        scale = self.instruments.by_id(order.instrument_id).quote_scale
        return order.needed_hold(self._wallets[order.wallet_id].taker_rate, scale)

    def _answered(self, order: OrderState, report: Report) -> None:
        """Which of the order's requests this settles."""
        if isinstance(report, Sent | Unanswered):
            return
        request = self.requests.named(report.cl_ord_id)
        if request is not None and request.unanswered:
            why = report.reason if isinstance(report, Rejected | RequestRejected) else None
            self.requests.change(request, RequestState.ACKED, error=why and why[:300])
        if not (isinstance(report, RequestRejected | OrderSnapshot) and not report.known):
            self.requests.close(order.id, RequestState.ACKED, RequestKind.SUBMIT)
        if order.terminal:
            self.requests.close(order.id, RequestState.ACKED)
        elif isinstance(report, OrderSnapshot) and report.known:
            # what the venue has not done by now it has never heard of, or refused
            self.requests.close(order.id, RequestState.FAILED, RequestKind.CANCEL, RequestKind.REPLACE)

    def _ask(self, applied: Applied) -> None:
        order, kind = applied.order, applied.ask
        if kind is None:
            return
        self.booked.work = True
        if kind is RequestKind.SUBMIT:
            if not self.requests.submit_again(order.id):
                failed = move(order, OrderStatus.FAILED, self.now, reject_code="VENUE_DOES_NOT_ANSWER")
                self._keep(order, Applied(failed, moved=True, reason="the venue has never taken it"))
        elif kind is RequestKind.REPLACE:
            self.requests.ask(order.id, order.venue, kind, order.pending_qty, order.pending_price)
        elif kind is not RequestKind.QUERY or kind not in self.requests.asked(order.id):
            self.requests.ask(order.id, order.venue, kind)

    # -- fills -------------------------------------------------------------------------------------------

    def _book_fill(self, before: OrderState, order: OrderState, report: FillReport) -> OrderState:
        """Pay for a fill and write it down; ``order`` is the state it leads to. A fill is always booked."""
        instrument = self.instruments.by_id(order.instrument_id)
        wallet = self._wallets[order.wallet_id]
        rate = wallet.maker_rate if report.maker else wallet.taker_rate
        spends = AccountRef(order.wallet_id, order.hold_currency, AccountKind.AVAILABLE)
        settled = settle(
            order.side,
            report.qty,
            report.price,
            rate,
            instrument.quote_scale,
            order.held,
            self._needed(order),
            self.journal.locked[spends].balance + self._spent[spends],
            live=not before.terminal,
        )
        if settled.owed:
            self._alerts.append(
                ("receivable", f"order {order.id}: {text(settled.owed)} {order.hold_currency} is not covered", order.id)
            )
        fill = Fill(order.side, report.qty, report.price, settled.value, settled.fee)
        execution_id = new_id()
        entry_id = self.journal.add(
            EntryKind.TRADE,
            ("execution", execution_id),
            "trade:{}:{}:{}:{}".format(*self._trade(order, report)),
            self._noted(
                trade_lines(
                    order.wallet_id,
                    instrument.base,
                    instrument.quote,
                    buy=order.side is Side.BUY,
                    qty=report.qty,
                    value=settled.value,
                    fee=settled.fee,
                    from_hold=settled.from_hold,
                    freed=settled.freed,
                    rounding=settled.rounding,
                    owed=settled.owed,
                )
            ),
        )
        order = order._replace(
            held=settled.held, cum_value=order.cum_value + settled.value, fees=order.fees + settled.fee
        )
        booked = self.positions.book_fill(before, fill, self._wallets[order.wallet_id])
        if booked is not None:
            order = order._replace(position_id=booked.position.id)
        self._execution(order, report, settled, execution_id, entry_id, booked)
        self.booked.fills += 1
        return order

    def _noted(self, lines: list[PostingLine]) -> list[PostingLine]:
        for line in lines:
            self._spent[line.account] += line.amount
        return lines

    def _execution(
        self,
        order: OrderState,
        report: FillReport,
        settled: Settlement,
        execution_id: str,
        entry_id: str,
        booked: BookedFill | None,
    ) -> None:
        instrument = self.instruments.by_id(order.instrument_id)
        execution = {
            "id": execution_id,
            "order_id": order.id,
            "client_id": order.client_id,
            "wallet_id": order.wallet_id,
            "instrument_id": order.instrument_id,
            "position_id": booked.position.id if booked else None,
            "position_qty": booked.qty if booked else ZERO,
            "entry_id": entry_id,
            "venue": order.venue,
            "trade_id": report.trade_id,
            "side": order.side.value,
            "qty": report.qty,
            "price": report.price,
            "value": settled.value,
            "fee": settled.fee,
            "fee_currency": instrument.quote,
            "liquidity": "maker" if report.maker else "taker",
            "realized_pnl": booked.realized if booked else ZERO,
            "executed_at": report.at,
            "booked_at": self.now,
        }
        self._executions.append(execution)
        self.events.add(
            order.client_id,
            "execution.created",
            "execution",
            execution_id,
            execution_json(execution, instrument.symbol),
        )

    # -- after the last report ---------------------------------------------------------------------------

    def _flush(self, reports: list[Report]) -> None:
        session = self.session
        self.booked.positions = self.positions.flush()
        for order_id in self._transitions:
            self._orders[order_id] = self._orders[order_id]._replace(version=self._versions[order_id])
        store_orders(session, [self._orders[order_id] for order_id in self._touched_orders])
        for order_id, transitions in self._transitions.items():
            order_event(self.events, self._orders[order_id], self.instruments, transitions)
        self.requests.flush()
        locked = self.journal.flush()
        _INSERT_EXECUTIONS.run(session, self._executions)
        for wallet_id in dict.fromkeys(self._orders[id_].wallet_id for id_ in self._touched_orders):
            accounts = [account for account in locked.values() if account.ref.owner == wallet_id and account.posted]
            wallets.balance_event(self.events, self._wallets[wallet_id].client_id, wallet_id, accounts)
        self.events.flush(session)
        store_messages(session, reports, self._orders.keys(), self.now)
        self.booked.answered, self.booked.confirmed = self.requests.answered, self.requests.confirmed
        self.booked.work = self.booked.work or bool(self._ended_order_ids)


def _fills_of(report: Report) -> tuple[FillReport, ...]:
    if isinstance(report, FillReport):
        return (report,)
    return report.fills if isinstance(report, OrderSnapshot) else ()

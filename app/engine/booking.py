"""Booking: what venues reported, applied to orders, positions and the journal in one transaction.

The hot path: rows are read under lock and written in bulk with Core, never through the ORM. What a report
means for an order is decided in ``domain.execution``; here it is loaded, paid for and stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.domain.execution import Applied, OrderState, apply, move
from app.domain.instruments import SymbolTable
from app.domain.ledger import AccountKind, AccountRef, EntryKind, PostingLine, hold_lines, trade_lines
from app.domain.money import ONE, ZERO, text
from app.domain.orders import OrderStatus, Side
from app.domain.positions import ExitReason, Fill, PositionStatus, apply_fill
from app.domain.protection import Protection
from app.domain.reports import Accepted, OrderSnapshot, Replaced, Report, RequestRejected, Sent, Unanswered
from app.domain.reports import Fill as FillReport
from app.domain.requests import RequestKind, RequestState
from app.domain.settlement import Settlement, settle
from app.models import Execution, Order, Position, Wallet, table_of
from app.schemas.orders import execution_json, order_json
from app.schemas.positions import holding_of, position_json, protection_of
from app.services import faults, wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.orders import order_event
from app.services.positions import set_protection
from app.services.quotes import QuoteBook

from .messages import store_messages
from .requests import Requests

ACTOR = "engine"
orders, executions, positions = table_of(Order), table_of(Execution), table_of(Position)

_ORDER_COLUMNS = (
    "status", "version", "qty", "price", "cum_qty", "leaves_qty", "avg_px", "cum_value", "fees", "held", "pending_qty",
    "pending_price", "reject_code", "reject_reason", "venue_order_id", "position_id", "submitted_at", "first_fill_at",
    "last_fill_at", "closed_at",
)  # fmt: skip
_POSITION_COLUMNS = tuple(
    name
    for name in positions.columns.keys()  # noqa: SIM118 (a column collection, not a dict)
    if name not in {"id", "client_id", "wallet_id", "instrument_id", "opened_at", "entry_order_id", "entry_mark_px"}
)


def update_by_id(table: sa.Table, columns: Iterable[str]) -> sa.Update:
    """UPDATE of fixed columns by id, for executemany."""
    return (
        sa.update(table)
        .where(table.c.id == sa.bindparam("row_id"))
        .values({name: sa.bindparam(f"new_{name}") for name in columns})
    )


_UPDATE_ORDER = update_by_id(orders, _ORDER_COLUMNS)
_UPDATE_POSITION = update_by_id(positions, _POSITION_COLUMNS)


def bound(row: dict[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    return {"row_id": row["id"], **{f"new_{name}": row[name] for name in columns}}


@dataclass(slots=True)
class Booked:
    """What a batch did, for what happens after its commit."""

    positions: list[dict[str, Any]] = field(default_factory=list)  # touched, in their new state
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
        self.journal = Journal(session, now, ACTOR)
        self.events = Events(now)
        self.requests = Requests(session, now)
        self.booked = Booked()
        self._orders: dict[str, OrderState] = {}
        self._positions: dict[tuple[str, int], dict[str, Any]] = {}
        self._wallets: dict[str, Any] = {}
        self._trades: set[tuple[str, str, int, str]] = set()
        self._spent: dict[AccountRef, Decimal] = defaultdict(Decimal)  # by entries that are not written yet
        self._touched_orders: dict[str, None] = {}
        self._touched_positions: dict[str, dict[str, Any]] = {}
        self._new_positions: list[dict[str, Any]] = []
        self._executions: list[dict[str, Any]] = []
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
        self._settle_exits()
        self._flush(reports)
        for order_id, own in strangers.items():
            error = "a venue reported about an order that nobody knows"
            self.booked.strangers[order_id] = faults.park(self.session, self.now, "booking", "order", order_id, error,
                                                          own)  # fmt: skip
        for code, message, order_id in self._alerts:
            faults.alert(self.session, self.now, code, message, "order", order_id)
        return self.booked

    # -- reading -----------------------------------------------------------------------------------------

    def _load(self, reports: list[Report]) -> None:
        """Lock positions, then orders, each by id; accounts follow, by id too."""
        ids = sorted({report.order_id for report in reports})
        fills = [fill for report in reports for fill in _fills_of(report)]
        locks = Locks.of(self.session)
        if not all(isinstance(report, Sent) for report in reports):
            of_these = sa.select(orders.c.wallet_id, orders.c.instrument_id).where(orders.c.id.in_(ids))
            pair = sa.tuple_(positions.c.wallet_id, positions.c.instrument_id)
            open_ = positions.c.status != PositionStatus.CLOSED.value
            for row in locks.positions(sa.and_(open_, pair.in_(of_these))):
                self._positions[row["wallet_id"], row["instrument_id"]] = row
        self._orders = {row["id"]: OrderState.of(row) for row in locks.orders(orders.c.id.in_(ids))}
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
            rows = self.session.execute(
                sa.select(
                    Wallet.id, Wallet.client_id, Wallet.maker_rate, Wallet.taker_rate,
                    Wallet.default_stop_loss_percent, Wallet.default_take_profit_percent,
                ).where(Wallet.id.in_(wallet_ids))
            )  # fmt: skip
            self._wallets = {row.id: row for row in rows}

    def _load_trades(self, fills: list[FillReport]) -> None:
        """Which of these trades are booked already."""
        wanted = [self._trade(order, fill) for fill in fills if (order := self._orders.get(fill.order_id)) is not None]
        key = (executions.c.venue, executions.c.wallet_id, executions.c.instrument_id, executions.c.trade_id)
        if wanted:
            found = self.session.execute(sa.select(*key).where(sa.tuple_(*key).in_(wanted)))
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
                self.requests.change(request, RequestState.SENT, sent_at=report.at)
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
        """Store the order's new state with what it frees and its event."""
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
            row = order.row()
            symbol = self.instruments.by_id(order.instrument_id).symbol
            order_event(self.events, row, order_json(row, symbol), before.status, applied.reason)
        if applied.alert is not None:
            self._alerts.append((*applied.alert, order.id))

    def _release(self, order: OrderState) -> OrderState:
        """Give back what is held beyond what the order may still need."""
        needed = self._needed(order)
        if order.held <= needed:
            return order
        freed = order.held - needed
        self.journal.add(
            EntryKind.RELEASE, ("order", order.id), f"hold:{order.id}:{order.version}",
            self._noted(hold_lines(order.wallet_id, order.hold_currency, -freed)),
        )  # fmt: skip
        return replace(order, held=needed)

    def _needed(self, order: OrderState) -> Decimal:
        """``held`` never grows by a report: what is beyond it is paid when the fill comes."""
        return order.needed_hold(self._wallets[order.wallet_id].taker_rate, self._assets(order)[1])

    def _answered(self, order: OrderState, report: Report) -> None:
        """Which of the order's requests this settles."""
        if isinstance(report, Sent | Unanswered):
            return
        request = self.requests.named(report.cl_ord_id)
        if request is not None and request.unanswered:
            self.requests.change(request, RequestState.ACKED)
        if not (isinstance(report, RequestRejected | OrderSnapshot) and not report.known):
            self.requests.settle(order.id, RequestState.ACKED, RequestKind.SUBMIT)
        if order.terminal:
            self.requests.settle(order.id, RequestState.ACKED)
        elif isinstance(report, OrderSnapshot) and report.known:
            # what the venue has not done by now it has never heard of, or refused
            self.requests.settle(order.id, RequestState.FAILED, RequestKind.CANCEL, RequestKind.REPLACE)

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
            order.side, report.qty, report.price, rate, instrument.quote, order.held, self._needed(order),
            self.journal.locked[spends].balance + self._spent[spends], live=not before.terminal,
        )  # fmt: skip
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
                    order.wallet_id, instrument.base, instrument.quote, buy=order.side is Side.BUY, qty=report.qty,
                    value=settled.value, fee=settled.fee, from_hold=settled.from_hold, freed=settled.freed,
                    rounding=settled.rounding, owed=settled.owed,
                )
            ),
        )  # fmt: skip
        order = replace(
            order, held=settled.held, cum_value=order.cum_value + settled.value, fees=order.fees + settled.fee
        )
        position, position_qty, realized = self._apply_to_position(before, order, fill)
        if position is not None:
            order = replace(order, position_id=position["id"])
        self._execution(order, report, settled, execution_id, entry_id, position, position_qty, realized)
        self.booked.fills += 1
        return order

    def _noted(self, lines: list[PostingLine]) -> list[PostingLine]:
        for line in lines:
            self._spent[line.account] += line.amount
        return lines

    def _execution(
        self, order: OrderState, report: FillReport, settled: Settlement, execution_id: str, entry_id: str,
        position: dict[str, Any] | None, position_qty: Decimal, realized: Decimal,
    ) -> None:  # fmt: skip
        instrument = self.instruments.by_id(order.instrument_id)
        execution = {
            "id": execution_id, "order_id": order.id, "client_id": order.client_id, "wallet_id": order.wallet_id,
            "instrument_id": order.instrument_id, "position_id": position["id"] if position else None,
            "position_qty": position_qty, "entry_id": entry_id, "venue": order.venue, "trade_id": report.trade_id,
            "side": order.side.value, "qty": report.qty, "price": report.price, "value": settled.value,
            "fee": settled.fee, "fee_currency": instrument.quote, "liquidity": "maker" if report.maker else "taker",
            "realized_pnl": realized, "executed_at": report.at, "booked_at": self.now,
        }  # fmt: skip
        self._executions.append(execution)
        self.events.add(order.client_id, "execution.created", "execution", execution_id,
                        execution_json(execution, instrument.symbol))  # fmt: skip

    def _apply_to_position(
        self, before: OrderState, order: OrderState, fill: Fill
    ) -> tuple[dict[str, Any] | None, Decimal, Decimal]:
        """The position the fill changed, by how much (signed), and what it realized.

        A cash wallet cannot be short: what is sold beyond the position is an exchange of assets, no more.
        """
        key = (order.wallet_id, order.instrument_id)
        position = self._positions.get(key)
        if position is None:
            if fill.side is Side.SELL:
                return None, ZERO, ZERO
            position = self._open(order, fill)
            self._positions[key] = position
        currency = self.instruments.by_id(order.instrument_id).quote
        applied = apply_fill(holding_of(position), fill, currency)
        holding = applied.holding
        position.update(
            qty=holding.qty, avg_entry_px=round(holding.avg_px, 18), cost=holding.cost, open_fees=holding.open_fees,
            realized_pnl=holding.realized, version=position["version"] + 1, updated_at=self.now,
            high_px=max(position["high_px"], fill.price), low_px=min(position["low_px"], fill.price),
        )  # fmt: skip
        changed = fill.qty if fill.side is Side.BUY else -applied.closed_qty
        if fill.side is Side.BUY:
            position["entry_qty"] += fill.qty
            position["entry_value"] += fill.value
            position["entry_fees"] += fill.fee
            self._attach(position, before, fill)
        else:
            rest_value = applied.remainder.value if applied.remainder else ZERO
            rest_fee = applied.remainder.fee if applied.remainder else ZERO
            position["exit_qty"] += applied.closed_qty
            position["exit_value"] += fill.value - rest_value
            position["exit_fees"] += fill.fee - rest_fee
        self._position_changed(position, order)
        return position, changed, applied.realized

    def _open(self, order: OrderState, fill: Fill) -> dict[str, Any]:
        quote = self.quotes.get(self.instruments.by_id(order.instrument_id).symbol)
        position: dict[str, Any] = dict.fromkeys(positions.columns.keys())
        for name in ("qty", "avg_entry_px", "cost", "open_fees", "realized_pnl", "entry_qty", "entry_value",
                     "entry_fees", "exit_qty", "exit_value", "exit_fees"):  # fmt: skip
            position[name] = ZERO
        position.update(
            id=new_id(), client_id=order.client_id, wallet_id=order.wallet_id, instrument_id=order.instrument_id,
            status=PositionStatus.OPENING.value, version=0, entry_order_id=order.id,
            entry_mark_px=quote.ask if quote else None, protection_version=0, armed_version=-1, stop_adjustments=0,
            price_moves=0, high_px=fill.price, low_px=fill.price, opened_at=self.now, updated_at=self.now,
        )  # fmt: skip
        self._new_positions.append(position)
        return position

    def _attach(self, position: dict[str, Any], before: OrderState, fill: Fill) -> None:
        """The order's legs become the position's as soon as it fills; what it does not name stays as it is.

        A new position starts from the wallet's defaults.
        """
        fresh = position["version"] == 1
        if before.cum_qty > 0 and not fresh:
            return  # its first fill has attached them
        current = protection_of(position)
        base = self._wallet_defaults(position) if fresh else current
        wanted = Protection.from_json(before.protection).over(base)
        if wanted != current:
            quote = self.quotes.get(self.instruments.by_id(before.instrument_id).symbol)
            set_protection(position, wanted, quote.bid if quote else fill.price)

    def _wallet_defaults(self, position: dict[str, Any]) -> Protection:
        wallet = self._wallets[position["wallet_id"]]
        stop, target = wallet.default_stop_loss_percent, wallet.default_take_profit_percent
        tick = self.instruments.by_id(position["instrument_id"]).tick_size
        entry: Decimal = position["avg_entry_px"]

        def level(percent: Decimal | None, sign: int) -> Decimal | None:
            if percent is None:
                return None
            ticks: Decimal = (entry * (ONE + sign * percent / 100) / tick).to_integral_value()
            return max(ticks, ONE) * tick

        return Protection(stop_loss=level(stop, -1), take_profit=level(target, 1))

    def _position_changed(self, position: dict[str, Any], order: OrderState) -> None:
        self._touched_positions[position["id"]] = position
        if position["qty"] == 0:
            position.update(
                status=PositionStatus.CLOSED.value, closed_at=self.now,
                exit_reason=order.exit_reason or position["exit_reason"] or ExitReason.MANUAL.value,
            )  # fmt: skip
            del self._positions[position["wallet_id"], position["instrument_id"]]
            type_ = "position.closed"
        elif position["version"] == 1:
            type_ = "position.opened"
        else:
            type_ = "position.updated"
        self._position_event(position, type_)

    def _position_event(self, position: dict[str, Any], type_: str) -> None:
        instrument = self.instruments.by_id(position["instrument_id"])
        quote = self.quotes.get(instrument.symbol)
        shown = position_json(position, instrument.symbol, instrument.quote, quote, self.now)
        self.events.add(position["client_id"], type_, "position", position["id"], shown, version=position["version"])

    # -- after the last report ---------------------------------------------------------------------------

    def _settle_exits(self) -> None:
        """Where an order that opened or closed a position is done, the position's own status follows."""
        for position in list(self._positions.values()):
            closing_done = position["exit_order_id"] in self._ended_order_ids
            opening_done = (
                position["status"] == PositionStatus.OPENING and position["entry_order_id"] in self._ended_order_ids
            )
            if closing_done:
                # the exit ended without closing all of it: watch the levels again, a new version may fire
                self.booked.refused.add(position["id"])
                position.update(
                    exit_order_id=None, exit_reason=None, protection_version=position["protection_version"] + 1
                )
            if closing_done or opening_done:
                position.update(status=PositionStatus.OPEN.value, version=position["version"] + 1, updated_at=self.now)
                self._touched_positions[position["id"]] = position
                self._position_event(position, "position.updated")

    def _flush(self, reports: list[Report]) -> None:
        session = self.session
        touched = self._touched_positions.values()
        for position in touched:
            position["armed_version"] = position["protection_version"]  # the engine arms it right after the commit
        new_ids = {position["id"] for position in self._new_positions}
        changed = [bound(row, _POSITION_COLUMNS) for row in touched if row["id"] not in new_ids]
        connection = session.connection()
        if changed:
            connection.execute(_UPDATE_POSITION, changed)
        if self._new_positions:  # after the updates: it may follow one that this batch has closed
            session.execute(sa.insert(positions), self._new_positions)
        if self._touched_orders:
            rows = [self._orders[id_].row() for id_ in self._touched_orders]
            connection.execute(_UPDATE_ORDER, [bound(row, _ORDER_COLUMNS) for row in rows])
        self.requests.flush()
        locked = self.journal.flush()
        if self._executions:
            session.execute(sa.insert(executions), self._executions)
        for wallet_id in dict.fromkeys(self._orders[id_].wallet_id for id_ in self._touched_orders):
            accounts = [account for account in locked.values() if account.ref.owner == wallet_id and account.posted]
            wallets.balance_event(self.events, self._wallets[wallet_id].client_id, wallet_id, accounts)
        self.events.flush(session)
        store_messages(session, reports, self._orders.keys(), self.now)
        self.booked.positions = list(touched)
        self.booked.answered, self.booked.confirmed = self.requests.answered, self.requests.confirmed
        self.booked.work = self.booked.work or bool(self._ended_order_ids)


def _fills_of(report: Report) -> tuple[FillReport, ...]:
    if isinstance(report, FillReport):
        return (report,)
    return report.fills if isinstance(report, OrderSnapshot) else ()

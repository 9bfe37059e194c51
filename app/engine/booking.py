"""Booking: what the venue reported, applied to orders, positions and the journal in one transaction.

The hot path: rows are read under lock and written in bulk with Core, never through the ORM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.venues.base import Report
from app.core.ids import new_id
from app.domain.instruments import SymbolTable
from app.domain.ledger import EntryKind, hold_lines, trade_lines
from app.domain.money import ONE, ZERO
from app.domain.orders import TERMINAL, OrderStatus, Side, check_transition
from app.domain.positions import ExitReason, Fill, PositionStatus, apply_fill
from app.domain.protection import Protection
from app.domain.risk import reserve_for
from app.domain.settlement import Settlement, settle
from app.models import Execution, Order, Position, Wallet, table_of
from app.schemas.orders import execution_json, order_json
from app.schemas.positions import holding_of, position_json, protection_of
from app.services import wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.orders import order_event
from app.services.positions import set_protection
from app.services.quotes import QuoteBook

from .messages import store_messages

S = OrderStatus
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
    resend: list[str] = field(default_factory=list)  # orders the venue has never heard of
    fills: int = 0
    ended: bool = False  # an order is done: what it held may be what an exit waits for
    late_fills: list[str] = field(default_factory=list)


class Booking:
    """One batch of reports in one transaction."""

    def __init__(self, session: Session, instruments: SymbolTable, quotes: QuoteBook, now: datetime) -> None:
        self.session, self.instruments, self.quotes, self.now = session, instruments, quotes, now
        self.journal = Journal(session, now, ACTOR)
        self.events = Events(now)
        self.booked = Booked()
        self._orders: dict[str, dict[str, Any]] = {}
        self._positions: dict[tuple[str, int], dict[str, Any]] = {}
        self._wallets: dict[str, Any] = {}
        self._trades: set[tuple[str, str]] = set()
        self._touched_orders: dict[str, None] = {}
        self._touched_positions: dict[str, dict[str, Any]] = {}
        self._new_positions: list[dict[str, Any]] = []
        self._executions: list[dict[str, Any]] = []
        self._closed_order_ids: set[str] = set()
        self._handlers: dict[str, Callable[[dict[str, Any], Report], None]] = {
            "sent": self._sent, "new": self._acknowledged, "fill": self._fill, "canceled": self._ended,
            "expired": self._ended, "rejected": self._rejected, "replaced": self._replaced,
            "cancel_rejected": self._request_rejected, "replace_rejected": self._request_rejected,
            "status": self._status,
        }  # fmt: skip

    def apply(self, reports: list[Report]) -> Booked:
        """Apply reports in order and write everything. Raises ``IllegalTransition`` and database errors."""
        self._load(reports)
        for report in reports:
            row = self._orders.get(report.order_id)
            if row is not None:
                self._handlers[report.kind](row, report)
        self._settle_exits()
        self._flush(reports)
        return self.booked

    # -- reading -----------------------------------------------------------------------------------------

    def _load(self, reports: list[Report]) -> None:
        """Lock orders by id, then their positions by id; accounts follow in the journal, by id too."""
        ids = sorted({report.order_id for report in reports})
        query = sa.select(orders).where(orders.c.id.in_(ids)).order_by(orders.c.id).with_for_update()
        self._orders = {row["id"]: dict(row) for row in self.session.execute(query).mappings()}
        fills = [report for report in reports if report.kind == "fill"]
        exits = {row["position_id"] for row in self._orders.values() if row["position_id"] is not None}
        pairs = {(self._orders[r.order_id]["wallet_id"], self._orders[r.order_id]["instrument_id"])
                 for r in fills if r.order_id in self._orders}  # fmt: skip
        if pairs or exits:
            self._load_positions(pairs, exits)
        wallet_ids = {row["wallet_id"] for row in self._orders.values()}
        if wallet_ids:
            rows = self.session.execute(
                sa.select(
                    Wallet.id, Wallet.client_id, Wallet.maker_rate, Wallet.taker_rate,
                    Wallet.default_stop_loss_percent, Wallet.default_take_profit_percent,
                ).where(Wallet.id.in_(wallet_ids))
            )  # fmt: skip
            self._wallets = {row.id: row for row in rows}
        if fills:
            known = sa.select(executions.c.order_id, executions.c.trade_id).where(
                executions.c.order_id.in_({report.order_id for report in fills})
            )
            self._trades = {(row.order_id, row.trade_id) for row in self.session.execute(known)}

    def _load_positions(self, pairs: set[tuple[str, int]], exits: set[str]) -> None:
        condition: sa.ColumnElement[bool] = positions.c.id.in_(exits)
        if pairs:
            by_pair = sa.tuple_(positions.c.wallet_id, positions.c.instrument_id).in_(sorted(pairs))
            condition = sa.or_(condition, by_pair) if exits else by_pair
        query = (
            sa.select(positions)
            .where(positions.c.status != PositionStatus.CLOSED.value, condition)
            .order_by(positions.c.id)
            .with_for_update()
        )
        for row in self.session.execute(query).mappings():
            self._positions[row["wallet_id"], row["instrument_id"]] = dict(row)

    # -- one report --------------------------------------------------------------------------------------

    def _move(self, row: dict[str, Any], wanted: OrderStatus, reason: str | None = None) -> None:
        """Every status change goes through here: the table, the version, the event."""
        current = OrderStatus(row["status"])
        check_transition(row["id"], current, wanted)
        row["status"] = wanted.value
        row["version"] += 1
        if wanted in TERMINAL:
            row.update(leaves_qty=ZERO, closed_at=self.now, pending_qty=None, pending_price=None)
            self._closed_order_ids.add(row["id"])
        self._touched_orders[row["id"]] = None
        instrument = self.instruments.by_id(row["instrument_id"])
        order_event(self.events, row, order_json(row, instrument.symbol), current, reason)

    def _sent(self, row: dict[str, Any], report: Report) -> None:
        if row["submitted_at"] is None:  # a cancel may have come in between: it was sent all the same
            row["submitted_at"] = report.at
            self._touched_orders[row["id"]] = None
        if row["status"] == S.PENDING_SEND:
            self._move(row, S.SENT)

    def _acknowledged(self, row: dict[str, Any], report: Report) -> None:
        row["venue_order_id"] = report.venue_order_id
        self._touched_orders[row["id"]] = None
        if row["status"] in (S.SENT, S.UNKNOWN):
            self._move(row, S.OPEN)

    def _release(self, row: dict[str, Any], left: Decimal = ZERO) -> None:
        """Give back what is held beyond ``left``."""
        freed = row["held"] - left
        if freed > 0:
            self.journal.add(
                EntryKind.RELEASE, ("order", row["id"]), f"hold:{row['id']}:{row['version']}",
                hold_lines(row["wallet_id"], row["hold_currency"], -freed),
            )  # fmt: skip
            row["held"] = left

    def _ended(self, row: dict[str, Any], report: Report) -> None:
        if OrderStatus(row["status"]) in TERMINAL:
            return  # said twice
        self._move_ended(row, S.CANCELED if report.kind == "canceled" else S.EXPIRED, report)

    def _rejected(self, row: dict[str, Any], report: Report) -> None:
        if OrderStatus(row["status"]) in TERMINAL:
            return
        row["reject_code"] = report.reason_code or "VENUE_REJECTED"
        row["reject_reason"] = (report.reason or "")[:300] or None
        self._move_ended(row, S.REJECTED, report)

    def _move_ended(self, row: dict[str, Any], wanted: OrderStatus, report: Report) -> None:
        row["version"] += 1  # the number the release entry and the event share
        self._release(row)
        row["version"] -= 1
        self._move(row, wanted, report.reason)

    def _replaced(self, row: dict[str, Any], report: Report) -> None:
        if row["status"] not in (S.PENDING_REPLACE, S.PENDING_CANCEL):
            return  # said twice, or overtaken by the end
        assert report.qty is not None
        row["qty"], row["price"] = report.qty, report.price if report.price is not None else row["price"]
        row["leaves_qty"] = row["qty"] - row["cum_qty"]
        row.update(pending_qty=None, pending_price=None)
        self._back_to_work(row, "replaced")

    def _request_rejected(self, row: dict[str, Any], report: Report) -> None:
        if row["status"] == S.PENDING_CANCEL and not report.known and not row["cum_qty"]:
            self._move_ended(row, S.CANCELED, report)  # it had never reached the venue
        elif row["status"] in (S.PENDING_CANCEL, S.PENDING_REPLACE):
            row.update(pending_qty=None, pending_price=None)
            self._back_to_work(row, report.reason)

    def _back_to_work(self, row: dict[str, Any], reason: str | None) -> None:
        """After a replace or a refused request: the hold fits what is left, the status says how far it is."""
        if row["status"] == S.PENDING_CANCEL and reason == "replaced":
            self._touched_orders[row["id"]] = None
            return
        instrument = self.instruments.by_id(row["instrument_id"])
        worst = row["price"] or row["protection_px"] or ZERO
        rate = self._wallets[row["wallet_id"]].taker_rate
        needed = reserve_for(Side(row["side"]), row["leaves_qty"], worst, rate, instrument.quote)
        row["version"] += 1
        self._release(row, min(needed, row["held"]))
        row["version"] -= 1
        if row["cum_qty"] == row["qty"]:
            self._move(row, S.FILLED, reason)
        else:
            self._move(row, S.PARTIALLY_FILLED if row["cum_qty"] else S.OPEN, reason)

    def _status(self, row: dict[str, Any], report: Report) -> None:
        """The answer to a status request: an order the venue never saw is sent, one it has goes on."""
        if not report.known:
            if row["status"] in (S.PENDING_SEND, S.UNKNOWN) and not row["cum_qty"]:
                self.booked.resend.append(row["id"])
            return
        self._sent(row, report)
        self._acknowledged(row, report)

    # -- fills -------------------------------------------------------------------------------------------

    def _fill(self, row: dict[str, Any], report: Report) -> None:
        assert report.qty is not None and report.price is not None and report.trade_id is not None
        trade = (row["id"], report.trade_id)
        if trade in self._trades:
            return  # reported twice
        self._trades.add(trade)
        instrument = self.instruments.by_id(row["instrument_id"])
        side, wallet = Side(row["side"]), self._wallets[row["wallet_id"]]
        rate = wallet.maker_rate if report.maker else wallet.taker_rate
        leaves = row["qty"] - row["cum_qty"] - report.qty
        needed = self._still_needed(row, leaves)
        settled = settle(side, report.qty, report.price, rate, instrument.quote, row["held"], needed,
                         covered=OrderStatus(row["status"]) not in TERMINAL)  # fmt: skip
        fill = Fill(side, report.qty, report.price, settled.value, settled.fee)
        execution_id = new_id()
        entry_id = self.journal.add(
            EntryKind.TRADE,
            ("execution", execution_id),
            f"trade:{row['venue']}:{report.trade_id}",
            trade_lines(
                row["wallet_id"], instrument.base, instrument.quote, buy=side is Side.BUY, qty=report.qty,
                value=settled.value, fee=settled.fee, from_hold=settled.from_hold, freed=settled.freed,
                rounding=settled.rounding,
            ),
        )  # fmt: skip
        position, position_qty, realized = self._apply_to_position(row, fill)
        self._execution(row, report, settled, execution_id, entry_id, position, position_qty, realized)
        self._advance(row, report, settled, leaves)

    def _still_needed(self, row: dict[str, Any], leaves: Decimal) -> Decimal:
        """What the rest of an order may still spend; while a replace travels, by its terms or the new ones."""
        quote, rate = self.instruments.by_id(row["instrument_id"]).quote, self._wallets[row["wallet_id"]].taker_rate
        worst = row["price"] or row["protection_px"] or ZERO
        reserves = [(leaves, worst)]
        if row["pending_qty"] is not None:
            pending = row["pending_qty"] - (row["qty"] - leaves)
            reserves.append((pending, row["pending_price"] or worst))
        sides = [reserve_for(Side(row["side"]), qty, price, rate, quote) for qty, price in reserves if qty > 0]
        return max(sides, default=ZERO)

    def _advance(self, row: dict[str, Any], report: Report, settled: Settlement, leaves: Decimal) -> None:
        """The order's own figures and status after a fill."""
        assert report.qty is not None and report.price is not None
        late = OrderStatus(row["status"]) in TERMINAL
        row["cum_qty"] += report.qty
        # exact until stored; 18 decimals are kept
        previous = (row["avg_px"] or ZERO) * (row["cum_qty"] - report.qty)
        row["avg_px"] = round((previous + report.qty * report.price) / row["cum_qty"], 18)
        row["cum_value"] += settled.value
        row["fees"] += settled.fee
        row["held"] = settled.held
        row["leaves_qty"] = ZERO if late else leaves
        row["first_fill_at"] = row["first_fill_at"] or report.at
        row["last_fill_at"] = report.at
        self.booked.fills += 1
        if late:
            self.booked.late_fills.append(row["id"])
        if leaves <= 0:
            self._move(row, S.FILLED)
        elif late or row["status"] in (S.PENDING_CANCEL, S.PENDING_REPLACE):
            self._move(row, OrderStatus(row["status"]), "filled in part")
        else:
            self._move(row, S.PARTIALLY_FILLED)

    def _execution(
        self, row: dict[str, Any], report: Report, settled: Settlement, execution_id: str, entry_id: str,
        position: dict[str, Any] | None, position_qty: Decimal, realized: Decimal,
    ) -> None:  # fmt: skip
        instrument = self.instruments.by_id(row["instrument_id"])
        execution = {
            "id": execution_id, "order_id": row["id"], "client_id": row["client_id"], "wallet_id": row["wallet_id"],
            "instrument_id": row["instrument_id"], "position_id": position["id"] if position else None,
            "position_qty": position_qty, "entry_id": entry_id, "venue": row["venue"], "trade_id": report.trade_id,
            "side": row["side"], "qty": report.qty, "price": report.price, "value": settled.value, "fee": settled.fee,
            "fee_currency": instrument.quote, "liquidity": "maker" if report.maker else "taker",
            "realized_pnl": realized, "executed_at": report.at, "booked_at": self.now,
        }  # fmt: skip
        self._executions.append(execution)
        self.events.add(row["client_id"], "execution.created", "execution", execution_id,
                        execution_json(execution, instrument.symbol))  # fmt: skip

    def _apply_to_position(self, row: dict[str, Any], fill: Fill) -> tuple[dict[str, Any] | None, Decimal, Decimal]:
        """The position the fill changed, by how much (signed), and what it realized.

        A cash wallet cannot be short: what is sold beyond the position is an exchange of assets, no more.
        """
        key = (row["wallet_id"], row["instrument_id"])
        position = self._positions.get(key)
        if position is None:
            if fill.side is Side.SELL:
                return None, ZERO, ZERO
            position = self._open(row, fill)
            self._positions[key] = position
        currency = self.instruments.by_id(row["instrument_id"]).quote
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
            self._attach(position, row, fill)
        else:
            rest_value = applied.remainder.value if applied.remainder else ZERO
            rest_fee = applied.remainder.fee if applied.remainder else ZERO
            position["exit_qty"] += applied.closed_qty
            position["exit_value"] += fill.value - rest_value
            position["exit_fees"] += fill.fee - rest_fee
        self._position_changed(position, row)
        return position, changed, applied.realized

    def _open(self, row: dict[str, Any], fill: Fill) -> dict[str, Any]:
        quote = self.quotes.get(self.instruments.by_id(row["instrument_id"]).symbol)
        position: dict[str, Any] = dict.fromkeys(positions.columns.keys())
        for name in ("qty", "avg_entry_px", "cost", "open_fees", "realized_pnl", "entry_qty", "entry_value",
                     "entry_fees", "exit_qty", "exit_value", "exit_fees"):  # fmt: skip
            position[name] = ZERO
        position.update(
            id=new_id(), client_id=row["client_id"], wallet_id=row["wallet_id"], instrument_id=row["instrument_id"],
            status=PositionStatus.OPENING.value, version=0, entry_order_id=row["id"],
            entry_mark_px=quote.ask if quote else None, protection_version=0, armed_version=-1, stop_adjustments=0,
            price_moves=0, high_px=fill.price, low_px=fill.price, opened_at=self.now, updated_at=self.now,
        )  # fmt: skip
        self._new_positions.append(position)
        return position

    def _attach(self, position: dict[str, Any], row: dict[str, Any], fill: Fill) -> None:
        """The order's legs become the position's as soon as it fills; what it does not name stays as it is.

        A new position starts from the wallet's defaults.
        """
        fresh = position["version"] == 1
        if row["cum_qty"] > 0 and not fresh:
            return  # its first fill has attached them
        current = protection_of(position)
        base = self._wallet_defaults(position, row) if fresh else current
        wanted = Protection.from_json(row["protection"]).over(base)
        if wanted != current:
            quote = self.quotes.get(self.instruments.by_id(row["instrument_id"]).symbol)
            set_protection(position, wanted, quote.bid if quote else fill.price)

    def _wallet_defaults(self, position: dict[str, Any], row: dict[str, Any]) -> Protection:
        wallet = self._wallets[row["wallet_id"]]
        stop, target = wallet.default_stop_loss_percent, wallet.default_take_profit_percent
        tick = self.instruments.by_id(row["instrument_id"]).tick_size
        entry: Decimal = position["avg_entry_px"]

        def level(percent: Decimal | None, sign: int) -> Decimal | None:
            if percent is None:
                return None
            ticks: Decimal = (entry * (ONE + sign * percent / 100) / tick).to_integral_value()
            return max(ticks, ONE) * tick

        return Protection(stop_loss=level(stop, -1), take_profit=level(target, 1))

    def _position_changed(self, position: dict[str, Any], row: dict[str, Any]) -> None:
        self._touched_positions[position["id"]] = position
        row["position_id"] = position["id"]
        if position["qty"] == 0:
            position.update(
                status=PositionStatus.CLOSED.value, closed_at=self.now,
                exit_reason=row["exit_reason"] or position["exit_reason"] or ExitReason.MANUAL.value,
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
            closing_done = position["exit_order_id"] in self._closed_order_ids
            opening_done = (
                position["status"] == PositionStatus.OPENING and position["entry_order_id"] in self._closed_order_ids
            )
            if closing_done:
                # the exit ended without closing all of it: watch the levels again, a new version may fire
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
            connection.execute(
                _UPDATE_ORDER, [bound(self._orders[id_], _ORDER_COLUMNS) for id_ in self._touched_orders]
            )
        locked = self.journal.flush()
        if self._executions:
            session.execute(sa.insert(executions), self._executions)
        for wallet_id in dict.fromkeys(self._orders[id_]["wallet_id"] for id_ in self._touched_orders):
            accounts = [account for account in locked.values() if account.ref.owner == wallet_id]
            wallets.balance_event(self.events, self._wallets[wallet_id].client_id, wallet_id, accounts)
        self.events.flush(session)
        store_messages(
            session, "in", [(r.order_id, r.msg_type, r.raw) for r in reports if r.raw], self._orders, self.now
        )
        self.booked.positions = list(touched)
        self.booked.ended = bool(self._closed_order_ids)

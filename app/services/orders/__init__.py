"""Order entry: check, hold, store; amend, cancel. What happens afterwards is the engine's."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core import json
from app.core.errors import AppError, Conflict, Invalid
from app.core.ids import new_id
from app.domain.calendars import session_close
from app.domain.fees import fee_for
from app.domain.instruments import SymbolTable
from app.domain.ledger import AccountKind, AccountRef, EntryKind, hold_lines
from app.domain.money import ZERO, round_amount, text
from app.domain.orders import (
    AMENDABLE,
    LIVE,
    TERMINAL,
    OrderSource,
    OrderStatus,
    Side,
    TimeInForce,
    check_transition,
)
from app.domain.positions import ExitReason
from app.domain.risk import (
    RATE_WINDOW,
    Candidate,
    ClientLimits,
    Failure,
    check_order,
    reference_price,
    reserve_for,
    usd_rate,
)
from app.models import Client, Order, Position, Wallet, exact_sum, table_of
from app.schemas.orders import OrderIn, order_json
from app.services import wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.quotes import QuoteBook

from .draft import Draft, Drafting, OrderRules, check_amend

table = table_of(Order)
positions = table_of(Position)


@dataclass(frozen=True, slots=True)
class Entry:
    """An order as it was asked for. Only ids: what decides is read under its lock.

    ``position`` is the locked row of the position it closes, with the reason.
    """

    wallet_id: str
    request: OrderIn
    actor: str
    source: OrderSource
    position: dict[str, Any] | None = None
    exit_reason: ExitReason | None = None


class Orders(Drafting):
    """Order entry for one process; all state is in the database but the count of the last second's orders."""

    def __init__(self, instruments: SymbolTable, quotes: QuoteBook, rules: OrderRules) -> None:
        super().__init__(instruments, quotes, rules)
        self._recent: dict[str, deque[datetime]] = {}

    # -- entry -------------------------------------------------------------------------------------------

    def submit(self, session: Session, entry: Entry, now: datetime) -> tuple[dict[str, Any], bool]:
        """Store an order and its hold; returns it as the API shows it, and whether it is new.

        Refused by risk it is stored as REJECTED with every reason. Raises ``Invalid`` for a request that
        makes no sense, ``Conflict`` for a used ``client_order_id`` with another body; then nothing is stored.
        """
        outcome = self.submit_many(session, [entry], now)[0]
        if isinstance(outcome, AppError):
            raise outcome
        return outcome

    def submit_many(
        self, session: Session, entries: list[Entry], now: datetime
    ) -> list[tuple[dict[str, Any], bool] | AppError]:
        """``submit`` for orders that share a transaction: the same answers, in the same order, in few statements.

        What would be raised for one order is returned in its place, and the others go on.
        """
        accounts = lock_wallets(session, {entry.wallet_id for entry in entries})
        drafts: list[Draft | AppError] = []
        for entry in entries:
            try:
                drafts.append(self.draft(entry.request, accounts[entry.wallet_id][0]))
            except AppError as error:
                drafts.append(error)
        known = _by_client_order_ids(session, entries)
        journal, events = Journal(session, now, entries[0].actor), Events(now)
        journal.lock(
            ref
            for entry, draft in zip(entries, drafts, strict=True)
            if isinstance(draft, Draft)
            for ref in wallets.account_refs(entry.wallet_id, draft.spend_currency)
        )
        free = {ref: account.balance for ref, account in journal.locked.items()}
        limits = wallets.limits_of_clients(session, {client.id for _, client in accounts.values()})
        rows: list[dict[str, Any]] = []
        outcomes: list[tuple[dict[str, Any], bool] | AppError] = []
        for entry, draft in zip(entries, drafts, strict=True):
            if isinstance(draft, AppError):
                outcomes.append(draft)
                continue
            earlier = known.get((entry.wallet_id, entry.request.client_order_id))
            if earlier is not None:
                outcomes.append(self._repeated(entry, earlier))
                continue
            wallet, client = accounts[entry.wallet_id]
            spend = AccountRef(wallet.id, draft.spend_currency, AccountKind.AVAILABLE)
            client_limits = limits(client.id, draft.instrument.id)
            failures = self.check(session, client, wallet, entry.request, draft, free[spend], client_limits, now)
            row = self._new_row(entry, client, draft, failures, now)
            if not failures:
                free[spend] -= draft.reserve
                journal.add(
                    EntryKind.HOLD, ("order", row["id"]), f"hold:{row['id']}:1",
                    hold_lines(wallet.id, draft.spend_currency, draft.reserve), actor=entry.actor,
                )  # fmt: skip
            rows.append(row)
            if entry.request.client_order_id is not None:
                known[entry.wallet_id, entry.request.client_order_id] = row
            self._event(events, row, None, row["reject_reason"])
            outcomes.append((self.show(row), True))
        if rows:
            session.execute(sa.insert(table), rows)
        locked = journal.flush()
        for wallet, client in accounts.values():
            wallets.balance_event(events, client.id, wallet.id, (a for a in locked.values() if a.posted))
        events.flush(session)
        return outcomes

    def _repeated(self, entry: Entry, earlier: Any) -> tuple[dict[str, Any], bool] | AppError:
        """A client_order_id that was used before: the first order again, or a conflict."""
        if earlier["body_hash"] != _body_hash(entry.request):
            name = entry.request.client_order_id
            return Conflict(f"client_order_id {name} was used for another order", code="DUPLICATE_ORDER")
        return self.show(earlier), False

    def check(
        self,
        session: Session,
        client: Client,
        wallet: Wallet,
        request: OrderIn,
        draft: Draft,
        available: Decimal,
        client_limits: ClientLimits,
        now: datetime,
        *,
        besides: str | None = None,
        dry: bool = False,
    ) -> list[Failure]:
        """Every failing pre-trade check; the wallet must be locked for the answer to hold.

        ``besides`` is the order that an amendment is about: it does not stand in its own way. ``dry``
        remembers nothing: no order for the rate, no equity.
        """
        quotes = self.quotes.snapshot()
        rate = usd_rate(draft.instrument.quote, quotes)
        notional = None if rate is None or draft.reference is None else draft.qty * draft.reference * rate
        candidate = Candidate(
            request.side, request.type, draft.qty, draft.price, request.reduce_only, draft.spend_currency,
            draft.reserve, notional,
        )  # fmt: skip
        account = wallets.risk_account(
            session, client, wallet, draft.instrument, available, quotes, self.instruments, now, remember=not dry
        )
        recent = 0 if dry else self._orders_in_last_second(wallet.id, now)
        account = replace(account, orders_in_last_second=recent, max_orders_per_second=self.rules.max_orders_per_second)
        failures = check_order(
            candidate,
            draft.instrument,
            draft.quote,
            account,
            client_limits,
            wallets.limits_of(wallet),
            now,
        )
        if request.reduce_only:
            held = wallets.position_qty(session, wallet.id, draft.instrument.id)
            held -= _reducing(session, wallet.id, draft.instrument.id, besides)
            if request.side is Side.BUY or draft.qty > held:
                failures.append(Failure("REDUCE_ONLY", "the order would do more than reduce the position",
                                        {"qty": text(draft.qty), "position_qty": text(held)}))  # fmt: skip
        return failures

    def _orders_in_last_second(self, wallet_id: str, now: datetime) -> int:
        """How many orders came before this one within a second; this one is counted for the next."""
        recent = self._recent.setdefault(wallet_id, deque(maxlen=1000))
        while recent and recent[0] <= now - RATE_WINDOW:
            recent.popleft()
        recent.append(now)
        return len(recent) - 1

    def _new_row(
        self, entry: Entry, client: Client, draft: Draft, failures: list[Failure], now: datetime
    ) -> dict[str, Any]:
        request, position = entry.request, entry.position
        protection = request.to_domain()
        day = request.time_in_force is TimeInForce.DAY
        row: dict[str, Any] = dict.fromkeys(table.columns.keys())
        row.update(
            id=new_id(), client_order_id=request.client_order_id, client_id=client.id, wallet_id=entry.wallet_id,
            body_hash=_body_hash(request) if request.client_order_id is not None else None,
            instrument_id=draft.instrument.id, side=request.side.value, type=request.type.value,
            time_in_force=request.time_in_force.value, qty=draft.qty, quote_qty=request.quote_qty,
            price=draft.price, protection_px=draft.protection_px,
            expires_at=session_close(draft.instrument.calendar, now) if day else None,
            reduce_only=request.reduce_only, post_only=request.post_only,
            protection=protection.to_json() if protection else None,
            position_id=position["id"] if position is not None else None,
            exit_reason=entry.exit_reason.value if entry.exit_reason is not None else None,
            status=OrderStatus.NEW.value, version=1, cum_qty=ZERO, leaves_qty=draft.qty, cum_value=ZERO, fees=ZERO,
            hold_currency=draft.spend_currency, held=draft.reserve, venue=self.rules.venue,
            source=entry.source.value, created_by=entry.actor, created_at=now,
            strategy=request.strategy.model_dump(exclude_none=True) if request.strategy else None,
        )  # fmt: skip
        if failures:
            row.update(
                status=OrderStatus.REJECTED.value, held=ZERO, leaves_qty=ZERO, closed_at=now,
                reject_code=failures[0].code, reject_reason="; ".join(f.message for f in failures)[:300],
                reject_values=[failure.to_json() for failure in failures],
            )  # fmt: skip
        return row

    def dry_run(
        self, session: Session, client: Client, wallet: Wallet, request: OrderIn, now: datetime
    ) -> dict[str, Any]:
        """What would happen, with every failing check; stores nothing."""
        draft = self.draft(request, wallet)
        available = wallets.available(session, wallet.id, draft.spend_currency)
        limits = wallets.limits_of_clients(session, {client.id})(client.id, draft.instrument.id)
        failures = self.check(session, client, wallet, request, draft, available, limits, now, dry=True)
        quote, reference = draft.instrument.quote, draft.reference
        value = None if reference is None else round_amount(draft.qty * reference, quote)
        rate = usd_rate(quote, self.quotes.snapshot())
        return {
            "accepted": not failures,
            "failures": [failure.to_json() for failure in failures],
            "symbol": draft.instrument.symbol,
            "side": request.side.value,
            "type": request.type.value,
            "qty": text(draft.qty),
            "reference_price": None if reference is None else text(reference),
            "value": None if value is None else text(value),
            "fee": None if value is None else text(fee_for(value, wallet.taker_rate, quote)),
            "reserve": text(draft.reserve),
            "reserve_currency": draft.spend_currency,
            "available": text(available),
            "notional_usd": None if value is None or rate is None else text(round(value * rate, 2)),
        }

    # -- amend and cancel --------------------------------------------------------------------------------

    def amend(
        self,
        session: Session,
        client: Client,
        wallet: Wallet,
        order_id: str,
        qty: Decimal | None,
        price: Decimal | None,
        *,
        actor: str,
        now: datetime,
    ) -> dict[str, Any]:
        """Change quantity or price of a live order; risk and hold are checked again with the new values.

        Raises ``Conflict`` when it is too late, ``Invalid`` for impossible values or failing checks.
        """
        lock_wallets(session, {wallet.id})
        row = _locked(session, order_id)
        status = OrderStatus(row["status"])
        if status not in AMENDABLE:
            raise Conflict(f"the order is {status}", code="too_late", extra={"order": self.show(row)})
        instrument = self.instruments.by_id(row["instrument_id"])
        new_qty = row["qty"] if qty is None else qty
        new_price = row["price"] if price is None else price
        check_amend(row, instrument, new_qty, price, new_price)
        journal = Journal(session, now, actor)
        spend = AccountRef(wallet.id, row["hold_currency"], AccountKind.AVAILABLE)
        journal.lock({spend, replace(spend, kind=AccountKind.HELD)})
        side, worst = Side(row["side"]), new_price or row["protection_px"] or ZERO
        left = new_qty - row["cum_qty"]
        wanted = reserve_for(side, left, worst, wallet.taker_rate, instrument.quote)
        if wanted > row["held"] or new_qty > row["qty"] or new_price != row["price"]:
            self._recheck(session, client, wallet, row, new_qty, new_price, wanted, journal.locked[spend].balance, now)
        events = Events(now)
        sent = status is not OrderStatus.NEW
        # until the venue has agreed the old order may still fill: the larger of both reserves stays held
        hold = max(wanted, row["held"]) if sent else wanted
        if hold != row["held"]:
            journal.add(
                EntryKind.HOLD if hold > row["held"] else EntryKind.RELEASE, ("order", row["id"]),
                f"hold:{row['id']}:{row['version'] + 1}",
                hold_lines(wallet.id, row["hold_currency"], hold - row["held"]),
            )  # fmt: skip
            locked = journal.flush()
            wallets.balance_event(events, wallet.client_id, wallet.id, locked.values())
        row.update(held=hold, version=row["version"] + 1)
        if sent:
            check_transition(row["id"], status, OrderStatus.PENDING_REPLACE)
            row.update(status=OrderStatus.PENDING_REPLACE.value, pending_qty=new_qty, pending_price=new_price)
        else:
            row.update(qty=new_qty, leaves_qty=new_qty, price=new_price)
        _store(session, row, "held", "version", "status", "pending_qty", "pending_price", "qty", "leaves_qty", "price")
        self._event(events, row, status, "amended", type_=None if sent else "order.amended")
        events.flush(session)
        return self.show(row)

    def _recheck(
        self, session: Session, client: Client, wallet: Wallet, row: dict[str, Any], qty: Decimal,
        price: Decimal | None, wanted: Decimal, available: Decimal, now: datetime,
    ) -> None:  # fmt: skip
        instrument = self.instruments.by_id(row["instrument_id"])
        request = OrderIn.model_validate({
            "symbol": instrument.symbol, "side": row["side"], "type": row["type"], "qty": qty, "price": price,
            "reduce_only": row["reduce_only"],
        })  # fmt: skip
        quote = self.quotes.get(instrument.symbol)
        extra = max(wanted - row["held"], ZERO)
        draft = Draft(instrument, qty - row["cum_qty"], price, row["protection_px"],
                      reference_price(request.side, price, quote), extra, row["hold_currency"], quote)  # fmt: skip
        limits = wallets.limits_of_clients(session, {client.id})(client.id, instrument.id)
        failures = self.check(session, client, wallet, request, draft, available, limits, now, besides=row["id"])
        if failures:
            raise Invalid(
                "; ".join(failure.message for failure in failures),
                code=failures[0].code,
                extra={"failures": [failure.to_json() for failure in failures]},
            )

    def cancel(self, session: Session, order_id: str, *, actor: str, now: datetime) -> dict[str, Any]:
        """Cancel, or ask the venue to. Raises ``Conflict`` with the final state when it is too late."""
        row = _locked(session, order_id)
        status = OrderStatus(row["status"])
        if status in TERMINAL:
            raise Conflict(f"the order is {status}", code="too_late", extra={"order": self.show(row)})
        if status is OrderStatus.PENDING_CANCEL:
            return self.show(row)
        events = Events(now)
        wanted = OrderStatus.CANCELED if status is OrderStatus.NEW else OrderStatus.PENDING_CANCEL
        check_transition(row["id"], status, wanted)
        row.update(status=wanted.value, version=row["version"] + 1)
        if wanted is OrderStatus.CANCELED:  # the venue never heard of it
            release_exit(session, row)  # the position before the accounts: the order in which the engine locks
            journal = Journal(session, now, actor)
            journal.add(
                EntryKind.RELEASE, ("order", row["id"]), f"hold:{row['id']}:{row['version']}",
                hold_lines(row["wallet_id"], row["hold_currency"], -row["held"]),
            )  # fmt: skip
            locked = journal.flush()
            wallets.balance_event(events, row["client_id"], row["wallet_id"], locked.values())
            row.update(held=ZERO, leaves_qty=ZERO, closed_at=now)
        _store(session, row, "status", "version", "held", "leaves_qty", "closed_at")
        self._event(events, row, status, "canceled by request")
        events.flush(session)
        return self.show(row)

    def cancel_all(
        self, session: Session, clients: sa.Select[Any] | None, *, client_id: str | None, wallet_id: str | None,
        symbol: str | None, side: Side | None, actor: str, now: datetime,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Cancel every live order that matches; returns them in their new state."""
        query = sa.select(table.c.id).where(table.c.status.in_([s.value for s in LIVE])).order_by(table.c.id)
        if clients is not None:
            query = query.where(table.c.client_id.in_(clients))
        if client_id is not None:
            query = query.where(table.c.client_id == client_id)
        if wallet_id is not None:
            query = query.where(table.c.wallet_id == wallet_id)
        if symbol is not None:
            query = query.where(table.c.instrument_id == self.resolve(symbol).id)
        if side is not None:
            query = query.where(table.c.side == side.value)
        canceled = []
        for order_id in list(session.scalars(query)):
            try:
                canceled.append(self.cancel(session, order_id, actor=actor, now=now))
            except Conflict:
                continue  # it became terminal while we waited for its lock
        return canceled

    @staticmethod
    def by_client_order_id(session: Session, wallet_id: str, client_order_id: str) -> Any:
        """The row of the wallet's order with this id; None when it was never used."""
        query = sa.select(table).where(table.c.wallet_id == wallet_id, table.c.client_order_id == client_order_id)
        return session.execute(query).mappings().one_or_none()

    # -- showing -----------------------------------------------------------------------------------------

    def show(self, row: Any) -> dict[str, Any]:
        return order_json(row, self.instruments.by_id(row["instrument_id"]).symbol)

    def _event(
        self,
        events: Events,
        row: dict[str, Any],
        previous: OrderStatus | None,
        reason: str | None,
        type_: str | None = None,
    ) -> None:
        order_event(events, row, self.show(row), previous, reason, type_)


def order_event(
    events: Events,
    row: dict[str, Any],
    shown: dict[str, Any],
    previous: OrderStatus | None,
    reason: str | None,
    type_: str | None = None,
) -> None:
    """One change of an order: ``order.<status>`` unless another type is named."""
    events.add(
        row["client_id"], type_ or f"order.{row['status'].lower()}", "order", row["id"], shown,
        version=row["version"], previous_status=previous.value if previous else None, reason=reason,
    )  # fmt: skip


def lock_wallets(session: Session, wallet_ids: set[str]) -> dict[str, tuple[Wallet, Client]]:
    """Serialize order entry per wallet, in ascending id, and read what decides under the lock.

    NO KEY UPDATE, so that the engine's inserts, which reference the wallet, do not wait for it.
    """
    query = (
        sa.select(Wallet, Client)
        .join(Client, Client.id == Wallet.client_id)
        .where(Wallet.id.in_(wallet_ids))
        .order_by(Wallet.id)
        .with_for_update(key_share=True, of=Wallet)
        .execution_options(populate_existing=True)
    )
    return {wallet.id: (wallet, client) for wallet, client in session.execute(query)}


def release_exit(session: Session, row: dict[str, Any]) -> None:
    """A closing order ended without its position being closed: the position may be exited again."""
    if row["position_id"] is not None:
        session.execute(
            sa.update(positions)
            .where(positions.c.id == row["position_id"], positions.c.exit_order_id == row["id"])
            .values(exit_order_id=None, status="OPEN", protection_version=positions.c.protection_version + 1)
        )


def _body_hash(request: OrderIn) -> str:
    return hashlib.sha256(json.dumps(request.model_dump(mode="python", exclude={"dry_run"})).encode()).hexdigest()


def _reducing(session: Session, wallet_id: str, instrument_id: int, besides: str | None) -> Decimal:
    """What live orders already take from a position."""
    query = sa.select(exact_sum(table.c.leaves_qty)).where(
        table.c.wallet_id == wallet_id,
        table.c.instrument_id == instrument_id,
        table.c.reduce_only.is_(True),
        table.c.status.in_([status.value for status in LIVE]),
    )
    if besides is not None:
        query = query.where(table.c.id != besides)
    return session.scalar(query) or ZERO


def _by_client_order_ids(session: Session, entries: list[Entry]) -> dict[tuple[str, str | None], Any]:
    """Orders that already carry one of the entries' client order ids."""
    named = [(e.wallet_id, e.request.client_order_id) for e in entries if e.request.client_order_id is not None]
    if not named:
        return {}
    query = sa.select(table).where(sa.tuple_(table.c.wallet_id, table.c.client_order_id).in_(named))
    return {(row["wallet_id"], row["client_order_id"]): row for row in session.execute(query).mappings()}


def _locked(session: Session, order_id: str) -> dict[str, Any]:
    return dict(session.execute(sa.select(table).where(table.c.id == order_id).with_for_update()).mappings().one())


def _store(session: Session, row: dict[str, Any], *columns: str) -> None:
    session.execute(sa.update(table).where(table.c.id == row["id"]).values({name: row[name] for name in columns}))


__all__ = ["Draft", "Entry", "OrderRules", "Orders", "lock_wallets", "order_event", "release_exit"]

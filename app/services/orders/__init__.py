"""Order entry: check, hold, store; amend, cancel. What happens afterwards is the engine's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import AppError, Conflict, Invalid, Unauthenticated
from app.domain.execution import OrderState, move
from app.domain.fees import fee_for
from app.domain.ledger import AccountKind, AccountRef, EntryKind, hold_lines
from app.domain.money import ZERO, round_amount, text
from app.domain.orders import AMENDABLE, OrderStatus, Side
from app.domain.risk import reference_price, reserve_for, usd_rate
from app.models import Client, Order, Wallet, table_of
from app.schemas.orders import OrderIn, order_json
from app.services import api_keys, wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.records import Transition, insert_orders, order_event, store_orders

from .cancel import LIVE_ORDERS, Canceler, suspend
from .changes import exit_changes
from .checks import Checks
from .draft import Draft, Drafting, OrderRules, check_amend
from .entry import Entry, new_order

table = table_of(Order)
_BY_CLIENT_ORDER_ID = sa.select(table).where(
    sa.tuple_(table.c.wallet_id, table.c.client_order_id).in_(sa.bindparam("named", expanding=True))
)
SHARED_WAIT_MS = 250
Outcome = tuple[dict[str, Any], bool] | AppError
CheckVersion = Callable[[int], None]  # raises for a version that the caller has not seen


class Orders(Drafting):
    """Order entry for one process; all state is in the database."""

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

    @staticmethod
    def lock_free_wallets(session: Session, wallet_ids: set[str]) -> set[str]:
        """Lock those of the wallets that nobody else holds, for entries that share a commit; returns which.

        From here on the transaction waits for no other lock longer than a moment: who shares it with a wallet
        that is busy must not wait for that.
        """
        locks = Locks.of(session)
        locks.wait_at_most(SHARED_WAIT_MS)
        return set(locks.wallets(wallet_ids, skip_locked=True))

    def submit_many(self, session: Session, entries: list[Entry], now: datetime) -> list[Outcome]:
        """``submit`` for orders that share a transaction: the same answers, in the same order, in few statements.

        What would be raised for one order is returned in its place, and the others go on. Locks wallets,
        orders of wallets that have reached a loss limit, and accounts.
        """
        accounts = Locks.of(session).wallets({entry.wallet_id for entry in entries})
        known = _by_client_order_ids(session, entries)  # before anything is judged: the market has moved on
        keys = {entry.key_id for entry in entries if entry.key_id is not None}
        ended = keys - api_keys.live_key_ids(session, keys, now) if keys else set()
        drafts = [
            Unauthenticated() if entry.key_id in ended else self._draft_of(entry, accounts[entry.wallet_id][0], known)
            for entry in entries
        ]
        journal, events = Journal(session, now, entries[0].actor), Events(now)
        checks = Checks(session, self.instruments, self.quotes, self.rules, now)
        canceler = Canceler(session, self.instruments, self.quotes, journal, events, now)
        stopped = canceler.stop_entries(self._suspend_breached(checks, entries, drafts, accounts, events))
        journal.lock(canceler.accounts(stopped) | _accounts_of(entries, drafts))
        canceler.cancel(stopped, "the wallet is suspended")
        outcomes, entered = self._judge(checks, journal, events, entries, drafts, accounts, known)
        insert_orders(session, entered)
        wallets.balance_events(events, {w.id: client.id for w, client in accounts.values()}, journal.flush().values())
        events.flush(session)
        return outcomes

    def _draft_of(
        self, entry: Entry, wallet: Wallet, known: dict[tuple[str, str | None], OrderState]
    ) -> Draft | Outcome:
        """The order worked out; in its place the outcome of one that is known already or makes no sense."""
        earlier = known.get((entry.wallet_id, entry.request.client_order_id))
        if earlier is not None:
            return self._repeated(entry, earlier)
        try:
            return self.draft(entry.request, wallet)
        except AppError as error:
            return error

    def _suspend_breached(
        self,
        checks: Checks,
        entries: list[Entry],
        drafts: list[Draft | Outcome],
        accounts: dict[str, tuple[Wallet, Client]],
        events: Events,
    ) -> set[str]:
        """Suspend the wallets in which an order would open something although a loss limit is reached."""
        for entry, draft in zip(entries, drafts, strict=True):
            request, wallet = entry.request, accounts[entry.wallet_id][0]
            if isinstance(draft, Draft) and request.side is Side.BUY and not request.reduce_only:
                failure = checks.breach(wallet)
                if failure is not None:
                    checks.breached[wallet.id] = failure
                    wallets.suspend(checks.session, wallet, failure, events, checks.now)
        return set(checks.breached)

    def _judge(
        self,
        checks: Checks,
        journal: Journal,
        events: Events,
        entries: list[Entry],
        drafts: list[Draft | Outcome],
        accounts: dict[str, tuple[Wallet, Client]],
        known: dict[tuple[str, str | None], OrderState],
    ) -> tuple[list[Outcome], list[OrderState]]:
        """Judge one order after the other, each against what those before it have left; those to store."""
        free = {ref: account.balance for ref, account in journal.locked.items()}
        limits = wallets.limits_of_clients(checks.session, {client.id for _, client in accounts.values()})
        outcomes: list[Outcome] = []
        entered: list[OrderState] = []
        for entry, draft in zip(entries, drafts, strict=True):
            name = (entry.wallet_id, entry.request.client_order_id)
            if not isinstance(draft, Draft):
                outcomes.append(draft)
                continue
            if name[1] is not None and name in known:  # by an order before it in this transaction
                outcomes.append(self._repeated(entry, known[name]))
                continue
            wallet, client = accounts[entry.wallet_id]
            spend = AccountRef(wallet.id, draft.spend_currency, AccountKind.AVAILABLE)
            client_limits = limits(client.id, draft.instrument.id)
            failures = checks.failures(client, wallet, entry.request, draft, free[spend], client_limits)
            order = new_order(entry, client, draft, failures, self.rules.venues[wallet.platform], checks.now)
            if not failures:
                free[spend] -= draft.reserve
                journal.add(
                    EntryKind.HOLD,
                    ("order", order.id),
                    f"hold:{order.id}:1",
                    hold_lines(wallet.id, draft.spend_currency, draft.reserve),
                    actor=entry.actor,
                )
            checks.took(order)
            entered.append(order)
            known[name] = order
            order_event(events, order, self.instruments, [Transition(None, order.status, order.reject_reason)])
            outcomes.append((self.show(order), True))
        return outcomes, entered

    def _repeated(self, entry: Entry, earlier: OrderState) -> Outcome:
        """A client_order_id that was used before: the first order again, or a conflict."""
        if earlier.body_hash != entry.body_hash:
            name = entry.request.client_order_id
            return Conflict(f"client_order_id {name} was used for another order", code="DUPLICATE_ORDER")
        return self.show(earlier), False

    def dry_run(
        self, session: Session, client: Client, wallet: Wallet, request: OrderIn, now: datetime
    ) -> dict[str, Any]:
        """What would happen, with every failing check; stores nothing."""
        draft = self.draft(request, wallet)
        available = wallets.available(session, wallet.id, draft.spend_currency)
        limits = wallets.limits_of_clients(session, {client.id})(client.id, draft.instrument.id)
        checks = Checks(session, self.instruments, self.quotes, self.rules, now, dry=True)
        failures = checks.failures(client, wallet, request, draft, available, limits)
        quote, reference = draft.instrument.quote, draft.reference
        value = None if reference is None else round_amount(draft.qty * reference, quote)
        rate = usd_rate(quote, checks.fresh)
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
            "changes": exit_changes(session, wallet, request, draft.instrument),
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
        check_version: CheckVersion | None = None,
    ) -> dict[str, Any]:
        """Change quantity or price of a live order; risk and hold are checked again with the new values.

        Locks wallet, order and accounts. Raises ``Conflict`` when it is too late, ``Invalid`` for impossible
        values or failing checks.
        """
        wallet, client = Locks.of(session).wallet(wallet.id)
        order = Locks.of(session).order(order_id)
        if check_version is not None:
            check_version(order.version)
        before = order.status
        if before not in AMENDABLE:
            raise Conflict(f"the order is {before}", code="too_late", extra={"order": self.show(order)})
        instrument = self.instruments.by_id(order.instrument_id)
        new_qty = order.qty if qty is None else qty
        new_price = order.price if price is None else price
        check_amend(order, instrument, new_qty, price, new_price)
        journal = Journal(session, now, actor)
        spend = AccountRef(wallet.id, order.hold_currency, AccountKind.AVAILABLE)
        journal.lock({spend, replace(spend, kind=AccountKind.HELD)})
        worst = new_price or order.protection_px or ZERO
        wanted = reserve_for(order.side, new_qty - order.cum_qty, worst, wallet.taker_rate, instrument.quote)
        if wanted > order.held or new_qty > order.qty or new_price != order.price:
            available = journal.locked[spend].balance
            self._recheck(session, client, wallet, order, new_qty, new_price, wanted, available, now)
        sent, changed = before is not OrderStatus.NEW, _amended(order, new_qty, new_price)
        # until the venue has agreed the old order may still fill: the larger of both reserves stays held
        hold = max(wanted, order.held) if sent else wanted
        events = Events(now)
        if hold != order.held:
            journal.add(
                EntryKind.HOLD if hold > order.held else EntryKind.RELEASE,
                ("order", order.id),
                f"hold:{order.id}:{order.version + 1}",
                hold_lines(wallet.id, order.hold_currency, hold - order.held),
            )
            wallets.balance_events(events, {wallet.id: wallet.client_id}, journal.flush().values())
        if sent:
            order = move(
                order, OrderStatus.PENDING_REPLACE, now, held=hold, pending_qty=new_qty, pending_price=new_price
            )
        else:
            order = order._replace(
                version=order.version + 1, held=hold, qty=new_qty, leaves_qty=new_qty, price=new_price
            )
        store_orders(session, [order])
        step = Transition(before, order.status, "amended")
        order_event(
            events, order, self.instruments, [step], None if sent else "order.amended", by=actor, changed=changed
        )
        events.flush(session)
        return self.show(order)

    def _recheck(
        self,
        session: Session,
        client: Client,
        wallet: Wallet,
        order: OrderState,
        qty: Decimal,
        price: Decimal | None,
        wanted: Decimal,
        available: Decimal,
        now: datetime,
    ) -> None:
        instrument = self.instruments.by_id(order.instrument_id)
        request = OrderIn.model_validate(
            {
                "symbol": instrument.symbol,
                "side": order.side,
                "type": order.type,
                "qty": qty,
                "price": price,
                "reduce_only": order.reduce_only,
            }
        )
        quote = self.quotes.get(instrument.symbol)
        extra = max(wanted - order.held, ZERO)
        draft = Draft(
            instrument,
            qty - order.cum_qty,
            price,
            order.protection_px,
            reference_price(request.side, price, quote),
            extra,
            order.hold_currency,
            quote,
        )
        limits = wallets.limits_of_clients(session, {client.id})(client.id, instrument.id)
        checks = Checks(session, self.instruments, self.quotes, self.rules, now, besides=order.id)
        failures = checks.failures(client, wallet, request, draft, available, limits)
        if failures:
            raise Invalid(
                "; ".join(failure.message for failure in failures),
                code=failures[0].code,
                extra={"failures": [failure.to_json() for failure in failures]},
            )

    def cancel(
        self,
        session: Session,
        order_id: str,
        *,
        actor: str,
        now: datetime,
        check_version: CheckVersion | None = None,
    ) -> dict[str, Any]:
        """Cancel, or ask the venue to. Raises ``Conflict`` with the final state when it is too late.

        Locks the position that a cancelled close sets free, the order and its accounts.
        """
        canceler = self._canceler(session, actor, now)
        (order,) = canceler.lock(table.c.id == order_id)
        if check_version is not None:
            check_version(order.version)
        if order.terminal:
            raise Conflict(f"the order is {order.status}", code="too_late", extra={"order": self.show(order)})
        return self._cancel(canceler, [order])[0]

    def cancel_all(
        self,
        session: Session,
        clients: sa.Select[Any] | None,
        *,
        client_id: str | None,
        wallet_id: str | None,
        symbol: str | None,
        side: Side | None,
        actor: str,
        now: datetime,
    ) -> list[dict[str, Any]]:
        """Cancel every live order that matches; returns them in their new state.

        ``clients`` are those the caller may trade for, None for all. Locks positions, orders and accounts,
        each once, so that two of these at a time do not wait for each other in a circle.
        """
        wanted: list[sa.ColumnElement[bool]] = [LIVE_ORDERS]
        if clients is not None:
            wanted.append(table.c.client_id.in_(clients))
        if client_id is not None:
            wanted.append(table.c.client_id == client_id)
        if wallet_id is not None:
            wanted.append(table.c.wallet_id == wallet_id)
        if symbol is not None:
            wanted.append(table.c.instrument_id == self.resolve(symbol).id)
        if side is not None:
            wanted.append(table.c.side == side.value)
        canceler = self._canceler(session, actor, now)
        return self._cancel(canceler, canceler.lock(sa.and_(*wanted)))

    def _canceler(self, session: Session, actor: str, now: datetime) -> Canceler:
        return Canceler(session, self.instruments, self.quotes, Journal(session, now, actor), Events(now), now)

    def _cancel(self, canceler: Canceler, locked: list[OrderState]) -> list[dict[str, Any]]:
        after = canceler.cancel(locked, "canceled by request")
        owners = {order.wallet_id: order.client_id for order in locked}
        wallets.balance_events(canceler.events, owners, canceler.journal.locked.values())
        canceler.events.flush(canceler.session)
        return [self.show(order) for order in after]

    def earlier(self, session: Session, entry: Entry) -> dict[str, Any] | None:
        """The order that was entered under the same id by the same words. Raises ``Conflict`` for other words."""
        for order in _by_client_order_ids(session, [entry]).values():
            outcome = self._repeated(entry, order)
            if isinstance(outcome, AppError):
                raise outcome
            return outcome[0]
        return None

    def show(self, order: OrderState) -> dict[str, Any]:
        """The order as the API and every event show it."""
        return order_json(order, self.instruments.by_id(order.instrument_id).symbol)


def _amended(order: OrderState, qty: Decimal, price: Decimal | None) -> dict[str, list[str]]:
    """What an amendment changes, each as [before, after]."""
    pairs = {"qty": (order.qty, qty), "price": (order.price, price)}
    return {name: [text(a), text(b)] for name, (a, b) in pairs.items() if a is not None and b is not None and a != b}


def _by_client_order_ids(session: Session, entries: list[Entry]) -> dict[tuple[str, str | None], OrderState]:
    """Orders that already carry one of the entries' client order ids."""
    named = [(e.wallet_id, e.request.client_order_id) for e in entries if e.request.client_order_id is not None]
    if not named:
        return {}
    found = [OrderState.of(row) for row in session.execute(_BY_CLIENT_ORDER_ID, {"named": named}).mappings()]
    return {(order.wallet_id, order.client_order_id): order for order in found}


def _accounts_of(entries: list[Entry], drafts: list[Draft | Outcome]) -> set[AccountRef]:
    """available and held of what each order would spend."""
    return {
        ref
        for entry, draft in zip(entries, drafts, strict=True)
        if isinstance(draft, Draft)
        for ref in wallets.account_refs(entry.wallet_id, draft.spend_currency)
    }


__all__ = ["Canceler", "Checks", "Draft", "Entry", "OrderRules", "Orders", "suspend"]

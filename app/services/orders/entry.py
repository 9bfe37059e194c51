"""Order entry: check, hold, store. What happens afterwards is the engine's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import AppError, Conflict, Unauthenticated
from app.domain.execution import OrderState
from app.domain.fees import fee_for
from app.domain.ledger import AccountKind, AccountRef, EntryKind, hold_lines
from app.domain.money import round_amount, text
from app.domain.order_requests import Draft, OrderRequest
from app.domain.risk import usd_rate
from app.models import Client, Order, Wallet, table_of
from app.services import api_keys, wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.records import Transition, insert_orders, order_event
from app.services.risk import Checks, limits_of_clients

from .cancel import Canceler
from .changes import exit_changes
from .drafting import Drafting
from .factory import new_order

table = table_of(Order)
_BY_CLIENT_ORDER_ID = sa.select(table).where(
    sa.tuple_(table.c.wallet_id, table.c.client_order_id).in_(sa.bindparam("named", expanding=True))
)
SHARED_WAIT_MS = 250
Outcome = tuple[dict[str, Any], bool] | AppError


class OrderEntry(Drafting):
    """``submit_many`` is the way of every order that somebody sends; exits are made by the engine."""

    def submit(self, session: Session, request: OrderRequest, now: datetime) -> tuple[dict[str, Any], bool]:
        """Store an order and its hold; returns it as the API shows it, and whether it is new.

        Refused by risk it is stored as REJECTED with every reason. Raises ``Invalid`` for a request that
        makes no sense, ``Conflict`` for a used ``client_order_id`` with another body; then nothing is stored.
        """
        outcome = self.submit_many(session, [request], now)[0]
        if isinstance(outcome, AppError):
            raise outcome
        return outcome

    @staticmethod
    def lock_free_wallets(session: Session, wallet_ids: set[str]) -> set[str]:
        """Lock those of the wallets that nobody else holds, for requests that share a commit; returns which.

        From here on the transaction waits for no other lock longer than a moment: who shares it with a wallet
        that is busy must not wait for that.
        """
        locks = Locks.of(session)
        locks.wait_at_most(SHARED_WAIT_MS)
        return set(locks.wallets(wallet_ids, skip_locked=True))

    def submit_many(self, session: Session, requests: list[OrderRequest], now: datetime) -> list[Outcome]:
        """``submit`` for orders that share a transaction: the same answers, in the same order, in few statements.

        What would be raised for one order is returned in its place, and the others go on. Locks wallets,
        orders of wallets that have reached a loss limit, and accounts.
        """
        accounts = Locks.of(session).wallets({request.wallet_id for request in requests})
        known = _by_client_order_ids(session, requests)  # before anything is judged: the market has moved on
        keys = {request.key_id for request in requests if request.key_id is not None}
        ended = keys - api_keys.live_key_ids(session, keys, now) if keys else set()
        drafts = [
            Unauthenticated()
            if request.key_id in ended
            else self._draft_of(request, accounts[request.wallet_id][0], known)
            for request in requests
        ]
        journal, events = Journal(session, self.instruments.scales, now, requests[0].created_by), Events(now)
        checks = Checks(session, self.instruments, self.quotes, self.rules, now)
        canceler = Canceler(session, self.instruments, self.quotes, journal, events, now)
        stopped = canceler.stop_entries(self._suspend_breached(checks, requests, drafts, accounts, events))
        journal.lock(canceler.accounts(stopped) | _accounts_of(requests, drafts))
        canceler.cancel(stopped, "the wallet is suspended")
        outcomes, entered = self._decide(checks, journal, events, requests, drafts, accounts, known)
        insert_orders(session, entered)
        wallets.balance_events(events, {w.id: client.id for w, client in accounts.values()}, journal.flush().values())
        events.flush(session)
        return outcomes

    def _draft_of(
        self, request: OrderRequest, wallet: Wallet, known: dict[tuple[str, str | None], OrderState]
    ) -> Draft | Outcome:
        """The order worked out; in its place the outcome of one that is known already or makes no sense."""
        earlier = known.get((request.wallet_id, request.client_order_id))
        if earlier is not None:
            return self._repeated(request, earlier)
        try:
            return self.draft(request, wallet)
        except AppError as error:
            return error

    def _suspend_breached(
        self,
        checks: Checks,
        requests: list[OrderRequest],
        drafts: list[Draft | Outcome],
        accounts: dict[str, tuple[Wallet, Client]],
        events: Events,
    ) -> set[str]:
        """Suspend the wallets in which an order would open something although a loss limit is reached."""
        for request, draft in zip(requests, drafts, strict=True):
            wallet = accounts[request.wallet_id][0]
            if isinstance(draft, Draft) and request.opens:
                failure = checks.breach(wallet)
                if failure is not None:
                    checks.breached[wallet.id] = failure
                    wallets.suspend(checks.session, wallet, failure, events, checks.now)
        return set(checks.breached)

    def _decide(
        self,
        checks: Checks,
        journal: Journal,
        events: Events,
        requests: list[OrderRequest],
        drafts: list[Draft | Outcome],
        accounts: dict[str, tuple[Wallet, Client]],
        known: dict[tuple[str, str | None], OrderState],
    ) -> tuple[list[Outcome], list[OrderState]]:
        """Judge one order after the other, each against what those before it have left; those to store."""
        free = {ref: account.balance for ref, account in journal.locked.items()}
        limits = limits_of_clients(checks.session, {client.id for _, client in accounts.values()})
        outcomes: list[Outcome] = []
        entered: list[OrderState] = []
        for request, draft in zip(requests, drafts, strict=True):
            name = (request.wallet_id, request.client_order_id)
            if not isinstance(draft, Draft):
                outcomes.append(draft)
                continue
            if name[1] is not None and name in known:  # by an order before it in this transaction
                outcomes.append(self._repeated(request, known[name]))
                continue
            wallet, client = accounts[request.wallet_id]
            spend = AccountRef(wallet.id, draft.spend_currency, AccountKind.AVAILABLE)
            client_limits = limits(client.id, draft.instrument.id)
            failures = checks.failures(client, wallet, request, draft, free[spend], client_limits)
            venue = self.rules.venues[wallet.platform]
            order = new_order(request, draft, client.id, venue, checks.now, failures)
            if not failures:
                free[spend] -= draft.reserve
                journal.add(
                    EntryKind.HOLD,
                    ("order", order.id),
                    f"hold:{order.id}:1",
                    hold_lines(wallet.id, draft.spend_currency, draft.reserve),
                    actor=request.created_by,
                )
            checks.took(order)
            entered.append(order)
            known[name] = order
            order_event(events, order, self.instruments, [Transition(None, order.status, order.reject_reason)])
            outcomes.append((self.show(order), True))
        return outcomes, entered

    def _repeated(self, request: OrderRequest, earlier: OrderState) -> Outcome:
        """A client_order_id that was used before: the first order again, or a conflict."""
        if earlier.body_hash != request.body_hash:
            return Conflict(
                f"client_order_id {request.client_order_id} was used for another order", code="DUPLICATE_ORDER"
            )
        return self.show(earlier), False

    def dry_run(
        self, session: Session, client: Client, wallet: Wallet, request: OrderRequest, now: datetime
    ) -> dict[str, Any]:
        """What would happen, with every failing check; stores nothing."""
        draft = self.draft(request, wallet)
        available = wallets.available(session, wallet.id, draft.spend_currency)
        limits = limits_of_clients(session, {client.id})(client.id, draft.instrument.id)
        checks = Checks(session, self.instruments, self.quotes, self.rules, now, dry=True)
        failures = checks.failures(client, wallet, request, draft, available, limits)
        scale, reference = draft.instrument.quote_scale, draft.reference
        value = None if reference is None else round_amount(draft.qty * reference, scale)
        rate = usd_rate(draft.instrument.quote, checks.fresh)
        return {
            "accepted": not failures,
            "failures": [failure.to_json() for failure in failures],
            "symbol": draft.instrument.symbol,
            "side": request.side.value,
            "type": request.type.value,
            "qty": text(draft.qty),
            "reference_price": None if reference is None else text(reference),
            "value": None if value is None else text(value),
            "fee": None if value is None else text(fee_for(value, wallet.taker_rate, scale)),
            "reserve": text(draft.reserve),
            "reserve_currency": draft.spend_currency,
            "available": text(available),
            "notional_usd": None if value is None or rate is None else text(round(value * rate, 2)),
            "changes": exit_changes(session, wallet, request, draft.instrument),
        }

    def earlier(self, session: Session, request: OrderRequest) -> dict[str, Any] | None:
        """The order that was entered under the same id by the same words. Raises ``Conflict`` for other words."""
        for order in _by_client_order_ids(session, [request]).values():
            outcome = self._repeated(request, order)
            if isinstance(outcome, AppError):
                raise outcome
            return outcome[0]
        return None


def _by_client_order_ids(session: Session, requests: list[OrderRequest]) -> dict[tuple[str, str | None], OrderState]:
    """Orders that already carry one of the requests' client order ids."""
    named = [(e.wallet_id, e.client_order_id) for e in requests if e.client_order_id is not None]
    if not named:
        return {}
    found = [OrderState.of(row) for row in session.execute(_BY_CLIENT_ORDER_ID, {"named": named}).mappings()]
    return {(order.wallet_id, order.client_order_id): order for order in found}


def _accounts_of(requests: list[OrderRequest], drafts: list[Draft | Outcome]) -> set[AccountRef]:
    """available and held of what each order would spend."""
    return {
        ref
        for request, draft in zip(requests, drafts, strict=True)
        if isinstance(draft, Draft)
        for ref in wallets.account_refs(request.wallet_id, draft.spend_currency)
    }

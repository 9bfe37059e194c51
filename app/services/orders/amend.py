"""Amending: new quantity or price of a live order, checked and held for again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from app.core.errors import Conflict, FieldError, Invalid
from app.domain.execution import OrderState, move
from app.domain.instruments import Instrument
from app.domain.ledger import AccountKind, AccountRef, EntryKind, hold_lines
from app.domain.money import ZERO, text
from app.domain.order_requests import Draft, OrderRequest
from app.domain.orders import AMENDABLE, OrderSource, OrderStatus, OrderType
from app.domain.protection import Protection
from app.domain.risk import reference_price, reserve_for
from app.models import Client, Wallet
from app.services import wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.records import Transition, order_event, store_orders
from app.services.risk import Checks, limits_of_clients

from .drafting import Drafting, exit_errors, invalid, min_notional_errors

CheckVersion = Callable[[int], None]  # raises for a version that the caller has not seen


class OrderAmendments(Drafting):
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
        _check(order, instrument, new_qty, price, new_price)
        self._check_exits(order, instrument, price)
        journal = Journal(session, self.instruments.scales, now, actor)
        spend = AccountRef(wallet.id, order.hold_currency, AccountKind.AVAILABLE)
        journal.lock({spend, replace(spend, kind=AccountKind.HELD)})
        worst = new_price or order.protection_px or ZERO
        wanted = reserve_for(order.side, new_qty - order.cum_qty, worst, wallet.taker_rate, instrument.quote_scale)
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

    def _check_exits(self, order: OrderState, instrument: Instrument, price: Decimal | None) -> None:
        """The exits come into force with the first fill: at the new price they must not fire at once."""
        if price is None or order.cum_qty:
            return
        wanted = Protection.from_json(order.protection)
        errors = exit_errors(order.side, price, wanted, instrument, self.quotes.get(instrument.symbol))
        if errors:
            said = [(e.code, f"does not go with {e.field}, which {e.message}") for e in errors]
            raise invalid([FieldError("price", code, message, text(price)) for code, message in said])

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
        request = OrderRequest(
            wallet_id=wallet.id,
            symbol=instrument.symbol,
            side=order.side,
            type=order.type,
            created_by=order.created_by,
            source=OrderSource(order.source),
            qty=qty,
            price=price,
            reduce_only=order.reduce_only,
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
        limits = limits_of_clients(session, {client.id})(client.id, instrument.id)
        checks = Checks(session, self.instruments, self.quotes, self.rules, now, besides=order.id)
        failures = checks.failures(client, wallet, request, draft, available, limits)
        if failures:
            raise Invalid(
                "; ".join(failure.message for failure in failures),
                code=failures[0].code,
                extra={"failures": [failure.to_json() for failure in failures]},
            )


def _amended(order: OrderState, qty: Decimal, price: Decimal | None) -> dict[str, list[str]]:
    """What an amendment changes, each as [before, after]."""
    pairs = {"qty": (order.qty, qty), "price": (order.price, price)}
    return {name: [text(a), text(b)] for name, (a, b) in pairs.items() if a is not None and b is not None and a != b}


def _check(
    order: OrderState, instrument: Instrument, new_qty: Decimal, price: Decimal | None, new_price: Decimal | None
) -> None:
    errors = [FieldError("qty", code, message, text(new_qty)) for code, message in instrument.qty_errors(new_qty)]
    if new_qty < order.cum_qty:
        errors.append(
            FieldError("qty", "below_cum_qty", f"is below the {text(order.cum_qty)} already filled", text(new_qty))
        )
    if price is not None and order.type is OrderType.MARKET:
        errors.append(FieldError("price", "PRICE_NOT_ALLOWED", "is not allowed on a market order", text(price)))
    elif new_price is not None:
        errors += [FieldError("price", c, m, text(new_price)) for c, m in instrument.price_errors(new_price)]
        if not errors and not order.reduce_only:
            errors += min_notional_errors(new_qty, new_price, instrument)
    if errors:
        raise invalid(errors)

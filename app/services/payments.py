"""Payments at providers: pages are opened, asked about and closed outside transactions; what they report is applied.

Every report goes through a stored provider event, whether it came as a webhook or as the answer to a question of
ours; so it does not matter in which order they come, how often, or which are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.adapters.payments.base import (
    PaymentIntent,
    PaymentPage,
    PaymentProvider,
    ProviderMessage,
    ProviderRefused,
    ProviderUnavailable,
    Unreadable,
)
from app.core.transaction import Database
from app.domain.deposits import (
    OPEN,
    DepositStatus,
    DisputeStatus,
    Expected,
    Mismatch,
    PaymentReport,
    ReportKind,
    find_mismatch,
    unknown_deposit,
    unknown_payment,
)
from app.domain.money import text
from app.models import Deposit, ProviderEvent

from . import deposit_mismatches, deposits, provider_events
from .access import is_uuid
from .provider_events import NotYet

log = structlog.get_logger("payments")
AT_ONCE: Final = 20  # calls to providers in one turn of the sweep
SETTLES_IN: Final = timedelta(seconds=10)  # what a request has begun is its own for so long
RETRY_AFTER: Final = timedelta(minutes=1)
ASK_AFTER: Final = timedelta(minutes=5)  # without a word about a page that is open
ASK_AGAIN_AFTER: Final = timedelta(seconds=5)  # for somebody who looks at it

MOCK: Final = "mock"


class Payments:
    """The providers of this process; ``base_url`` is where payers come back to."""

    def __init__(self, providers: Mapping[str, PaymentProvider], base_url: str) -> None:
        self.providers, self._base_url = providers, base_url

    # -- pages ---------------------------------------------------------------------------------------------

    def open_page(self, database: Database, deposit_id: str, now: datetime) -> None:
        """Have the page made for a declared deposit, and keep its address.

        Where the provider does not answer the deposit stays as it is, and the sweep goes on with it.
        """
        intent = database.read(partial(self._intent, deposit_id=deposit_id))
        if intent is None:
            return
        provider_name, wanted = intent
        try:
            page = self.providers[provider_name].open_page(wanted)
        except ProviderRefused as error:
            database.run(partial(_refused, deposit_id=deposit_id, why=str(error), now=now))
        else:
            database.run(partial(self._keep_page, deposit_id=deposit_id, page=page, now=now))

    def _intent(self, session: Session, deposit_id: str) -> tuple[str, PaymentIntent] | None:
        """None for what has a page, needs none any more, or has no provider."""
        deposit = session.get_one(Deposit, deposit_id)
        has_page = deposit.provider_reference is not None or deposit.status != DepositStatus.PENDING
        if has_page or deposit.provider not in self.providers:
            return None
        return deposit.provider, self.intent_of(deposit)

    def intent_of(self, deposit: Deposit) -> PaymentIntent:
        """The same for the same deposit, however often it is asked: only so may a provider be asked twice."""
        back = f"{self._base_url}/deposits/{deposit.id}"
        return PaymentIntent(
            deposit_id=deposit.id,
            client_id=deposit.client_id,
            wallet_id=deposit.wallet_id,
            amount=deposit.amount,
            currency=deposit.currency,
            description=f"Deposit {deposit.id[-8:]}",
            return_url=f"{back}?paid=1",
            cancel_url=back,
            expires_at=deposit.expires_at or deposit.created_at + deposits.PAGE_LASTS,
        )

    def _keep_page(self, session: Session, deposit_id: str, page: PaymentPage, now: datetime) -> None:
        deposit = deposits.locked(session, deposit_id)
        if deposit.provider_reference is None:  # a webhook may have brought it first
            deposit.provider_reference = page.reference
        if deposit.status in (
            DepositStatus.PENDING,
            DepositStatus.CANCELED,
        ):  # a canceled one's is closed by its address
            deposit.payment_url = page.url
        deposit.asked_at = None
        deposits.changed(session, deposit, "deposit.updated", now)
        if page.message is not None:
            self.take(session, deposit.provider, page.message, now)

    def close_page(self, database: Database, deposit_id: str, now: datetime) -> None:
        """Nobody shall pay for a canceled deposit; where somebody has, that is stored and credited."""

        def closes(provider: PaymentProvider, reference: str) -> ProviderMessage:
            return provider.close_page(reference)

        self._converse(database, deposit_id, closes, now)
        database.run(partial(_forget_page, deposit_id=deposit_id))

    def ask(self, database: Database, deposit_id: str, now: datetime) -> None:
        """Ask how a page stands and apply the answer."""

        def asks(provider: PaymentProvider, reference: str) -> ProviderMessage:
            return provider.ask(reference)

        self._converse(database, deposit_id, asks, now)

    def _converse(
        self,
        database: Database,
        deposit_id: str,
        call: Callable[[PaymentProvider, str], ProviderMessage],
        now: datetime,
    ) -> None:
        """Note that we ask, ask, store the answer, apply it."""
        found = database.run(partial(self._note_asking, deposit_id=deposit_id, now=now))
        if found is None:
            return
        provider, reference = found
        try:
            message = call(self.providers[provider], reference)
        except ProviderRefused as error:
            log.warning("payments.refused", deposit_id=deposit_id, why=str(error))
            return
        database.run(partial(self.take, provider=provider, message=message, now=now))

    def _note_asking(self, session: Session, deposit_id: str, now: datetime) -> tuple[str, str] | None:
        deposit = deposits.locked(session, deposit_id)
        if deposit.provider not in self.providers or deposit.provider_reference is None:
            return None
        deposit.asked_at = now
        return deposit.provider, deposit.provider_reference

    def simulate(self, session: Session, deposit: Deposit, now: datetime) -> None:
        """As if the payer had paid: what the mock provider says of it. ``deposit`` is locked."""
        page = self.providers[MOCK].open_page(self.intent_of(deposit))  # goes nowhere outside
        assert page.message is not None
        self.take(session, MOCK, page.message, now)

    # -- what they report ----------------------------------------------------------------------------------

    def take(self, session: Session, provider: str, message: ProviderMessage, now: datetime) -> None:
        """Store a message and work it off at once; one that was stored before does nothing."""
        if provider_events.receive(session, provider, message.id, message.type, message.body, now):
            event = provider_events.stored(session, provider, message.id)
            provider_events.handle(session, event, self.handle, now)

    def handle(self, session: Session, event: ProviderEvent, now: datetime) -> str:
        """Apply a stored event to its deposit; the ``provider_events.Handler`` of every payment provider."""
        try:
            report = self.providers[event.provider].read(event.type, event.body)
        except Unreadable as error:
            deposit_mismatches.quarantine(session, event, None, Mismatch("unreadable", {}, {"error": str(error)}), now)
            return "unreadable"
        if report is None:
            return "stored; nothing to do"
        deposit = _find(session, event, report)
        if report.kind is ReportKind.PAID:
            return self._paid(session, event, deposit, report, now)
        if report.kind in _AFTER_PAYMENT:
            return _after_payment(session, event, deposit, report, now)
        return "no deposit of ours" if deposit is None else _progress(session, deposit, report, now)

    def _paid(
        self, session: Session, event: ProviderEvent, deposit: Deposit | None, report: PaymentReport, now: datetime
    ) -> str:
        """The one way from a provider's report to the client's money."""
        mismatch = unknown_deposit(report) if deposit is None else find_mismatch(self._expected(deposit), report)
        if mismatch is not None or deposit is None:
            assert mismatch is not None
            deposit_mismatches.quarantine(session, event, deposit, mismatch, now)
            return f"quarantined: {mismatch.code}"
        _learn(deposit, report)
        if deposit.status == DepositStatus.COMPLETED:
            return "credited before"
        deposits.credit(session, deposit, now)
        return "credited"

    def _expected(self, deposit: Deposit) -> Expected:
        return Expected(
            deposit_id=deposit.id,
            client_id=deposit.client_id,
            wallet_id=deposit.wallet_id,
            amount=deposit.amount,
            currency=deposit.currency,
            reference=deposit.provider_reference,
            live=self.providers[deposit.provider].live if deposit.provider in self.providers else None,
        )

    # -- the sweep -----------------------------------------------------------------------------------------

    def work_off(self, database: Database, now: datetime) -> bool:
        """A chore: apply what has come in. True when there is more."""
        return provider_events.work_off(database, dict.fromkeys(self.providers, self.handle), now)

    def sweep(self, database: Database, now: datetime) -> bool:
        """A chore: go on with what a crash left, ask about pages nobody has told us of, close those given up.

        Where a provider does not answer the rest waits for the next turn.
        """
        steps = ((self.open_page, _without_page), (self.close_page, _to_close), (self.ask, _to_ask))
        more = False
        for step, waiting in steps:
            found = database.read(partial(waiting, providers=list(self.providers), now=now))
            for deposit_id in found:
                database.run(partial(_note_attempt, deposit_id=deposit_id, now=now))
                try:
                    step(database, deposit_id, now)
                except ProviderUnavailable as error:
                    log.warning("payments.unavailable", deposit_id=deposit_id, error=str(error))
                    return False
            more = more or len(found) == AT_ONCE
        return more


def _note_attempt(session: Session, deposit_id: str, now: datetime) -> None:
    deposits.locked(session, deposit_id).asked_at = now


def _forget_page(session: Session, deposit_id: str) -> None:
    """It was closed, or the provider will not hear of it: there is nothing left to do about it."""
    deposit = deposits.locked(session, deposit_id)
    if deposit.status == DepositStatus.CANCELED:
        deposit.payment_url = None


def _without_page(session: Session, providers: list[str], now: datetime) -> list[str]:
    """Declared, and the request ended before the page's address was stored."""
    return _ids(
        session,
        Deposit.status == DepositStatus.PENDING.value,
        Deposit.provider.in_(providers),
        Deposit.provider_reference.is_(None),
        Deposit.created_at <= now - SETTLES_IN,
        sa.or_(Deposit.asked_at.is_(None), Deposit.asked_at <= now - RETRY_AFTER),
    )


def _to_ask(session: Session, providers: list[str], now: datetime) -> list[str]:
    """Open, and nothing heard for a while: webhooks may have been lost."""
    return _ids(
        session,
        Deposit.status.in_([status.value for status in OPEN]),
        Deposit.provider.in_(providers),
        Deposit.provider_reference.is_not(None),
        sa.func.coalesce(Deposit.asked_at, Deposit.created_at) <= now - ASK_AFTER,
    )


def _to_close(session: Session, providers: list[str], now: datetime) -> list[str]:
    """Canceled, and the page is still there."""
    return _ids(
        session,
        Deposit.status == DepositStatus.CANCELED.value,
        Deposit.payment_url.is_not(None),
        Deposit.provider.in_(providers),
        Deposit.updated_at <= now - SETTLES_IN,
        sa.or_(Deposit.asked_at.is_(None), Deposit.asked_at <= now - RETRY_AFTER),
    )


def _ids(session: Session, *conditions: Any) -> list[str]:
    oldest = sa.select(Deposit.id).where(*conditions).order_by(Deposit.asked_at, Deposit.created_at)
    return list(session.scalars(oldest.limit(AT_ONCE)))


def _refused(session: Session, deposit_id: str, why: str, now: datetime) -> None:
    deposit = deposits.locked(session, deposit_id)
    if deposit.status == DepositStatus.PENDING:
        deposits.move(session, deposit, DepositStatus.FAILED, now, f"the provider refused it: {why}"[:300])


# -- applying a report -----------------------------------------------------------------------------------------

_AFTER_PAYMENT: Final = frozenset(
    {
        ReportKind.REFUNDED,
        ReportKind.DISPUTE_OPENED,
        ReportKind.DISPUTE_TAKEN,
        ReportKind.DISPUTE_RETURNED,
        ReportKind.DISPUTE_CLOSED,
    }
)


def _find(session: Session, event: ProviderEvent, report: PaymentReport) -> Deposit | None:
    """The deposit a report is about, locked: by our id, else by the payment that was made for it."""
    query = sa.select(Deposit)
    if event.provider != MOCK:  # which pays for every provider of a sandbox
        query = query.where(Deposit.provider == event.provider)
    if report.deposit_id is not None:
        if not is_uuid(report.deposit_id):
            return None
        query = query.where(Deposit.id == report.deposit_id.lower())
    elif report.payment is not None:
        query = query.where(Deposit.payment_reference == report.payment).order_by(Deposit.id).limit(1)
    else:
        return None
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).one_or_none()


def _learn(deposit: Deposit, report: PaymentReport) -> None:
    """Keep the names by which later reports speak of it."""
    deposit.provider_reference = deposit.provider_reference or report.reference
    deposit.payment_reference = deposit.payment_reference or report.payment


def _progress(session: Session, deposit: Deposit, report: PaymentReport, now: datetime) -> str:
    """Before it is paid. Late reports change nothing: a state that is final stays."""
    fits = deposit.provider_reference is None or report.reference in (None, deposit.provider_reference)
    if not fits:
        return "of another page than the deposit's"
    status = DepositStatus(deposit.status)
    if report.kind is ReportKind.PROCESSING and status is DepositStatus.PENDING:
        _learn(deposit, report)
        deposit.payment_url = None
        deposits.move(session, deposit, DepositStatus.PROCESSING, now)
        return "processing"
    if report.kind is ReportKind.FAILED and status in OPEN:
        deposit.payment_url = None
        deposits.move(session, deposit, DepositStatus.FAILED, now, report.reason or "the payment failed")
        return "failed"
    if report.kind is ReportKind.EXPIRED:
        deposit.payment_url = None  # also of a canceled one: now it is closed
        if status is not DepositStatus.PENDING:
            return f"nothing to do: it is {status}"
        deposits.move(session, deposit, DepositStatus.CANCELED, now, "the payment page expired")
        return "expired"
    if report.kind is ReportKind.ATTEMPT_FAILED and status is DepositStatus.PENDING:
        deposit.reason = (report.reason or "the card was declined")[:300]
        deposits.changed(session, deposit, "deposit.attempt_failed", now)
        return "an attempt failed; the payer may try again"
    return f"nothing to do: it is {status}"


def _after_payment(
    session: Session, event: ProviderEvent, deposit: Deposit | None, report: PaymentReport, now: datetime
) -> str:
    """Refunds and disputes of what was credited; before that they wait, and in the end are quarantined."""
    if deposit is None or deposit.status != DepositStatus.COMPLETED:
        if not provider_events.is_last_attempt(event):
            raise NotYet("the payment it speaks of has not been reported yet")
        deposit_mismatches.quarantine(session, event, deposit, unknown_payment(report), now)
        return "quarantined: unknown_payment"
    mismatch_found = _too_much(deposit, report)
    if mismatch_found is not None:
        deposit_mismatches.quarantine(session, event, deposit, mismatch_found, now)
        return f"quarantined: {mismatch_found.code}"
    if report.kind is ReportKind.REFUNDED:
        return _refund(session, deposit, report, now)
    return _dispute(session, event, deposit, report, now)


def _too_much(deposit: Deposit, report: PaymentReport) -> Mismatch | None:
    """More than was paid cannot go back, nor in another currency."""
    assert report.amount is not None and deposit.confirmed_amount is not None
    fits = report.amount <= deposit.confirmed_amount
    if report.kind is ReportKind.REFUNDED:
        fits = report.amount + deposit.disputed_amount <= deposit.confirmed_amount
    elif report.kind is ReportKind.DISPUTE_TAKEN and deposit.disputed_amount == 0:
        fits = report.amount + deposit.refunded_amount <= deposit.confirmed_amount
    if fits and report.currency == deposit.currency:
        return None
    code = "wrong_amount" if report.currency == deposit.currency else "wrong_currency"
    expected: dict[str, str | None] = {
        "amount": text(deposit.confirmed_amount),
        "currency": deposit.currency,
        "deposit_id": deposit.id,
    }
    return Mismatch(code, expected, {"amount": text(report.amount), "currency": report.currency})


def _refund(session: Session, deposit: Deposit, report: PaymentReport, now: datetime) -> str:
    """The provider says how much has gone back in all; what is new of it is booked."""
    assert report.amount is not None
    fresh = report.amount - deposit.refunded_amount
    if fresh <= 0:
        return "refunded before"
    reference = f"refund:{deposit.id}:{text(report.amount)}"
    deposits.take_back(session, deposit, fresh, reference, "refund to the payer", now)
    deposit.refunded_amount = report.amount
    deposits.changed(session, deposit, "deposit.refunded", now, amount=text(fresh))
    return f"refunded {text(fresh)}"


def _dispute(session: Session, event: ProviderEvent, deposit: Deposit, report: PaymentReport, now: datetime) -> str:
    """A dispute's money goes and comes with its own reports; whichever of them comes first opens it."""
    assert report.dispute is not None and report.amount is not None
    if deposit.dispute_status is None:
        deposit.dispute_status = DisputeStatus.OPEN.value
        deposits.changed(session, deposit, "deposit.disputed", now, why=report.reason)
        deposits.alert(session, deposit, "payment_disputed", f"the payer contests it: {report.reason}", now)
    taken = f"dispute:{report.dispute}:taken"
    is_taken = deposits.entry(session, taken) is not None
    if report.kind is ReportKind.DISPUTE_TAKEN and not is_taken:
        deposits.take_back(session, deposit, report.amount, taken, "taken back by the payer's bank", now)
        deposit.disputed_amount += report.amount
        deposits.changed(session, deposit, "deposit.dispute_taken", now, amount=text(report.amount))
        return f"the bank took {text(report.amount)} back"
    if report.kind is ReportKind.DISPUTE_RETURNED:
        return _return_disputed(session, event, deposit, report, taken, now)
    if report.kind is ReportKind.DISPUTE_CLOSED:
        ended = DisputeStatus.WON if report.won else DisputeStatus.LOST
        if deposit.dispute_status == ended:
            return "closed before"
        deposit.dispute_status = ended.value
        deposits.changed(session, deposit, f"deposit.dispute_{ended}", now)
        return f"the dispute is {ended}"
    return "disputed" if report.kind is ReportKind.DISPUTE_OPENED else "taken back before"


def _return_disputed(
    session: Session, event: ProviderEvent, deposit: Deposit, report: PaymentReport, taken: str, now: datetime
) -> str:
    """What the bank took under the reference ``taken`` is back."""
    entry = deposits.entry(session, taken)
    if entry is None:
        if not provider_events.is_last_attempt(event):
            raise NotYet("the bank has not reported yet that it took the money")
        deposit_mismatches.quarantine(session, event, deposit, unknown_payment(report), now)
        return "quarantined: nothing had been taken"
    if deposits.entry(session, f"reversal:{entry.id}") is not None:
        return "returned before"
    assert report.amount is not None
    deposits.give_again(session, deposit, entry.id, "returned by the payer's bank", now)
    deposit.disputed_amount -= report.amount
    deposits.changed(session, deposit, "deposit.dispute_returned", now, amount=text(report.amount))
    return f"the bank returned {text(report.amount)}"

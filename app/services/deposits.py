"""Deposits: declared by a client, credited once to the wallet, taken back where the payment is.

Services that learn of money (``payments`` from providers, ``bank_transfers`` from people) end in ``credit`` here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, Invalid, NotFound
from app.core.ids import new_id
from app.core.permissions import READ, SYSTEM, Principal, Resource
from app.domain.clients import DocumentKind
from app.domain.deposits import STEPS, DepositMethod, DepositStatus
from app.domain.gate import Act
from app.domain.ledger import AccountKind, AccountRef, EntryKind, deposit_lines, refund_lines
from app.domain.money import ZERO, decimals, text
from app.domain.quotes import Quote
from app.domain.risk import usd_rate
from app.models import Client, ClientDocument, Deposit, JournalEntry

from . import access, audit, faults, gate, ledger, market, wallets
from .events import Events
from .ledger import Journal
from .locks import Locks

PAGE_LASTS: Final = timedelta(hours=24)
PROVIDERS: Final = {
    DepositMethod.CARD: "stripe",
    DepositMethod.BANK_TRANSFER: "bank",
    DepositMethod.MOCK: "mock",
}


@dataclass(frozen=True, slots=True)
class DepositRequest:
    """What a client declares; ``bank_reference`` and ``proof_document_id`` are of a bank transfer."""

    method: DepositMethod
    amount: Decimal
    currency: str
    wallet_id: str | None = None
    bank_reference: str | None = None
    proof_document_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DepositFilter:
    status: DepositStatus | None = None
    method: DepositMethod | None = None
    client_id: str | None = None


# -- asking for them -----------------------------------------------------------------------------------------


def search(
    session: Session, principal: Principal, wanted: DepositFilter, limit: int, offset: int
) -> tuple[list[Deposit], int]:
    """Deposits the caller may see, the newest first, and how many there are."""
    query = sa.select(Deposit)
    visible = access.visible_clients(principal, Resource.DEPOSITS, READ)
    if visible is not None:
        query = query.where(Deposit.client_id.in_(visible))
    if wanted.client_id is not None:
        query = query.where(Deposit.client_id == wanted.client_id)
    if wanted.status is not None:
        query = query.where(Deposit.status == wanted.status.value)
    if wanted.method is not None:
        query = query.where(Deposit.method == wanted.method.value)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    newest = query.order_by(Deposit.created_at.desc(), Deposit.id.desc())
    return list(session.scalars(newest.limit(limit).offset(offset))), total


def by_id(session: Session, principal: Principal, deposit_id: str, right: str, *, lock: bool = False) -> Deposit:
    """Raises ``NotFound``, also for another's."""
    visible = access.visible_clients(principal, Resource.DEPOSITS, right)
    query = sa.select(Deposit).where(Deposit.id == deposit_id.lower())
    if visible is not None:
        query = query.where(Deposit.client_id.in_(visible))
    query = query.with_for_update() if lock else query
    found = session.scalars(query).one_or_none() if access.is_uuid(deposit_id) else None
    if found is None:
        raise NotFound("there is no such deposit")
    return found


def locked(session: Session, deposit_id: str) -> Deposit:
    """One that exists, for those who act for nobody."""
    query = sa.select(Deposit).where(Deposit.id == deposit_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def of_session(session: Session, principal: Principal, reference: str, right: str) -> Deposit:
    """The deposit of a payment page; only its owner may ask. Raises ``NotFound``."""
    principal.require(Resource.DEPOSITS, right)
    query = sa.select(Deposit).where(
        Deposit.provider == PROVIDERS[DepositMethod.CARD],
        Deposit.provider_reference == reference,
        Deposit.client_id == principal.client_id,
    )
    found = session.scalars(query).one_or_none() if principal.client_id is not None else None
    if found is None:
        raise NotFound("there is no such session")
    return found


def client_of(session: Session, deposit: Deposit) -> Client:
    """The client of a deposit the caller has been let through to."""
    return session.get_one(Client, deposit.client_id)


# -- declaring -----------------------------------------------------------------------------------------------


def declare(
    session: Session,
    client: Client,
    request: DepositRequest,
    currencies: frozenset[str],
    quotes: dict[str, Quote],
    principal: Principal,
    now: datetime,
    ip: str | None = None,
) -> Deposit:
    """Store what a client intends to pay in; nothing has happened outside yet.

    ``currencies`` may be paid in; ``quotes`` value the amount for the limits. Raises ``Invalid`` by field,
    ``Conflict`` (``gate_closed``).
    """
    _check_amount(session, request, currencies)
    wallet = access.wallet_for(session, client, request.wallet_id)
    rate = usd_rate(request.currency, quotes)
    deposit = Deposit(
        id=new_id(),
        client_id=client.id,
        wallet_id=wallet.id,
        amount=request.amount,
        currency=request.currency,
        amount_usd=None if rate is None else round(request.amount * rate, 2),
        method=request.method.value,
        provider=PROVIDERS[request.method],
        bank_reference=request.bank_reference,
        status=DepositStatus.PENDING.value,
        refunded_amount=ZERO,
        disputed_amount=ZERO,
        details=request.details,
        requested_by=principal.actor,
        version=1,
        created_at=now,
        updated_at=now,
        expires_at=now + PAGE_LASTS if request.method is DepositMethod.CARD else None,
    )
    gate.require(session, client, Act.DEPOSIT, now, deposit.amount_usd, ("deposit", deposit.id))
    session.add(deposit)
    session.flush()
    if request.proof_document_id is not None:
        _attach_proof(session, deposit, request.proof_document_id)
    tell(session, deposit, "deposit.created", now)
    audit.record(
        session,
        principal,
        "deposit.create",
        "deposit",
        deposit.id,
        now,
        ip=ip,
        client_id=client.id,
        method=deposit.method,
        amount=text(deposit.amount),
        currency=deposit.currency,
    )
    return deposit


def _check_amount(session: Session, request: DepositRequest, currencies: frozenset[str]) -> None:
    scale = market.load_scales(session).get(request.currency)
    if scale is None or request.currency not in currencies:
        known = ", ".join(sorted(currencies))
        raise Invalid.field("currency", "unknown_asset", f"must be one of {known}", request.currency[:12])
    if decimals(request.amount) > scale:
        raise Invalid.field("amount", "precision", f"must have at most {scale} decimals", text(request.amount))


def _attach_proof(session: Session, deposit: Deposit, document_id: str) -> None:
    """What the client has uploaded as a proof belongs to this deposit from now on. Raises ``Invalid``."""
    document = session.scalars(
        sa.select(ClientDocument)
        .where(
            ClientDocument.id == document_id,
            ClientDocument.client_id == deposit.client_id,
            ClientDocument.kind == DocumentKind.PAYMENT_PROOF.value,
            ClientDocument.about_id.is_(None),
            ClientDocument.removed_at.is_(None),
        )
        .with_for_update()
    ).one_or_none()
    if document is None:
        raise Invalid.field("proof_document_id", "unknown_proof", "is no payment proof that is free", document_id)
    document.about_type, document.about_id = "deposit", deposit.id
    session.flush()


def proofs(session: Session, deposit_id: str) -> list[ClientDocument]:
    """The files that prove a deposit."""
    query = sa.select(ClientDocument).where(
        ClientDocument.about_type == "deposit",
        ClientDocument.about_id == deposit_id,
        ClientDocument.removed_at.is_(None),
    )
    return list(session.scalars(query.order_by(ClientDocument.created_at)))


def cancel(session: Session, deposit: Deposit, principal: Principal, now: datetime, ip: str | None = None) -> None:
    """The client will not pay after all; ``deposit`` is locked. Money that arrives nevertheless is credited.

    Raises ``Conflict`` (``too_late``) once something of it has happened.
    """
    if deposit.status != DepositStatus.PENDING:
        raise Conflict(
            f"the deposit is {deposit.status}; only a pending one can be canceled",
            code="too_late",
            extra={"status": deposit.status},
        )
    move(session, deposit, DepositStatus.CANCELED, now, "canceled by the client")
    audit.record(session, principal, "deposit.cancel", "deposit", deposit.id, now, ip=ip)


# -- what happens to them ------------------------------------------------------------------------------------


def move(session: Session, deposit: Deposit, status: DepositStatus, now: datetime, reason: str | None = None) -> None:
    """The one setter of a deposit's state. Raises ``Conflict`` for a step that does not exist."""
    before = DepositStatus(deposit.status)
    if status not in STEPS.get(before, ()):
        raise Conflict(
            f"a deposit that is {before} does not become {status}", code="too_late", extra={"status": before.value}
        )
    deposit.status, deposit.reason = status.value, reason
    changed(session, deposit, f"deposit.{status}", now, previous_status=before.value)


def changed(session: Session, deposit: Deposit, type_: str, now: datetime, **told: Any) -> None:
    """Count the version up and tell the client's stream."""
    deposit.version += 1
    deposit.updated_at = now
    session.flush()
    tell(session, deposit, type_, now, **told)


def tell(session: Session, deposit: Deposit, type_: str, now: datetime, **told: Any) -> None:
    events = Events(now)
    events.add(deposit.client_id, type_, "deposit", deposit.id, show(deposit), version=deposit.version, **told)
    events.flush(session)


def credit(session: Session, deposit: Deposit, now: datetime) -> None:
    """Book the money into the wallet, once: the entry's reference is the deposit's id. ``deposit`` is locked."""
    Locks.of(session).wallet(deposit.wallet_id)
    journal = _journal(session, now)
    journal.add(
        EntryKind.DEPOSIT,
        ("deposit", deposit.id),
        f"deposit:{deposit.id}",
        deposit_lines(deposit.wallet_id, deposit.currency, deposit.amount, _origin(deposit)),
        memo=f"deposit by {deposit.provider}",
    )
    touched = journal.flush()
    deposit.confirmed_amount, deposit.completed_at, deposit.payment_url = deposit.amount, now, None
    move(session, deposit, DepositStatus.COMPLETED, now)
    events = Events(now)
    wallets.balance_event(events, deposit.client_id, deposit.wallet_id, touched.values())
    events.flush(session)
    audit.record(
        session,
        SYSTEM,
        "deposit.credit",
        "deposit",
        deposit.id,
        now,
        amount=text(deposit.amount),
        currency=deposit.currency,
        wallet_id=deposit.wallet_id,
    )


def take_back(session: Session, deposit: Deposit, amount: Decimal, external_ref: str, memo: str, now: datetime) -> None:
    """Book that a part of a credited deposit went back to the payer; what the wallet no longer has, the client owes.

    ``deposit`` is locked. Without its event: the caller knows what it was.
    """
    Locks.of(session).wallet(deposit.wallet_id)
    journal = _journal(session, now)
    wallet = AccountRef(deposit.wallet_id, deposit.currency, AccountKind.AVAILABLE)
    journal.lock({wallet})
    owed = max(ZERO, amount - journal.locked[wallet].balance)
    lines = refund_lines(deposit.wallet_id, deposit.currency, amount, _origin(deposit), owed)
    journal.add(EntryKind.REFUND, ("deposit", deposit.id), external_ref, lines, memo=memo)
    touched = journal.flush()
    events = Events(now)
    wallets.balance_event(events, deposit.client_id, deposit.wallet_id, touched.values())
    events.flush(session)
    if owed:
        alert(session, deposit, "client_owes", f"{text(owed)} {deposit.currency} of it were no longer there", now)


def give_again(session: Session, deposit: Deposit, entry_id: str, memo: str, now: datetime) -> None:
    """Undo an entry that ``take_back`` booked; ``deposit`` is locked."""
    Locks.of(session).wallet(deposit.wallet_id)
    ledger.reverse(session, entry_id, now, SYSTEM.actor, memo)
    balances = ledger.balances(session, deposit.wallet_id)[deposit.currency]
    shown = {kind: text(balances[kind]) for kind in ("available", "held")}
    told = {"wallet_id": deposit.wallet_id, "balances": {deposit.currency: shown}}
    events = Events(now)
    events.add(deposit.client_id, "wallet.balance", "wallet", deposit.wallet_id, told)
    events.flush(session)


def entry(session: Session, external_ref: str) -> JournalEntry | None:
    """The journal's entry of ours with that reference."""
    query = sa.select(JournalEntry).where(JournalEntry.source == "cambista", JournalEntry.external_ref == external_ref)
    return session.scalars(query).one_or_none()


def alert(session: Session, deposit: Deposit, code: str, message: str, now: datetime) -> None:
    """Tell the firm's staff."""
    told = {"client_id": deposit.client_id, "currency": deposit.currency, "amount": text(deposit.amount)}
    faults.alert(session, now, code, message, "deposit", deposit.id, "alert.deposit", **told)


def _journal(session: Session, now: datetime) -> Journal:
    return Journal(session, market.load_scales(session), now, SYSTEM.actor)


def _origin(deposit: Deposit) -> str:
    return f"external:{deposit.provider}"


def show(deposit: Deposit) -> dict[str, Any]:
    def moment(value: datetime | None) -> str | None:
        return None if value is None else iso(value)

    return {
        "id": deposit.id,
        "client_id": deposit.client_id,
        "wallet_id": deposit.wallet_id,
        "amount": text(deposit.amount),
        "currency": deposit.currency,
        "amount_usd": None if deposit.amount_usd is None else text(deposit.amount_usd),
        "method": deposit.method,
        "provider": deposit.provider,
        "provider_reference": deposit.provider_reference,
        "payment_url": deposit.payment_url,
        "bank_reference": deposit.bank_reference,
        "movement": deposit.movement,
        "status": deposit.status,
        "confirmed_amount": None if deposit.confirmed_amount is None else text(deposit.confirmed_amount),
        "refunded_amount": text(deposit.refunded_amount),
        "dispute_status": deposit.dispute_status,
        "disputed_amount": text(deposit.disputed_amount),
        "reason": deposit.reason,
        "details": deposit.details,
        "version": deposit.version,
        "created_at": iso(deposit.created_at),
        "updated_at": iso(deposit.updated_at),
        "expires_at": moment(deposit.expires_at),
        "completed_at": moment(deposit.completed_at),
    }

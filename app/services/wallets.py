"""Paper wallets: creating and funding them, their balances, and what risk wants to know about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, Forbidden, Invalid
from app.core.ids import new_id
from app.core.permissions import READ, SYSTEM, WRITE, Principal, Reach, Resource
from app.domain.ledger import AccountKind, AccountRef, EntryKind, deposit_lines
from app.domain.money import MAX_AMOUNT, ZERO, decimals, text
from app.domain.quotes import Quote
from app.domain.risk import Failure, usd_rate
from app.models import Client, JournalEntry, LedgerAccount, Posting, Wallet, table_of

from . import audit, ledger, market
from .access import visible_clients
from .events import FIRM, Events
from .ledger import Journal, LockedAccount

accounts = table_of(LedgerAccount)
PAPER_FEE = Decimal("0.001")
PLAY_MONEY = "external:paper"


def create(
    session: Session, client: Client, name: str, starting: Mapping[str, Decimal], principal: Principal, now: datetime
) -> Wallet:
    """Open a paper wallet with starting balances of play money, posted as deposits.

    Raises ``Invalid`` for an unknown asset or an amount with too many decimals.
    """
    scales = market.load_scales(session)
    for asset, amount in starting.items():
        if asset not in scales:
            raise Invalid.field("balance", "unknown_asset", f"names the unknown asset {asset[:12]}", asset[:12])
        if not 0 < amount < MAX_AMOUNT:
            raise Invalid.field("balance", "amount_out_of_range", f"of {asset} must be above zero and below 1e20")
        if decimals(amount) > scales[asset]:
            raise Invalid.field("balance", "precision", f"of {asset} has more than {scales[asset]} decimals")
    first = session.scalar(sa.select(sa.func.count()).where(Wallet.client_id == client.id)) == 0
    wallet = Wallet(
        id=new_id(),
        client_id=client.id,
        platform="paper",
        name=name,
        status="active",
        is_default=first,
        maker_rate=PAPER_FEE,
        taker_rate=PAPER_FEE,
        created_at=now,
        updated_at=now,
    )
    session.add(wallet)
    session.flush()
    journal = Journal(session, scales, now, principal.actor)
    for asset, amount in starting.items():
        journal.add(
            EntryKind.DEPOSIT,
            ("wallet", wallet.id),
            f"starting-balance:{wallet.id}:{asset}",
            deposit_lines(wallet.id, asset, amount, PLAY_MONEY),
            memo="starting balance",
        )
    locked = journal.flush()
    events = Events(now)
    events.add(client.id, "wallet.created", "wallet", wallet.id, show(wallet), version=1)
    balance_event(events, client.id, wallet.id, locked.values())
    events.flush(session)
    audit.record(
        session,
        principal,
        "wallet.create",
        "wallet",
        wallet.id,
        now,
        client_id=client.id,
        name=name,
        starting={asset: text(amount) for asset, amount in starting.items()},
    )
    return wallet


BY_CLIENT, BY_FIRM = "client", "firm"  # who stopped a wallet


def set_status(
    session: Session, wallet: Wallet, status: str, principal: Principal, now: datetime, reason: str | None = None
) -> None:
    """Pause or resume; pausing stops new orders and keeps exits armed. ``wallet`` must be locked.

    Who set a stop decides who may lift it. Raises ``Forbidden`` for a stop of the firm, ``Conflict`` where
    nothing would change.
    """
    by = BY_FIRM if principal.client_id is None else BY_CLIENT
    takes_over = by == BY_FIRM and wallet.stopped_by == BY_CLIENT and status == "paused"
    if wallet.status == status and not takes_over:
        raise Conflict(f"the wallet is already {status}", code="unchanged")
    if status != "active" and wallet.status == "suspended":
        raise Conflict("the wallet is suspended, which stops more than a pause", code="unchanged")
    if wallet.stopped_by == BY_FIRM:
        _require_lifter(wallet, principal)
    previous = _change_status(wallet, status, None if status == "active" else by, now)
    events = Events(now)
    _status_event(events, wallet, previous, reason=reason)
    events.flush(session)
    audit.record(
        session,
        principal,
        f"wallet.{status}",
        "wallet",
        wallet.id,
        now,
        previous=previous,
        reason=reason,
        stopped_by=wallet.stopped_by,
    )


def _require_lifter(wallet: Wallet, principal: Principal) -> None:
    """Raises ``Forbidden`` unless the caller manages the firm's wallets; a suspension needs a person."""
    manages = principal.client_id is None and principal.reach(Resource.WALLETS, WRITE) is Reach.ALL
    if not manages or (wallet.status == "suspended" and principal.kind == "key"):
        raise Forbidden(
            f"the wallet was {wallet.status} by the firm, whose management lifts that", code="stopped_by_firm"
        )


def suspend(session: Session, wallet: Wallet, failure: Failure, events: Events, now: datetime) -> None:
    """Stop a wallet that has reached a limit, until a person of the firm resumes it; it must be locked.

    Its entry orders are for the caller to cancel (``orders.Canceler.stop_entries``); exits stay armed. The
    firm and the client are alerted.
    """
    previous = _change_status(wallet, "suspended", BY_FIRM, now)
    _status_event(events, wallet, previous, reason=failure.message, values=failure.values)
    alert = {
        "code": failure.code,
        "message": f"wallet {wallet.name} is suspended: {failure.message}",
        "wallet_id": wallet.id,
        "client_id": wallet.client_id,
        "values": failure.values,
    }
    for stream in (FIRM, wallet.client_id):
        events.add(stream, "alert.risk", "wallet", wallet.id, alert)
    audit.record(
        session, SYSTEM, "wallet.suspended", "wallet", wallet.id, now, code=failure.code, values=failure.values
    )


def _change_status(wallet: Wallet, status: str, stopped_by: str | None, now: datetime) -> str:
    """Returns the status before."""
    previous, wallet.status, wallet.stopped_by = wallet.status, status, stopped_by
    wallet.version += 1
    wallet.updated_at = now
    return previous


def _status_event(events: Events, wallet: Wallet, previous: str, **told: Any) -> None:
    events.add(
        wallet.client_id,
        f"wallet.{wallet.status}",
        "wallet",
        wallet.id,
        show(wallet),
        version=wallet.version,
        previous_status=previous,
        **told,
    )


def update(session: Session, wallet: Wallet, changes: dict[str, Any], principal: Principal, now: datetime) -> None:
    """Change name, limits or default exits; ``wallet`` must be locked. Nothing happens when nothing differs."""
    changed = {name: value for name, value in changes.items() if getattr(wallet, name) != value}
    if not changed:
        return
    previous = {name: getattr(wallet, name) for name in changed}
    for name, value in changed.items():
        setattr(wallet, name, value)
    wallet.version += 1
    wallet.updated_at = now
    events = Events(now)
    events.add(
        wallet.client_id,
        "wallet.updated",
        "wallet",
        wallet.id,
        show(wallet),
        version=wallet.version,
        changed=sorted(changed),
    )
    events.flush(session)
    audit.record(session, principal, "wallet.update", "wallet", wallet.id, now, changed=changed, previous=previous)


def search(
    session: Session, principal: Principal, client_id: str | None, limit: int, offset: int
) -> tuple[list[Wallet], int]:
    """The wallets the caller may see, of one client or of all, and how many there are."""
    query = sa.select(Wallet)
    visible = visible_clients(principal, Resource.WALLETS, READ)
    if visible is not None:
        query = query.where(Wallet.client_id.in_(visible))
    if client_id is not None:
        query = query.where(Wallet.client_id == client_id)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    return list(session.scalars(query.order_by(Wallet.id).limit(limit).offset(offset))), total


def ids_of_client(session: Session, client_id: str) -> list[str]:
    return list(session.scalars(sa.select(Wallet.id).where(Wallet.client_id == client_id).order_by(Wallet.id)))


def balance_event(events: Events, client_id: str, wallet_id: str, locked: Iterable[LockedAccount]) -> None:
    """``wallet.balance`` with every account of the wallet that an entry touched."""
    changed: dict[str, dict[str, str]] = {}
    for account in locked:
        if account.ref.owner == wallet_id:
            changed.setdefault(account.ref.currency, {})[account.ref.kind.value] = text(account.balance)
    if changed:
        events.add(client_id, "wallet.balance", "wallet", wallet_id, {"wallet_id": wallet_id, "balances": changed})


def balance_events(events: Events, owners: Mapping[str, str], locked: Iterable[LockedAccount]) -> None:
    """``wallet.balance`` for each wallet, by the id of its client, that a journal has posted to."""
    posted = [account for account in locked if account.posted]
    for wallet_id, client_id in owners.items():
        balance_event(events, client_id, wallet_id, posted)


def available(session: Session, wallet_id: str, currency: str) -> Decimal:
    """What may be spent of an asset now; zero when the wallet never had any."""
    query = sa.select(accounts.c.balance).where(
        accounts.c.owner == wallet_id, accounts.c.currency == currency, accounts.c.kind == AccountKind.AVAILABLE.value
    )
    balance: Decimal | None = session.scalar(query)
    return ZERO if balance is None else balance


def show(wallet: Wallet) -> dict[str, Any]:
    def number(value: Decimal | None) -> str | None:
        return None if value is None else text(value)

    return {
        "id": wallet.id,
        "client_id": wallet.client_id,
        "platform": wallet.platform,
        "name": wallet.name,
        "status": wallet.status,
        "stopped_by": wallet.stopped_by,
        "is_default": wallet.is_default,
        "maker_rate": text(wallet.maker_rate),
        "taker_rate": text(wallet.taker_rate),
        "default_stop_loss_percent": number(wallet.default_stop_loss_percent),
        "default_take_profit_percent": number(wallet.default_take_profit_percent),
        "limits": {
            "max_position_usd": number(wallet.max_position_usd),
            "max_exposure_usd": number(wallet.max_exposure_usd),
            "max_open_positions": wallet.max_open_positions,
            "daily_loss_usd": number(wallet.daily_loss_usd),
            "daily_loss_percent": number(wallet.daily_loss_percent),
            "max_drawdown_percent": number(wallet.max_drawdown_percent),
            "allowed_symbols": wallet.allowed_symbols,
            "blocked_symbols": wallet.blocked_symbols,
            "respect_market_hours": wallet.respect_market_hours,
        },
        "version": wallet.version,
        "created_at": iso(wallet.created_at),
    }


def show_balances(session: Session, wallet_id: str, quotes: dict[str, Quote]) -> dict[str, Any]:
    """Balances per asset with their value in USD; assets nobody can price are listed, not guessed."""
    items, total, unpriced = [], ZERO, []
    for asset, balance in ledger.balances(session, wallet_id).items():
        rate = usd_rate(asset, quotes)
        value = None if rate is None else round(balance["total"] * rate, 2)
        if value is None:
            unpriced.append(asset)
        else:
            total += value
        items.append(
            {
                "asset": asset,
                "available": text(balance["available"]),
                "held": text(balance["held"]),
                "total": text(balance["total"]),
                "value_usd": None if value is None else text(value),
            }
        )
    return {"wallet_id": wallet_id, "balances": items, "total_usd": text(total), "unpriced": unpriced}


def movements(session: Session, wallet_id: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Postings on a wallet's accounts, newest first, with their entry."""
    entries, postings = table_of(JournalEntry), table_of(Posting)
    base = (
        sa.select(
            postings.c.id,
            postings.c.amount,
            postings.c.currency,
            postings.c.posted_at,
            accounts.c.kind.label("account"),
            entries.c.id.label("entry_id"),
            entries.c.number,
            entries.c.kind,
            entries.c.about_type,
            entries.c.about_id,
            entries.c.memo,
        )
        .join(accounts, accounts.c.id == postings.c.account_id)
        .join(entries, entries.c.id == postings.c.entry_id)
        .where(accounts.c.wallet_id == wallet_id)
    )
    total = session.scalar(sa.select(sa.func.count()).select_from(base.subquery())) or 0
    rows = session.execute(base.order_by(postings.c.id.desc()).limit(limit).offset(offset)).mappings()
    return [
        {
            "id": row["id"],
            "at": iso(row["posted_at"]),
            "asset": row["currency"],
            "account": row["account"],
            "amount": text(row["amount"]),
            "entry_id": row["entry_id"],
            "entry_number": row["number"],
            "kind": row["kind"],
            "about_type": row["about_type"],
            "about_id": row["about_id"],
            "memo": row["memo"],
        }
        for row in rows
    ], total


def account_refs(wallet_id: str, *currencies: str) -> set[AccountRef]:
    """available and held of a wallet in the given currencies."""
    return {
        AccountRef(wallet_id, currency, kind)
        for currency in currencies
        for kind in (AccountKind.AVAILABLE, AccountKind.HELD)
    }

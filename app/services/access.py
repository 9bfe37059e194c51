"""Reaching another's object: one tested function per kind of object.

What a caller may not see does not exist for them: ``NotFound``, with the same words as for a random id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Invalid, NotFound
from app.core.permissions import READ, WRITE, Principal, Reach, Resource
from app.domain.execution import OrderState
from app.domain.positions import PositionState
from app.models import Client, ClientBankAccount, Order, Position, Wallet, Withdrawal, table_of

from .locks import Locks

_wallets, _orders, _positions = table_of(Wallet), table_of(Order), table_of(Position)


def is_uuid(value: str) -> bool:
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False


def visible_clients(principal: Principal, resource: Resource, right: str) -> sa.Select[Any] | None:
    """A select of the client ids the caller reaches with this right; None when it is all of them.

    Raises ``Forbidden`` when the right is missing altogether.
    """
    reach = principal.require(resource, right)
    if reach is Reach.ALL:
        return None
    if reach is Reach.OWN:
        return sa.select(Client.id).where(Client.id == principal.client_id)
    return sa.select(Client.id).where(Client.trader_id == principal.id)


def visible_client_ids(session: Session, principal: Principal, resource: Resource, right: str) -> list[str] | None:
    """The same, read."""
    visible = visible_clients(principal, resource, right)
    return None if visible is None else list(session.scalars(visible))


def _restrict(query: Any, column: Any, principal: Principal, resource: Resource, right: str) -> Any:
    clients = visible_clients(principal, resource, right)
    return query if clients is None else query.where(column.in_(clients))


def client(
    session: Session, principal: Principal, ref: str, right: str, resource: Resource = Resource.CLIENTS
) -> Client:
    """A client by id or code."""
    condition = Client.id == ref.lower() if is_uuid(ref) else Client.code == ref
    query = _restrict(sa.select(Client).where(condition), Client.id, principal, resource, right)
    found: Client | None = session.scalars(query).one_or_none()
    if found is None:
        raise NotFound("there is no such client")
    return found


def acting_client(
    session: Session, principal: Principal, ref: str | None, resource: Resource = Resource.ORDERS
) -> Client:
    """The client an order, or what else is written here, is for.

    A client's own caller needs no ``ref`` and may only name itself; staff and system keys with the right
    to act for clients must name one. Without that right a ``ref`` is refused, not ignored.
    """
    if principal.client_id is not None:
        own = session.get(Client, principal.client_id)
        assert own is not None
        if ref is not None and ref not in (own.id, own.code):
            raise NotFound("there is no such client")
        return own
    principal.require(resource, WRITE)  # before anything is said about what was named
    if ref is None:
        raise Invalid.field("client_id", "required", "must name the client the request is for")
    return client(session, principal, ref, WRITE, resource)


def named_client(session: Session, principal: Principal, ref: str | None, resource: Resource) -> Client:
    """The client something is read of: the caller's own where none is named; the firm's people must name one."""
    if ref is None:
        ref = principal.client_id
    if ref is None:
        raise Invalid.field("client_id", "required", "must name the client")
    return client(session, principal, ref, READ, resource)


def wallet(
    session: Session,
    principal: Principal,
    wallet_id: str,
    right: str,
    resource: Resource = Resource.WALLETS,
    *,
    lock: bool = False,
) -> Wallet:
    """A wallet by id; ``lock`` takes its row lock."""
    query = sa.select(Wallet).where(Wallet.id == wallet_id.lower())
    query = _restrict(query, Wallet.client_id, principal, resource, right)
    found: Wallet | None = session.scalars(query).one_or_none() if is_uuid(wallet_id) else None
    if found is None:
        raise NotFound("there is no such wallet")
    return Locks.of(session).wallet(found.id)[0] if lock else found


def wallet_for(session: Session, client: Client, wallet_id: str | None) -> Wallet:
    """The named wallet of a client, or its default one."""
    query = sa.select(Wallet).where(Wallet.client_id == client.id)
    if wallet_id is None:
        query = query.order_by(Wallet.is_default.desc(), Wallet.id).limit(1)
    elif is_uuid(wallet_id):
        query = query.where(Wallet.id == wallet_id.lower())
    else:
        raise NotFound("there is no such wallet")
    found = session.scalars(query).one_or_none()
    if found is None:
        raise NotFound("there is no such wallet")
    return found


def bank_account(
    session: Session, principal: Principal, account_id: str, right: str, *, lock: bool = False
) -> ClientBankAccount:
    """Where a client is paid, by id; one that was removed is still to be seen."""
    query = sa.select(ClientBankAccount).where(ClientBankAccount.id == account_id.lower())
    query = _restrict(query, ClientBankAccount.client_id, principal, Resource.BANK_ACCOUNTS, right)
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True) if lock else query
    found: ClientBankAccount | None = session.scalars(query).one_or_none() if is_uuid(account_id) else None
    if found is None:
        raise NotFound("there is no such bank account")
    return found


def withdrawal(session: Session, principal: Principal, withdrawal_id: str, right: str) -> Withdrawal:
    """A withdrawal by id, not locked."""
    query = sa.select(Withdrawal).where(Withdrawal.id == withdrawal_id.lower())
    query = _restrict(query, Withdrawal.client_id, principal, Resource.WITHDRAWALS, right)
    found: Withdrawal | None = session.scalars(query).one_or_none() if is_uuid(withdrawal_id) else None
    if found is None:
        raise NotFound("there is no such withdrawal")
    return found


def client_of(session: Session, owned: Wallet | Withdrawal | ClientBankAccount | OrderState | PositionState) -> Client:
    """The client of an object the caller has been let through to."""
    return session.get_one(Client, owned.client_id)


def wallet_of(session: Session, owned: OrderState | PositionState | Withdrawal) -> Wallet:
    """The wallet of an order, position or withdrawal the caller has been let through to."""
    return session.get_one(Wallet, owned.wallet_id)


class EntryWallets:
    """The wallets that clients' own orders go to, remembered.

    A wallet never changes its client, and a client keeps its default wallet.
    """

    MOST: Final = 100_000

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], str] = {}

    def find(
        self,
        read: Callable[[Callable[[Session], str]], str],
        principal: Principal,
        client_ref: str | None,
        wallet_id: str | None,
    ) -> str:
        """As ``entry_wallet``; ``read`` runs a look-up where one is needed."""
        own = principal.client_id if client_ref is None else None
        if own is not None and (found := self._known.get((own, wallet_id))) is not None:
            return found
        found = read(lambda session: entry_wallet(session, principal, client_ref, wallet_id))
        if own is not None:
            if len(self._known) >= self.MOST:
                self._known.clear()
            self._known[own, wallet_id] = found
        return found


def entry_wallet(session: Session, principal: Principal, client_ref: str | None, wallet_id: str | None) -> str:
    """The wallet an order goes to: ``acting_client`` and ``wallet_for``, in one statement on the hot path."""
    if principal.client_id is None or client_ref is not None or (wallet_id is not None and not is_uuid(wallet_id)):
        return wallet_for(session, acting_client(session, principal, client_ref), wallet_id).id
    query = sa.select(_wallets.c.id).where(_wallets.c.client_id == principal.client_id)
    if wallet_id is not None:
        query = query.where(_wallets.c.id == wallet_id.lower())
    found: str | None = session.scalar(query.order_by(_wallets.c.is_default.desc(), _wallets.c.id).limit(1))
    if found is None:
        raise NotFound("there is no such wallet")
    return found


def _row(
    session: Session, table: sa.Table, object_id: str, principal: Principal, right: str, what: str
) -> sa.RowMapping:
    query = sa.select(table).where(table.c.id == object_id.lower())
    query = _restrict(query, table.c.client_id, principal, Resource.ORDERS, right)
    row = session.execute(query).mappings().one_or_none() if is_uuid(object_id) else None
    if row is None:
        raise NotFound(f"there is no such {what}")
    return row


def order(session: Session, principal: Principal, order_id: str, right: str) -> OrderState:
    """An order, not locked."""
    return OrderState.of(_row(session, _orders, order_id, principal, right, "order"))


def position(
    session: Session, principal: Principal, position_id: str, right: str, *, lock: bool = False, wallet: bool = False
) -> PositionState:
    """A position; ``lock`` takes its row lock, ``wallet`` that of its wallet before."""
    found = PositionState.of(_row(session, _positions, position_id, principal, right, "position"))
    if wallet:
        Locks.of(session).wallet(found.wallet_id)
    return Locks.of(session).position(found.id) if lock or wallet else found

"""The demo firm: people of all five roles, two clients with paper wallets, two keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Unauthenticated
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Role
from app.domain.clients import AccountScheme, BankAccountStatus, ClientKind, IdentityType
from app.domain.identifiers import check_account
from app.domain.kyc import KycStatus
from app.models import ApiKey, Client, ClientBankAccount, User, Verification

from . import api_keys, clients, market, passwords, users, wallets

PASSWORD: Final = "Cambista-demo-2026"  # documented: a demo is open to whoever can reach it
BALANCES: Final = {
    "C-1001": {"USDT": "100000", "USD": "50000", "EUR": "10000", "PEN": "20000", "BTC": "0.5"},
    "C-1002": {"USDT": "100000", "USD": "50000", "EUR": "5000", "PEN": "10000", "BTC": "0.25"},
}
# numbers whose control digits are right, of nobody in particular
BANK_ACCOUNTS: Final = {
    "C-1001": {"USD": "00219312345678901218", "PEN": "00219355556666777716"},
    "C-1002": {"USD": "00219300000000000118"},
}
VERIFIED: Final = "C-1001"  # the other one is there to be verified
VERIFIED_FOR: Final = timedelta(days=365)
CLIENT_KEY, SYSTEM_KEY = "client", "system"
CLIENT_KEY_NAME, SYSTEM_KEY_NAME = "Demo bot of C-1001", "Demo system"


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    name: str
    role: Role
    client: str | None = None


PEOPLE: Final = (
    Person("master@demo.cambista", "Marta Quispe", Role.MASTER),
    Person("second@demo.cambista", "Raúl Salinas", Role.MASTER),  # nobody approves what they proposed themselves
    Person("trader@demo.cambista", "Tomás Huamán", Role.TRADER),
    Person("operator@demo.cambista", "Olga Paredes", Role.OPERATOR),
    Person("compliance@demo.cambista", "César Rojas", Role.MIDDLE_OFFICE),
    Person("ana@demo.cambista", "Ana Flores", Role.CLIENT, "C-1001"),
    Person("luis@demo.cambista", "Luis Mendoza", Role.CLIENT, "C-1002"),
)
_FIRM_CLIENTS: Final = (("C-1001", "Ana Flores", "trader@demo.cambista"), ("C-1002", "Luis Mendoza", None))
# what is known of the demo's clients; numbers whose check digits are right, of nobody in particular
PROFILES: Final[Mapping[str, dict[str, Any]]] = {
    "C-1001": {
        "given_names": "Ana",
        "paternal_surname": "Flores",
        "identity_type": IdentityType.DNI,
        "identity_number": "40812023",
        "born_on": date(1988, 4, 12),
        "nationality": "PE",
        "email": "ana@demo.cambista",
        "phones": ["+51 987 654 321"],
        "address": "Av. Larco 345, Miraflores, Lima",
        "occupation": "Architect",
        "source_of_funds": "Salary and savings",
    },
    "C-1002": {
        "given_names": "Luis",
        "paternal_surname": "Mendoza",
        "identity_type": IdentityType.CE,
        "identity_number": "001234567",
        "born_on": date(1979, 11, 2),
        "nationality": "CO",
        "email": "luis@demo.cambista",
    },
    "C-1003": {"kind": ClientKind.COMPANY, "identity_type": IdentityType.RUC, "identity_number": "20512333797"},
}


def hash_passwords() -> dict[str, str]:
    """A hash for each person of the demo. Slow: before the transaction."""
    return {person.email: passwords.hash_password(person.email, PASSWORD) for person in PEOPLE}


def is_empty(session: Session) -> bool:
    """Whether the firm has nobody yet: neither users nor clients."""
    return session.scalar(sa.select(User.id).limit(1)) is None and session.scalar(sa.select(Client.id).limit(1)) is None


def is_loaded(session: Session) -> bool:
    """Whether the firm is the demo one, so that its keys may be shown and made again."""
    return session.scalar(sa.select(User.id).where(User.email == PEOPLE[0].email)) is not None


def load(session: Session, password_hashes: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Add what is missing of the demo firm and return what was added; what is there stays as it is."""
    instruments = market.seed_instruments(session)
    added: dict[str, Any] = {"instruments": instruments, "users": [], "clients": [], "wallets": []}
    _add_people(session, [person for person in PEOPLE if person.client is None], password_hashes, now, added)
    for code, name, trader in _FIRM_CLIENTS:
        if session.scalar(sa.select(Client.id).where(Client.code == code)) is not None:
            continue
        trader_id = users.by_email(session, trader).id if trader else None
        client = clients.create(session, code, name, SYSTEM, now, trader_id=trader_id, **PROFILES.get(code, {}))
        starting = {asset: Decimal(amount) for asset, amount in BALANCES[code].items()}
        wallet = wallets.create(session, client, "Paper", starting, SYSTEM, now)
        if code == VERIFIED:
            _verify(session, client, now)
        _add_bank_accounts(session, client, now)
        added["clients"].append(code)
        added["wallets"].append(wallet.id)
    _add_people(session, [person for person in PEOPLE if person.client is not None], password_hashes, now, added)
    return added


def _verify(session: Session, client: Client, now: datetime) -> None:
    """As after their documents: they may deposit and withdraw up to the limits of that level."""
    client.kyc_status, client.kyc_level, client.kyc_expires_at = KycStatus.APPROVED.value, 1, now + VERIFIED_FOR
    session.add(
        Verification(
            id=new_id(),
            client_id=client.id,
            provider="mock",
            session_id=f"demo-{client.code}",
            level=1,
            status=KycStatus.APPROVED.value,
            provider_data={},
            document_kinds=[],
            requested_by=SYSTEM.actor,
            version=1,
            created_at=now,
            changed_at=now,
            verified_at=now,
            expires_at=client.kyc_expires_at,
        )
    )


def _add_bank_accounts(session: Session, client: Client, now: datetime) -> None:
    """Confirmed long ago: what the demo shows of payouts needs no day of waiting."""
    for currency, number in BANK_ACCOUNTS[client.code].items():
        checked = check_account(AccountScheme.CCI, number)
        session.add(
            ClientBankAccount(
                id=new_id(),
                client_id=client.id,
                scheme=checked.scheme.value,
                number=checked.number,
                bank_code=checked.bank_code,
                bank_name="BCP",
                account_type="savings",
                currency=currency,
                holder=client.name,
                country=checked.country,
                is_default=True,
                status=BankAccountStatus.ACTIVE.value,
                usable_from=now,
                created_by=SYSTEM.actor,
                version=1,
                created_at=now,
                updated_at=now,
            )
        )
    session.flush()


def _add_people(
    session: Session, people: list[Person], password_hashes: Mapping[str, str], now: datetime, added: dict[str, Any]
) -> None:
    for person in people:
        if session.scalar(sa.select(User.id).where(User.email == person.email)) is not None:
            continue
        client = None
        if person.client is not None:
            client = session.scalars(sa.select(Client).where(Client.code == person.client)).one()
        users.create(
            session,
            email=person.email,
            name=person.name,
            role=person.role,
            client=client,
            password_hash=password_hashes[person.email],
            principal=SYSTEM,
            now=now,
        )
        added["users"].append(person.email)


def ensure_keys(session: Session, known: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The full text of the demo's two keys: the known one where it still works, else a new one.

    A key whose text was lost is revoked as its successor is made.
    """
    client = session.scalars(sa.select(Client).where(Client.code == "C-1001")).one()
    requests = {
        CLIENT_KEY: api_keys.KeyRequest(name=CLIENT_KEY_NAME, scopes=("read", "trade", "funding"), client=client),
        SYSTEM_KEY: api_keys.KeyRequest(
            name=SYSTEM_KEY_NAME,
            scopes=("read", "trade", "funding", "clients", "admin"),
            system=True,
            act_for_clients=True,
        ),
    }
    return {
        which: known[which]
        if which in known and _works(session, known[which], request, now)
        else _remake(session, request, now)
        for which, request in requests.items()
    }


def _works(session: Session, text: str, request: api_keys.KeyRequest, now: datetime) -> bool:
    try:
        principal = api_keys.authenticate(session, text, "127.0.0.1", now)
    except Unauthenticated:
        return False
    return principal.client_id == (request.client.id if request.client else None)


def _remake(session: Session, request: api_keys.KeyRequest, now: datetime) -> str:
    client_id = request.client.id if request.client else None
    lost = sa.select(ApiKey).where(
        ApiKey.name == request.name,
        ApiKey.client_id.is_not_distinct_from(client_id),
        ApiKey.created_by == "system",
        ApiKey.revoked_at.is_(None),
    )
    for key in session.scalars(lost):
        api_keys.revoke(session, key, SYSTEM, now)
    return api_keys.create(session, request, SYSTEM, now)[1]

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.clock import ManualClock
from app.core.errors import Unauthenticated
from app.core.permissions import Role
from app.core.transaction import Database
from app.domain.money import text
from app.models import AuditRecord, Client, InstrumentRow, User, Wallet
from app.services import api_keys, demo, ledger, passwords, users
from app.services.market import load_instruments
from app.services.reconcile import reconcile

HASHES = {person.email: f"hash of {person.email}" for person in demo.PEOPLE}


def load(database: Database, now: datetime) -> dict[str, Any]:
    return database.run(lambda session: demo.load(session, HASHES, now))


def test_firm_has_all_roles_two_clients_and_clean_books(database: Database, clock: ManualClock) -> None:
    assert database.read(demo.is_empty)
    added = load(database, clock.now())
    assert len(added["users"]) == 7 and added["clients"] == ["C-1001", "C-1002"]

    def check(session: Any) -> None:
        assert set(session.scalars(sa.select(User.role))) == {role.value for role in Role}
        ana = users.by_email(session, "ana@demo.cambista")
        client = session.get_one(Client, ana.client_id)
        assert client.code == "C-1001"
        assert client.trader_id == users.by_email(session, "trader@demo.cambista").id
        other = session.get_one(Client, users.by_email(session, "luis@demo.cambista").client_id)
        assert (other.code, other.trader_id) == ("C-1002", None)
        wallet = session.scalars(sa.select(Wallet).where(Wallet.client_id == client.id)).one()
        balances = ledger.balances(session, wallet.id)
        assert {asset: text(amounts["available"]) for asset, amounts in balances.items()} == demo.BALANCES["C-1001"]
        assert wallet.max_open_positions is None and wallet.is_default
        assert set(session.scalars(sa.select(AuditRecord.actor))) == {"system"}

    database.read(check)
    instruments = database.read(load_instruments)
    assert database.read(lambda session: reconcile(session, instruments))["ok"]


def test_loading_again_adds_nothing_and_keeps_what_the_firm_changed(database: Database, clock: ManualClock) -> None:
    load(database, clock.now())
    database.run(lambda session: session.execute(sa.update(User).values(password_hash="changed")))
    again = load(database, clock.now())
    assert again == {"instruments": 0, "users": [], "clients": [], "wallets": []}
    assert not database.read(demo.is_empty) and database.read(demo.is_loaded)
    assert database.read(lambda session: set(session.scalars(sa.select(User.password_hash)))) == {"changed"}
    assert database.read(lambda session: session.scalar(sa.select(sa.func.count(InstrumentRow.id)))) >= 10


def test_instruments_alone_are_no_firm(sqlite_database: Database) -> None:
    from app.services.market import seed_instruments

    sqlite_database.run(seed_instruments)
    assert sqlite_database.read(demo.is_empty)


def test_keys_are_made_once_and_made_again_when_lost(database: Database, clock: ManualClock) -> None:
    load(database, clock.now())

    def ensure(known: dict[str, str]) -> dict[str, str]:
        return database.run(lambda session: demo.ensure_keys(session, known, clock.now()))

    def authenticate(text: str) -> Any:
        return database.read(lambda session: api_keys.authenticate(session, text, "127.0.0.1", clock.now()))

    first = ensure({})
    assert ensure(first) == first
    client, system = authenticate(first["client"]), authenticate(first["system"])
    assert client.client_id and client.scopes == {"read", "trade", "funding"}
    assert system.client_id is None and system.act_for_clients
    assert system.scopes == {"read", "trade", "funding", "clients", "admin"}
    second = ensure({"client": first["client"], "system": "ck_lost"})
    assert second["client"] == first["client"] != second["system"] != first["system"]
    with pytest.raises(Unauthenticated):
        authenticate(first["system"])
    assert ensure({"client": second["system"], "system": second["client"]}).keys() == second.keys()


def test_documented_password_is_one_we_accept() -> None:
    for person in demo.PEOPLE:
        passwords.check_password_rules(person.email, demo.PASSWORD)

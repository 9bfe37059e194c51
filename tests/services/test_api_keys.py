from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from app.core.ids import new_id
from app.core.permissions import READ, SYSTEM, WRITE, Principal, Reach, Resource, Role, Scope
from app.core.transaction import Database
from app.models import ApiKey, AuditRecord, Client
from app.services import api_keys, clients
from app.services.api_keys import KeyRequest

IP = "192.0.2.1"
MASTER = Principal(kind="user", id=new_id(), label="master", role=Role.MASTER)


@pytest.fixture
def ana(database: Database, clock: ManualClock) -> Client:
    return database.run(lambda session: clients.create(session, "C-1", "Ana", SYSTEM, clock.now()))


def make(
    database: Database, clock: ManualClock, client: Client | None = None, *, by: Principal = SYSTEM, **request: Any
) -> tuple[ApiKey, str]:
    values = {"name": "bot", "scopes": ("read", "trade"), "client": client, **request}
    return database.run(lambda session: api_keys.create(session, KeyRequest(**values), by, clock.now()))


def authenticate(database: Database, raw: str, clock: ManualClock, ip: str = IP) -> Principal:
    return database.read(lambda session: api_keys.authenticate(session, raw, ip, clock.now()))


def client_user(client: Client) -> Principal:
    return Principal(kind="user", id=new_id(), label="user", role=Role.CLIENT, client_id=client.id)


def test_key_speaks_for_its_client_and_its_secret_is_not_stored(
    database: Database, clock: ManualClock, ana: Client
) -> None:
    row, raw = make(database, clock, ana, orders_per_second=7)
    assert raw.startswith(f"{row.prefix}_") and len(row.prefix) == 13 and len(raw) == 13 + 1 + 43
    secret = raw.removeprefix(f"{row.prefix}_")
    assert secret not in str({column.key: getattr(row, column.key) for column in sa.inspect(ApiKey).columns})
    caller = authenticate(database, raw, clock)
    assert (caller.kind, caller.actor, caller.client_id) == ("key", f"key:{row.id}", ana.id)
    assert caller.scopes == {Scope.READ, Scope.TRADE} and caller.orders_per_second == 7
    assert caller.reach(Resource.ORDERS, WRITE) is Reach.OWN
    assert caller.reach(Resource.WALLETS, WRITE) is None
    assert secret not in str(api_keys.show(row))


def test_key_of_the_firm_reaches_all_and_may_act_for_clients(database: Database, clock: ManualClock) -> None:
    _, raw = make(database, clock, system=True, act_for_clients=True, scopes=("read",))
    caller = authenticate(database, raw, clock)
    assert caller.client_id is None and caller.act_for_clients
    assert caller.reach(Resource.ORDERS, READ) is Reach.ALL and caller.reach(Resource.ORDERS, WRITE) is None


def test_everything_wrong_with_a_key_gets_the_same_answer(database: Database, clock: ManualClock, ana: Client) -> None:
    good_row, good = make(database, clock, ana)
    expiring = make(database, clock, ana, expires_at=clock.now() + timedelta(hours=1))[1]
    bound = make(database, clock, ana, allowed_ips=("198.51.100.0/24",))[1]
    revoked_row, revoked = make(database, clock, ana)
    database.run(lambda session: api_keys.revoke(session, session.merge(revoked_row, load=False), SYSTEM, clock.now()))
    assert authenticate(database, expiring, clock)
    clock.advance(3600)
    wrong = [
        "",
        "x",
        "ck_",
        good_row.prefix,
        f"{good_row.prefix}_",
        good[:-1],
        f"{good}x",
        good.replace("_", "-", 2),
        f"{good_row.prefix}_{expiring.split('_', 2)[2]}",
        f"ck_aaaaaaaaaa_{good.split('_', 2)[2]}",
        "ck_ñ" + "a" * 60,
        good.upper(),
        f"{good}\x00",
        "a" * 100_000,
        revoked,
        expiring,
        bound,
    ]
    answers = set()
    for raw in wrong:
        with pytest.raises(Unauthenticated) as refused:
            authenticate(database, raw, clock)
        answers.add((refused.value.code, refused.value.detail))
    assert len(answers) == 1
    assert authenticate(database, good, clock)
    assert authenticate(database, bound, clock, "198.51.100.9")
    assert authenticate(database, bound, clock, "::ffff:198.51.100.9")
    for ip in ("198.51.101.1", "2001:db8::1", "", "unix"):
        with pytest.raises(Unauthenticated):
            authenticate(database, bound, clock, ip)


def test_key_of_an_inactive_client_is_dead(database: Database, clock: ManualClock, ana: Client) -> None:
    row, raw = make(database, clock, ana)
    database.run(lambda session: session.execute(sa.update(Client).values(active=False)))
    with pytest.raises(Unauthenticated):
        authenticate(database, raw, clock)
    assert database.read(lambda session: api_keys.live_key_ids(session, {row.id}, clock.now())) == set()


@pytest.mark.parametrize("known", [True, False])
def test_unknown_prefix_is_compared_as_long_as_a_known_one(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    row, _ = make(sqlite_database, clock, system=True, scopes=("read",))
    compared: list[tuple[int, int]] = []

    def compare(left: str, right: str) -> bool:
        compared.append((len(left), len(right)))
        return True  # even then a stranger is nobody

    monkeypatch.setattr(api_keys.hmac, "compare_digest", compare)
    raw = (row.prefix if known else "ck_aaaaaaaaaa") + "_" + "s" * 43
    if known:
        assert authenticate(sqlite_database, raw, clock)
    else:
        with pytest.raises(Unauthenticated):
            authenticate(sqlite_database, raw, clock)
    assert compared == [(64, 64)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"scopes": ()}, "required"),
        ({"scopes": ("read", "fly")}, "unknown_scope"),
        ({"scopes": ("read", "admin")}, "scope_not_for_clients"),
        ({"scopes": ("clients",)}, "scope_not_for_clients"),
        ({"scopes": ("operations",)}, "scope_not_for_clients"),
        ({"act_for_clients": True}, "system_only"),
        ({"system": True}, "client_or_system"),
        ({"name": " "}, "invalid_name"),
        ({"name": "a\x1b[2J"}, "invalid_name"),
        ({"allowed_ips": ("10.0.0.1/8",)}, "invalid_network"),
        ({"allowed_ips": ("example.org",)}, "invalid_network"),
        ({"orders_per_second": 0}, "out_of_range"),
    ],
)
def test_bad_key_request_is_refused(
    database: Database, clock: ManualClock, ana: Client, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        make(database, clock, ana, **change)
    assert refused.value.code == code


def test_key_cannot_be_born_expired(database: Database, clock: ManualClock, ana: Client) -> None:
    with pytest.raises(Invalid) as refused:
        make(database, clock, ana, expires_at=clock.now())
    assert refused.value.code == "in_the_past"


def test_who_may_make_which_key(database: Database, clock: ManualClock, ana: Client) -> None:
    luis = database.run(lambda session: clients.create(session, "C-2", "Luis", SYSTEM, clock.now()))
    key = authenticate(database, make(database, clock, system=True, scopes=("admin",))[1], clock)
    trader = Principal(kind="user", id=new_id(), label="trader", role=Role.TRADER)
    allowed: list[tuple[Principal, dict[str, Any]]] = [
        (MASTER, {"system": True}),
        (MASTER, {"client": ana}),
        (client_user(ana), {"client": ana}),
    ]
    refused: list[tuple[Principal, dict[str, Any]]] = [
        (client_user(ana), {"client": luis}),
        (client_user(ana), {"system": True}),
        (trader, {"client": ana}),
        (trader, {"system": True}),
        (key, {"client": ana}),
        (key, {"system": True}),
    ]
    for by, request in allowed:
        make(database, clock, by=by, **request)
    for by, request in refused:
        with pytest.raises(Forbidden) as answer:
            make(database, clock, by=by, **request)
        assert (answer.value.code == "keys_cannot_make_keys") == (by.kind == "key")


def test_who_sees_and_ends_which_key(database: Database, clock: ManualClock, ana: Client) -> None:
    luis = database.run(lambda session: clients.create(session, "C-2", "Luis", SYSTEM, clock.now()))
    of_ana, of_luis = make(database, clock, ana)[0], make(database, clock, luis)[0]
    of_firm = make(database, clock, system=True)[0]

    def seen(principal: Principal) -> list[str]:
        return [row.id for row in database.read(lambda session: api_keys.list_keys(session, principal, 50, 0)[0])]

    assert seen(MASTER) == [of_firm.id, of_luis.id, of_ana.id]
    assert seen(client_user(ana)) == [of_ana.id]
    assert seen(Principal(kind="user", id=new_id(), label="trader", role=Role.TRADER)) == []
    for ref in (of_luis.id, of_luis.prefix, of_firm.id, new_id(), "ck_zzzzzzzzzz", "x"):
        with pytest.raises(NotFound) as refused:
            database.run(lambda session, ref=ref: api_keys.find(session, client_user(ana), ref))
        assert refused.value.detail == "there is no such key"


def test_revoked_key_is_dead_at_once_and_audited_once(database: Database, clock: ManualClock, ana: Client) -> None:
    row, raw = make(database, clock, ana)

    def revoke(session: Session) -> None:
        api_keys.revoke(session, api_keys.find(session, client_user(ana), row.prefix), client_user(ana), clock.now())

    for _ in range(2):
        database.run(revoke)
    with pytest.raises(Unauthenticated):
        authenticate(database, raw, clock)
    recorded = database.read(lambda session: list(session.scalars(sa.select(AuditRecord.action))))
    assert sorted(recorded) == ["client.create", "key.create", "key.revoke"]


def test_rotation_lets_both_keys_live_for_a_while(database: Database, clock: ManualClock, ana: Client) -> None:
    row, old = make(database, clock, ana, allowed_ips=("192.0.2.0/24",), requests_per_second=9)

    def rotate(session: Session) -> tuple[ApiKey, str]:
        return api_keys.rotate(session, api_keys.find(session, SYSTEM, row.id), 2, SYSTEM, clock.now())

    successor, new = database.run(rotate)
    assert successor.allowed_ips == ["192.0.2.0/24"] and successor.requests_per_second == 9
    assert authenticate(database, old, clock).client_id == authenticate(database, new, clock).client_id == ana.id
    clock.advance(2 * 3600)
    with pytest.raises(Unauthenticated):
        authenticate(database, old, clock)
    assert authenticate(database, new, clock)
    with pytest.raises(Conflict):
        database.run(rotate)


def test_rotation_never_prolongs_a_key(database: Database, clock: ManualClock, ana: Client) -> None:
    ends = clock.now() + timedelta(hours=1)
    row, _ = make(database, clock, ana, expires_at=ends)
    database.run(
        lambda session: api_keys.rotate(session, api_keys.find(session, SYSTEM, row.id), 48, SYSTEM, clock.now())
    )
    assert database.read(lambda session: session.get_one(ApiKey, row.id).expires_at) == ends


def test_last_use_is_noted_once_a_minute(database: Database, clock: ManualClock, ana: Client) -> None:
    row, raw = make(database, clock, ana)

    def due() -> bool:
        caller = database.read(lambda session: api_keys.identify(session, raw, IP, clock.now()))
        return caller.is_touch_due(clock.now())

    assert due()
    database.run(lambda session: api_keys.touch(session, row.id, clock.now()))
    assert not due()
    clock.advance(60)
    assert due()


def test_client_may_have_so_many_keys(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MAX_KEYS", 2)
    client = sqlite_database.run(lambda session: clients.create(session, "C-1", "Ana", SYSTEM, clock.now()))
    row, _ = make(sqlite_database, clock, client)
    make(sqlite_database, clock, client)
    with pytest.raises(Conflict):
        make(sqlite_database, clock, client)
    sqlite_database.run(
        lambda session: api_keys.revoke(session, api_keys.find(session, SYSTEM, row.id), SYSTEM, clock.now())
    )
    make(sqlite_database, clock, client)

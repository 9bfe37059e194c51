"""The command line against the real application: JSON on stdout, refusals as JSON on stderr."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app import create_app
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.core.errors import Unauthenticated
from app.core.ids import new_id
from app.core.schema import is_current
from app.core.transaction import Database
from app.models import AuditRecord, Posting
from app.services import api_keys, audit, demo, faults, sign_in
from tests.conftest import PRODUCTION

Run = Callable[..., Any]
IP = "127.0.0.1"


@pytest.fixture
def app(database_url: str, clock: ManualClock) -> Flask:
    return create_app(TestingConfig(database_url=database_url), clock=clock)


@pytest.fixture
def database(app: Flask) -> Any:
    database: Database = app.extensions["services"].database
    yield database
    database.dispose()


@pytest.fixture
def run(app: Flask, database: Database) -> Run:
    """``run("users", "create", ...)`` gives what was printed as JSON."""

    def run_(*arguments: str, status: int = 0, typed: str | None = None) -> Any:
        result = app.test_cli_runner().invoke(args=list(arguments), input=typed)
        assert result.exit_code == status, result.output
        return json.loads(result.stderr if status and not result.stdout else result.stdout)

    return run_


def test_client_wallet_and_key_from_nothing(run: Run, database: Database, clock: ManualClock) -> None:
    client = run("clients", "create", "--code", "C-7", "--name", "Ana", "--email", "ana@example.org")
    wallet = run("wallets", "create", "--client", "C-7", "--balance", "USDT=100000", "--balance", "USD=50000.25")
    assert wallet["client_id"] == client["id"]
    assert wallet["balances"] == {"USD": "50000.25", "USDT": "100000"}
    key = run("keys", "create", "--client", "C-7", "--scopes", "read,trade")
    caller = database.read(lambda session: api_keys.authenticate(session, key["key"], IP, clock.now()))
    assert caller.client_id == client["id"] and caller.scopes == {"read", "trade"}
    actors = database.read(lambda session: set(session.scalars(sa.select(AuditRecord.actor))))
    assert actors == {"system"}


def test_clients_from_a_file_and_into_one(run: Run, database: Database, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("code,name,identity_type,identity_number\nC-7,Ana,dni,10117410-2\nC-8,Eva,dni,1\n")
    tried = run("clients", "import", str(source), "--dry-run")
    assert (tried["dry_run"], tried["good"], run("clients", "list")["total"]) == (True, 1, 0)
    made = run("clients", "import", str(source))
    assert (made["good"], [item["code"] for item in made["items"]]) == (1, ["C-8"])
    assert run("clients", "export", str(target), "--status", "active") == {"file": str(target), "clients": 1}
    assert "C-7,person,Ana,,,,dni,10117410,PE" in target.read_text(encoding="utf-8-sig")


@pytest.mark.parametrize("name", ["a\u200bb", "a\u202eb", " ", "x" * 201])
@pytest.mark.parametrize(
    "command",
    [
        ("clients", "create", "--code", "C-8"),
        ("wallets", "create", "--client", "C-7"),
        ("keys", "create", "--client", "C-7", "--scopes", "read"),
        ("users", "create", "--email", "mia@example.org", "--role", "trader", "--generate-password"),
    ],
    ids=lambda command: command[0],
)
def test_a_name_the_api_refuses_is_refused_here(run: Run, command: tuple[str, ...], name: str) -> None:
    run("clients", "create", "--code", "C-7", "--name", "Ana")
    problem = run(*command, "--name", name, status=1)
    assert (problem["status"], [error["field"] for error in problem["errors"]]) == (422, ["name"])


def test_firms_key_with_its_limits(run: Run, database: Database, clock: ManualClock) -> None:
    key = run(
        "keys",
        "create",
        "--system",
        "--scopes",
        "read, admin",
        "--act-for-clients",
        "--expires-days",
        "1",
        "--allowed-ip",
        "192.0.2.0/24",
        "--name",
        "CRM",
    )
    assert key["system"] and key["act_for_clients"] and key["name"] == "CRM"
    assert database.read(lambda session: api_keys.authenticate(session, key["key"], "192.0.2.7", clock.now()))
    clock.advance(24 * 3600)
    with pytest.raises(Unauthenticated):
        database.read(lambda session: api_keys.authenticate(session, key["key"], "192.0.2.7", clock.now()))


def test_key_is_rotated_and_revoked(run: Run, database: Database, clock: ManualClock) -> None:
    old = run("keys", "create", "--system", "--scopes", "read")
    new = run("keys", "rotate", old["prefix"], "--overlap-hours", "1")
    for key in (old, new):
        assert database.read(lambda session, key=key: api_keys.authenticate(session, key["key"], IP, clock.now()))
    assert run("keys", "revoke", new["prefix"])["revoked_at"]
    with pytest.raises(Unauthenticated):
        database.read(lambda session: api_keys.authenticate(session, new["key"], IP, clock.now()))


def test_user_signs_in_with_the_generated_password_until_disabled(
    run: Run, database: Database, clock: ManualClock
) -> None:
    user = run(
        "users", "create", "--email", "Mia@Example.org", "--name", "Mia", "--role", "trader", "--generate-password"
    )
    assert user["email"] == "mia@example.org"
    assert sign_in.open_session(database, user["email"], user["password"], IP, None, clock.now())
    assert run("users", "disable", "mia@example.org")["sessions_ended"] == 1
    with pytest.raises(Unauthenticated):
        sign_in.open_session(database, user["email"], user["password"], IP, None, clock.now())


def test_password_from_standard_input_is_not_printed(run: Run, database: Database, clock: ManualClock) -> None:
    run("clients", "create", "--code", "C-7", "--name", "Ana")
    user = run(
        "users",
        "create",
        "--email",
        "ana@example.org",
        "--name",
        "Ana",
        "--role",
        "client",
        "--client",
        "C-7",
        "--password-stdin",
        typed="violin-otter-47\n",
    )
    assert "violin" not in json.dumps(user)
    signed_in = sign_in.open_session(database, "ana@example.org", "violin-otter-47", IP, None, clock.now())
    assert signed_in.principal.client_id == user["client_id"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (
            ("users", "create", "--email", "x", "--name", "X", "--role", "master", "--generate-password"),
            "invalid_email",
        ),
        (("users", "disable", "nobody@example.org"), "not_found"),
        (("clients", "create", "--code", "C 7", "--name", "X"), "invalid_code"),
        (("clients", "create", "--code", "C-7", "--name", "X", "--trader", "nobody@example.org"), "not_found"),
        (("wallets", "create", "--client", "C-404"), "not_found"),
        (("keys", "create", "--client", "C-404", "--scopes", "read"), "not_found"),
        (("keys", "create", "--scopes", "read"), "client_or_system"),
        (("keys", "create", "--system", "--scopes", "fly"), "unknown_scope"),
        (("keys", "revoke", "ck_nothing"), "not_found"),
    ],
)
def test_refusal_is_a_problem_on_stderr(run: Run, arguments: tuple[str, ...], code: str) -> None:
    problem = run(*arguments, status=1)
    assert problem["code"] == code and problem["detail"] and problem["status"] in (404, 422)


@pytest.mark.parametrize(
    ("balance", "code"),
    [
        ("USDT=NaN", "invalid_amount"),
        ("USDT=1e400", "invalid_amount"),
        ("USDT=\u0661", "invalid_amount"),
        ("USDT", "invalid_amount"),
        ("USDT=0", "amount_out_of_range"),
        ("USDT=-1", "amount_out_of_range"),
        ("USD=1.001", "precision"),
        ("DOGE=1", "unknown_asset"),
        ("=1", "unknown_asset"),
    ],
)
def test_bad_starting_balance_opens_no_wallet(run: Run, database: Database, balance: str, code: str) -> None:
    run("clients", "create", "--code", "C-7", "--name", "Ana")
    problem = run("wallets", "create", "--client", "C-7", "--balance", "EUR=5", "--balance", balance, status=1)
    assert problem["code"] == code
    assert database.read(lambda session: session.scalar(sa.select(sa.func.count(Posting.id)))) == 0


def test_same_asset_twice_is_refused(run: Run) -> None:
    run("clients", "create", "--code", "C-7", "--name", "Ana")
    problem = run("wallets", "create", "--client", "C-7", "--balance", "USD=1", "--balance", "usd=2", status=1)
    assert problem["code"] == "repeated"


def test_reconcile_and_audit_tell_what_is_broken(run: Run, database: Database, clock: ManualClock) -> None:
    run("clients", "create", "--code", "C-7", "--name", "Ana")
    run("wallets", "create", "--client", "C-7", "--balance", "USD=10")
    assert run("reconcile")["ok"]
    database.run(audit.chain)
    assert run("audit", "verify") == {"ok": True, "breaks": []}


# what the engine had to park


def parked(database: Database, clock: ManualClock, error: str = "poison") -> str:
    now = clock.now()
    return database.run(lambda session: faults.park(session, now, "send", "order", new_id(), error))


def test_faults_are_listed_retried_and_resolved(run: Run, database: Database, clock: ManualClock) -> None:
    assert run("engine", "faults") == {"items": [], "total": 0, "limit": 500, "offset": 0, "has_more": False}
    first, second = parked(database, clock), parked(database, clock, "other")
    assert [item["id"] for item in run("engine", "faults")["items"]] == [second, first]
    assert run("engine", "retry", first)["retry_at"] is not None
    resolved = run("engine", "resolve", first, "--note", "sent by telephone")
    assert (resolved["resolution"], resolved["resolved_by_name"]) == ("sent by telephone", "system")
    assert [item["id"] for item in run("engine", "faults")["items"]] == [second]
    assert [item["id"] for item in run("engine", "faults", "--all")["items"]] == [second, first]
    page = run("engine", "faults", "--all", "--limit", "1", "--offset", "1")
    assert ([item["id"] for item in page["items"]], page["total"]) == ([first], 2)
    actions = database.read(lambda session: list(session.scalars(sa.select(AuditRecord.action))))
    assert sorted(actions) == ["fault.resolve", "fault.retry"]


def test_what_cannot_be_retried_or_resolved_is_refused(run: Run, database: Database, clock: ManualClock) -> None:
    fault_id = parked(database, clock)
    for note, code in (("ab", "string_too_short"), ("x" * 301, "string_too_long")):
        problem = run("engine", "resolve", fault_id, "--note", note, status=1)
        assert (problem["status"], problem["code"]) == (422, code)
    assert run("engine", "retry", "nothing", status=1)["code"] == "not_found"
    run("engine", "resolve", fault_id, "--note", "abc")
    assert run("engine", "retry", fault_id, status=1)["code"] == "unchanged"
    assert run("engine", "resolve", fault_id, "--note", "again", status=1)["code"] == "unchanged"


# the schema


def test_empty_database_says_what_to_do_and_is_upgraded(tmp_path: Path) -> None:
    app = create_app(TestingConfig(database_url=f"sqlite:///{tmp_path / 'new.db'}"))
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["clients", "create", "--code", "C-1", "--name", "Ana"])
    assert refused.exit_code == 1
    assert json.loads(refused.stderr)["code"] == "database_error"
    database = app.extensions["services"].database
    assert not is_current(database)
    for _ in range(2):
        assert runner.invoke(args=["db", "upgrade"]).exit_code == 0
        assert is_current(database)
    assert runner.invoke(args=["db", "check"]).exit_code == 0
    assert runner.invoke(args=["db", "history"]).exit_code == 0
    assert runner.invoke(args=["clients", "create", "--code", "C-1", "--name", "Ana"]).exit_code == 0
    database.dispose()


# the demo


@pytest.fixture
def demo_app(tmp_path: Path, sqlite_template: Path) -> Any:
    path = tmp_path / "var" / "cambista.db"
    path.parent.mkdir()
    path.write_bytes(sqlite_template.read_bytes())
    app = create_app(TestingConfig(database_url=f"sqlite:///{path}", port=5123))
    yield app
    app.extensions["services"].database.dispose()


def test_demo_shows_the_same_keys_at_every_start(demo_app: Flask, tmp_path: Path) -> None:
    runner = demo_app.test_cli_runner()
    first = json.loads(runner.invoke(args=["demo", "load", "--if-empty"]).stdout)
    file = tmp_path / "var" / "demo_keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first["loaded"] and json.loads(file.read_text()) == first["keys"]
    second = json.loads(runner.invoke(args=["demo", "load", "--if-empty"]).stdout)
    assert not second["loaded"] and second["keys"] == first["keys"]
    shown = runner.invoke(args=["demo", "load", "--if-empty", "--human"]).stdout
    for expected in ("http://127.0.0.1:5123", demo.PASSWORD, "trader@demo.cambista", *first["keys"].values()):
        assert expected in shown
    file.unlink()
    third = json.loads(runner.invoke(args=["demo", "load", "--if-empty"]).stdout)
    assert set(third["keys"].values()).isdisjoint(first["keys"].values())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"client": 3}', '{"client": "ck_x", "system": null}'])
def test_damaged_key_file_is_written_anew(demo_app: Flask, tmp_path: Path, content: str) -> None:
    file = tmp_path / "var" / "demo_keys.json"
    file.write_text(content)
    result = demo_app.test_cli_runner().invoke(args=["demo", "load"])
    assert result.exit_code == 0
    assert json.loads(file.read_text()) == json.loads(result.stdout)["keys"]


def test_firm_of_ones_own_is_left_alone(demo_app: Flask, tmp_path: Path) -> None:
    runner = demo_app.test_cli_runner()
    runner.invoke(args=["clients", "create", "--code", "REAL-1", "--name", "Real"])
    answer = json.loads(runner.invoke(args=["demo", "load", "--if-empty"]).stdout)
    assert not answer["loaded"] and answer["keys"] == {} and answer["sign_ins"] == []
    assert demo.PASSWORD not in runner.invoke(args=["demo", "load", "--if-empty", "--human"]).stdout


def test_demo_is_refused_in_production(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "cambista.db"
    path.write_bytes(sqlite_template.read_bytes())
    settings = TestingConfig(database_url=f"sqlite:///{path}", environment="production", **PRODUCTION)
    app = create_app(settings)
    result = app.test_cli_runner().invoke(args=["demo", "load"])
    assert result.exit_code == 1 and json.loads(result.stderr)["code"] == "demo_in_production"
    assert app.extensions["services"].database.read(demo.is_empty)
    app.extensions["services"].database.dispose()


def test_users_are_listed_given_a_password_and_disabled(run: Run, database: Database, clock: ManualClock) -> None:
    run("users", "create", "--email", "m@example.com", "--name", "M", "--role", "master", "--generate-password")
    run("users", "create", "--email", "eva@example.com", "--name", "Eva", "--role", "trader", "--generate-password")
    assert [user["name"] for user in run("users", "list")["items"]] == ["Eva", "M"]
    assert [user["name"] for user in run("users", "list", "--role", "trader")["items"]] == ["Eva"]
    given = run("users", "password", "eva@example.com", "--one-time")
    assert given["must_change_password"] is True
    signed = sign_in.open_session(database, "eva@example.com", given["one_time_password"], IP, None, clock.now())
    assert signed.user.must_change_password
    typed = run("users", "password", "eva@example.com", "--password-stdin", typed="a longer word 41\n")
    assert (typed["must_change_password"], typed["sessions_ended"]) == (False, 1) and "one_time_password" not in typed
    sign_in.open_session(database, "eva@example.com", "a longer word 41", IP, None, clock.now())
    assert run("users", "disable", "eva@example.com")["active"] is False
    assert [user["name"] for user in run("users", "list", "--disabled")["items"]] == ["Eva"]
    refused = run("users", "disable", "m@example.com", status=1)
    assert refused["code"] == "last_master"
    assert run("users", "password", "nobody@example.com", "--one-time", status=1)["status"] == 404


def test_clients_and_their_limits_are_listed(run: Run) -> None:
    run("clients", "create", "--code", "C-7", "--name", "Ana")
    run("clients", "create", "--code", "C-8", "--name", "Luis")
    assert [client["code"] for client in run("clients", "list")["items"]] == ["C-7", "C-8"]
    assert [client["code"] for client in run("clients", "list", "--search", "lui")["items"]] == ["C-8"]
    assert run("clients", "list", "--inactive")["total"] == 0
    assert run("clients", "limits", "C-7") == {"items": []}


def test_keys_are_listed_without_their_secrets(run: Run) -> None:
    run("clients", "create", "--code", "C-7", "--name", "Ana")
    bound = run("keys", "create", "--client", "C-7", "--scopes", "read")
    firm = run("keys", "create", "--system", "--scopes", "read")
    listed = run("keys", "list")
    assert [key["prefix"] for key in listed["items"]] == [firm["prefix"], bound["prefix"]]
    assert bound["key"] not in json.dumps(listed)
    assert [key["prefix"] for key in run("keys", "list", "--client", "C-7")["items"]] == [bound["prefix"]]
    assert run("keys", "revoke", bound["prefix"])["revoked_at"]
    assert [key["prefix"] for key in run("keys", "list", "--live")["items"]] == [firm["prefix"]]

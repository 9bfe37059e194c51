"""The product as a process of its own, on a free port, with a database of its own and the demo firm."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "Cambista-demo-2026"
START_SECONDS = 40


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(folder: Path, port: int, **settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "DATABASE_URL": f"sqlite:///{folder / 'browser.db'}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MARKET_FEED": "manual",
        "SIM_VENUE_LATENCY_MS": "50",
        "SIM_VENUE_SLIPPAGE_BPS": "0",
        "ORDER_RATE_PER_SECOND": "1000",
        "REQUEST_RATE_PER_SECOND": "5000",
        "WEIGHT_PER_MINUTE": "300000",
        **settings,
    }


@dataclass
class Server:
    """A running server; ``system_key`` sets quotes and acts for clients."""

    url: str
    system_key: str
    process: subprocess.Popen[bytes]
    log: Path

    def api(self, method: str, path: str, **body: Any) -> Any:
        response = requests.request(
            method, self.url + "/api/v1" + path, json=body or None, headers={"X-API-Key": self.system_key}, timeout=10
        )
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def set_quote(self, symbol: str, bid: str, ask: str) -> None:
        self.api("POST", "/market/quotes", symbol=symbol, bid=bid, ask=ask, confirm=True)

    def close_positions(self) -> None:
        """Sell what every wallet holds in a position, and wait until nothing is open."""
        until = time.monotonic() + START_SECONDS
        while positions := self.api("GET", "/positions?open=true&limit=200")["items"]:
            assert time.monotonic() < until, f"positions are still open: {positions}"
            for position in positions:
                if position["status"] == "OPEN":
                    self.api("POST", f"/positions/{position['id']}/close", all=True)
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


def _flask(settings: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *arguments],
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def prepared(shared: Path) -> Path:
    """A folder with a database that holds the demo firm; made by the first who asks, for all workers of a run."""
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = shared / "done"
        if not done.exists():
            folder = shared / "demo"
            folder.mkdir()
            environ = environment(folder, free_port(), ASYNC_MODE="threading")
            _flask(environ, "db", "upgrade")
            _flask(environ, "demo", "load")
            scopes = "read,trade,clients,admin"
            made = _flask(environ, "keys", "create", "--system", "--act-for-clients", "--scopes", scopes)
            (folder / "system_key.json").write_text(made, encoding="utf-8")
            done.touch()
    return shared / "demo"


def start(factory: pytest.TempPathFactory, **settings: str) -> Server:
    """Serve the demo firm from a database of its own; returns once it is ready."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = factory.mktemp("server")
    shutil.copytree(prepared(shared / "prepared"), folder, dirs_exist_ok=True)
    made = json.loads((folder / "system_key.json").read_text(encoding="utf-8"))
    port = free_port()
    environ = environment(folder, port, **settings)
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "run.py"], cwd=ROOT, env=environ, stdout=out, stderr=out)
    server = Server(f"http://127.0.0.1:{port}", made["key"], process, log)
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            if requests.get(server.url + "/ready", timeout=2).ok:
                return server
        except requests.ConnectionError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            server.stop()
            raise AssertionError("the server did not start:\n" + log.read_text()[-4000:])
        time.sleep(0.1)

"""Several processes of one installation: web processes without an engine, engines without HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.core.transaction import normalize_url
from app.models import EngineLease, table_of

from .server import START_SECONDS, Server

leases = table_of(EngineLease)


class Installation:
    """``webs`` processes that answer requests and ``engines`` that do not; without engines one does both."""

    def __init__(self, url: str, folder: Path, webs: int = 1, engines: int = 0, **settings: str) -> None:
        role = "off" if engines else "on"
        names = ["server"] if webs == 1 and not engines else [f"web{number}" for number in range(1, webs + 1)]
        self.webs = [Server(url, folder, name=name, ENGINE=role, **settings) for name in names]
        self.engines = [
            Server(url, folder, name=f"engine{number}", ENGINE="only", **settings) for number in range(1, engines + 1)
        ]
        self.processes = self.webs + self.engines
        self.url = url
        self._database = sa.create_engine(normalize_url(url), poolclass=sa.NullPool)

    def start(self) -> float:
        """Start what does not run; returns the seconds until every web process is ready."""
        began = time.monotonic()
        for process in self.processes:
            if not process.alive():
                process.launch()
        for web in self.webs:
            web.wait_ready()
        return time.monotonic() - began

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    def leader(self) -> Server:
        """The process that the lease names; whether it lives is another question."""
        query = sa.select(leases.c.holder).where(leases.c.shard == 0)
        with self._database.connect() as connection:
            holder = str(connection.execute(query).scalar_one())
        pid = int(holder.rpartition(":")[2])
        for process in self.engines or self.webs:
            if process.process is not None and process.process.pid == pid:
                return process
        raise AssertionError(f"the lease names {holder}, which is none of ours")

    def epoch(self) -> int:
        """How often an engine has begun to lead."""
        with self._database.connect() as connection:
            return int(connection.execute(sa.select(leases.c.epoch).where(leases.c.shard == 0)).scalar_one())

    def wait_for_leader(self, epoch: int, limit: float = START_SECONDS) -> float:
        """Until an engine of a later epoch leads and every web process that lives says so; the seconds it took."""

        def led() -> bool:
            return self.epoch() > epoch and all(web.ready()[0] == 200 for web in self.webs if web.alive())

        return wait_until(led, limit, "no other engine leads")

    def standby(self) -> Server:
        leader = self.leader()
        return next(process for process in self.engines if process is not leader)

    def wait_for_beat(self, process: Server) -> None:
        """Until an engine that hung or has just started says in a heartbeat of its own that it does not lead."""
        assert process.process is not None
        asked = sa.text(
            'SELECT count(*) FROM engine_heartbeats WHERE holder LIKE :pid AND NOT "leading" '
            "AND at > clock_timestamp() - interval '1.5 seconds'"
        )
        pid = f"%:{process.process.pid}"

        def beats() -> bool:
            with self._database.connect() as connection:
                return bool(connection.execute(asked, {"pid": pid}).scalar_one())

        wait_until(beats, START_SECONDS, "the engine is not heard of again")

    def wait_for_standby(self) -> None:
        """Until every engine has been heard of: from then on each of them can take over."""
        heard = sa.text("SELECT count(*) FROM engine_heartbeats WHERE holder LIKE :pid")

        def all_heard() -> bool:
            with self._database.connect() as connection:
                return all(
                    connection.execute(heard, {"pid": f"%:{one.process.pid}"}).scalar_one()
                    for one in self.engines
                    if one.process is not None
                )

        wait_until(all_heard, START_SECONDS, "an engine is never heard of")


def wait_until(true: Callable[[], Any], limit: float, otherwise: str | Callable[[], str]) -> float:
    """Poll until it is true; the seconds it took."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > limit:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(0.02)
    return time.monotonic() - began


@contextmanager
def installed(url: str, folder: Path, webs: int = 1, engines: int = 0, **settings: str) -> Iterator[Installation]:
    """A running installation that is ended afterwards."""
    installation = Installation(url, folder, webs, engines, **settings)
    try:
        installation.start()
        yield installation
    finally:
        installation.kill()

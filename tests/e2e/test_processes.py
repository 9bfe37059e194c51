"""Two web processes and two engines on PostgreSQL and Redis; scripts/crash and scripts/outage are the whole proofs."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
import socketio
import sqlalchemy as sa
from socketio.exceptions import SocketIOError

from app.core.ids import new_id
from app.services.catalog import WATCH_SECONDS

from .installation import Installation, installed, wait_until
from .server import Caller, Firm, Postgres, Redis, Server, fresh_postgres, own_postgres, prepare, redis_server

pytestmark = pytest.mark.postgres
# The proofs hold five seconds on a quiet machine; here others run beside it.
SECONDS = 20.0
QUOTE_SECONDS = 0.2
SETTLED = {"FILLED", "CANCELED", "REJECTED", "EXPIRED"}


@dataclass
class Desk:
    """An installation with a firm in it; ``callers`` are the first client's, one at each web process."""

    processes: Installation
    firm: Firm
    postgres: Postgres
    redis: Redis
    callers: list[Caller] = field(default_factory=list)

    def order(self, web: int = 0, **fields: str) -> dict[str, Any]:
        body = {"client_order_id": new_id(), "symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.02"}
        status, order = self.callers[web].call("POST", "/api/v1/orders", body | fields)
        assert status == 201, order
        return order

    def wait_filled(self, order: dict[str, Any], web: int = 1) -> None:
        path = f"/api/v1/orders/{order['id']}"
        wait_until(lambda: self.callers[web].get(path)["status"] in SETTLED, SECONDS, self.tails)
        assert self.callers[web].get(path)["status"] == "FILLED"

    def prices(self) -> list[dict[str, tuple[str, str]]]:
        """The book of each web process: by symbol the bid and when it was received."""
        return [
            {
                item["symbol"]: (item["bid"], item["received_at"])
                for item in caller.get("/api/v1/market/quotes")["items"]
            }
            for caller in self.callers
        ]

    def reconciled(self) -> None:
        admin = self.processes.webs[0].caller(self.firm.admin)
        report = admin.get("/api/v1/admin/reconcile")
        assert report["ok"], report["breaks"]
        assert admin.get("/api/v1/admin/engine")["faults"]["total"] == 0
        admin.close()

    def tails(self) -> str:
        return "\n".join(f"{process.name}:\n{process.tail()}" for process in self.processes.processes)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("processes")
    with own_postgres() as postgres, fresh_postgres(postgres.url) as url, redis_server() as cache:
        firm = prepare(url)
        # fast enough that a second source of prices would be seen
        settings = {"REDIS_URL": cache.url, "SIM_FEED_INTERVAL": str(QUOTE_SECONDS), "SIM_VENUE_PARTIAL_RATE": "0"}
        with installed(url, folder, webs=2, engines=2, **settings) as processes:
            yield Desk(processes, firm, postgres, cache)


@pytest.fixture
def desk(running: Desk) -> Iterator[Desk]:
    """All of it at work, whatever the test before did."""
    running.processes.start()
    running.processes.wait_for_standby()
    running.callers = [web.caller(running.firm.clients[0]) for web in running.processes.webs]
    for caller in running.callers:
        shown = lambda caller=caller: caller.call("GET", "/api/v1/market/quotes/BTCUSDT")[1]  # noqa: E731
        wait_until(lambda shown=shown: shown().get("stale") is False, SECONDS, "no fresh price reaches it")
    yield running
    for caller in running.callers:
        caller.close()


def listen(server: Server, key: str) -> socketio.SimpleClient:
    client = socketio.SimpleClient()
    client.connect(f"http://127.0.0.1:{server.port}", auth={"key": key}, transports=["websocket"], wait_timeout=10)
    return client


def hear(client: socketio.SimpleClient, true: Callable[[str, Any], bool]) -> Any:
    """The first event for which it is true."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        name, *data = client.receive(timeout=SECONDS)
        if data and true(name, data[0]):
            return data[0]
    raise AssertionError("it was never heard")


def test_an_order_through_one_process_fills_and_is_heard_at_the_other(desk: Desk) -> None:
    client = listen(desk.processes.webs[1], desk.firm.clients[0])
    try:
        order = desk.order(web=0)
        filled = hear(client, lambda name, data: name == "order.filled" and data["data"]["id"] == order["id"])
        assert filled["data"]["status"] == "FILLED"
    finally:
        client.disconnect()
    desk.wait_filled(order)
    desk.reconciled()


def test_every_process_shows_the_prices_of_the_engine_that_leads(desk: Desk) -> None:
    """One walk publishes every 0.2 s; a standby's beside it would publish as often again."""
    keys = redis.Redis.from_url(desk.redis.url)
    published, shown = set(), set()
    began = time.monotonic()
    while time.monotonic() - began < 3:
        published.add(json.loads(keys.get("cambista:quote:BTC/USDT"))["received_at"])
        shown |= {prices["BTC/USDT"] for prices in desk.prices()}
    keys.close()
    seconds = time.monotonic() - began
    assert 2 < len(published) <= seconds / QUOTE_SECONDS + 2
    assert len({at for _, at in shown}) == len(shown), "one moment has one price"


def test_a_change_of_the_catalogue_reaches_every_process(desk: Desk) -> None:
    def status(web: int) -> str:
        items = desk.callers[web].get("/api/v1/market/instruments")["items"]
        return str(next(item["status"] for item in items if item["symbol"] == "TSLA"))

    def change(to: str) -> None:
        engine = sa.create_engine(desk.processes.url.replace("postgresql://", "postgresql+psycopg2://"))
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE instruments SET status = :to WHERE symbol = 'TSLA'"), {"to": to})
        engine.dispose()

    for to in ("halted", "trading"):
        change(to)
        taken = wait_until(lambda to=to: [status(0), status(1)] == [to, to], WATCH_SECONDS + SECONDS, "never seen")
        assert taken < WATCH_SECONDS + 5


def test_kill_9_of_the_leader_and_the_other_leads(desk: Desk) -> None:
    before = desk.prices()[0]
    leader, epoch = desk.processes.leader(), desk.processes.epoch()
    order = desk.order()
    leader.kill()
    assert desk.processes.wait_for_leader(epoch) < SECONDS
    assert desk.processes.leader() is not leader
    desk.wait_filled(order)
    wait_until(lambda: desk.prices()[0]["BTC/USDT"][1] > before["BTC/USDT"][1], SECONDS, "the prices stand still")
    moved = float(desk.prices()[0]["BTC/USDT"][0]) / float(before["BTC/USDT"][0])
    assert 0.99 < moved < 1.01, "the market goes on where it stood"
    desk.wait_filled(desk.order(web=1))
    desk.reconciled()


def test_a_hung_leader_is_replaced_and_changes_nothing_when_it_wakes(desk: Desk) -> None:
    leader, epoch = desk.processes.leader(), desk.processes.epoch()
    order = desk.order()
    leader.pause()
    try:
        assert desk.processes.wait_for_leader(epoch) < SECONDS
        desk.wait_filled(order)
    finally:
        leader.wake()
    wait_until(
        lambda: "engine.lease_lost" in leader.tail() or "database_unavailable" in leader.tail(), SECONDS, desk.tails
    )
    desk.processes.wait_for_beat(leader)
    assert (desk.processes.epoch(), desk.processes.leader() is leader) == (epoch + 1, False)
    assert [web.ready()[0] for web in desk.processes.webs] == [200, 200]
    desk.wait_filled(desk.order(web=1))
    desk.reconciled()


@pytest.mark.parametrize("loaded", [False, True], ids=["idle", "under load"])
def test_postgresql_restarts_and_an_engine_leads_again(desk: Desk, loaded: bool) -> None:
    epoch = desk.processes.epoch()
    orders = [desk.order(web=number % 2) for number in range(10)] if loaded else []
    desk.postgres.stop()
    for web in desk.processes.webs:
        status, answer = web.ready()
        assert (status, answer["checks"]["database"]) == (503, "not reachable")
    desk.postgres.start()
    assert desk.processes.wait_for_leader(epoch) < SECONDS
    for order in orders:
        desk.wait_filled(order)
    desk.wait_filled(desk.order())
    desk.reconciled()


def filled_since(client: socketio.Client, cursor: int) -> set[str]:
    """What a page asks when it is connected again; nothing while it is not: it may be sent back twice."""
    try:
        answer = client.call("resume", {"after": cursor}, timeout=10)
    except (SocketIOError, TimeoutError):
        time.sleep(0.5)
        return set()
    return {event["data"]["id"] for event in answer.get("events", ()) if event["type"] == "order.filled"}


# the client library forgets the connection that was ended under it
@pytest.mark.filterwarnings("ignore:Exception ignored in.*socket:pytest.PytestUnraisableExceptionWarning")
def test_redis_away_stops_no_order_and_sockets_come_back_for_what_they_missed(desk: Desk) -> None:
    connected, heard = [], []
    client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=0.5)
    client.on("ready", lambda data: connected.append(data["cursor"]))
    client.on("order.filled", lambda event: heard.append(event["data"]["id"]))
    url = f"http://127.0.0.1:{desk.processes.webs[1].port}"
    client.connect(url, auth={"key": desk.firm.clients[0]}, transports=["websocket"], wait_timeout=10)
    try:
        wait_until(lambda: connected, SECONDS, "it was never let in")
        desk.redis.kill()
        try:
            missed = desk.order()
            desk.wait_filled(missed)
        finally:
            desk.redis.start()
        wait_until(lambda: len(connected) > 1, SECONDS, "it was never sent back for what it missed")
        wait_until(
            lambda: missed["id"] in filled_since(client, connected[0]), SECONDS, "it is never told what it missed"
        )
        order = desk.order()
        wait_until(lambda: order["id"] in heard, SECONDS, desk.tails)
    finally:
        client.disconnect()
        gc.collect()
    desk.reconciled()

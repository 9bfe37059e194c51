"""A real server on a loopback port and real clients on both transports."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from queue import Queue
from typing import Any

import pytest
import requests
import socketio as socketio_client
import sqlalchemy as sa
import websocket
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask_socketio import SocketIO
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from app.config import TestingConfig
from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Role
from app.core.transaction import Database
from app.extensions import EventJson
from app.models import Client, Event, UserSession
from app.realtime import handlers, socket_gate
from app.services import api_keys, clients, market, users
from app.services.container import Services
from app.services.sockets import TOKEN, SocketAccess

WAIT = 10  # seconds until a missing answer fails the test


@dataclass
class Firm:
    """Two clients; the trader serves the first one."""

    ana: Client
    luis: Client
    trader_id: str
    keys: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)


def _firm(session: Session, now: datetime) -> Firm:
    market.seed_instruments(session)
    trader = users.create(
        session, email="t@firm.example", name="T", role=Role.TRADER, password_hash="-", principal=SYSTEM, now=now
    )
    ana = clients.create(session, "C-1", "Ana", SYSTEM, now, trader_id=trader.id)
    luis = clients.create(session, "C-2", "Luis", SYSTEM, now)
    firm = Firm(ana, luis, trader.id)
    requests = {
        "ana": api_keys.KeyRequest("ana", ("read", "trade"), client=ana),
        "luis": api_keys.KeyRequest("luis", ("read", "trade"), client=luis),
        "firm": api_keys.KeyRequest("firm", ("read",), system=True),
        "blind": api_keys.KeyRequest("blind", ("trade",), client=ana),
    }
    for name, request in requests.items():
        row, firm.keys[name] = api_keys.create(session, request, SYSTEM, now)
        firm.ids[name] = row.id
    return firm


class Listener:
    """A connected client that keeps what it hears."""

    def __init__(self, url: str, **options: Any) -> None:
        self.heard: Queue[tuple[str, Any]] = Queue()
        self.gone = threading.Event()
        self.sio = socketio_client.Client(reconnection=False)
        self.sio.on("*", lambda event, data=None: self.heard.put((event, data)))
        self.sio.on("disconnect", lambda *_: self.gone.set())
        self.sio.connect(url, wait_timeout=WAIT, **options)
        if self.sio.eio.ws is not None:  # else it waits seconds for a farewell the server does not send
            self.sio.eio.ws.close = partial(self.sio.eio.ws.close, timeout=0)

    def next(self, name: str) -> Any:
        while True:
            event, data = self.heard.get(timeout=WAIT)
            if event == name:
                return data

    def ask(self, event: str, data: Any) -> Any:
        return self.sio.call(event, data, timeout=WAIT)

    def close(self) -> None:
        self.sio.disconnect()


@dataclass
class Live:
    url: str
    app: Flask
    socketio: SocketIO
    sockets: handlers.Sockets
    services: Any
    firm: Firm
    _listeners: list[Listener] = field(default_factory=list)

    def listen(self, key: str | None = None, *, transport: str = "websocket", **options: Any) -> Listener:
        if key is not None:
            options["auth"] = {"key": self.firm.keys[key]}
        if transport != "upgrade":  # what clients do by themselves: polling first, then websocket
            options["transports"] = [transport]
        self._listeners.append(Listener(self.url, **options))
        return self._listeners[-1]

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()

    def number_events(self, client_id: str, count: int) -> None:
        """Events as the relay leaves them, numbered after those that are there."""

        def work(session: Session) -> None:
            last = session.scalar(sa.select(sa.func.max(Event.ordinal))) or 0
            seq = session.scalar(sa.select(sa.func.max(Event.seq)).where(Event.stream == client_id)) or 0
            session.execute(
                sa.insert(Event),
                [
                    {
                        "event_id": new_id(),
                        "stream": client_id,
                        "type": "order.new",
                        "object_type": "order",
                        "object_id": new_id(),
                        "object_version": 1,
                        "payload": '{"data":{}}',
                        "at": self.services.clock.now(),
                        "seq": seq + i,
                        "ordinal": last + i,
                    }
                    for i in range(1, count + 1)
                ],
            )

        self.services.database.run(work)


@pytest.fixture
def live(sqlite_database: Database, clock: ManualClock) -> Iterator[Live]:
    app = Flask(__name__)
    app.secret_key = "for this test"
    socketio = SocketIO(async_mode="threading", json=EventJson, manage_session=False)
    socketio.init_app(app)
    firm = sqlite_database.run(lambda session: _firm(session, clock.now()))
    nothing: Any = None
    services = Services(
        settings=TestingConfig(),
        clock=clock,
        database=sqlite_database,
        instruments=sqlite_database.read(market.load_instruments),
        quotes=nothing,
        orders=nothing,
        positions=nothing,
        bars=nothing,
        order_entry=nothing,
        approvals=nothing,
        documents=nothing,
        kyc=nothing,
        bank_accounts=nothing,
        withdrawals=nothing,
        payments=nothing,
        papers=nothing,
    )
    sockets = handlers.register(socketio, SocketAccess(services), clock)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    result = Live(f"http://127.0.0.1:{server.server_port}", app, socketio, sockets, services, firm)
    yield result
    result.close()
    server.shutdown()
    thread.join()
    server.server_close()


def _cookie(live: Live, user_id: str) -> str:
    """A browser session of a user, as the cookie header carries it."""
    token, now = "a token", live.services.clock.now()
    row = UserSession(
        id=new_id(), user_id=user_id, token_hash=hashlib.sha256(token.encode()).hexdigest(), created_at=now, seen_at=now
    )
    live.services.database.run(lambda session: session.add(row))
    serializer = SecureCookieSessionInterface().get_signing_serializer(live.app)
    assert serializer is not None
    return f"session={serializer.dumps({TOKEN: token})}"


def _eventually(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(WAIT * 100):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to be")


def _room(client: Client) -> str:
    return f"client:{client.id}"


# who may connect, and where that puts them


@pytest.mark.parametrize("transport", ["websocket", "polling", "upgrade"])
def test_key_in_the_payload_or_the_header_opens_a_socket_in_the_clients_room(live: Live, transport: str) -> None:
    by_payload = live.listen("ana", transport=transport)
    by_header = live.listen(transport=transport, headers={"X-API-Key": live.firm.keys["ana"]})
    for listener in (by_payload, by_header):
        assert listener.next("ready") == {"cursor": 0, "rooms": [_room(live.firm.ana)]}


def test_without_a_good_credential_the_connection_is_refused(live: Live) -> None:
    with pytest.raises(socketio_client.exceptions.ConnectionError):
        live.listen()
    with pytest.raises(socketio_client.exceptions.ConnectionError):
        live.listen(auth={"key": live.firm.keys["ana"][:-1] + "!"})
    assert live.sockets.count() == 0


def test_bad_key_is_not_made_good_by_a_session(live: Live) -> None:
    cookie = _cookie(live, live.firm.trader_id)
    with pytest.raises(socketio_client.exceptions.ConnectionError):
        live.listen(auth={"key": "ck_wrong"}, headers={"Cookie": cookie})


def test_browser_session_puts_a_trader_into_the_traders_room(live: Live) -> None:
    listener = live.listen(headers={"Cookie": _cookie(live, live.firm.trader_id)})
    assert listener.next("ready")["rooms"] == [f"trader:{live.firm.trader_id}"]


def test_foreign_origin_is_refused_and_ours_is_not(live: Live) -> None:
    cookie = _cookie(live, live.firm.trader_id)
    with pytest.raises(socketio_client.exceptions.ConnectionError):
        live.listen(headers={"Cookie": cookie, "Origin": "https://elsewhere.example"}, transport="polling")
    ours = live.listen(headers={"Cookie": cookie, "Origin": live.url}, transport="polling")
    assert ours.next("ready")["rooms"]


def test_rooms_keep_clients_apart_and_staff_hears_all(live: Live) -> None:
    ana, luis, staff = live.listen("ana"), live.listen("luis"), live.listen("firm")
    assert staff.next("ready")["rooms"] == ["staff"]
    live.socketio.emit("order.new", {"for": "ana"}, to=[_room(live.firm.ana), "staff"])
    live.socketio.emit("order.new", {"for": "luis"}, to=[_room(live.firm.luis), "staff"])
    assert ana.next("order.new") == {"for": "ana"}
    assert luis.next("order.new") == {"for": "luis"}, "the first thing luis hears is luis's own"
    assert [staff.next("order.new")["for"] for _ in range(2)] == ["ana", "luis"]


def test_key_without_read_scope_hears_nothing(live: Live) -> None:
    listener = live.listen("blind")
    assert listener.next("ready")["rooms"] == []
    assert listener.ask("resume", {"after": 0})["error"]["code"] == "forbidden"
    assert listener.ask("subscribe", {"channel": "quotes:BTC/USDT"})["error"]["code"] == "forbidden"


def test_one_caller_may_have_so_many_sockets_and_no_more(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_SOCKETS_PER_CALLER", 2)
    live.listen("ana")
    second = live.listen("ana")
    with pytest.raises(socketio_client.exceptions.ConnectionError):
        live.listen("ana")
    live.listen("luis")
    second.close()
    _eventually(lambda: live.sockets.count() == 2)
    live.listen("ana")


# asking for rooms


def test_join_opens_only_what_the_caller_may_see(live: Live) -> None:
    trader = live.listen(headers={"Cookie": _cookie(live, live.firm.trader_id)})
    assert trader.ask("join", {"room": _room(live.firm.ana)}) == {"room": _room(live.firm.ana)}
    assert trader.ask("join", {"room": "client:C-1"}) == {"room": _room(live.firm.ana)}
    for room in (_room(live.firm.luis), f"client:{new_id()}", "staff", "trader:x", "", live.firm.ana.id):
        assert trader.ask("join", {"room": room})["error"]["code"] == "forbidden"
    live.socketio.emit("order.new", {"for": "luis"}, to=[_room(live.firm.luis), "staff"])
    live.socketio.emit("order.new", {"for": "ana"}, to=_room(live.firm.ana))
    assert trader.next("order.new") == {"for": "ana"}


def test_client_cannot_join_another_client_or_staff(live: Live) -> None:
    ana = live.listen("ana")
    assert ana.ask("join", {"room": _room(live.firm.ana)}) == {"room": _room(live.firm.ana)}
    for room in (_room(live.firm.luis), "client:C-2", "staff"):
        assert ana.ask("join", {"room": room})["error"]["code"] == "forbidden"


def test_left_room_is_heard_no_more(live: Live) -> None:
    staff = live.listen("firm")
    staff.ask("join", {"room": _room(live.firm.ana)})
    assert staff.ask("leave", {"room": _room(live.firm.ana)}) == {"room": _room(live.firm.ana)}
    live.socketio.emit("order.new", {"n": 1}, to=_room(live.firm.ana))
    live.socketio.emit("order.new", {"n": 2}, to="staff")
    assert staff.next("order.new") == {"n": 2}


@pytest.mark.parametrize("written", ["BTC/USDT", "BTCUSDT", "btc-usdt", "X:BTC-USD"])
def test_quotes_come_on_subscription_in_any_symbol_form(live: Live, written: str) -> None:
    ana = live.listen("ana")
    assert ana.ask("subscribe", {"channel": f"quotes:{written}"}) == {"channels": ["quotes:BTC/USDT"]}
    live.socketio.emit("quote", {"symbol": "ETH/USDT"}, to="quotes:ETH/USDT")
    live.socketio.emit("quote", {"symbol": "BTC/USDT"}, to="quotes:BTC/USDT")
    assert ana.next("quote") == {"symbol": "BTC/USDT"}
    assert ana.ask("unsubscribe", {"symbols": [written]}) == {"channels": []}
    live.socketio.emit("quote", {}, to="quotes:BTC/USDT")
    live.socketio.emit("end", {}, to=_room(live.firm.ana))
    event, _ = ana.heard.get(timeout=WAIT)
    while event == "ready":
        event, _ = ana.heard.get(timeout=WAIT)
    assert event == "end"


@pytest.mark.parametrize(
    "data",
    [
        {"channel": "quotes:NOPE"},
        {"channel": "client:x"},
        {"channel": 3},
        {},
        [],
        None,
        "quotes:BTC/USDT",
        {"symbols": "BTC/USDT"},
        {"symbols": [None]},
        {"channels": ["quotes:" + "X" * 5000]},
    ],
)
def test_bad_subscription_is_an_error_and_the_socket_lives(live: Live, data: Any) -> None:
    ana = live.listen("ana")
    assert ana.ask("subscribe", data)["error"]["code"] in ("unknown_channel", "malformed")
    assert "channels" in ana.ask("subscribe", {"symbols": ["BTC/USDT"]})


def test_subscriptions_are_bounded(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_SUBSCRIPTIONS", 2)
    ana = live.listen("ana")
    ana.ask("subscribe", {"symbols": ["BTC/USDT", "ETH/USDT"]})
    assert ana.ask("subscribe", {"symbols": ["SOL/USDT"]})["error"]["code"] == "too_many_subscriptions"
    assert ana.ask("subscribe", {"symbols": ["BTC/USDT"]}) == {"channels": ["quotes:BTC/USDT", "quotes:ETH/USDT"]}


def test_flood_of_messages_is_refused(live: Live) -> None:
    ana = live.listen("ana")  # the clock stands still: all of them fall into one second
    codes = [ana.ask("subscribe", {}).get("error", {}).get("code") for _ in range(handlers.MAX_ASKED_PER_SECOND + 1)]
    assert codes.count("rate_limited") == 1
    live.services.clock.advance(2)
    assert "channels" in ana.ask("subscribe", {"symbols": ["BTC/USDT"]})


# catching up


def test_resume_gives_what_was_missed_in_order_and_nothing_of_others(live: Live) -> None:
    live.number_events(live.firm.ana.id, 2)
    live.number_events(live.firm.luis.id, 2)
    live.number_events(live.firm.ana.id, 2)
    ana, staff = live.listen("ana"), live.listen("firm")
    assert ana.next("ready")["cursor"] == 6
    answer = ana.ask("resume", {"after": 1})
    assert [event["cursor"] for event in answer["events"]] == [2, 5, 6]
    assert {event["stream"] for event in answer["events"]} == {live.firm.ana.id}
    assert (answer["cursor"], answer["reset"]) == (6, False)
    assert [event["cursor"] for event in staff.ask("resume", {"after": 0})["events"]] == [1, 2, 3, 4, 5, 6]


def test_trader_catches_up_on_assigned_clients_alone(live: Live) -> None:
    live.number_events(live.firm.luis.id, 1)
    live.number_events(live.firm.ana.id, 1)
    trader = live.listen(headers={"Cookie": _cookie(live, live.firm.trader_id)})
    assert [event["cursor"] for event in trader.ask("resume", {"after": 0})["events"]] == [2]


def test_resume_is_complete_up_to_its_cursor_though_the_relay_goes_on(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is numbered while the answer is put together is pushed, and must not lie below its cursor."""
    from app.services import events

    live.number_events(live.firm.ana.id, 2)
    ana = live.listen("ana")
    since = events.since

    def since_and_more(*args: Any) -> Any:
        found = since(*args)
        live.number_events(live.firm.ana.id, 1)
        return found

    monkeypatch.setattr(events, "since", since_and_more)
    answer = ana.ask("resume", {"after": 0})
    assert answer["cursor"] == max(event["cursor"] for event in answer["events"]) == 2


def test_resume_stops_at_its_cursor(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was numbered after the cursor was read is pushed; in the answer it would come twice, or before others."""
    from app.services import events

    live.number_events(live.firm.ana.id, 3)
    ana = live.listen("ana")
    monkeypatch.setattr(events, "last_ordinal", lambda _session: 2)
    assert [event["cursor"] for event in ana.ask("resume", {"after": 0})["events"]] == [1, 2]


def test_too_much_missed_means_reload(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_MISSED", 3)
    live.number_events(live.firm.ana.id, 4)
    ana = live.listen("ana")
    assert ana.ask("resume", {"after": 0}) == {"events": [], "cursor": 4, "reset": True}
    assert len(ana.ask("resume", {"after": 1})["events"]) == 3
    assert ana.ask("resume", {"after": 99}) == {"events": [], "cursor": 4, "reset": True}


@pytest.mark.parametrize("after", [None, -1, "1", True, 1.5, 2**60])
def test_bad_cursor_is_refused(live: Live, after: Any) -> None:
    assert live.listen("ana").ask("resume", {"after": after})["error"]["code"] == "malformed"


# ends


def test_revoked_key_loses_its_sockets_at_once(live: Live) -> None:
    ana, luis = live.listen("ana"), live.listen("luis")
    assert live.sockets.disconnect(key=live.firm.ids["ana"]) == 1
    assert ana.gone.wait(WAIT)
    live.socketio.emit("order.new", {}, to=_room(live.firm.ana))
    assert live.sockets.count() == 1 and luis.sio.connected


def test_key_revoked_elsewhere_is_found_by_the_recheck(live: Live) -> None:
    ana, luis = live.listen("ana"), live.listen("luis")
    assert live.sockets.recheck() == 0

    def revoke(session: Session) -> None:
        api_keys.revoke(
            session, api_keys.find(session, SYSTEM, live.firm.ids["ana"]), SYSTEM, live.services.clock.now()
        )

    live.services.database.run(revoke)
    assert live.sockets.recheck() == 1
    assert ana.gone.wait(WAIT) and luis.sio.connected


def test_ended_session_is_found_by_the_recheck(live: Live) -> None:
    trader = live.listen(headers={"Cookie": _cookie(live, live.firm.trader_id)})
    assert live.sockets.recheck() == 0
    live.services.clock.advance(timedelta(hours=13).total_seconds())
    assert live.sockets.recheck() == 1
    assert trader.gone.wait(WAIT)


def test_recheck_takes_away_a_client_who_was_assigned_to_somebody_else(live: Live) -> None:
    trader = live.listen(headers={"Cookie": _cookie(live, live.firm.trader_id)})
    trader.ask("join", {"room": _room(live.firm.ana)})
    live.services.database.run(
        lambda session: session.execute(sa.update(Client).where(Client.id == live.firm.ana.id).values(trader_id=None))
    )
    live.sockets.recheck()
    live.socketio.emit("order.new", {"n": 1}, to=_room(live.firm.ana))
    live.socketio.emit("order.new", {"n": 2}, to=f"trader:{live.firm.trader_id}")
    assert trader.next("order.new") == {"n": 2}


def test_transport_on_which_nobody_identifies_is_closed(live: Live) -> None:
    live.listen("ana")
    stranger = websocket.create_connection(f"{live.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket")
    stranger.recv()
    assert live.sockets.end_anonymous() == 0, "it had no time yet"
    assert live.sockets.end_anonymous() == 1
    assert live.sockets.count() == 1
    stranger.close(timeout=0)


def test_consumer_that_does_not_read_is_dropped_and_others_hear_on(live: Live) -> None:
    live.sockets.backpressure.max_queued = 20
    slow = websocket.create_connection(
        f"{live.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket",
        header=[f"X-API-Key: {live.firm.keys['luis']}"],
    )
    slow.recv()
    slow.send("40")
    _eventually(lambda: live.sockets.count() == 1)
    quick = live.listen("firm")
    quick.next("ready")
    for n in range(2000):  # more than the kernel's buffers and the queue can hold
        live.socketio.emit("big", {"n": n, "text": "x" * 50_000}, to=[_room(live.firm.luis), "staff"])
        assert quick.next("big")["n"] == n
        if live.sockets.backpressure.dropped:
            break
    assert live.sockets.backpressure.dropped == 1
    _eventually(lambda: live.sockets.count() == 1)
    live.socketio.emit("after", {}, to="staff")
    assert quick.next("after") == {}
    slow.close(timeout=0)


def test_consumer_that_stops_polling_is_dropped_too(live: Live) -> None:
    live.sockets.backpressure.max_queued = 20
    headers = {"X-API-Key": live.firm.keys["luis"]}
    address = f"{live.url}/socket.io/?EIO=4&transport=polling"
    opened = json.loads(requests.get(address, headers=headers, timeout=WAIT).text[1:])
    requests.post(f"{address}&sid={opened['sid']}", data="40", headers=headers, timeout=WAIT)
    assert live.sockets.count() == 1
    for n in range(30):
        live.socketio.emit("order.new", {"n": n}, to=_room(live.firm.luis))
    _eventually(lambda: live.sockets.count() == 0)
    assert live.sockets.figures() == {"open": 0, "by_kind": {}, "dropped": 1}


# what peers send


def _raw(live: Live, key: str | None = None) -> websocket.WebSocket:
    """A websocket whose frames the test writes itself; let in where a key is named."""
    wire = websocket.create_connection(
        f"{live.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket",
        timeout=WAIT,
        header=[f"X-API-Key: {live.firm.keys[key]}"] if key else [],
    )
    wire.recv()
    if key:
        wire.send("40")
        _eventually(lambda: live.sockets.count() >= 1)
    return wire


def _ends(wire: websocket.WebSocket) -> bool:
    """Whether the server ends it; what it still says is read."""
    try:
        while wire.recv():
            pass
    except (websocket.WebSocketConnectionClosedException, ConnectionError):
        pass
    finally:
        wire.shutdown()
    return True


@pytest.mark.parametrize("key", [None, "ana"])
@pytest.mark.parametrize(
    "frame",
    [
        "42[",
        "42{}",
        "42[]",
        "42[{}]",
        "42[[]]",
        '42["' + "x" * 200 + '"]',
        "42" + "[" * 500 + "]" * 500,
        "42null",
        "4z",
        "z",
        "451-[{}]",
        "44",
        '40["a"]',
        "49",
    ],
)
def test_what_is_no_message_ends_the_socket_without_a_traceback(
    live: Live, caplog: pytest.LogCaptureFixture, key: str | None, frame: str
) -> None:
    wire = _raw(live, key)
    for _ in range(20):
        with contextlib.suppress(OSError, websocket.WebSocketException):
            wire.send(frame)
    assert _ends(wire)
    _eventually(lambda: not live.sockets.gate._eio.sockets)
    assert live.sockets.count() == 0
    assert [record for record in caplog.records if record.exc_info] == []
    assert len([record for record in caplog.records if "sockets ended" in record.message]) <= 1


def test_a_flood_of_requests_ends_the_socket_and_most_are_never_looked_at(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    missed = SocketAccess.missed

    def counting(self: SocketAccess, *args: Any) -> Any:
        asked.append(1)
        return missed(self, *args)

    monkeypatch.setattr(SocketAccess, "missed", counting)
    luis, wire = live.listen("luis"), _raw(live, "ana")
    for number in range(2000):
        try:
            wire.send(f'42{number}["resume",{{"after":0}}]')
        except (OSError, websocket.WebSocketException):
            break
    assert _ends(wire)
    _eventually(lambda: live.sockets.count() == 1)
    assert len(asked) <= handlers.MAX_RESUMES
    assert live.sockets.gate.ended["flood"] == 1
    live.services.clock.advance(2)
    assert "channels" in luis.ask("subscribe", {"symbols": ["BTC/USDT"]})


def test_whoever_goes_on_after_being_told_is_ended(live: Live) -> None:
    """Slower than a flood, but always more than is allowed."""
    wire = _raw(live, "ana")
    connection = next(iter(live.sockets._open.values()))
    connection.asked.extend([live.services.clock.monotonic()] * handlers.MAX_ASKED_PER_SECOND)
    connection.over = handlers.MAX_OVER - 2
    wire.send('421["subscribe",{}]')
    while "rate_limited" not in wire.recv():
        pass
    assert live.sockets.count() == 1
    wire.send('422["subscribe",{}]')
    assert _ends(wire)
    _eventually(lambda: live.sockets.count() == 0)


def test_resuming_is_limited_by_itself(live: Live) -> None:
    ana = live.listen("ana")
    codes = [ana.ask("resume", {"after": 0}).get("error", {}).get("code") for _ in range(handlers.MAX_RESUMES + 1)]
    assert codes.count("rate_limited") == 1
    live.services.clock.advance(handlers.RESUME_SECONDS)
    assert ana.ask("resume", {"after": 0})["reset"] is False


def _poll(live: Live, key: str | None = None) -> tuple[str, dict[str, str]]:
    headers = {"X-API-Key": live.firm.keys[key]} if key else {}
    address = f"{live.url}/socket.io/?EIO=4&transport=polling"
    opened = json.loads(requests.get(address, headers=headers, timeout=WAIT).text[1:])
    return f"{address}&sid={opened['sid']}", headers


@pytest.mark.parametrize("body", ["zzz", "42[", "9", "4" * 70_000, "\x1e".join(["40"] * 17), "bAAAA", "d=x"])
def test_a_post_that_is_no_message_is_answered_and_ends_the_transport(
    live: Live, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    address, headers = _poll(live)
    answered = requests.post(address, data=body, headers=headers, timeout=WAIT)
    assert answered.status_code in (200, 400)  # 200: it was read, and what was in it ended the transport
    assert live.sockets.gate._eio.sockets == {}
    assert requests.post(address, data="3", headers=headers, timeout=WAIT).status_code == 400
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_flood_of_posts_ends_the_transport(live: Live) -> None:
    address, headers = _poll(live, "ana")
    body = "\x1e".join(['42["subscribe",{}]'] * 16)
    answers = [requests.post(address, data=body, headers=headers, timeout=WAIT).status_code for _ in range(8)]
    assert answers == [200] * 6 + [400, 400]
    assert live.sockets.gate._eio.sockets == {}


def test_ending_a_socket_that_polls_waits_for_nobody(live: Live) -> None:
    address, headers = _poll(live, "ana")
    requests.post(address, data="40", headers=headers, timeout=WAIT)
    assert live.sockets.disconnect(key=live.firm.ids["ana"]) == 1
    _poll(live)
    live.sockets.end_anonymous()
    assert live.sockets.end_anonymous() == 2
    live.sockets.gate._eio.disconnect("nobody")


def test_an_address_opens_so_many_anonymous_transports_and_no_more(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_ANONYMOUS_PER_ADDRESS", 3)
    address = f"{live.url}/socket.io/?EIO=4&transport=polling"
    known = live.listen("ana")
    assert [requests.get(address, timeout=WAIT).status_code for _ in range(5)] == [200, 200, 200, 503, 503]
    assert known.ask("resume", {"after": 0})["reset"] is False
    live.sockets.end_anonymous()
    live.sockets.end_anonymous()
    assert requests.get(address, timeout=WAIT).status_code == 200


def test_whoever_goes_on_trying_keys_on_one_transport_is_ended(live: Live) -> None:
    wire = _raw(live)
    for _ in range(socket_gate.MAX_REFUSED_CONNECTS + 3):
        with contextlib.suppress(OSError, websocket.WebSocketException):
            wire.send('40{"key":"ck_wrong"}')
    assert _ends(wire)
    _eventually(lambda: live.sockets.gate.ended["refused"] == 1)


def test_resuming_is_limited_for_all_sockets_of_a_caller_together(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_RESUMES_PER_CALLER", 3)
    first, second, luis = live.listen("ana"), live.listen("ana"), live.listen("luis")
    answers = [listener.ask("resume", {"after": 0}) for listener in (first, second, first, second, luis)]
    assert ["error" in answer for answer in answers] == [False, False, False, True, False]
    live.services.clock.advance(handlers.RESUME_SECONDS + 1)
    live.sockets.end_anonymous()
    assert "error" not in second.ask("resume", {"after": 0})


def test_an_address_whose_sockets_are_ended_again_and_again_opens_none_for_a_while(live: Live) -> None:
    known = live.listen("ana")
    address = f"{live.url}/socket.io/?EIO=4&transport=polling"
    for _ in range(socket_gate.MAX_OFFENCES):
        post, _headers = _poll(live)
        requests.post(post, data="zzz", timeout=WAIT)
    assert requests.get(address, timeout=WAIT).status_code == 503
    assert known.ask("resume", {"after": 0})["reset"] is False, "what was open stays open"
    live.services.clock.advance(socket_gate.OFFENCE_SECONDS)
    live.sockets.end_anonymous()
    assert requests.get(address, timeout=WAIT).status_code == 200

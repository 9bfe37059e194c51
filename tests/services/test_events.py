"""Events are written once, in the order they happened."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.transaction import Database
from app.models import Event, table_of
from app.services import events as stored
from app.services.events import Events
from tests.firm import Firm


def test_what_is_flushed_is_not_written_again(firm: Firm) -> None:
    client, _ = firm.client()
    before, objects = len(firm.all(Event)), [new_id() for _ in range(3)]

    def work(session: Session) -> None:
        events = Events(firm.clock.now())
        for name in objects[:2]:
            events.add(client, "order.new", "order", name, {}, version=1)
        assert len(events) == 2
        events.flush(session)
        assert len(events) == 0
        events.flush(session)
        events.add(client, "order.new", "order", objects[2], {}, version=1)
        events.flush(session)

    firm.database.run(work)
    written = firm.database.read(lambda s: [row.object_id for row in s.query(Event).order_by(Event.id)])
    assert written[before:] == objects


def test_every_change_of_an_order_is_told_once(firm: Firm) -> None:
    """Versions of an object are gapless and appear once, through entry, amendment, fill and close."""
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50010")
    order = firm.send(wallet, type="LIMIT", qty="0.01", price="49000")
    firm.settle()
    firm.database.run(lambda s: firm.orders.cancel(s, order["id"], actor="t", now=firm.clock.now()))
    firm.settle()
    versions = [event["object_version"] for event in firm.all(Event) if event["object_id"] == order["id"]]
    assert versions == list(range(1, firm.order(order["id"])["version"] + 1))


def test_the_newest_of_one_stream_are_found_behind_a_busy_house(database: Database, clock: ManualClock) -> None:
    def fill(session: Session) -> None:
        for number in range(1, 41):
            stream = "ana" if number % 10 == 0 else "house"
            type_ = "wallet.balance" if number == 20 else "order.new"
            session.execute(
                sa.insert(table_of(Event)).values(
                    event_id=new_id(),
                    stream=stream,
                    type=type_,
                    object_type="order",
                    object_id=new_id(),
                    payload="{}",
                    at=clock.now(),
                    ordinal=number,
                    seq=number,
                )
            )

    database.run(fill)

    def cursors(*arguments: Any, **options: Any) -> list[int]:
        return database.read(lambda s: [item["cursor"] for item in stored.newest(s, *arguments, **options)])

    assert cursors(["ana"], None, 3) == [40, 30, 20]
    assert cursors(["ana"], 30, 3) == [20, 10]
    assert cursors(["ana"], None, 9, without=["wallet.balance"]) == [40, 30, 10]
    assert cursors(["ana"], None, 9, types=["wallet.*"]) == [20]
    assert cursors(None, None, 2) == [40, 39]
    assert cursors([], None, 2) == []

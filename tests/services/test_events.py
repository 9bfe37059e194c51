"""Events are written once, in the order they happened."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.models import Event
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

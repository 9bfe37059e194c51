"""What was parked is taken up again, or forgotten, when a person says so; by the engine and by the relay."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.core.permissions import SYSTEM
from app.engine import booking
from app.models import AuditRecord, EngineFault, Event, table_of
from app.services import audit, faults
from tests.firm import Firm

table, events, records = table_of(EngineFault), table_of(Event), table_of(AuditRecord)


def fault(firm: Firm) -> dict[str, Any]:
    """The only one there is."""
    (row,) = firm.all(EngineFault)
    return row


def ask_retry(firm: Firm) -> None:
    fault_id, now = fault(firm)["id"], firm.clock.now()
    firm.database.run(lambda session: faults.ask_retry(session, fault_id, SYSTEM, now))
    firm.settle()


def resolve(firm: Firm) -> None:
    fault_id, now = fault(firm)["id"], firm.clock.now()
    firm.database.run(lambda session: faults.resolve(session, fault_id, SYSTEM, now, "put right by hand"))


def told(firm: Firm, type_: str) -> list[dict[str, Any]]:
    return [event["data"] for event in firm.recorder.pushed if event["type"] == type_]


def broken_booking(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A rested order whose fills cannot be booked; its first fill is parked."""
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")

    def fill(*_: Any) -> Any:
        raise RuntimeError("poison")

    monkeypatch.setattr(booking.Booking, "_book_fill", fill)
    order = firm.send(wallet, qty="0.1")
    firm.settle()
    assert fault(firm)["stage"] == "booking"
    return order


def test_a_retry_that_fails_again_says_so_and_waits_for_a_person(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    order = broken_booking(firm, monkeypatch)
    ask_retry(firm)
    row = fault(firm)
    assert (row["attempts"], row["retry_at"], row["resolved_at"]) == (2, None, None)
    assert "poison" in row["error"]
    alerts = told(firm, "alert.engine")
    assert [alert.get("attempts") for alert in alerts] == [None, 2]
    assert all(alert["fault_id"] == row["id"] for alert in alerts)
    monkeypatch.undo()
    ask_retry(firm)
    assert firm.order(order["id"])["status"] == "FILLED"
    assert (fault(firm)["resolved_by"], fault(firm)["attempts"]) == ("system", 2), "who asked"
    assert [alert["fault_id"] for alert in told(firm, "alert.resolved")] == [row["id"]]
    firm.reconciled()


def test_what_is_resolved_holds_nothing_back_any_more(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_booking(firm, monkeypatch)
    resolve(firm)
    firm.settle()
    assert firm.engine.transactions.all_parked() == []


def test_a_report_that_comes_while_the_fault_is_resolved_is_not_lost(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine believes it parked; the row says otherwise."""
    broken_booking(firm, monkeypatch)
    monkeypatch.undo()
    row = fault(firm)
    (first, *_) = [faults.report_of(found) for found in row["reports"]]
    resolve(firm)
    assert firm.engine.transactions.parked("booking") == {row["object_id"]: row["id"]}
    firm.engine.book.reports.append((first, False))
    firm.engine.book.collect(firm.clock.now())
    firm.engine.book.run(firm.clock.now())
    assert len(fault(firm)["reports"]) == len(row["reports"])
    assert firm.engine.transactions.parked("booking") == {}
    assert firm.order(row["object_id"])["status"] != "PENDING_SEND"


def test_waiting_reports_that_cannot_be_read_stop_nobody(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_booking(firm, monkeypatch)
    monkeypatch.undo()
    damaged = sa.update(table).values(reports=[{"kind": "Nonsense"}])
    firm.database.run(lambda session: session.execute(damaged))
    ask_retry(firm)
    assert (fault(firm)["attempts"], fault(firm)["resolved_at"]) == (2, None)
    _, wallet = firm.client(USDT="100000")
    healthy = firm.send(wallet, qty="0.1")
    firm.settle()
    assert firm.order(healthy["id"])["status"] == "FILLED"


def test_who_resolves_while_the_engine_retries_has_decided(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_booking(firm, monkeypatch)
    monkeypatch.undo()
    row = fault(firm)
    before = firm.order(row["object_id"])
    resolve(firm)  # after the engine had read that it was to be retried
    assert not firm.engine.retries.retry(row, firm.clock.now())
    assert fault(firm)["resolution"] == "put right by hand" and fault(firm)["attempts"] == 1
    assert firm.order(row["object_id"])["cum_qty"] == before["cum_qty"]


# -- of the relay ------------------------------------------------------------------------------------------------


def an_unreadable_record(firm: Firm) -> str:
    """An audit record whose details are no JSON; parked, with the rest of the trail chained."""
    for number in range(2):
        now = firm.clock.now()
        firm.database.run(lambda s, n=number, at=now: audit.record(s, SYSTEM, "test", "thing", str(n), at))
    first = _ids(firm)[0]
    damage = sa.update(records).where(records.c.id == first).values(details=sa.text("'{'"))
    firm.database.run(lambda session: session.execute(damage))
    firm.settle()
    assert (fault(firm)["stage"], fault(firm)["object_id"]) == ("audit", first)
    return first


def _ids(firm: Firm) -> list[str]:
    query = sa.select(records.c.id).where(records.c.action == "test").order_by(records.c.id)
    return firm.database.read(lambda session: list(session.scalars(query)))


def seq(firm: Firm, record_id: str) -> int | None:
    return firm.database.read(lambda s: s.scalar(sa.select(records.c.seq).where(records.c.id == record_id)))


@pytest.mark.parametrize("crashes", [False, True])
def test_an_audit_record_that_was_put_right_is_chained(firm: Firm, crashes: bool) -> None:
    first = an_unreadable_record(firm)
    if crashes:
        firm.crash()
    ask_retry(firm)
    assert (seq(firm, first), fault(firm)["attempts"], fault(firm)["retry_at"]) == (None, 2, None)
    firm.database.run(lambda s: s.execute(sa.update(records).where(records.c.id == first).values(details={})))
    ask_retry(firm)
    assert seq(firm, first) is not None
    assert fault(firm)["resolution"] == "retried"
    assert firm.database.read(audit.verify) == []


@pytest.mark.parametrize("crashes", [False, True])
def test_an_event_that_was_put_right_is_pushed(firm: Firm, crashes: bool) -> None:
    now = firm.clock.now()
    firm.database.run(lambda s: faults.alert(s, now, "test", "unreadable", "order", "1"))
    row = next(row for row in firm.all(Event) if row["type"] == "alert.engine")
    ours = sa.update(events).where(events.c.event_id == row["event_id"])
    firm.database.run(lambda s: s.execute(ours.values(payload="{")))
    firm.settle()
    assert (fault(firm)["stage"], fault(firm)["object_id"]) == ("relay", row["event_id"])
    if crashes:
        firm.crash()
    ask_retry(firm)
    assert (fault(firm)["attempts"], fault(firm)["resolved_at"]) == (2, None)
    firm.database.run(lambda s: s.execute(ours.values(payload=row["payload"])))
    ask_retry(firm)
    assert fault(firm)["resolution"] == "retried"
    assert [event["id"] for event in firm.recorder.pushed].count(row["event_id"]) == 1

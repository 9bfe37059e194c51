"""Mail that waits: sent once after its commit, tried again while that makes sense, given up where it does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.adapters.mail.base import Deferred, Letter, Refused, ServerAway
from app.core.clock import ManualClock
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.models import Mail
from app.services import mails
from tests.services.people import actions


class Box:
    """A mailer that does with an address what a test says."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.away = False
        self.opened = 0

    @contextmanager
    def connect(self) -> Iterator[Box]:
        self.opened += 1
        if self.away:
            raise ServerAway("nobody there")
        yield self

    def send(self, letter: Letter) -> None:
        if letter.recipient in self.failing:
            raise self.failing[letter.recipient]
        self.sent.append(letter.message_id)


def write(attempt: mails.Attempt) -> Letter:
    if attempt.template == "broken":
        raise KeyError("name")
    return Letter(f"<{attempt.id}@firm.example>", "a@b.example", attempt.recipient, "Hello", "text", "<p>html</p>")


def queue(database: Database, clock: ManualClock, *recipients: str, template: str = "invitation") -> None:
    def work(session: Any) -> None:
        for recipient in recipients:
            mails.queue(session, new_id(), template, recipient, {}, clock.now())

    database.run(work)


def rows(database: Database) -> dict[str, Mail]:
    return {mail.recipient: mail for mail in database.read(lambda session: list(session.scalars(sa.select(Mail))))}


def step(database: Database, box: Box, clock: ManualClock) -> bool:
    return mails.send_waiting(database, box, write, clock.now())


def test_every_mail_leaves_once_over_one_connection(database: Database, clock: ManualClock) -> None:
    queue(database, clock, "a@x.example", "b@x.example", "c@x.example")
    box = Box()
    assert step(database, box, clock) is False
    assert len(set(box.sent)) == len(box.sent) == 3
    assert box.opened == 1
    clock.advance(10 * 24 * 3600)
    step(database, box, clock)
    assert (len(box.sent), box.opened) == (3, 1), "nothing was due, so nobody was called"
    assert {mail.status for mail in rows(database).values()} == {"sent"}


def test_a_second_mail_for_the_same_occasion_is_not_sent(database: Database, clock: ManualClock) -> None:
    for _ in range(2):
        database.run(lambda session: mails.queue(session, "deposit:1", "invitation", "a@x.example", {}, clock.now()))
    box = Box()
    step(database, box, clock)
    assert len(box.sent) == 1


def test_a_refused_address_is_given_up_and_holds_up_nobody(database: Database, clock: ManualClock) -> None:
    queue(database, clock, "gone@x.example", "b@x.example")
    box = Box()
    box.failing["gone@x.example"] = Refused("550 no such mailbox")
    step(database, box, clock)
    found = rows(database)
    assert (found["gone@x.example"].status, found["gone@x.example"].last_error) == ("failed", "550 no such mailbox")
    assert found["b@x.example"].status == "sent"


def test_what_is_put_off_is_tried_again_later_and_later_and_then_no_more(
    database: Database, clock: ManualClock
) -> None:
    queue(database, clock, "full@x.example")
    box = Box()
    box.failing["full@x.example"] = Deferred("452 mailbox full")
    waits = []
    for _ in range(9):
        step(database, box, clock)
        waits.append((rows(database)["full@x.example"].next_attempt_at - clock.now()).total_seconds())
        clock.advance(waits[-1])
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    clock.advance(mails.TRIED_FOR.total_seconds())
    step(database, box, clock)
    assert rows(database)["full@x.example"].status == "failed"


def test_while_the_server_is_away_nothing_is_given_up_and_then_all_leaves_once(
    database: Database, clock: ManualClock
) -> None:
    queue(database, clock, *(f"{n}@x.example" for n in range(5)))
    box = Box()
    box.away = True
    for _ in range(12):
        step(database, box, clock)
        clock.advance(3600 * 8)
    assert {mail.status for mail in rows(database).values()} == {"waiting"}
    box.away = False
    step(database, box, clock)
    assert len(box.sent) == 5


def test_a_server_that_breaks_off_is_left_alone_until_the_next_round(database: Database, clock: ManualClock) -> None:
    queue(database, clock, "a@x.example", "b@x.example")
    clock.advance(mails.TRIED_FOR.total_seconds())  # however old a mail is, it is not to blame
    box = Box()
    box.failing = dict.fromkeys(("a@x.example", "b@x.example"), ServerAway("421 closing"))
    assert step(database, box, clock) is False
    assert sorted((mail.attempts, mail.status) for mail in rows(database).values()) == [(0, "waiting"), (1, "waiting")]
    box.failing = {}
    clock.advance(60)
    step(database, box, clock)
    assert len(box.sent) == 2


def test_a_mail_nobody_can_write_is_given_up_and_holds_up_nobody(database: Database, clock: ManualClock) -> None:
    queue(database, clock, "a@x.example", template="broken")
    clock.advance(1)
    queue(database, clock, "b@x.example")
    step(database, Box(), clock)
    found = rows(database)
    assert (found["a@x.example"].status, found["b@x.example"].status) == ("failed", "sent")


def test_a_crash_after_the_server_took_it_sends_the_same_letter_again(database: Database, clock: ManualClock) -> None:
    queue(database, clock, "a@x.example")
    box = Box()

    class Killed(BaseException): ...

    def taken_and_killed(letter: Letter) -> None:
        box.sent.append(letter.message_id)
        raise Killed

    box.send = taken_and_killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        step(database, box, clock)
    del box.send
    step(database, box, clock)
    assert len(box.sent) == 1, "not before its wait is over"
    clock.advance(30)
    step(database, box, clock)
    assert len(box.sent) == 2 and len(set(box.sent)) == 1


def test_two_senders_at_once_send_each_mail_once(database: Database, clock: ManualClock) -> None:
    queue(database, clock, *(f"{n}@x.example" for n in range(20)))
    boxes = [Box() for _ in range(4)]
    threads = [threading.Thread(target=step, args=(database, box, clock)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = [message for box in boxes for message in box.sent]
    assert len(sent) == len(set(sent)) == 20


def test_there_is_more_after_a_full_batch(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mails, "SENT_AT_ONCE", 2)
    queue(sqlite_database, clock, *(f"{n}@x.example" for n in range(3)))
    box = Box()
    assert step(sqlite_database, box, clock) is True
    assert step(sqlite_database, box, clock) is False
    assert len(box.sent) == 3


def test_a_mail_of_a_transaction_that_failed_is_never_sent(database: Database, clock: ManualClock) -> None:
    def work(session: Any) -> None:
        mails.queue(session, "k", "invitation", "a@x.example", {}, clock.now())
        raise NotFound("rolled back")

    with pytest.raises(NotFound):
        database.run(work)
    box = Box()
    step(database, box, clock)
    assert box.sent == [] and box.opened == 0


def test_figures_and_one_more_try(database: Database, clock: ManualClock) -> None:
    queue(database, clock, "gone@x.example")
    clock.advance(7)
    assert database.read(lambda session: mails.figures(session, clock.now())) == {
        "waiting": 1,
        "oldest_waiting_seconds": 7,
        "failed": 0,
    }
    box = Box()
    box.failing["gone@x.example"] = Refused("550 no")
    step(database, box, clock)
    assert database.read(lambda session: mails.figures(session, clock.now()))["failed"] == 1
    mail_id = rows(database)["gone@x.example"].id
    box.failing = {}
    database.run(lambda session: mails.send_again(session, mail_id, SYSTEM, clock.now() + timedelta(0)))
    step(database, box, clock)
    assert len(box.sent) == 1 and actions(database) == ["mail.send_again"]
    with pytest.raises(Conflict):
        database.run(lambda session: mails.send_again(session, mail_id, SYSTEM, clock.now()))
    with pytest.raises(NotFound):
        database.run(lambda session: mails.send_again(session, new_id(), SYSTEM, clock.now()))

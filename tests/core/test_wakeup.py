"""LISTEN and NOTIFY: the engine hears of work at once, also after its connection was lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from app.core.transaction import Database
from app.core.wakeup import WAIT_SECONDS, Listener, Notifier

pytestmark = pytest.mark.postgres


@dataclass
class Ears:
    """A listener and a notifier at work; ``woken`` is what the listener calls."""

    notifier: Notifier
    woken: threading.Event = field(default_factory=threading.Event)

    def hear(self, seconds: float) -> bool:
        """Whether one message comes through in that time."""
        self.woken.clear()
        self.notifier.notify()
        return self.woken.wait(seconds)


@pytest.fixture
def ears(postgres_url: str, open_database: Callable[..., Database]) -> Iterator[Ears]:
    stopping = threading.Event()
    ears = Ears(Notifier(open_database(postgres_url)))
    listener = Listener(open_database(postgres_url, application_name="listener"), ears.woken.set)
    threads = [threading.Thread(target=run, args=(stopping,)) for run in (listener.run, ears.notifier.run)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    while not ears.hear(0.2):
        assert time.monotonic() - began < 20, "nothing is ever heard"
    yield ears
    stopping.set()
    for thread in threads:
        thread.join(10)


def test_a_message_wakes_at_once(ears: Ears) -> None:
    for _ in range(5):
        assert ears.hear(WAIT_SECONDS / 2), "the next look would have come later"


def test_it_listens_again_when_its_connection_was_ended(ears: Ears, postgres_database: Database) -> None:
    end = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listener'")
    assert postgres_database.run(lambda session: session.execute(end).all())
    began = time.monotonic()
    while not ears.hear(0.2):
        assert time.monotonic() - began < 5 * WAIT_SECONDS

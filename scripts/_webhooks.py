"""Deliver Stripe's reports three times each in any order, kill the server with SIGKILL now and then, and count.

Every deposit is declared beforehand. A third is paid at once, a third by a slow bank (with a report that it is on
its way), a third expires; each also gets a report that is not true any more. What was not answered is delivered
again, as Stripe does. In the end each paid deposit has one credit, no other has any, and everything reconciles.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.domain.deposits import DepositMethod, DepositStatus
from app.domain.money import ZERO
from app.models import Deposit, JournalEntry, ProviderEvent, Wallet, table_of
from app.services import market
from app.services.reconcile import reconcile
from scripts._crash import database
from tests.databases import open_database
from tests.e2e.server import NO_ANSWER, Server, prepare
from tests.stubs.stripe import SECRET_KEY, WEBHOOK_SECRET, sign

SENDERS = 8
TIMES = 3  # each report is delivered so often
AMOUNT = Decimal("12.34")
PROGRESS_SECONDS = 2.0
SETTLE_SECONDS = 900
FATES: tuple[tuple[bool, tuple[tuple[str, str, str], ...]], ...] = (
    (True, (("completed", "complete", "paid"), ("expired", "expired", "unpaid"))),
    (True, (("completed", "complete", "unpaid"), ("async_payment_succeeded", "complete", "paid"))),
    (False, (("expired", "expired", "unpaid"), ("async_payment_failed", "complete", "unpaid"))),
)


@dataclass(frozen=True)
class Payments:
    """``bodies`` are the reports, ``paid`` the deposits that have to be credited."""

    bodies: list[str]
    paid: set[str]


def declare(session: Session, deliveries: int, now: datetime) -> Payments:
    """Deposits with their payment pages, and what will be reported of them."""
    wallet = session.scalars(sa.select(Wallet).order_by(Wallet.id).limit(1)).one()
    rows: list[dict[str, Any]] = []
    made = Payments([], set())
    while len(made.bodies) * TIMES < deliveries:
        is_paid, reports = FATES[len(rows) % len(FATES)]
        deposit_id = new_id()
        rows.append(
            {
                "id": deposit_id,
                "client_id": wallet.client_id,
                "wallet_id": wallet.id,
                "amount": AMOUNT,
                "currency": "USD",
                "method": DepositMethod.CARD.value,
                "provider": "stripe",
                "provider_reference": f"cs_test_{deposit_id}",
                "status": DepositStatus.PENDING.value,
                "refunded_amount": ZERO,
                "disputed_amount": ZERO,
                "details": {},
                "requested_by": "system",
                "version": 1,
                "created_at": now,
                "updated_at": now,
                "expires_at": now + timedelta(hours=24),
            }
        )
        made.bodies.extend(report(deposit_id, *told) for told in reports)
        if is_paid:
            made.paid.add(deposit_id)
    session.execute(sa.insert(table_of(Deposit)), rows)
    return made


def report(deposit_id: str, what: str, status: str, payment_status: str) -> str:
    thing = {
        "id": f"cs_test_{deposit_id}",
        "object": "checkout.session",
        "amount_total": int(AMOUNT * 100),
        "client_reference_id": deposit_id,
        "currency": "usd",
        "metadata": {"deposit_id": deposit_id},
        "payment_intent": f"pi_{deposit_id}",
        "payment_status": payment_status,
        "status": status,
    }
    event = {"id": f"evt_{new_id()}", "object": "event", "livemode": False, "type": f"checkout.session.{what}"}
    return json.dumps({**event, "data": {"object": thing}})


class Delivery:
    """Senders that go on until every body has been answered with 200 as often as it is to be delivered."""

    def __init__(self, server: Server, bodies: list[str]) -> None:
        self.server, self.total = server, len(bodies)
        self.answered = self.refused = 0
        self._left: queue.SimpleQueue[str] = queue.SimpleQueue()
        for body in bodies:
            self._left.put(body)
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._send, daemon=True) for _ in range(SENDERS)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def _send(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        while self.answered < self.total:
            try:
                body = self._left.get(timeout=0.2)
            except queue.Empty:
                continue
            headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body, time.time())}
            try:
                connection.request("POST", "/api/v1/stripe/webhook", body, headers)
                answer = connection.getresponse()
                answer.read()
                good = answer.status == 200
            except NO_ANSWER:
                connection.close()
                good = False
                time.sleep(0.1)
            with self._lock:
                self.answered += good
                self.refused += not good
            if not good:
                self._left.put(body)


def prove(kind: str, asked: argparse.Namespace) -> list[str]:
    """All of it on one kind of database, printed; returns what is wrong."""
    chance = random.Random(asked.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cambista-webhooks-")))
        url = stack.enter_context(database(kind, folder))
        prepare(url, 1)
        books = open_database(url)
        stack.callback(books.dispose)
        made = books.run(lambda session: declare(session, asked.deliveries, datetime.now(UTC)))
        bodies = made.bodies * TIMES
        chance.shuffle(bodies)
        nowhere = {"STRIPE_API_BASE": "http://127.0.0.1:9"}  # no question of ours is answered: reports are all there is
        secrets = {"STRIPE_SECRET_KEY": SECRET_KEY, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
        server = Server(url, folder, MARKET_FEED="manual", **{"LOG_LEVEL": "ERROR", **nowhere, **secrets})
        stack.callback(server.kill)
        server.start()
        delivery = Delivery(server, bodies)
        began = time.monotonic()
        delivery.start()
        kills = sorted(chance.sample(range(1, len(bodies)), min(asked.kills, len(bodies) - 1)))
        while delivery.answered < delivery.total:
            if kills and delivery.answered >= kills[0]:
                kills.pop(0)
                server.kill()
                server.start()
            show(kind, "delivered", delivery.answered, delivery.total, began)
            time.sleep(0.05)
        print(f"\n{kind}: {delivery.answered} delivered, {delivery.refused} of them again", flush=True)
        began, processed = time.monotonic(), 0
        while processed < len(made.bodies) and time.monotonic() - began < SETTLE_SECONDS:
            processed = books.read(count_processed)
            show(kind, "processed", processed, len(made.bodies), began)
            time.sleep(0.5)
        server.kill()
        breaks = books.read(lambda session: wrong(session, made))
        print(f"\n{kind}: {len(made.paid)} deposits paid, {len(breaks)} breaks", flush=True)
        return breaks


_shown = 0.0


def show(kind: str, what: str, done: int, total: int, began: float) -> None:
    """A line of progress, overwritten, every other second."""
    global _shown
    if time.monotonic() - _shown < PROGRESS_SECONDS:
        return
    _shown = time.monotonic()
    bar = "#" * (30 * done // total)
    print(f"\r{kind} [{bar:30}] {done}/{total} {what}, {_shown - began:.0f} s ", end="", flush=True)


def count_processed(session: Session) -> int:
    query = sa.select(sa.func.count()).select_from(ProviderEvent).where(ProviderEvent.processed_at.is_not(None))
    return session.scalar(query) or 0


def wrong(session: Session, made: Payments) -> list[str]:
    """Lost events, lost and double credits, and whatever reconciling finds."""
    stored = session.scalar(sa.select(sa.func.count()).select_from(ProviderEvent))
    waiting = (stored or 0) - count_processed(session)
    breaks = [] if stored == len(made.bodies) else [f"{stored} reports are stored, not {len(made.bodies)}"]
    breaks += [f"{waiting} reports were not worked off"] if waiting else []
    about = sa.select(JournalEntry.about_id).where(JournalEntry.about_type == "deposit")
    credited = list(session.scalars(about))
    breaks += [f"{len(credited) - len(set(credited))} double credits"] if len(credited) != len(set(credited)) else []
    breaks += [f"{deposit} was paid and not credited" for deposit in made.paid - set(credited)]
    breaks += [f"{deposit} was credited and not paid" for deposit in set(credited) - made.paid]
    report = reconcile(session, market.load_instruments(session))
    return breaks + [f"{found['code']}: {found['rows'][:2]}" for found in report["breaks"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=100_000, help="in all: each report counts three times")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    kinds = ("sqlite", "postgres") if asked.database == "both" else (asked.database,)
    breaks = [f"{kind}: {problem}" for kind in kinds for problem in prove(kind, asked)]
    for problem in breaks[:50]:
        print(f"  {problem}", flush=True)
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())

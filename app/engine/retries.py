"""Retrying what was parked, once a person has asked for it: the work and the end of its fault in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy.orm import Session

from app.core.errors import Locked
from app.services import faults
from app.services.access import is_uuid

from .levels import levels_of
from .phases import Book, Send, Trigger
from .transactions import STOPPING, Transactions
from .watch import open_positions

log = structlog.get_logger("engine")
Fault = dict[str, Any]
AfterCommit = Callable[[], None]


class Retries:
    """``run`` takes up what somebody wants retried, and forgets what somebody has resolved."""

    def __init__(self, transactions: Transactions, book: Book, trigger: Trigger, send: Send) -> None:
        self.transactions, self.book, self.trigger, self.send = transactions, book, trigger, send
        self._work: dict[str, Callable[[Session, Fault, datetime], AfterCommit]] = {
            "booking": self._book,
            "trigger": self._watch,
            "arm": self._arm,
            "exit": self._exit,
            "reduce_only": self._cancel_reducing,
            "send": self._send,
        }

    def run(self, now: datetime) -> None:
        parked = self.transactions.all_parked()
        if not parked:
            return
        open_ = {fault["id"]: fault for fault in self.transactions.read(faults.open_faults)}
        for stage, object_id, fault_id in parked:
            fault = open_.get(fault_id)
            if fault is None:
                self.transactions.parked(stage).pop(object_id, None)
                self.book.work_left = True
            elif fault["retry_at"] is not None:
                self.retry(fault, now)

    def retry(self, fault: Fault, now: datetime) -> bool:
        """Do what was parked. True when it is done; when it fails again the fault says so and stays."""

        def work(session: Session) -> AfterCommit:
            after = self._work[fault["stage"]](session, fault, now)
            faults.retried(session, fault["id"], now)
            return after

        try:
            after = self.transactions.run(work)
        except Locked:
            return False  # the next look tries again
        except STOPPING:
            raise
        except Exception as error:
            log.exception("engine.retry_failed", stage=fault["stage"], object_id=fault["object_id"])
            failed = partial(faults.failed_again, fault_id=fault["id"], error=repr(error), now=now)
            self.transactions.run(failed)
            return False
        self.transactions.parked(fault["stage"]).pop(fault["object_id"], None)
        self.book.work_left = True
        after()
        return True

    def _book(self, session: Session, fault: Fault, now: datetime) -> AfterCommit:
        reports = [faults.report_of(found) for found in fault["reports"] or ()]
        if not reports:
            raise ValueError("what the venue reported was not kept in a form that can be booked: resolve it by hand")
        booked = self.book.apply(session, reports, now)
        return lambda: self.book.booked(booked, now)

    def _watch(self, session: Session, fault: Fault, now: datetime) -> AfterCommit:
        found = open_positions(session, fault["object_id"])
        for position in found:
            levels_of(position)  # what cannot be watched fails here, before it is said to be done
        return lambda: self.trigger.watch.arm(found, now)

    def _arm(self, session: Session, fault: Fault, now: datetime) -> AfterCommit:
        found = self.trigger.exits.attend(session, parked=set(), only=fault["object_id"])
        return lambda: self.trigger.watch.arm(found, now)

    def _exit(self, session: Session, fault: Fault, now: datetime) -> AfterCommit:
        found = self.trigger.exits.exit(session, now, parked=set(), only=fault["object_id"])
        return lambda: self.trigger.watch.arm(found, now)

    def _cancel_reducing(self, session: Session, fault: Fault, now: datetime) -> AfterCommit:
        self.trigger.exits.cancel_reducing(session, now, [fault["object_id"]])
        return lambda: None

    def _send(self, session: Session, fault: Fault, now: datetime) -> AfterCommit:
        # what waits there is sent when it is free
        parked = {order_id for order_id in self.transactions.parked("booking") if is_uuid(order_id)}
        claimed = self.send.sending.claim(session, now, self.send.handed, parked, only=fault["object_id"])
        return lambda: self.send.hand_over(claimed)

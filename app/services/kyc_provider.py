"""What the KYC provider is asked and what it tells, around the transactions of ``kyc``.

Nothing is asked within a transaction. What is to be asked is on record before, so that ``sweep`` finds it again
where a crash or a provider that was away left it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.adapters.kyc.base import Access, Applicant, KycProvider, ProviderError, Report
from app.core.transaction import Database
from app.domain.clients import ClientKind
from app.domain.kyc import KycStatus
from app.models import Client, ProviderEvent, Verification

from . import kyc, provider_events

log = structlog.get_logger("kyc")
SWEPT_AT_ONCE: Final = 20
OPENED_AFTER: Final = timedelta(minutes=1)  # what the provider has no session for yet
ASKED_AFTER: Final = timedelta(minutes=10)  # how one stands of which nothing was heard


@dataclass(frozen=True, slots=True)
class KycAtProvider:
    provider: KycProvider
    valid_for: timedelta  # so long an approval holds

    def open(self, database: Database, verification_id: str, now: datetime) -> bool:
        """Register the client with the provider; False where that has to be tried again later."""
        applicant = database.read(partial(_applicant, verification_id=verification_id))
        try:
            report = self.provider.create_applicant(applicant, now)
        except ProviderError as error:
            log.warning("kyc.not_opened", verification_id=verification_id, error=str(error))
            return False
        self._take(database, verification_id, report, now)
        return True

    def access(self, database: Database, verification_id: str, now: datetime) -> Access | None:
        """How the client goes on at the provider's; None where there is nothing to do, or it does not answer."""
        found = database.read(lambda session: session.get_one(Verification, verification_id))
        if found.session_id is None or found.status != KycStatus.PENDING or found.provider != self.provider.name:
            return None
        try:
            return self.provider.access(found.session_id, found.id, found.level, now)
        except ProviderError as error:
            log.warning("kyc.no_access", verification_id=verification_id, error=str(error))
            return None

    def receive(self, session: Session, body: str, type_: str, now: datetime) -> bool:
        """Store a webhook whose signature was right; False where it is stored already."""
        external_id = hashlib.sha256(body.encode()).hexdigest()
        return provider_events.receive(session, self.provider.name, external_id, type_, body, now)

    def handle(self, session: Session, event: ProviderEvent, now: datetime) -> str:
        """Work off a stored webhook (``provider_events.Handler``)."""
        try:
            report = self.provider.parse_webhook(event.body)
        except ProviderError as error:
            return f"not understood: {error}"
        if report is None:
            return "nothing to decide"
        verification_id = kyc.by_report(session, self.provider.name, report)
        if verification_id is None:
            return "no verification of ours"
        return kyc.apply(session, verification_id, report, self.valid_for, now)

    def sweep(self, database: Database, now: datetime) -> bool:
        """Ask about what has been pending in silence; True when there may be more."""
        waiting = database.run(partial(self._claim, now=now))
        for verification_id, session_id in waiting:
            if session_id is None:
                self.open(database, verification_id, now)
                continue
            try:
                report = self.provider.status(session_id, now)
            except ProviderError as error:
                log.warning("kyc.not_asked", verification_id=verification_id, error=str(error))
                continue
            self._take(database, verification_id, report, now)
        return len(waiting) == SWEPT_AT_ONCE

    def _claim(self, session: Session, now: datetime) -> list[tuple[str, str | None]]:
        """What is to be asked now, marked as asked before it is: a provider that is away is not asked in a circle."""
        query = sa.select(Verification).where(
            Verification.status == KycStatus.PENDING.value,
            Verification.provider == self.provider.name,
            sa.or_(
                Verification.asked_at.is_(None),
                Verification.asked_at <= now - ASKED_AFTER,
                sa.and_(Verification.session_id.is_(None), Verification.asked_at <= now - OPENED_AFTER),
            ),
        )
        oldest = query.order_by(Verification.asked_at, Verification.id).limit(SWEPT_AT_ONCE)
        found = list(session.scalars(oldest.with_for_update(skip_locked=True)))
        for verification in found:
            verification.asked_at = now
        return [(verification.id, verification.session_id) for verification in found]

    def _take(self, database: Database, verification_id: str, report: Report, now: datetime) -> None:
        database.run(
            partial(kyc.apply, verification_id=verification_id, report=report, valid_for=self.valid_for, now=now)
        )


def handlers(at_provider: KycAtProvider) -> Mapping[str, provider_events.Handler]:
    return {at_provider.provider.name: at_provider.handle}


def _applicant(session: Session, verification_id: str) -> Applicant:
    verification = session.get_one(Verification, verification_id)
    client = session.get_one(Client, verification.client_id)
    surnames = " ".join(name for name in (client.paternal_surname, client.maternal_surname) if name)
    return Applicant(
        reference=verification.id,
        level=verification.level,
        company=client.kind == ClientKind.COMPANY,
        name=client.name,
        given_names=client.given_names,
        surnames=surnames or None,
        identity_number=client.identity_number,
        country=client.identity_country,
        email=client.email,
        born_on=None if client.born_on is None else client.born_on.isoformat(),
    )

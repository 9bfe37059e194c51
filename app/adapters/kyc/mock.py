"""A provider for trying things out: the number of the document decides, and nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from app.domain.kyc import KycStatus

from .base import Access, Applicant, ProviderError, Report

REJECTS: Final = "0"  # the last character of a number that is rejected
HOLDS: Final = "9"  # of one that waits for a person


class MockKyc:
    """Where it does not decide, as in production, everybody waits for a person of the firm."""

    name = "mock"
    collects_documents = False

    def __init__(self, *, decides: bool) -> None:
        self._decides = decides

    def create_applicant(self, applicant: Applicant, now: datetime) -> Report:
        status, reason = self._judge(applicant.identity_number)
        return _report(f"mock:{status.value}:{applicant.reference}", applicant.reference, status, now, reason)

    def _judge(self, number: str | None) -> tuple[KycStatus, str | None]:
        if not self._decides:
            return KycStatus.PENDING, "a person of the firm looks at it"
        if number is None or number.endswith(HOLDS):
            return KycStatus.PENDING, "on hold" if number else "no document was given"
        if number.endswith(REJECTS):
            return KycStatus.REJECTED, "the document was rejected"
        return KycStatus.APPROVED, None

    def access(self, session_id: str, reference: str, level: int, now: datetime) -> Access | None:
        return None

    def status(self, session_id: str, now: datetime) -> Report:
        name, status, reference = session_id.split(":", 2)
        if name != self.name:
            raise ProviderError("this session is not of this provider", final=True)
        return _report(session_id, reference, KycStatus(status), None, None)

    def is_authentic(self, headers: Mapping[str, str], body: bytes) -> bool:
        """It sends nothing, so whatever comes in its name is not its own."""
        return False

    def parse_webhook(self, body: str) -> Report | None:
        return None


def _report(session_id: str, reference: str, status: KycStatus, at: datetime | None, reason: str | None) -> Report:
    decided = status is not KycStatus.PENDING
    return Report(session_id, reference, status, at, "mock", reason, decides=decided, data={"judged": status.value})

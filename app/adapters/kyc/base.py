"""What all providers of KYC have in common: who is to be verified, what they report, and how they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from app.domain.kyc import KycStatus


class ProviderError(Exception):
    """The provider did not do what it was asked; ``final``: and would not the next time either."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who is to be verified. ``reference`` is the id of our verification, which the provider is told."""

    reference: str
    level: int
    company: bool
    name: str
    given_names: str | None = None
    surnames: str | None = None
    identity_number: str | None = None
    country: str | None = None  # which issued the identity, ISO 3166 alpha-2
    email: str | None = None
    born_on: str | None = None  # YYYY-MM-DD


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider says about one applicant. ``at`` is the provider's own time; None: it did not say when.

    ``decides``: a person or a rule has looked; of two reports of one moment it is the one that counts.
    """

    session_id: str
    reference: str | None
    status: KycStatus
    at: datetime | None
    type: str
    reason: str | None = None
    decides: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Access:
    """How the client goes on at the provider's: a page to open, and a token for an application of their own."""

    url: str
    token: str
    expires_at: datetime


class KycProvider(Protocol):
    """A provider. What fails raises ``ProviderError``."""

    name: str
    collects_documents: bool  # takes the pictures of documents and faces itself

    def create_applicant(self, applicant: Applicant, now: datetime) -> Report:
        """Register somebody. Asked again for the same reference, the provider's first one is given."""

    def access(self, session_id: str, reference: str, level: int, now: datetime) -> Access | None:
        """Let the client go on; None where there is nothing for them to do at the provider's."""

    def status(self, session_id: str, now: datetime) -> Report:
        """How it stands."""

    def is_authentic(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the provider has signed this body."""

    def parse_webhook(self, body: str) -> Report | None:
        """What a webhook reports; None for what concerns no decision."""

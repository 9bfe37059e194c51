"""Clients of the firm: who they are, who speaks for them, where they are paid, their papers, and their limits."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.clients import AccountScheme, BankAccountStatus, ClientKind, DocumentKind, IdentityType, PersonRole
from app.domain.kyc import KycStatus
from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk


class Client(db.Model):
    """A person or a company. ``code`` is unique whatever its capitals: people read them out to each other.

    ``active`` is false for those who left and for those whom the firm has blocked; the latter have a reason.
    """

    __tablename__ = "clients"
    __table_args__ = (
        sa.Index("uq_clients_code_lower", sa.text("lower(code)"), unique=True),
        sa.Index("uq_clients_identity", "identity_country", "identity_type", "identity_number", unique=True),
        sa.Index("uq_clients_email_lower", sa.text("lower(email)"), unique=True),
        one_of("kind", ClientKind, "kind"),
        one_of("identity_type", IdentityType, "identity_type"),
        one_of("kyc_status", KycStatus, "kyc_status"),
        sa.CheckConstraint("blocked_reason IS NULL OR NOT active", name="blocked_is_not_active"),
        sa.CheckConstraint("(identity_type IS NULL) = (identity_number IS NULL)", name="identity_is_whole"),
    )

    id: Mapped[uuid_pk]
    code: Mapped[str] = mapped_column(sa.String(32), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    email: Mapped[str | None] = mapped_column(sa.String(254))
    active: Mapped[bool] = mapped_column(default=True)
    trader_id: Mapped[str | None] = mapped_column(
        Uuid, sa.ForeignKey("users.id", use_alter=True, name="fk_clients_trader_id_users"), index=True
    )
    blocked_reason: Mapped[str | None] = mapped_column(sa.String(300))
    kind: Mapped[str] = mapped_column(sa.String(10), default=ClientKind.PERSON, server_default=ClientKind.PERSON)
    identity_type: Mapped[str | None] = mapped_column(sa.String(10))
    identity_number: Mapped[str | None] = mapped_column(sa.String(20))
    identity_country: Mapped[str | None] = mapped_column(sa.String(2))  # ISO 3166 alpha-2, which issued it
    paternal_surname: Mapped[str | None] = mapped_column(sa.String(100))
    maternal_surname: Mapped[str | None] = mapped_column(sa.String(100))
    given_names: Mapped[str | None] = mapped_column(sa.String(100))
    born_on: Mapped[date | None]  # a company: founded on
    nationality: Mapped[str | None] = mapped_column(sa.String(2))
    address: Mapped[str | None] = mapped_column(sa.String(300))
    phones: Mapped[list[str] | None] = mapped_column(JsonText)
    occupation: Mapped[str | None] = mapped_column(sa.String(100))
    source_of_funds: Mapped[str | None] = mapped_column(sa.String(200))
    kyc_status: Mapped[str] = mapped_column(sa.String(10), default=KycStatus.NONE, server_default=KycStatus.NONE)
    kyc_level: Mapped[int] = mapped_column(default=0, server_default="0")  # ``domain.kyc.LEVELS``
    kyc_expires_at: Mapped[datetime | None]
    created_by: Mapped[str | None] = mapped_column(sa.String(60))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class RelatedPerson(db.Model):
    """Who represents a company, or owns more than a quarter of it."""

    __tablename__ = "related_persons"
    __table_args__ = (
        one_of("role", PersonRole, "role"),
        one_of("identity_type", IdentityType, "identity_type"),
    )

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"), index=True)
    role: Mapped[str] = mapped_column(sa.String(20))
    name: Mapped[str] = mapped_column(sa.String(200))
    identity_type: Mapped[str] = mapped_column(sa.String(10))
    identity_number: Mapped[str] = mapped_column(sa.String(20))
    identity_country: Mapped[str] = mapped_column(sa.String(2))
    share_percent: Mapped[Decimal | None]  # of a company's capital
    created_at: Mapped[datetime]


class ClientBankAccount(db.Model):
    """Where a client is paid. A new one is confirmed by a second person and waits until ``usable_from``."""

    __tablename__ = "client_bank_accounts"
    __table_args__ = (
        one_of("scheme", AccountScheme, "scheme"),
        one_of("status", BankAccountStatus, "status"),
        sa.Index(
            "uq_client_bank_accounts_number",
            "client_id",
            "scheme",
            "number",
            unique=True,
            postgresql_where=sa.text("status IN ('pending', 'active')"),
            sqlite_where=sa.text("status IN ('pending', 'active')"),
        ),
        sa.Index(
            "uq_client_bank_accounts_default",
            "client_id",
            "currency",
            unique=True,
            postgresql_where=sa.text("is_default AND status = 'active'"),
            sqlite_where=sa.text("is_default AND status = 'active'"),
        ),
        sa.Index(None, "scheme", "number"),
    )

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"), index=True)
    scheme: Mapped[str] = mapped_column(sa.String(10))
    number: Mapped[str] = mapped_column(sa.String(34))
    bank_code: Mapped[str] = mapped_column(sa.String(20))
    bank_name: Mapped[str] = mapped_column(sa.String(100))
    account_type: Mapped[str] = mapped_column(sa.String(20))
    currency: Mapped[str] = mapped_column(sa.String(12), sa.ForeignKey("currencies.code"))
    holder: Mapped[str] = mapped_column(sa.String(200))
    country: Mapped[str] = mapped_column(sa.String(2))
    is_default: Mapped[bool] = mapped_column(default=False)
    status: Mapped[str] = mapped_column(sa.String(10))
    usable_from: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(sa.String(60))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ClientDocument(db.Model):
    """A file of a client. The bytes are in the storage under ``storage_key``, a name the server chose."""

    __tablename__ = "client_documents"
    __table_args__ = (one_of("kind", DocumentKind, "kind"), sa.Index(None, "about_type", "about_id"))

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"), index=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    filename: Mapped[str] = mapped_column(sa.String(200))  # what it was called where it came from, for people
    content_type: Mapped[str] = mapped_column(sa.String(40))
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(sa.String(64))
    storage_key: Mapped[str] = mapped_column(sa.String(80), unique=True)
    about_type: Mapped[str | None] = mapped_column(sa.String(20))  # what it proves: deposit, withdrawal
    about_id: Mapped[str | None] = mapped_column(Uuid)
    uploaded_by: Mapped[str] = mapped_column(sa.String(60))
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class ClientLimit(db.Model):
    """``instrument_id`` NULL is the client's general limit; a specific one goes before it."""

    __tablename__ = "client_limits"
    __table_args__ = (sa.UniqueConstraint("client_id", "instrument_id"),)

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    instrument_id: Mapped[int | None] = mapped_column(sa.ForeignKey("instruments.id"))
    blocked: Mapped[bool] = mapped_column(default=False)
    max_order_qty: Mapped[Decimal | None]
    max_notional_usd: Mapped[Decimal | None]
    hours: Mapped[str | None] = mapped_column(sa.String(11))  # HH:MM-HH:MM
    time_zone: Mapped[str | None] = mapped_column(sa.String(64))

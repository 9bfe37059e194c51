"""People who sign in, their sessions, and the keys of programs."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.core.permissions import Role
from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk


class User(db.Model):
    __tablename__ = "users"
    __table_args__ = (
        one_of("role", Role, "role"),
        sa.CheckConstraint("(role = 'client') = (client_id IS NOT NULL)", name="client_of_client"),
    )

    id: Mapped[uuid_pk]
    email: Mapped[str] = mapped_column(sa.String(254), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    role: Mapped[str] = mapped_column(sa.String(20))
    client_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    password_hash: Mapped[str] = mapped_column(sa.String(200))
    active: Mapped[bool] = mapped_column(default=True)
    must_change_password: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    language: Mapped[str | None] = mapped_column(sa.String(5))
    theme: Mapped[str | None] = mapped_column(sa.String(5))
    number_format: Mapped[str | None] = mapped_column(sa.String(5))
    totp_secret: Mapped[str | None] = mapped_column(sa.String(200))  # sealed with SECRET_KEY
    totp_since: Mapped[datetime | None]  # NULL: a secret was made, and no code of it shown yet
    totp_last_step: Mapped[int | None] = mapped_column(sa.BigInteger)  # a code is good once
    created_at: Mapped[datetime]
    last_sign_in_at: Mapped[datetime | None]


class UserSession(db.Model):
    """One browser signed in. The cookie carries the token, the row its SHA-256."""

    __tablename__ = "user_sessions"

    id: Mapped[uuid_pk]
    user_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("users.id"), index=True)
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    proven_at: Mapped[datetime | None]  # when the person last proved to be the one: sign-in, step-up
    ip: Mapped[str | None] = mapped_column(sa.String(45))
    user_agent: Mapped[str | None] = mapped_column(sa.String(200))


TOKEN_PURPOSES = ("invitation", "password_reset", "email_change")


class UserToken(db.Model):
    """A link that was mailed: who opens it may choose a password, or reads mail at ``new_email``.

    The link carries the token, the row its SHA-256.
    """

    __tablename__ = "user_tokens"
    __table_args__ = (one_of("purpose", TOKEN_PURPOSES, "purpose"),)

    id: Mapped[uuid_pk]
    user_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("users.id"), index=True)
    purpose: Mapped[str] = mapped_column(sa.String(20))
    new_email: Mapped[str | None] = mapped_column(sa.String(254))
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SignInAttempt(db.Model):
    """Failed sign-ins, counted per address and account to slow guessing down."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (sa.Index(None, "email", "ip", "at"), sa.Index(None, "ip", "at"))

    id: Mapped[uuid_pk]
    email: Mapped[str] = mapped_column(sa.String(254))
    ip: Mapped[str] = mapped_column(sa.String(45))
    at: Mapped[datetime]


class ApiKey(db.Model):
    """``prefix_secret`` was shown once; only the SHA-256 of the secret stays here."""

    __tablename__ = "api_keys"
    __table_args__ = (
        sa.CheckConstraint("system OR client_id IS NOT NULL", name="bound"),
        sa.CheckConstraint("system OR NOT act_for_clients", name="act_for_clients_is_for_system"),
    )

    id: Mapped[uuid_pk]
    prefix: Mapped[str] = mapped_column(sa.String(16), unique=True)
    secret_hash: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str] = mapped_column(sa.String(100))
    scopes: Mapped[list[str]] = mapped_column(JsonText)
    client_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("clients.id"), index=True)
    system: Mapped[bool] = mapped_column(default=False)
    act_for_clients: Mapped[bool] = mapped_column(default=False)
    allowed_ips: Mapped[list[str] | None] = mapped_column(JsonText)
    orders_per_second: Mapped[int | None]
    requests_per_second: Mapped[int | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(sa.String(60))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

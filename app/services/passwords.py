"""Passwords: what is acceptable, how one is kept, and those that are given to somebody for the first sign-in."""

from __future__ import annotations

import secrets
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.core.blocking import run_blocking
from app.core.errors import Invalid

from . import emails

# OWASP Password Storage Cheat Sheet: argon2id, 19 MiB, two passes, one lane
HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
PASSWORD_MIN, PASSWORD_MAX = 12, 128
_READABLE: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_COMMON = Path(__file__).with_name("common_passwords.txt")


def _prepared(password: str) -> str:
    # what is typed with one keyboard must match what was typed with another; a longer one never matches
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()[: PASSWORD_MAX + 1]


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(_COMMON.read_text(encoding="utf-8").split())


@cache
def _dummy_hash() -> str:
    return HASHER.hash(secrets.token_urlsafe(16))


def check_password_rules(email: str, password: str) -> None:
    """Raises ``Invalid`` for a password that is too short, too long, common, or holds the e-mail's name."""
    plain = _prepared(password)
    if not PASSWORD_MIN <= len(plain) <= PASSWORD_MAX:
        raise Invalid.field("password", "password_length", f"must have {PASSWORD_MIN} to {PASSWORD_MAX} characters")
    folded = plain.casefold()
    if folded in _common_passwords() or len(set(folded)) < 4:
        raise Invalid.field("password", "password_common", "is one of those tried first; choose another")
    local = emails.normalize(email).partition("@")[0]
    if len(local) >= 3 and local in folded:
        raise Invalid.field("password", "password_contains_email", "must not contain the name of the e-mail address")


def hash_password(email: str, password: str) -> str:
    """The argon2id hash of an acceptable password. Slow: call it before the transaction, never in it."""
    check_password_rules(email, password)
    return run_blocking(HASHER.hash, _prepared(password))


def needs_rehash(password_hash: str) -> bool:
    """Whether it was made with other parameters than today's."""
    return HASHER.check_needs_rehash(password_hash)


def rehash(password: str) -> str:
    """Today's hash of a password that was right: not judged by today's rules. Slow."""
    return run_blocking(HASHER.hash, _prepared(password))


def _matches(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one; takes as long when there is no hash to compare with. Slow."""
    dummy = run_blocking(_dummy_hash)
    matches = run_blocking(_matches, password_hash or dummy, _prepared(password))
    return matches and password_hash is not None


def one_time_password(email: str) -> tuple[str, str]:
    """Twenty letters and digits that nobody mistakes for each other, in groups of five, and their hash. Slow."""
    while True:
        plain = "-".join("".join(secrets.choice(_READABLE) for _ in range(5)) for _ in range(4))
        try:
            return plain, hash_password(email, plain)
        except Invalid:  # by chance it holds the name of the address
            continue


def nobodys_hash() -> str:
    """For somebody who has not chosen a password yet: comparing with it takes as long as with any. Slow."""
    return run_blocking(HASHER.hash, secrets.token_urlsafe(32))

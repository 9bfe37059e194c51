"""What must be readable again but not by who reads the database: sealed with SECRET_KEY, or made from it."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken


class CannotOpen(ValueError):
    """It was sealed with another SECRET_KEY, or is no seal of ours."""


def derive(secret_key: str, purpose: str, name: str) -> str:
    """A secret for ``name`` that only SECRET_KEY can make again: 43 characters that a link can carry."""
    made = hmac.digest(secret_key.encode(), f"{purpose}\0{name}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _box(secret_key: str, purpose: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hmac.digest(secret_key.encode(), purpose.encode(), hashlib.sha256)))


def seal(secret_key: str, purpose: str, text: str) -> str:
    """``text`` encrypted and signed, for ``open_sealed`` with the same key and purpose."""
    return _box(secret_key, purpose).encrypt(text.encode()).decode()


def open_sealed(secret_key: str, purpose: str, sealed: str) -> str:
    """Raises ``CannotOpen``."""
    try:
        return _box(secret_key, purpose).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise CannotOpen("it was sealed with another key") from error

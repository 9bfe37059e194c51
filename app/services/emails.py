"""E-mail addresses: one rule for people who sign in and for clients who are written to."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from app.core.errors import Invalid

MAX_LENGTH: Final = 254
_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# as HTML's <input type=email>, with at least two labels
_ADDRESS: Final = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+")


def normalize(email: str) -> str:
    """The form in which addresses are compared."""
    return unicodedata.normalize("NFKC", email).strip().lower()


def check(email: str) -> None:
    """Raises ``Invalid`` for what is no address."""
    if len(email) > MAX_LENGTH or not _ADDRESS.fullmatch(email):
        raise Invalid.field("email", "invalid_email", "must be an e-mail address", email[:100])

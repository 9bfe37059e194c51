"""Where a program writes its key: one reading for requests and for sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BEARER = "bearer "


def presented_key(environ: Mapping[str, Any]) -> str | None:
    """The key in a WSGI request's headers; an empty one is presented too, and wrong."""
    key: str | None = environ.get("HTTP_X_API_KEY")
    if key is None:
        header: str = environ.get("HTTP_AUTHORIZATION", "")
        key = header[len(_BEARER) :] if header[: len(_BEARER)].lower() == _BEARER else None
    return None if key is None else key.strip()

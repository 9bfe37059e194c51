"""Every error code a program can meet: its status, what it means, what to do, and an example of it.

They are listed in ``problems.toml``, a paragraph each.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TYPE = "/api/docs/errors/"
REQUEST_ID = "0197f3b2-7a10-7c11-9d1e-0c6c2ad3a001"
TITLES: Final = {
    400: "The request could not be read",
    401: "Valid credentials are required",
    403: "Not allowed",
    404: "Not found",
    405: "This address does not take that method",
    408: "The request did not arrive in time",
    409: "Conflicts with the current state",
    411: "Content-Length is required",
    412: "The object has changed since it was read",
    413: "The request is too large",
    415: "Send JSON",
    421: "Not a host of ours",
    422: "The request is not valid",
    429: "Too many requests",
    500: "Something went wrong on our side",
    503: "Temporarily unavailable",
}


@dataclass(frozen=True, slots=True)
class Explained:
    """``field`` and ``value`` are those of the example; a code without ``field`` is about the whole request."""

    status: int
    meaning: str
    remedy: str
    message: str
    field: str | None = None
    value: Any = None
    title: str | None = None

    def example(self, code: str) -> dict[str, Any]:
        """The problem as a program gets it."""
        errors = []
        if self.field is not None:
            errors = [{"field": self.field, "code": code, "message": self.message, "value": self.value}]
        return {
            "type": TYPE + code,
            "title": self.title or TITLES[self.status],
            "status": self.status,
            "detail": self.message if self.field is None else f"{self.field} {self.message}",
            "code": code,
            "errors": errors,
            "request_id": REQUEST_ID,
        }


def _read() -> dict[str, Explained]:
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {code: Explained(**told) for code, told in listed.items()}


CATALOG: Final[dict[str, Explained]] = _read()

# not problems: reject_code and reject_values of an order that was stored as REJECTED
REJECTIONS: Final[dict[str, str]] = {
    "INSUFFICIENT_BALANCE": "The wallet has less available than the order sets aside, fee included.",
    "STALE_QUOTE": "The newest quote is older than stale_after_seconds of the instrument.",
    "PRICE_OUT_OF_BAND": "The limit lies further from the market than price_band of the instrument.",
    "MARKET_CLOSED": "The market is closed, or the instrument is not traded, and the wallet respects its hours.",
    "ORDER_SIZE_LIMIT_EXCEEDED": "The client's limit of quantity per order.",
    "NOTIONAL_LIMIT_EXCEEDED": "The client's limit of value per order.",
    "SYMBOL_BLOCKED": "The client may not trade the instrument, or the wallet blocks it.",
    "SYMBOL_NOT_ALLOWED": "The wallet allows other instruments alone.",
    "OUTSIDE_TRADING_HOURS": "The client may trade at other hours.",
    "POSITION_LIMIT_EXCEEDED": "The wallet's limit of value per position.",
    "EXPOSURE_LIMIT_EXCEEDED": "The wallet's limit of value of all positions and live buys.",
    "MAX_OPEN_POSITIONS": "The wallet's limit of instruments held at once.",
    "DAILY_LOSS_LIMIT": "The wallet has lost its limit today; it is suspended.",
    "MAX_DRAWDOWN": "The wallet has fallen too far from its highest value; it is suspended.",
    "WALLET_PAUSED": "The wallet takes no entries until it is resumed.",
    "WALLET_SUSPENDED": "The wallet takes no entries until a person of the firm resumes it.",
    "CLIENT_INACTIVE": "The client may not trade.",
    "KYC_REJECTED": "The client's verification was rejected; what closes a position is taken.",
    "REDUCE_ONLY": "The order would do more than reduce the position.",
    "RATE_LIMITED": "The wallet has sent more orders in the last second than it may.",
    "HALTED": "Trading is halted.",
    "POST_ONLY_WOULD_CROSS": "A post_only order would have executed at once.",
    "BUSINESS_REJECT": "The venue could not read the message; reject_reason has its words.",
    "VENUE_DOES_NOT_ANSWER": "The venue never answered and knows nothing of the order.",
    "VENUE_REJECTED": "The venue refused it; reject_reason has its words.",
}


def problem_example(code: str) -> dict[str, Any]:
    return CATALOG[code].example(code)

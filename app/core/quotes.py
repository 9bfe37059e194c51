"""A quote as every channel shows it: the API and the sockets add what is theirs."""

from __future__ import annotations

from typing import Any

from app.domain.money import text
from app.domain.quotes import Quote

from .clock import iso


def quote_json(quote: Quote) -> dict[str, Any]:
    return {
        "symbol": quote.symbol,
        "bid": text(quote.bid),
        "ask": text(quote.ask),
        "last": None if quote.last is None else text(quote.last),
        "mid": text(quote.mid),
        "spread": text(quote.spread),
        "at": iso(quote.at),
        "received_at": iso(quote.received_at),
        "source": quote.source,
    }

"""Prices set by hand, where the configured feed takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from app.adapters.marketdata.base import FeedNotRunning
from app.core.errors import Conflict, Invalid, Unavailable
from app.core.permissions import Principal
from app.domain.instruments import Instrument
from app.domain.money import text
from app.domain.quotes import BadQuote, Quote, check_quote

from . import audit, commands, oversight
from .feeds import FeedSupervisor

COMMAND = "quote"


def record(
    session: Session, principal: Principal, quote: Quote, previous: Quote | None, now: datetime, ip: str | None
) -> None:
    """Who moved the market, to what and from what: levels may have fired by it."""
    audit.record(
        session,
        principal,
        "quote.set",
        "instrument",
        quote.symbol,
        now,
        ip=ip,
        bid=text(quote.bid),
        ask=text(quote.ask),
        previous_bid=None if previous is None else text(previous.bid),
        previous_ask=None if previous is None else text(previous.ask),
    )


def check_band(instrument: Instrument, bid: Decimal, ask: Decimal, previous: Quote | None) -> None:
    """Raise ``Invalid`` with both mids and the band for a quote that leaves the instrument's band.

    A slip of the hand there fires every stop. Prices in quote currency, the band as a fraction of the
    previous mid.
    """
    mid, band = (bid + ask) / 2, instrument.price_band
    if previous is None or bid > ask or abs(mid - previous.mid) <= previous.mid * band:
        return
    values = {"previous_mid": text(previous.mid), "mid": text(mid), "band": text(band)}
    message = f"is needed: {text(mid)} after {text(previous.mid)} leaves the band of {text(band * 100)} %"
    raise Invalid.field("confirm", "needs_confirmation", message, values)


def set_quote(
    feeds: FeedSupervisor | None,
    kind: str,
    symbol: str,
    bid: Decimal,
    ask: Decimal,
    last: Decimal | None,
    *,
    production: bool,
) -> Quote:
    """Make this the market of a canonical symbol: with the manual feed, or with the simulated one in a trial.

    Raises ``Conflict`` where the feed takes no quotes or does not run, ``Invalid`` for a bad quote.
    """
    check_settable(kind, production=production)
    if feeds is None:
        raise Conflict("the feed does not run in this process", code="feed_not_running")
    feed: Any = feeds[kind]
    put = feed.set_quote if kind == "manual" else feed.push
    try:
        taken: Quote = put(symbol, bid, ask, last)
    except BadQuote as error:
        raise Invalid.field("bid", error.code, str(error), text(bid)) from error
    except FeedNotRunning as error:
        raise Conflict(str(error), code="feed_not_running", retry_after=1) from error
    return taken


def check_settable(kind: str, *, production: bool) -> None:
    """Raise ``Conflict`` where the feed takes no quotes."""
    if kind == "replay" or (kind == "simulated" and production):
        raise Conflict(f"the {kind} feed takes no quotes", code="feed_not_settable")


def hand_over(session: Session, quote: Quote, principal: Principal, now: datetime) -> None:
    """Give a quote set by hand to the engine that leads in another process; wake it after the commit.

    Raises ``Invalid`` for a bad quote, ``Unavailable`` when nobody leads.
    """
    try:
        check_quote(quote, None, None)
    except BadQuote as error:
        raise Invalid.field("bid", error.code, str(error), text(quote.bid)) from error
    if not oversight.is_led(session):
        raise Unavailable("no engine leads that could take the quote", code="engine_not_leading", retry_after=2)
    last = None if quote.last is None else text(quote.last)
    payload = {"symbol": quote.symbol, "bid": text(quote.bid), "ask": text(quote.ask), "last": last}
    commands.hand_over(session, COMMAND, payload, principal, now)


def take(
    payload: Mapping[str, str | None], feeds: FeedSupervisor, kind: str, offer: Callable[[Quote], None], now: datetime
) -> None:
    """In the engine that leads: what ``hand_over`` has left. Raises ``ValueError`` for a quote that is refused."""
    numbers = {name: None if payload[name] is None else Decimal(str(payload[name])) for name in ("bid", "ask", "last")}
    symbol, bid, ask = str(payload["symbol"]), numbers["bid"], numbers["ask"]
    if bid is None or ask is None:
        raise ValueError("the quote has no bid or no ask")
    feed: Any = feeds[kind]
    if kind == "simulated":
        feed.push(symbol, bid, ask, numbers["last"])  # its walk goes on from here
    else:
        # not through the feed's queue: the engine, which empties it, would wait for itself
        quote = Quote(symbol, bid, ask, numbers["last"], now, now, "manual", by_hand=True)
        offer(quote)
        feed.stand(quote)

"""Market data over JSON, and the price set by hand."""

from __future__ import annotations

from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from app.core.errors import NotFound
from app.core.permissions import READ, WRITE, Resource
from app.core.quotes import quote_json
from app.domain.instruments import Instrument, UnknownSymbol, symbol_forms
from app.domain.quotes import Quote
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.request import body, db, now, query, services
from app.schemas.market import (
    BarsOut,
    BarsQuery,
    DayOut,
    FeedOut,
    InstrumentOut,
    QuoteIn,
    QuoteOut,
    QuotesQuery,
    bar_json,
    day_json,
    instrument_json,
)
from app.services import manual_quotes, oversight

from . import blueprint, whole

READING, SETTING = (Resource.MARKET, READ), (Resource.MARKET_CONTROL, WRITE)


def _known(symbol: str) -> Instrument:
    """For a path: an unknown instrument is a missing page."""
    try:
        return services().instruments.resolve(symbol)
    except UnknownSymbol as error:
        raise NotFound("there is no such instrument") from error


def _show(instrument: Instrument, quote: Quote) -> dict[str, Any]:
    return {**quote_json(quote), "stale": quote.is_stale(now(), instrument.stale_after)}


@blueprint.get("/market/instruments")
@endpoint("What can be traded, and how it is written", tag="market", response=InstrumentOut, many=True, needs=READING)
@no_transaction
def instruments() -> ResponseReturnValue:
    return whole([instrument_json(i, symbol_forms(i.symbol, i.market)) for i in services().instruments])


@blueprint.get("/market/quotes")
@endpoint(
    "The latest quotes",
    tag="market",
    query=QuotesQuery,
    response=QuoteOut,
    many=True,
    needs=READING,
    errors=("unknown_instrument",),
)
@no_transaction
def quotes() -> ResponseReturnValue:
    asked = query(QuotesQuery).symbols
    resolve = services().orders.resolve
    wanted = list(services().instruments) if not asked else [resolve(symbol) for symbol in asked.split(",")]
    book = services().quotes.snapshot()
    return whole([_show(i, book[i.symbol]) for i in dict.fromkeys(wanted) if i.symbol in book])


@blueprint.get("/market/quotes/<path:symbol>")
@endpoint("The latest quote of an instrument", tag="market", response=QuoteOut, needs=READING, errors=("no_quote",))
@no_transaction
def quote(symbol: str) -> ResponseReturnValue:
    instrument = _known(symbol)
    found = services().quotes.get(instrument.symbol)
    if found is None:
        raise NotFound(f"there is no quote for {instrument.symbol} yet", code="no_quote")
    return _show(instrument, found)


@blueprint.post("/market/quotes")
@endpoint(
    "Set a quote by hand",
    tag="market",
    body=QuoteIn,
    response=QuoteOut,
    status=201,
    needs=SETTING,
    errors=(
        "unknown_instrument",
        "feed_not_settable",
        "feed_not_running",
        "crossed",
        "spread",
        "non_positive_price",
        "needs_confirmation",
        "engine_not_leading",
    ),
    description="With the manual feed; with the simulated one its walk goes on from here. A quote that leaves "
    "the instrument's band around the last one is taken with confirm: true alone.",
)
@no_transaction
def set_quote() -> ResponseReturnValue:
    given = body(QuoteIn)
    instrument = services().orders.resolve(given.symbol)
    app_services = services()
    previous = app_services.quotes.get(instrument.symbol)
    if not given.confirm:
        manual_quotes.check_band(instrument, given.bid, given.ask, previous)
    who, when, ip, kind = principal(), now(), request.remote_addr, app_services.settings.market_feed
    leader = app_services.leader
    if leader is not None:
        taken = manual_quotes.set_quote(
            leader.feeds,
            kind,
            instrument.symbol,
            given.bid,
            given.ask,
            given.last,
            production=app_services.settings.production,
        )
    else:  # the feed runs where the engine leads
        manual_quotes.check_settable(kind, production=app_services.settings.production)
        taken = Quote(instrument.symbol, given.bid, given.ask, given.last, when, when, kind, by_hand=True)
        app_services.database.run(lambda session: manual_quotes.hand_over(session, taken, who, when))
        app_services.wake()
    app_services.database.run(lambda session: manual_quotes.record(session, who, taken, previous, when, ip))
    return _show(instrument, taken), 201


@blueprint.get("/market/bars")
@endpoint(
    "Bars of an instrument, oldest first",
    tag="market",
    query=BarsQuery,
    response=BarsOut,
    needs=READING,
    errors=("unknown_instrument", "unknown_interval"),
)
def bars() -> ResponseReturnValue:
    asked = query(BarsQuery)
    instrument = services().orders.resolve(asked.symbol)
    found = services().bars.bars(db(), instrument.symbol, asked.interval, asked.limit, asked.before)
    return {"symbol": instrument.symbol, "interval": asked.interval, "items": [bar_json(bar) for bar in found]}


@blueprint.get("/market/day")
@endpoint("The last 24 hours of every instrument", tag="market", response=DayOut, many=True, needs=READING)
def day() -> ResponseReturnValue:
    found = services().bars.days(db(), now())
    return whole([day_json(found[i.symbol]) for i in services().instruments if found.get(i.symbol)])


@blueprint.get("/market/feeds")
@endpoint("The price sources and how they are", tag="market", response=FeedOut, many=True, needs=READING)
@no_transaction
def feeds() -> ResponseReturnValue:
    return whole(feed_states())


def feed_states() -> list[dict[str, Any]]:
    """Of this process where it takes the prices, else as the heartbeat of the one that does tells."""
    leader = services().leader
    return services().database.read(oversight.feeds) if leader is None else leader.feed_states()

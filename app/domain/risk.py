"""Pre-trade risk: every check, its code, and the values that decided it. All failures are returned, in order.

Quantities in base, prices in quote currency, exposure in USD.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from .calendars import TradingHours, is_open
from .instruments import Instrument, InstrumentStatus
from .money import USD_STABLECOINS, ZERO, round_up, text
from .orders import OrderType, Side, opens
from .quotes import Quote


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason why an order is refused; ``values`` are strings, ready for JSON."""

    code: str
    message: str
    values: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "values": self.values}


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits of one client for one instrument, or for all of them."""

    blocked: bool = False
    max_order_qty: Decimal | None = None
    max_notional_usd: Decimal | None = None
    hours: TradingHours | None = None


@dataclass(frozen=True, slots=True)
class WalletLimits:
    """Limits of one wallet; None means none. Percents: 5 is 5 %."""

    max_position_usd: Decimal | None = None
    max_exposure_usd: Decimal | None = None
    max_open_positions: int | None = None
    daily_loss_usd: Decimal | None = None
    daily_loss_percent: Decimal | None = None
    max_drawdown_percent: Decimal | None = None
    allowed_symbols: frozenset[str] | None = None
    blocked_symbols: frozenset[str] = frozenset()
    respect_market_hours: bool = False

    @property
    def of_exposure(self) -> bool:
        """Whether any limit asks for positions and live orders."""
        return (self.max_position_usd, self.max_exposure_usd, self.max_open_positions) != (None, None, None)

    @property
    def of_losses(self) -> bool:
        """Whether any limit asks for the wallet's equity."""
        return (self.daily_loss_usd, self.daily_loss_percent, self.max_drawdown_percent) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Account:
    """What is known about the wallet at the moment of the check; amounts in USD, None when it cannot be priced."""

    client_active: bool
    wallet_status: str
    available: Decimal  # of the asset the order spends
    open_positions: int
    has_position: bool
    position_usd: Decimal | None
    exposure_usd: Decimal | None
    equity_usd: Decimal | None
    day_start_equity_usd: Decimal | None
    peak_equity_usd: Decimal | None
    orders_in_last_second: int = 0
    max_orders_per_second: int | None = None
    unpriced: tuple[str, ...] = ()  # instruments of the exposure without a fresh price
    equity_unpriced: tuple[str, ...] = ()  # assets of the wallet without one


@dataclass(frozen=True, slots=True)
class Stake:
    """A position, or what a live order may add to one, valued in USD; None when it cannot be priced."""

    instrument_id: int
    symbol: str
    value_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a wallet has at stake, before the order that is judged; amounts as in ``Account``."""

    open_positions: int
    has_position: bool
    position_usd: Decimal | None
    exposure_usd: Decimal | None
    unpriced: tuple[str, ...]


def exposure_of(stakes: Iterable[Stake], instrument_id: int) -> Exposure:
    """Positions and live orders together: an instrument that an order may open counts as an open position."""
    stakes = list(stakes)
    here = [stake for stake in stakes if stake.instrument_id == instrument_id]
    return Exposure(
        open_positions=len({stake.instrument_id for stake in stakes}),
        has_position=bool(here),
        position_usd=_sum(stake.value_usd for stake in here),
        exposure_usd=_sum(stake.value_usd for stake in stakes),
        unpriced=tuple(sorted({stake.symbol for stake in stakes if stake.value_usd is None})),
    )


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    total = ZERO
    for value in values:
        if value is None:
            return None
        total += value
    return total


def may_add(
    leaves: Decimal, price: Decimal | None, cum_qty: Decimal, pending_qty: Decimal | None, pending_price: Decimal | None
) -> Decimal | None:
    """The most a live buy may still spend, in quote currency without fees; None without a worst price.

    While a replace travels either terms may be the ones that fill.
    """
    if price is None:
        return None
    if pending_qty is None:
        return leaves * price
    return max(leaves * price, (pending_qty - cum_qty) * (price if pending_price is None else pending_price))


@dataclass(frozen=True, slots=True)
class Candidate:
    """The order to be judged. ``reserve`` is what it would hold, in ``spend_currency``."""

    side: Side
    type: OrderType
    qty: Decimal
    price: Decimal | None
    reduce_only: bool
    spend_currency: str
    reserve: Decimal
    notional_usd: Decimal | None


def reference_price(side: Side, price: Decimal | None, quote: Quote | None) -> Decimal | None:
    """The price an order is valued at: its own limit, else the side of the quote it would take."""
    if price is not None:
        return price
    if quote is None:
        return None
    return quote.taken_by(side)


def exit_reference(side: Side, price: Decimal | None, quote: Quote | None) -> Decimal | None:
    """The price against which an order's exits must stand on the right side, or they would fire at once.

    For an order that executes at once the side of the quote at which exits are judged (a long position's at the
    bid), for one that rests its own price; None without both.
    """
    if quote is None:
        return price
    rests = price is not None and (price < quote.ask if side is Side.BUY else price > quote.bid)
    return price if rests else quote.taken_by(side.opposite)


def reserve_for(side: Side, qty: Decimal, worst_price: Decimal, taker_rate: Decimal, scale: int) -> Decimal:
    """What an order sets aside: for a buy its worst value plus the fee on it, for a sell the quantity.

    Rounded up to the quote currency's ``scale``, so that no possible fill costs more than was held.
    """
    if side is Side.SELL:
        return qty
    return round_up(qty * worst_price * (1 + taker_rate), scale)


def usd_rate(currency: str, quotes: dict[str, Quote]) -> Decimal | None:
    """USD per unit of a currency through at most one intermediate; None when it cannot be priced.

    Stablecoins count as 1 USD.
    """
    direct = _usd_rate_directly(currency, quotes)
    if direct is not None:
        return direct
    for symbol, quote in quotes.items():
        base, _, through = symbol.partition("/")
        if base == currency and (rate := _usd_rate_directly(through, quotes)) is not None:
            return quote.mid * rate
    return None


def _usd_rate_directly(currency: str, quotes: dict[str, Quote]) -> Decimal | None:
    if currency == "USD" or currency in USD_STABLECOINS:
        return Decimal(1)
    for symbol in (f"{currency}/USD", f"{currency}/USDT", currency):
        if symbol in quotes:
            return quotes[symbol].mid
    inverse = quotes.get(f"USD/{currency}")
    return 1 / inverse.mid if inverse is not None else None


def _show(value: Decimal | None) -> str:
    return text(round(value, 8)) if value is not None else "unknown"  # quotients have up to 80 digits


def check_order(
    order: Candidate,
    instrument: Instrument,
    quote: Quote | None,
    account: Account,
    client_limits: ClientLimits,
    limits: WalletLimits,
    now: datetime,
) -> list[Failure]:
    """Every reason to refuse the order, in the order of the product book; empty when it may pass."""
    failures: list[Failure] = []

    def fail(code: str, message: str, **values: str) -> None:
        failures.append(Failure(code, message, values))

    # who is in gets out: what stands against an entry does not stand against reducing what is there
    enters = not order.reduce_only
    if enters and not account.client_active:
        fail("CLIENT_INACTIVE", "the client is not active")
    if enters and account.wallet_status != "active":
        code = "WALLET_SUSPENDED" if account.wallet_status == "suspended" else "WALLET_PAUSED"
        fail(code, f"the wallet is {account.wallet_status}", status=account.wallet_status)
    if instrument.status is not InstrumentStatus.TRADING:
        fail("HALTED", f"{instrument.symbol} is {instrument.status}", status=instrument.status.value)
    symbol = instrument.symbol
    if enters and client_limits.blocked:
        fail("SYMBOL_BLOCKED", f"{symbol} is blocked for this client", symbol=symbol)
    allowed = limits.allowed_symbols is None or symbol in limits.allowed_symbols
    if enters and (symbol in limits.blocked_symbols or not allowed):
        fail("SYMBOL_NOT_ALLOWED", f"{symbol} is not allowed in this wallet", symbol=symbol)
    if enters and client_limits.hours is not None and not client_limits.hours.contains(now):
        fail(
            "OUTSIDE_TRADING_HOURS",
            f"trading is allowed {client_limits.hours}",
            now=now.isoformat(),
            hours=str(client_limits.hours),
        )
    if limits.respect_market_hours and not is_open(instrument.calendar, now):
        fail(
            "MARKET_CLOSED",
            f"the market of {symbol} is closed",
            now=now.isoformat(),
            calendar=instrument.calendar.value,
        )
    _check_price(order, instrument, quote, now, fail)
    rate, limit = account.orders_in_last_second, account.max_orders_per_second
    if limit is not None and rate >= limit:
        fail("RATE_LIMITED", f"more than {limit} orders in a second", orders=str(rate), limit=str(limit))
    if enters and client_limits.max_order_qty is not None and order.qty > client_limits.max_order_qty:
        fail(
            "ORDER_SIZE_LIMIT_EXCEEDED",
            "the quantity is above the client's limit",
            qty=text(order.qty),
            limit=text(client_limits.max_order_qty),
        )
    _check_usd(order, symbol, account, client_limits, limits, fail)
    if order.reserve > account.available:
        fail(
            "INSUFFICIENT_BALANCE",
            f"not enough {order.spend_currency} available",
            currency=order.spend_currency,
            required=text(order.reserve),
            available=text(account.available),
        )
    return failures


def _check_price(order: Candidate, instrument: Instrument, quote: Quote | None, now: datetime, fail: Any) -> None:
    if quote is None:
        fail("MISSING_REFERENCE_PRICE", f"there is no quote for {instrument.symbol}", symbol=instrument.symbol)
        return
    if order.type is OrderType.MARKET and quote.is_stale(now, instrument.stale_after):
        fail(
            "STALE_QUOTE",
            f"the last quote of {instrument.symbol} is too old",
            age_seconds=f"{quote.age(now).total_seconds():.1f}",
            limit_seconds=f"{instrument.stale_after.total_seconds():.0f}",
        )
    if order.price is not None:
        touch = quote.ask if order.side is Side.BUY else quote.bid
        low, high = touch * (1 - instrument.price_band), touch * (1 + instrument.price_band)
        # a price that only favours the market (a far-away resting order) is harmless below; a fat finger is not
        if (order.side is Side.BUY and order.price > high) or (order.side is Side.SELL and order.price < low):
            fail(
                "PRICE_OUT_OF_BAND",
                f"the price leaves the band of {text(instrument.price_band * 100)} %",
                price=text(order.price),
                low=text(low),
                high=text(high),
            )


def _check_usd(
    order: Candidate, symbol: str, account: Account, client_limits: ClientLimits, limits: WalletLimits, fail: Any
) -> None:
    """Limits that are stated in USD. What cannot be priced fails them: it is said, not guessed."""
    if order.reduce_only:
        return
    notional = order.notional_usd
    own = () if notional is not None else (symbol,)

    def check(code: str, what: str, limit: Decimal | None, unpriced: tuple[str, ...], **parts: Decimal | None) -> None:
        total = _sum(parts.values())
        if limit is None or (total is not None and total <= limit):
            return
        values = {name: _show(value) for name, value in parts.items()} | {"limit_usd": _show(limit)}
        if total is not None:
            fail(code, f"{what} would be above the limit", **values)
            return
        if unpriced:
            values["unpriced"] = ", ".join(unpriced)
        fail(code, f"{what} cannot be valued: there is no fresh price of {values.get('unpriced', 'it')}", **values)

    check("NOTIONAL_LIMIT_EXCEEDED", "the order's value", client_limits.max_notional_usd, own, notional_usd=notional)
    if not opens(order.side, reduce_only=order.reduce_only):
        return
    here = (symbol,) if account.position_usd is None and account.unpriced else own
    check(
        "POSITION_LIMIT_EXCEEDED",
        "the position",
        limits.max_position_usd,
        here,
        position_usd=account.position_usd,
        notional_usd=notional,
    )
    everything = tuple(dict.fromkeys((*account.unpriced, *own)))
    check(
        "EXPOSURE_LIMIT_EXCEEDED",
        "the total exposure",
        limits.max_exposure_usd,
        everything,
        exposure_usd=account.exposure_usd,
        notional_usd=notional,
    )
    if (
        limits.max_open_positions is not None
        and not account.has_position
        and (account.open_positions >= limits.max_open_positions)
    ):
        fail(
            "MAX_OPEN_POSITIONS",
            "the wallet has as many open positions as it may",
            open=str(account.open_positions),
            limit=str(limits.max_open_positions),
        )
    for failure in loss_failures(
        limits, account.equity_usd, account.day_start_equity_usd, account.peak_equity_usd, account.equity_unpriced
    ):
        fail(failure.code, failure.message, **failure.values)


def loss_failures(
    limits: WalletLimits,
    equity: Decimal | None,
    start: Decimal | None,
    peak: Decimal | None,
    unpriced: tuple[str, ...] = (),
) -> list[Failure]:
    """Loss limits against the day's start and the peak, in USD; an equity nobody can price fails them."""
    failures = []
    missing = {"unpriced": ", ".join(unpriced)} if unpriced else {}
    if limits.daily_loss_usd is not None or limits.daily_loss_percent is not None:
        percent = limits.daily_loss_percent
        by_percent = None if percent is None or start is None else start * percent / 100
        allowed = [limit for limit in (limits.daily_loss_usd, by_percent) if limit is not None]
        loss = None if start is None or equity is None else start - equity
        if loss is None or loss >= min(allowed):
            words = "the wallet has lost as much today as it may" if loss is not None else _UNVALUED
            values = {"loss_usd": _show(loss), "limit_usd": _show(min(allowed, default=None))}
            failures.append(Failure("DAILY_LOSS_LIMIT", words, values | missing))
    if limits.max_drawdown_percent is not None:
        drawdown = None if equity is None else (peak - equity) * 100 / peak if peak else ZERO
        if drawdown is None or drawdown >= limits.max_drawdown_percent:
            words = "the wallet is as far below its peak as it may be" if drawdown is not None else _UNVALUED
            values = {
                "drawdown_percent": _show(drawdown),
                "limit_percent": text(limits.max_drawdown_percent),
                **missing,
            }
            failures.append(Failure("MAX_DRAWDOWN", words, values))
    return failures


_UNVALUED = "the wallet cannot be valued: an asset has no fresh price"
RATE_WINDOW = timedelta(seconds=1)

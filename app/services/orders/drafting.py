"""From a request to a draft: everything about an order that can be said before any row is locked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.core.errors import FieldError, Invalid
from app.domain.execution import OrderState
from app.domain.instruments import Instrument, SymbolTable, UnknownSymbol
from app.domain.money import ONE, ZERO, decimals, floor_to, text
from app.domain.order_requests import Draft, OrderRequest, OrderRules
from app.domain.orders import OrderType, Side, TimeInForce
from app.domain.protection import Protection, TrailType, protection_errors
from app.domain.quotes import Quote
from app.domain.risk import exit_reference, reference_price, reserve_for
from app.models import Wallet
from app.schemas.orders import order_json
from app.services.quotes import QuoteBook


class Drafting:
    """Works out quantity, worst price and reserve from what is known in memory."""

    def __init__(self, instruments: SymbolTable, quotes: QuoteBook, rules: OrderRules) -> None:
        self.instruments, self.quotes, self.rules = instruments, quotes, rules

    def show(self, order: OrderState) -> dict[str, Any]:
        """The order as the API and every event show it."""
        return order_json(order, self.instruments.by_id(order.instrument_id).symbol)

    def draft(self, request: OrderRequest, wallet: Wallet) -> Draft:
        """Work out quantity, worst price and reserve. Raises ``Invalid`` with every wrong field."""
        instrument = self.resolve(request.symbol)
        quote = self.quotes.get(instrument.symbol)
        errors = _shape_errors(request, instrument)
        if errors:
            raise invalid(errors)
        reference = reference_price(request.side, request.price, quote)
        protection_px = self._protection_price(request, instrument, quote)
        qty = request.qty if request.qty is not None else _qty_for(request, instrument, wallet, protection_px)
        errors = [FieldError("qty", code, message, text(qty)) for code, message in instrument.qty_errors(qty)]
        if not errors and reference is not None and not request.reduce_only:
            errors += min_notional_errors(qty, reference, instrument)
        if request.quote_qty is not None:  # the quantity was worked out from it
            errors = [FieldError("quote_qty", e.code, e.message, text(request.quote_qty)) for e in errors]
        errors += exit_errors(request.side, request.price, request.protection, instrument, quote)
        if errors:
            raise invalid(errors)
        worst = request.price if request.type is OrderType.LIMIT else protection_px
        spend = instrument.quote if request.side is Side.BUY else instrument.base
        reserve = reserve_for(request.side, qty, worst or reference or ZERO, wallet.taker_rate, instrument.quote_scale)
        return Draft(instrument, qty, request.price, protection_px, reference, reserve, spend, quote)

    def resolve(self, symbol: str) -> Instrument:
        """The instrument for any known form of its symbol. Raises ``Invalid``."""
        try:
            return self.instruments.resolve(symbol)
        except UnknownSymbol as error:
            raise Invalid.field("symbol", "unknown_instrument", "names no known instrument", symbol[:32]) from error

    def _protection_price(self, request: OrderRequest, instrument: Instrument, quote: Quote | None) -> Decimal | None:
        """The worst price a market buy may execute at, so that its hold always suffices."""
        if request.type is not OrderType.MARKET or request.side is Side.SELL or quote is None:
            return None
        worst = quote.ask * (ONE + self.rules.protection_bps / 10_000)
        return max(floor_to(worst, instrument.tick_size), instrument.tick_size)


def _shape_errors(request: OrderRequest, instrument: Instrument) -> list[FieldError]:
    """Fields that contradict each other or the instrument."""
    errors = []
    market = request.type is OrderType.MARKET
    if market and request.price is not None:
        errors.append(FieldError("price", "PRICE_NOT_ALLOWED", "is not allowed on a market order", text(request.price)))
    if not market and request.price is None:
        errors.append(FieldError("price", "PRICE_REQUIRED", "is required on a limit order"))
    if not market and request.price is not None:
        errors += [FieldError("price", c, m, text(request.price)) for c, m in instrument.price_errors(request.price)]
    if market and request.post_only:
        errors.append(FieldError("post_only", "post_only_market", "is not possible on a market order", True))
    if request.post_only and request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        errors.append(FieldError("post_only", "post_only_immediate", "contradicts an immediate order", True))
    if request.quote_qty is not None and not (market and request.side is Side.BUY):
        errors.append(FieldError("quote_qty", "market_buy_only", "is for market buys", text(request.quote_qty)))
    if request.quote_qty is not None and request.quote_qty <= 0:
        errors.append(
            FieldError("quote_qty", "amount_out_of_range", "must be greater than zero", text(request.quote_qty))
        )
    if request.qty is not None:
        errors += [FieldError("qty", c, m, text(request.qty)) for c, m in instrument.qty_errors(request.qty)]
    if request.protection and request.side is Side.SELL:
        errors.append(FieldError("stop_loss", "protection_on_sell", "exits attach to the order that opens a position"))
    return errors + leg_errors(request.protection, instrument)


def leg_errors(protection: Protection, instrument: Instrument) -> list[FieldError]:
    """Exit prices off the instrument's tick, the trail's distance and activation included."""
    trail = protection.trail
    prices = {"stop_loss": protection.stop_loss, "take_profit": protection.take_profit}
    if trail is not None:
        prices["trailing_stop.activation_price"] = trail.activation
        if trail.type is TrailType.AMOUNT:
            prices["trailing_stop.value"] = trail.value
    errors = [
        FieldError(name, code, message, text(price))
        for name, price in prices.items()
        if price is not None
        for code, message in instrument.price_errors(price)
    ]
    percents = {"break_even_percent": protection.break_even}
    if trail is not None and trail.type is not TrailType.AMOUNT:
        percents["trailing_stop.value"] = trail.value
    for name, percent in percents.items():
        if percent is not None and (decimals(percent) > 8 or percent >= 100_000):
            errors.append(
                FieldError(name, "precision", "must have at most 8 decimals and be below 100000", text(percent))
            )
    return errors


def exit_errors(
    side: Side, price: Decimal | None, protection: Protection, instrument: Instrument, quote: Quote | None
) -> list[FieldError]:
    """Exits of an order at ``price`` that would fire as soon as it fills."""
    reference = exit_reference(side, price, quote)
    if reference is None:
        return []
    return [FieldError(*error) for error in protection_errors(side, reference, instrument.tick_size, protection)]


def _qty_for(request: OrderRequest, instrument: Instrument, wallet: Wallet, worst: Decimal | None) -> Decimal:
    """The largest quantity an amount of quote currency pays for, fee and worst price included."""
    if worst is None:
        raise Invalid.field("quote_qty", "MISSING_REFERENCE_PRICE", f"there is no quote for {instrument.symbol}")
    assert request.quote_qty is not None
    return floor_to(request.quote_qty / (worst * (ONE + wallet.taker_rate)), instrument.lot_size)


def min_notional_errors(qty: Decimal, price: Decimal, instrument: Instrument) -> list[FieldError]:
    if qty * price >= instrument.min_notional:
        return []
    least = f"makes a value below the least of {text(instrument.min_notional)} {instrument.quote}"
    return [FieldError("qty", "min_notional", least, text(qty))]


def invalid(errors: list[FieldError]) -> Invalid:
    detail = "; ".join(f"{error.field} {error.message}" for error in errors)
    return Invalid(detail, code=errors[0].code if len(errors) == 1 else None, errors=errors)

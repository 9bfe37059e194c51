"""Risk before a trade: limits of wallets and clients, equity and exposure, and the checks of one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.calendars import TradingHours
from app.domain.execution import OrderState
from app.domain.gate import Act, decide
from app.domain.instruments import SymbolTable
from app.domain.money import ZERO, text
from app.domain.order_requests import Draft, OrderRequest, OrderRules
from app.domain.orders import LIVE, TERMINAL, OrderSource, Side
from app.domain.quotes import Quote
from app.domain.risk import (
    RATE_WINDOW,
    Account,
    Candidate,
    ClientLimits,
    Exposure,
    Failure,
    Stake,
    WalletLimits,
    check_order,
    exposure_of,
    loss_failures,
    may_add,
    usd_rate,
)
from app.models import Client, ClientLimit, Order, Position, Wallet, table_of

from . import gate, ledger
from .quotes import QuoteBook

orders, positions = table_of(Order), table_of(Position)
_client_limits = table_of(ClientLimit)
_LIMITS_OF_CLIENTS = sa.select(_client_limits).where(
    _client_limits.c.client_id.in_(sa.bindparam("ids", expanding=True))
)
_LIVE = [status.value for status in LIVE]
_TERMINAL = sorted(status.value for status in TERMINAL)


def position_qty(session: Session, wallet_id: str, instrument_id: int) -> Decimal:
    """The quantity of the open position in an instrument; zero without one."""
    query = sa.select(positions.c.qty).where(
        positions.c.wallet_id == wallet_id, positions.c.instrument_id == instrument_id, positions.c.status != "CLOSED"
    )
    qty: Decimal | None = session.scalar(query)
    return ZERO if qty is None else qty


def limits_of(wallet: Wallet) -> WalletLimits:
    return WalletLimits(
        max_position_usd=wallet.max_position_usd,
        max_exposure_usd=wallet.max_exposure_usd,
        max_open_positions=wallet.max_open_positions,
        daily_loss_usd=wallet.daily_loss_usd,
        daily_loss_percent=wallet.daily_loss_percent,
        max_drawdown_percent=wallet.max_drawdown_percent,
        allowed_symbols=None if wallet.allowed_symbols is None else frozenset(wallet.allowed_symbols),
        blocked_symbols=frozenset(wallet.blocked_symbols or ()),
        respect_market_hours=wallet.respect_market_hours,
    )


def limits_of_clients(session: Session, client_ids: set[str]) -> Callable[[str, int], ClientLimits]:
    """Answers (client id, instrument id): the specific limit, else the general one, else none."""
    rows = {
        (row.client_id, row.instrument_id): row
        for row in session.execute(_LIMITS_OF_CLIENTS, {"ids": list(client_ids)})
    }

    def limits(client_id: str, instrument_id: int) -> ClientLimits:
        row = rows.get((client_id, instrument_id)) or rows.get((client_id, None))
        if row is None:
            return ClientLimits()
        hours = TradingHours.parse(row.hours, row.time_zone or "UTC") if row.hours else None
        return ClientLimits(row.blocked, row.max_order_qty, row.max_notional_usd, hours)

    return limits


def equity_usd(session: Session, wallet_id: str, quotes: dict[str, Quote]) -> tuple[Decimal, list[str]]:
    """Total value of a wallet in USD at current mids, and the assets that cannot be priced."""
    total, unpriced = ZERO, []
    for asset, balance in ledger.balances(session, wallet_id).items():
        rate = usd_rate(asset, quotes)
        if rate is not None:
            total += balance["total"] * rate
        elif balance["total"]:
            unpriced.append(asset)
    return total, unpriced


def remember_equity(wallet: Wallet, equity: Decimal, now: datetime) -> None:
    """Keep an equity in USD as the day's start or the peak where it is; the wallet must be locked."""
    today = now.date().isoformat()
    if wallet.day_start_on != today:
        wallet.day_start_on, wallet.day_start_equity_usd = today, round(equity, 8)
    if wallet.peak_equity_usd is None or equity > wallet.peak_equity_usd:
        wallet.peak_equity_usd = round(equity, 8)


def note_withdrawal(wallet: Wallet, usd: Decimal) -> None:
    """Money that was taken out is no loss: the day's start and the peak fall with it; the wallet must be locked."""
    if wallet.day_start_equity_usd is not None:
        wallet.day_start_equity_usd = max(round(wallet.day_start_equity_usd - usd, 8), ZERO)
    if wallet.peak_equity_usd is not None:
        wallet.peak_equity_usd = max(round(wallet.peak_equity_usd - usd, 8), ZERO)


@dataclass(slots=True)
class _Seen:
    """What has been read of one wallet; None where no limit has asked for it yet."""

    stakes: list[Stake] | None = None
    equity: tuple[Decimal | None, tuple[str, ...]] | None = None
    recent: int | None = None


@dataclass
class Checks:
    """Judges orders one after the other; the wallets must be locked for the answers to hold.

    Nothing is read unless a limit asks for it, and then once per wallet; what ``took`` is told counts for the
    orders after it. ``besides`` is the order that an amendment is about: it does not stand in its own way.
    ``dry`` remembers no equity. Prices are those that are fresh.
    """

    session: Session
    instruments: SymbolTable
    quotes: QuoteBook
    rules: OrderRules
    now: datetime
    besides: str | None = None
    dry: bool = False
    breached: dict[str, Failure] = field(default_factory=dict)  # wallets over a loss limit, found in this transaction
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _taken: list[OrderState] = field(default_factory=list)

    @cached_property
    def fresh(self) -> dict[str, Quote]:
        return self.quotes.fresh(self.now)

    def failures(
        self,
        client: Client,
        wallet: Wallet,
        request: OrderRequest,
        draft: Draft,
        available: Decimal,
        client_limits: ClientLimits,
    ) -> list[Failure]:
        """Every failing pre-trade check. ``available`` of the asset the order spends."""
        rate = usd_rate(draft.instrument.quote, self.fresh)
        notional = None if rate is None or draft.reference is None else draft.qty * draft.reference * rate
        candidate = Candidate(
            request.side,
            request.type,
            draft.qty,
            draft.price,
            request.reduce_only,
            draft.spend_currency,
            draft.reserve,
            notional,
        )
        account = self._account(client, wallet, draft, available, request.opens)
        limits = limits_of(wallet)
        failures = check_order(candidate, draft.instrument, draft.quote, account, client_limits, limits, self.now)
        if request.opens and client.active:  # what closes a position is nobody refused
            answer = decide(gate.standing(client, Act.ORDER, self.now))
            failures += [Failure(why.code.upper(), why.message, dict(why.values)) for why in answer.reasons]
        if request.reduce_only:
            held = position_qty(self.session, wallet.id, draft.instrument.id)
            held -= self._reducing(wallet.id, draft.instrument.id)
            if request.side is Side.BUY or draft.qty > held:
                failures.append(
                    Failure(
                        "REDUCE_ONLY",
                        "the order would do more than reduce the position",
                        {"qty": text(draft.qty), "position_qty": text(held)},
                    )
                )
        return failures

    def took(self, order: OrderState) -> None:
        """A new order, live or rejected, that no query sees yet."""
        self._taken.append(order)

    def mark(self, wallet: Wallet) -> Failure | None:
        """Remember the wallet's equity as the day's start or the peak where it is; the loss limit it has reached."""
        self._equity(wallet)
        return self.breach(wallet)

    def breach(self, wallet: Wallet) -> Failure | None:
        """The loss limit that the wallet has reached, if there is one; never for want of a price."""
        limits = limits_of(wallet)
        if wallet.status != "active" or not limits.of_losses:
            return None
        equity, _ = self._equity(wallet)
        if equity is None:
            return None
        found = loss_failures(limits, equity, wallet.day_start_equity_usd, wallet.peak_equity_usd)
        return found[0] if found else None

    def _account(self, client: Client, wallet: Wallet, draft: Draft, available: Decimal, opens: bool) -> Account:
        limits = limits_of(wallet)
        exposure = Exposure(0, False, ZERO, ZERO, ())
        if opens and limits.of_exposure:
            exposure = exposure_of(self._stakes(wallet), draft.instrument.id)
        equity, unpriced = self._equity(wallet) if opens and limits.of_losses else (None, ())
        # the order that finds the breach is told the limit it found
        status = "active" if wallet.id in self.breached else wallet.status
        return Account(
            client_active=client.active,
            wallet_status=status,
            available=available,
            open_positions=exposure.open_positions,
            has_position=exposure.has_position,
            position_usd=exposure.position_usd,
            exposure_usd=exposure.exposure_usd,
            equity_usd=equity,
            day_start_equity_usd=wallet.day_start_equity_usd,
            peak_equity_usd=wallet.peak_equity_usd,
            orders_in_last_second=self._recent(wallet.id),
            max_orders_per_second=self._most_per_second,
            unpriced=exposure.unpriced,
            equity_unpriced=unpriced,
        )

    @property
    def _most_per_second(self) -> int | None:
        return None if self.dry or self.besides is not None else self.rules.max_orders_per_second

    def _recent(self, wallet_id: str) -> int:
        """How many orders the wallet has sent within the last second, up to as many as it may."""
        most, seen = self._most_per_second, self._of(wallet_id)
        if most is None:
            return 0
        if seen.recent is None:
            newest = (
                sa.select(orders.c.created_at)
                .where(orders.c.wallet_id == wallet_id, orders.c.source != OrderSource.ENGINE.value)
                .order_by(orders.c.id.desc())
                .limit(most)
            )
            # either way: a clock that was set back must not stop anybody
            seen.recent = sum(1 for at in self.session.scalars(newest) if abs(self.now - at) < RATE_WINDOW)
        return seen.recent + sum(1 for order in self._taken if order.wallet_id == wallet_id)

    def _of(self, wallet_id: str) -> _Seen:
        return self._seen.setdefault(wallet_id, _Seen())

    def _equity(self, wallet: Wallet) -> tuple[Decimal | None, tuple[str, ...]]:
        """In USD, with the assets that have no fresh price."""
        seen = self._of(wallet.id)
        if seen.equity is None:
            equity, unpriced = equity_usd(self.session, wallet.id, self.fresh)
            seen.equity = (None if unpriced else equity), tuple(unpriced)
            if not unpriced and not self.dry:
                remember_equity(wallet, equity, self.now)
        return seen.equity

    def _stakes(self, wallet: Wallet) -> list[Stake]:
        seen = self._of(wallet.id)
        if seen.stakes is None:
            seen.stakes = self._read_stakes(wallet.id)
        taken = [order for order in self._taken if order.wallet_id == wallet.id and order.opens and not order.terminal]
        return seen.stakes + [
            self._stake(order.instrument_id, order.leaves_qty, order.price or order.protection_px) for order in taken
        ]

    def _read_stakes(self, wallet_id: str) -> list[Stake]:
        """Positions and live opening orders in one statement, so that a fill between two is not missed."""
        worst = sa.func.coalesce(orders.c.price, orders.c.protection_px).label("price")
        live = sa.select(
            orders.c.instrument_id,
            orders.c.id,
            orders.c.leaves_qty,
            worst,
            orders.c.cum_qty,
            orders.c.pending_qty,
            orders.c.pending_price,
        ).where(
            orders.c.wallet_id == wallet_id,
            orders.c.side == Side.BUY.value,
            orders.c.reduce_only.is_(False),
            orders.c.status.not_in(_TERMINAL),
        )
        if self.besides is not None:
            live = live.where(orders.c.id != self.besides)
        nothing = sa.null()
        held = sa.select(positions.c.instrument_id, nothing, positions.c.qty, nothing, nothing, nothing, nothing).where(
            positions.c.wallet_id == wallet_id, positions.c.status != "CLOSED"
        )
        rows = self.session.execute(sa.union_all(live, held)).mappings()
        return [
            self._held(row)
            if row["id"] is None
            else self._stake(
                row["instrument_id"],
                row["leaves_qty"],
                row["price"],
                row["cum_qty"],
                row["pending_qty"],
                row["pending_price"],
            )
            for row in rows
        ]

    def _stake(
        self,
        instrument_id: int,
        leaves_qty: Decimal,
        price: Decimal | None,
        cum_qty: Decimal = ZERO,
        pending_qty: Decimal | None = None,
        pending_price: Decimal | None = None,
    ) -> Stake:
        """What a live order may add."""
        instrument = self.instruments.by_id(instrument_id)
        rate = usd_rate(instrument.quote, self.fresh)
        value = may_add(leaves_qty, price, cum_qty, pending_qty, pending_price)
        return Stake(instrument.id, instrument.symbol, None if rate is None or value is None else value * rate)

    def _held(self, row: Any) -> Stake:
        instrument = self.instruments.by_id(row["instrument_id"])
        quote, rate = self.fresh.get(instrument.symbol), usd_rate(instrument.quote, self.fresh)
        value = None if quote is None or rate is None else abs(row["leaves_qty"]) * quote.mid * rate
        return Stake(instrument.id, instrument.symbol, value)

    def _reducing(self, wallet_id: str, instrument_id: int) -> Decimal:
        """What live orders already take from a position."""
        query = sa.select(orders.c.leaves_qty).where(
            orders.c.wallet_id == wallet_id,
            orders.c.instrument_id == instrument_id,
            orders.c.reduce_only.is_(True),
            orders.c.status.in_(_LIVE),
        )
        if self.besides is not None:
            query = query.where(orders.c.id != self.besides)
        taken = [
            order.leaves_qty
            for order in self._taken
            if order.wallet_id == wallet_id and order.instrument_id == instrument_id and order.reduce_only
        ]
        return sum([*self.session.scalars(query), *taken], ZERO)

"""A week in the demo firm: what its clients would have ordered, entered as every order is.

The prices and the engine belong to whoever plays the week (``flask demo load``); here is who trades, when, and
what. The same seed and the same prices give the same week, to the cent.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import AppError, Conflict
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.calendars import is_open
from app.domain.instruments import Instrument, SymbolTable
from app.domain.money import ONE, ZERO, floor_to, text
from app.domain.orders import AMENDABLE, TERMINAL, OrderSource
from app.domain.positions import PositionState, PositionStatus
from app.domain.protection import Protection
from app.domain.quotes import Quote
from app.domain.risk import usd_rate
from app.models import Bar, Client, Order, Position, User, Wallet, table_of
from app.schemas.base import validate
from app.schemas.orders import OrderIn

from . import clients, users, wallets
from .demo import PROFILES
from .locks import Locks
from .orders import Orders
from .positions import Positions
from .quotes import QuoteBook

LENGTH: Final = timedelta(days=7)
QUIET: Final = timedelta(minutes=20)  # before the present: what is open then is what a newcomer finds
WORTHWHILE: Final = Decimal("1.004")  # times the entry: a gain after both fees
orders, positions = table_of(Order), table_of(Position)


@dataclass(frozen=True, slots=True)
class Habit:
    """How one client trades: in what, how often a day, with how many USD at a time, and by whose hand."""

    symbols: tuple[str, ...]
    orders_a_day: int
    usd: int
    source: OrderSource = OrderSource.WEB
    by_trader: bool = False
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class FirmClient:
    """A client of the past without a sign-in; ``trader`` is who looks after them."""

    code: str
    name: str
    balances: dict[str, str]
    trader: str | None = None


CLIENTS: Final = (
    FirmClient(
        "C-1003",
        "Inversiones Andinas S.A.C.",
        {"USDT": "400000", "USD": "600000", "EUR": "80000", "XAU": "40"},
        "trader@demo.cambista",
    ),
    FirmClient("C-1004", "Rosa Chávez Luna", {"USDT": "35000", "USD": "40000", "ETH": "4"}, "trader@demo.cambista"),
    FirmClient("C-1005", "Diego Salazar Ríos", {"USDT": "60000", "USD": "25000", "PEN": "90000", "SOL": "120"}),
)
HABITS: Final = {
    # the guided tour has C-1001 open its first position in BTC/USDT
    "C-1001": Habit(("ETH/USDT", "XAU/USD", "AAPL"), 5, 7_000),
    "C-1002": Habit(("SOL/USDT", "BTC/USDT", "EUR/USD"), 5, 6_000, OrderSource.API, agent="trend-follower"),
    "C-1003": Habit(("XAU/USD", "EUR/USD", "GBP/USD", "AAPL", "TSLA"), 5, 45_000, by_trader=True),
    "C-1004": Habit(("ETH/USDT", "TSLA", "SOL/USDT"), 3, 3_500, by_trader=True),
    "C-1005": Habit(("SOL/USDT", "USD/PEN", "BTC/USDT"), 4, 4_000),
}


def is_untouched(session: Session) -> bool:
    """Whether nobody has traded here and no price was kept: the one moment at which a past may be made."""
    return (
        session.scalar(sa.select(Order.id).limit(1)) is None and session.scalar(sa.select(Bar.start).limit(1)) is None
    )


def open_accounts(session: Session, now: datetime) -> list[str]:
    """Register the clients of the past that are missing, each with a paper wallet; returns their codes."""
    added = []
    for wanted in CLIENTS:
        if session.scalar(sa.select(Client.id).where(Client.code == wanted.code)) is not None:
            continue
        trader = users.by_email(session, wanted.trader).id if wanted.trader else None
        client = clients.create(
            session, wanted.code, wanted.name, SYSTEM, now, trader_id=trader, **PROFILES.get(wanted.code, {})
        )
        wallets.create(
            session, client, "Paper", {asset: Decimal(n) for asset, n in wanted.balances.items()}, SYSTEM, now
        )
        added.append(wanted.code)
    return added


def in_play(session: Session) -> set[int]:
    """Ids of the instruments in which somebody has a position or a live order."""
    held = sa.select(positions.c.instrument_id).where(positions.c.status != PositionStatus.CLOSED.value)
    waiting = sa.select(orders.c.instrument_id).where(orders.c.status.not_in([status.value for status in TERMINAL]))
    return set(session.scalars(held.union(waiting)))


@dataclass(frozen=True, slots=True)
class Account:
    """Whose orders, in which wallet, and as whom they are entered."""

    client_id: str
    wallet_id: str
    actor: str
    habit: Habit


def accounts(session: Session) -> list[Account]:
    trader = users.by_email(session, "trader@demo.cambista")
    found = []
    for code, habit in HABITS.items():
        client = session.scalars(sa.select(Client).where(Client.code == code)).one()
        wallet = session.scalars(sa.select(Wallet).where(Wallet.client_id == client.id, Wallet.is_default)).one()
        own = session.scalar(sa.select(User.id).where(User.client_id == client.id).limit(1))
        person = trader.id if habit.by_trader or own is None else own
        found.append(Account(client.id, wallet.id, f"user:{person}", habit))
    return found


Deed = Callable[["Week", Account, random.Random, datetime], None]


@dataclass(frozen=True, slots=True)
class Appointment:
    at: datetime
    account: Account
    deed: Deed
    chance: random.Random


def schedule(
    found: list[Account], instruments: SymbolTable, since: datetime, until: datetime, seed: int
) -> list[Appointment]:
    """When who does what, in order of time, while a market of theirs is open; each has a generator of its own."""
    span = int((until - QUIET - since) / timedelta(minutes=1))
    planned = []
    for number, account in enumerate(found):
        chance = random.Random(f"{seed}:{number}")
        calendars = {instruments.resolve(symbol).calendar for symbol in account.habit.symbols}
        open_minutes = [
            minute
            for minute in range(30, span - 400)
            if any(is_open(calendar, since + timedelta(minutes=minute)) for calendar in calendars)
        ]
        wanted = min(account.habit.orders_a_day * LENGTH.days, len(open_minutes))
        deeds = [chance.choice(_DEEDS) for _ in range(wanted)]
        deeds += _LAST_DEEDS  # in the last hours, so that something rests and something is open
        minutes = sorted(chance.sample(open_minutes, wanted))
        minutes += [span - 390 + 60 * index + 7 * number for index in range(len(_LAST_DEEDS))]
        planned += [
            Appointment(since + timedelta(minutes=minute), account, deed, random.Random(f"{seed}:{number}:{minute}"))
            for minute, deed in zip(minutes, deeds, strict=True)
        ]
    return sorted(planned, key=lambda appointment: appointment.at)


class Week:
    """Does what the clients do, through the services that requests call; what is refused stays refused."""

    def __init__(
        self, database: Database, instruments: SymbolTable, quotes: QuoteBook, entry: Orders, holdings: Positions
    ) -> None:
        self.database, self.instruments, self.quotes = database, instruments, quotes
        self.entry, self.holdings = entry, holdings

    def keep(self, appointment: Appointment, now: datetime) -> None:
        with suppress(AppError):  # what makes no sense at this price would not have been sent either
            appointment.deed(self, appointment.account, appointment.chance, now)

    # -- what clients do ---------------------------------------------------------------------------------

    def buy(self, account: Account, chance: random.Random, now: datetime) -> None:
        """At the market, mostly with a stop and a target."""
        instrument, quote = self._pick(account, chance, now)
        fields = self._exits(instrument, quote.bid, chance) if chance.random() < 0.85 else {}
        self._send(account, instrument, "BUY", "MARKET", self._qty(account, instrument, quote, chance), now, **fields)

    def buy_with_trail(self, account: Account, chance: random.Random, now: datetime) -> None:
        instrument, quote = self._pick(account, chance, now)
        trail = {"type": "percent", "value": str(chance.choice((2, 3, 4)))}
        self._send(
            account,
            instrument,
            "BUY",
            "MARKET",
            self._qty(account, instrument, quote, chance),
            now,
            trailing_stop=trail,
        )

    def bid_below(self, account: Account, chance: random.Random, now: datetime) -> None:
        """A limit a little below the market, which may be reached or not."""
        instrument, quote = self._pick(account, chance, now)
        price = _on_tick(quote.bid * (10_000 - chance.randrange(8, 90)) / 10_000, instrument)
        self._send(
            account,
            instrument,
            "BUY",
            "LIMIT",
            self._qty(account, instrument, quote, chance),
            now,
            price=text(price),
            **self._exits(instrument, price, chance),
        )

    def bid_far_below(self, account: Account, chance: random.Random, now: datetime) -> None:
        """One that is still resting when the newcomer comes."""
        instrument, quote = self._pick(account, chance, now)
        price = _on_tick(quote.bid * (1_000 - chance.randrange(18, 45)) / 1_000, instrument)
        self._send(
            account, instrument, "BUY", "LIMIT", self._qty(account, instrument, quote, chance), now, price=text(price)
        )

    def buy_too_much(self, account: Account, chance: random.Random, now: datetime) -> None:
        """Refused: the wallet does not cover it."""
        instrument, quote = self._pick(account, chance, now)
        qty = self._qty(account, instrument, quote, chance) * 60
        self._send(account, instrument, "BUY", "MARKET", min(qty, instrument.max_qty), now)

    def offer_position(self, account: Account, chance: random.Random, now: datetime) -> None:
        """A limit above the market for half of what is held."""
        held = self._position(account, chance, now)
        if held is None:
            return
        instrument = self.instruments.by_id(held.instrument_id)
        quote = self.quotes.get(instrument.symbol)
        assert quote is not None
        price = _on_tick(quote.ask * (1_000 + chance.randrange(10, 30)) / 1_000, instrument)
        qty = max(floor_to(held.qty / 2, instrument.lot_size), instrument.lot_size)
        self._send(account, instrument, "SELL", "LIMIT", qty, now, price=text(price))

    def close(self, account: Account, chance: random.Random, now: datetime) -> None:
        """All of the position that has gained most, now and then half; who has gained nothing yet mostly waits."""
        held = self._position(account, chance, now, best=True)
        if held is None or (self._mark(held) < held.avg_entry_px * WORTHWHILE and chance.random() < 0.8):
            return
        lot = self.instruments.by_id(held.instrument_id).lot_size
        qty = floor_to(held.qty / 2, lot) if chance.random() < 0.25 and held.qty >= 2 * lot else None

        def work(session: Session) -> None:
            wallet, client = Locks.of(session).wallet(account.wallet_id)
            locked = Locks.of(session).position(held.id)
            self.holdings.close(
                session, client, wallet, locked, qty, None, actor=account.actor, source=account.habit.source, now=now
            )

        self.database.run(work)

    def tighten(self, account: Account, chance: random.Random, now: datetime) -> None:
        """Pull a stop up towards a market that has risen."""
        held = self._position(account, chance, now, best=True)
        if held is None or self._mark(held) < held.avg_entry_px * WORTHWHILE:
            return
        instrument = self.instruments.by_id(held.instrument_id)
        quote = self.quotes.get(instrument.symbol)
        assert quote is not None
        stop = _on_tick(quote.bid * (1_000 - chance.randrange(12, 25)) / 1_000, instrument)
        current = held.protection
        wanted = Protection(stop, current.take_profit, current.trail, current.break_even)

        def work(session: Session) -> None:
            locked = Locks.of(session).position(held.id)
            self.holdings.protect(session, locked, wanted, actor=account.actor, now=now)

        self.database.run(work)

    def cancel_or_amend(self, account: Account, chance: random.Random, now: datetime) -> None:
        """Take the oldest resting order back, or move it."""
        query = sa.select(orders).where(
            orders.c.wallet_id == account.wallet_id,
            orders.c.type == "LIMIT",
            orders.c.side == "BUY",
            orders.c.status.in_([status.value for status in AMENDABLE]),
        )
        row = self.database.read(lambda session: session.execute(query.order_by(orders.c.id)).mappings().first())
        if row is None:
            return
        if chance.random() < 0.5:
            self.database.run(lambda session: self.entry.cancel(session, row["id"], actor=account.actor, now=now))
            return
        instrument = self.instruments.by_id(row["instrument_id"])
        price = _on_tick(row["price"] * 1_002 / 1_000, instrument)

        def work(session: Session) -> None:
            wallet, client = Locks.of(session).wallet(account.wallet_id)
            self.entry.amend(session, client, wallet, row["id"], None, price, actor=account.actor, now=now)

        self.database.run(work)

    # -- how --------------------------------------------------------------------------------------------

    def _pick(self, account: Account, chance: random.Random, now: datetime) -> tuple[Instrument, Quote]:
        """An instrument whose market is open. Raises ``Conflict`` when none of the client's is."""
        known = [self.instruments.resolve(symbol) for symbol in account.habit.symbols]
        tradable = [instrument for instrument in known if is_open(instrument.calendar, now)]
        if not tradable:
            raise Conflict("no market of theirs is open")
        instrument = chance.choice(tradable)
        quote = self.quotes.get(instrument.symbol)
        assert quote is not None
        return instrument, quote

    def _qty(self, account: Account, instrument: Instrument, quote: Quote, chance: random.Random) -> Decimal:
        """About the client's usual amount, in whole lots and round enough to have been typed."""
        rate = usd_rate(instrument.quote, self.quotes.snapshot()) or ONE
        usd = Decimal(account.habit.usd * chance.randrange(40, 160)) / 100
        exact = usd / (quote.ask * rate)
        coarse = instrument.lot_size
        while coarse * 1_000 <= exact:
            coarse *= 10
        return max(floor_to(exact, coarse), instrument.min_qty)

    def _exits(self, instrument: Instrument, price: Decimal, chance: random.Random) -> dict[str, str]:
        """A target nearer than the stop: more is won than lost, and what is lost is more at a time."""
        stop = _on_tick(price * (1_000 - chance.randrange(8, 22)) / 1_000, instrument)
        target = _on_tick(price * (1_000 + chance.randrange(5, 15)) / 1_000, instrument)
        return {"stop_loss": text(stop), "take_profit": text(target)}

    def _position(
        self, account: Account, chance: random.Random, now: datetime, *, best: bool = False
    ) -> PositionState | None:
        """One whose market is open; ``best``: the one that has gained most."""
        query = sa.select(positions).where(
            positions.c.wallet_id == account.wallet_id, positions.c.status == PositionStatus.OPEN.value
        )
        found = self.database.read(
            lambda session: [
                PositionState.of(row) for row in session.execute(query.order_by(positions.c.instrument_id)).mappings()
            ]
        )
        found = [held for held in found if is_open(self.instruments.by_id(held.instrument_id).calendar, now)]
        if best and found:
            return max(found, key=lambda held: self._mark(held) / held.avg_entry_px)
        return chance.choice(found) if found else None

    def _mark(self, held: PositionState) -> Decimal:
        quote = self.quotes.get(self.instruments.by_id(held.instrument_id).symbol)
        return quote.bid if quote is not None else ZERO

    def _send(
        self,
        account: Account,
        instrument: Instrument,
        side: str,
        type_: str,
        qty: Decimal,
        now: datetime,
        **fields: Any,
    ) -> None:
        if qty <= ZERO:
            return
        body = {"symbol": instrument.symbol, "side": side, "type": type_, "qty": text(qty), **fields}
        if account.habit.agent:
            body["strategy"] = {"agent": account.habit.agent, "confidence": 72, "tags": ["demo"]}
        given = validate(OrderIn, body)
        request = given.order_request(account.wallet_id, account.actor, account.habit.source)
        self.database.run(lambda session: self.entry.submit(session, request, now))


_DEEDS: Final[tuple[Deed, ...]] = (
    *(Week.buy,) * 6,
    Week.buy_with_trail,
    Week.buy_with_trail,
    *(Week.bid_below,) * 4,
    Week.bid_far_below,
    Week.buy_too_much,
    *(Week.close,) * 6,
    Week.tighten,
    Week.tighten,
    *(Week.cancel_or_amend,) * 3,
)
_LAST_DEEDS: Final[list[Deed]] = [
    Week.buy,
    Week.bid_far_below,
    Week.buy_with_trail,
    Week.offer_position,
    Week.bid_far_below,
    Week.buy,
]


def _on_tick(price: Decimal, instrument: Instrument) -> Decimal:
    return max(floor_to(price, instrument.tick_size), instrument.tick_size)

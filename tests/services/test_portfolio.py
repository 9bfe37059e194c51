"""The portfolio's figures, against numbers worked out by hand. Fees are 0.1 %, the venue answers at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.domain.bars import Bar
from app.domain.ledger import EntryKind, deposit_lines
from app.domain.positions import PositionState
from app.models import PositionUpdate, table_of
from app.services import portfolio
from app.services.bars import BarService
from app.services.ledger import Journal
from app.services.wallets import PLAY_MONEY
from tests.firm import Firm

DAY = datetime.fromisoformat("2026-01-05T00:00:00+00:00")


def at(hour: int, minute: int = 0) -> datetime:
    return DAY + timedelta(hours=hour, minutes=minute)


def price(firm: Firm, moment: datetime, symbol: str, bid: str, ask: str | None = None) -> None:
    firm.clock.set(moment - timedelta(seconds=1))
    firm.quote(symbol, bid, ask or bid)


def trade(firm: Firm, wallet: str, side: str, qty: str, symbol: str = "BTC/USDT") -> None:
    firm.send(wallet, side=side, qty=qty, symbol=symbol)
    firm.settle()


def closed_at(firm: Firm, symbol: str, **closes: str) -> None:
    """Hourly bars (``h14`` begins at 14:00), and days for what is older."""
    bars = [
        Bar(symbol, "1h", at(int(name[1:])), D(close), D(close), D(close), D(close), D(1), 1)
        for name, close in closes.items()
    ]
    firm.database.run(lambda session: BarService(firm.instruments).fill(session, bars))


def pay_in(firm: Firm, wallet: str, asset: str, amount: str) -> None:
    def work(session: Session) -> None:
        journal = Journal(session, firm.instruments.scales, firm.clock.now(), "test")
        lines = deposit_lines(wallet, asset, D(amount), PLAY_MONEY)
        journal.add(EntryKind.DEPOSIT, ("wallet", wallet), f"test:{asset}:{amount}", lines)
        journal.flush()

    firm.database.run(work)


def shown(firm: Firm, *wallets: str, period: str = "1d") -> dict[str, Any]:
    def read(session: Session) -> dict[str, Any]:
        now, quotes = firm.clock.now(), firm.quotes.snapshot()
        return portfolio.Portfolio(session, firm.instruments, quotes, now, wallets).show(period)

    return firm.database.read(read)


@pytest.fixture
def traded(firm: Firm) -> tuple[Firm, str]:
    """Half a bitcoin bought at 50,000 and sold at 51,500; one bought at 51,000 and sold at 50,000; 1,000 paid in."""
    _, wallet = firm.client(USDT="100000")
    price(firm, at(14, 31), "BTC/USDT", "50000")
    trade(firm, wallet, "BUY", "0.5")
    price(firm, at(15, 10), "BTC/USDT", "51500")
    trade(firm, wallet, "SELL", "0.5")
    price(firm, at(15, 20), "BTC/USDT", "51000")
    trade(firm, wallet, "BUY", "1")
    firm.clock.set(at(16, 5))
    pay_in(firm, wallet, "USDT", "1000")
    price(firm, at(16, 10), "BTC/USDT", "50000")
    trade(firm, wallet, "SELL", "1")
    closed_at(firm, "BTC/USDT", h14="50400", h15="51200")
    return firm, wallet


def test_equity_is_what_was_held_at_the_prices_of_the_time(traded: tuple[Firm, str]) -> None:
    firm, wallet = traded
    found = shown(firm, wallet)
    assert found["curve"] == [
        # 100,000 − 25,000 − 25 and half a bitcoin at 50,400
        {"at": iso(at(15)), "equity": "100175", "deposits": "0"},
        # 74,975 + 25,750 − 25.75 − 51,000 − 51 and one at 51,200
        {"at": iso(at(16)), "equity": "100848.25", "deposits": "0"},
        {"at": iso(at(16, 10)), "equity": "100598.25", "deposits": "1000"},
    ]
    assert found["equity"] == "100598.25" and found["unpriced"] == []


def test_profit_leaves_out_what_was_paid_in(traded: tuple[Firm, str]) -> None:
    firm, wallet = traded
    found = shown(firm, wallet)
    expected = {
        "from": iso(at(15)),
        "start_equity": "100175",
        "deposits": "1000",
        "pnl": "-576.75",
        "percent": "-0.57",
        "realized_pnl": "-401.75",  # 699.25 − 1,101
        "fees": "151.75",
        "volume": "151750",
        "fills": 4,
    }
    assert found["period"] == {"name": "1d", **expected}
    assert found["day"] == expected


def test_trading_figures_count_closed_positions(traded: tuple[Firm, str]) -> None:
    firm, wallet = traded
    found = shown(firm, wallet)
    assert found["statistics"] == {
        "trades": 2,
        "wins": 1,
        "losses": 1,
        "win_rate": "50",
        "average_win": "699.25",
        "average_loss": "-1101",
        "profit_factor": "0.64",
        "best": "699.25",
        "worst": "-1101",
        "average_minutes": 44,  # of 39 and 50
    }
    whole = {"realized_pnl": "-401.75", "fees": "151.75", "volume": "151750", "fills": 4}
    assert found["realized"] == [{"day": "2026-01-05", **whole}]
    assert found["instruments"] == [{"symbol": "BTC/USDT", **whole}]


def test_other_currencies_count_at_the_current_rate(firm: Firm) -> None:
    _, wallet = firm.client(PEN="10000", USD="10")
    price(firm, at(15, 10), "USD/PEN", "3.7000")
    trade(firm, wallet, "BUY", "1000", "USD/PEN")  # 3,700 PEN and a fee of 3.70
    price(firm, at(15, 20), "USD/PEN", "3.8000")
    trade(firm, wallet, "SELL", "500", "USD/PEN")  # 1,900 PEN and a fee of 1.90: 50 − 1.90 − 1.85
    found = shown(firm, wallet)
    assert found["period"]["realized_pnl"] == "12.17"  # 46.25 PEN / 3.80
    assert found["period"]["fees"] == "1.47"  # 5.60 PEN / 3.80
    assert found["unrealized_pnl"] == "12.67"  # (500 · 0.10 − 1.85) / 3.80
    # 510 USD and 10,000 − 3,703.70 + 1,898.10 PEN / 3.80
    assert found["equity"] == "2666.42"


def test_what_has_no_price_is_named_and_not_guessed(firm: Firm) -> None:
    _, wallet = firm.client(USD="100", SOL="3")
    firm.clock.set(at(15, 10))
    found = shown(firm, wallet)
    assert (found["equity"], found["unpriced"]) == ("100", ["SOL"])
    assert [point["equity"] for point in found["curve"]] == ["100", "100"]


def test_a_wallet_without_history_shows_nothing_and_divides_by_nothing(firm: Firm) -> None:
    firm.clock.set(at(15, 10))
    found = shown(firm)
    assert found["curve"] == [] and found["equity"] == "0"
    assert found["period"]["percent"] is None and found["statistics"]["win_rate"] is None


def test_wallets_are_added_up_and_periods_end_where_they_should(traded: tuple[Firm, str]) -> None:
    firm, wallet = traded
    _, other = firm.client(USDT="500")
    assert shown(firm, wallet, other)["equity"] == "101098.25"
    firm.clock.set(at(24 + 18))
    later = shown(firm, wallet)
    assert later["day"]["realized_pnl"] == "0" and later["day"]["fills"] == 0
    assert later["period"]["fills"] == 0, "the day before ended more than 24 hours ago"
    assert shown(firm, wallet, period="1w")["period"]["fills"] == 4
    assert shown(firm, wallet, period="3m")["statistics"]["trades"] == 2


def sample(firm: Firm, position_id: str, moment: datetime, pnl: str) -> dict[str, Any]:
    return {"position_id": position_id, "at": moment, "mark_px": D("51000"), "unrealized_pnl": D(pnl)}


def test_a_positions_curve_adds_what_was_realized_by_then(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    price(firm, at(15), "BTC/USDT", "50000")
    trade(firm, wallet, "BUY", "0.2")
    price(firm, at(15, 30), "BTC/USDT", "52000")
    trade(firm, wallet, "SELL", "0.1")  # 200 − 5 − 5.20
    row = PositionState.of(firm.position(wallet))
    samples = [sample(firm, row.id, at(15, 10), "95"), sample(firm, row.id, at(15, 40), "120")]
    firm.database.run(lambda session: session.execute(sa.insert(table_of(PositionUpdate)), samples))
    found = firm.database.read(lambda session: portfolio.position_curve(session, row))
    assert [(point["at"], point["realized_pnl"], point["pnl"]) for point in found] == [
        (iso(at(15, 10)), "0", "95"),
        (iso(at(15, 40)), "189.8", "309.8"),
    ]
    price(firm, at(16), "BTC/USDT", "49000")
    trade(firm, wallet, "SELL", "0.1")  # −100 − 5 − 4.90
    last = firm.database.read(
        lambda session: portfolio.position_curve(session, PositionState.of(firm.position(wallet)))
    )[-1]
    assert (last["at"], last["pnl"], last["price"]) == (iso(at(16)), "79.9", "50500")


def test_a_long_curve_is_thinned_evenly_and_keeps_its_newest_sample(firm: Firm) -> None:
    """One sample in ten minutes for two days, then one a second for a minute: the minute is one point of many."""
    _, wallet = firm.client(USDT="100000")
    price(firm, at(15), "BTC/USDT", "50000")
    trade(firm, wallet, "BUY", "0.2")
    row = PositionState.of(firm.position(wallet))
    quiet = [sample(firm, row.id, at(15, 10 * n), "1") for n in range(288)]
    busy = [sample(firm, row.id, at(63) + timedelta(seconds=n), str(n)) for n in range(61)]
    firm.database.run(lambda session: session.execute(sa.insert(table_of(PositionUpdate)), quiet + busy))
    found = firm.database.read(lambda session: portfolio.position_curve(session, row))
    assert 250 < len(found) <= portfolio.POINTS_MOST and found[-1]["pnl"] == "60"
    assert len([point for point in found if point["at"] >= iso(at(63))]) <= 2
    times = [point["at"] for point in found]
    assert times == sorted(times) and len(set(times)) == len(times)


def test_a_short_curve_has_its_seconds(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    price(firm, at(15), "BTC/USDT", "50000")
    trade(firm, wallet, "BUY", "0.2")
    row = PositionState.of(firm.position(wallet))
    assert firm.database.read(lambda session: portfolio.position_curve(session, row)) == []
    samples = [sample(firm, row.id, at(15) + timedelta(seconds=n), str(n)) for n in range(901)]
    firm.database.run(lambda session: session.execute(sa.insert(table_of(PositionUpdate)), samples))
    found = firm.database.read(lambda session: portfolio.position_curve(session, row))
    assert 280 < len(found) <= portfolio.POINTS_MOST and found[-1]["pnl"] == "900"

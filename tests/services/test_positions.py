"""Positions: protecting and closing them, and what becomes of a close that is taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict
from app.domain.orders import OrderSource
from app.domain.protection import Protection, Trail, TrailType
from app.models import Event, Order, Position
from app.schemas.base import validate
from app.schemas.positions import SignalIn
from app.services.locks import Locks
from tests.firm import Firm


def opened(firm: Firm, **legs: Any) -> tuple[str, str]:
    """A wallet and its position of 0.1 BTC at 50,000."""
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", **legs)
    firm.settle()
    return wallet, firm.position(wallet)["id"]


def close(firm: Firm, position: str, qty: str | None = None, name: str | None = None) -> dict[str, Any]:
    def work(session: Session) -> dict[str, Any]:
        wallet_id = session.scalars(sa.select(Position.wallet_id).where(Position.id == position)).one()
        wallet, client = Locks.of(session).wallet(wallet_id)
        return firm.positions.close(
            session,
            client,
            wallet,
            Locks.of(session).position(position),
            D(qty) if qty else None,
            name,
            actor="t",
            source=OrderSource.API,
            now=firm.clock.now(),
        )

    return firm.database.run(work)


def protect(firm: Firm, position: str, protection: Protection) -> dict[str, Any]:
    return firm.database.run(
        lambda s: firm.positions.protect(s, Locks.of(s).position(position), protection, actor="t", now=firm.clock.now())
    )


def events_of(firm: Firm, position: str) -> list[dict[str, Any]]:
    return [event for event in firm.all(Event) if event["object_id"] == position]


# -- closing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancel", "cancel_all"])
def test_a_close_that_is_cancelled_before_it_was_sent_gives_the_position_back(firm: Firm, how: str) -> None:
    wallet, position = opened(firm, stop_loss="49000")
    order = close(firm, position)
    before = firm.position(wallet)
    assert (before["status"], before["exit_order_id"]) == ("CLOSING", order["id"])

    def cancel(session: Session) -> None:
        now = firm.clock.now()
        if how == "cancel":
            firm.orders.cancel(session, order["id"], actor="t", now=now)
        else:
            firm.orders.cancel_all(
                session, None, client_id=None, wallet_id=wallet, symbol=None, side=None, actor="t", now=now
            )

    firm.database.run(cancel)
    after = firm.position(wallet)
    assert (after["status"], after["exit_order_id"], after["exit_reason"]) == ("OPEN", None, None)
    assert after["version"] == before["version"] + 1
    told = events_of(firm, position)[-1]
    assert (told["type"], told["object_version"]) == ("position.updated", after["version"])
    assert '"status":"OPEN"' in told["payload"]
    versions = [event["object_version"] for event in events_of(firm, position)]
    assert versions == sorted(set(versions)), "gapless and once each"
    firm.settle()
    firm.quote("BTC/USDT", "48900", "48900")  # armed again
    firm.run_for(1)
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()


def test_a_close_of_a_part_leaves_the_position_open_when_it_is_cancelled(firm: Firm) -> None:
    wallet, position = opened(firm)
    before = firm.position(wallet)
    order = close(firm, position, "0.04")
    firm.database.run(lambda s: firm.orders.cancel(s, order["id"], actor="t", now=firm.clock.now()))
    assert firm.position(wallet) == before


def test_a_position_that_is_being_closed_is_not_sold_by_its_levels_too(firm: Firm) -> None:
    """Neither while the close waits to be sent nor while it travels."""
    wallet, position = opened(firm, stop_loss="49000", take_profit="51000")
    armed = firm.position(wallet)["protection_version"]
    firm.venue.behaviour = replace(firm.behaviour, latency=timedelta(seconds=5))
    close(firm, position)
    row = firm.position(wallet)
    assert (row["status"], row["exit_reason"], row["protection_version"]) == ("CLOSING", "manual", armed + 1)
    firm.quote("BTC/USDT", "48900", "48900")
    firm.quote("BTC/USDT", "51100", "51100")
    assert len([order for order in firm.all(Order) if order["side"] == "SELL"]) == 1
    firm.run_for(6)
    assert (firm.position(wallet)["status"], firm.position(wallet)["exit_reason"]) == ("CLOSED", "manual")
    firm.reconciled()


def test_a_position_is_closed_once(firm: Firm) -> None:
    wallet, position = opened(firm)
    close(firm, position)
    for _ in range(2):  # while it is closing, and when it is closed
        with pytest.raises(Conflict, match="the position is CLOS") as refused:
            close(firm, position)
        assert refused.value.code == "too_late"
        firm.settle()
    assert len([order for order in firm.all(Order) if order["side"] == "SELL"]) == 1
    assert firm.position(wallet)["qty"] == 0


def test_the_same_close_again_answers_the_first_and_another_is_refused(firm: Firm) -> None:
    _, position = opened(firm)
    first = close(firm, position, "0.04", "c-1")
    assert close(firm, position, "0.04", "c-1") == first
    for qty in (None, "0.05"):
        with pytest.raises(Conflict) as refused:
            close(firm, position, qty, "c-1")
        assert refused.value.code == "DUPLICATE_ORDER"
    firm.settle()
    whole = close(firm, position, None, "c-2")
    firm.settle()
    assert close(firm, position, None, "c-2")["id"] == whole["id"], "though it is closed by now"


# -- protecting ----------------------------------------------------------------------------------------------


def test_a_position_that_is_closing_or_closed_is_not_protected(firm: Firm) -> None:
    wallet, position = opened(firm)
    close(firm, position)
    for _ in range(2):
        with pytest.raises(Conflict) as refused:
            protect(firm, position, Protection(stop_loss=D(49000)))
        assert refused.value.code == "too_late"
        firm.settle()
    assert firm.position(wallet)["stop_loss_px"] is None


TRAIL = Trail(TrailType.AMOUNT, D(500), None)


def test_changing_another_leg_leaves_the_trail_where_it_is(firm: Firm) -> None:
    wallet, position = opened(firm, trailing_stop={"type": "amount", "value": "500"})
    firm.quote("BTC/USDT", "51000", "51000")
    firm.quote("BTC/USDT", "50700", "50700")
    assert firm.position(wallet)["trail_extreme_px"] == 51000
    protect(firm, position, Protection(take_profit=D(60000), trail=TRAIL))
    assert firm.position(wallet)["trail_extreme_px"] == 51000
    firm.settle()
    firm.quote("BTC/USDT", "50490", "50490")
    firm.run_for(1)
    assert firm.position(wallet)["exit_reason"] == "trailing_stop"


def test_another_trail_starts_at_the_market(firm: Firm) -> None:
    wallet, position = opened(firm, trailing_stop={"type": "amount", "value": "500"})
    firm.quote("BTC/USDT", "51000", "51000")
    firm.quote("BTC/USDT", "50700", "50700")
    protect(firm, position, Protection(trail=replace(TRAIL, value=D(600))))
    assert firm.position(wallet)["trail_extreme_px"] == 50700
    protect(firm, position, Protection())
    assert firm.position(wallet)["trail_extreme_px"] is None


def test_without_break_even_the_stop_it_has_moved_is_gone_too(firm: Firm) -> None:
    wallet, position = opened(firm, break_even_percent="1")
    firm.quote("BTC/USDT", "50600", "50600")
    assert firm.position(wallet)["break_even_px"] is not None
    protect(firm, position, Protection(stop_loss=D(45000), break_even=D(1)))
    assert firm.position(wallet)["break_even_px"] is not None
    protect(firm, position, Protection(stop_loss=D(45000)))
    row = firm.position(wallet)
    assert (row["break_even_px"], row["break_even_percent"], row["stop_loss_px"]) == (None, None, D(45000))
    firm.settle()
    firm.quote("BTC/USDT", "49000", "49000")  # far below the break-even that was
    assert firm.position(wallet)["status"] == "OPEN"


# -- signals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "outcome", "sold"), [(1, "below_lot", None), (33, "below_lot", None), (34, "executed", D(1))]
)
def test_a_signal_to_reduce_by_less_than_a_lot_sells_nothing(
    firm: Firm, percent: int, outcome: str, sold: D | None
) -> None:
    _, wallet = firm.client(USD="10000")
    firm.quote("AAPL", "190", "190.02")
    firm.send(wallet, symbol="AAPL", qty="3")
    firm.settle()
    position = firm.position(wallet)["id"]
    request = validate(SignalIn, {"action": "reduce", "confidence": 99, "reduce_percent": percent})

    def work(session: Session) -> dict[str, Any]:
        row, owner = Locks.of(session).wallet(wallet)
        held = Locks.of(session).position(position)
        return firm.positions.signal(
            session, owner, row, held, request, actor="t", source=OrderSource.API, now=firm.clock.now()
        )

    answer = firm.database.run(work)
    assert answer["signal"]["outcome"] == outcome
    assert (None if answer["order"] is None else D(answer["order"]["qty"])) == sold

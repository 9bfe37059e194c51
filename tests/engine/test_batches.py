"""What reaches the books in one batch is booked in one batch."""

from __future__ import annotations

from decimal import Decimal as D

from app.models import Position
from tests.firm import Firm


def test_a_batch_may_close_a_position_and_open_the_next_in_the_same_instrument(firm: Firm) -> None:
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1")
    firm.settle()
    sale, purchase = firm.send(wallet, side="SELL", qty="0.1"), firm.send(wallet, qty="0.2")
    firm.settle()
    assert {firm.order(order["id"])["status"] for order in (sale, purchase)} == {"FILLED"}
    assert firm.engine.counts["failed_batches"] == 0
    assert [(row["status"], row["qty"]) for row in firm.all(Position)] == [("CLOSED", D(0)), ("OPEN", D("0.2"))]
    firm.reconciled()

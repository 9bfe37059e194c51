"""The whole transition matrix, written here from the lifecycle's description and not from the table."""

from __future__ import annotations

from itertools import product

import pytest

from app.domain.orders import AMENDABLE, LIVE, TERMINAL, TRANSITIONS, IllegalTransition, check_transition
from app.domain.orders import OrderStatus as S

COLUMNS = [
    "NEW",
    "PENDING_SEND",
    "SENT",
    "OPEN",
    "PARTIALLY_FILLED",
    "PENDING_REPLACE",
    "PENDING_CANCEL",
    "UNKNOWN",
    "FILLED",
    "CANCELED",
    "REJECTED",
    "EXPIRED",
    "FAILED",
]

# x: legal. Columns in the order above: N pS S O PF pR pC U | F C R E X
MATRIX = """
NEW               . x . . . . . . | . x x x x
PENDING_SEND      . . x x x . x x | x x x x x
SENT              . . . x x . x x | x x x x x
OPEN              . . . x x x x x | x x x x x
PARTIALLY_FILLED  . . . . x x x x | x x x x x
PENDING_REPLACE   . . . x x x x x | x x x x x
PENDING_CANCEL    . . . x x x x x | x x x x x
UNKNOWN           . . x x x x x x | x x x x x
FILLED            . . . . . . . . | x . . . .
CANCELED          . . . . . . . . | x x . . .
REJECTED          . . . . . . . . | x . x . .
EXPIRED           . . . . . . . . | x . . x .
FAILED            . . . . . . . . | x . . . x
"""
LEGAL = {
    (row.split()[0], column)
    for row in MATRIX.strip().splitlines()
    for column, cell in zip(COLUMNS, row.replace("|", "").split()[1:], strict=True)
    if cell == "x"
}


def test_the_matrix_names_every_status() -> None:
    assert {status.value for status in S} == set(COLUMNS) == {row.split()[0] for row in MATRIX.strip().splitlines()}
    assert set(TRANSITIONS) == set(S)


@pytest.mark.parametrize(("current", "wanted"), list(product(S, S)), ids=str)
def test_every_cell_of_the_matrix(current: S, wanted: S) -> None:
    if (current.value, wanted.value) in LEGAL:
        check_transition("o-1", current, wanted)
        return
    with pytest.raises(IllegalTransition, match=f"order o-1 cannot go from {current} to {wanted}") as caught:
        check_transition("o-1", current, wanted)
    assert (caught.value.order_id, caught.value.current, caught.value.wanted) == ("o-1", current, wanted)


def test_terminal_and_live_are_all_there_is() -> None:
    assert {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "FAILED"} == TERMINAL
    assert set(S) == LIVE | TERMINAL
    assert not LIVE & TERMINAL


def test_every_live_order_can_end_in_each_way_ours_or_the_venues() -> None:
    for status in LIVE:
        assert TRANSITIONS[status] >= {S.REJECTED, S.EXPIRED, S.FAILED}, status


def test_every_live_order_can_be_canceled_at_once_or_through_the_venue() -> None:
    for status in LIVE - {S.PENDING_CANCEL}:
        assert TRANSITIONS[status] & {S.CANCELED, S.PENDING_CANCEL}, status


def test_nothing_terminal_becomes_live_again() -> None:
    for status in TERMINAL:
        assert not TRANSITIONS[status] & LIVE, status


def test_only_what_a_venue_acknowledged_or_never_saw_can_be_amended() -> None:
    assert {"NEW", "OPEN", "PARTIALLY_FILLED"} == AMENDABLE
    replacing = {status for status in S if S.PENDING_REPLACE in TRANSITIONS[status]} - {S.PENDING_REPLACE}
    # a new order has not left yet: it is changed where it is. Back to a replace that travels: what waited for
    # a cancel that was refused, or for the venue's answer
    assert replacing == AMENDABLE - {S.NEW} | {S.PENDING_CANCEL, S.UNKNOWN}


def test_a_fill_is_booked_in_every_status_an_order_may_have_at_a_venue() -> None:
    for status in set(S) - {S.NEW}:
        assert S.FILLED in TRANSITIONS[status], status
        partly = {S.PARTIALLY_FILLED, status} if status in LIVE else {status}
        assert TRANSITIONS[status] & partly, status


def test_silence_may_befall_every_order_that_has_left() -> None:
    for status in LIVE - {S.NEW}:
        assert S.UNKNOWN in TRANSITIONS[status], status
    assert S.UNKNOWN not in TRANSITIONS[S.NEW]

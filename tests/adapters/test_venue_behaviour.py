"""How the simulated venue behaves, shown and changed while it runs."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from app.adapters.venues.simulated import Behaviour, changed, shown

EVERYTHING: dict[str, Any] = {
    "latency_ms": 1500,
    "reject_rate": "0.25",
    "partial_rate": "1",
    "slippage_bps": "12.5",
    "lost_ack_rate": "0.1",
    "duplicate_rate": "0.2",
    "late_rate": "0.3",
    "disconnected": True,
}


def test_what_is_shown_is_what_was_changed() -> None:
    behaviour = changed(Behaviour(seed=7, first_lot=D("0.9")), EVERYTHING)
    assert shown(behaviour) == EVERYTHING
    assert (behaviour.seed, behaviour.first_lot) == (7, D("0.9"))
    assert behaviour.latency == timedelta(seconds=1.5) and behaviour.reject_rate == D("0.25")


@pytest.mark.parametrize("name", EVERYTHING)
def test_one_change_leaves_the_rest(name: str) -> None:
    before = shown(Behaviour())
    assert shown(changed(Behaviour(), {name: EVERYTHING[name]})) == {**before, name: EVERYTHING[name]}


def test_no_change_is_the_same() -> None:
    assert changed(Behaviour(), {}) == Behaviour()


@pytest.mark.parametrize(
    "payload",
    [
        {"seed": 2},
        {"first_lot": "0.1"},
        {"latency": 5},
        {"latency_ms": "5"},
        {"latency_ms": True},
        {"disconnected": 1},
        {"disconnected": "true"},
        {"reject_rate": True},
        {"reject_rate": "x"},
    ],
)
def test_what_is_no_such_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        changed(Behaviour(), payload)


@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, 5), (200, 5), (1_667, 5.001), (600_000, 1800)])
def test_a_slow_venue_has_longer_to_answer(milliseconds: int, seconds: float) -> None:
    behaviour = Behaviour(latency=timedelta(milliseconds=milliseconds))
    assert behaviour.answers_within == timedelta(seconds=seconds)

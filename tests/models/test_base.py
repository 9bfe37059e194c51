"""The column types: exact on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from app.core.transaction import Database
from app.models.base import ExactDecimal, JsonText, UtcDateTime, exact_sum

LARGEST = D("99999999999999999999.999999999999999999")
SMALLEST = D("0.000000000000000001")
SAMPLES = sa.Table(
    "samples",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("amount", ExactDecimal()),
    sa.Column("at", UtcDateTime()),
    sa.Column("data", JsonText()),
)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.engine.begin() as connection:
        SAMPLES.create(connection)
    with Session(database.engine) as session:
        yield session


def keep(session: Session, *amounts: Any) -> None:
    session.execute(sa.delete(SAMPLES))
    session.execute(sa.insert(SAMPLES), [{"id": number, "amount": amount} for number, amount in enumerate(amounts)])


def amounts(session: Session, *criteria: Any) -> list[D | None]:
    query = sa.select(SAMPLES.c.amount).where(*criteria).order_by(SAMPLES.c.id)
    return list(session.scalars(query))


def test_the_extremes_of_what_is_stored_come_back_exactly(session: Session) -> None:
    kept = [LARGEST, -LARGEST, SMALLEST, -SMALLEST, D("0.1"), D(0), D("123456789.123456789123456789"), None]
    keep(session, *kept)
    assert amounts(session) == kept
    assert all(isinstance(amount, D) for amount in amounts(session)[:-1])


@pytest.mark.parametrize(
    ("given_", "text"), [(7, "7"), (D("1.500"), "1.5"), (D("1E+3"), "1000"), (D("-0"), "0"), (D("0E-9"), "0")]
)
def test_what_comes_back_has_no_exponent_no_trailing_zeros_and_no_negative_zero(
    session: Session, given_: Any, text: str
) -> None:
    keep(session, given_)
    assert [str(amount) for amount in amounts(session)] == [text]


def test_sqlite_stores_no_negative_zero(session: Session) -> None:
    """The rule that keeps balances from going negative looks at the sign."""
    keep(session, D("-0.00"))
    assert not str(session.scalar(sa.text("SELECT amount FROM samples"))).startswith("-")


@pytest.mark.parametrize("refused", [1.5, 0.0, float("nan"), True, "1.5", "abc", b"1"], ids=repr)
def test_floats_booleans_and_text_are_refused(session: Session, refused: Any) -> None:
    with pytest.raises(sa.exc.StatementError) as caught:
        keep(session, refused)
    assert isinstance(caught.value.orig, TypeError)


@pytest.mark.parametrize(
    "refused",
    [D(10) ** 20, -(D(10) ** 20), SMALLEST / 10, D("1.0000000000000000001"), D("NaN"), D("Infinity")],
    ids=str,
)
def test_what_does_not_fit_is_refused_and_not_rounded(session: Session, refused: D) -> None:
    with pytest.raises(sa.exc.StatementError) as caught:
        keep(session, refused)
    assert isinstance(caught.value.orig, ValueError)


def test_order_and_comparison_are_those_of_numbers(session: Session) -> None:
    keep(session, D(10), D(9), D("-10"), D("-9"), D("0.5"), D("0.50"), LARGEST, -LARGEST, LARGEST - SMALLEST)
    amount = SAMPLES.c.amount
    ordered = list(session.scalars(sa.select(amount).order_by(amount)))
    assert ordered == sorted(ordered)
    assert amounts(session, amount > 9) == [D(10), LARGEST, LARGEST - SMALLEST]
    assert amounts(session, amount < D("-9")) == [D(-10), -LARGEST]
    assert amounts(session, amount == D("0.500")) == [D("0.5"), D("0.5")]
    assert amounts(session, amount > LARGEST - SMALLEST) == [LARGEST]
    assert session.scalar(sa.select(sa.func.max(amount))) == LARGEST
    assert session.scalar(sa.select(sa.func.min(amount))) == -LARGEST


def test_sums_are_exact(session: Session) -> None:
    keep(session, *[D("0.1")] * 10, LARGEST - 2, SMALLEST, None)
    assert session.scalar(sa.select(exact_sum(SAMPLES.c.amount))) == LARGEST - 1 + SMALLEST
    keep(session, LARGEST, -LARGEST, SMALLEST)
    assert session.scalar(sa.select(exact_sum(SAMPLES.c.amount))) == SMALLEST
    assert session.scalar(sa.select(exact_sum(SAMPLES.c.amount)).where(SAMPLES.c.id > 99)) is None


@settings(max_examples=20)
@given(st.lists(st.decimals(-(10**19), 10**19, places=18), min_size=1, max_size=20))
def test_any_amounts_round_trip_sort_and_add_up(session: Session, drawn: list[D]) -> None:
    keep(session, *drawn)
    assert amounts(session) == drawn
    amount = SAMPLES.c.amount
    assert list(session.scalars(sa.select(amount).order_by(amount))) == sorted(drawn)
    assert session.scalar(sa.select(exact_sum(amount))) == sum(drawn)
    pivot = drawn[0]
    assert amounts(session, amount >= pivot) == [one for one in drawn if one >= pivot]


def test_times_are_kept_in_utc_to_the_microsecond(session: Session) -> None:
    lima = datetime(2026, 1, 5, 9, 30, 0, 7, tzinfo=timezone(timedelta(hours=-5)))
    session.execute(sa.insert(SAMPLES), [{"id": 1, "at": lima}, {"id": 2, "at": None}])
    session.expire_all()
    first, second = session.scalars(sa.select(SAMPLES.c.at).order_by(SAMPLES.c.id))
    assert first == lima
    assert first.tzinfo is UTC
    assert second is None


def test_a_time_without_a_zone_is_refused(session: Session) -> None:
    with pytest.raises(sa.exc.StatementError, match="aware"):
        session.execute(sa.insert(SAMPLES), [{"id": 1, "at": datetime(2026, 1, 5)}])  # noqa: DTZ001  # ok: that is it


def test_json_is_kept_as_it_was_serialized(session: Session) -> None:
    data = {"price": D("0.10"), "tags": ["ñ", None], "empty": {}}
    session.execute(sa.insert(SAMPLES), [{"id": 1, "data": data}, {"id": 2, "data": None}, {"id": 3, "data": []}])
    query = sa.select(SAMPLES.c.data).order_by(SAMPLES.c.id)
    assert list(session.scalars(query)) == [{**data, "price": "0.1"}, None, []]
    raw = session.scalar(sa.text("SELECT data FROM samples WHERE id = 1"))
    assert raw == '{"price":"0.1","tags":["ñ",null],"empty":{}}'

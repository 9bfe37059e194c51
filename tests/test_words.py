"""What is refused is said in the reader's language: every code has its words, and none are pydantic's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.core.errors import Invalid
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from app.schemas.problems import CATALOG, REJECTIONS
from tests.data import REPOSITORY

SOURCE = (REPOSITORY / "app" / "static" / "js" / "failures.js").read_text(encoding="utf-8")
ORDER = {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "1"}
NOT_ALLOWED = "has characters that are not allowed here"
# programs alone meet these: no page sends such a request
NOT_ON_PAGES = {"repeated", "contradiction", "invalid_key", "wrong_direction", "unknown_interval", "invalid"}


def words(name: str) -> set[str]:
    block = re.search(rf"const {name} = \{{(.*?)\n\}};", SOURCE, re.DOTALL)
    assert block is not None
    return set(re.findall(r"\b([A-Za-z_]+): t\(", block[1]))


def test_every_refused_field_has_words_of_ours() -> None:
    codes = {code for code, explained in CATALOG.items() if explained.status == 422}
    assert codes - words("FIELDS") - words("PROBLEMS") - NOT_ON_PAGES == set()


def test_every_rejection_and_every_conflict_has_words_of_ours() -> None:
    assert REJECTIONS.keys() - words("TEXTS") == set()
    assert {code for code, explained in CATALOG.items() if explained.status in (403, 404, 409, 412)} - words(
        "PROBLEMS"
    ) - {"https_required"} == set()


@pytest.mark.parametrize(
    ("wrong", "field", "code", "message"),
    [
        ({"side": "LONG"}, "side", "invalid_choice", "must be one of BUY, SELL"),
        ({"side": None}, "side", "invalid_choice", "must be one of BUY, SELL"),
        ({"reduce_only": "perhaps"}, "reduce_only", "invalid_type", "must be true or false"),
        ({"symbol": 7}, "symbol", "invalid_type", "must be a text"),
        ({"symbol": "x" * 33}, "symbol", "string_too_long", "must have at most 32 characters"),
        ({"client_order_id": ""}, "client_order_id", "string_too_short", "must have at least 1 character"),
        (
            {"client_order_id": "a b"},
            "client_order_id",
            "invalid_characters",
            "has characters that are not allowed here",
        ),
        ({"trailing_stop": 5}, "trailing_stop", "invalid_type", "must be an object"),
        ({"strategy": {"confidence": 101}}, "strategy.confidence", "out_of_range", "must be at most 100"),
        ({"strategy": {"tags": ["a"] * 21}}, "strategy.tags", "too_many", "must have at most 20 members"),
        ({"colour": "red"}, "colour", "unknown_field", "is not known here"),
    ],
)
def test_a_wrong_field_is_told_in_our_words(wrong: dict[str, Any], field: str, code: str, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        validate(OrderIn, {**ORDER, **wrong})
    (error,) = refused.value.errors
    assert (error.field, error.code, error.message) == (field, code, message)
    assert refused.value.detail == f"{field} {message}"

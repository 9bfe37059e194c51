from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import json
from app.core.errors import Malformed

MOMENT = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (D("0.10"), '"0.1"'),
        (D("1E+3"), '"1000"'),
        (D("-0.00"), '"0"'),
        (D("1E-18"), '"0.000000000000000001"'),
        (D("99999999999999999999.999999999999999999"), '"99999999999999999999.999999999999999999"'),
        (MOMENT, '"2026-01-05T14:30:00.000000Z"'),
        ({"a": [D("1.5"), None, True, 7]}, '{"a":["1.5",null,true,7]}'),
        ("ñ", '"ñ"'),
    ],
)
def test_decimals_are_written_as_plain_strings_and_times_in_utc(value: Any, text: str) -> None:
    assert json.dumps(value) == text


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError):
        json.dumps({"a": object()})


@pytest.mark.parametrize("number", ["0.1", "1e-18", "100000000000000000000.000000000000000001", "1.10", "-2.50"])
def test_numbers_with_a_point_are_read_exactly(number: str) -> None:
    (read,) = json.loads(f"[{number}]")
    assert isinstance(read, D)
    assert str(read) == str(D(number))


def test_integers_stay_integers() -> None:
    assert json.loads("[7, -7, 100000000000000000000000]") == [7, -7, 10**23]
    assert all(type(item) is int for item in json.loads("[7]"))


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_come_out_as_words_for_their_field_to_refuse(word: str) -> None:
    assert json.loads(f'{{"qty": {word}}}') == {"qty": word}


@pytest.mark.parametrize("body", ['{"a":1,"a":2}', '{"a":1,"\\u0061":1}', '[{"x":{"b":null,"b":null}}]'])
def test_a_field_named_twice_is_refused(body: str) -> None:
    with pytest.raises(Malformed) as caught:
        json.loads(body)
    assert caught.value.code == "duplicate_key"


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + closing * depth


def test_nesting_up_to_the_limit_is_read() -> None:
    assert json.loads(nested(20, "[", "]")) is not None
    assert json.loads('{"a":' * 19 + "{}" + "}" * 19) is not None


@pytest.mark.parametrize(
    "body",
    [
        nested(21, "[", "]"),
        '{"a":' * 20 + "{}" + "}" * 20,
        nested(100, "[", "]"),
        nested(100_000, "[", "]"),
        "[" * 100_000,
        '[{"a":' * 11 + "1" + "}]" * 11,
    ],
    ids=lambda body: f"{body[:6]}{len(body)}",
)
def test_deep_nesting_is_refused(body: str) -> None:
    with pytest.raises(Malformed) as caught:
        json.loads(body)
    assert caught.value.code == "too_deep"


def test_brackets_inside_a_string_are_no_nesting() -> None:
    assert json.loads('["' + "[" * 70 + '"]') == ["[" * 70]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a":}',
        b"{'a':1}",
        b'{"a":1,}',
        b"[1]x",
        b"\xff\xfe",
        b'"\xc3"',
        b"\xef\xbb\xbf{}",
        b"nan",
        b"[01]",
        b"[1.]",
        b"[" + b"1" * 5_000 + b"]",
        b'{"a" "b"}',
    ],
    ids=lambda body: repr(body)[:20],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        json.loads(body)
    assert (caught.value.code, caught.value.status) == ("malformed_json", 400)


STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | STORABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STORABLE, inner, max_size=3),
    max_leaves=10,
)


@given(TREES)
def test_written_and_read_again_a_value_is_the_same(tree: Any) -> None:
    assert json.loads(json.dumps(tree)) == tree
    assert json.loads(json.dumps(tree).encode()) == tree


@pytest.mark.parametrize("text", ['"\\ud800"', '{"a": ["\\u0000"]}', '{"\\udfff": 1}'])
def test_text_that_no_database_can_store_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        json.loads(text)
    assert refused.value.code == "invalid_characters"


def test_a_whole_character_written_as_two_escapes_is_fine() -> None:
    assert json.loads('"\\ud83d\\ude00 \\u00e1"') == "😀 á"

"""Names that can be seen, and those that only seem to be there."""

from __future__ import annotations

import pytest

from app.domain.identifiers import is_visible


@pytest.mark.parametrize("name", ["Ana", "José", "Zoe\u0308", "李雷", "علی\u200cرضا", "क्\u200dष", "3M", "A. & B. (2)"])
def test_names(name: str) -> None:
    assert is_visible(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u200d",
        "\u2800",
        "\u3164",
        "A\u3164",
        "A\u200b",
        "\u2060",
        "A\ufeff",
        "--",
        "\u0301",
        "A\x00",
        "A\ue000",
    ],
)
def test_what_cannot_be_seen(name: str) -> None:
    assert not is_visible(name)

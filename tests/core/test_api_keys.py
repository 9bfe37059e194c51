from __future__ import annotations

import pytest

from app.core.api_keys import presented_key


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"HTTP_X_API_KEY": " ck_1 "}, "ck_1"),
        ({"HTTP_X_API_KEY": ""}, ""),
        ({"HTTP_AUTHORIZATION": "Bearer ck_2"}, "ck_2"),
        ({"HTTP_AUTHORIZATION": "bEARER  ck_2 "}, "ck_2"),
        ({"HTTP_AUTHORIZATION": "Bearer "}, ""),
        ({"HTTP_AUTHORIZATION": "Basic Y2s6Mg=="}, None),
        ({"HTTP_X_API_KEY": "ck_1", "HTTP_AUTHORIZATION": "Bearer ck_2"}, "ck_1"),
        ({"HTTP_X_API_KEY": "", "HTTP_AUTHORIZATION": "Bearer ck_2"}, ""),
    ],
)
def test_key_is_read_from_either_header(headers: dict[str, str], key: str | None) -> None:
    assert presented_key(headers) == key

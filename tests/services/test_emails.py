from __future__ import annotations

import pytest

from app.core.errors import Invalid
from app.services import emails


@pytest.mark.parametrize("email", ["ana@example.org", "Ana.P+orders@Mail.Example.org", "o'neill@a-b.example"])
def test_address_is_taken(email: str) -> None:
    emails.check(email)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ana",
        "ana@firm",
        "ana@-firm.example",
        "ana@firm..example",
        "a b@firm.example",
        "ana@firm.example\nx",
        "ñ@b.cc",
    ]
    + ["a" * 65 + "@firm.example", "a@" + "b" * 250 + ".cc"],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(Invalid) as refused:
        emails.check(email)
    assert refused.value.code == "invalid_email"


def test_compared_form_knows_no_capitals_and_no_wide_letters() -> None:
    assert emails.normalize(" \uff21na@Example.ORG ") == "ana@example.org"

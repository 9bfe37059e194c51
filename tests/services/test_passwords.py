from __future__ import annotations

import pytest

from app.core.errors import Invalid
from app.services import passwords
from tests.services.people import EMAIL, PASSWORD


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short-otter", "password_length"),
        ("x7" * 65, "password_length"),
        ("Password1234", "password_common"),
        ("CONTRASEÑA123", "password_common"),
        ("abababababab", "password_common"),
        ("I-am-MIA-since-1999", "password_contains_email"),
    ],
)
def test_weak_password_is_refused(password: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        passwords.hash_password(EMAIL, password)
    assert refused.value.code == code
    assert password not in str(refused.value.errors), "a password is not repeated"


@pytest.mark.parametrize("password", [PASSWORD, "x7-otter" * 16, "ñandú y quinua 🦙"])
def test_good_password_is_kept_as_argon2id_with_the_recommended_cost(password: str) -> None:
    hashed = passwords.hash_password(EMAIL, password)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.verify_password(hashed, password)
    assert not passwords.verify_password(hashed, password + "x")
    assert not passwords.verify_password(None, password)


def test_password_typed_on_another_keyboard_is_the_same() -> None:
    composed, decomposed = "contrase\u00f1a-segura", "contrasen\u0303a-segura"
    assert passwords.verify_password(passwords.hash_password(EMAIL, composed), decomposed)

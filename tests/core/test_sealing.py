from __future__ import annotations

import pytest

from app.core.sealing import CannotOpen, derive, open_sealed, seal


def test_what_was_sealed_opens_with_the_same_key_and_purpose_alone() -> None:
    sealed = seal("key", "totp", "JBSWY3DP")
    assert "JBSWY3DP" not in sealed and sealed != seal("key", "totp", "JBSWY3DP")
    assert open_sealed("key", "totp", sealed) == "JBSWY3DP"
    for key, purpose, text in (("other", "totp", sealed), ("key", "mail", sealed), ("key", "totp", sealed[:-2] + "AA")):
        with pytest.raises(CannotOpen):
            open_sealed(key, purpose, text)
    with pytest.raises(CannotOpen):
        open_sealed("key", "totp", "no seal of ours")


def test_a_derived_secret_is_the_same_again_and_of_one_name() -> None:
    made = derive("key", "user-token", "1")
    assert made == derive("key", "user-token", "1") and len(made) == 43
    others = {derive("other", "user-token", "1"), derive("key", "other", "1"), derive("key", "user-token", "2")}
    assert made not in others and len(others) == 3

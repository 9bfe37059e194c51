"""Names that can be seen, and numbers of documents and accounts that can be right."""

from __future__ import annotations

from typing import Any

import pytest

from app.core import json
from app.domain.clients import AccountScheme, ClientKind, IdentityType
from app.domain.identifiers import (
    InvalidIdentifier,
    check_account,
    check_identity,
    comparable,
    is_visible,
    suits,
)
from tests.data import shared_data

KNOWN: dict[str, Any] = json.loads_stored((shared_data / "ids" / "peru_mexico_ids.json").read_text(encoding="utf-8"))


def values(kind: str, which: str) -> list[str]:
    return [item if isinstance(item, str) else item["value"] for item in KNOWN[kind][which]]


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


@pytest.mark.parametrize("number", values("peru_ruc", "valid"))
def test_rucs(number: str) -> None:
    assert check_identity(IdentityType.RUC, number).number == number


@pytest.mark.parametrize("number", [*values("peru_ruc", "invalid"), "", "2051233379\u0667"])
def test_what_is_no_ruc(number: str) -> None:
    with pytest.raises(InvalidIdentifier):
        check_identity(IdentityType.RUC, number)


@pytest.mark.parametrize("number", values("peru_dni_with_check", "valid"))
def test_a_dni_is_the_same_with_its_check_character_and_without(number: str) -> None:
    for written in (number, f"{number[:8]}-{number[8]}", f" {number.lower()} ", number[:8]):
        assert check_identity(IdentityType.DNI, written).number == number[:8]


@pytest.mark.parametrize("number", [*values("peru_dni_with_check", "invalid"), "1234567", "\u0661" * 8])
def test_what_is_no_dni(number: str) -> None:
    with pytest.raises(InvalidIdentifier):
        check_identity(IdentityType.DNI, number)


def test_a_wrong_check_is_told_from_a_wrong_form() -> None:
    for type_, number, code in (
        (IdentityType.DNI, "10117410-3", "identity_check_digit"),
        (IdentityType.DNI, "1011741", "identity_format"),
        (IdentityType.RUC, "20512333798", "identity_check_digit"),
        (IdentityType.RUC, "99512333792", "identity_format"),
        (IdentityType.CE, "12", "identity_format"),
        (IdentityType.PASSPORT, "12345", "identity_country"),
    ):
        with pytest.raises(InvalidIdentifier) as refused:
            check_identity(type_, number)
        assert refused.value.code == code


def test_other_documents() -> None:
    assert check_identity(IdentityType.CE, "001 234-567").number == "001234567"
    passport = check_identity(IdentityType.PASSPORT, "ab-12 345", "MX")
    assert (passport.number, passport.country) == ("AB12345", "MX")
    with pytest.raises(InvalidIdentifier, match="must be PE"):
        check_identity(IdentityType.DNI, "10117410", "MX")
    with pytest.raises(InvalidIdentifier, match="5 to 15"):
        check_identity(IdentityType.PASSPORT, "AB1", "MX")


def test_a_company_has_a_ruc_and_a_person_has_none() -> None:
    assert suits(ClientKind.COMPANY, IdentityType.RUC) and suits(ClientKind.PERSON, IdentityType.DNI)
    assert not suits(ClientKind.COMPANY, IdentityType.DNI) and not suits(ClientKind.PERSON, IdentityType.RUC)


ACCOUNTS = [
    *((AccountScheme.CLABE, number, "002") for number in values("mexico_clabe", "valid")),
    (AccountScheme.CLABE, "032180000118359719", "032"),
    *((AccountScheme.CCI, number, "011") for number in values("peru_cci", "valid")),
    (AccountScheme.IBAN, "ES91 2100 0418 4502 0005 1332", "2100"),
    (AccountScheme.IBAN, "de89370400440532013000", "3704"),
]


@pytest.mark.parametrize(("scheme", "number", "bank"), ACCOUNTS)
def test_accounts(scheme: AccountScheme, number: str, bank: str) -> None:
    account = check_account(scheme, number)
    assert account.number == number.replace(" ", "").upper() and account.bank_code == bank
    assert account.country == {"cci": "PE", "clabe": "MX"}.get(scheme, number[:2].upper())


@pytest.mark.parametrize(
    ("scheme", "number"),
    [
        *((AccountScheme.CLABE, number) for number in values("mexico_clabe", "invalid")),
        *((AccountScheme.CCI, number) for number in values("peru_cci", "invalid")),
        (AccountScheme.CLABE, "000000000000000000"),
        (AccountScheme.CCI, "0" * 20),
        (AccountScheme.CCI, "\u0660" * 20),
        (AccountScheme.IBAN, "ES9121000418450200051333"),
        (AccountScheme.IBAN, "ZZ9121000418450200051332"),
        (AccountScheme.IBAN, "ES912100041845020005133"),
    ],
)
def test_what_is_no_account(scheme: AccountScheme, number: str) -> None:
    with pytest.raises(InvalidIdentifier):
        check_account(scheme, number)


@pytest.mark.parametrize(("scheme", "number"), [(a, b) for a, b, _ in ACCOUNTS if a is not AccountScheme.IBAN])
def test_one_wrong_digit_is_always_noticed(scheme: AccountScheme, number: str) -> None:
    for place in range(len(number)):
        changed = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
        with pytest.raises(InvalidIdentifier):
            check_account(scheme, changed)


def test_names_are_compared_without_accents_capitals_and_order() -> None:
    assert comparable("Quispe Mamani, José") == comparable("jose QUISPE  mamani") == "jose mamani quispe"
    assert comparable("Ñandú S.A.C.") == "a c nandu s"

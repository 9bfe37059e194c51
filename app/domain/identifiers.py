"""What people, companies and bank accounts are told apart by, and whether it can be right.

A number is compared in its normal form: capitals, no spaces, no dashes, no check character that may be left out.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from stdnum import iban
from stdnum.exceptions import InvalidChecksum, ValidationError
from stdnum.pe import cui, ruc

from .clients import AccountScheme, ClientKind, IdentityType
from .countries import COUNTRIES

PERU: Final = "PE"
# letters and marks by category that are drawn as nothing: Hangul fillers, the combining grapheme joiner, Khmer vowels
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_JOINERS: Final = frozenset("\u200c\u200d")  # needed inside Persian and Indic words
_SEPARATORS: Final = re.compile(r"[ .-]")
_CE: Final = re.compile(r"[A-Z0-9]{9,12}")
_PASSPORT: Final = re.compile(r"[A-Z0-9]{5,15}")
_CLABE_WEIGHTS: Final = (3, 7, 1)


class InvalidIdentifier(ValueError):
    """What cannot be right. ``code`` is for programs: ``..._format`` or ``..._check_digit``."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Identity:
    """A document as it is compared. ``country`` issued it."""

    type: IdentityType
    number: str
    country: str


@dataclass(frozen=True, slots=True)
class Account:
    """A bank account's number as it is compared. ``bank_code`` is the part of it that names the bank."""

    scheme: AccountScheme
    number: str
    bank_code: str
    country: str


# -- documents ---------------------------------------------------------------------------------------------------


def check_identity(type_: IdentityType, number: str, country: str | None = None) -> Identity:
    """The document in its normal form. ``country`` is needed for a passport; the others are Peru's.

    Raises ``InvalidIdentifier``.
    """
    compact = _compact(number)
    if type_ is IdentityType.PASSPORT:
        if country is None:
            raise InvalidIdentifier("identity_country", "needs the country that issued the passport")
        if not _PASSPORT.fullmatch(compact):
            raise InvalidIdentifier("identity_format", "must have 5 to 15 letters and digits")
        return Identity(type_, compact, country)
    if country not in (None, PERU):
        raise InvalidIdentifier("identity_country", f"must be {PERU} for this kind of document")
    if type_ is IdentityType.DNI:
        return Identity(type_, _dni(compact), PERU)
    if type_ is IdentityType.RUC:
        return Identity(type_, _ruc(compact), PERU)
    if not _CE.fullmatch(compact):
        raise InvalidIdentifier("identity_format", "must have 9 to 12 letters and digits")
    return Identity(type_, compact, PERU)


def suits(kind: ClientKind, type_: IdentityType) -> bool:
    """Whether a client of this kind is identified by such a document."""
    return (kind is ClientKind.COMPANY) == (type_ is IdentityType.RUC)


def _dni(number: str) -> str:
    """Its eight digits; the check character may follow them."""
    try:
        return str(cui.validate(number))[:8]
    except InvalidChecksum as error:
        raise InvalidIdentifier("identity_check_digit", "has a wrong check character") from error
    except ValidationError as error:
        raise InvalidIdentifier("identity_format", "must have 8 digits, and may have the check character") from error


def _ruc(number: str) -> str:
    try:
        return str(ruc.validate(number))
    except InvalidChecksum as error:
        raise InvalidIdentifier("identity_check_digit", "has a wrong check digit") from error
    except ValidationError as error:
        raise InvalidIdentifier("identity_format", "must have 11 digits that begin with 10, 15, 17 or 20") from error


# -- accounts ----------------------------------------------------------------------------------------------------


def check_account(scheme: AccountScheme, number: str) -> Account:
    """The account's number in its normal form, with the code of its bank. Raises ``InvalidIdentifier``."""
    compact = _compact(number)
    if scheme is AccountScheme.CCI:
        return _cci(compact)
    if scheme is AccountScheme.CLABE:
        return _clabe(compact)
    return _iban(compact)


def _cci(number: str) -> Account:
    """EEE OOO CCCCCCCCCCCC DD: bank, office, account, and a control digit for each half."""
    digits = _digits(number, 20)
    if (digits[18], digits[19]) != (_cci_control(digits[:6]), _cci_control(digits[6:18])):
        raise InvalidIdentifier("account_check_digit", "has wrong control digits")
    return Account(AccountScheme.CCI, number, _bank(number), PERU)


def _cci_control(digits: list[int]) -> int:
    products = [digit * (1 + index % 2) for index, digit in enumerate(digits)]
    return -sum(product // 10 + product % 10 for product in products) % 10


def _clabe(number: str) -> Account:
    """BBB PPP AAAAAAAAAAA C: bank, place, account, and one control digit."""
    digits = _digits(number, 18)
    total = sum(digit * _CLABE_WEIGHTS[index % 3] % 10 for index, digit in enumerate(digits[:17]))
    if digits[17] != -total % 10:
        raise InvalidIdentifier("account_check_digit", "has a wrong control digit")
    return Account(AccountScheme.CLABE, number, _bank(number), "MX")


def _iban(number: str) -> Account:
    if number[:2] not in COUNTRIES and number[:2] != "XK":  # Kosovo has no code of ISO 3166, and IBANs
        raise InvalidIdentifier("account_format", "must begin with the code of a country")
    try:
        valid = str(iban.validate(number))
    except InvalidChecksum as error:
        raise InvalidIdentifier("account_check_digit", "has wrong check digits") from error
    except ValidationError as error:
        raise InvalidIdentifier("account_format", "is not as the country's IBANs are") from error
    return Account(AccountScheme.IBAN, valid, valid[4:8], valid[:2])


def _digits(number: str, length: int) -> list[int]:
    if len(number) != length or not number.isdigit():
        raise InvalidIdentifier("account_format", f"must have {length} digits")
    return [int(digit) for digit in number]


def _bank(number: str) -> str:
    if number.startswith("000"):
        raise InvalidIdentifier("account_format", "begins with the code of no bank")
    return number[:3]


def _compact(number: str) -> str:
    """Without separators, in capitals; nothing but ASCII, where a digit of another script would pass as one."""
    compact = _SEPARATORS.sub("", number).upper()
    return compact if compact.isascii() else ""


# -- names -------------------------------------------------------------------------------------------------------


def is_visible(text: str) -> bool:
    """Whether a name can be seen: a letter or a digit in it, and nothing invisible besides joiners."""
    if any(_is_hidden(char) for char in text):
        return False
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def _is_hidden(char: str) -> bool:
    if char in _BLANK:
        return True
    return unicodedata.category(char) in ("Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp") and char not in _JOINERS


def comparable(name: str) -> str:
    """A name as it is compared with others: lower case, without accents and marks, words in order."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    kept = "".join(char if char.isalnum() else " " for char in decomposed if not unicodedata.combining(char))
    return " ".join(sorted(kept.split()))


__all__ = [
    "Account",
    "Identity",
    "InvalidIdentifier",
    "check_account",
    "check_identity",
    "comparable",
    "is_visible",
    "suits",
]

"""What is known of a client, checked field by field and brought into the form in which it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from app.core.errors import FieldError, Invalid
from app.domain.clients import ClientKind, IdentityType
from app.domain.identifiers import Identity, InvalidIdentifier, check_identity, suits

from . import emails

ADULT_AT: Final = 18
_LIMA: Final = ZoneInfo("America/Lima")  # where the firm is: a birthday begins there
NAME_PARTS: Final = ("given_names", "paternal_surname", "maternal_surname")
IDENTITY: Final = ("identity_type", "identity_number", "identity_country")
FIELDS: Final = (
    *NAME_PARTS,
    *IDENTITY,
    "born_on",
    "nationality",
    "email",
    "phones",
    "address",
    "occupation",
    "source_of_funds",
)


def checked(kind: ClientKind, given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """All of ``FIELDS`` as they are to be kept; what is not given is None.

    Raises ``Invalid``, which names every field that is wrong.
    """
    values = {name: given.get(name) or None for name in FIELDS}
    errors: list[FieldError] = []
    for check in (_check_names, _check_email, _check_identity, _check_birth):
        errors += check(kind, values, now)
    if errors:
        detail = "; ".join(f"{error.field} {error.message}" for error in errors)
        code = errors[0].code if len({error.code for error in errors}) == 1 else None
        raise Invalid(detail, code=code, errors=errors)
    return values


def full_name(values: Mapping[str, Any]) -> str | None:
    """A person's name made of its parts, in the order of a DNI read aloud; None without them."""
    if not values.get("given_names") or not values.get("paternal_surname"):
        return None
    return " ".join(values[name] for name in NAME_PARTS if values.get(name))[:200]


def _check_names(kind: ClientKind, values: dict[str, Any], _now: datetime) -> list[FieldError]:
    if kind is ClientKind.PERSON:
        return []
    return [
        FieldError(name, "persons_only", "is for persons; a company has its name alone", values[name])
        for name in NAME_PARTS
        if values[name] is not None
    ]


def _check_email(_kind: ClientKind, values: dict[str, Any], _now: datetime) -> list[FieldError]:
    if values["email"] is not None:
        try:
            emails.check(values["email"])
        except Invalid as error:
            return error.errors
    return []


def _check_identity(kind: ClientKind, values: dict[str, Any], _now: datetime) -> list[FieldError]:
    """Brings ``values`` into the form in which documents are compared."""
    type_, number = values["identity_type"], values["identity_number"]
    if (type_ is None) != (number is None):
        missing = "identity_number" if number is None else "identity_type"
        return [FieldError(missing, "required", "is given together with the other half of the document")]
    if type_ is None:
        values["identity_country"] = None
        return []
    if not suits(kind, IdentityType(type_)):
        message = "must be ruc for a company, and another document for a person"
        return [FieldError("identity_type", "identity_unsuitable", message, str(type_))]
    try:
        identity = identity_of(values)
    except Invalid as error:
        return error.errors
    values.update(identity_type=identity.type.value, identity_number=identity.number, identity_country=identity.country)
    return []


def identity_of(values: Mapping[str, Any], prefix: str = "") -> Identity:
    """The document among ``values``. Raises ``Invalid``; ``prefix`` leads to the field."""
    try:
        return check_identity(
            IdentityType(values["identity_type"]), values["identity_number"], values["identity_country"]
        )
    except InvalidIdentifier as error:
        field = "identity_country" if error.code == "identity_country" else "identity_number"
        raise Invalid.field(prefix + field, error.code, str(error), values[field]) from error


def _check_birth(kind: ClientKind, values: dict[str, Any], now: datetime) -> list[FieldError]:
    born, today = values["born_on"], now.astimezone(_LIMA).date()
    if born is None:
        return []
    if born > today:
        return [FieldError("born_on", "birth_in_future", "lies in the future", born.isoformat())]
    if born.year < 1900 and kind is ClientKind.PERSON:
        return [FieldError("born_on", "birth_too_early", "must be 1900 or later for a person", born.isoformat())]
    if kind is ClientKind.PERSON and age(born, today) < ADULT_AT:
        return [FieldError("born_on", "under_age", f"must be at least {ADULT_AT} years ago", born.isoformat())]
    return []


def age(born: date, today: date) -> int:
    """In whole years; who was born on 29 February is a year older on 1 March of other years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

"""Clients: requests and answers."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StrictBool, StringConstraints, model_validator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from app.domain.clients import AccountScheme, ClientKind, IdentityType, PersonRole

from .base import (
    AmountOut,
    Country,
    Day,
    Id,
    Named,
    Patch,
    PositiveAmount,
    QueryBool,
    Request,
    Response,
    Text,
    TimeOut,
    without_default,
)
from .orders import PageQuery

Name = Annotated[Named, Field(min_length=1, max_length=200)]
PartOfName = Annotated[Named, Field(min_length=1, max_length=100)]
Email = Annotated[Text, Field(max_length=254)]
Phone = Annotated[Text, StringConstraints(pattern=r"^\+?[0-9][0-9 ().-]{4,24}$")]
Phones = Annotated[list[Phone], Field(max_length=5)]
IdentityNumber = Annotated[Text, Field(min_length=1, max_length=30)]
ClientStatus = Literal["active", "inactive", "blocked"]
DayOut = Annotated[str, WithJsonSchema({"type": "string", "format": "date", "examples": ["1990-05-17"]})]

# said once for what is sent and what is answered
_TRADER: Final = "Id of the trader the client is assigned to"
_NUMBER: Final = (
    "Its number. A DNI has 8 digits, with or without its check character; a RUC 11; kept in capitals, without spaces"
)
_ISSUER: Final = "Country that issued it, ISO 3166-1 alpha-2; PE for all but passports"
_BORN: Final = "When a person was born, at least 18 years ago; when a company was founded"
_OPTIONAL: Final = "null removes"


class ClientIn(Request):
    code: Annotated[Text, Field(min_length=1, max_length=32)] = Field(
        description="What people call the client by, 1 to 32 letters, digits, points or dashes; unique "
        "whatever its capitals, never changed"
    )
    kind: ClientKind = Field(ClientKind.PERSON, description="A natural person, or a company")
    name: Name | None = Field(
        None,
        description="1 to 200 characters; a company's as it is registered. Made of the parts of a person's name "
        "where it is left out",
    )
    given_names: PartOfName | None = Field(None, description="A person's given names, at most 100 characters")
    paternal_surname: PartOfName | None = Field(None, description="A person's first surname, at most 100 characters")
    maternal_surname: PartOfName | None = Field(None, description="A person's second surname, at most 100 characters")
    identity_type: IdentityType | None = Field(None, description="A person's dni, ce or passport; a company's ruc")
    identity_number: IdentityNumber | None = Field(None, description=_NUMBER)
    identity_country: Country | None = Field(None, description=_ISSUER)
    born_on: Day | None = Field(None, description=_BORN)
    nationality: Country | None = Field(None, description="Country, ISO 3166-1 alpha-2")
    email: Email | None = Field(None, description="Where mail goes, at most 254 characters; one client's alone")
    phones: Phones | None = Field(None, description="At most 5 telephone numbers, in the order to try them in")
    address: Annotated[Text, Field(max_length=300)] | None = Field(None, description="At most 300 characters")
    occupation: Annotated[Text, Field(max_length=100)] | None = Field(None, description="At most 100 characters")
    source_of_funds: Annotated[Text, Field(max_length=200)] | None = Field(
        None, description="Where the money comes from, at most 200 characters"
    )
    trader_id: Annotated[Text, Field(max_length=36)] | None = Field(
        None, description=f"{_TRADER}; a trader's own client when left out by one"
    )

    @model_validator(mode="after")
    def _has_a_name(self) -> ClientIn:
        if self.name is None and not (self.given_names and self.paternal_surname):
            raise PydanticCustomError("name_required", "name is needed, or a person's given names and first surname")
        return self


class ClientPatch(Patch):
    """What is left out stays as it is; null removes."""

    name: Name = Field("", json_schema_extra=without_default, description="1 to 200 characters")
    given_names: PartOfName | None = Field(None, description=f"A person's given names; {_OPTIONAL}")
    paternal_surname: PartOfName | None = Field(None, description=f"A person's first surname; {_OPTIONAL}")
    maternal_surname: PartOfName | None = Field(None, description=f"A person's second surname; {_OPTIONAL}")
    identity_type: IdentityType | None = Field(
        None, description=f"A person's dni, ce or passport; a company's ruc; {_OPTIONAL}, with its number"
    )
    identity_number: IdentityNumber | None = Field(None, description=f"{_NUMBER}; {_OPTIONAL}, with its type")
    identity_country: Country | None = Field(None, description=_ISSUER)
    born_on: Day | None = Field(None, description=f"{_BORN}; {_OPTIONAL}")
    nationality: Country | None = Field(None, description=f"Country, ISO 3166-1 alpha-2; {_OPTIONAL}")
    email: Email | None = Field(None, description=f"Where mail goes, one client's alone; {_OPTIONAL}")
    phones: Phones | None = Field(None, description=f"At most 5 telephone numbers, all of them; {_OPTIONAL}")
    address: Annotated[Text, Field(max_length=300)] | None = Field(
        None, description=f"At most 300 characters; {_OPTIONAL}"
    )
    occupation: Annotated[Text, Field(max_length=100)] | None = Field(
        None, description=f"At most 100 characters; {_OPTIONAL}"
    )
    source_of_funds: Annotated[Text, Field(max_length=200)] | None = Field(
        None, description=f"Where the money comes from, at most 200 characters; {_OPTIONAL}"
    )
    active: StrictBool = Field(
        True,
        json_schema_extra=without_default,
        description="false: the people of the client are signed out, its keys are refused, orders are rejected",
    )
    trader_id: Annotated[Text, Field(max_length=36)] | None = Field(None, description=f"{_TRADER}; null: nobody")


class ClientQuery(PageQuery):
    q: Annotated[str, Field(max_length=100, description="Part of code, name, mail or document number")] | None = None
    active: QueryBool | None = Field(None, description="true: who may trade; false: who may not")
    status: ClientStatus | None = Field(None, description="The same, with those the firm has blocked told apart")
    kind: ClientKind | None = Field(None, description="Persons alone, or companies alone")
    trader_id: Id | None = Field(None, description="Assigned to this trader")


class BlockIn(Request):
    reason: Annotated[Named, Field(min_length=3, max_length=300)] = Field(
        description="Why, 3 to 300 characters; shown to the firm's people, never to the client itself"
    )


class ClientOut(Response):
    id: str = Field(description="Id of the client")
    code: str = Field(description="What people call the client by; taken wherever a client is named")
    kind: ClientKind = Field(description="A natural person, or a company")
    name: str = Field(description="As registered; of a company as it is registered")
    given_names: str | None = Field(description="A person's given names, else null")
    paternal_surname: str | None = Field(description="A person's first surname, else null")
    maternal_surname: str | None = Field(description="A person's second surname, else null")
    identity_type: IdentityType | None = Field(description="Kind of document, else null")
    identity_number: str | None = Field(description="Its number, as it is compared; else null")
    identity_country: str | None = Field(description="Country that issued it, ISO 3166-1 alpha-2; else null")
    born_on: DayOut | None = Field(description="When a person was born or a company was founded, else null")
    nationality: str | None = Field(description="Country, ISO 3166-1 alpha-2; else null")
    email: str | None = Field(description="Where mail goes, else null")
    phones: list[str] = Field(description="Telephone numbers, in the order to try them in")
    address: str | None = Field(description="Where they live or are registered, else null")
    occupation: str | None = Field(description="What they do, else null")
    source_of_funds: str | None = Field(description="Where the money comes from, else null")
    active: bool = Field(description="false: may neither sign in nor trade")
    status: ClientStatus = Field(description="active; inactive: has left; blocked: stopped by the firm")
    blocked_reason: str | None = Field(
        description="Why the firm has blocked the client; null where it has not, and for the client's own callers"
    )
    trader_id: str | None = Field(description="Id of the trader, else null")
    kyc_status: Literal["none", "pending", "approved", "rejected", "expired"] = Field(
        description="Whether it is known who the client is"
    )
    kyc_level: int = Field(description="How well, 0 to 2: what a client may do grows with it")
    kyc_expires_at: TimeOut | None = Field(description="Until when that holds, else null")
    version: int = Field(description="Grows by one with each change; the ETag is made of it")
    created_at: TimeOut = Field(description="When the client was registered")
    updated_at: TimeOut = Field(description="When the record last changed")


class DuplicateQuery(Request):
    name: Name | None = Field(None, description="Nearly the same: accents, capitals and the order of words aside")
    identity_type: IdentityType | None = Field(None, description="Kind of document; goes with its number")
    identity_number: IdentityNumber | None = Field(None, description="The same document")
    identity_country: Country | None = Field(None, description=_ISSUER)
    email: Email | None = Field(None, description="The same address, whatever its capitals")
    account_scheme: AccountScheme | None = Field(None, description="How the account number is built; goes with it")
    account_number: Annotated[Text, Field(max_length=42)] | None = Field(None, description="The same bank account")
    apart_from: Id | None = Field(None, description="Id of a client that is not reported: the one being changed")

    @model_validator(mode="after")
    def _has_both_halves(self) -> DuplicateQuery:
        if (self.identity_type is None) != (self.identity_number is None):
            raise PydanticCustomError("required", "identity_type and identity_number go together")
        if (self.account_scheme is None) != (self.account_number is None):
            raise PydanticCustomError("required", "account_scheme and account_number go together")
        return self


class DuplicateOut(Response):
    id: str | None = Field(description="Id of the client; null where the caller may not see it")
    code: str | None = Field(description="Its code, else null")
    name: str | None = Field(description="Its name, else null")
    reasons: list[Literal["document", "email", "bank_account", "name"]] = Field(description="What is the same")
    likeness: int = Field(description="100: the same; less: how near the name is, at least 88")


# -- those who stand behind a company ----------------------------------------------------------------------------


class RelatedPersonIn(Request):
    role: PersonRole = Field(description="representative, or beneficial_owner: of more than a quarter")
    name: Name = Field(description="1 to 200 characters")
    identity_type: IdentityType = Field(description="dni, ce or passport; ruc where another company owns it")
    identity_number: IdentityNumber = Field(description=_NUMBER)
    identity_country: Country | None = Field(None, description=_ISSUER)
    share_percent: PositiveAmount | None = Field(
        None, description="Of the company's capital, in percent, at most 100; needed of a beneficial_owner, above 25"
    )


class RelatedPersonsIn(Request):
    """All of them: who is left out is no longer kept."""

    items: Annotated[list[RelatedPersonIn], Field(max_length=20)] = Field(description="At most 20; [] removes all")


class RelatedPersonOut(Response):
    id: str = Field(description="Id of the entry")
    role: PersonRole = Field(description="representative, or beneficial_owner: of more than a quarter")
    name: str = Field(description="As given")
    identity_type: IdentityType = Field(description="Kind of document")
    identity_number: str = Field(description="Its number, as it is compared")
    identity_country: str = Field(description="Country that issued it, ISO 3166-1 alpha-2")
    share_percent: AmountOut | None = Field(description="Of the company's capital, in percent; else null")

"""What a client is: the kinds of people, papers and accounts."""

from __future__ import annotations

from enum import StrEnum


class ClientKind(StrEnum):
    PERSON = "person"
    COMPANY = "company"


class IdentityType(StrEnum):
    """What somebody is identified by. RUC is a company's, the others a person's."""

    DNI = "dni"
    CE = "ce"  # carné de extranjería
    PASSPORT = "passport"
    RUC = "ruc"


class PersonRole(StrEnum):
    """What somebody is to a company."""

    REPRESENTATIVE = "representative"
    BENEFICIAL_OWNER = "beneficial_owner"  # of more than a quarter


class DocumentKind(StrEnum):
    ID_FRONT = "id_front"
    ID_BACK = "id_back"
    SELFIE = "selfie"
    PROOF_OF_ADDRESS = "proof_of_address"
    COMPANY_PAPERS = "company_papers"
    PAYMENT_PROOF = "payment_proof"
    OTHER = "other"


class AccountScheme(StrEnum):
    """How an account's number is built, and checked."""

    CCI = "cci"  # Peru
    CLABE = "clabe"  # Mexico
    IBAN = "iban"


class BankAccountStatus(StrEnum):
    """``pending`` until a second person has confirmed it."""

    PENDING = "pending"
    ACTIVE = "active"
    REJECTED = "rejected"
    REMOVED = "removed"

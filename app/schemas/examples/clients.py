"""Clients, their papers, their limits and their verification."""

from __future__ import annotations

from typing import Final

from .example import FIRM, NOTHING, OFFICER, PERSON, Example

_VERIFIED: Final = {"clients": ("kyc_status", "kyc_level", "kyc_expires_at")}

REQUESTS: Final[dict[str, tuple[Example, ...]]] = {
    "create_client": (
        Example(
            "client",
            "Register a client",
            {"code": "C-2001", "name": "Rosa Paredes", "email": "rosa@example.com"},
            FIRM,
            adds={"clients": 1},
        ),
        Example(
            "person",
            "Register a person with a DNI",
            {
                "code": "C-2002",
                "given_names": "Rosa María",
                "paternal_surname": "Paredes",
                "maternal_surname": "Ñahui",
                "identity_type": "dni",
                "identity_number": "10117410-2",
                "born_on": "1990-05-17",
                "nationality": "PE",
                "phones": ["+51 987 654 321"],
                "source_of_funds": "Salary",
            },
            FIRM,
            adds={"clients": 1},
        ),
        Example(
            "company",
            "Register a company with its RUC",
            {
                "code": "C-2003",
                "kind": "company",
                "name": "Importaciones Paredes S.A.C.",
                "identity_type": "ruc",
                "identity_number": "20100255325",
                "born_on": "2006-03-01",
            },
            FIRM,
            adds={"clients": 1},
        ),
    ),
    "change_client": (
        Example(
            "email",
            "Change the client's mail address",
            {"email": "ana@example.com"},
            FIRM,
            changes={"clients": ("email",)},
        ),
    ),
    "block_client": (
        Example(
            "block",
            "Stop the client until the firm knows more",
            {"reason": "Papers to be explained"},
            FIRM,
            changes={"clients": ("blocked_reason", "active")},
        ),
    ),
    "unblock_client": (
        Example(
            "unblock",
            "Let the client act again",
            NOTHING,
            FIRM,
            needs="blocked client",
            changes={"clients": ("blocked_reason", "active")},
        ),
    ),
    "add_document": (
        Example(
            "front",
            "Upload the front of a DNI",
            {"kind": "id_front"},
            FIRM,
            file="dni-front.png",
            adds={"client_documents": 1},
        ),
    ),
    "import_clients": (
        Example("dry_run", "Look at a file and store nothing", {"dry_run": "true"}, FIRM, file="clients.csv"),
        Example(
            "import",
            "Register the clients of a file",
            {"dry_run": "false"},
            FIRM,
            file="clients.csv",
            adds={"clients": 2},
        ),
    ),
    "set_related_persons": (
        Example(
            "company",
            "Name who represents the company and who owns it",
            {
                "items": [
                    {
                        "role": "representative",
                        "name": "Rosa Paredes",
                        "identity_type": "dni",
                        "identity_number": "10117410",
                    },
                    {
                        "role": "beneficial_owner",
                        "name": "Luis Paredes",
                        "identity_type": "passport",
                        "identity_number": "AB123456",
                        "identity_country": "MX",
                        "share_percent": "60",
                    },
                ]
            },
            FIRM,
            needs="company",
            at={"ref": "C-1003"},
            adds={"related_persons": 2},
        ),
    ),
    "set_client_limit": (
        Example(
            "gold",
            "Propose to limit one order in gold to 250,000 USD",
            {"symbol": "XAU/USD", "max_notional_usd": "250000"},
            FIRM,
            adds={"approvals": 1},
        ),
    ),
    "start_kyc": (
        Example("first", "Begin the verification of C-1002", {"client_id": "C-1002"}, FIRM, changes=_VERIFIED),
        Example(
            "pending",
            "Begin it again: the pending one is answered",
            {"client_id": "C-1002"},
            FIRM,
            needs="proposal",
            status=200,
        ),
    ),
    "decide_kyc": (
        Example(
            "papers",
            "Approve for level 1, after the papers were shown at the counter",
            {"approve": True, "level": 1, "reason": "Papers were shown at the counter"},
            OFFICER,
            changes=_VERIFIED,
        ),
        Example(
            "enhanced",
            "Propose level 2 to a second person",
            {"approve": True, "level": 2, "reason": "Source of funds was proven"},
            OFFICER,
            status=202,
            adds={"approvals": 1},
        ),
    ),
    "revoke_key": (Example("revoke", "End this key at once", NOTHING, PERSON, changes={"api_keys": ("revoked_at",)}),),
}

"""Bank accounts, withdrawals and deposits."""

from __future__ import annotations

from typing import Final

from .example import NOTHING, OPERATOR, Example

REQUESTS: Final[dict[str, tuple[Example, ...]]] = {
    "add_bank_account": (
        Example(
            "cci",
            "Add a savings account in soles, which a second person confirms",
            {
                "scheme": "cci",
                "number": "011-366-000100032542-21",
                "bank_name": "BBVA",
                "account_type": "savings",
                "currency": "PEN",
            },
            OPERATOR,
            adds={"client_bank_accounts": 1, "approvals": 1},
        ),
    ),
    "make_default_bank_account": (
        Example(
            "default",
            "Make it the first choice for payouts in its currency",
            NOTHING,
            OPERATOR,
            needs="second account",
            changes={"client_bank_accounts": ("is_default",)},
        ),
    ),
    "preview_withdrawal": (
        Example("usd", "See what 500 USD would come to, and store nothing", {"amount": "500", "currency": "USD"}),
    ),
    "create_withdrawal": (
        Example(
            "dry_run",
            "See what it would come to, and store nothing",
            {"amount": "500", "currency": "USD", "dry_run": True},
            status=200,
        ),
        Example(
            "usd",
            "Withdraw 500 USD to the client's first choice of their accounts",
            {"amount": "500", "currency": "USD", "concept": "Savings"},
            adds={"withdrawals": 1, "approvals": 1},
        ),
    ),
    "cancel_withdrawal": (
        Example(
            "cancel",
            "Cancel it; the money is available again",
            {"reason": "Not needed any more"},
            needs="withdrawal",
            changes={"withdrawals": ("status", "reason"), "approvals": ("status", "reason", "decided_at")},
        ),
    ),
    "reject_withdrawal": (
        Example(
            "reject",
            "Do not pay it; the client has the money back",
            {"reason": "The bank knows no such holder"},
            OPERATOR,
            needs="approved withdrawal",
            changes={"withdrawals": ("status", "reason")},
        ),
    ),
    "start_withdrawal": (
        Example(
            "start",
            "Begin to pay it",
            NOTHING,
            OPERATOR,
            needs="approved withdrawal",
            changes={"withdrawals": ("status", "payer")},
        ),
    ),
    "complete_withdrawal": (
        Example(
            "paid",
            "The bank has paid it; the proof is uploaded already",
            {"bank_reference": "BCP-2026-000123"},
            OPERATOR,
            needs="processing withdrawal",
            changes={"withdrawals": ("status", "bank_reference", "completed_at")},
        ),
    ),
    "fail_withdrawal": (
        Example(
            "returned",
            "The bank has returned it; the client has the money back",
            {"reason": "Returned: account closed"},
            OPERATOR,
            needs="processing withdrawal",
            changes={"withdrawals": ("status", "reason")},
        ),
    ),
    "create_deposit": (
        Example(
            "card",
            "Pay in 100 USD by card; payment_url is where",
            {"method": "card", "amount": "100", "currency": "USD"},
            adds={"deposits": 1},
        ),
        Example(
            "transfer",
            "Declare a bank transfer of 250 PEN",
            {"method": "bank_transfer", "amount": "250", "currency": "PEN", "bank_reference": "ANA FLORES 0105"},
            adds={"deposits": 1},
        ),
    ),
    "create_checkout_session": (
        Example("card", "Open a payment page for 100 USD", {"amount": "100", "currency": "USD"}, adds={"deposits": 1}),
    ),
    "cancel_deposit": (
        Example(
            "cancel",
            "Cancel it; its payment page closes",
            NOTHING,
            needs="deposit",
            changes={"deposits": ("status", "reason", "payment_url", "asked_at")},
        ),
    ),
    "simulate_payment_success": (
        Example(
            "paid",
            "Pretend that the client has paid",
            NOTHING,
            needs="deposit",
            changes={"deposits": ("status", "confirmed_amount", "completed_at", "payment_url")},
        ),
    ),
    "match_deposit": (
        Example(
            "match",
            "Say which movement of the bank it is",
            {"reference": "OP-0012345", "account": "BCP soles", "amount": "250", "received_on": "2026-01-05"},
            OPERATOR,
            needs="transfer",
            adds={"approvals": 1},
            changes={"deposits": ("status", "provider_reference", "movement")},
        ),
    ),
    "reject_deposit": (
        Example(
            "reject",
            "Give it up; the client reads the reason",
            {"reason": "The transfer never came"},
            OPERATOR,
            needs="transfer",
            changes={"deposits": ("status", "reason")},
        ),
    ),
    "resolve_mismatch": (
        Example(
            "refunded",
            "Note that the payer has the money back",
            {"resolution": "Refunded at Stripe"},
            OPERATOR,
            needs="mismatch",
            changes={
                "deposit_mismatches": ("resolved_at", "resolved_by", "resolution"),
                "deposits": ("status", "reason", "payment_url"),
            },
        ),
    ),
}

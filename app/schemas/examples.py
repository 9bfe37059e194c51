"""The requests that the API reference shows. A test sends each to a fresh demo and looks at what it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CLIENT, FIRM, PERSON = "client", "system", "person"  # the demo's two keys, and its Master in a browser
OPERATOR = "operator"  # the demo's, in a browser
OFFICER = "officer"  # its person of the middle office in a browser


@dataclass(frozen=True, slots=True)
class Example:
    """``adds`` and ``changes`` are all that it may do: rows by table, columns by table.

    ``needs`` names what must be there first, where the path has an id: order, position, paused wallet, fault,
    approval, second step, failed mail, deposit, transfer, mismatch, and a withdrawal: open, approved or processing.
    ``at`` has the values of the path where they are not the usual ones; ``file`` is what is uploaded, beside a form.
    """

    name: str
    title: str
    body: Mapping[str, Any]
    who: str = CLIENT
    needs: str = ""
    at: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    status: int = 0  # of the answer; the operation's own when 0
    adds: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_BUY: Final = {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.01"}
_REST: Final = {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "qty": "0.01", "price": "65000"}
_NOTHING: Final[dict[str, Any]] = {}
_FILLED: Final = {"orders": 1, "executions": 1}
_VERIFIED: Final = {"clients": ("kyc_status", "kyc_level", "kyc_expires_at")}
_STATUS: Final = {"wallets": ("status", "stopped_by")}

# what operations without a body add, and what they change by table and column
ADDED_WITHOUT_BODY: Final[dict[str, dict[str, int]]] = {"remove_client_limit": {"approvals": 1}}
WITHOUT_BODY: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "remove_document": {"client_documents": ("removed_at",)},
    "delete_order": {"orders": ("status", "held", "closed_at", "leaves_qty")},
    "remove_bank_account": {"client_bank_accounts": ("status", "is_default")},
    "retry_fault": {"engine_faults": ("retry_at", "attempts", "error", "resolved_at", "resolved_by", "resolution")},
}
REQUESTS: Final[dict[str, tuple[Example, ...]]] = {
    "create_order": (
        Example("dry_run", "See what it would cost, and store nothing", {**_BUY, "dry_run": True}, status=200),
        Example(
            "market",
            "Buy 0.01 BTC at the market, with a stop 5 % behind the best price",
            {**_BUY, "client_order_id": "example-1", "trailing_stop": {"type": "percent", "value": "5"}},
            adds=_FILLED | {"positions": 1},
        ),
        Example(
            "limit",
            "Wait for BTC at 65,000, until canceled",
            {**_REST, "client_order_id": "example-2"},
            adds={"orders": 1},
        ),
        Example(
            "by_value",
            "Buy gold for 5,000 USD",
            {"symbol": "XAUUSD", "side": "BUY", "type": "MARKET", "quoteQty": 5000, "clientOrderId": "example-3"},
            adds=_FILLED | {"positions": 1},
        ),
        Example(
            "for_client",
            "As the firm, for the client C-1002",
            {**_REST, "client_id": "C-1002"},
            FIRM,
            adds={"orders": 1},
        ),
    ),
    "create_orders": (
        Example(
            "two",
            "Wait for BTC and for ETH",
            {
                "orders": [
                    {**_REST, "client_order_id": "example-4"},
                    {
                        "symbol": "ETH/USDT",
                        "side": "BUY",
                        "type": "LIMIT",
                        "qty": "0.1",
                        "price": "3300",
                        "client_order_id": "example-5",
                    },
                ]
            },
            adds={"orders": 2},
        ),
    ),
    "cancel_all": (
        Example(
            "by_instrument",
            "Cancel the live buy orders in BTC/USDT",
            {"symbol": "BTC/USDT", "side": "BUY"},
            needs="order",
            changes={"orders": ("status", "held", "closed_at", "leaves_qty")},
        ),
    ),
    "amend_order": (
        Example(
            "qty",
            "Change the whole quantity to 0.02",
            {"qty": "0.02"},
            needs="order",
            changes={"orders": ("qty", "leaves_qty", "held")},
        ),
        Example(
            "price",
            "Change the price to 64,000",
            {"price": "64000"},
            needs="order",
            changes={"orders": ("price", "held")},
        ),
    ),
    "cancel_order": (
        Example(
            "cancel",
            "Cancel this order",
            _NOTHING,
            needs="order",
            changes={"orders": ("status", "held", "closed_at", "leaves_qty")},
        ),
    ),
    "protect": (
        Example(
            "break_even",
            "Move the stop to break-even once 2 % are gained; other exits stay",
            {"break_even_percent": "2"},
            needs="position",
            changes={"positions": ("break_even_percent",)},
        ),
        Example(
            "trailing",
            "Follow the best price 3 % behind; other exits stay",
            {"trailing_stop": {"type": "percent", "value": "3"}},
            needs="position",
            changes={"positions": ("trail_type", "trail_value", "trail_extreme_px")},
        ),
    ),
    "close": (
        Example(
            "part",
            "Sell 0.001 of the position",
            {"qty": "0.001", "client_order_id": "example-6"},
            needs="position",
            adds=_FILLED,
            changes={"positions": ("qty", "cost", "open_fees", "realized_pnl", "exit_qty", "exit_value", "exit_fees")},
        ),
    ),
    "signal": (
        Example(
            "hold",
            "Note that a strategy would hold",
            {"action": "hold", "confidence": 80, "urgency": "low", "reasoning": "Trend intact"},
            needs="position",
            adds={"signals": 1},
        ),
    ),
    "set_quote": (
        Example(
            "quote",
            "Set the quote of GBP/USD, which nobody of the demo holds",
            {"symbol": "GBP/USD", "bid": "1.26995", "ask": "1.27005"},
            FIRM,
        ),
    ),
    "create_wallet": (
        Example(
            "second",
            "Open a second wallet for C-1001 with 5,000 USDT of play money",
            {"client_id": "C-1001", "name": "Second", "balances": {"USDT": "5000"}},
            FIRM,
            adds={"wallets": 1},
        ),
    ),
    "change_wallet": (
        Example(
            "exposure",
            "Limit the value of all positions and live buys to 250,000 USD",
            {"max_exposure_usd": "250000"},
            FIRM,
            changes={"wallets": ("max_exposure_usd",)},
        ),
    ),
    "pause_wallet": (
        Example(
            "pause", "Take no entries until it is resumed; exits stay armed", {"reason": "Away today"}, changes=_STATUS
        ),
    ),
    "resume_wallet": (
        Example("resume", "Take entries again", {"reason": "Back"}, needs="paused wallet", changes=_STATUS),
    ),
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
            _NOTHING,
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
            adds={"client_bank_accounts": 1, "approvals": 1},
        ),
    ),
    "make_default_bank_account": (
        Example(
            "default",
            "Make it the first choice for payouts in its currency",
            _NOTHING,
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
            _NOTHING,
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
            _NOTHING,
            needs="deposit",
            changes={"deposits": ("status", "reason", "payment_url", "asked_at")},
        ),
    ),
    "simulate_payment_success": (
        Example(
            "paid",
            "Pretend that the client has paid",
            _NOTHING,
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
    "set_client_limit": (
        Example(
            "gold",
            "Propose to limit one order in gold to 250,000 USD",
            {"symbol": "XAU/USD", "max_notional_usd": "250000"},
            FIRM,
            adds={"approvals": 1},
        ),
    ),
    "approve": (
        Example(
            "agree",
            "Agree to what somebody else has proposed; it is carried out at once",
            {"reason": "As agreed with the client"},
            PERSON,
            needs="approval",
            adds={"approval_votes": 1, "client_limits": 1},
            changes={"approvals": ("status", "decided_at", "executed_at")},
        ),
    ),
    "reject": (
        Example(
            "refuse",
            "Refuse it, and say why",
            {"reason": "The client has asked for more time"},
            PERSON,
            needs="approval",
            adds={"approval_votes": 1},
            changes={"approvals": ("status", "reason", "decided_at")},
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
    "revoke_key": (Example("revoke", "End this key at once", _NOTHING, PERSON, changes={"api_keys": ("revoked_at",)}),),
    "create_user": (
        Example(
            "trader",
            "Create a trader, whom a second Master lets in",
            {"email": "eva@example.com", "name": "Eva Rojas", "role": "trader"},
            PERSON,
            adds={"users": 1, "approvals": 1},
        ),
    ),
    "invite_user": (
        Example(
            "client",
            "Invite somebody who speaks for the client C-1002",
            {"email": "nora@example.com", "name": "Nora Díaz", "role": "client", "client_id": "C-1002"},
            PERSON,
            adds={"users": 1},
        ),
    ),
    "send_invitation": (Example("again", "Mail another link to somebody who has not signed in yet", _NOTHING, PERSON),),
    "remove_second_step": (
        Example(
            "lost",
            "Somebody has lost their telephone; they sign in with the password alone again",
            _NOTHING,
            PERSON,
            needs="second step",
            changes={"users": ("totp_secret", "totp_since")},
        ),
    ),
    "change_user": (
        Example("name", "Change the name", {"name": "Tomás Huamán Díaz"}, PERSON, changes={"users": ("name",)}),
    ),
    "reset_password": (
        Example(
            "reset",
            "Give the user a one-time password; their sessions end",
            _NOTHING,
            PERSON,
            changes={"users": ("password_hash", "must_change_password")},
        ),
    ),
    "end_user_sessions": (Example("end", "Sign the user out everywhere", _NOTHING, PERSON),),
    "change_venue": (Example("latency", "Let the venue look at a request for 50 ms", {"latency_ms": 50}, FIRM),),
    "send_mail_again": (
        Example(
            "again",
            "Try a mail once more that was given up",
            _NOTHING,
            FIRM,
            needs="failed mail",
        ),
    ),
    "resolve_fault": (
        Example(
            "resolve",
            "Say what was found and done",
            {"note": "Booked by hand with entry 4711"},
            FIRM,
            needs="fault",
            changes={"engine_faults": ("resolved_at", "resolved_by", "resolution")},
        ),
    ),
}

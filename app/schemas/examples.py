"""The requests that the API reference shows. A test sends each to a fresh demo and looks at what it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CLIENT, FIRM, PERSON = "client", "system", "person"  # the demo's two keys, and its Master in a browser


@dataclass(frozen=True, slots=True)
class Example:
    """``adds`` and ``changes`` are all that it may do: rows by table, columns by table.

    ``needs`` names what must be there first, where the path has an id: order, position, paused wallet, fault, approval.
    """

    name: str
    title: str
    body: Mapping[str, Any]
    who: str = CLIENT
    needs: str = ""
    status: int = 0  # of the answer; the operation's own when 0
    adds: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_BUY: Final = {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.01"}
_REST: Final = {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "qty": "0.01", "price": "65000"}
_NOTHING: Final[dict[str, Any]] = {}
_FILLED: Final = {"orders": 1, "executions": 1}
_STATUS: Final = {"wallets": ("status", "stopped_by")}

# what operations without a body add, and what they change by table and column
ADDED_WITHOUT_BODY: Final[dict[str, dict[str, int]]] = {"remove_client_limit": {"approvals": 1}}
WITHOUT_BODY: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "delete_order": {"orders": ("status", "held", "closed_at", "leaves_qty")},
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

"""Orders, positions, prices and wallets."""

from __future__ import annotations

from typing import Final

from .example import FIRM, NOTHING, Example

_BUY: Final = {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.01"}
_REST: Final = {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "qty": "0.01", "price": "65000"}
_FILLED: Final = {"orders": 1, "executions": 1}
_STATUS: Final = {"wallets": ("status", "stopped_by")}

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
            NOTHING,
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
}

"""Orders: FIX names, the table of legal status transitions, time in force."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


def opens(side: Side, *, reduce_only: bool) -> bool:
    """Whether an order may open a position or add to one: in a cash wallet, which is never short, a purchase."""
    return side is Side.BUY and not reduce_only


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"


class TimeInForce(StrEnum):
    GTC = "GTC"
    DAY = "DAY"
    IOC = "IOC"
    FOK = "FOK"


class OrderSource(StrEnum):
    WEB = "web"
    API = "api"
    ENGINE = "engine"


class OrderStatus(StrEnum):
    NEW = "NEW"
    PENDING_SEND = "PENDING_SEND"
    SENT = "SENT"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_REPLACE = "PENDING_REPLACE"
    PENDING_CANCEL = "PENDING_CANCEL"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


S = OrderStatus

TERMINAL: Final = frozenset({S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED, S.FAILED})
LIVE: Final = frozenset(S) - TERMINAL
AMENDABLE: Final = frozenset({S.NEW, S.OPEN, S.PARTIALLY_FILLED})

TRANSITIONS: Final[dict[OrderStatus, frozenset[OrderStatus]]] = {
    S.NEW: frozenset({S.PENDING_SEND, S.CANCELED, S.REJECTED, S.EXPIRED, S.FAILED}),
    S.PENDING_SEND: frozenset(
        {
            S.SENT,
            S.PENDING_CANCEL,
            S.OPEN,
            S.PARTIALLY_FILLED,
            S.FILLED,
            S.CANCELED,  # the answer overtook the word that it was sent
            S.REJECTED,
            S.EXPIRED,
            S.FAILED,
            S.UNKNOWN,
        }
    ),
    S.SENT: frozenset(
        {
            S.OPEN,
            S.PARTIALLY_FILLED,
            S.FILLED,  # a venue may fill before, or instead of, acknowledging
            S.PENDING_CANCEL,
            S.CANCELED,
            S.REJECTED,
            S.EXPIRED,
            S.FAILED,
            S.UNKNOWN,
        }
    ),
    S.OPEN: frozenset(
        {
            S.OPEN,  # replaced by the venue without our asking
            S.PARTIALLY_FILLED,
            S.FILLED,
            S.PENDING_REPLACE,
            S.PENDING_CANCEL,
            S.CANCELED,
            S.REJECTED,
            S.EXPIRED,
            S.FAILED,
            S.UNKNOWN,
        }
    ),
    S.PARTIALLY_FILLED: frozenset(
        {
            S.PARTIALLY_FILLED,
            S.FILLED,
            S.PENDING_REPLACE,
            S.PENDING_CANCEL,
            S.CANCELED,
            S.REJECTED,
            S.EXPIRED,
            S.FAILED,
            S.UNKNOWN,
        }
    ),
    S.PENDING_REPLACE: frozenset(
        {
            S.OPEN,
            S.PARTIALLY_FILLED,
            S.FILLED,  # FILLED: the fill overtook the replace
            S.PENDING_REPLACE,  # a partial fill while the replace travels
            S.PENDING_CANCEL,
            S.CANCELED,
            S.REJECTED,
            S.EXPIRED,
            S.FAILED,
            S.UNKNOWN,
        }
    ),
    S.PENDING_CANCEL: frozenset(
        {
            S.CANCELED,
            S.FILLED,  # FILLED: the fill overtook the cancel
            S.OPEN,
            S.PARTIALLY_FILLED,  # the venue refused the cancel and the order goes on
            S.PENDING_REPLACE,  # … and a replace still travels
            S.PENDING_CANCEL,  # a partial fill while the cancel travels
            S.REJECTED,
            S.EXPIRED,
            S.FAILED,
            S.UNKNOWN,
        }
    ),
    S.UNKNOWN: frozenset(
        {
            S.SENT,
            S.OPEN,
            S.PARTIALLY_FILLED,
            S.FILLED,
            S.CANCELED,
            S.REJECTED,
            S.EXPIRED,
            S.FAILED,
            S.PENDING_CANCEL,
            S.PENDING_REPLACE,  # the venue has it, and the request is sent again
            S.UNKNOWN,  # a fill while the venue is asked
        }
    ),
    # Real world: a fill crosses the end, or one comes that the venue should not have made. A fill is always
    # booked, and alerted.
    S.CANCELED: frozenset({S.FILLED, S.CANCELED}),
    S.EXPIRED: frozenset({S.FILLED, S.EXPIRED}),
    S.REJECTED: frozenset({S.FILLED, S.REJECTED}),
    S.FAILED: frozenset({S.FILLED, S.FAILED}),
    S.FILLED: frozenset({S.FILLED}),
}


class IllegalTransition(Exception):
    """An order may not go from one status to another."""

    def __init__(self, order_id: str, current: OrderStatus, wanted: OrderStatus) -> None:
        super().__init__(f"order {order_id} cannot go from {current} to {wanted}")
        self.order_id, self.current, self.wanted = order_id, current, wanted


def check_transition(order_id: str, current: OrderStatus, wanted: OrderStatus) -> None:
    """Raise ``IllegalTransition`` unless the table allows the step."""
    if wanted not in TRANSITIONS[current]:
        raise IllegalTransition(order_id, current, wanted)

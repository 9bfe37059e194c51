"""What we ask of a venue: a durable intent, handed over after its commit."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RequestKind(StrEnum):
    SUBMIT = "submit"
    CANCEL = "cancel"
    REPLACE = "replace"
    QUERY = "query"


class RequestState(StrEnum):
    PENDING = "PENDING"  # stored; whether the venue has it is not known until the gateway says so
    SENT = "SENT"  # handed over, no answer yet
    ACKED = "ACKED"  # answered, by whatever answer
    UNKNOWN = "UNKNOWN"  # no answer by its deadline: the venue is asked
    FAILED = "FAILED"  # given up


UNANSWERED: Final = frozenset({RequestState.PENDING, RequestState.SENT, RequestState.UNKNOWN})

_LETTERS: Final = {RequestKind.CANCEL: "c", RequestKind.REPLACE: "r", RequestKind.QUERY: "q"}


def cl_ord_id(order_id: str, kind: RequestKind, number: int) -> str:
    """The ClOrdID a request carries: the order's id for a submission, however often it is sent again.

    The venue executes one ClOrdID once; other requests are numbered.
    """
    return order_id if kind is RequestKind.SUBMIT else f"{order_id}/{_LETTERS[kind]}{number}"


def order_of(cl_ord_id: str) -> str:
    """The order a ClOrdID of ours is about."""
    return cl_ord_id.partition("/")[0]

"""FIX 4.4 messages: encoding and checked decoding of what we exchange with a venue.

Field numbers and values: FIX 4.4 specification. simplefix writes; what comes in is read here, where the
checksum and the body length are verified too. None of our fields carries data with a separator in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import simplefix

from app.domain.money import text
from app.domain.orders import OrderType, Side, TimeInForce

SOH: Final = b"\x01"
_TIMESTAMP: Final = re.compile(r"\d{8}-\d\d:\d\d:\d\d(\.\d{3}(\d{3})?)?", re.ASCII)

SIDE: Final = {Side.BUY: "1", Side.SELL: "2"}
ORD_TYPE: Final = {OrderType.MARKET: "1", OrderType.LIMIT: "2"}
TIME_IN_FORCE: Final = {
    TimeInForce.DAY: "0",
    TimeInForce.GTC: "1",
    TimeInForce.IOC: "3",
    TimeInForce.FOK: "4",
}
SIDE_BY_VALUE: Final = {value: side for side, value in SIDE.items()}
ORD_TYPE_BY_VALUE: Final = {value: type_ for type_, value in ORD_TYPE.items()}
TIME_IN_FORCE_BY_VALUE: Final = {value: tif for tif, value in TIME_IN_FORCE.items()}

Fields = dict[int, str]


class FixError(ValueError):
    """A message that is not FIX 4.4 as agreed."""


def timestamp(moment: datetime) -> str:
    """UTCTimestamp with milliseconds."""
    return moment.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S.%f")[:-3]


def parse_timestamp(value: str) -> datetime:
    """Raise FixError for anything but a UTCTimestamp."""
    if not _TIMESTAMP.fullmatch(value):
        raise FixError(f"not a UTCTimestamp: {value!r}")
    try:
        return datetime.fromisoformat(f"{value}+00:00")
    except ValueError as error:
        raise FixError(f"not a UTCTimestamp: {value!r}") from error


class FixSession:
    """One direction of a session: stamps header fields and counts messages."""

    def __init__(self, sender: str, target: str) -> None:
        self.sender, self.target = sender, target
        self.seq_num = 0

    def encode(
        self, msg_type: str, body: Sequence[tuple[int, str | Decimal | None]], now: datetime, *, resent: bool = False
    ) -> bytes:
        """A complete message; body fields that are None are left out, decimals are written plainly.

        ``resent`` marks what was said before under another sequence number (PossResend).
        """
        self.seq_num += 1
        message = simplefix.FixMessage()
        message.append_pair(8, "FIX.4.4", header=True)
        message.append_pair(35, msg_type, header=True)
        message.append_pair(49, self.sender, header=True)
        message.append_pair(56, self.target, header=True)
        message.append_pair(34, self.seq_num, header=True)
        message.append_pair(52, timestamp(now), header=True)
        if resent:
            message.append_pair(97, "Y", header=True)
        for tag, value in body:
            if value is not None:
                message.append_pair(tag, text(value) if isinstance(value, Decimal) else value)
        return bytes(message.encode())


def decode(raw: bytes) -> Fields:
    """The fields of one message by tag. Raises ``FixError`` for a bad frame, length or checksum."""
    begin, _, _rest = raw.partition(SOH)
    if begin != b"8=FIX.4.4":
        raise FixError("the message does not begin with 8=FIX.4.4")
    trailer = raw.rfind(SOH + b"10=")
    if trailer < 0 or not raw.endswith(SOH):
        raise FixError("the message has no checksum")
    if raw[trailer + 4 : -1] != b"%03d" % (sum(raw[: trailer + 1]) % 256):
        raise FixError("the checksum is wrong")
    length, _, body = raw[len(begin) + 1 :].partition(SOH)
    if length != b"9=%d" % (trailer + 1 - (len(raw) - len(body))):
        raise FixError("the body length is wrong")
    fields: Fields = {}
    for pair in raw[:-1].decode("ascii", "replace").split("\x01"):
        tag, equals, value = pair.partition("=")
        if not (equals and tag.isdecimal() and tag.isascii()):
            raise FixError(f"not a field: {pair[:40]!r}")
        fields[int(tag)] = value
    if 35 not in fields:
        raise FixError("the message has no type")
    return fields


def number(fields: Fields, tag: int) -> Decimal:
    """A decimal field that must be there. Raises ``FixError``."""
    try:
        value = Decimal(fields[tag])
    except (KeyError, ArithmeticError) as error:
        raise FixError(f"field {tag} is missing or not a number") from error
    if not value.is_finite():
        raise FixError(f"field {tag} is not a number")
    return value

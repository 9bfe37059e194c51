"""The gate: whether a client may do what is intended, and if not, why, and what would change that.

``decide`` is a function of its inputs and of nothing else: what was stored of them gives the same answer again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from .kyc import LEVELS, KycStatus, effective_level
from .money import ZERO, text


class Act(StrEnum):
    """What a client intends."""

    ORDER = "order"
    OPERATION = "operation"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    WALLET = "wallet"


class Remedy(StrEnum):
    """What would make it allowed."""

    CONTACT = "contact"  # only the firm can change it
    VERIFY = "verify"  # go through the verification of the level in ``values``
    WAIT_FOR_REVIEW = "wait_for_review"
    LESS_OR_LATER = "less_or_later"  # a smaller amount, or when earlier ones have left the window
    LESS = "less"
    RETRY = "retry"  # when there is a price again


# that a client is known is not enough: they must have been approved
NEED_APPROVAL: Final = frozenset({Act.WITHDRAWAL, Act.OPERATION})


@dataclass(frozen=True, slots=True)
class Limit:
    """What a level may move by one kind of act, in USD; None: as much as they like."""

    each: Decimal | None = None
    day: Decimal | None = None
    month: Decimal | None = None  # 30 days

    @property
    def unlimited(self) -> bool:
        return (self.each, self.day, self.month) == (None, None, None)


@dataclass(frozen=True, slots=True)
class Used:
    """What has been moved by the same kind of act before, in USD: in the last 24 hours, and in the last 30 days."""

    day: Decimal = ZERO
    month: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that an answer depends on. ``amount_usd`` None: it has no price, or the act moves no money.

    ``limits`` are those of the act by level, so that the answer can say which level would do.
    """

    act: Act
    at: datetime
    active: bool
    blocked: bool
    kyc_status: KycStatus
    kyc_level: int
    kyc_expires_at: datetime | None
    moves_money: bool = False
    amount_usd: Decimal | None = None
    limits: Mapping[int, Limit] = field(default_factory=dict)
    used: Used = Used()

    def to_json(self) -> dict[str, Any]:
        return {
            "act": self.act.value,
            "at": self.at.astimezone(UTC).isoformat(),
            "active": self.active,
            "blocked": self.blocked,
            "kyc_status": self.kyc_status.value,
            "kyc_level": self.kyc_level,
            "kyc_expires_at": None if self.kyc_expires_at is None else self.kyc_expires_at.astimezone(UTC).isoformat(),
            "moves_money": self.moves_money,
            "amount_usd": _written(self.amount_usd),
            "limits": {
                str(level): {"each": _written(limit.each), "day": _written(limit.day), "month": _written(limit.month)}
                for level, limit in sorted(self.limits.items())
            },
            "used": {"day": text(self.used.day), "month": text(self.used.month)},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Inputs:
        """What ``to_json`` wrote."""
        expires_at, used = stored["kyc_expires_at"], stored["used"]
        return cls(
            act=Act(stored["act"]),
            at=datetime.fromisoformat(stored["at"]),
            active=stored["active"],
            blocked=stored["blocked"],
            kyc_status=KycStatus(stored["kyc_status"]),
            kyc_level=stored["kyc_level"],
            kyc_expires_at=None if expires_at is None else datetime.fromisoformat(expires_at),
            moves_money=stored["moves_money"],
            amount_usd=_read(stored["amount_usd"]),
            limits={
                int(level): Limit(_read(limit["each"]), _read(limit["day"]), _read(limit["month"]))
                for level, limit in stored["limits"].items()
            },
            used=Used(Decimal(used["day"]), Decimal(used["month"])),
        )

    @property
    def level(self) -> int:
        """The level that counts now: an approval that has expired gives none."""
        return effective_level(self.kyc_status, self.kyc_level, self.kyc_expires_at, self.at)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why not; ``values`` are strings, ready for JSON."""

    code: str
    message: str
    remedy: Remedy
    values: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy.value,
            "values": dict(self.values),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    reasons: tuple[Reason, ...]

    @property
    def allowed(self) -> bool:
        return not self.reasons


Check = Callable[[Inputs], list[Reason]]


def decide(inputs: Inputs) -> Answer:
    """Every reason against it, those first that only the firm can change."""
    return Answer(tuple(reason for check in CHECKS for reason in check(inputs)))


def _standing(inputs: Inputs) -> list[Reason]:
    if inputs.blocked:
        return [Reason("client_blocked", "the firm has blocked this client", Remedy.CONTACT)]
    if not inputs.active:
        return [Reason("client_inactive", "the client is not active", Remedy.CONTACT)]
    return []


def _verification(inputs: Inputs) -> list[Reason]:
    if inputs.kyc_status is KycStatus.REJECTED:
        return [Reason("kyc_rejected", "the verification was rejected", Remedy.CONTACT)]
    if inputs.act not in NEED_APPROVAL or inputs.level > 0:
        return []
    values = {"kyc_status": inputs.kyc_status.value, "level": "1"}
    if inputs.kyc_status is KycStatus.PENDING:
        message = "the verification is not decided yet"
        return [Reason("kyc_pending", message, Remedy.WAIT_FOR_REVIEW, values)]
    if inputs.kyc_status in (KycStatus.APPROVED, KycStatus.EXPIRED):
        return [Reason("kyc_expired", "the verification has expired", Remedy.VERIFY, values)]
    return [Reason("kyc_required", "the client must be verified first", Remedy.VERIFY, values)]


def _limits(inputs: Inputs) -> list[Reason]:
    """Nothing where the verification stands in the way already: its remedy changes the limits too."""
    limit = inputs.limits.get(inputs.level)
    if not inputs.moves_money or limit is None or limit.unlimited or _verification(inputs):
        return []
    if inputs.amount_usd is None:
        message = "its value in USD is not known, and there are limits in USD"
        return [Reason("value_unknown", message, Remedy.RETRY)]
    return [
        _exceeded(inputs, name, most, before)
        for name, most, before in (
            ("each", limit.each, ZERO),
            ("day", limit.day, inputs.used.day),
            ("month", limit.month, inputs.used.month),
        )
        if most is not None and before + inputs.amount_usd > most
    ]


_WINDOWS: Final = {"each": "one", "day": "24 hours", "month": "30 days"}


def _exceeded(inputs: Inputs, name: str, most: Decimal, before: Decimal) -> Reason:
    """A higher level would do, or less of it, or later; ``level`` is the lowest that would do."""
    assert inputs.amount_usd is not None
    values = {
        "limit_usd": text(most),
        "used_usd": text(before),
        "left_usd": text(max(most - before, ZERO)),
        "amount_usd": text(inputs.amount_usd),
    }
    higher = next((level for level in LEVELS if level > inputs.level and _fits(inputs, inputs.limits.get(level))), None)
    if higher is not None:
        values["level"] = str(higher)
    remedy = Remedy.VERIFY if higher is not None else Remedy.LESS if name == "each" else Remedy.LESS_OR_LATER
    return Reason(f"limit_{name}", f"more than the limit of {text(most)} USD for {_WINDOWS[name]}", remedy, values)


def _fits(inputs: Inputs, limit: Limit | None) -> bool:
    if limit is None:
        return True
    assert inputs.amount_usd is not None
    return all(
        most is None or before + inputs.amount_usd <= most
        for most, before in ((limit.each, ZERO), (limit.day, inputs.used.day), (limit.month, inputs.used.month))
    )


CHECKS: Final[tuple[Check, ...]] = (_standing, _verification, _limits)


def _written(value: Decimal | None) -> str | None:
    return None if value is None else text(value)


def _read(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)

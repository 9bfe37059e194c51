"""The gate: asked when a client intends something, and again before it is done. Every answer is stored.

What is refused rolls back, so a refusal is stored in a transaction of its own after it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict
from app.core.ids import new_id
from app.core.transaction import in_any_case
from app.domain.deposits import DepositStatus
from app.domain.gate import Act, Answer, Inputs, Limit, Used, decide
from app.domain.kyc import KycStatus
from app.domain.money import ZERO, text
from app.domain.withdrawals import WithdrawalStatus
from app.models import Client, Deposit, GateDecision, KycLimit, Withdrawal
from app.models.base import exact_sum

from . import clients

DAY: Final = timedelta(days=1)
MONTH: Final = timedelta(days=30)
MOVED: Final = (Act.DEPOSIT, Act.WITHDRAWAL)  # acts whose sums count
About = tuple[str, str]
"""What it is about: the type and the id of an object."""
_GIVEN_UP: Final = {
    Act.DEPOSIT: (DepositStatus.FAILED.value, DepositStatus.CANCELED.value),
    Act.WITHDRAWAL: (
        WithdrawalStatus.REJECTED.value,
        WithdrawalStatus.CANCELED.value,
        WithdrawalStatus.FAILED.value,
    ),
}


def require(
    session: Session,
    client: Client,
    act: Act,
    now: datetime,
    amount_usd: Decimal | None = None,
    about: About | None = None,
) -> None:
    """Let the client through or raise ``Conflict`` (``gate_closed``) with the reasons; the answer is stored.

    ``amount_usd``: the value of what is moved, None where it has no price. ``about``: what it is about; where that
    is stored already, it does not count against itself. Locks the client's row, so that two acts at once cannot
    both take the last of a limit.
    """
    clients.lock(session, client)
    inputs = gather(session, client, act, now, amount_usd, about)
    answer = decide(inputs)
    values = _row(client, inputs, answer, about)
    if answer.allowed:
        session.add(GateDecision(**values))
        return
    in_any_case(session, lambda fresh: fresh.add(GateDecision(**values)))
    raise Conflict(
        "; ".join(reason.message for reason in answer.reasons),
        code="gate_closed",
        extra={"reasons": [reason.to_json() for reason in answer.reasons]},
    )


def ask(
    session: Session,
    client: Client,
    act: Act,
    now: datetime,
    amount_usd: Decimal | None = None,
    about: About | None = None,
) -> Answer:
    """What ``require`` would answer now, for a preview: nothing is locked or stored."""
    return decide(gather(session, client, act, now, amount_usd, about))


def gather(
    session: Session, client: Client, act: Act, now: datetime, amount_usd: Decimal | None, about: About | None
) -> Inputs:
    """All that an answer depends on, as it is now."""
    return replace(
        standing(client, act, now),
        moves_money=act in MOVED,
        amount_usd=amount_usd,
        limits=limits(session, act),
        used=used(session, client.id, act, now, about),
    )


def standing(client: Client, act: Act, now: datetime) -> Inputs:
    """What is known of the client alone: enough for acts that move no money."""
    return Inputs(
        act=act,
        at=now,
        active=client.active,
        blocked=client.blocked_reason is not None,
        kyc_status=KycStatus(client.kyc_status),
        kyc_level=client.kyc_level,
        kyc_expires_at=client.kyc_expires_at,
    )


def limits(session: Session, act: Act) -> dict[int, Limit]:
    """The limits of an act by KYC level."""
    rows = session.scalars(sa.select(KycLimit).where(KycLimit.act == act.value))
    return {row.level: Limit(row.each_usd, row.day_usd, row.month_usd) for row in rows}


def used(session: Session, client_id: str, act: Act, now: datetime, about: About | None = None) -> Used:
    """What the client has moved or asked to move, without what was given up and without what it is ``about``.

    What had no price counts nothing: it was let through because there was no limit.
    """
    if act not in MOVED:
        return Used()
    table: type[Deposit] | type[Withdrawal] = Deposit if act is Act.DEPOSIT else Withdrawal

    def since(moment: datetime) -> Decimal:
        query = sa.select(exact_sum(table.amount_usd)).where(
            table.client_id == client_id, table.created_at > moment, table.status.not_in(_GIVEN_UP[act])
        )
        if about is not None and about[0] == act.value:
            query = query.where(table.id != about[1])
        return session.scalar(query) or ZERO

    return Used(since(now - DAY), since(now - MONTH))


def replay(decision: GateDecision) -> Answer:
    """The answer worked out again from what was stored of its inputs."""
    return decide(Inputs.from_json(decision.inputs))


def meters(session: Session, client: Client, now: datetime) -> list[dict[str, Any]]:
    """How much of its limits the client has used, for each act that has some; null: not limited."""
    found = []
    for act in MOVED:
        inputs = gather(session, client, act, now, None, None)
        limit = inputs.limits.get(inputs.level, Limit())
        found.append(
            {
                "act": act.value,
                "each_usd": _shown(limit.each),
                "day": _meter(limit.day, inputs.used.day),
                "month": _meter(limit.month, inputs.used.month),
            }
        )
    return found


def search(session: Session, client_id: str, limit: int, offset: int) -> tuple[list[GateDecision], int]:
    """What the gate answered about a client, the newest first, and how many there are."""
    query = sa.select(GateDecision).where(GateDecision.client_id == client_id)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    newest = query.order_by(GateDecision.at.desc(), GateDecision.id.desc())
    return list(session.scalars(newest.limit(limit).offset(offset))), total


def show(decision: GateDecision) -> dict[str, Any]:
    return {
        "id": decision.id,
        "client_id": decision.client_id,
        "act": decision.act,
        "about_type": decision.about_type,
        "about_id": decision.about_id,
        "inputs": decision.inputs,
        "allowed": decision.allowed,
        "reasons": decision.reasons,
        "at": iso(decision.at),
    }


def _row(client: Client, inputs: Inputs, answer: Answer, about: About | None) -> dict[str, Any]:
    return {
        "id": new_id(),
        "client_id": client.id,
        "act": inputs.act.value,
        "about_type": None if about is None else about[0],
        "about_id": None if about is None else about[1],
        "inputs": inputs.to_json(),
        "allowed": answer.allowed,
        "reasons": [reason.to_json() for reason in answer.reasons],
        "at": inputs.at,
    }


def _meter(limit: Decimal | None, used: Decimal) -> dict[str, Any]:
    return {
        "limit_usd": _shown(limit),
        "used_usd": text(used),
        "left_usd": None if limit is None else text(max(limit - used, ZERO)),
    }


def _shown(value: Decimal | None) -> str | None:
    return None if value is None else text(value)

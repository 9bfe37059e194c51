"""Those who stand behind a company: who represents it, and who owns more than a quarter of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict, Invalid
from app.core.ids import new_id
from app.core.permissions import Principal
from app.domain.clients import ClientKind, IdentityType, PersonRole
from app.domain.money import ZERO, text
from app.models import Client, RelatedPerson

from . import audit, client_profiles, clients
from .events import Events

OWNERS_ABOVE: Final = Decimal(25)  # percent: from there on an owner must be named
_WHOLE: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class Person:
    """``share_percent`` of the company's capital; needed of an owner."""

    role: PersonRole
    name: str
    identity_type: IdentityType
    identity_number: str
    identity_country: str | None = None
    share_percent: Decimal | None = None


def of_client(session: Session, client: Client) -> list[dict[str, Any]]:
    """Representatives first, then owners by share."""
    rows = session.scalars(sa.select(RelatedPerson).where(RelatedPerson.client_id == client.id))
    ordered = sorted(rows, key=lambda row: (row.role != PersonRole.REPRESENTATIVE, -(row.share_percent or 0), row.id))
    return [_show(row) for row in ordered]


def put(
    session: Session, client: Client, persons: Sequence[Person], principal: Principal, now: datetime
) -> list[dict[str, Any]]:
    """Replace all of them; the client's row must be locked. Raises ``Invalid``, and ``Conflict`` for a person."""
    if client.kind != ClientKind.COMPANY:
        raise Conflict("nobody stands behind a person", code="companies_only")
    made = [_checked(client, person, f"items.{index}.", now) for index, person in enumerate(persons)]
    _check_whole(made)
    previous = of_client(session, client)
    session.execute(sa.delete(RelatedPerson).where(RelatedPerson.client_id == client.id))
    session.add_all(made)
    client.version += 1
    client.updated_at = now
    session.flush()
    shown = of_client(session, client)
    events = Events(now)
    events.add(
        client.id,
        "client.updated",
        "client",
        client.id,
        clients.show(client),
        version=client.version,
        changed=["related_persons"],
    )
    events.flush(session)
    audit.record(
        session, principal, "client.related_persons", "client", client.id, now, persons=shown, previous=previous
    )
    return shown


def _checked(client: Client, person: Person, prefix: str, now: datetime) -> RelatedPerson:
    identity = client_profiles.identity_of(asdict(person), prefix)
    if person.role is PersonRole.REPRESENTATIVE and identity.type is IdentityType.RUC:
        raise Invalid.field(
            f"{prefix}identity_type", "identity_unsuitable", "must be a person's document", identity.type.value
        )
    share = person.share_percent
    if person.role is PersonRole.BENEFICIAL_OWNER:
        if share is None:
            raise Invalid.field(f"{prefix}share_percent", "required", "is needed of an owner")
        if share <= OWNERS_ABOVE:
            raise Invalid.field(
                f"{prefix}share_percent", "share_out_of_range", f"must be above {OWNERS_ABOVE}", text(share)
            )
    if share is not None and share > _WHOLE:
        raise Invalid.field(f"{prefix}share_percent", "share_out_of_range", "must be at most 100", text(share))
    return RelatedPerson(
        id=new_id(),
        client_id=client.id,
        role=person.role.value,
        name=person.name,
        identity_type=identity.type.value,
        identity_number=identity.number,
        identity_country=identity.country,
        share_percent=share,
        created_at=now,
    )


def _check_whole(made: Sequence[RelatedPerson]) -> None:
    """Nobody twice in one role, and no more than all of the company."""
    seen = {(row.role, row.identity_country, row.identity_type, row.identity_number) for row in made}
    if len(seen) < len(made):
        raise Invalid.field("items", "repeated", "name somebody twice in the same role")
    shares = sum((row.share_percent or ZERO for row in made if row.role == PersonRole.BENEFICIAL_OWNER), ZERO)
    if shares > _WHOLE:
        raise Invalid.field("items", "share_out_of_range", "own more than 100 percent together", text(shares))


def _show(row: RelatedPerson) -> dict[str, Any]:
    return {
        "id": row.id,
        "role": row.role,
        "name": row.name,
        "identity_type": row.identity_type,
        "identity_number": row.identity_number,
        "identity_country": row.identity_country,
        "share_percent": None if row.share_percent is None else text(row.share_percent),
    }

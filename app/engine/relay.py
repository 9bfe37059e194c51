"""The relay: gives committed events their numbers and remembers what was pushed.

It runs inside the engine's transactions, so that what a step caused is numbered by the commit that
stores it; what requests have committed meanwhile comes along, in order.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import Event, EventStream, table_of
from app.services.events import event_json

events, streams = table_of(Event), table_of(EventStream)
ALL = "*all"  # pseudo streams, beside client ids and "firm"
PUSHED = "*pushed"
BATCH = 1_000
_NUMBER = (
    sa.update(events)
    .where(events.c.id == sa.bindparam("row_id"))
    .values(seq=sa.bindparam("new_seq"), ordinal=sa.bindparam("new_ordinal"))
)


def number(session: Session, pushed: int = 0) -> list[dict[str, Any]]:
    """Number what has none yet, oldest first; returns it ready to be pushed after the commit.

    ``pushed`` is the cursor up to which events were pushed before; a restart goes on from there.
    """
    query = sa.select(events).where(events.c.ordinal.is_(None)).order_by(events.c.id).limit(BATCH)
    rows = [dict(row) for row in session.execute(query).mappings()]
    if not rows and not pushed:
        return []
    names = {row["stream"] for row in rows} | {ALL, PUSHED}
    known = {
        row.stream: row.last_seq
        for row in session.execute(sa.select(streams.c.stream, streams.c.last_seq).where(streams.c.stream.in_(names)))
    }
    last = {name: known.get(name, 0) for name in names}
    for row in rows:
        last[row["stream"]] += 1
        last[ALL] += 1
        row["seq"], row["ordinal"] = last[row["stream"]], last[ALL]
    last[PUSHED] = max(last[PUSHED], pushed)
    if rows:
        numbers = [{"row_id": row["id"], "new_seq": row["seq"], "new_ordinal": row["ordinal"]} for row in rows]
        session.connection().execute(_NUMBER, numbers)
    _store(session, last, known)
    return [event_json(row) for row in rows]


def _store(session: Session, values: dict[str, int], known: dict[str, int]) -> None:
    fresh = [{"stream": name, "last_seq": value} for name, value in values.items() if name not in known]
    if fresh:
        session.execute(sa.insert(streams), fresh)
    moved = [{"row": name, "value": value} for name, value in values.items() if name in known]
    if moved:
        session.connection().execute(
            sa.update(streams).where(streams.c.stream == sa.bindparam("row")).values(last_seq=sa.bindparam("value")),
            moved,
        )


def unpushed(session: Session, after: int | None = None) -> list[dict[str, Any]]:
    """Numbered events that a process which died may not have pushed; the next ones after ``after``."""
    if after is None:
        after = session.scalar(sa.select(streams.c.last_seq).where(streams.c.stream == PUSHED)) or 0
    query = sa.select(events).where(events.c.ordinal > after).order_by(events.c.ordinal).limit(BATCH)
    return [event_json(row) for row in session.execute(query).mappings()]

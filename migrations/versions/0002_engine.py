"""The engine's own tables: requests to venues, heartbeats, commands; faults that can be retried and resolved."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from app.core.schema import replace_check
from app.models.base import ExactDecimal, JsonText, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ACCOUNT_KINDS = "kind IN ('available', 'held', 'fees', 'clearing', 'external', 'rounding'{})"
TERMINAL = ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "FAILED")


def upgrade() -> None:
    _requests()
    _engine_processes()
    _faults()
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:  # SQLite does not look at lengths
        op.alter_column("journal_entries", "external_ref", type_=sa.String(160))
    replace_check(op.get_bind(), "ledger_accounts", "ck_ledger_accounts_kind", ACCOUNT_KINDS.format(", 'receivable'"))
    op.add_column("wallets", sa.Column("stopped_by", sa.String(10)))
    # nobody knows any more who stopped it: the stricter reading
    op.execute("UPDATE wallets SET stopped_by = 'firm' WHERE status <> 'active'")


def _requests() -> None:
    op.create_table(
        "venue_requests",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("order_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("venue", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("cl_ord_id", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("qty", ExactDecimal(), nullable=True),
        sa.Column("price", ExactDecimal(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("deadline_at", UtcDateTime(), nullable=True),
        sa.Column("answered_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.String(length=300), nullable=True),
        sa.CheckConstraint("kind IN ('submit', 'cancel', 'replace', 'query')", name=op.f("ck_venue_requests_kind")),
        sa.CheckConstraint(
            "state IN ('PENDING', 'SENT', 'ACKED', 'UNKNOWN', 'FAILED')", name=op.f("ck_venue_requests_state")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_venue_requests_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_venue_requests")),
        sa.UniqueConstraint("cl_ord_id", name=op.f("uq_venue_requests_cl_ord_id")),
    )
    op.create_index(op.f("ix_venue_requests_order_id"), "venue_requests", ["order_id"])
    unanswered = sa.text("state IN ('PENDING', 'SENT', 'UNKNOWN')")
    op.create_index(
        "ix_venue_requests_unanswered", "venue_requests", ["id"], postgresql_where=unanswered, sqlite_where=unanswered
    )
    _requests_of_live_orders()


def _requests_of_live_orders() -> None:
    """Every live order that may be at the venue gets its submission; what it knows of it is found out by asking."""
    uuid = sa.Uuid(as_uuid=False)
    orders = sa.table(
        "orders",
        sa.column("id", uuid),
        sa.column("venue"),
        sa.column("status"),
        sa.column("cum_qty", ExactDecimal()),
        sa.column("venue_order_id"),
        sa.column("created_at", UtcDateTime()),
        sa.column("submitted_at", UtcDateTime()),
    )
    requests = sa.table(
        "venue_requests",
        sa.column("id", uuid),
        sa.column("order_id", uuid),
        sa.column("venue"),
        sa.column("kind"),
        sa.column("cl_ord_id"),
        sa.column("state"),
        sa.column("attempt"),
        sa.column("created_at", UtcDateTime()),
        sa.column("sent_at", UtcDateTime()),
        sa.column("answered_at", UtcDateTime()),
    )
    connection, now = op.get_bind(), datetime.now(UTC)
    live = connection.execute(sa.select(orders).where(orders.c.status.not_in([*TERMINAL, "NEW"]))).all()
    rows = []
    for order in live:
        known = order.venue_order_id is not None or order.cum_qty > 0
        rows.append(
            {
                "id": order.id,
                "order_id": order.id,
                "venue": order.venue,
                "kind": "submit",
                "cl_ord_id": order.id,
                "state": "ACKED" if known else "SENT" if order.submitted_at else "PENDING",
                "attempt": 1,
                "created_at": order.created_at,
                "sent_at": order.submitted_at,
                "answered_at": now if known else None,
            }
        )
    if rows:
        connection.execute(sa.insert(requests), rows)


def _engine_processes() -> None:
    op.create_table(
        "engine_heartbeats",
        sa.Column("holder", sa.String(length=100), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("leading", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("status", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_engine_heartbeats")),
    )
    op.create_table(
        "engine_commands",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("payload", JsonText(), nullable=False),
        sa.Column("created_by", sa.String(length=60), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("taken_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engine_commands")),
    )
    waiting = sa.text("taken_at IS NULL")
    op.create_index(
        "ix_engine_commands_waiting", "engine_commands", ["id"], postgresql_where=waiting, sqlite_where=waiting
    )


def _faults() -> None:
    op.add_column("engine_faults", sa.Column("object_type", sa.String(20), nullable=False, server_default="order"))
    op.add_column("engine_faults", sa.Column("object_id", sa.String(60), nullable=False, server_default=""))
    op.add_column("engine_faults", sa.Column("reports", JsonText()))
    op.add_column("engine_faults", sa.Column("attempts", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("engine_faults", sa.Column("retry_at", UtcDateTime()))
    op.add_column("engine_faults", sa.Column("resolved_by", sa.String(60)))
    op.add_column("engine_faults", sa.Column("resolution", sa.String(300)))
    op.execute("UPDATE engine_faults SET object_id = coalesce(order_id, '')")
    # a trigger was parked under the id of its position
    op.execute("UPDATE engine_faults SET object_type = 'position' WHERE stage = 'trigger'")
    op.execute("UPDATE engine_faults SET stage = 'send' WHERE stage = 'intake'")
    op.drop_index("ix_engine_faults_order_id", "engine_faults")
    op.drop_column("engine_faults", "order_id")
    op.create_index(op.f("ix_engine_faults_object_id"), "engine_faults", ["object_id"])
    open_ = sa.text("resolved_at IS NULL")
    op.create_index("ix_engine_faults_open", "engine_faults", ["id"], postgresql_where=open_, sqlite_where=open_)


def downgrade() -> None:
    _refuse_loss()
    op.drop_table("venue_requests")
    op.drop_table("engine_heartbeats")
    op.drop_table("engine_commands")
    op.drop_index("ix_engine_faults_open", "engine_faults")
    op.drop_index("ix_engine_faults_object_id", "engine_faults")
    op.add_column("engine_faults", sa.Column("order_id", sa.String(36)))
    op.execute("UPDATE engine_faults SET order_id = object_id WHERE object_id <> ''")
    op.execute("UPDATE engine_faults SET stage = 'intake' WHERE stage = 'send'")
    op.create_index("ix_engine_faults_order_id", "engine_faults", ["order_id"])
    for name in ("object_type", "object_id", "reports", "attempts", "retry_at", "resolved_by", "resolution"):
        op.drop_column("engine_faults", name)
    op.drop_column("wallets", "stopped_by")
    # external_ref stays as wide as it is: the version before does not mind
    replace_check(op.get_bind(), "ledger_accounts", "ck_ledger_accounts_kind", ACCOUNT_KINDS.format(""))


def _refuse_loss() -> None:
    """What the version before has no place for is not dropped without a word."""
    for query, sentence in (
        (
            "SELECT count(*) FROM ledger_accounts WHERE kind = 'receivable'",
            "A receivable has been booked, and the version before knows none. Restore a backup instead.",
        ),
        (
            "SELECT count(*) FROM engine_faults WHERE resolved_at IS NULL AND reports IS NOT NULL",
            "The venue's reports wait behind open faults and would be lost. Retry or resolve them first: "
            "flask engine faults.",
        ),
    ):
        if op.get_bind().scalar(sa.text(query)):
            raise RuntimeError(sentence)

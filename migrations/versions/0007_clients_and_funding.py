"""Clients in full, KYC, money in and out, approvals by a second person, mail, and what providers report."""

from decimal import Decimal

import sqlalchemy as sa
from alembic import op

from app.core.schema import add_constraint, drop_constraint, replace_check
from app.models.base import ExactDecimal, JsonText, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = (
    "related_persons",
    "client_bank_accounts",
    "client_documents",
    "approvals",
    "approval_votes",
    "approval_tiers",
    "gate_decisions",
    "provider_events",
    "mails",
    "user_tokens",
    "verifications",
    "kyc_limits",
    "deposits",
    "deposit_mismatches",
    "withdrawals",
)
CHECKS = (
    ("kind", "kind IN ('person', 'company')"),
    ("identity_type", "identity_type IN ('dni', 'ce', 'passport', 'ruc')"),
    ("kyc_status", "kyc_status IN ('none', 'pending', 'approved', 'rejected', 'expired')"),
    ("blocked_is_not_active", "blocked_reason IS NULL OR NOT active"),
    ("identity_is_whole", "(identity_type IS NULL) = (identity_number IS NULL)"),
)
ENTRY_KINDS = "kind IN ('deposit', 'hold', 'release', 'trade', 'withdrawal', 'refund', 'reversal')"
ENTRY_KINDS_BEFORE = "kind IN ('deposit', 'hold', 'release', 'trade', 'reversal')"
# level, act, each, a day, 30 days, in USD; NULL: no limit
LIMITS = (
    (0, "deposit", 500, 500, 1_000),
    (0, "withdrawal", 0, 0, 0),
    (1, "deposit", 10_000, 20_000, 50_000),
    (1, "withdrawal", 10_000, 20_000, 50_000),
    (2, "deposit", None, None, None),
    (2, "withdrawal", None, None, None),
)
# from which value in USD on how many people must agree
TIERS = (
    ("withdrawal", 0, 1),
    ("withdrawal", 10_000, 2),
    ("bank_account", 0, 1),
    ("client_limit", 0, 1),
    ("kyc_decision", 0, 1),
    ("staff", 0, 1),
    ("deposit", 0, 1),
)


def upgrade() -> None:
    _client_columns()
    _clients()
    _control()
    _outside()
    _kyc()
    _funding()
    _users()
    replace_check(op.get_bind(), "journal_entries", "ck_journal_entries_kind", ENTRY_KINDS)
    op.execute(
        "INSERT INTO chart_of_accounts (code, name, kind, normal_side, floor, cached) "
        "VALUES ('4018', 'Taxes collected', 'tax', 'credit', NULL, false)"
    )


def _client_columns() -> None:
    op.add_column("clients", sa.Column("blocked_reason", sa.String(length=300), nullable=True))
    op.add_column("clients", sa.Column("kind", sa.String(length=10), server_default="person", nullable=False))
    op.add_column("clients", sa.Column("identity_type", sa.String(length=10), nullable=True))
    op.add_column("clients", sa.Column("identity_number", sa.String(length=20), nullable=True))
    op.add_column("clients", sa.Column("identity_country", sa.String(length=2), nullable=True))
    op.add_column("clients", sa.Column("paternal_surname", sa.String(length=100), nullable=True))
    op.add_column("clients", sa.Column("maternal_surname", sa.String(length=100), nullable=True))
    op.add_column("clients", sa.Column("given_names", sa.String(length=100), nullable=True))
    op.add_column("clients", sa.Column("born_on", sa.Date(), nullable=True))
    op.add_column("clients", sa.Column("nationality", sa.String(length=2), nullable=True))
    op.add_column("clients", sa.Column("address", sa.String(length=300), nullable=True))
    op.add_column("clients", sa.Column("phones", JsonText(), nullable=True))
    op.add_column("clients", sa.Column("occupation", sa.String(length=100), nullable=True))
    op.add_column("clients", sa.Column("source_of_funds", sa.String(length=200), nullable=True))
    op.add_column("clients", sa.Column("kyc_status", sa.String(length=10), server_default="none", nullable=False))
    op.add_column("clients", sa.Column("kyc_level", sa.Integer(), server_default="0", nullable=False))
    op.add_column("clients", sa.Column("kyc_expires_at", UtcDateTime(), nullable=True))
    op.add_column("clients", sa.Column("created_by", sa.String(length=60), nullable=True))
    op.create_index(
        "uq_clients_identity", "clients", ["identity_country", "identity_type", "identity_number"], unique=True
    )
    _refuse_shared_addresses()
    op.create_index("uq_clients_email_lower", "clients", [sa.text("lower(email)")], unique=True)
    for name, condition in CHECKS:
        add_constraint(op.get_bind(), "clients", f"ck_clients_{name}", f"CHECK ({condition})")


def _refuse_shared_addresses() -> None:
    """From now on an address is one client's; which of two keeps it is not for a migration to choose."""
    clients = sa.table("clients", sa.column("email", sa.String))
    address = sa.func.lower(clients.c.email)
    shared = sa.select(address).where(address.is_not(None)).group_by(address).having(sa.func.count() > 1).limit(5)
    found = list(op.get_bind().execute(shared).scalars())
    if found:
        raise RuntimeError(f"several clients have the address {', '.join(found)}: leave it to one, then upgrade again")


def _users() -> None:
    op.add_column("user_sessions", sa.Column("proven_at", UtcDateTime(), nullable=True))
    op.add_column("users", sa.Column("totp_secret", sa.String(length=200), nullable=True))
    op.add_column("users", sa.Column("totp_since", UtcDateTime(), nullable=True))
    op.add_column("users", sa.Column("totp_last_step", sa.BigInteger(), nullable=True))


def _clients() -> None:
    op.create_table(
        "related_persons",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("identity_type", sa.String(length=10), nullable=False),
        sa.Column("identity_number", sa.String(length=20), nullable=False),
        sa.Column("identity_country", sa.String(length=2), nullable=False),
        sa.Column("share_percent", ExactDecimal(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "identity_type IN ('dni', 'ce', 'passport', 'ruc')", name=op.f("ck_related_persons_identity_type")
        ),
        sa.CheckConstraint("role IN ('representative', 'beneficial_owner')", name=op.f("ck_related_persons_role")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_related_persons_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_related_persons")),
    )
    op.create_index(op.f("ix_related_persons_client_id"), "related_persons", ["client_id"], unique=False)
    op.create_table(
        "client_bank_accounts",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("scheme", sa.String(length=10), nullable=False),
        sa.Column("number", sa.String(length=34), nullable=False),
        sa.Column("bank_code", sa.String(length=20), nullable=False),
        sa.Column("bank_name", sa.String(length=100), nullable=False),
        sa.Column("account_type", sa.String(length=20), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("usable_from", UtcDateTime(), nullable=True),
        sa.Column("created_by", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("scheme IN ('cci', 'clabe', 'iban')", name=op.f("ck_client_bank_accounts_scheme")),
        sa.CheckConstraint(
            "status IN ('pending', 'active', 'rejected', 'removed')", name=op.f("ck_client_bank_accounts_status")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_client_bank_accounts_client_id_clients")),
        sa.ForeignKeyConstraint(
            ["currency"], ["currencies.code"], name=op.f("fk_client_bank_accounts_currency_currencies")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_bank_accounts")),
    )
    op.create_index(op.f("ix_client_bank_accounts_client_id"), "client_bank_accounts", ["client_id"], unique=False)
    op.create_index(
        op.f("ix_client_bank_accounts_scheme_number"), "client_bank_accounts", ["scheme", "number"], unique=False
    )
    op.create_index(
        "uq_client_bank_accounts_default",
        "client_bank_accounts",
        ["client_id", "currency"],
        unique=True,
        postgresql_where=sa.text("is_default AND status = 'active'"),
        sqlite_where=sa.text("is_default AND status = 'active'"),
    )
    op.create_index(
        "uq_client_bank_accounts_number",
        "client_bank_accounts",
        ["client_id", "scheme", "number"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'active')"),
        sqlite_where=sa.text("status IN ('pending', 'active')"),
    )
    op.create_table(
        "client_documents",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("filename", sa.String(length=200), nullable=False),
        sa.Column("content_type", sa.String(length=40), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("storage_key", sa.String(length=80), nullable=False),
        sa.Column("about_type", sa.String(length=20), nullable=True),
        sa.Column("about_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("uploaded_by", sa.String(length=60), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("removed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('id_front', 'id_back', 'selfie', 'proof_of_address', 'company_papers', 'payment_proof', 'other')",
            name=op.f("ck_client_documents_kind"),
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_client_documents_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_documents")),
        sa.UniqueConstraint("storage_key", name=op.f("uq_client_documents_storage_key")),
    )
    op.create_index(
        op.f("ix_client_documents_about_type_about_id"), "client_documents", ["about_type", "about_id"], unique=False
    )
    op.create_index(op.f("ix_client_documents_client_id"), "client_documents", ["client_id"], unique=False)


def _control() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("object_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("summary", sa.String(length=300), nullable=False),
        sa.Column("content", JsonText(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("amount_usd", ExactDecimal(), nullable=True),
        sa.Column("required", sa.Integer(), nullable=False),
        sa.Column("maker", sa.String(length=60), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("executed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('withdrawal', 'bank_account', 'client_limit', 'kyc_decision', 'staff', 'deposit')",
            name=op.f("ck_approvals_kind"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'executed', 'failed', 'rejected', 'expired', 'voided')",
            name=op.f("ck_approvals_status"),
        ),
        sa.CheckConstraint("required >= 1", name=op.f("ck_approvals_required")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_approvals_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_client_id"), "approvals", ["client_id"], unique=False)
    op.create_index(op.f("ix_approvals_status_created_at"), "approvals", ["status", "created_at"], unique=False)
    op.create_index(
        "uq_approvals_open",
        "approvals",
        ["kind", "object_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'approved')"),
        sqlite_where=sa.text("status IN ('pending', 'approved')"),
    )
    op.create_table(
        "approval_votes",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("approval_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("checker", sa.String(length=60), nullable=False),
        sa.Column("approves", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.id"], name=op.f("fk_approval_votes_approval_id_approvals")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_votes")),
        sa.UniqueConstraint("approval_id", "checker", name=op.f("uq_approval_votes_approval_id_checker")),
    )
    op.create_table(
        "approval_tiers",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("from_usd", ExactDecimal(), nullable=False),
        sa.Column("required", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('withdrawal', 'bank_account', 'client_limit', 'kyc_decision', 'staff', 'deposit')",
            name=op.f("ck_approval_tiers_kind"),
        ),
        sa.CheckConstraint("required >= 1", name=op.f("ck_approval_tiers_required")),
        sa.PrimaryKeyConstraint("kind", "from_usd", name=op.f("pk_approval_tiers")),
    )
    op.create_table(
        "gate_decisions",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("act", sa.String(length=20), nullable=False),
        sa.Column("about_type", sa.String(length=20), nullable=True),
        sa.Column("about_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("inputs", JsonText(), nullable=False),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("reasons", JsonText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "act IN ('order', 'operation', 'deposit', 'withdrawal', 'wallet')", name=op.f("ck_gate_decisions_act")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_gate_decisions_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_decisions")),
    )
    op.create_index(
        op.f("ix_gate_decisions_about_type_about_id"), "gate_decisions", ["about_type", "about_id"], unique=False
    )
    op.create_index(op.f("ix_gate_decisions_client_id_at"), "gate_decisions", ["client_id", "at"], unique=False)
    op.bulk_insert(
        sa.table("approval_tiers", sa.column("kind"), sa.column("from_usd", ExactDecimal()), sa.column("required")),
        [{"kind": kind, "from_usd": Decimal(usd), "required": required} for kind, usd, required in TIERS],
    )


def _outside() -> None:
    op.create_table(
        "provider_events",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("external_id", sa.String(length=100), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("processed_at", UtcDateTime(), nullable=True),
        sa.Column("outcome", sa.String(length=300), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_events")),
        sa.UniqueConstraint("provider", "external_id", name=op.f("uq_provider_events_provider_external_id")),
    )
    op.create_index(
        "ix_provider_events_waiting",
        "provider_events",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("processed_at IS NULL"),
        sqlite_where=sa.text("processed_at IS NULL"),
    )
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("template", sa.String(length=40), nullable=False),
        sa.Column("language", sa.String(length=5), nullable=False),
        sa.Column("recipient", sa.String(length=254), nullable=False),
        sa.Column("sender", sa.String(length=20), nullable=False),
        sa.Column("data", JsonText(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=300), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("status IN ('waiting', 'sent', 'failed')", name=op.f("ck_mails_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sa.UniqueConstraint("key", name=op.f("uq_mails_key")),
    )
    op.create_index(
        "ix_mails_waiting",
        "mails",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("status = 'waiting'"),
        sqlite_where=sa.text("status = 'waiting'"),
    )
    op.create_table(
        "user_tokens",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("new_email", sa.String(length=254), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('invitation', 'password_reset', 'email_change')", name=op.f("ck_user_tokens_purpose")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_tokens_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_user_tokens_token_hash")),
    )
    op.create_index(op.f("ix_user_tokens_user_id"), "user_tokens", ["user_id"], unique=False)


def _kyc() -> None:
    op.create_table(
        "verifications",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("session_id", sa.String(length=100), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=True),
        sa.Column("provider_data", JsonText(), nullable=False),
        sa.Column("document_kinds", JsonText(), nullable=False),
        sa.Column("requested_by", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=True),
        sa.Column("verified_at", UtcDateTime(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'rejected', 'expired')", name=op.f("ck_verifications_status")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_verifications_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verifications")),
        sa.UniqueConstraint("provider", "session_id", name=op.f("uq_verifications_provider_session_id")),
    )
    op.create_index(op.f("ix_verifications_client_id"), "verifications", ["client_id"], unique=False)
    op.create_index(
        "uq_verifications_pending",
        "verifications",
        ["client_id"],
        unique=True,
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_verifications_approved",
        "verifications",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'approved'"),
        sqlite_where=sa.text("status = 'approved'"),
    )
    op.create_table(
        "kyc_limits",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("act", sa.String(length=20), nullable=False),
        sa.Column("each_usd", ExactDecimal(), nullable=True),
        sa.Column("day_usd", ExactDecimal(), nullable=True),
        sa.Column("month_usd", ExactDecimal(), nullable=True),
        sa.CheckConstraint(
            "act IN ('order', 'operation', 'deposit', 'withdrawal', 'wallet')", name=op.f("ck_kyc_limits_act")
        ),
        sa.PrimaryKeyConstraint("level", "act", name=op.f("pk_kyc_limits")),
    )
    columns = ("each_usd", "day_usd", "month_usd")
    limits = sa.table(
        "kyc_limits", sa.column("level"), sa.column("act"), *(sa.column(name, ExactDecimal()) for name in columns)
    )
    op.bulk_insert(
        limits,
        [
            {"level": level, "act": act}
            | {name: None if usd is None else Decimal(usd) for name, usd in zip(columns, values, strict=True)}
            for level, act, *values in LIMITS
        ],
    )


def _funding() -> None:
    op.create_table(
        "deposits",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("wallet_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("amount", ExactDecimal(), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("amount_usd", ExactDecimal(), nullable=True),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("provider_reference", sa.String(length=255), nullable=True),
        sa.Column("payment_reference", sa.String(length=255), nullable=True),
        sa.Column("payment_url", sa.String(length=2000), nullable=True),
        sa.Column("bank_reference", sa.String(length=100), nullable=True),
        sa.Column("movement", JsonText(), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("confirmed_amount", ExactDecimal(), nullable=True),
        sa.Column("refunded_amount", ExactDecimal(), nullable=False),
        sa.Column("dispute_status", sa.String(length=10), nullable=True),
        sa.Column("disputed_amount", ExactDecimal(), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("details", JsonText(), nullable=False),
        sa.Column("requested_by", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("completed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "(status = 'completed') = (confirmed_amount IS NOT NULL)", name=op.f("ck_deposits_completed_is_confirmed")
        ),
        sa.CheckConstraint("method IN ('card', 'bank_transfer', 'mock')", name=op.f("ck_deposits_method")),
        sa.CheckConstraint("dispute_status IN ('open', 'won', 'lost')", name=op.f("ck_deposits_dispute_status")),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'completed', 'failed', 'canceled')", name=op.f("ck_deposits_status")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_deposits_client_id_clients")),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_deposits_currency_currencies")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_deposits_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposits")),
        sa.UniqueConstraint("provider", "provider_reference", name=op.f("uq_deposits_provider_provider_reference")),
    )
    op.create_index(op.f("ix_deposits_client_id_created_at"), "deposits", ["client_id", "created_at"], unique=False)
    op.create_index(
        "ix_deposits_open",
        "deposits",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'processing')"),
        sqlite_where=sa.text("status IN ('pending', 'processing')"),
    )
    op.create_index(op.f("ix_deposits_payment_reference"), "deposits", ["payment_reference"], unique=False)
    op.create_index(
        "ix_deposits_page_open",
        "deposits",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("status = 'canceled' AND payment_url IS NOT NULL"),
        sqlite_where=sa.text("status = 'canceled' AND payment_url IS NOT NULL"),
    )
    op.create_table(
        "deposit_mismatches",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("provider_event_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("deposit_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("expected", JsonText(), nullable=False),
        sa.Column("found", JsonText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("resolved_by", sa.String(length=60), nullable=True),
        sa.Column("resolution", sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(
            ["deposit_id"], ["deposits.id"], name=op.f("fk_deposit_mismatches_deposit_id_deposits")
        ),
        sa.ForeignKeyConstraint(
            ["provider_event_id"],
            ["provider_events.id"],
            name=op.f("fk_deposit_mismatches_provider_event_id_provider_events"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposit_mismatches")),
        sa.UniqueConstraint("provider_event_id", name=op.f("uq_deposit_mismatches_provider_event_id")),
    )
    op.create_index(op.f("ix_deposit_mismatches_deposit_id"), "deposit_mismatches", ["deposit_id"], unique=False)
    op.create_table(
        "withdrawals",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("wallet_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("bank_account_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("amount", ExactDecimal(), nullable=False),
        sa.Column("fee", ExactDecimal(), nullable=False),
        sa.Column("tax", ExactDecimal(), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("amount_usd", ExactDecimal(), nullable=True),
        sa.Column("destination", JsonText(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("phone", sa.String(length=30), nullable=True),
        sa.Column("concept", sa.String(length=140), nullable=True),
        sa.Column("details", JsonText(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("requested_by", sa.String(length=60), nullable=False),
        sa.Column("payer", sa.String(length=60), nullable=True),
        sa.Column("bank_reference", sa.String(length=100), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("verification_code", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending_review', 'approved', 'processing', 'completed', 'rejected', 'canceled', 'failed')",
            name=op.f("ck_withdrawals_status"),
        ),
        sa.CheckConstraint(
            "payer IS NULL OR payer <> requested_by", name=op.f("ck_withdrawals_payer_is_not_requester")
        ),
        sa.ForeignKeyConstraint(
            ["bank_account_id"],
            ["client_bank_accounts.id"],
            name=op.f("fk_withdrawals_bank_account_id_client_bank_accounts"),
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_withdrawals_client_id_clients")),
        sa.ForeignKeyConstraint(["currency"], ["currencies.code"], name=op.f("fk_withdrawals_currency_currencies")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_withdrawals_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawals")),
        sa.UniqueConstraint("bank_reference", name=op.f("uq_withdrawals_bank_reference")),
        sa.UniqueConstraint("verification_code", name=op.f("uq_withdrawals_verification_code")),
    )
    op.create_index(
        op.f("ix_withdrawals_client_id_created_at"), "withdrawals", ["client_id", "created_at"], unique=False
    )
    op.create_index(
        "ix_withdrawals_held",
        "withdrawals",
        ["wallet_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending_review', 'approved', 'processing')"),
        sqlite_where=sa.text("status IN ('pending_review', 'approved', 'processing')"),
    )


def downgrade() -> None:
    _refuse_loss()
    op.execute("DELETE FROM chart_of_accounts WHERE code = '4018'")
    replace_check(op.get_bind(), "journal_entries", "ck_journal_entries_kind", ENTRY_KINDS_BEFORE)
    for table in reversed(TABLES):
        op.drop_table(table)
    for name, _ in CHECKS:
        drop_constraint(op.get_bind(), "clients", f"ck_clients_{name}")
    op.drop_index("uq_clients_email_lower", table_name="clients")
    op.drop_index("uq_clients_identity", table_name="clients")
    for table, column in (
        ("users", "totp_last_step"),
        ("users", "totp_since"),
        ("users", "totp_secret"),
        ("user_sessions", "proven_at"),
        ("clients", "created_by"),
        ("clients", "kyc_expires_at"),
        ("clients", "kyc_level"),
        ("clients", "kyc_status"),
        ("clients", "source_of_funds"),
        ("clients", "occupation"),
        ("clients", "phones"),
        ("clients", "address"),
        ("clients", "nationality"),
        ("clients", "born_on"),
        ("clients", "given_names"),
        ("clients", "maternal_surname"),
        ("clients", "paternal_surname"),
        ("clients", "identity_country"),
        ("clients", "identity_number"),
        ("clients", "identity_type"),
        ("clients", "kind"),
        ("clients", "blocked_reason"),
    ):
        op.drop_column(table, column)


def _refuse_loss() -> None:
    """Money that came in or is on its way out has no place in the version before."""
    for table in ("deposits", "withdrawals"):
        if op.get_bind().scalar(sa.text(f"SELECT count(*) FROM {table}")):
            raise RuntimeError(f"There are {table}, which the version before does not know. Restore a backup instead.")

"""Foundation: clients, users, wallets, market, orders, positions, the ledger and the engine's own tables."""

import sqlalchemy as sa
from alembic import op

from app.models.base import BigInt, ExactDecimal, JsonText, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOT_NEGATIVE = {"postgresql": "balance >= 0", "sqlite": "balance NOT LIKE '-%'"}

POSTGRESQL = [
    "CREATE SEQUENCE journal_entry_numbers",
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION check_entries() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT 1 FROM fresh f LEFT JOIN postings p ON p.entry_id = f.id GROUP BY f.id HAVING count(p.id) < 2
        ) OR EXISTS (
            SELECT 1 FROM fresh f JOIN postings p ON p.entry_id = f.id
            GROUP BY f.id, p.currency HAVING sum(p.amount) <> 0
        ) THEN
            RAISE EXCEPTION 'journal entry does not balance' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION check_postings() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM fresh p JOIN journal_entries e ON e.id = p.entry_id) THEN
            RAISE EXCEPTION 'journal entry is complete' USING ERRCODE = 'check_violation';
        END IF;
        IF EXISTS (
            SELECT 1 FROM fresh p JOIN ledger_accounts a ON a.id = p.account_id WHERE a.currency <> p.currency
        ) THEN
            RAISE EXCEPTION 'posting and account differ in currency' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER journal_entries_balance AFTER INSERT ON journal_entries
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION check_entries()
    """,
    """
    CREATE TRIGGER postings_before_their_entry AFTER INSERT ON postings
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION check_postings()
    """,
    *(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        for table in ("journal_entries", "postings")
    ),
]

SQLITE = [
    """
    CREATE TRIGGER journal_entries_balance BEFORE INSERT ON journal_entries
    WHEN (SELECT count(*) FROM postings WHERE entry_id = NEW.id) < 2 OR EXISTS (
        SELECT 1 FROM postings WHERE entry_id = NEW.id
        GROUP BY currency HAVING decimal_sum(amount) <> '0.000000000000000000'
    )
    BEGIN SELECT RAISE(ABORT, 'journal entry does not balance'); END
    """,
    """
    CREATE TRIGGER postings_before_their_entry BEFORE INSERT ON postings
    WHEN EXISTS (SELECT 1 FROM journal_entries WHERE id = NEW.entry_id)
    BEGIN SELECT RAISE(ABORT, 'journal entry is complete'); END
    """,
    """
    CREATE TRIGGER postings_currency BEFORE INSERT ON postings
    WHEN (SELECT currency FROM ledger_accounts WHERE id = NEW.account_id) <> NEW.currency
    BEGIN SELECT RAISE(ABORT, 'posting and account differ in currency'); END
    """,
    *(
        f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in ("journal_entries", "postings")
        for change in ("UPDATE", "DELETE")
    ),
]


def upgrade() -> None:
    op.create_table(
        "audit_records",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=60), nullable=False),
        sa.Column("actor_label", sa.String(length=254), nullable=True),
        sa.Column("ip", sa.String(length=45), nullable=True),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("object_type", sa.String(length=30), nullable=False),
        sa.Column("object_id", sa.String(length=60), nullable=False),
        sa.Column("details", JsonText(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("previous_hash", sa.String(length=64), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_records")),
        sa.UniqueConstraint("seq", name=op.f("uq_audit_records_seq")),
    )
    op.create_index(op.f("ix_audit_records_action"), "audit_records", ["action"], unique=False)
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("trader_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["trader_id"], ["users.id"], name="fk_clients_trader_id_users", use_alter=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
        sa.UniqueConstraint("code", name=op.f("uq_clients_code")),
    )
    op.create_index(op.f("ix_clients_trader_id"), "clients", ["trader_id"], unique=False)
    op.create_table(
        "engine_faults",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("order_id", sa.String(length=36), nullable=True),
        sa.Column("stage", sa.String(length=30), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=True),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engine_faults")),
    )
    op.create_index(op.f("ix_engine_faults_order_id"), "engine_faults", ["order_id"], unique=False)
    op.create_table(
        "engine_leases",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=100), nullable=False),
        sa.Column("acquired_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_engine_leases")),
    )
    op.create_table(
        "event_streams",
        sa.Column("stream", sa.String(length=36), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name=op.f("pk_event_streams")),
    )
    op.create_table(
        "events",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("stream", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("object_type", sa.String(length=20), nullable=False),
        sa.Column("object_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("object_version", sa.Integer(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("ordinal", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_events_event_id")),
        sa.UniqueConstraint("ordinal", name=op.f("uq_events_ordinal")),
        sa.UniqueConstraint("stream", "seq", name=op.f("uq_events_stream_seq")),
    )
    op.create_index(op.f("ix_events_object_id_object_version"), "events", ["object_id", "object_version"], unique=False)
    op.create_index(
        "ix_events_unnumbered",
        "events",
        ["id"],
        unique=False,
        postgresql_where=sa.text("ordinal IS NULL"),
        sqlite_where=sa.text("ordinal IS NULL"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("caller", sa.String(length=60), nullable=False),
        sa.Column("route", sa.String(length=120), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
        sa.UniqueConstraint("caller", "route", "key", name=op.f("uq_idempotency_keys_caller_route_key")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "instruments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("market", sa.String(length=20), nullable=False),
        sa.Column("base", sa.String(length=12), nullable=False),
        sa.Column("quote", sa.String(length=12), nullable=False),
        sa.Column("base_scale", sa.Integer(), nullable=False),
        sa.Column("quote_scale", sa.Integer(), nullable=False),
        sa.Column("tick_size", ExactDecimal(), nullable=False),
        sa.Column("lot_size", ExactDecimal(), nullable=False),
        sa.Column("min_qty", ExactDecimal(), nullable=False),
        sa.Column("max_qty", ExactDecimal(), nullable=False),
        sa.Column("min_notional", ExactDecimal(), nullable=False),
        sa.Column("price_band", ExactDecimal(), nullable=False),
        sa.Column("calendar", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("stale_after_seconds", sa.Integer(), nullable=False),
        sa.CheckConstraint("calendar IN ('24x7', '24x5', 'us_stocks')", name=op.f("ck_instruments_calendar")),
        sa.CheckConstraint(
            "market IN ('crypto', 'stocks', 'forex', 'commodities')", name=op.f("ck_instruments_market")
        ),
        sa.CheckConstraint("status IN ('trading', 'halted', 'delisted')", name=op.f("ck_instruments_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instruments")),
        sa.UniqueConstraint("symbol", name=op.f("uq_instruments_symbol")),
    )
    op.create_table(
        "journal_entries",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("about_type", sa.String(length=20), nullable=False),
        sa.Column("about_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("external_ref", sa.String(length=80), nullable=False),
        sa.Column("effective_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=60), nullable=False),
        sa.Column("memo", sa.String(length=200), nullable=True),
        sa.Column("reverses_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.CheckConstraint(
            "kind IN ('deposit', 'hold', 'release', 'trade', 'reversal')", name=op.f("ck_journal_entries_kind")
        ),
        sa.ForeignKeyConstraint(
            ["reverses_id"], ["journal_entries.id"], name=op.f("fk_journal_entries_reverses_id_journal_entries")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_entries")),
        sa.UniqueConstraint("number", name=op.f("uq_journal_entries_number")),
        sa.UniqueConstraint("reverses_id", name=op.f("uq_journal_entries_reverses_id")),
        sa.UniqueConstraint("source", "external_ref", name=op.f("uq_journal_entries_source_external_ref")),
    )
    op.create_index(
        op.f("ix_journal_entries_about_type_about_id"), "journal_entries", ["about_type", "about_id"], unique=False
    )
    op.create_index(op.f("ix_journal_entries_effective_at"), "journal_entries", ["effective_at"], unique=False)
    op.create_table(
        "sign_in_attempts",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_attempts")),
    )
    op.create_index(op.f("ix_sign_in_attempts_email_ip_at"), "sign_in_attempts", ["email", "ip", "at"], unique=False)
    op.create_index(op.f("ix_sign_in_attempts_ip_at"), "sign_in_attempts", ["ip", "at"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("scopes", JsonText(), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("system", sa.Boolean(), nullable=False),
        sa.Column("act_for_clients", sa.Boolean(), nullable=False),
        sa.Column("allowed_ips", JsonText(), nullable=True),
        sa.Column("orders_per_second", sa.Integer(), nullable=True),
        sa.Column("requests_per_second", sa.Integer(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=60), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("system OR NOT act_for_clients", name=op.f("ck_api_keys_act_for_clients_is_for_system")),
        sa.CheckConstraint("system OR client_id IS NOT NULL", name=op.f("ck_api_keys_bound")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_api_keys_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_index(op.f("ix_api_keys_client_id"), "api_keys", ["client_id"], unique=False)
    op.create_table(
        "bars",
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("interval", sa.String(length=4), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("open", ExactDecimal(), nullable=False),
        sa.Column("high", ExactDecimal(), nullable=False),
        sa.Column("low", ExactDecimal(), nullable=False),
        sa.Column("close", ExactDecimal(), nullable=False),
        sa.Column("volume", ExactDecimal(), nullable=False),
        sa.Column("ticks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["instrument_id"], ["instruments.id"], name=op.f("fk_bars_instrument_id_instruments")),
        sa.PrimaryKeyConstraint("instrument_id", "interval", "start", name=op.f("pk_bars")),
    )
    op.create_table(
        "client_limits",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=True),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("max_order_qty", ExactDecimal(), nullable=True),
        sa.Column("max_notional_usd", ExactDecimal(), nullable=True),
        sa.Column("hours", sa.String(length=11), nullable=True),
        sa.Column("time_zone", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_client_limits_client_id_clients")),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instruments.id"], name=op.f("fk_client_limits_instrument_id_instruments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_limits")),
        sa.UniqueConstraint("client_id", "instrument_id", name=op.f("uq_client_limits_client_id_instrument_id")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(length=5), nullable=True),
        sa.Column("theme", sa.String(length=5), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("last_sign_in_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("(role = 'client') = (client_id IS NOT NULL)", name=op.f("ck_users_client_of_client")),
        sa.CheckConstraint(
            "role IN ('master', 'trader', 'operator', 'middle_office', 'client')", name=op.f("ck_users_role")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_users_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "wallets",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("platform", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("maker_rate", ExactDecimal(), nullable=False),
        sa.Column("taker_rate", ExactDecimal(), nullable=False),
        sa.Column("default_stop_loss_percent", ExactDecimal(), nullable=True),
        sa.Column("default_take_profit_percent", ExactDecimal(), nullable=True),
        sa.Column("close_signal_confidence", sa.Integer(), nullable=False),
        sa.Column("max_position_usd", ExactDecimal(), nullable=True),
        sa.Column("max_exposure_usd", ExactDecimal(), nullable=True),
        sa.Column("max_open_positions", sa.Integer(), nullable=True),
        sa.Column("daily_loss_usd", ExactDecimal(), nullable=True),
        sa.Column("daily_loss_percent", ExactDecimal(), nullable=True),
        sa.Column("max_drawdown_percent", ExactDecimal(), nullable=True),
        sa.Column("allowed_symbols", JsonText(), nullable=True),
        sa.Column("blocked_symbols", JsonText(), nullable=True),
        sa.Column("respect_market_hours", sa.Boolean(), nullable=False),
        sa.Column("peak_equity_usd", ExactDecimal(), nullable=True),
        sa.Column("day_start_equity_usd", ExactDecimal(), nullable=True),
        sa.Column("day_start_on", sa.String(length=10), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'paused', 'suspended')", name=op.f("ck_wallets_status")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_wallets_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallets")),
    )
    op.create_index(op.f("ix_wallets_client_id"), "wallets", ["client_id"], unique=False)
    op.create_table(
        "ledger_accounts",
        sa.CheckConstraint(NOT_NEGATIVE[op.get_bind().dialect.name], name=op.f("ck_ledger_accounts_never_negative")),
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("owner", sa.String(length=60), nullable=False),
        sa.Column("wallet_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("balance", ExactDecimal(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('available', 'held', 'fees', 'clearing', 'external', 'rounding')",
            name=op.f("ck_ledger_accounts_kind"),
        ),
        sa.CheckConstraint(
            "(wallet_id IS NULL) = (balance IS NULL)", name=op.f("ck_ledger_accounts_cached_for_wallets")
        ),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_ledger_accounts_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint("owner", "currency", "kind", name=op.f("uq_ledger_accounts_owner_currency_kind")),
    )
    op.create_index(op.f("ix_ledger_accounts_wallet_id"), "ledger_accounts", ["wallet_id"], unique=False)
    op.create_table(
        "positions",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("wallet_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("qty", ExactDecimal(), nullable=False),
        sa.Column("avg_entry_px", ExactDecimal(), nullable=False),
        sa.Column("cost", ExactDecimal(), nullable=False),
        sa.Column("open_fees", ExactDecimal(), nullable=False),
        sa.Column("realized_pnl", ExactDecimal(), nullable=False),
        sa.Column("entry_qty", ExactDecimal(), nullable=False),
        sa.Column("entry_value", ExactDecimal(), nullable=False),
        sa.Column("entry_fees", ExactDecimal(), nullable=False),
        sa.Column("exit_qty", ExactDecimal(), nullable=False),
        sa.Column("exit_value", ExactDecimal(), nullable=False),
        sa.Column("exit_fees", ExactDecimal(), nullable=False),
        sa.Column("entry_order_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("entry_mark_px", ExactDecimal(), nullable=True),
        sa.Column("exit_order_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("exit_reason", sa.String(length=20), nullable=True),
        sa.Column("stop_loss_px", ExactDecimal(), nullable=True),
        sa.Column("take_profit_px", ExactDecimal(), nullable=True),
        sa.Column("trail_type", sa.String(length=10), nullable=True),
        sa.Column("trail_value", ExactDecimal(), nullable=True),
        sa.Column("trail_activation_px", ExactDecimal(), nullable=True),
        sa.Column("trail_extreme_px", ExactDecimal(), nullable=True),
        sa.Column("break_even_percent", ExactDecimal(), nullable=True),
        sa.Column("break_even_px", ExactDecimal(), nullable=True),
        sa.Column("protection_version", sa.Integer(), nullable=False),
        sa.Column("armed_version", sa.Integer(), nullable=False),
        sa.Column("stop_adjustments", sa.Integer(), nullable=False),
        sa.Column("high_px", ExactDecimal(), nullable=True),
        sa.Column("low_px", ExactDecimal(), nullable=True),
        sa.Column("price_moves", sa.Integer(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("status IN ('OPENING', 'OPEN', 'CLOSING', 'CLOSED')", name=op.f("ck_positions_status")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_positions_client_id_clients")),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instruments.id"], name=op.f("fk_positions_instrument_id_instruments")
        ),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_positions_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_positions")),
    )
    op.create_index(op.f("ix_positions_client_id_id"), "positions", ["client_id", "id"], unique=False)
    op.create_index(op.f("ix_positions_instrument_id"), "positions", ["instrument_id"], unique=False)
    to_attend = sa.text(
        "status <> 'CLOSED' AND (armed_version <> protection_version OR (status = 'CLOSING' AND exit_order_id IS NULL))"
    )
    op.create_index("ix_positions_to_attend", "positions", ["id"], postgresql_where=to_attend, sqlite_where=to_attend)
    op.create_index(
        "uq_positions_open",
        "positions",
        ["wallet_id", "instrument_id"],
        unique=True,
        postgresql_where=sa.text("status <> 'CLOSED'"),
        sqlite_where=sa.text("status <> 'CLOSED'"),
    )
    op.create_table(
        "user_sessions",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("ip", sa.String(length=45), nullable=True),
        sa.Column("user_agent", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_sessions_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_user_sessions_token_hash")),
    )
    op.create_index(op.f("ix_user_sessions_user_id"), "user_sessions", ["user_id"], unique=False)
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_order_id", sa.String(length=48), nullable=True),
        sa.Column("body_hash", sa.String(length=64), nullable=True),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("wallet_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("time_in_force", sa.String(length=3), nullable=False),
        sa.Column("qty", ExactDecimal(), nullable=False),
        sa.Column("quote_qty", ExactDecimal(), nullable=True),
        sa.Column("price", ExactDecimal(), nullable=True),
        sa.Column("protection_px", ExactDecimal(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("post_only", sa.Boolean(), nullable=False),
        sa.Column("protection", JsonText(), nullable=True),
        sa.Column("position_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("exit_reason", sa.String(length=20), nullable=True),
        sa.Column("trigger_key", sa.String(length=80), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("cum_qty", ExactDecimal(), nullable=False),
        sa.Column("leaves_qty", ExactDecimal(), nullable=False),
        sa.Column("avg_px", ExactDecimal(), nullable=True),
        sa.Column("cum_value", ExactDecimal(), nullable=False),
        sa.Column("fees", ExactDecimal(), nullable=False),
        sa.Column("hold_currency", sa.String(length=12), nullable=False),
        sa.Column("held", ExactDecimal(), nullable=False),
        sa.Column("pending_qty", ExactDecimal(), nullable=True),
        sa.Column("pending_price", ExactDecimal(), nullable=True),
        sa.Column("reject_code", sa.String(length=40), nullable=True),
        sa.Column("reject_reason", sa.String(length=300), nullable=True),
        sa.Column("reject_values", JsonText(), nullable=True),
        sa.Column("venue", sa.String(length=20), nullable=False),
        sa.Column("venue_order_id", sa.String(length=60), nullable=True),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("created_by", sa.String(length=60), nullable=False),
        sa.Column("strategy", JsonText(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("submitted_at", UtcDateTime(), nullable=True),
        sa.Column("first_fill_at", UtcDateTime(), nullable=True),
        sa.Column("last_fill_at", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ck_orders_side")),
        sa.CheckConstraint("source IN ('web', 'api', 'engine')", name=op.f("ck_orders_source")),
        sa.CheckConstraint(
            "status IN ('NEW', 'PENDING_SEND', 'SENT', 'OPEN', 'PARTIALLY_FILLED', 'PENDING_REPLACE', 'PENDING_CANCEL', 'UNKNOWN', 'FILLED', 'CANCELED', 'REJECTED', 'EXPIRED', 'FAILED')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint("time_in_force IN ('GTC', 'DAY', 'IOC', 'FOK')", name=op.f("ck_orders_time_in_force")),
        sa.CheckConstraint("type IN ('MARKET', 'LIMIT')", name=op.f("ck_orders_type")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_orders_client_id_clients")),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instruments.id"], name=op.f("fk_orders_instrument_id_instruments")
        ),
        sa.ForeignKeyConstraint(["position_id"], ["positions.id"], name=op.f("fk_orders_position_id_positions")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_orders_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("trigger_key", name=op.f("uq_orders_trigger_key")),
        sa.UniqueConstraint("wallet_id", "client_order_id", name=op.f("uq_orders_wallet_id_client_order_id")),
    )
    op.create_index(op.f("ix_orders_client_id_id"), "orders", ["client_id", "id"], unique=False)
    op.create_index(
        "ix_orders_live",
        "orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status NOT IN ('CANCELED', 'EXPIRED', 'FAILED', 'FILLED', 'REJECTED')"),
        sqlite_where=sa.text("status NOT IN ('CANCELED', 'EXPIRED', 'FAILED', 'FILLED', 'REJECTED')"),
    )
    op.create_index(
        "ix_orders_to_send",
        "orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status IN ('NEW', 'PENDING_CANCEL', 'PENDING_REPLACE')"),
        sqlite_where=sa.text("status IN ('NEW', 'PENDING_CANCEL', 'PENDING_REPLACE')"),
    )
    op.create_index(op.f("ix_orders_position_id"), "orders", ["position_id"], unique=False)
    op.create_index(op.f("ix_orders_wallet_id_id"), "orders", ["wallet_id", "id"], unique=False)
    op.create_table(
        "position_updates",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("position_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("mark_px", ExactDecimal(), nullable=False),
        sa.Column("unrealized_pnl", ExactDecimal(), nullable=False),
        sa.Column("action", sa.String(length=30), nullable=True),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.id"], name=op.f("fk_position_updates_position_id_positions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_position_updates")),
    )
    op.create_index(op.f("ix_position_updates_at"), "position_updates", ["at"], unique=False)
    op.create_index(op.f("ix_position_updates_position_id_at"), "position_updates", ["position_id", "at"], unique=False)
    op.create_table(
        "postings",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("entry_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("account_id", BigInt, nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("amount", ExactDecimal(), nullable=False),
        sa.Column("posted_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_accounts.id"], name=op.f("fk_postings_account_id_ledger_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["journal_entries.id"],
            name=op.f("fk_postings_entry_id_journal_entries"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_postings")),
    )
    op.create_index(op.f("ix_postings_account_id_posted_at"), "postings", ["account_id", "posted_at"], unique=False)
    op.create_index(op.f("ix_postings_entry_id"), "postings", ["entry_id"], unique=False)
    op.create_table(
        "signals",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("position_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("action", sa.String(length=6), nullable=False),
        sa.Column("confidence", sa.Integer(), nullable=False),
        sa.Column("urgency", sa.String(length=10), nullable=True),
        sa.Column("reasoning", sa.String(length=2000), nullable=True),
        sa.Column("order_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=60), nullable=False),
        sa.ForeignKeyConstraint(["position_id"], ["positions.id"], name=op.f("fk_signals_position_id_positions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
    )
    op.create_index(op.f("ix_signals_position_id"), "signals", ["position_id"], unique=False)
    op.create_table(
        "executions",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("order_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("client_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("wallet_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("position_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("position_qty", ExactDecimal(), nullable=False),
        sa.Column("entry_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("venue", sa.String(length=20), nullable=False),
        sa.Column("trade_id", sa.String(length=60), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("qty", ExactDecimal(), nullable=False),
        sa.Column("price", ExactDecimal(), nullable=False),
        sa.Column("value", ExactDecimal(), nullable=False),
        sa.Column("fee", ExactDecimal(), nullable=False),
        sa.Column("fee_currency", sa.String(length=12), nullable=False),
        sa.Column("liquidity", sa.String(length=5), nullable=False),
        sa.Column("realized_pnl", ExactDecimal(), nullable=False),
        sa.Column("executed_at", UtcDateTime(), nullable=False),
        sa.Column("booked_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_executions_client_id_clients")),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["journal_entries.id"], name=op.f("fk_executions_entry_id_journal_entries")
        ),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instruments.id"], name=op.f("fk_executions_instrument_id_instruments")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_executions_order_id_orders")),
        sa.ForeignKeyConstraint(["position_id"], ["positions.id"], name=op.f("fk_executions_position_id_positions")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallets.id"], name=op.f("fk_executions_wallet_id_wallets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executions")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_executions_entry_id")),
        sa.UniqueConstraint(
            "venue",
            "wallet_id",
            "instrument_id",
            "trade_id",
            name=op.f("uq_executions_venue_wallet_id_instrument_id_trade_id"),
        ),
    )
    op.create_index(op.f("ix_executions_client_id_id"), "executions", ["client_id", "id"], unique=False)
    op.create_index(op.f("ix_executions_order_id"), "executions", ["order_id"], unique=False)
    op.create_index(op.f("ix_executions_position_id"), "executions", ["position_id"], unique=False)
    op.create_table(
        "fix_messages",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("order_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("direction", sa.String(length=3), nullable=False),
        sa.Column("msg_type", sa.String(length=2), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_fix_messages_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fix_messages")),
    )
    op.create_index(op.f("ix_fix_messages_order_id"), "fix_messages", ["order_id"], unique=False)
    _protect_journal(op.get_bind().dialect.name)


def _protect_journal(dialect: str) -> None:
    """What the ledger's tables refuse by themselves, whoever writes to them."""
    if dialect == "postgresql":
        op.create_foreign_key("fk_clients_trader_id_users", "clients", "users", ["trader_id"], ["id"])
    for statement in POSTGRESQL if dialect == "postgresql" else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("the foundation cannot be taken away again; restore a backup instead")

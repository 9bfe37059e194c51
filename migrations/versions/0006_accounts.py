"""Currencies and the chart of accounts are rows; each account has a normal side and a floor of its own."""

import sqlalchemy as sa
from alembic import op

from app.core.schema import add_constraint, drop_constraint, replace_check
from app.models.base import ExactDecimal

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCALES = {
    **dict.fromkeys(("USD", "PEN", "EUR", "GBP"), 2),
    "JPY": 0,
    **dict.fromkeys(("BTC", "ETH", "SOL", "USDT", "USDC"), 8),
    **dict.fromkeys(("XAU", "AAPL", "TSLA"), 4),
}
UNKNOWN_SCALE = 8  # what the version before took for a currency it did not know
# Plan Contable General Empresarial (Peru): code, name, kind, normal side, floor, cached
CHART = (
    ("1041", "Funds outside the house", "external", "debit", None, False),
    ("1681", "Receivables from clients", "receivable", "debit", None, False),
    ("1691", "Clearing with venues", "clearing", "debit", None, False),
    ("4691", "Clients: available", "available", "credit", 0, True),
    ("4692", "Clients: held for orders", "held", "credit", 0, True),
    ("6599", "Rounding differences", "rounding", "debit", None, False),
    ("7041", "Trading fees", "fees", "credit", None, False),
)
KINDS = "kind IN ('available', 'held', 'fees', 'clearing', 'external', 'rounding', 'receivable')"
NOT_NEGATIVE = {"postgresql": "balance >= 0", "sqlite": "balance NOT LIKE '-%'"}
BASE = "fk_instruments_base_currencies"
QUOTE = "fk_instruments_quote_currencies"


def upgrade() -> None:
    _currencies()
    _chart()
    _instruments()
    _accounts()


def _currencies() -> None:
    currencies = op.create_table(
        "currencies",
        sa.Column("code", sa.String(length=12), nullable=False),
        sa.Column("scale", sa.Integer(), nullable=False),
        sa.CheckConstraint("scale BETWEEN 0 AND 18", name=op.f("ck_currencies_scale")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_currencies")),
    )
    known = op.get_bind().execute(
        sa.text("SELECT base, base_scale FROM instruments UNION SELECT quote, quote_scale FROM instruments")
    )
    scales = SCALES | dict(known.all())
    for (code,) in op.get_bind().execute(sa.text("SELECT DISTINCT currency FROM ledger_accounts")):
        scales.setdefault(code, UNKNOWN_SCALE)
    op.bulk_insert(currencies, [{"code": code, "scale": scale} for code, scale in scales.items()])


def _chart() -> None:
    chart = op.create_table(
        "chart_of_accounts",
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("normal_side", sa.String(length=6), nullable=False),
        sa.Column("floor", ExactDecimal(), nullable=True),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.CheckConstraint("normal_side IN ('debit', 'credit')", name=op.f("ck_chart_of_accounts_normal_side")),
        sa.CheckConstraint("floor IS NULL OR cached", name=op.f("ck_chart_of_accounts_floor_is_of_a_balance")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_chart_of_accounts")),
        sa.UniqueConstraint("code", "kind", name=op.f("uq_chart_of_accounts_code_kind")),
    )
    columns = ("code", "name", "kind", "normal_side", "floor", "cached")
    op.bulk_insert(chart, [dict(zip(columns, row, strict=True)) for row in CHART])


def _instruments() -> None:
    for column, name in (("base", BASE), ("quote", QUOTE)):
        add_constraint(op.get_bind(), "instruments", name, f"FOREIGN KEY({column}) REFERENCES currencies (code)")
        op.drop_column("instruments", f"{column}_scale")


def _accounts() -> None:
    connection, table = op.get_bind(), "ledger_accounts"
    op.add_column(table, sa.Column("normal_side", sa.String(6), nullable=False, server_default="credit"))
    op.add_column(table, sa.Column("floor", ExactDecimal()))
    for column in ("normal_side", "floor"):
        op.execute(
            f"UPDATE {table} SET {column} = (SELECT c.{column} FROM chart_of_accounts c WHERE c.kind = {table}.kind)"
        )
    drop_constraint(connection, table, "ck_ledger_accounts_kind")
    drop_constraint(connection, table, "ck_ledger_accounts_never_negative")
    replace_check(
        connection, table, "ck_ledger_accounts_cached_for_wallets", "wallet_id IS NULL OR balance IS NOT NULL"
    )
    for name, definition in (
        ("ck_ledger_accounts_normal_side", "CHECK (normal_side IN ('debit', 'credit'))"),
        ("ck_ledger_accounts_floor", "CHECK (balance >= floor)"),
        ("ck_ledger_accounts_floor_is_of_a_balance", "CHECK (floor IS NULL OR balance IS NOT NULL)"),
        ("fk_ledger_accounts_currency_currencies", "FOREIGN KEY(currency) REFERENCES currencies (code)"),
        (
            "fk_ledger_accounts_code_kind_chart_of_accounts",
            "FOREIGN KEY(code, kind) REFERENCES chart_of_accounts (code, kind)",
        ),
    ):
        add_constraint(connection, table, name, definition)


def downgrade() -> None:
    _refuse_loss()
    connection, table = op.get_bind(), "ledger_accounts"
    for name in (
        "fk_ledger_accounts_code_kind_chart_of_accounts",
        "fk_ledger_accounts_currency_currencies",
        "ck_ledger_accounts_floor_is_of_a_balance",
        "ck_ledger_accounts_floor",
        "ck_ledger_accounts_normal_side",
    ):
        drop_constraint(connection, table, name)
    op.drop_column(table, "floor")
    op.drop_column(table, "normal_side")
    replace_check(connection, table, "ck_ledger_accounts_cached_for_wallets", "(wallet_id IS NULL) = (balance IS NULL)")
    not_negative = NOT_NEGATIVE[connection.dialect.name]
    add_constraint(connection, table, "ck_ledger_accounts_never_negative", f"CHECK ({not_negative})")
    add_constraint(connection, table, "ck_ledger_accounts_kind", f"CHECK ({KINDS})")
    for column, name in (("base", BASE), ("quote", QUOTE)):
        drop_constraint(connection, "instruments", name)
        op.add_column("instruments", sa.Column(f"{column}_scale", sa.Integer(), nullable=False, server_default="0"))
        op.execute(f"UPDATE instruments SET {column}_scale = (SELECT scale FROM currencies WHERE code = {column})")
    op.drop_table("chart_of_accounts")
    op.drop_table("currencies")


def _refuse_loss() -> None:
    """An account that the version before has no place for is not dropped without a word."""
    query = f"SELECT count(*) FROM ledger_accounts WHERE NOT ({KINDS}) OR (wallet_id IS NULL) <> (balance IS NULL)"
    if op.get_bind().scalar(sa.text(query)):
        raise RuntimeError(
            "Accounts have been opened that the version before does not know: of another kind, or the house's with a "
            "balance of their own. Restore a backup instead."
        )

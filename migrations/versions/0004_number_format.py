"""How a person reads and types numbers: 1,234.56 (point) or 1.234,56 (comma)."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("number_format", sa.String(5)))


def downgrade() -> None:
    op.drop_column("users", "number_format")

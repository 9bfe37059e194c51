"""Client codes are unique whatever their capitals."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _refuse_collisions()
    op.create_index("uq_clients_code_lower", "clients", [sa.text("lower(code)")], unique=True)


def _refuse_collisions() -> None:
    """Which of two clients keeps a code is for people to say."""
    codes = op.get_bind().execute(
        sa.text(
            "SELECT code FROM clients WHERE lower(code) IN "
            "(SELECT lower(code) FROM clients GROUP BY lower(code) HAVING count(*) > 1) ORDER BY lower(code), code"
        )
    )
    colliding = list(codes.scalars())
    if colliding:
        raise RuntimeError(
            "These client codes differ in capitals alone; change all but one of each, then upgrade again: "
            + ", ".join(colliding)
        )


def downgrade() -> None:
    op.drop_index("uq_clients_code_lower", table_name="clients")

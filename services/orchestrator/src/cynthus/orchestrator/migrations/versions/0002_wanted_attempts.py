"""A machine that asks for work finds it without reading all that it ever did."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "orchestrator"


def upgrade() -> None:
    op.create_index(
        "attempts_wanted_idx",
        "attempts",
        ["machine"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'STARTING' OR gone"),
    )
    op.drop_index("attempts_machine_idx", "attempts", schema=SCHEMA)


def downgrade() -> None:
    op.create_index("attempts_machine_idx", "attempts", ["machine"], schema=SCHEMA)
    op.drop_index("attempts_wanted_idx", "attempts", schema=SCHEMA)

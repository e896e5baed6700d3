"""When a worker was last heard, and since when its silence is known."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "orchestrator"


def upgrade() -> None:
    for name in ("renewed_at", "suspected_at"):
        op.add_column("leases", sa.Column(name, sa.DateTime(timezone=True)), schema=SCHEMA)


def downgrade() -> None:
    for name in ("renewed_at", "suspected_at"):
        op.drop_column("leases", name, schema=SCHEMA)

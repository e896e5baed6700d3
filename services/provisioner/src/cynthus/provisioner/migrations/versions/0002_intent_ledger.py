"""What was intended, asked for and seen of every machine, and why it is to go."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "provisioner"
_TIMES = (
    "next_try",
    "asked_at",
    "created_at",
    "absent_since",
    "last_seen",
    "needless_since",
    "deleting_at",
    "gone_at",
)
_TEXTS = (("zone", "'here'"), ("request_id", "''"), ("reason", "''"), ("why", "''"))


def upgrade() -> None:
    for name, default in _TEXTS:
        column = sa.Column(name, sa.Text(), nullable=False, server_default=sa.text(default))
        op.add_column("machines", column, schema=SCHEMA)
    for name in _TIMES:
        op.add_column("machines", sa.Column(name, sa.DateTime(timezone=True)), schema=SCHEMA)
    for name in ("boot", "refusal"):
        op.add_column("machines", sa.Column(name, sa.Text()), schema=SCHEMA)
    attempts = sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0"))
    op.add_column("machines", attempts, schema=SCHEMA)
    leaving: sa.Column[bool] = sa.Column(
        "leaving", sa.Boolean(), nullable=False, server_default=sa.text("false")
    )
    op.add_column("machines", leaving, schema=SCHEMA)
    op.drop_index("machines_stage", "machines", schema=SCHEMA)
    op.create_index(
        "machines_alive",
        "machines",
        ["stage", "since"],
        schema=SCHEMA,
        postgresql_where=sa.text("stage <> 'gone'"),
    )
    op.create_index(
        "machines_refused",
        "machines",
        ["asked_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("refusal IS NOT NULL"),
    )
    op.create_table(
        "turns",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("turns", schema=SCHEMA)
    op.drop_index("machines_refused", "machines", schema=SCHEMA)
    op.drop_index("machines_alive", "machines", schema=SCHEMA)
    op.create_index("machines_stage", "machines", ["stage", "since"], schema=SCHEMA)
    for name in ("leaving", "attempts", "refusal", "boot", *_TIMES, *(name for name, _ in _TEXTS)):
        op.drop_column("machines", name, schema=SCHEMA)

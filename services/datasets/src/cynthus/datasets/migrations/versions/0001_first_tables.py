"""Pins."""

import sqlalchemy as sa
from alembic import op

from cynthus.store.revisions import create_store_tables, drop_store_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "datasets"


def upgrade() -> None:
    create_store_tables(op, SCHEMA)
    op.create_table(
        "pins",
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("snapshot", sa.Text(), primary_key=True),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "pinned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("pins", schema=SCHEMA)
    drop_store_tables(op, SCHEMA)

"""Builds, images and locks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from cynthus.store.revisions import create_store_tables, drop_store_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "builder"


def upgrade() -> None:
    create_store_tables(op, SCHEMA)
    op.create_table(
        "builds",
        sa.Column("run_id", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("message", JSONB(), nullable=False),
        sa.Column("order", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        schema=SCHEMA,
    )
    op.create_index("builds_order", "builds", ["order"], schema=SCHEMA)
    op.create_table(
        "images",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("image", JSONB(), nullable=False),
        sa.Column("packages", sa.Integer(), nullable=False),
        sa.Column("notes", JSONB(), nullable=False),
        sa.Column(
            "built_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "locks",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("packages", sa.Integer(), nullable=False),
        sa.Column(
            "resolved_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("locks", schema=SCHEMA)
    op.drop_table("images", schema=SCHEMA)
    op.drop_table("builds", schema=SCHEMA)
    drop_store_tables(op, SCHEMA)

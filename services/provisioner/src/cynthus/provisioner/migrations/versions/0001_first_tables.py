"""Machines and requests."""

import sqlalchemy as sa
from alembic import op

from cynthus.store.revisions import create_store_tables, drop_store_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "provisioner"


def upgrade() -> None:
    create_store_tables(op, SCHEMA)
    op.create_table(
        "machines",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column(
            "since", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.Column(
            "intended_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.Column("run_id", sa.Text()),
        sa.Column("epoch", sa.Integer()),
        schema=SCHEMA,
    )
    op.create_index("machines_stage", "machines", ["stage", "since"], schema=SCHEMA)
    op.create_table(
        "requests",
        sa.Column("run_id", sa.Text(), primary_key=True),
        sa.Column("epoch", sa.Integer(), primary_key=True),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text()),
        sa.Column("delayed", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("order", sa.BigInteger(), nullable=False),
        schema=SCHEMA,
    )
    op.create_index(
        "requests_waiting",
        "requests",
        ["order"],
        schema=SCHEMA,
        postgresql_where=sa.text("stage = 'waiting'"),
    )


def downgrade() -> None:
    op.drop_table("requests", schema=SCHEMA)
    op.drop_table("machines", schema=SCHEMA)
    drop_store_tables(op, SCHEMA)

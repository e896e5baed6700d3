"""Runs, attempts, leases, logs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from cynthus.store.revisions import create_store_tables, drop_store_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "orchestrator"


def upgrade() -> None:
    create_store_tables(op, SCHEMA)
    _create_runs()
    _create_attempts()
    _create_logs()
    op.create_table(
        "hidden_runs",
        sa.Column("run_id", sa.Text(), primary_key=True),
        _moment("hidden_at"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for name in ("hidden_runs", "log_chunks", "leases", "attempts", "runs"):
        op.drop_table(name, schema=SCHEMA)
    drop_store_tables(op, SCHEMA)


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text()),
        sa.Column("project", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True)),
        sa.Column("labels", JSONB(), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        schema=SCHEMA,
    )
    op.create_index("runs_owner_id_idx", "runs", ["owner", "id"], schema=SCHEMA)
    op.create_index("runs_owner_name_idx", "runs", ["owner", "name"], schema=SCHEMA)
    op.create_index(
        "runs_deadline_idx",
        "runs",
        ["deadline_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("deadline_at IS NOT NULL"),
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("run_id", sa.Text(), primary_key=True),
        sa.Column("epoch", sa.Integer(), primary_key=True),
        sa.Column("machine", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        schema=SCHEMA,
    )
    op.create_index("attempts_machine_idx", "attempts", ["machine"], schema=SCHEMA)
    op.create_table(
        "leases",
        sa.Column("run_id", sa.Text(), primary_key=True),
        sa.Column("epoch", sa.Integer(), primary_key=True),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expired", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("stop", sa.Text()),
        sa.Column("cpu_seconds", sa.Double(), nullable=False, server_default=sa.text("0")),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        schema=SCHEMA,
        postgresql_with={"fillfactor": 50},
    )


def _create_logs() -> None:
    op.create_table(
        "log_chunks",
        sa.Column("run_id", sa.Text(), primary_key=True),
        sa.Column("epoch", sa.Integer(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("start_offset", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        _moment("at"),
        schema=SCHEMA,
    )
    op.create_index(
        "log_chunks_source_idx", "log_chunks", ["run_id", "epoch", "source", "seq"], schema=SCHEMA
    )


def _moment(name: str) -> "sa.Column[object]":
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
    )

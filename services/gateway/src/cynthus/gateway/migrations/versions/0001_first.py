"""Accounts, projects, snapshots and accepted runs."""

import sqlalchemy as sa
from alembic import op

from cynthus.store.revisions import create_store_tables, drop_store_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SCHEMA = "gateway"


def upgrade() -> None:
    create_store_tables(op, _SCHEMA)
    _create_projects()
    _create_tokens()
    _create_submissions()


def downgrade() -> None:
    for name in ("submissions", "tokens", "snapshots", "projects"):
        op.drop_table(name, schema=_SCHEMA)
    drop_store_tables(op, _SCHEMA)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
    )


def _create_projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("snapshot", sa.Text()),
        _now("created_at"),
        schema=_SCHEMA,
    )
    op.create_index("projects_owner_name", "projects", ["owner", "name"], unique=True, schema=_SCHEMA)
    op.create_table(
        "snapshots",
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        _now("created_at"),
        schema=_SCHEMA,
    )


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("fingerprint", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), server_default=sa.text("''"), nullable=False),
        _now("created_at"),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        schema=_SCHEMA,
    )


def _create_submissions() -> None:
    op.create_table(
        "submissions",
        sa.Column("run_id", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_generated", sa.Boolean(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("request_digest", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema=_SCHEMA,
    )
    indexes = {
        "submissions_idempotency_key": (["owner", "idempotency_key"], True, "idempotency_key IS NOT NULL"),
        "submissions_generated_name": (["owner", "project", "name"], True, "name_generated"),
        "submissions_pending": (["owner", "run_id"], False, "NOT acknowledged"),
    }
    for name, (columns, unique, where) in indexes.items():
        op.create_index(
            name, "submissions", columns, unique=unique, schema=_SCHEMA, postgresql_where=sa.text(where)
        )

"""Images in a registry: layers, where they are, what is known, and who uses them."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "builder"


def _moment(name: str) -> "sa.Column[datetime]":
    default = sa.text("clock_timestamp()")
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=default)


def upgrade() -> None:
    attempts = sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0"))
    op.add_column("builds", attempts, schema=SCHEMA)
    op.add_column("locks", sa.Column("document", JSONB()), schema=SCHEMA)
    op.create_table(
        "layers",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("layer", JSONB(), nullable=False),
        _moment("made_at"),
        schema=SCHEMA,
    )
    op.create_table(
        "placements",
        sa.Column("repository", sa.Text(), primary_key=True),
        sa.Column("digest", sa.Text(), primary_key=True),
        schema=SCHEMA,
    )
    op.create_table(
        "known",
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("document", JSONB(), nullable=False),
        _moment("noted_at"),
        schema=SCHEMA,
    )
    op.create_table(
        "catalogue",
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text()),
        sa.Column("entry", JSONB(), nullable=False),
        sa.Column("attached", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        _moment("built_at"),
        _moment("used_at"),
        schema=SCHEMA,
    )
    op.create_index("catalogue_used", "catalogue", ["used_at"], schema=SCHEMA)
    op.create_table(
        "uses",
        sa.Column("run_id", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        schema=SCHEMA,
    )
    op.create_index("uses_image", "uses", ["owner", "digest"], schema=SCHEMA)
    op.execute("DELETE FROM builder.images")


def downgrade() -> None:
    for table in ("uses", "catalogue", "known", "placements", "layers"):
        op.drop_table(table, schema=SCHEMA)
    op.drop_column("locks", "document", schema=SCHEMA)
    op.drop_column("builds", "attempts", schema=SCHEMA)

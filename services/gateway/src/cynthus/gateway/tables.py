"""The gateway's tables."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, MetaData, Table, Text, text

from cynthus.store.tables import add_store_tables

SCHEMA = "gateway"
metadata = MetaData(schema=SCHEMA)
add_store_tables(metadata)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("snapshot", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Index("projects_owner_name", "owner", "name", unique=True),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
)

tokens = Table(
    "tokens",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=text("''")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Column("revoked_at", DateTime(timezone=True)),
)

submissions = Table(
    "submissions",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_generated", Boolean, nullable=False),
    Column("idempotency_key", Text),
    Column("request_digest", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("acknowledged", Boolean, nullable=False, server_default=text("false")),
    Index(
        "submissions_idempotency_key",
        "owner",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    Index(
        "submissions_generated_name",
        "owner",
        "project",
        "name",
        unique=True,
        postgresql_where=text("name_generated"),
    ),
    Index("submissions_pending", "owner", "run_id", postgresql_where=text("NOT acknowledged")),
)

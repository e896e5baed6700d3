"""The tables of the orchestrator."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from cynthus.store.tables import add_store_tables

SCHEMA = "orchestrator"
metadata = MetaData(schema=SCHEMA)
add_store_tables(metadata)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text),
    Column("project", Text),
    Column("name", Text),
    Column("state", Text, nullable=False),
    Column("created_at", DateTime(timezone=True)),
    Column("labels", JSONB, nullable=False),
    Column("deadline_at", DateTime(timezone=True)),
    Column("version", Integer, nullable=False),
    Column("document", JSONB, nullable=False),
    Index("runs_owner_id_idx", "owner", "id"),
    Index("runs_owner_name_idx", "owner", "name"),
    Index("runs_deadline_idx", "deadline_at", postgresql_where=text("deadline_at IS NOT NULL")),
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("machine", Text),
    Column("state", Text, nullable=False),
    Column("gone", Boolean, nullable=False),
    Index("attempts_wanted_idx", "machine", postgresql_where=text("state = 'STARTING' OR gone")),
)

leases = Table(
    "leases",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("expired", Boolean, nullable=False, server_default=text("false")),
    Column("renewed_at", DateTime(timezone=True)),
    Column("suspected_at", DateTime(timezone=True)),
    Column("stop", Text),
    Column("cpu_seconds", Double, nullable=False, server_default=text("0")),
    Column("memory_bytes", BigInteger, nullable=False, server_default=text("0")),
    postgresql_with={"fillfactor": 50},
)
"""No index on expires_at: a beat must stay a cheap update in place, and live leases are few."""

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("start_offset", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Index("log_chunks_source_idx", "run_id", "epoch", "source", "seq"),
)

hidden_runs = Table(
    "hidden_runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("hidden_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
)
"""Runs their owners deleted: history keeps them, nobody sees them."""
